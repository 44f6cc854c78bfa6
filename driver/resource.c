// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resources that the RM hands out at START, and the tickets through which functions claim them by
 * type and label.
 *
 * Locking: vm->lock is held by every caller, and in populate and unpopulate.
 */
#include <linux/irq.h>
#include <linux/irqdomain.h>

#include "compat.h"
#include "vm.h"

/* Interrupts that can be had from RM are shared peripheral interrupts of the host's GIC. */
#define GH_GIC_SPI	0
#define GH_GIC_SPI_BASE 32
#define GH_GIC_SPI_END	1020

static unsigned int gh_irq_map(struct gh_rm *rm, u32 intid)
{
	struct irq_fwspec fwspec = {
		.fwnode = rm->gic,
		.param_count = 3,
		.param = { GH_GIC_SPI, intid - GH_GIC_SPI_BASE, IRQ_TYPE_EDGE_RISING },
	};

	if (intid < GH_GIC_SPI_BASE || intid >= GH_GIC_SPI_END)
		return 0;
	return irq_create_fwspec_mapping(&fwspec);
}

static bool gh_ticket_offer(struct gh_ticket *ticket, struct gh_resource *resource)
{
	if (ticket->type != resource->type || ticket->label != resource->label ||
	    !ticket->populate(ticket, resource))
		return false;
	list_move_tail(&resource->node, &ticket->resources);
	return true;
}

int gh_ticket_add(struct gh_vm *vm, struct gh_ticket *ticket)
{
	struct gh_resource *resource, *next_resource;
	struct gh_ticket *other;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry(other, &vm->tickets, node)
		if (other->type == ticket->type && other->label == ticket->label)
			return -EEXIST;
	INIT_LIST_HEAD(&ticket->resources);
	list_add_tail(&ticket->node, &vm->tickets);
	list_for_each_entry_safe(resource, next_resource, &vm->resources, node)
		gh_ticket_offer(ticket, resource);
	return 0;
}

void gh_ticket_remove(struct gh_vm *vm, struct gh_ticket *ticket)
{
	struct gh_resource *resource, *next;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry_safe(resource, next, &ticket->resources, node) {
		ticket->unpopulate(ticket, resource);
		list_move_tail(&resource->node, &vm->resources);
	}
	list_del(&ticket->node);
}

int gh_resources_add(struct gh_vm *vm, const struct gh_rm_hyp_resource *records, u32 count)
{
	struct gh_resource *resource;
	struct gh_ticket *ticket;
	u32 i;

	lockdep_assert_held(&vm->lock);
	for (i = 0; i < count; i++) {
		resource = kzalloc(sizeof(*resource), GFP_KERNEL_ACCOUNT);
		if (!resource)
			return -ENOMEM;
		resource->type = records[i].type;
		resource->label = le32_to_cpu(records[i].label);
		resource->capid = (u64)le32_to_cpu(records[i].capid_high) << 32 |
				  le32_to_cpu(records[i].capid_low);
		resource->irq = gh_irq_map(vm->rm, le32_to_cpu(records[i].virq));
		list_add_tail(&resource->node, &vm->resources);
		list_for_each_entry(ticket, &vm->tickets, node)
			if (gh_ticket_offer(ticket, resource))
				break;
	}
	return 0;
}

/* All tickets are gone: every resource is on the VM's list again. */
void gh_resources_drop(struct gh_vm *vm)
{
	struct gh_resource *resource, *next;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry_safe(resource, next, &vm->resources, node) {
		if (resource->irq)
			irq_dispose_mapping(resource->irq);
		list_del(&resource->node);
		kfree(resource);
	}
}
