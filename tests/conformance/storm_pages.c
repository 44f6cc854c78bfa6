// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of the storm about memory. Only pages of our own are ever named with success, and from the answers alone it
 * follows which of them the primary may reach: that is compared with what it does reach.
 */
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/workqueue.h>

#include "parcel.h"
#include "probe.h"
#include "storm_host.h"

#define ORDER	5u
#define PAGES	(1u << ORDER)
#define PARCELS 24u
#define PAGE	4096ull
#define MINE	0xffu

enum sight { ALL, SEE, NOTHING };

struct own_parcel {
	bool used;
	u32 handle;
};

static struct page *block;
static u8 *memory;
static struct own_parcel parcels[PARCELS];
static u8 holder[PAGES];   /* number of the parcel, or MINE */
static u8 sight[PAGES];	   /* enum sight */
static unsigned int wrong; /* answers that cannot be */

bool storm_pages_open(void)
{
	unsigned int i;

	block = alloc_pages(GFP_KERNEL | __GFP_ZERO, ORDER);
	if (!block)
		return false;
	memory = page_address(block);
	for (i = 0; i < PAGES; i++) {
		holder[i] = MINE;
		*(u64 *)(memory + i * PAGE) = i;
	}
	return true;
}

u64 storm_page_address(u64 *random)
{
	return page_to_phys(block) + storm_below(random, PAGES) * PAGE;
}

void *storm_pages_at(u64 *random)
{
	return memory + storm_below(random, PAGES - 1) * PAGE;
}

/* --- Lists --- */

static u16 any_vmid(u64 *random)
{
	switch (storm_below(random, 8)) {
	case 0:
		return storm.victim.vmid;
	case 1:
		return GH_VMID_PRIMARY;
	case 2:
		return GH_VMID_RM;
	case 3:
		return storm_random(random);
	case 4:
		return storm_below(random, 33);
	default:
		return storm.hostile.vmid;
	}
}

static u8 any_rights(u64 *random)
{
	static const u8 good[] = { 4, 5, 6, 7 };

	return storm_rarely(random, 6) ? storm_random(random)
				       : good[storm_below(random, ARRAY_SIZE(good))];
}

/* Wrong in one way or another: never memory that is the kernel's. */
static struct gh_rm_sgl bad_range(u64 *random)
{
	u64 here = storm_page_address(random);

	switch (storm_below(random, 8)) {
	case 0: /* the hypervisor's */
		return (struct gh_rm_sgl){ 0x80000000 + storm_below(random, 0x3ffff) * PAGE, PAGE };
	case 1: /* a device */
		return (struct gh_rm_sgl){ 0x08000000 + storm_below(random, 0x2000) * PAGE, PAGE };
	case 2: /* nothing at all */
		return (struct gh_rm_sgl){ storm_value(random) | 1ull << 40, PAGE };
	case 3:
		return (struct gh_rm_sgl){ here, 0 };
	case 4:
		return (struct gh_rm_sgl){ here + 1 + storm_below(random, PAGE - 1), PAGE };
	case 5: /* its end is beyond everything */
		return (struct gh_rm_sgl){ here, -here };
	case 6: /* from its last page into the hypervisor's memory */
		return (struct gh_rm_sgl){ 0x80000000 - PAGE, 2 * PAGE };
	default: /* of the victim */
		return (struct gh_rm_sgl){ page_to_phys(storm.victim.page) +
						   storm_below(random, VM_SIZE / PAGE) * PAGE,
					   PAGE };
	}
}

struct pages {
	unsigned int first, count;
};

/* A range of our pages; half of the time one that is free. */
static struct pages own_range(u64 *random)
{
	struct pages r = { storm_below(random, PAGES), 1 };
	unsigned int most = 1 + storm_below(random, 4);

	while (r.count < most && r.first + r.count < PAGES)
		r.count++;
	return r;
}

/* --- Turns --- */

static bool free_range(struct pages r)
{
	unsigned int i;

	for (i = r.first; i < r.first + r.count; i++)
		if (holder[i] != MINE)
			return false;
	return true;
}

static void take(unsigned int number, struct pages r, enum sight now)
{
	unsigned int i;

	for (i = r.first; i < r.first + r.count; i++) {
		holder[i] = number;
		sight[i] = now;
	}
}

/* What the owner may still do; the message names it among the others, or not at all. */
static enum sight left_to_owner(u32 id, const struct parcel *p)
{
	unsigned int i;

	for (i = 0; id == GH_RM_MEM_SHARE && i < p->acls; i++)
		if (p->acl[i].vmid == GH_VMID_PRIMARY)
			return p->acl[i].rights & GH_RM_ACL_W ? ALL : SEE;
	return NOTHING;
}

/* On the CPU that calls: whether the page can be read. Its translation is known there from then on. */
static long can_see(void *page)
{
	u64 esr;

	return probe(PROBE_LOAD, page, &esr);
}

/* On another CPU, or on this one: both must forget what a page was. */
static bool seen_from(unsigned int cpu, unsigned int page)
{
	u8 *at = memory + page * PAGE;

	return cpu == smp_processor_id() ? can_see(at) : work_on_cpu(cpu, can_see, at);
}

