// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seals the mappings of memory that is lent: the host's kernel must not be led into reading what is
 * the guest's now.
 *
 * A process that touches lent memory gets a fatal signal out of the hypervisor's abort; the kernel
 * would die of it. As I/O memory (VM_IO) a mapping is out of reach of whatever reaches for the
 * pages of a process by itself: core dumps, ptrace and /proc/PID/mem, process_vm_readv, page
 * merging. What is private is not copied at a fork either (VM_DONTCOPY).
 *
 * Locking: vm->lock is held by every caller; the process's mmap lock is taken inside it.
 */
#include <linux/sched/mm.h>

#include "compat.h"
#include "vm.h"

static u64 gh_region_end(const struct gh_region *region)
{
	return region->uaddr + (region->pages << PAGE_SHIFT);
}

/* Sealed, and no device's memory that somebody has mapped there since. */
static bool gh_vma_sealed(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_IO) && !(vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP));
}

static void gh_vma_seal(struct gh_region *region, struct vm_area_struct *vma)
{
	unsigned long flags = VM_IO;

	if (vma->vm_flags & VM_SPECIAL)
		return;
	if (!(vma->vm_flags & VM_SHARED)) {
		region->keep_dontcopy |= (vma->vm_flags & VM_DONTCOPY) != 0;
		flags |= VM_DONTCOPY;
	}
	gh_vma_clear_flags(vma, VM_MERGEABLE);
	gh_vma_set_flags(vma, flags);
}

static void gh_vma_unseal(struct gh_vm *vm, struct gh_region *region, struct vm_area_struct *vma)
{
	struct gh_region *other;

	if (!gh_vma_sealed(vma))
		return;
	/* The last region of a mapping opens it. */
	list_for_each_entry(other, &vm->regions, node)
		if (other != region && other->sealed && other->uaddr < vma->vm_end &&
		    vma->vm_start < gh_region_end(other))
			return;
	gh_vma_clear_flags(vma, VM_IO);
	if (!(vma->vm_flags & VM_SHARED) && !region->keep_dontcopy)
		gh_vma_clear_flags(vma, VM_DONTCOPY);
}

/* Every mapping that has a part of the region; none when the process is gone. */
static void gh_region_walk(struct gh_vm *vm, struct gh_region *region, bool seal)
{
	struct vm_area_struct *vma;

	if (!mmget_not_zero(vm->mm))
		return;
	mmap_write_lock(vm->mm);
	for (vma = find_vma(vm->mm, region->uaddr); vma && vma->vm_start < gh_region_end(region);
	     vma = find_vma(vm->mm, vma->vm_end)) {
		if (seal)
			gh_vma_seal(region, vma);
		else
			gh_vma_unseal(vm, region, vma);
	}
	mmap_write_unlock(vm->mm);
	mmput(vm->mm);
}

void gh_region_seal(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	if (!region->parcel.lend)
		return;
	gh_region_walk(vm, region, true);
	region->sealed = true;
}

void gh_region_unseal(struct gh_vm *vm, struct gh_region *region)
{
	lockdep_assert_held(&vm->lock);
	if (!region->sealed)
		return;
	gh_region_walk(vm, region, false);
	region->sealed = false;
}
