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
 * The pages of a private mapping can only be in that mapping, and leave it empty. When they are
 * given back, what they hold is copied to where they were. VM_DONTEXPAND tells the mapping from one
 * that was put there since.
 *
 * Locking: vm->lock is held by every caller; the process's mmap lock is taken inside it, a page's
 * lock by itself.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "vm.h"

/* --- Pages --- */

static void gh_folio_unmark(struct folio *folio, struct page *page, u64 count)
{
	u64 i;

	if (folio_test_hugetlb(folio)) {
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

	if (folio_test_hugetlb(folio))
		return TestSetPageHWPoison(&folio->page) ? -EHWPOISON : 0;
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

/* --- Each run of a region's pages that is inside a folio --- */

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

static u64 gh_region_end(const struct gh_region *region)
{
	return region->uaddr + (region->pages << PAGE_SHIFT);
}

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
	if (!region->emptied)
		region->emptied = kvcalloc(BITS_TO_LONGS(region->pages), sizeof(*region->emptied),
					   GFP_KERNEL_ACCOUNT);
	if (!region->emptied)
		return -ENOMEM;
	while (i < count) {
		vma = vma_lookup(region->mm, addr + (i << PAGE_SHIFT));
		begin = i;
		while (vma && i < count && addr + (i << PAGE_SHIFT) < vma->vm_end &&
		       gh_page_is_at(region->mm, addr + (i << PAGE_SHIFT), page + i))
			set_bit(index + i++, region->emptied);
		if (i == begin) {
			i++;
			continue;
		}
		/* VM_PFNMAP is what the function asks for; the pages are what they are. */
		gh_vma_set_flags(vma, VM_PFNMAP | VM_DONTEXPAND);
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

/* What was in it comes back. Mappings of huge pages cannot be told from others there. */
static bool gh_vma_emptied(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_DONTEXPAND) &&
	       !(vma->vm_flags & (VM_SHARED | VM_HUGETLB | VM_IO | VM_PFNMAP | VM_MIXEDMAP));
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
		       gh_region_each(region, region->pages, gh_pages_unmapped);
}

/* --- And back --- */

void gh_region_unseal(struct gh_region *region)
{
	gh_region_each(region, region->hidden, gh_pages_show);
	gh_region_drop_files(region);
}

/* Copies one page to where it was in a private mapping, if that is still there. */
static void gh_page_fill(struct mm_struct *mm, u64 addr, struct page *page)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	struct page *to;

	if (!vma || !gh_vma_emptied(vma) ||
	    gh_pin_remote(mm, addr, FOLL_WRITE | FOLL_FORCE, &to) != 1)
		return;
	copy_highpage(to, page);
	flush_dcache_page(to);
	unpin_user_pages_dirty_lock(&to, 1, true);
}

void gh_region_fill(struct gh_region *region, u64 index, struct page *page, u64 count)
{
	u64 i;

	if (!region->emptied || !PageAnon(page) || !mmget_not_zero(region->mm))
		return;
	mmap_read_lock(region->mm);
	for (i = 0; i < count; i++)
		if (test_bit(index + i, region->emptied))
			gh_page_fill(region->mm, region->uaddr + ((index + i) << PAGE_SHIFT),
				     page + i);
	mmap_read_unlock(region->mm);
	mmput(region->mm);
}

/* The last region of a mapping releases it. */
static bool gh_vma_in_use(struct gh_vm *vm, const struct gh_region *region,
			  const struct vm_area_struct *vma)
{
	struct gh_region *other;

	list_for_each_entry(other, &vm->regions, node)
		if (other != region && other->emptied && other->uaddr < vma->vm_end &&
		    vma->vm_start < gh_region_end(other))
			return true;
	return false;
}

void gh_region_release(struct gh_vm *vm, struct gh_region *region)
{
	struct vm_area_struct *vma;

	lockdep_assert_held(&vm->lock);
	if (!region->emptied)
		return;
	kvfree(region->emptied);
	region->emptied = NULL;
	if (!mmget_not_zero(region->mm))
		return;
	mmap_write_lock(region->mm);
	for (vma = find_vma(region->mm, region->uaddr);
	     vma && vma->vm_start < gh_region_end(region); vma = find_vma(region->mm, vma->vm_end))
		if (gh_vma_emptied(vma) && !gh_vma_in_use(vm, region, vma))
			gh_vma_clear_flags(vma, VM_DONTEXPAND);
	mmap_write_unlock(region->mm);
	mmput(region->mm);
}
