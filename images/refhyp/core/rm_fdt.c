/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one user of libfdt: reading a tree that others wrote, and editing a private copy.
 *
 * fdt_open_into() is not used: the library's build uses vector registers there, which belong to the
 * VM at EL2.
 */
#include <libfdt.h>
#include <string.h>

#include "core/rm_fdt.h"

#define PROPERTY_NAME_MAX 64u

size_t rm_fdt_total_size(const void *fdt)
{
	return fdt_magic(fdt) == FDT_MAGIC ? fdt_totalsize(fdt) : 0;
}

/* libfdt's walks of a tree with two roots or none would surprise us later. */
static bool one_root(const void *fdt)
{
	int depth = 0, node = fdt_next_node(fdt, -1, &depth);

	if (node != 0)
		return false;
	while (node >= 0 && depth >= 1) {
		node = fdt_next_node(fdt, node, &depth);
		if (node >= 0 && depth <= 1)
			return false;
	}
	return true;
}

/*
 * Names of properties are short by the specification; long ones would only make every search slow.
 */
static bool short_names(const void *fdt)
{
	uint64_t offset = fdt_off_dt_strings(fdt), size = fdt_size_dt_strings(fdt);
	const char *s = (const char *)fdt + offset;
	unsigned int run = 0;

	if (offset + size > fdt_totalsize(fdt))
		return false;
	for (uint64_t i = 0; i < size; i++) {
		run = s[i] ? run + 1 : 0;
		if (run > PROPERTY_NAME_MAX)
			return false;
	}
	return true;
}

bool rm_fdt_valid(const void *fdt, size_t size)
{
	return size >= FDT_V17_SIZE && fdt_magic(fdt) == FDT_MAGIC && fdt_totalsize(fdt) <= size &&
	       fdt_version(fdt) >= 17 && fdt_last_comp_version(fdt) <= 17 &&
	       fdt_off_dt_struct(fdt) % 4 == 0 && fdt_off_mem_rsvmap(fdt) % 8 == 0 &&
	       short_names(fdt) && fdt_check_full(fdt, size) == 0 && one_root(fdt);
}

/* --- Reading --- */

static int found(int node)
{
	return node < 0 ? RM_FDT_NONE : node;
}

int rm_fdt_node(const void *fdt, const char *path)
{
	/* A relative path would be an alias, and aliases may lead in circles. */
	return path && path[0] == '/' ? found(fdt_path_offset(fdt, path)) : RM_FDT_NONE;
}

int rm_fdt_by_phandle(const void *fdt, uint32_t phandle)
{
	return found(fdt_node_offset_by_phandle(fdt, phandle));
}

int rm_fdt_child(const void *fdt, int node, const char *name)
{
	return node < 0 ? RM_FDT_NONE : found(fdt_subnode_offset(fdt, node, name));
}

int rm_fdt_first(const void *fdt, int node)
{
	return node < 0 ? RM_FDT_NONE : found(fdt_first_subnode(fdt, node));
}

int rm_fdt_sibling(const void *fdt, int node)
{
	return node < 0 ? RM_FDT_NONE : found(fdt_next_subnode(fdt, node));
}

int rm_fdt_walk(const void *fdt, int node)
{
	return node < 0 ? RM_FDT_NONE : found(fdt_next_node(fdt, node, NULL));
}

int rm_fdt_parent(const void *fdt, int node)
{
	return node < 0 ? RM_FDT_NONE : found(fdt_parent_offset(fdt, node));
}

const char *rm_fdt_name(const void *fdt, int node)
{
	const char *name = node < 0 ? NULL : fdt_get_name(fdt, node, NULL);

	return name ? name : "";
}

const void *rm_fdt_prop(const void *fdt, int node, const char *name, uint32_t *size)
{
	int len;
	const void *value = node < 0 ? NULL : fdt_getprop(fdt, node, name, &len);

	if (!value || len < 0)
		return NULL;
	*size = (uint32_t)len;
	return value;
}

bool rm_fdt_has(const void *fdt, int node, const char *name)
{
	uint32_t size;

	return rm_fdt_prop(fdt, node, name, &size) != NULL;
}

const char *rm_fdt_string(const void *fdt, int node, const char *name)
{
	uint32_t size;
	const char *s = rm_fdt_prop(fdt, node, name, &size);

	return s && size && memchr(s, 0, size) == s + size - 1 ? s : NULL;
}

bool rm_fdt_u32(const void *fdt, int node, const char *name, uint32_t *value)
{
	uint32_t size;
	const void *p = rm_fdt_prop(fdt, node, name, &size);

	if (!p || size != sizeof(*value))
		return false;
	*value = (uint32_t)rm_fdt_number(p, 1);
	return true;
}

bool rm_fdt_lists(const void *fdt, int node, const char *name, const char *string)
{
	uint32_t size;
	const char *list = rm_fdt_prop(fdt, node, name, &size);

	return list && fdt_stringlist_contains(list, (int)size, string);
}

bool rm_fdt_cells(const void *fdt, int node, unsigned int *address, unsigned int *size)
{
	uint32_t a = 2, s = 1;

	if ((rm_fdt_has(fdt, node, "#address-cells") &&
	     !rm_fdt_u32(fdt, node, "#address-cells", &a)) ||
	    (rm_fdt_has(fdt, node, "#size-cells") && !rm_fdt_u32(fdt, node, "#size-cells", &s)))
		return false;
	*address = a;
	*size = s;
	return a >= 1 && a <= 2 && s >= 1 && s <= 2;
}

