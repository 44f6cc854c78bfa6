/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between the kernel versions that the driver builds for; no other file looks at
 * the version.
 */
#ifndef GH_COMPAT_H
#define GH_COMPAT_H

#include <linux/version.h>
#include <linux/cleanup.h>
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#include <linux/qcom_scm.h>
#else
#include <linux/firmware/qcom/qcom_scm.h>
#endif

/* Since 6.8 an eventfd is signalled by one and no more. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define gh_eventfd_signal(ctx) eventfd_signal(ctx, 1)
#else
#define gh_eventfd_signal(ctx) eventfd_signal(ctx)
#endif

/* Since 6.3 a VMA's flags are changed by functions, which lock it. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define gh_vma_set_flags(vma, flags)   ((vma)->vm_flags |= (flags))
#define gh_vma_clear_flags(vma, flags) ((vma)->vm_flags &= ~(flags))
#else
#define gh_vma_set_flags(vma, flags)   vm_flags_set(vma, flags)
#define gh_vma_clear_flags(vma, flags) vm_flags_clear(vma, flags)
#endif

/* Since 6.5 a pin does not tell the VMA. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define gh_pin_remote(mm, addr, flags, page) \
	pin_user_pages_remote(mm, addr, 1, flags, page, NULL, NULL)
#else
#define gh_pin_remote(mm, addr, flags, page) pin_user_pages_remote(mm, addr, 1, flags, page, NULL)
#endif

/*
 * How many page tables a folio is in. Before 6.2 that is a sum over its pages, for which modules
 * have no function: each page of a file counts the mappings of the whole with its own, and each of
 * anonymous memory counts them once if there are both kinds.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
static inline long gh_folio_mapcount(struct folio *folio)
{
	long i, pages = folio_nr_pages(folio), whole, sum = 0;

	if (!folio_test_large(folio))
		return atomic_read(&folio->_mapcount) + 1;
	whole = folio_entire_mapcount(folio);
	if (folio_test_hugetlb(folio))
		return whole;
	for (i = 0; i < pages; i++)
		sum += atomic_read(&folio_page(folio, i)->_mapcount) + 1;
	if (!folio_test_anon(folio))
		sum -= whole * pages;
	else if (PageDoubleMap(&folio->page))
		sum -= pages;
	return sum + whole;
}
#else
#define gh_folio_mapcount(folio) folio_mapcount(folio)
#endif

/* The page cache's references; since 6.7 huge pages of hugetlbfs are counted as others are. */
static inline long gh_folio_cache_refs(struct folio *folio)
{
	if (LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0) && folio_test_hugetlb(folio))
		return 1;
	return folio_nr_pages(folio);
}

/* Since 6.10 the string of a tracepoint is named once. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define gh_assign_str(field, string) __assign_str(field, string)
#else
#define gh_assign_str(field, string) __assign_str(field)
#endif

/* Since 6.4 the owners that memory is taken from may be numbered above 31. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define GH_SCM_SOURCE_BITS 32
#define gh_scm_source_t	   unsigned int
#else
#define GH_SCM_SOURCE_BITS 64
#define gh_scm_source_t	   u64
#endif

static inline int gh_scm_assign(u64 addr, u64 size, u64 sources,
				const struct qcom_scm_vmperm *owners, unsigned int count)
{
	gh_scm_source_t bits = (gh_scm_source_t)sources;

	return bits == sources ? qcom_scm_assign_mem(addr, size, &bits, owners, count)
			       : -EOPNOTSUPP;
}

/*
 * guard() for a mutex that was taken already, interruptibly: gives it back at the end of the scope.
 */
DEFINE_GUARD(gh_locked, struct mutex *, lockdep_assert_held(_T), mutex_unlock(_T))

#endif
