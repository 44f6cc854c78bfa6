// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest's write to a registered address signals an eventfd and never reaches user
 * space.
 *
 * The handlers of a VM are one sorted array, replaced as a whole when one comes or goes. Locking:
 * replaced with vm->lock held; running vCPUs read it under RCU, so that they take no lock.
 */
#include <linux/overflow.h>

#include "compat.h"
#include "vm.h"

/* Far more than a VM can have virtqueues; keeps what one VM can make the kernel hold bounded. */
#define GH_IO_HANDLERS_MAX 1024

struct gh_io_handler {
	u64 addr;
	u32 len;    /* 0: any */
	bool match; /* `data` must be equal */
	u64 data;
	struct eventfd_ctx *ctx;
	const struct gh_function *owner;
};

struct gh_io_table {
	struct rcu_head rcu;
	u32 count;
	struct gh_io_handler handlers[]; /* by address */
};

/* The first handler at `addr` or above. */
static u32 gh_io_lower_bound(const struct gh_io_table *table, u64 addr)
{
	u32 low = 0, high = table->count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (table->handlers[middle].addr < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static u64 gh_io_mask(u32 len)
{
	return len == 8 ? ~0ull : (1ull << (8 * len)) - 1;
}

bool gh_io_write(struct gh_vm *vm, u64 addr, u32 len, u64 data)
{
	const struct gh_io_table *table;
	u32 i;

	guard(rcu)();
	table = rcu_dereference(vm->io);
	if (!table)
		return false;
	for (i = gh_io_lower_bound(table, addr); i < table->count; i++) {
		const struct gh_io_handler *handler = &table->handlers[i];

		if (handler->addr != addr)
			return false;
		if (handler->len && handler->len != len)
			continue;
		if (handler->match && ((handler->data ^ data) & gh_io_mask(len)))
			continue;
		gh_eventfd_signal(handler->ctx);
		return true;
	}
	return false;
}

/* One write that both would take? */
static bool gh_io_collide(const struct gh_io_handler *a, const struct gh_io_handler *b)
{
	if (a->addr != b->addr || (a->len && b->len && a->len != b->len))
		return false;
	return !a->match || !b->match || !((a->data ^ b->data) & gh_io_mask(a->len ?: b->len));
}

static void gh_io_replace(struct gh_vm *vm, struct gh_io_table *table)
{
	struct gh_io_table *old = rcu_dereference_protected(vm->io, lockdep_is_held(&vm->lock));

	rcu_assign_pointer(vm->io, table);
	if (old)
		kvfree_rcu(old, rcu);
}

static int gh_io_add(struct gh_vm *vm, const struct gh_io_handler *handler)
{
	struct gh_io_table *old = rcu_dereference_protected(vm->io, lockdep_is_held(&vm->lock));
	u32 count = old ? old->count : 0;
	struct gh_io_table *table;
	u32 at, i;

	if (count >= GH_IO_HANDLERS_MAX)
		return -ENOSPC;
	at = old ? gh_io_lower_bound(old, handler->addr) : 0;
	for (i = at; i < count && old->handlers[i].addr == handler->addr; i++)
		if (gh_io_collide(&old->handlers[i], handler))
			return -EEXIST;
	table = kvzalloc(struct_size(table, handlers, count + 1), GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	table->count = count + 1;
	if (old) {
		memcpy(table->handlers, old->handlers, at * sizeof(*handler));
		memcpy(table->handlers + at + 1, old->handlers + at,
		       (count - at) * sizeof(*handler));
	}
	table->handlers[at] = *handler;
	gh_io_replace(vm, table);
	return 0;
}

/* May not fail: after it no reader finds the handler. */
static void gh_io_remove(struct gh_vm *vm, const struct gh_function *owner)
{
	struct gh_io_table *old = rcu_dereference_protected(vm->io, lockdep_is_held(&vm->lock));
	struct gh_io_table *table = NULL;
	u32 i;

	if (!old)
		return;
	if (old->count > 1) {
		table = kvzalloc(struct_size(table, handlers, old->count - 1),
				 GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
		for (i = 0; i < old->count; i++)
			if (old->handlers[i].owner != owner)
				table->handlers[table->count++] = old->handlers[i];
	}
	gh_io_replace(vm, table);
	synchronize_rcu();
}

void gh_io_drop(struct gh_vm *vm)
{
	lockdep_assert_held(&vm->lock);
	gh_io_replace(vm, NULL);
	synchronize_rcu();
}

static int gh_ioeventfd_check(const struct gh_fn_ioeventfd_arg *arg)
{
	u64 end;

	if (arg->flags & ~GH_IOEVENTFD_FLAGS_DATAMATCH)
		return -EINVAL;
	switch (arg->len) {
	case 0:
		if (arg->flags & GH_IOEVENTFD_FLAGS_DATAMATCH)
			return -EINVAL;
		return 0;
	case 1:
	case 2:
	case 4:
	case 8:
		return check_add_overflow(arg->addr, (u64)arg->len, &end) ? -EOVERFLOW : 0;
	default:
		return -EINVAL;
	}
}

static int gh_ioeventfd_bind(struct gh_function *fn)
{
	const struct gh_fn_ioeventfd_arg *arg = &fn->arg.ioeventfd;
	struct gh_io_handler handler = {
		.addr = arg->addr,
		.len = arg->len,
		.match = arg->flags & GH_IOEVENTFD_FLAGS_DATAMATCH,
		.data = arg->datamatch,
		.owner = fn,
	};
	int ret = gh_ioeventfd_check(arg);

	if (ret)
		return ret;
	handler.ctx = eventfd_ctx_fdget(arg->fd);
	if (IS_ERR(handler.ctx))
		return PTR_ERR(handler.ctx);
	ret = gh_io_add(fn->vm, &handler);
	if (ret) {
		eventfd_ctx_put(handler.ctx);
		return ret;
	}
	fn->data = handler.ctx;
	return 0;
}

static void gh_ioeventfd_unbind(struct gh_function *fn)
{
	gh_io_remove(fn->vm, fn);
	eventfd_ctx_put(fn->data);
}

static bool gh_ioeventfd_same(const union gh_fn_arg *a, const union gh_fn_arg *b)
{
	bool match = a->ioeventfd.flags & GH_IOEVENTFD_FLAGS_DATAMATCH;

	if (a->ioeventfd.addr != b->ioeventfd.addr)
		return false;
	if (match != (bool)(b->ioeventfd.flags & GH_IOEVENTFD_FLAGS_DATAMATCH))
		return false;
	return !match || a->ioeventfd.datamatch == b->ioeventfd.datamatch;
}

const struct gh_function_ops gh_ioeventfd_ops = {
	.name = "ioeventfd",
	.type = GH_FN_IOEVENTFD,
	.arg_size = sizeof(struct gh_fn_ioeventfd_arg),
	.bind = gh_ioeventfd_bind,
	.unbind = gh_ioeventfd_unbind,
	.same = gh_ioeventfd_same,
};
