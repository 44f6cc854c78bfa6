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
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

/* Since 6.8 an eventfd is signalled by one and no more. */
static inline void gh_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/*
 * guard() for a mutex that was taken already, interruptibly: gives it back at the end of the scope.
 */
DEFINE_GUARD(gh_locked, struct mutex *, lockdep_assert_held(_T), mutex_unlock(_T))

#endif
