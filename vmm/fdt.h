/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's device tree: what the kernel needs, and what the resource manager wants to find in
 * it.
 */
#ifndef CROFT_VMM_FDT_H
#define CROFT_VMM_FDT_H

#include "vmm/mem.h"

#define FDT_GICD_BASE	0x3fff0000ull
#define FDT_GICD_SIZE	0x10000ull
#define FDT_GICR_STRIDE 0x20000ull /* a vCPU */

/* What a device may point at: the clock of the PrimeCells, and the GPIO itself. */
#define FDT_CLOCK_PHANDLE 2u
#define FDT_GPIO_PHANDLE  3u

/* How Linux knows memory that all of a device's DMA goes through. */
#define FDT_DMA_POOL "restricted-dma-pool"

/*
 * Memory through which the devices of a guest with lent RAM go, beside RAM, and how its kernel is
 * told of it: as such a pool, or, because Debian's kernels are built without them, as all of
 * ZONE_DMA, where the kernel has its own bounce buffers when devices reach nothing else.
 */
struct fdt_bounce {
	gpa_t base;
	uint64_t size;	/* 0: there is none */
	uint32_t label; /* of its parcel */
	bool pool;
};

/* A tree that is being written. The first failure sticks, and fdt_build() reports it. */
struct fdt_tree;

struct bus;

struct fdt_config {
	const char *name; /* of the VM; cut to what the resource manager takes */
	unsigned int vcpus;
	gpa_t ram_base;
	uint64_t ram_size;
	struct fdt_bounce bounce;
	const char *cmdline; /* or NULL */
	gpa_t initrd_start;
	uint64_t initrd_size;	 /* 0: none */
	const struct bus *bus;	 /* each device writes its node; its line gets a doorbell */
	const char *stdout_path; /* or NULL */
	const void *overlay;	 /* of the user, or NULL */
	size_t overlay_size;
};

/*
 * Writes the tree into the size bytes at blob and stores its length in *length; the rest of blob is
 * zero. The resource manager adds its own nodes later, in place, which takes twice the tree's final
 * size. Errors: INTERNAL, and INVALID_ARGUMENT when the tree does not fit, or the overlay is none,
 * names a target that is not there, or changes what it must not.
 */
int fdt_build(const struct fdt_config *config, void *blob, size_t size, size_t *length,
	      struct error *err);

/* For a device's describe(). */
void tree_begin(struct fdt_tree *tree, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tree_end(struct fdt_tree *tree);
void tree_flag(struct fdt_tree *tree, const char *name);
void tree_string(struct fdt_tree *tree, const char *name, const char *value);
/* value holds its NULs: "a\0b" with the size of the literal. */
void tree_strings(struct fdt_tree *tree, const char *name, const char *value, size_t size);
void tree_cells(struct fdt_tree *tree, const char *name, unsigned int n, const uint32_t *cells);
void tree_u32(struct fdt_tree *tree, const char *name, uint32_t value);
void tree_u64(struct fdt_tree *tree, const char *name, uint64_t value);
/* reg of one range, in the root's two and two cells. */
void tree_reg(struct fdt_tree *tree, gpa_t base, uint64_t size);
/* interrupts of one shared peripheral interrupt, rising edge. */
void tree_spi(struct fdt_tree *tree, uint32_t spi);
/* What a device that works in guest memory says of it. */
void tree_dma(struct fdt_tree *tree);

#endif
