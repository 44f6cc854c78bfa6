/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks for platforms where memory has to be assigned by firmware too, before the resource manager
 * gives it to a VM and after it has taken it back.
 */
#ifndef GH_PLATFORM_H
#define GH_PLATFORM_H

#include <linux/types.h>

#include "rm_codec.h"

struct module;

/* Memory on its way to a VM or back, as the hooks see it. */
struct gh_platform_mem {
	const struct gh_parcel *parcel; /* label, rights, ranges; lend or share */
	u16 guest, host; /* VMIDs; the host keeps all rights if the parcel is shared */
};

/* Both may sleep, run once for each parcel, and return 0 or an errno. */
struct gh_platform_ops {
	const char *name;
	struct module *owner;
	/* An error leaves nothing behind; START fails with it. */
	int (*pre_mem_give)(const struct gh_platform_mem *mem);
	/* An error keeps the memory pinned, its VM in quarantine; tried again with that. */
	int (*post_mem_reclaim)(const struct gh_platform_mem *mem);
};

/*
 * One set of hooks at a time: EBUSY when there is one. Taken back only when no VM's memory is under
 * the hooks: each such parcel holds the owner.
 */
int gh_platform_register(const struct gh_platform_ops *ops);
void gh_platform_unregister(const struct gh_platform_ops *ops);

/* For the driver: 0 without hooks; *ops is what has to be passed to gh_platform_post. */
int gh_platform_pre(const struct gh_platform_mem *mem, const struct gh_platform_ops **ops);
int gh_platform_post(const struct gh_platform_mem *mem, const struct gh_platform_ops **ops);
/* The name of the hooks, "none" without. Into `name`. */
void gh_platform_name(char *name, size_t size);

/* Registers the hooks of Qualcomm's firmware where that is below; nothing elsewhere. */
int gh_platform_qcom_init(void);
void gh_platform_qcom_exit(void);

#endif
