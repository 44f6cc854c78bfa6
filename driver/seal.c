// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes lent memory out of the host's reach: the kernel must not be led into touching what is the
 * guest's now, because it would die of the hypervisor's abort.
 *
 * Each lent page is marked as one that must not be touched (the mark that broken memory has), and
 * is taken out of every page table. With the mark, no page table gets it again, and reads and
 * writes of the file behind it end in an error. So a process that touches it gets SIGBUS, and a
 * system call that is handed it as a buffer says EFAULT.
 *
 * The pages of a private mapping can only be in that mapping, and leave it empty.
 *
 * Somebody may have taken hold of a page before: a fixed buffer of io_uring, a pipe, a transfer
 * under way, another driver. It cannot be taken from him, so memory that is held is not lent. Who
 * holds a page has a reference to it, and those of the page cache, the swap cache, the page tables
 * and the driver's pins are known: any other is a stranger's.
 *
 * Locking: vm->lock is held by every caller; the process's mmap lock is taken inside it, and a
 * page's lock, with gh_claim_lock inside that.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hugetlb.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "vm.h"

/* --- Pages --- */

static void gh_folio_unmark(struct folio *folio, struct page *page, u64 count)
{
	u64 i;

	if (folio_test_hugetlb(folio)) {
		folio_clear_hugetlb_raw_hwp_unreliable(folio);
		ClearPageHWPoison(&folio->page);
		return;
	}
	for (i = 0; i < count; i++)
		ClearPageHWPoison(page + i);
	if (!folio_test_large(folio))
		return;
	for (i = 0; i < folio_nr_pages(folio); i++)
		if (PageHWPoison(folio_page(folio, i)))
			return;
	ClearPageHasHWPoisoned(&folio->page);
}

static int gh_folio_mark(struct folio *folio, struct page *page, u64 count)
{
	u64 i;

	if (folio_test_hugetlb(folio)) {
		if (TestSetPageHWPoison(&folio->page))
			return -EHWPOISON;
		/* In all of its pages: else those are read that are not on the kernel's list. */
		folio_set_hugetlb_raw_hwp_unreliable(folio);
		return 0;
	}
	for (i = 0; i < count; i++) {
		if (!TestSetPageHWPoison(page + i))
			continue;
		/* It is broken in truth. */
		gh_folio_unmark(folio, page, i);
		return -EHWPOISON;
	}
	if (folio_test_large(folio))
		SetPageHasHWPoisoned(&folio->page);
	return 0;
}

/* --- Who holds a page --- */

/* With the folio locked, and no mapping on its way in or out. */
static long gh_folio_known_refs(struct folio *folio)
{
	/* A page by itself has one pin, since what is lent is in one region. */
	long refs = folio_test_large(folio)
			    ? gh_claims_pins(folio_pfn(folio), folio_nr_pages(folio))
			    : GUP_PIN_COUNTING_BIAS;

	refs += gh_folio_mapcount(folio);
	if (folio_test_swapcache(folio))
		refs += folio_nr_pages(folio);
	else if (!folio_test_anon(folio) && folio->mapping)
		refs += gh_folio_cache_refs(folio) + folio_test_private(folio);
	return refs;
}

static bool gh_folio_is_held(struct folio *folio)
{
	bool held;

	folio_lock(folio);
	held = folio_ref_count(folio) != gh_folio_known_refs(folio);
	folio_unlock(folio);
	return held;
}

static long gh_batches_drain_here(void *data)
{
	struct folio *folio = data;
	struct folio_batch batch;

	/* To release pages drains this CPU's batches first. */
	folio_batch_init(&batch);
	folio_get(folio);
	folio_batch_add(&batch, folio);
	folio_batch_release(&batch);
	return 0;
}

/* Each CPU keeps pages on their way to the lists in batches, each with a reference, for long. */
static void gh_batches_drain(struct folio *folio)
{
	int cpu;

	cpus_read_lock();
	for (cpu = cpumask_first(cpu_online_mask); cpu < nr_cpu_ids;
	     cpu = cpumask_next(cpu, cpu_online_mask))
		work_on_cpu(cpu, gh_batches_drain_here, folio);
	cpus_read_unlock();
}

/* --- Each run of a region's pages that is inside a folio --- */

/* Other references come and go: in all it is waited for them for about half a second. */
#define GH_LOOKS 9

static int gh_pages_not_held(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	struct folio *folio = page_folio(page);
	unsigned int look;

	for (look = 0; gh_folio_is_held(folio); look++) {
		if (look == GH_LOOKS) {
			pr_debug("gunyah: region %u: held at %#llx: %d references\n",
				 region->parcel.label, region->gpa + (index << PAGE_SHIFT),
				 folio_ref_count(folio));
			return -EBUSY;
		}
		gh_batches_drain(folio);
		if (look)
			msleep(1 << look);
	}
	return 0;
}

static int gh_pages_hold(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	return gh_region_hold_file(region, page_folio(page));
}

