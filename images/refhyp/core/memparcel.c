/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memparcels: the table, the lists of their pages, and what giving and taking means for stage 2.
 */
#include <string.h>

#include "core/mem_pages.h"
#include "core/memparcel.h"

#define SG_PER_PAGE 255u

struct sg_page {
	struct sg_page *next;
	uint64_t count;
	struct sg sg[SG_PER_PAGE];
};
_Static_assert(sizeof(struct sg_page) == HYP_PAGE, "one page of ranges");

_Static_assert(MEMPARCEL_PLACES_MAX * sizeof(struct sg) <= HYP_PAGE, "a page of places");

static struct memparcel parcels[MEMPARCELS_MAX];
static uint32_t next_handle;

void memparcel_reset(void)
{
	memset(parcels, 0, sizeof(parcels));
	next_handle = 0;
	mem_pages_reset();
}

/* --- The table --- */

struct memparcel *memparcel_next(const struct memparcel *p)
{
	for (size_t i = p ? (size_t)(p - parcels) + 1 : 0; i < MEMPARCELS_MAX; i++)
		if (parcels[i].state != MEMPARCEL_NONE)
			return &parcels[i];
	return NULL;
}

struct memparcel *memparcel_find(uint32_t handle)
{
	struct memparcel *p = NULL;

	while ((p = memparcel_next(p)))
		if (p->handle == handle)
			return p;
	return NULL;
}

unsigned int memparcel_count(uint16_t owner)
{
	struct memparcel *p = NULL;
	unsigned int count = 0;

	while ((p = memparcel_next(p)))
		count += p->owner == owner;
	return count;
}

/* Handles count up, so that one that was given back does not soon name another parcel. */
static uint32_t new_handle(void)
{
	while (next_handle == UINT32_MAX || memparcel_find(next_handle))
		next_handle++;
	return next_handle++;
}

struct memparcel *memparcel_new(const struct memparcel *model)
{
	for (size_t i = 0; i < MEMPARCELS_MAX; i++) {
		struct memparcel *p = &parcels[i];

		if (p->state != MEMPARCEL_NONE)
			continue;
		uint32_t handle = new_handle();

		*p = *model;
		p->handle = handle;
		p->size = 0;
		p->first = p->last = NULL;
		return p;
	}
	return NULL;
}

struct mem_access *memparcel_access(struct memparcel *p, uint16_t vmid)
{
	for (unsigned int i = 0; vmid && i < p->access_count; i++)
		if (p->access[i].vmid == vmid)
			return &p->access[i];
	return NULL;
}

bool memparcel_accepted(const struct memparcel *p)
{
	for (unsigned int i = 0; i < p->access_count; i++)
		if (p->access[i].role != MEM_NOT_ACCEPTED)
			return true;
	return false;
}

void memparcel_forget(uint16_t vmid)
{
	struct memparcel *p = NULL;

	while ((p = memparcel_next(p))) {
		struct mem_access *a = memparcel_access(p, vmid);

		if (a)
			a->vmid = 0;
	}
}

/* --- The list of ranges --- */

static bool list_append(struct memparcel *p, const struct sg *run)
{
	if (!p->last || p->last->count == SG_PER_PAGE) {
		struct sg_page *page = hyp_alloc_page();

		if (!page)
			return false;
		if (p->last)
			p->last->next = page;
		else
			p->first = page;
		p->last = page;
	}
	p->last->sg[p->last->count++] = *run;
	p->size += run->size;
	return true;
}

/* Cuts the list behind the entry number `count` of `page`; a NULL page means from the start. */
static void list_cut(struct memparcel *p, struct sg_page *page, uint64_t count)
{
	struct sg_page *drop = page ? page->next : p->first;

	if (page) {
		while (page->count > count)
			p->size -= page->sg[--page->count].size;
		page->next = NULL;
	} else {
		p->first = NULL;
	}
	p->last = page;
	while (drop) {
		struct sg_page *next = drop->next;

		for (uint64_t i = 0; i < drop->count; i++)
			p->size -= drop->sg[i].size;
		hyp_free_page(drop);
		drop = next;
	}
}

const struct sg *memparcel_walk(struct memparcel_walk *w)
{
	while (w->page && w->index == w->page->count) {
		w->page = w->page->next;
		w->index = 0;
	}
	return w->page ? &w->page->sg[w->index++] : NULL;
}

bool memparcel_same(const struct memparcel *p, const struct sg *runs, unsigned int count)
{
	struct memparcel_walk w = { p->first, 0 };
	const struct sg *sg;
	unsigned int run = 0;
	uint64_t done = 0; /* of runs[run] */

	while ((sg = memparcel_walk(&w))) {
		pa_t pa = sg->pa;
		uint64_t left = sg->size;

		while (left) {
			if (run == count || runs[run].pa + done != pa)
				return false;
			uint64_t part = runs[run].size - done;

			if (part > left)
				part = left;
			pa += part;
			left -= part;
			done += part;
			if (done == runs[run].size) {
				run++;
				done = 0;
			}
		}
	}
	return run == count;
}

