// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds the files behind lent memory as they are: where a file is cut or a hole is punched into it,
 * the kernel writes zeros to what stays of a page.
 *
 * Such a file is immutable, which forbids fallocate and MADV_REMOVE, and sealed against shrinking,
 * which forbids ftruncate. Mappings and reads of its other pages go on. It may be unmounted: its
 * file system stays until it is dropped.
 *
 * Locking: gh_hold_lock protects the list; it is taken inside vm->lock, and an inode's lock inside
 * it.
 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>

#include "compat.h"
#include "vm.h"

struct gh_hold {
	struct list_head node; /* gh_holds */
	struct inode *inode;
	unsigned int regions;
	bool immutable, shrink; /* set by us */
};

/* A file that a region has to do with. */
struct gh_region_file {
	struct list_head node; /* region->files */
	struct gh_hold *hold;
};

static DEFINE_MUTEX(gh_hold_lock);
static LIST_HEAD(gh_holds);

/* A file is held with its file system, which goes with the last of them. */
static void gh_inode_put(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	iput(inode);
	deactivate_super(sb);
}

/* Files of huge pages are cut at huge pages only, and have no such seal in this place. */
static void gh_hold_begin(struct gh_hold *hold, bool shmem)
{
	struct inode *inode = hold->inode;

	inode_lock(inode);
	hold->immutable = !IS_IMMUTABLE(inode);
	inode->i_flags |= S_IMMUTABLE;
	if (shmem) {
		hold->shrink = !(SHMEM_I(inode)->seals & F_SEAL_SHRINK);
		SHMEM_I(inode)->seals |= F_SEAL_SHRINK;
	}
	inode_unlock(inode);
}

static void gh_hold_end(struct gh_hold *hold)
{
	struct inode *inode = hold->inode;

	inode_lock(inode);
	if (hold->immutable)
		inode->i_flags &= ~S_IMMUTABLE;
	if (hold->shrink)
		SHMEM_I(inode)->seals &= ~F_SEAL_SHRINK;
	inode_unlock(inode);
	gh_inode_put(inode);
	list_del(&hold->node);
	kfree(hold);
}

/* Takes over the references of `inode`; NULL, and they are gone, without memory. */
static struct gh_hold *gh_hold_get(struct inode *inode, bool shmem)
{
	struct gh_hold *hold;

	lockdep_assert_held(&gh_hold_lock);
	list_for_each_entry(hold, &gh_holds, node) {
		if (hold->inode != inode)
			continue;
		gh_inode_put(inode);
		hold->regions++;
		return hold;
	}
	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold) {
		gh_inode_put(inode);
		return NULL;
	}
	hold->inode = inode;
	hold->regions = 1;
	list_add(&hold->node, &gh_holds);
	gh_hold_begin(hold, shmem);
	return hold;
}

static bool gh_region_has_file(const struct gh_region *region, const struct inode *inode)
{
	struct gh_region_file *file;

	list_for_each_entry(file, &region->files, node)
		if (file->hold->inode == inode)
			return true;
	return false;
}

int gh_region_hold_file(struct gh_region *region, struct folio *folio)
{
	struct gh_region_file *file;
	struct super_block *sb = NULL;
	struct inode *inode = NULL;

	/* With the folio locked, its file stays; it must not be the lock's holder who ends it. */
	folio_lock(folio);
	if (!folio_test_anon(folio) && folio->mapping &&
	    !gh_region_has_file(region, folio->mapping->host) &&
	    atomic_inc_not_zero(&folio->mapping->host->i_sb->s_active)) {
		sb = folio->mapping->host->i_sb;
		inode = igrab(folio->mapping->host);
	}
	folio_unlock(folio);
	if (!inode) {
		if (sb)
			deactivate_super(sb);
		return 0;
	}
	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file) {
		gh_inode_put(inode);
		return -ENOMEM;
	}
	guard(mutex)(&gh_hold_lock);
	/* What is lent is of no other kind of file. */
	file->hold = gh_hold_get(inode, !folio_test_hugetlb(folio));
	if (!file->hold) {
		kfree(file);
		return -ENOMEM;
	}
	/* The one found most often is looked at first. */
	list_add(&file->node, &region->files);
	return 0;
}

void gh_region_drop_files(struct gh_region *region)
{
	struct gh_region_file *file, *next;

	guard(mutex)(&gh_hold_lock);
	list_for_each_entry_safe(file, next, &region->files, node) {
		if (!--file->hold->regions)
			gh_hold_end(file->hold);
		list_del(&file->node);
		kfree(file);
	}
}