/*
 * Marks the pages and, if they are a file's, takes them out of every page table. The folio's lock
 * keeps it in the file, and faults away until the mark is seen.
 */
static int gh_pages_hide(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping;
	int ret;

	if (folio_test_hugetlb(folio) && count != folio_nr_pages(folio))
		return -EINVAL;
	folio_lock(folio);
	mapping = folio_test_anon(folio) || folio_test_hugetlb(folio) ? NULL : folio->mapping;
	ret = gh_folio_mark(folio, page, count);
	if (!ret && mapping)
		unmap_mapping_pages(mapping, folio->index + folio_page_idx(folio, page), count,
				    false);
	folio_unlock(folio);
	region->hidden += ret ? 0 : count;
	return ret;
}

static int gh_pages_unmapped(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	struct folio *folio = page_folio(page);
	u64 i;

	if (folio_test_large(folio) && folio_entire_mapcount(folio))
		return -EBUSY;
	for (i = 0; i < count; i++)
		if (atomic_read(&page[i]._mapcount) >= 0)
			return -EBUSY;
	return 0;
}

static int gh_pages_show(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	struct folio *folio = page_folio(page);

	/* Another region may have its part of the folio marked meanwhile. */
	folio_lock(folio);
	gh_folio_unmark(folio, page, count);
	folio_unlock(folio);
	return 0;
}

/* `index` is the number of the first page in the region. */
typedef int (*gh_pages_fn)(struct gh_region *region, u64 index, struct page *page, u64 count);

/* Of the first `pages` pages; to the first error. */
static int gh_region_each(struct gh_region *region, u64 pages, gh_pages_fn call)
{
	const struct gh_mem_range *range = region->parcel.ranges;
	u64 done, run, offset = 0;
	int ret = 0;

	for (done = 0; done < pages && !ret; done += run) {
		struct page *page = phys_to_page(range->addr + offset);
		struct folio *folio = page_folio(page);

		run = min3(pages - done, (range->size - offset) >> PAGE_SHIFT,
			   (u64)(folio_nr_pages(folio) - folio_page_idx(folio, page)));
		ret = call(region, done, page, run);
		offset += run << PAGE_SHIFT;
		if (offset == range->size) {
			range++;
			offset = 0;
		}
		cond_resched();
	}
	return ret;
}

/* --- Mappings that know their pages by themselves: private ones, and those of huge pages --- */

static bool gh_page_is_at(struct mm_struct *mm, u64 addr, const struct page *page)
{
	struct page *found;

	if (gh_pin_remote(mm, addr, FOLL_NOFAULT, &found) != 1)
		return false;
	unpin_user_page(found);
	return found == page;
}

/* Takes pages out of the creator's page tables if they are where they were pinned. */
static int gh_pages_empty(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	u64 addr = region->uaddr + (index << PAGE_SHIFT), begin, i = 0;
	struct vm_area_struct *vma;

	if (!PageAnon(page) && !PageHuge(page))
		return 0;
	while (i < count) {
		vma = vma_lookup(region->mm, addr + (i << PAGE_SHIFT));
		begin = i;
		while (vma && i < count && addr + (i << PAGE_SHIFT) < vma->vm_end &&
		       gh_page_is_at(region->mm, addr + (i << PAGE_SHIFT), page + i))
			i++;
		if (i == begin) {
			i++;
			continue;
		}
		/* VM_PFNMAP is what the function asks for; the pages are what they are. */
		gh_vma_set_flags(vma, VM_PFNMAP);
		zap_vma_ptes(vma, addr + (begin << PAGE_SHIFT), (i - begin) << PAGE_SHIFT);
		gh_vma_clear_flags(vma, VM_PFNMAP);
	}
	return 0;
}

static int gh_region_empty(struct gh_region *region)
{
	int ret;

	/* When the process is gone, so are its page tables. */
	if (!mmget_not_zero(region->mm))
		return 0;
	mmap_write_lock(region->mm);
	ret = gh_region_each(region, region->pages, gh_pages_empty);
	mmap_write_unlock(region->mm);
	mmput(region->mm);
	return ret;
}

int gh_region_check_held(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	if (!region->parcel.lend)
		return 0;
	return gh_region_each(region, region->pages, gh_pages_not_held);
}

int gh_region_seal(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	if (!region->parcel.lend)
		return 0;
	/* Still mapped: moved since it was pinned, or huge pages of another process too. */
	return gh_region_each(region, region->pages, gh_pages_hold) ?:
		       gh_region_each(region, region->pages, gh_pages_hide) ?:
		       gh_region_empty(region) ?:
		       gh_region_each(region, region->pages, gh_pages_unmapped) ?:
		       /* Nobody comes to it from here on. */
		       gh_region_check_held(vm, region);
}

void gh_region_unseal(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	gh_region_each(region, region->hidden, gh_pages_show);
	region->hidden = 0;
	gh_region_drop_files(region);
}
