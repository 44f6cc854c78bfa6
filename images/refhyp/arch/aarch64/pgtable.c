/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translation tables of the 4 KiB granule: maps, unmaps, splits blocks and merges them again.
 *
 * Three levels, from 1 (1 GiB an entry) to 3 (4 KiB). The descriptor of a table keeps, in bits that the hardware ignores,
 * how many of the table's entries are used: 0 frees it, 512 makes it a candidate for one block. Nothing here runs on
 * hardware directly, so the host's tests compile this file as it is.
 */
#include "arch/aarch64/a64.h"

#define ENTRIES	    512u
#define DESC_VALID  1ull
#define DESC_TABLE  2ull /* at level 3: a page */
#define DESC_ADDR   0x0000fffffffff000ull
#define COUNT_SHIFT 2
#define COUNT_MASK  (0x3ffull << COUNT_SHIFT)
#define WALK_LEAVES 512u /* how far pgtable_walk() looks for contiguous leaves */

static unsigned int level_shift(unsigned int level)
{
	return 12 + 9 * (3 - level);
}

static uint64_t level_size(unsigned int level)
{
	return 1ull << level_shift(level);
}

static uint64_t *slot(uint64_t *table, uint64_t addr, unsigned int level)
{
	return &table[(addr >> level_shift(level)) & (ENTRIES - 1)];
}

static bool is_table(uint64_t desc, unsigned int level)
{
	return level < 3 && (desc & (DESC_VALID | DESC_TABLE)) == (DESC_VALID | DESC_TABLE);
}

static uint64_t *table_of(uint64_t desc)
{
	return (uint64_t *)(uintptr_t)(desc & DESC_ADDR);
}

static uint64_t leaf(pa_t pa, uint64_t attr, unsigned int level)
{
	return pa | attr | DESC_VALID | (level == 3 ? DESC_TABLE : 0);
}

