// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has which physical memory: all regions of all VMs, so that what one of them lends is in no
 * other, whichever mappings they come from.
 *
 * Locking: gh_claim_lock protects the tree and is taken inside vm->lock; nothing is taken inside
 * it.
 */
#include <linux/interval_tree.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/pfn.h>

#include "compat.h"
#include "vm.h"

/* One range of a region; shared ranges may overlap each other. */
struct gh_claim {
	struct interval_tree_node node; /* of bytes */
	bool lend;
};

static DEFINE_MUTEX(gh_claim_lock);
static struct rb_root_cached gh_claims = RB_ROOT_CACHED;

static bool gh_claim_collides(const struct gh_claim *claim)
{
	struct interval_tree_node *node;

	node = interval_tree_iter_first(&gh_claims, claim->node.start, claim->node.last);
	for (; node; node = interval_tree_iter_next(node, claim->node.start, claim->node.last))
		if (claim->lend || container_of(node, struct gh_claim, node)->lend)
			return true;
	return false;
}

static void gh_claims_remove(struct gh_region *region, size_t count)
{
	size_t i;

	lockdep_assert_held(&gh_claim_lock);
	for (i = 0; i < count; i++)
		interval_tree_remove(&region->claims[i].node, &gh_claims);
	kvfree(region->claims);
	region->claims = NULL;
}

int gh_region_claim(struct gh_region *region)
{
	const struct gh_parcel *parcel = &region->parcel;
	size_t i;

	region->claims = kvcalloc(parcel->range_count, sizeof(*region->claims), GFP_KERNEL_ACCOUNT);
	if (!region->claims)
		return -ENOMEM;
	guard(mutex)(&gh_claim_lock);
	for (i = 0; i < parcel->range_count; i++) {
		struct gh_claim *claim = &region->claims[i];

		claim->node.start = parcel->ranges[i].addr;
		claim->node.last = parcel->ranges[i].addr + parcel->ranges[i].size - 1;
		claim->lend = parcel->lend;
		if (gh_claim_collides(claim)) {
			gh_claims_remove(region, i);
			return -EADDRINUSE;
		}
		interval_tree_insert(&claim->node, &gh_claims);
	}
	return 0;
}

void gh_region_unclaim(struct gh_region *region)
{
	if (!region->claims)
		return;
	guard(mutex)(&gh_claim_lock);
	gh_claims_remove(region, region->parcel.range_count);
}

u64 gh_claims_pins(u64 pfn, u64 pages)
{
	u64 begin = PFN_PHYS(pfn), last = begin + PFN_PHYS(pages) - 1, bytes = 0;
	struct interval_tree_node *node;

	guard(mutex)(&gh_claim_lock);
	node = interval_tree_iter_first(&gh_claims, begin, last);
	for (; node; node = interval_tree_iter_next(node, begin, last))
		bytes += min_t(u64, last, node->last) - max_t(u64, begin, node->start) + 1;
	return PHYS_PFN(bytes);
}

/* Memory that is to be unplugged: what is lent looks broken to the kernel, and so as if unused. */
static int gh_claim_offline(struct notifier_block *block, unsigned long action, void *data)
{
	const struct memory_notify *memory = data;
	u64 begin = PFN_PHYS(memory->start_pfn);

	if (action != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	guard(mutex)(&gh_claim_lock);
	return interval_tree_iter_first(&gh_claims, begin, begin + PFN_PHYS(memory->nr_pages) - 1)
		       ? notifier_from_errno(-EBUSY)
		       : NOTIFY_OK;
}

static struct notifier_block gh_claim_notifier = { .notifier_call = gh_claim_offline };

int gh_claims_init(void)
{
	return register_memory_notifier(&gh_claim_notifier);
}

void gh_claims_exit(void)
{
	unregister_memory_notifier(&gh_claim_notifier);
}