/* --- Giving and taking --- */

static void sanitise(const struct sg *run)
{
	void *p = hyp_ptr(run->pa);

	memset(p, 0, run->size);
	hyp_clean(p, run->size);
}

/* The rights that the owner keeps: none when the pages are given away. */
static unsigned int owner_rights(struct memparcel *p)
{
	const struct mem_access *a = memparcel_access(p, p->owner);

	return p->trans == GH_RM_MEM_TRANS_SHARE && a ? a->rights : 0;
}

static enum gh_error owner_lose(struct memparcel *p, const struct sg *run)
{
	unsigned int rights = owner_rights(p);
	enum gh_error err;

	if (rights == MEMPARCEL_RWX)
		return GH_ERROR_OK;
	err = hyp_vm_unmap(hyp_primary(), run->pa, run->size);
	if (err || !rights)
		return err;
	err = hyp_vm_map(hyp_primary(), run->pa, run->pa, run->size, rights);
	if (err && hyp_vm_map(hyp_primary(), run->pa, run->pa, run->size, MEMPARCEL_RWX))
		hyp_log("rm: the primary lost %lx bytes at %lx\n", (unsigned long)run->size,
			(unsigned long)run->pa);
	return err;
}

static enum gh_error owner_regain(struct memparcel *p, const struct sg *run)
{
	unsigned int rights = owner_rights(p);
	enum gh_error err;

	if (rights == MEMPARCEL_RWX)
		return GH_ERROR_OK;
	err = rights ? hyp_vm_unmap(hyp_primary(), run->pa, run->size) : GH_ERROR_OK;
	return err ? err : hyp_vm_map(hyp_primary(), run->pa, run->pa, run->size, MEMPARCEL_RWX);
}

static void runs_release(const struct sg *runs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		mem_release(runs[i].pa, runs[i].size);
}

static enum gh_rm_error runs_claim(const struct sg *runs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		enum gh_error err = mem_claim(runs[i].pa, runs[i].size);

		if (err) {
			runs_release(runs, i);
			return err == GH_ERROR_NOMEM ? GH_RM_ERROR_NOMEM : GH_RM_ERROR_MEM_INVALID;
		}
	}
	return GH_RM_OK;
}

static enum gh_rm_error runs_take(struct memparcel *p, const struct sg *runs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		enum gh_error err = owner_lose(p, &runs[i]);

		if (!err)
			continue;
		while (i-- > 0)
			if (owner_regain(p, &runs[i]))
				hyp_log("rm: the primary lost %lx bytes at %lx\n",
					(unsigned long)runs[i].size, (unsigned long)runs[i].pa);
		if (err == GH_ERROR_NOMEM)
			return GH_RM_ERROR_NOMEM;
		return p->trans == GH_RM_MEM_TRANS_SHARE ? GH_RM_ERROR_MAP_FAILED
							 : GH_RM_ERROR_MEM_INVALID;
	}
	return GH_RM_OK;
}

enum gh_rm_error memparcel_add(struct memparcel *p, const struct sg *runs, unsigned int count)
{
	struct sg_page *page = p->last;
	uint64_t entries = page ? page->count : 0;
	enum gh_rm_error err = runs_claim(runs, count);

	if (err)
		return err;
	for (unsigned int i = 0; i < count && !err; i++)
		if (!list_append(p, &runs[i]))
			err = GH_RM_ERROR_NOMEM;
	if (!err)
		err = runs_take(p, runs, count);
	if (err) {
		list_cut(p, page, entries);
		runs_release(runs, count);
		return err;
	}
	for (unsigned int i = 0; p->sanitise && i < count; i++)
		sanitise(&runs[i]);
	return GH_RM_OK;
}

enum gh_rm_error memparcel_reclaim(struct memparcel *p, bool clear)
{
	/* Somebody may have begun to accept it. */
	for (unsigned int i = 0; i < p->access_count; i++)
		memparcel_unplace(&p->access[i]);
	/* From the end of each page of the list, so that what is left stays a list. */
	while (p->first) {
		struct sg_page *page = p->first;

		while (page->count) {
			struct sg *run = &page->sg[page->count - 1];

			if (clear)
				sanitise(run);
			if (owner_regain(p, run))
				return GH_RM_ERROR_NOMEM;
			mem_release(run->pa, run->size);
			p->size -= run->size;
			page->count--;
		}
		p->first = page->next;
		hyp_free_page(page);
	}
	memset(p, 0, sizeof(*p));
	return GH_RM_OK;
}

/* --- Acceptance --- */

bool memparcel_range(const struct mem_access *a, unsigned int n, struct sg *range)
{
	if (n >= (a->places ? a->place_count : a->placed ? 1u : 0u))
		return false;
	*range = a->places ? a->places[n] : (struct sg){ a->ipa, a->placed };
	return true;
}

