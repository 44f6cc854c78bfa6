// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM functions: from the two forms of the ioctls to the function's type, its checked argument, and
 * its life in the VM.
 *
 * Locking: vm->lock is held by every caller.
 */
#include <linux/uaccess.h>

#include "compat.h"
#include "vm.h"

static const struct gh_function_ops *const gh_function_types[] = {
	&gh_vcpu_ops,
	&gh_irqfd_ops,
	&gh_ioeventfd_ops,
};

static const struct gh_function_ops *gh_function_by_type(u32 type)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gh_function_types); i++)
		if (gh_function_types[i]->type == type)
			return gh_function_types[i];
	return NULL;
}

static const struct gh_function_ops *gh_function_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gh_function_types); i++)
		if (!strcmp(gh_function_types[i]->name, name))
			return gh_function_types[i];
	return NULL;
}

static int gh_function_parse(const struct gh_fn_desc *desc, const struct gh_function_ops **ops,
			     union gh_fn_arg *arg)
{
	const struct gh_function_ops *found = gh_function_by_type(desc->type);

	if (desc->arg_size > GH_FN_MAX_ARG_SIZE)
		return -EINVAL;
	if (!found)
		return -ENOENT;
	memset(arg, 0, sizeof(*arg));
	if (desc->type == GH_FN_VCPU && !desc->arg_size) {
		if (desc->arg > U32_MAX)
			return -EINVAL;
		arg->vcpu.id = (u32)desc->arg;
	} else if (desc->arg_size != found->arg_size) {
		return -EINVAL;
	} else if (copy_from_user(arg, (void __user *)(uintptr_t)desc->arg, desc->arg_size)) {
		return -EFAULT;
	}
	*ops = found;
	return 0;
}

static int gh_function_bind(struct gh_vm *vm, const struct gh_function_ops *ops,
			    const union gh_fn_arg *arg, bool v8)
{
	struct gh_function *fn = kzalloc(sizeof(*fn), GFP_KERNEL_ACCOUNT);
	int ret;

	lockdep_assert_held(&vm->lock);
	if (!fn)
		return -ENOMEM;
	fn->ops = ops;
	fn->vm = vm;
	fn->v8 = v8;
	fn->arg = *arg;
	list_add_tail(&fn->node, &vm->functions);
	ret = ops->bind(fn);
	if (ret < 0) {
		list_del(&fn->node);
		kfree(fn);
	}
	return ret;
}

static void gh_function_unbind(struct gh_function *fn)
{
	lockdep_assert_held(&fn->vm->lock);
	fn->ops->unbind(fn);
	list_del(&fn->node);
	kfree(fn);
}

int gh_function_add(struct gh_vm *vm, const struct gh_fn_desc *desc)
{
	const struct gh_function_ops *ops;
	union gh_fn_arg arg;
	int ret = gh_function_parse(desc, &ops, &arg);

	return ret ?: gh_function_bind(vm, ops, &arg, false);
}

int gh_function_add_v8(struct gh_vm *vm, const struct gh_vm_function __user *user)
{
	const struct gh_function_ops *ops;
	char name[GH_FN_NAME_SIZE];
	union gh_fn_arg arg = {};

	/* The argument may sit at the end of a page: only what the function has of it is read. */
	if (copy_from_user(name, user->name, sizeof(name)))
		return -EFAULT;
	if (strnlen(name, sizeof(name)) == sizeof(name))
		return -EINVAL;
	ops = gh_function_by_name(name);
	if (!ops)
		return -ENOENT;
	if (copy_from_user(&arg, user->data, ops->arg_size))
		return -EFAULT;
	return gh_function_bind(vm, ops, &arg, true);
}

int gh_function_remove(struct gh_vm *vm, const struct gh_fn_desc *desc)
{
	const struct gh_function_ops *ops;
	struct gh_function *fn;
	union gh_fn_arg arg;
	int ret = gh_function_parse(desc, &ops, &arg);

	if (ret)
		return ret;
	list_for_each_entry(fn, &vm->functions, node) {
		if (fn->ops != ops || !ops->same(&fn->arg, &arg))
			continue;
		gh_function_unbind(fn);
		return 0;
	}
	return -ENOENT;
}

void gh_functions_drop(struct gh_vm *vm)
{
	struct gh_function *fn, *next;

	lockdep_assert_held(&vm->lock);
	/* At once, since each by itself waits for the running vCPUs. */
	if (rcu_access_pointer(vm->io))
		gh_io_drop(vm);
	list_for_each_entry_safe(fn, next, &vm->functions, node)
		gh_function_unbind(fn);
}