/* The hardware reads entries at any time, so each is written once and whole. */
static void put(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static unsigned int count(uint64_t desc)
{
	return (unsigned int)((desc & COUNT_MASK) >> COUNT_SHIFT);
}

static void set_count(uint64_t *desc, unsigned int n)
{
	put(desc, (*desc & ~COUNT_MASK) | (uint64_t)n << COUNT_SHIFT);
}

static void flush(const struct pgtable *t, uint64_t addr, uint64_t size)
{
	if (t->flush)
		t->flush(t, addr, size);
}

/* Where a walk for one address goes: path[l] is the entry of level l, for the levels down to .level. */
struct walk {
	uint64_t *path[4];
	unsigned int level;
};

static void walk(const struct pgtable *t, uint64_t addr, struct walk *w)
{
	uint64_t *table = t->root;

	for (unsigned int level = 1;; level++) {
		w->path[level] = slot(table, addr, level);
		w->level = level;
		if (!is_table(*w->path[level], level))
			return;
		table = table_of(*w->path[level]);
	}
}

static bool range_free(const struct pgtable *t, uint64_t addr, uint64_t size)
{
	uint64_t end = addr + size;
	struct walk w;

	while (addr < end) {
		walk(t, addr, &w);
		if (*w.path[w.level] & DESC_VALID)
			return false;
		addr = (addr | (level_size(w.level) - 1)) + 1;
	}
	return true;
}

/* Replaces the block in *entry by a table of smaller ones. No address changes its meaning, but it may fault meanwhile. */
static bool split(struct pgtable *t, uint64_t *entry, uint64_t addr, unsigned int level)
{
	uint64_t old = *entry, *table = t->alloc();
	uint64_t attr = old & PGTABLE_ATTR;

	if (!table)
		return false;
	for (unsigned int i = 0; i < ENTRIES; i++)
		table[i] = leaf((old & DESC_ADDR) + i * level_size(level + 1), attr, level + 1);
	put(entry, 0);
	flush(t, addr & ~(level_size(level) - 1), level_size(level));
	put(entry, (uintptr_t)table | DESC_VALID | DESC_TABLE | (uint64_t)ENTRIES << COUNT_SHIFT);
	return true;
}

/* Makes a leaf end at addr. */
static bool split_at(struct pgtable *t, uint64_t addr)
{
	struct walk w;

	for (;;) {
		walk(t, addr, &w);
		if (!(*w.path[w.level] & DESC_VALID) || !(addr & (level_size(w.level) - 1)))
			return true;
		if (!split(t, w.path[w.level], addr, w.level))
			return false;
	}
}

/* When the full table in *entry is one contiguous piece, a block takes its place. */
static bool merge(struct pgtable *t, uint64_t *entry, uint64_t addr, unsigned int level)
{
	uint64_t *table = table_of(*entry), first = table[0];
	pa_t pa = first & DESC_ADDR;
	uint64_t attr = first & PGTABLE_ATTR;

	if (pa & (level_size(level) - 1))
		return false;
	for (unsigned int i = 0; i < ENTRIES; i++)
		if (table[i] != leaf(pa + i * level_size(level + 1), attr, level + 1))
			return false;
	put(entry, 0);
	flush(t, addr & ~(level_size(level) - 1), level_size(level));
	put(entry, leaf(pa, attr, level));
	t->release(table);
	return true;
}

/* One leaf at addr, as large as alignment and size allow; its size, or 0 when no table is left. */
static uint64_t map_one(struct pgtable *t, uint64_t addr, pa_t pa, uint64_t size, uint64_t attr)
{
	struct walk w;

	walk(t, addr, &w);
	while (((addr | pa) & (level_size(w.level) - 1)) || size < level_size(w.level)) {
		uint64_t *table = t->alloc();

		if (!table)
			return 0;
		put(w.path[w.level], (uintptr_t)table | DESC_VALID | DESC_TABLE);
		if (w.level > 1)
			set_count(w.path[w.level - 1], count(*w.path[w.level - 1]) + 1);
		w.level++;
		w.path[w.level] = slot(table, addr, w.level);
	}
	put(w.path[w.level], leaf(pa, attr, w.level));
	size = level_size(w.level);
	if (w.level == 1)
		return size;
	set_count(w.path[w.level - 1], count(*w.path[w.level - 1]) + 1);
	return size;
}

/* Merges what can be merged around addr, from the smallest table upwards. */
static void merge_up(struct pgtable *t, uint64_t addr)
{
	struct walk w;

	walk(t, addr, &w);
	for (unsigned int level = w.level - 1; level; level--)
		if (count(*w.path[level]) != ENTRIES || !merge(t, w.path[level], addr, level))
			return;
}

/* Removes tables without entries on the way to addr and collects them; linked by words that read as invalid entries. */
static void prune(struct walk *w, uint64_t **garbage)
{
	for (unsigned int level = w->level; level > 1; level--) {
		uint64_t *parent = w->path[level - 1];
		uint64_t *table = table_of(*parent);

		set_count(parent, count(*parent) - 1);
		if (count(*parent))
			return;
		put(parent, 0);
		table[0] = (uintptr_t)*garbage;
		*garbage = table;
	}
}

/* After the TLBs forgot them. */
static void release_all(struct pgtable *t, uint64_t *garbage)
{
	while (garbage) {
		uint64_t *next = (uint64_t *)(uintptr_t)garbage[0];

		t->release(garbage);
		garbage = next;
	}
}

/* Removes the leaves in the range, all of which lie inside it. */
static void clear(struct pgtable *t, uint64_t start, uint64_t end, uint64_t **garbage)
{
	struct walk w;

	for (uint64_t addr = start; addr < end; addr = (addr | (level_size(w.level) - 1)) + 1) {
		walk(t, addr, &w);
		if (!(*w.path[w.level] & DESC_VALID))
			continue;
		put(w.path[w.level], 0);
		prune(&w, garbage);
	}
}

enum gh_error pgtable_unmap(struct pgtable *t, uint64_t addr, uint64_t size)
{
	uint64_t *garbage = NULL;

	if (!split_at(t, addr) || !split_at(t, addr + size))
		return GH_ERROR_NOMEM;
	clear(t, addr, addr + size, &garbage);
	flush(t, addr, size);
	release_all(t, garbage);
	return GH_ERROR_OK;
}

/* Undoes a pgtable_map() that found no table for addr + done. */
static void map_undo(struct pgtable *t, uint64_t addr, uint64_t done)
{
	uint64_t *garbage = NULL;
	struct walk w;

	/* A table that was made for this address alone has no entry yet. */
	walk(t, addr + done, &w);
	if (w.level > 1 && !count(*w.path[w.level - 1])) {
		set_count(w.path[w.level - 1], 1);
		prune(&w, &garbage);
	}
	clear(t, addr, addr + done, &garbage);
	flush(t, addr, done + HYP_PAGE);
	release_all(t, garbage);
}

enum gh_error pgtable_map(struct pgtable *t, uint64_t addr, pa_t pa, uint64_t size, uint64_t attr)
{
	if (!range_free(t, addr, size))
		return GH_ERROR_EXISTING_MAPPING;
	for (uint64_t done = 0, step; done < size; done += step) {
		step = map_one(t, addr + done, pa + done, size - done, attr);
		if (!step) {
			map_undo(t, addr, done);
			return GH_ERROR_NOMEM;
		}
	}
	for (uint64_t at = addr; at < addr + size; at = (at | (level_size(2) - 1)) + 1)
		merge_up(t, at);
	return GH_ERROR_OK;
}

bool pgtable_walk(const struct pgtable *t, uint64_t addr, pa_t *pa, uint64_t *attr, uint64_t *left)
{
	struct walk w;
	uint64_t desc, offset, next;

	walk(t, addr, &w);
	desc = *w.path[w.level];
	if (!(desc & DESC_VALID))
		return false;
	offset = addr & (level_size(w.level) - 1);
	*pa = (desc & DESC_ADDR) + offset;
	*attr = desc & PGTABLE_ATTR;
	*left = level_size(w.level) - offset;
	for (unsigned int i = 0; i < WALK_LEAVES; i++) {
		next = addr + *left;
		if (next >> level_shift(1) >= ENTRIES)
			break;
		walk(t, next, &w);
		desc = *w.path[w.level];
		if (!(desc & DESC_VALID) || (desc & PGTABLE_ATTR) != *attr ||
		    (desc & DESC_ADDR) != *pa + *left)
			break;
		*left += level_size(w.level);
	}
	return true;
}

static void free_level(struct pgtable *t, uint64_t *table, unsigned int level)
{
	for (unsigned int i = 0; i < ENTRIES; i++)
		if (is_table(table[i], level))
			free_level(t, table_of(table[i]), level + 1);
	t->release(table);
}

/* The tables are in no CPU's registers and no TLB any more. */
void pgtable_free(struct pgtable *t)
{
	if (t->root)
		free_level(t, t->root, 1);
	t->root = NULL;
}
