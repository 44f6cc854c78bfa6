// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: each write to an eventfd rings a doorbell of the guest, from the writer's context.
 *
 * Locking: bind, unbind, populate and unpopulate run with vm->lock held. The wake function runs
 * under the lock of the eventfd's wait queue, which also protects capid and pending: populate takes
 * it, and unbind removes the entry first.
 */
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/wait.h>

#include "compat.h"
#include "hypercall.h"
#include "vm.h"

/* The bit that is rung; a level doorbell shows this bit and takes it back by itself. */
#define GH_IRQFD_BIT 1ull

struct gh_irqfd {
	struct gh_vm *vm;
	struct gh_ticket ticket;
	struct eventfd_ctx *ctx;
	wait_queue_head_t *queue; /* the eventfd's */
	wait_queue_entry_t entry;
	poll_table table;
	bool level;
	bool pending; /* signalled while there was no doorbell */
	u64 capid;    /* GH_CAPID_INVALID without a doorbell */
};

static void gh_irqfd_ring(struct gh_irqfd *irqfd)
{
	s64 error;

	if (irqfd->capid == GH_CAPID_INVALID) {
		irqfd->pending = true;
		return;
	}
	error = gh_hyp_doorbell_send(irqfd->capid, GH_IRQFD_BIT);
	if (error)
		pr_err_ratelimited("gunyah: irqfd %u: doorbell: error %lld\n", irqfd->ticket.label,
				   error);
	else
		atomic64_inc(&irqfd->vm->irqs_injected);
}

static int gh_irqfd_wake(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct gh_irqfd *irqfd = container_of(entry, struct gh_irqfd, entry);

	if (key_to_poll(key) & EPOLLIN)
		gh_irqfd_ring(irqfd);
	return 0;
}

static void gh_irqfd_queue(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	struct gh_irqfd *irqfd = container_of(table, struct gh_irqfd, table);

	irqfd->queue = queue;
	add_wait_queue(queue, &irqfd->entry);
}

static bool gh_irqfd_populate(struct gh_ticket *ticket, struct gh_resource *resource)
{
	struct gh_irqfd *irqfd = container_of(ticket, struct gh_irqfd, ticket);
	s64 error;

	if (irqfd->capid != GH_CAPID_INVALID)
		return false;
	if (irqfd->level) {
		error = gh_hyp_doorbell_mask(resource->capid, GH_IRQFD_BIT, GH_IRQFD_BIT);
		if (error)
			pr_warn("gunyah: irqfd %u: not level: error %lld; no source-can-clear?\n",
				ticket->label, error);
	}
	guard(spinlock_irqsave)(&irqfd->queue->lock);
	irqfd->capid = resource->capid;
	if (irqfd->pending)
		gh_irqfd_ring(irqfd);
	irqfd->pending = false;
	return true;
}

static void gh_irqfd_unpopulate(struct gh_ticket *ticket, struct gh_resource *resource)
{
	struct gh_irqfd *irqfd = container_of(ticket, struct gh_irqfd, ticket);

	guard(spinlock_irqsave)(&irqfd->queue->lock);
	irqfd->capid = GH_CAPID_INVALID;
}

/* From here on writes ring; a write that came before does too. */
static int gh_irqfd_listen(struct gh_irqfd *irqfd, struct file *file)
{
	init_waitqueue_func_entry(&irqfd->entry, gh_irqfd_wake);
	init_poll_funcptr(&irqfd->table, gh_irqfd_queue);
	if (vfs_poll(file, &irqfd->table) & EPOLLIN) {
		guard(spinlock_irqsave)(&irqfd->queue->lock);
		gh_irqfd_ring(irqfd);
	}
	return irqfd->queue ? 0 : -EINVAL;
}

static void gh_irqfd_deafen(struct gh_irqfd *irqfd)
{
	remove_wait_queue(irqfd->queue, &irqfd->entry);
}

static int gh_irqfd_bind(struct gh_function *fn)
{
	const struct gh_fn_irqfd_arg *arg = &fn->arg.irqfd;
	struct gh_irqfd *irqfd;
	struct file *file;
	int ret;

	if (arg->flags & ~GH_IRQFD_FLAGS_LEVEL)
		return -EINVAL;
	file = eventfd_fget(arg->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = -ENOMEM;
	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		goto put;
	irqfd->vm = fn->vm;
	irqfd->level = arg->flags & GH_IRQFD_FLAGS_LEVEL;
	irqfd->capid = GH_CAPID_INVALID;
	irqfd->ticket.type = GH_RM_RES_DOORBELL_TX;
	irqfd->ticket.label = arg->label;
	irqfd->ticket.populate = gh_irqfd_populate;
	irqfd->ticket.unpopulate = gh_irqfd_unpopulate;
	irqfd->ctx = eventfd_ctx_fileget(file);
	ret = gh_irqfd_listen(irqfd, file);
	if (ret)
		goto free;
	ret = gh_ticket_add(fn->vm, &irqfd->ticket);
	if (ret)
		goto deafen;
	fn->data = irqfd;
	fput(file);
	return 0;

deafen:
	gh_irqfd_deafen(irqfd);
free:
	eventfd_ctx_put(irqfd->ctx);
	kfree(irqfd);
put:
	fput(file);
	return ret;
}

static void gh_irqfd_unbind(struct gh_function *fn)
{
	struct gh_irqfd *irqfd = fn->data;

	gh_irqfd_deafen(irqfd);
	gh_ticket_remove(fn->vm, &irqfd->ticket);
	eventfd_ctx_put(irqfd->ctx);
	kfree(irqfd);
}

static bool gh_irqfd_same(const union gh_fn_arg *a, const union gh_fn_arg *b)
{
	return a->irqfd.label == b->irqfd.label;
}

const struct gh_function_ops gh_irqfd_ops = {
	.name = "irqfd",
	.type = GH_FN_IRQFD,
	.arg_size = sizeof(struct gh_fn_irqfd_arg),
	.bind = gh_irqfd_bind,
	.unbind = gh_irqfd_unbind,
	.same = gh_irqfd_same,
};