uint64_t rm_fdt_number(const void *p, unsigned int cells)
{
	const uint8_t *byte = p;
	uint64_t value = 0;

	for (unsigned int i = 0; i < cells * 4; i++)
		value = value << 8 | byte[i];
	return value;
}

/* --- Editing --- */

void rm_tree_fail(struct rm_tree *t)
{
	if (!t->err)
		t->err = -FDT_ERR_BADVALUE;
}

static void note(struct rm_tree *t, int result)
{
	if (!t->err && result < 0)
		t->err = result;
}

void rm_tree_open(struct rm_tree *t, void *buffer, size_t capacity, const void *fdt)
{
	size_t reserve = ((size_t)fdt_num_mem_rsv(fdt) + 1) * sizeof(struct fdt_reserve_entry);
	size_t nodes = fdt_size_dt_struct(fdt), strings = fdt_size_dt_strings(fdt);
	size_t at = (FDT_V17_SIZE + 7u) & ~7u;
	uint8_t *to = buffer;
	const uint8_t *from = fdt;

	t->fdt = buffer;
	t->err = 0;
	if (at + reserve + nodes + strings > capacity || capacity > INT32_MAX) {
		t->err = -FDT_ERR_NOSPACE;
		return;
	}
	/* libfdt edits only trees whose blocks lie in this order. */
	memset(buffer, 0, at);
	memcpy(to + at, from + fdt_off_mem_rsvmap(fdt), reserve);
	memcpy(to + at + reserve, from + fdt_off_dt_struct(fdt), nodes);
	memcpy(to + at + reserve + nodes, from + fdt_off_dt_strings(fdt), strings);
	fdt_set_magic(buffer, FDT_MAGIC);
	fdt_set_totalsize(buffer, (uint32_t)capacity);
	fdt_set_version(buffer, 17);
	fdt_set_last_comp_version(buffer, 16);
	fdt_set_boot_cpuid_phys(buffer, fdt_boot_cpuid_phys(fdt));
	fdt_set_off_mem_rsvmap(buffer, (uint32_t)at);
	fdt_set_off_dt_struct(buffer, (uint32_t)(at + reserve));
	fdt_set_size_dt_struct(buffer, (uint32_t)nodes);
	fdt_set_off_dt_strings(buffer, (uint32_t)(at + reserve + nodes));
	fdt_set_size_dt_strings(buffer, (uint32_t)strings);
}

size_t rm_tree_close(struct rm_tree *t)
{
	if (!t->err)
		note(t, fdt_pack(t->fdt));
	return t->err ? 0 : fdt_totalsize(t->fdt);
}

int rm_tree_add(struct rm_tree *t, int parent, const char *name)
{
	if (!t->err)
		note(t, parent = parent < 0 ? -FDT_ERR_NOTFOUND
					    : fdt_add_subnode(t->fdt, parent, name));
	return t->err ? RM_FDT_NONE : parent;
}

int rm_tree_ensure(struct rm_tree *t, int parent, const char *name)
{
	int node = t->err ? RM_FDT_NONE : rm_fdt_child(t->fdt, parent, name);

	return node >= 0 ? node : rm_tree_add(t, parent, name);
}

void rm_tree_remove(struct rm_tree *t, int node)
{
	if (!t->err)
		note(t, fdt_del_node(t->fdt, node));
}

void rm_tree_set(struct rm_tree *t, int node, const char *name, const void *value, size_t size)
{
	if (!t->err)
		note(t, size > INT16_MAX ? -FDT_ERR_NOSPACE
					 : fdt_setprop(t->fdt, node, name, value, (int)size));
}

void rm_tree_string(struct rm_tree *t, int node, const char *name, const char *value)
{
	rm_tree_set(t, node, name, value, strlen(value) + 1);
}

void rm_tree_append(struct rm_tree *t, int node, const char *name, const char *value)
{
	if (!t->err)
		note(t, fdt_appendprop(t->fdt, node, name, value, (int)strlen(value) + 1));
}

void rm_tree_u32(struct rm_tree *t, int node, const char *name, uint32_t value)
{
	fdt32_t be = cpu_to_fdt32(value);

	rm_tree_set(t, node, name, &be, sizeof(be));
}

void rm_tree_u64(struct rm_tree *t, int node, const char *name, uint64_t value)
{
	fdt64_t be = cpu_to_fdt64(value);

	rm_tree_set(t, node, name, &be, sizeof(be));
}

void rm_tree_number(struct rm_tree *t, int node, const char *name, uint64_t value,
		    unsigned int cells)
{
	fdt64_t be = cpu_to_fdt64(value);

	if (cells == 1 && value > UINT32_MAX)
		rm_tree_fail(t);
	if (!t->err)
		note(t, fdt_appendprop(t->fdt, node, name, (const uint8_t *)&be + 8 - cells * 4,
				       (int)(cells * 4)));
}

uint32_t rm_tree_phandle(struct rm_tree *t, int node)
{
	uint32_t phandle = 0;

	if (t->err)
		return 0;
	phandle = fdt_get_phandle(t->fdt, node);
	if (phandle)
		return phandle;
	if (fdt_find_max_phandle(t->fdt, &phandle) < 0 || phandle >= FDT_MAX_PHANDLE) {
		rm_tree_fail(t);
		return 0;
	}
	rm_tree_u32(t, node, "phandle", ++phandle);
	return phandle;
}