bool memparcel_place(struct mem_access *a, ipa_t ipa, uint64_t size)
{
	struct sg whole = { a->ipa, a->placed };
	struct sg *last = a->places ? &a->places[a->place_count - 1] : &whole;

	if (!a->placed) {
		a->ipa = ipa;
	} else if (last->pa + last->size != ipa) {
		if (!a->places) {
			a->places = hyp_alloc_page();
			if (!a->places)
				return false;
			a->places[a->place_count++] = whole;
		}
		if (a->place_count == MEMPARCEL_PLACES_MAX)
			return false;
		a->places[a->place_count++] = (struct sg){ ipa, size };
	} else {
		last->size += size;
	}
	a->placed += size;
	return true;
}

void memparcel_unplace(struct mem_access *a)
{
	if (a->places)
		hyp_free_page(a->places);
	a->places = NULL;
	a->place_count = 0;
	a->placed = 0;
	a->ipa = 0;
}

/* Unmaps the first bytes of where the parcel is. False: not all of them. */
static bool unmap_first(const struct mem_access *a, struct vm *vm, uint64_t size)
{
	struct sg range;
	bool all = true;

	for (unsigned int n = 0; size && memparcel_range(a, n, &range); n++) {
		uint64_t part = range.size < size ? range.size : size;

		all &= !hyp_vm_unmap(vm, range.pa, part);
		size -= part;
	}
	return all;
}

enum gh_error memparcel_map(struct memparcel *p, struct mem_access *a, struct vm *vm)
{
	struct memparcel_walk w = { p->first, 0 };
	const struct sg *sg = memparcel_walk(&w);
	uint64_t used = 0, done = 0, part; /* of the parcel's range, of the VM's, of both */
	unsigned int n = 0;
	struct sg range;

	for (uint64_t at = 0; at < p->size && memparcel_range(a, n, &range); at += part) {
		enum gh_error err;

		part = sg->size - used < range.size - done ? sg->size - used : range.size - done;
		err = hyp_vm_map(vm, range.pa + done, sg->pa + used, part, a->rights);
		if (err) {
			if (!unmap_first(a, vm, at))
				hyp_log("rm: cannot unmap %lx of VM %x\n", (unsigned long)a->ipa,
					hyp_vm_id(vm));
			return err;
		}
		used += part;
		done += part;
		if (used == sg->size) {
			sg = memparcel_walk(&w);
			used = 0;
		}
		if (done == range.size) {
			n++;
			done = 0;
		}
	}
	return GH_ERROR_OK;
}

void memparcel_unmap(struct memparcel *p, struct mem_access *a, struct vm *vm)
{
	/* Whole tables need no page; only a part of a block does. */
	if (a->role != MEM_NOT_ACCEPTED && !unmap_first(a, vm, p->size) &&
	    hyp_vm_unmap(vm, 0, 1ull << hyp_ipa_bits()))
		hyp_log("rm: cannot unmap %lx of VM %x\n", (unsigned long)a->ipa, hyp_vm_id(vm));
	a->role = MEM_NOT_ACCEPTED;
	memparcel_unplace(a);
}

/* --- Content --- */

static bool copy(const struct memparcel *p, uint64_t offset, uint8_t *to, const uint8_t *from,
		 uint64_t size)
{
	struct memparcel_walk w = { p->first, 0 };
	const struct sg *sg;

	if (offset > p->size || size > p->size - offset)
		return false;
	while (size && (sg = memparcel_walk(&w))) {
		if (offset >= sg->size) {
			offset -= sg->size;
			continue;
		}
		uint64_t part = sg->size - offset < size ? sg->size - offset : size;
		uint8_t *at = (uint8_t *)hyp_ptr(sg->pa) + offset;

		if (to) {
			memcpy(to, at, part);
			to += part;
		} else {
			memcpy(at, from, part);
			hyp_clean(at, part);
			from += part;
		}
		size -= part;
		offset = 0;
	}
	return true;
}

void memparcel_clear(const struct memparcel *p)
{
	struct memparcel_walk w = { p->first, 0 };
	const struct sg *sg;

	while ((sg = memparcel_walk(&w)))
		sanitise(sg);
}

bool memparcel_read(const struct memparcel *p, uint64_t offset, void *to, uint64_t size)
{
	return copy(p, offset, to, NULL, size);
}

bool memparcel_write(const struct memparcel *p, uint64_t offset, const void *from, uint64_t size)
{
	return copy(p, offset, NULL, from, size);
}

void memparcel_clean(const struct memparcel *p)
{
	struct memparcel_walk w = { p->first, 0 };
	const struct sg *sg;

	while ((sg = memparcel_walk(&w)))
		hyp_clean(hyp_ptr(sg->pa), sg->size);
}
