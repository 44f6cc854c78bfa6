/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one user of libfdt: reading a tree that others wrote, and editing a private copy.
 *
 * Nodes are offsets; a negative one is "none", and every function takes it and finds nothing. All
 * reading functions need a tree that rm_fdt_valid() accepted and that nobody else can write.
 */
#ifndef REFHYP_CORE_RM_FDT_H
#define REFHYP_CORE_RM_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RM_FDT_NONE (-1)

/* The size that the header of a tree announces, or 0 when it is no header; reads 40 bytes. */
size_t rm_fdt_total_size(const void *fdt);

/* True when the blob is a well-formed tree of format version 17 that lies within `size` bytes. */
bool rm_fdt_valid(const void *fdt, size_t size);

/* --- Reading --- */

int rm_fdt_node(const void *fdt, const char *path); /* absolute path */
int rm_fdt_by_phandle(const void *fdt, uint32_t phandle);
int rm_fdt_child(const void *fdt, int node, const char *name);
int rm_fdt_first(const void *fdt, int node); /* first child */
int rm_fdt_sibling(const void *fdt, int node);
int rm_fdt_walk(const void *fdt, int node); /* next node of the tree in any depth */
int rm_fdt_parent(const void *fdt, int node);
const char *rm_fdt_name(const void *fdt, int node); /* "" for none */

const void *rm_fdt_prop(const void *fdt, int node, const char *name, uint32_t *size);
bool rm_fdt_has(const void *fdt, int node, const char *name);
const char *rm_fdt_string(const void *fdt, int node,
			  const char *name); /* one terminated string, or NULL */
bool rm_fdt_u32(const void *fdt, int node, const char *name, uint32_t *value);
bool rm_fdt_lists(const void *fdt, int node, const char *name, const char *string);

/*
 * #address-cells and #size-cells of the node itself (2 and 1 when absent); false unless both are 1
 * or 2.
 */
bool rm_fdt_cells(const void *fdt, int node, unsigned int *address, unsigned int *size);
uint64_t rm_fdt_number(const void *p, unsigned int cells); /* 1 or 2 cells */

/* --- Editing --- */

/* The first error sticks, and everything after it does nothing. */
struct rm_tree {
	void *fdt;
	int err;
};

/* Copies a valid tree into a buffer with room to grow. */
void rm_tree_open(struct rm_tree *t, void *buffer, size_t capacity, const void *fdt);
/* Ends the editing: the final size, or 0 when anything failed. */
size_t rm_tree_close(struct rm_tree *t);

/* Adding a node or property moves all nodes behind it: look others up again afterwards. */
int rm_tree_add(struct rm_tree *t, int parent, const char *name); /* an error when it exists */
int rm_tree_ensure(struct rm_tree *t, int parent, const char *name);
void rm_tree_remove(struct rm_tree *t, int node);
void rm_tree_set(struct rm_tree *t, int node, const char *name, const void *value, size_t size);
void rm_tree_string(struct rm_tree *t, int node, const char *name, const char *value);
void rm_tree_append(struct rm_tree *t, int node, const char *name,
		    const char *value); /* to a list of strings */
void rm_tree_u32(struct rm_tree *t, int node, const char *name, uint32_t value);
void rm_tree_u64(struct rm_tree *t, int node, const char *name, uint64_t value);
void rm_tree_number(struct rm_tree *t, int node, const char *name, uint64_t value,
		    unsigned int cells);	       /* appended */
uint32_t rm_tree_phandle(struct rm_tree *t, int node); /* gives the node one if it has none */
void rm_tree_fail(struct rm_tree *t);

#endif
