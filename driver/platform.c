// SPDX-License-Identifier: GPL-2.0-only
/*
 * The platform's hooks around memory: their registration, and the calls.
 *
 * Locking: gh_platform_lock (mutex) protects the pointer; the hooks run without it, kept there by a
 * reference on their module, which the parcel holds from pre to post.
 */
#include <linux/module.h>
#include <linux/string.h>

#include "compat.h"
#include "platform.h"

static DEFINE_MUTEX(gh_platform_lock);
static const struct gh_platform_ops *gh_platform;

int gh_platform_register(const struct gh_platform_ops *ops)
{
	guard(mutex)(&gh_platform_lock);
	if (gh_platform)
		return -EBUSY;
	gh_platform = ops;
	return 0;
}
EXPORT_SYMBOL_GPL(gh_platform_register);

void gh_platform_unregister(const struct gh_platform_ops *ops)
{
	guard(mutex)(&gh_platform_lock);
	if (gh_platform == ops)
		gh_platform = NULL;
}
EXPORT_SYMBOL_GPL(gh_platform_unregister);

int gh_platform_pre(const struct gh_platform_mem *mem, const struct gh_platform_ops **ops)
{
	const struct gh_platform_ops *found;
	int ret;

	scoped_guard(mutex, &gh_platform_lock) {
		found = gh_platform;
		if (!found)
			return 0;
		if (!try_module_get(found->owner))
			return -ENODEV;
	}
	ret = found->pre_mem_give(mem);
	if (ret)
		module_put(found->owner);
	else
		*ops = found;
	return ret;
}

int gh_platform_post(const struct gh_platform_mem *mem, const struct gh_platform_ops **ops)
{
	int ret;

	if (!*ops)
		return 0;
	ret = (*ops)->post_mem_reclaim(mem);
	if (ret)
		return ret;
	module_put((*ops)->owner);
	*ops = NULL;
	return 0;
}

void gh_platform_name(char *name, size_t size)
{
	guard(mutex)(&gh_platform_lock);
	strscpy(name, gh_platform ? gh_platform->name : "none", size);
}
