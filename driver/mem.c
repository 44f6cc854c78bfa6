// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions: checks, pinning of the user's pages, and their description as physically
 * contiguous ranges.
 *
 * What is kept is proportional to the ranges and not to the pages: pages are pinned a batch at a
 * time, each batch joined to the ranges before it, and unpinned by range.
 *
 * Locking: vm->lock is held by every caller.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "trace.h"
#include "vm.h"

#define GH_PIN_BATCH (PAGE_SIZE / sizeof(struct page *))

#define GH_MEM_RIGHTS (GH_MEM_ALLOW_READ | GH_MEM_ALLOW_WRITE | GH_MEM_ALLOW_EXEC)

static int gh_region_check(const struct gh_userspace_memory_region *arg)
{
	u64 end;

	if (arg->flags & ~(GH_MEM_RIGHTS | GH_MEM_LENT))
		return -EINVAL;
	/* RM knows R, RX, RW and RWX. */
	if (!(arg->flags & GH_MEM_ALLOW_READ))
		return -EINVAL;
	if (!PAGE_ALIGNED(arg->memory_size) || !PAGE_ALIGNED(arg->userspace_addr) ||
	    !PAGE_ALIGNED(arg->guest_phys_addr))
		return -EINVAL;
	if (check_add_overflow(arg->guest_phys_addr, arg->memory_size, &end) ||
	    check_add_overflow(arg->userspace_addr, arg->memory_size, &end))
		return -EOVERFLOW;
	if (!access_ok((void __user *)(uintptr_t)arg->userspace_addr, arg->memory_size))
		return -EFAULT;
	return 0;
}

static bool gh_region_overlaps(const struct gh_region *region, u64 gpa, u64 size)
{
	return gpa < region->gpa + (region->pages << PAGE_SHIFT) && region->gpa < gpa + size;
}

struct gh_region *gh_region_find(struct gh_vm *vm, const struct gh_guest_range *range)
{
	struct gh_region *region;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry(region, &vm->regions, node) {
		u64 bytes = region->pages << PAGE_SHIFT;

		if (range->size && range->gpa >= region->gpa && range->size <= bytes &&
		    range->gpa - region->gpa <= bytes - range->size)
			return region;
	}
	return NULL;
}

/*
 * Joins a batch of pinned pages to the ranges; the array grows by doubling. On an error the batch
 * is not in it.
 */
static int gh_ranges_add(struct gh_parcel *parcel, size_t *capacity, struct page **pages,
			 long count)
{
	size_t needed = parcel->range_count + count;
	struct gh_mem_range *last;
	long i;

	if (needed > *capacity) {
		size_t larger = max_t(size_t, needed, 2 * *capacity);
		struct gh_mem_range *ranges =
			kvmalloc_array(larger, sizeof(*ranges), GFP_KERNEL_ACCOUNT);

		if (!ranges)
			return -ENOMEM;
		if (parcel->range_count)
			memcpy(ranges, parcel->ranges, parcel->range_count * sizeof(*ranges));
		kvfree(parcel->ranges);
		parcel->ranges = ranges;
		*capacity = larger;
	}
	for (i = 0; i < count; i++) {
		u64 addr = page_to_phys(pages[i]);

		last = parcel->ranges + parcel->range_count - 1;
		if (parcel->range_count && last->addr + last->size == addr)
			last->size += PAGE_SIZE;
		else
			parcel->ranges[parcel->range_count++] =
				(struct gh_mem_range){ .addr = addr, .size = PAGE_SIZE };
	}
	return 0;
}

/*
 * The kernel's page of zeros is everybody's: it cannot be given to a guest. Nor can a page be lent
 * whose file is on a disk: the kernel writes it there when it likes.
 */
static bool gh_pages_ours(const struct gh_region *region, struct page **pages, long count)
{
	long i;

	for (i = 0; i < count; i++) {
		struct folio *folio = page_folio(pages[i]);

		if (is_zero_pfn(page_to_pfn(pages[i])))
			return false;
		if (region->parcel.lend && !folio_test_swapbacked(folio) &&
		    !folio_test_hugetlb(folio))
			return false;
	}
	return true;
}

/* A page that cannot be had because it is lent, or broken, which looks the same, is told apart. */
static int gh_pin_error(u64 addr, long error)
{
	struct page *page;
	long ret;

	if (error == -ENOMEM || error == -EINTR)
		return error;
	mmap_read_lock(current->mm);
	ret = gh_pin_remote(current->mm, addr, FOLL_HWPOISON, &page);
	mmap_read_unlock(current->mm);
	if (ret == 1)
		unpin_user_page(page);
	return ret == -EHWPOISON ? -EADDRINUSE : -EFAULT;
}

