/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memparcels: sets of the primary's pages that are donated, lent or shared to VMs. No message is
 * known here.
 */
#ifndef REFHYP_CORE_MEMPARCEL_H
#define REFHYP_CORE_MEMPARCEL_H

#include "core/hyp.h"

#define MEMPARCELS_MAX	     64u /* of one owner */
#define MEMPARCEL_ACCESS_MAX 48u /* more different VMIDs do not exist */
#define MEMPARCEL_RWX	     (GH_RM_ACL_R | GH_RM_ACL_W | GH_RM_ACL_X)
#define MEMPARCEL_PLACES_MAX 64u /* ranges over which a VM may spread one parcel */

struct sg {
	pa_t pa;
	uint64_t size;
};

/* What a VM uses an accepted parcel for. */
enum mem_role {
	MEM_NOT_ACCEPTED,
	MEM_PRIVATE, /* part of the VM's own contiguous memory */
	MEM_BUFFER,  /* apart from it, fenced by a reserved-memory node */
};

struct mem_access {
	uint16_t vmid;	 /* 0: that VM is gone, nobody can use this entry */
	uint8_t rights;	 /* GH_RM_ACL_* */
	uint8_t role;	 /* enum mem_role */
	ipa_t ipa;	 /* where, when accepted: its first range */
	uint64_t placed; /* bytes for which it is known where they shall be */
	/* The ranges in the parcel's order, when there are several; NULL: all is at ipa. */
	unsigned int place_count;
	struct sg *places; /* pa is the VM's address here */
};

enum memparcel_state {
	MEMPARCEL_NONE,
	MEMPARCEL_INIT, /* the owner will append more */
	MEMPARCEL_COMPLETE,
};

struct sg_page;

struct memparcel {
	uint8_t state; /* enum memparcel_state */
	uint8_t trans; /* GH_RM_MEM_TRANS_* */
	uint16_t owner;
	uint32_t handle;
	uint32_t label;
	bool sanitise; /* clear pages when they are given away */
	bool tagged;
	uint32_t tag;  /* of MEM_NOTIFY, when tagged */
	uint64_t size; /* bytes */
	unsigned int access_count;
	struct mem_access access[MEMPARCEL_ACCESS_MAX];
	struct sg_page *first, *last;
};

/* A walk over the ranges of a parcel, in order: { p->first, 0 } starts it, NULL ends it. */
struct memparcel_walk {
	const struct sg_page *page;
	uint64_t index;
};
const struct sg *memparcel_walk(struct memparcel_walk *w);

/* Forgets every parcel, without giving anything back: for the start only. */
void memparcel_reset(void);

/* How many parcels the owner has. */
unsigned int memparcel_count(uint16_t owner);

/*
 * A copy of *model without pages and with a handle of its own, never used before; NULL when the
 * table is full.
 */
struct memparcel *memparcel_new(const struct memparcel *model);

struct memparcel *memparcel_find(uint32_t handle);	     /* NULL: none */
struct memparcel *memparcel_next(const struct memparcel *p); /* walks all; NULL starts and ends */
struct mem_access *memparcel_access(struct memparcel *p, uint16_t vmid); /* NULL: not a target */
bool memparcel_accepted(const struct memparcel *p);			 /* by anyone */

/*
 * Adds ranges: the owner loses the pages (DONATE, LEND) or keeps them with its rights (SHARE). All
 * or none. The ranges are page aligned, not empty and RAM of the primary.
 */
enum gh_rm_error memparcel_add(struct memparcel *p, const struct sg *runs, unsigned int count);

/*
 * Gives all pages back to the owner and drops the parcel, which nobody may have accepted.
 * On GH_RM_ERROR_NOMEM the parcel stays with the pages that are not given back yet.
 */
enum gh_rm_error memparcel_reclaim(struct memparcel *p, bool sanitise);

/*
 * Where the VM wants what follows of the parcel; the entry must not be accepted yet. False: too many
 * ranges. memparcel_unplace() forgets all of them.
 */
bool memparcel_place(struct mem_access *a, ipa_t ipa, uint64_t size);
void memparcel_unplace(struct mem_access *a);

/* The n-th range where the parcel is, or shall be, in the VM; false: there is none. */
bool memparcel_range(const struct mem_access *a, unsigned int n, struct sg *range);

/* Maps the whole parcel where it was placed, each byte of it; all or nothing. */
enum gh_error memparcel_map(struct memparcel *p, struct mem_access *a, struct vm *vm);

/* The opposite, and forgets the place; only that when not accepted. */
void memparcel_unmap(struct memparcel *p, struct mem_access *a, struct vm *vm);

/* Zeroes its whole content. */
void memparcel_clear(const struct memparcel *p);

/* Copies out of or into the parcel; false when the range is not inside it. */
bool memparcel_read(const struct memparcel *p, uint64_t offset, void *to, uint64_t size);
bool memparcel_write(const struct memparcel *p, uint64_t offset, const void *from, uint64_t size);

/* Makes the whole content visible to a VM that starts with its caches off. */
void memparcel_clean(const struct memparcel *p);

/* True when the parcel consists of exactly these ranges. */
bool memparcel_same(const struct memparcel *p, const struct sg *runs, unsigned int count);

/*
 * The VMID is no longer used: a later VM with the same number gets nothing of what was meant for
 * this one.
 */
void memparcel_forget(uint16_t vmid);

#endif