static void give(u64 *random)
{
	static const u32 ids[] = { GH_RM_MEM_LEND, GH_RM_MEM_SHARE, GH_RM_MEM_SHARE,
				   GH_RM_MEM_DONATE, GH_RM_MEM_QCOM_LOOKUP_SGL };
	u32 id = ids[storm_below(random, ARRAY_SIZE(ids))], handle = 0;
	bool bad = storm_rarely(random, 3), lookup = id == GH_RM_MEM_QCOM_LOOKUP_SGL;
	struct pages range = own_range(random);
	unsigned int number = 0, cpu;
	struct parcel p = {
		.label = storm_below(random, 4),
		.flags = storm_rarely(random, 4),
		.acl = { { any_vmid(random), any_rights(random) },
			 { GH_VMID_PRIMARY, any_rights(random) } },
		.acls = 1 + (id == GH_RM_MEM_SHARE || storm_rarely(random, 8)),
		.sgl = { { page_to_phys(block) + range.first * PAGE, range.count * PAGE } },
		.sgls = 1,
	};
	u32 error;

	while (number < PARCELS && parcels[number].used)
		number++;
	if (number == PARCELS)
		return;
	if (storm_rarely(random, 16))
		p.mem_type = storm_random(random);
	if (storm_rarely(random, 16)) {
		p.attr[p.attrs++] =
			(struct gh_rm_mem_attr){ storm_below(random, 5), any_vmid(random) };
	}
	if (bad)
		p.sgl[p.sgls++] = bad_range(random);
	else if (storm_rarely(random, 8)) /* the same once more */
		p.sgl[p.sgls++] = p.sgl[0];
	/* Waiting for another CPU is slow. */
	cpu = storm_rarely(random, 64) ? cpumask_any_but(cpu_online_mask, smp_processor_id())
				       : smp_processor_id();
	if (cpu >= nr_cpu_ids)
		cpu = smp_processor_id();
	if (holder[range.first] == MINE)
		seen_from(cpu, range.first);
	error = parcel_send(id, &p, &handle);
	if (error || lookup)
		return;
	/* More than one range is always one too many here. */
	if (p.sgls > 1 || !free_range(range)) {
		wrong++;
		return;
	}
	parcels[number] = (struct own_parcel){ true, handle };
	take(number, range, left_to_owner(id, &p));
	wrong += seen_from(cpu, range.first) != (sight[range.first] != NOTHING);
}

static void give_back(u64 *random)
{
	unsigned int number = storm_below(random, PARCELS), i;

	if (!parcels[number].used || parcel_reclaim(parcels[number].handle, 0))
		return;
	parcels[number].used = false;
	for (i = 0; i < PAGES; i++)
		if (holder[i] == number) {
			holder[i] = MINE;
			sight[i] = ALL;
		}
}

static u32 any_handle(u64 *random)
{
	switch (storm_below(random, 4)) {
	case 0:
		return storm.victim.handle;
	case 1:
		return storm.hostile.handle;
	case 2:
		return storm_value(random);
	default:
		return parcels[storm_below(random, PARCELS)].handle;
	}
}

/* Reclaims what is in use, accepts and releases what is its own, notifies who must not hear it. */
static void misuse(u64 *random)
{
	struct {
		u32 handle;
		u8 bytes[60];
	} __packed m = { .handle = cpu_to_le32(any_handle(random)) };
	static const struct {
		u32 id;
		u8 size;
	} kinds[] = {
		{ GH_RM_MEM_RELEASE, 8 }, { GH_RM_MEM_NOTIFY, 20 }, { GH_RM_MEM_ACCEPT, 28 },
		{ GH_RM_MEM_APPEND, 12 }, { GH_RM_MEM_NOTIFY, 16 },
	};
	unsigned int kind = storm_below(random, ARRAY_SIZE(kinds)), i;

	if (storm_rarely(random, 4)) {
		for (i = 0; i < PARCELS; i++)
			if (parcels[i].used && parcels[i].handle == le32_to_cpu(m.handle))
				return;
		wrong += !parcel_reclaim(le32_to_cpu(m.handle), 0);
		return;
	}
	m.bytes[0] = 1u << storm_below(random, 5);
	for (i = 8; i < sizeof(m.bytes); i++)
		m.bytes[i] = storm_rarely(random, 2) ? 0 : storm_below(random, 256);
	rm_call(kinds[kind].id, &m,
		storm_rarely(random, 4) ? storm_below(random, sizeof(m)) : kinds[kind].size, NULL);
}

void storm_pages_turn(u64 *random)
{
	switch (storm_below(random, 8)) {
	case 0:
	case 1:
	case 2:
		give(random);
		break;
	case 3:
		misuse(random);
		break;
	default:
		give_back(random);
	}
	atomic64_inc(&storm.messages);
}

unsigned int storm_pages_wrong(u64 *random)
{
	unsigned int count = wrong, n;
	u64 esr;

	wrong = 0;
	for (n = 0; n < 4; n++) {
		unsigned int i = storm_below(random, PAGES);
		u8 *at = memory + i * PAGE;

		count += probe(PROBE_LOAD, at, &esr) != (sight[i] != NOTHING);
		count += probe(PROBE_STORE, at + 8, &esr) != (sight[i] == ALL);
	}
	return count;
}

/* When the hostile guest is gone all must come back. */
void storm_pages_close(void)
{
	unsigned int i;
	bool all = true;

	for (i = 0; i < PARCELS; i++)
		if (parcels[i].used)
			all &= need("RECLAIM after the storm",
				    !parcel_reclaim(parcels[i].handle, 0));
	if (all)
		__free_pages(block, ORDER);
}