static int gh_region_pin(struct gh_region *region, u64 addr)
{
	unsigned int flags = FOLL_LONGTERM | (region->writable ? FOLL_WRITE : 0);
	struct page **pages __free(kfree) = kmalloc(PAGE_SIZE, GFP_KERNEL);
	u64 left = region->pages;
	size_t capacity = 0;
	long count;
	int ret;

	if (!pages)
		return -ENOMEM;
	while (left) {
		if (fatal_signal_pending(current))
			return -EINTR;
		count = pin_user_pages_fast(addr, min_t(u64, left, GH_PIN_BATCH), flags, pages);
		if (count <= 0)
			return gh_pin_error(addr, count);
		ret = gh_pages_ours(region, pages, count)
			      ? gh_ranges_add(&region->parcel, &capacity, pages, count)
			      : -EFAULT;
		if (ret) {
			unpin_user_pages(pages, count);
			return ret;
		}
		addr += (u64)count << PAGE_SHIFT;
		left -= count;
		cond_resched();
	}
	return 0;
}

static void gh_region_unpin(struct gh_region *region)
{
	const struct gh_parcel *parcel = &region->parcel;
	u64 offset, count;
	size_t i;

	for (i = 0; i < parcel->range_count; i++) {
		const struct gh_mem_range *range = &parcel->ranges[i];

		for (offset = 0; offset < range->size; offset += count << PAGE_SHIFT) {
			count = min_t(u64, GH_PIN_BATCH, (range->size - offset) >> PAGE_SHIFT);
			unpin_user_page_range_dirty_lock(phys_to_page(range->addr + offset), count,
							 region->writable);
			cond_resched();
		}
	}
}

void gh_region_free(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	gh_region_unseal(vm, region);
	gh_region_unclaim(region);
	gh_region_unpin(region);
	trace_gunyah_mem(vm->vmid, &region->parcel, "unpin", 0);
	account_locked_vm(vm->mm, region->pages, false);
	if (!list_empty(&region->node)) {
		list_del(&region->node);
		vm->region_count--;
	}
	kvfree(region->parcel.ranges);
	kfree(region);
}

static int gh_region_check_place(struct gh_vm *vm, const struct gh_userspace_memory_region *arg)
{
	struct gh_region *region;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry(region, &vm->regions, node)
		if (region->parcel.label == arg->label ||
		    gh_region_overlaps(region, arg->guest_phys_addr, arg->memory_size))
			return -EEXIST;
	return vm->region_count < GH_VM_REGIONS_MAX ? 0 : -ENOSPC;
}

int gh_region_add(struct gh_vm *vm, const struct gh_userspace_memory_region *arg, bool lend)
{
	struct gh_region *region;
	int ret;

	lockdep_assert_held(&vm->lock);
	ret = gh_region_check(arg);
	if (ret)
		return ret;
	ret = gh_region_check_place(vm, arg);
	if (ret)
		return ret;
	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return -ENOMEM;
	INIT_LIST_HEAD(&region->node);
	INIT_LIST_HEAD(&region->files);
	region->gpa = arg->guest_phys_addr;
	region->mm = vm->mm;
	region->uaddr = arg->userspace_addr;
	region->pages = arg->memory_size >> PAGE_SHIFT;
	region->parcel.label = arg->label;
	region->parcel.handle = GH_PARCEL_NONE;
	region->parcel.lend = lend || (arg->flags & GH_MEM_LENT);
	region->parcel.guest_rights = (arg->flags & GH_MEM_ALLOW_READ ? GH_RM_ACL_R : 0) |
				      (arg->flags & GH_MEM_ALLOW_WRITE ? GH_RM_ACL_W : 0) |
				      (arg->flags & GH_MEM_ALLOW_EXEC ? GH_RM_ACL_X : 0);
	/*
	 * Lent pages must be the process's own and nobody else's, so a private mapping is copied
	 * first.
	 */
	region->writable = region->parcel.lend || (arg->flags & GH_MEM_ALLOW_WRITE);

	ret = account_locked_vm(vm->mm, region->pages, true);
	if (ret) {
		kfree(region);
		return ret;
	}
	ret = gh_region_pin(region, arg->userspace_addr) ?: gh_region_claim(region);
	trace_gunyah_mem(0, &region->parcel, "pin", ret);
	if (ret) {
		gh_region_free(vm, region);
		return ret;
	}
	list_add_tail(&region->node, &vm->regions);
	vm->region_count++;
	return 0;
}

int gh_region_remove(struct gh_vm *vm, u32 label)
{
	struct gh_region *region;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry(region, &vm->regions, node) {
		if (region->parcel.label != label)
			continue;
		gh_region_free(vm, region);
		break;
	}
	return 0;
}
