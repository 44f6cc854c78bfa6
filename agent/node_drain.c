// SPDX-License-Identifier: Apache-2.0
// The drain of a node: one VM after the other is stopped, as an operation that can be cancelled between two.

#include "agent/node.h"

#include <inttypes.h>
#include <string.h>

#include "agent/message.h"
#include "agent/vm_restart.h"

/* The VMs that were there when it began, in the order of their names. */
struct drain {
	struct timer timer; /* looks again, apart from what made it necessary */
	struct operation *op;
	char actor[AUTH_ACTOR_MAX];
	uint64_t patience_ns;
	char **names;
	size_t count, at; /* names[at] is the one that is being stopped */
	char *stopping;	  /* the operation of its stop; NULL: not asked yet */
	size_t failed;
	struct error error; /* of the first that failed */
};

static void drain_free(struct drain *drain)
{
	for (size_t i = 0; i < drain->count; i++)
		free(drain->names[i]);
	free(drain->names);
	free(drain->stopping);
	free(drain);
}

void node_drain_free(struct service *service)
{
	struct drain *drain = service->node->drain;

	if (!drain)
		return;
	timer_disarm(service, &drain->timer);
	drain_free(drain);
	service->node->drain = NULL;
}

static void end(struct service *service, const struct error *error)
{
	operation_end(service, service->node->drain->op, error);
	node_drain_free(service);
}

/* What is being stopped goes on; the others are left alone. */
static void cancel(struct service *service, struct operation *op)
{
	const struct drain *drain = op->owner;
	struct error error;

	error_raise(&error, ERROR_CANCELLED, "the drain was cancelled at VM %zu of %zu%s",
		    drain->at + 1, drain->count,
		    service->node->msg->cordoned ? "; the node stays cordoned" : "");
	end(service, &error);
}

static void note_failure(struct drain *drain, const struct error *error)
{
	if (drain->failed++ == 0)
		drain->error = *error;
}

/* Whether the VM that is being stopped is done with, well or not. */
static bool is_done(struct service *service, struct drain *drain)
{
	struct vm_record *vm = table_find(&service->vms, drain->names[drain->at]);
	const struct operation *op =
		drain->stopping ? table_find(&service->operations, drain->stopping) : NULL;
	struct error error;

	if (vm && !vm_record_live(vm))
		vm_restart_off(service, vm); /* it has ended by itself meanwhile */
	if (!vm || !vm_record_live(vm))
		return true;
	if (!drain->stopping || (op && !operation_ended(op)))
		return false;
	error_raise(&error, ERROR_CONFLICT, "%s",
		    op && op->msg->error ? op->msg->error->detail
					 : "its stop has ended without it");
	error_widen(&error, "VM \"%s\"", vm->msg->name);
	note_failure(drain, &error);
	return true;
}

/* Asks the VM that is next, once it can be asked: one that comes up does so first, and one that goes down is waited for. */
static void ask(struct service *service, struct drain *drain)
{
	struct vm_record *vm = table_find(&service->vms, drain->names[drain->at]);
	const struct vm_stop how = { .patience_ns = drain->patience_ns, .actor = drain->actor };
	const struct operation *op;
	char step[80];

	if (drain->stopping || vm->msg->status->state != CROFT__V1__VM_STATUS__STATE__RUNNING)
		return;
	snprintf(step, sizeof(step), "stopping %zu of %zu", drain->at + 1, drain->count);
	operation_step(service, drain->op, step);
	/* Without memory for it, it is tried again when something changes. */
	op = vm_record_stop(service, vm, &how, NULL);
	if (op)
		drain->stopping = strdup(op->msg->name);
}

static void go_on(struct service *service, struct timer *timer)
{
	struct drain *drain = CONTAINER_OF(timer, struct drain, timer);
	struct error error;

	while (drain->at < drain->count && is_done(service, drain)) {
		free(TAKE_PTR(drain->stopping));
		drain->at++;
	}
	if (drain->at < drain->count) {
		ask(service, drain);
		return;
	}
	if (!drain->failed) {
		end(service, NULL);
		return;
	}
	error_raise(&error, drain->error.code, "%zu of %zu VMs were not stopped: %s", drain->failed,
		    drain->count, drain->error.message);
	end(service, &error);
}

void node_drain_look(struct service *service)
{
	struct drain *drain = service->node ? service->node->drain : NULL;

	if (drain && !drain->timer.armed)
		timer_arm(service, &drain->timer, 0);
}

static int collect(struct service *service, struct drain *drain)
{
	drain->names = calloc(service->vms.count + 1, sizeof(*drain->names));
	for (size_t i = 0; drain->names && i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;

		if (!vm_record_live(vm) && vm_restart_phase(vm) != RESTART_PHASE(WAITING))
			continue;
		drain->names[drain->count] = strdup(vm->msg->name);
		if (!drain->names[drain->count])
			return -ENOMEM;
		drain->count++;
	}
	return drain->names ? 0 : -ENOMEM;
}

int node_check_drain(const struct service *service, struct error *err)
{
	const struct drain *drain = service->node->drain;

	if (!drain)
		return 0;
	return error_raise(err, ERROR_CONFLICT, "the node is being drained by operation \"%s\"",
			   drain->op->msg->name);
}

int node_begin_drain(struct service *service, const struct node_drain *how, struct operation **out,
		     struct error *err)
{
	struct drain *drain;
	int r = node_check_drain(service, err);

	if (r < 0)
		return r;
	drain = calloc(1, sizeof(*drain));
	if (!drain || collect(service, drain) < 0 ||
	    !(drain->op = operation_new(service, "drain", "node", how->actor))) {
		if (drain)
			drain_free(drain);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	drain->timer.fire = go_on;
	drain->patience_ns = how->patience_ns;
	snprintf(drain->actor, sizeof(drain->actor), "%s", how->actor);
	node_cordon(service, true, how->reason, how->actor);
	operation_run(service, drain->op, NULL);
	drain->op->cancel = cancel;
	drain->op->owner = drain;
	service->node->drain = drain;
	node_drain_look(service);
	*out = drain->op;
	return 0;
}
