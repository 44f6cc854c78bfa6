// SPDX-License-Identifier: Apache-2.0
// VMs' lives: the state machine between what clients ask and what runs.

#include "agent/vm.h"

#include <string.h>

#include "agent/log.h"
#include "agent/message.h"
#include "agent/node.h"
#include "agent/state.h"
#include "agent/tuning.h"
#include "agent/vm_life.h"
#include "agent/vm_live.h"
#include "agent/vm_restart.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"
#include "agent/vm_update.h"

#define SECOND 1000000000ull

/* What each end of a guest means for the record. */
static const struct {
	Croft__V1__VmStatus__ExitReason reason;
	Croft__V1__VmStatus__State state;
} ends[] = {
	[VMM_EXIT_GUEST_POWEROFF] = { REASON(guest_poweroff), STATE(STOPPED) },
	[VMM_EXIT_GUEST_RESET] = { REASON(guest_reset), STATE(STOPPED) },
	[VMM_EXIT_WATCHDOG] = { REASON(watchdog), STATE(STOPPED) },
	[VMM_EXIT_HYPERVISOR_ERROR] = { REASON(hypervisor_error), STATE(FAILED) },
	[VMM_EXIT_EXTERNAL_ABORT] = { REASON(external_abort), STATE(FAILED) },
	[VMM_EXIT_FORCE_STOPPED] = { REASON(force_stopped), STATE(STOPPED) },
	[VMM_EXIT_LOAD_FAILED] = { REASON(load_failed), STATE(FAILED) },
	[VMM_EXIT_VMM_ERROR] = { REASON(vmm_crash), STATE(FAILED) },
};

static bool is_restart(const struct operation *op)
{
	return op && strcmp(op->msg->verb, "restart") == 0;
}

/* --- The end of a run --- */

/* Everything is given back. */
void vm_run_ended(struct service *service, struct vm_record *vm)
{
	struct vm_run *run = vm->run;

	timer_disarm(service, &run->timer);
	vm_discard_disks(service, vm, run->spec);
	vm_live_clear(vm);
	vm->run = vm_run_free(run);
	service->runs--;
	service->changed = true;
	vm_restart_look(service, vm);
}

/* The second half of a restart, with its operation. */
static void start_again(struct service *service, struct vm_record *vm)
{
	struct error error = { .code = ERROR_NONE };
	int r = service->stopping ? error_raise(&error, ERROR_UNAVAILABLE, "the agent was stopped")
				  : vm_begin_start(service, vm, vm->op, &error);

	if (r == 0)
		return;
	error_widen(&error, "VM \"%s\" has ended, but does not start", vm->msg->name);
	operation_end(service, vm->op, &error);
	vm_set_end(vm, service->stopping ? REASON(host_shutdown) : REASON(load_failed),
		   error.message);
	if (!service->stopping)
		vm_set_state(service, vm, STATE(FAILED));
	vm_set_operation(vm, NULL);
	record_touch(service, &vm->record);
	vm_restart_judge(service, vm);
}

static void end_finish(struct service *service, struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);
	struct vm_record *vm = run->vm;
	bool abandoned = run->abandoned;
	Croft__V1__VmStatus__State state = ends[run->exit.reason].state;

	vm_run_ended(service, vm);
	if (abandoned)
		return;
	vm_set_state(service, vm, state);
	log_info("vms/%s: %s, %s%s%s", vm->msg->name, vm_state_name(vm), vm_reason_name(vm),
		 vm->msg->status->message[0] ? ": " : "", vm->msg->status->message);
	if (is_restart(vm->op)) {
		start_again(service, vm);
		return;
	}
	operation_end(service, vm->op, NULL);
	vm_set_operation(vm, NULL);
	vm_restart_judge(service, vm);
}

/* Gives back what the run has; a thread of its own, because that takes time. */
static void take_down(struct service *service, struct vm_run *run)
{
	struct error error;

	run->job = (struct job){ .work = vm_run_end_work, .finish = end_finish };
	if (job_start(service, &run->job, "end", &error) == 0)
		return;
	/* Without a thread it is done here: late answers are better than a VM that is never given back. */
	log_warning("vms/%s: %s", run->vm->msg->name, error.message);
	vm_run_end_work(&run->job);
	end_finish(service, &run->job);
}

void vm_run_over(struct service *service, struct vm_run *run)
{
	struct vm_record *vm = run->vm;
	Croft__V1__VmStatus__ExitReason reason = ends[run->exit.reason].reason;

	if (service->stopping && run->exit.reason == VMM_EXIT_FORCE_STOPPED)
		reason = REASON(host_shutdown);
	timer_disarm(service, &run->timer);
	run->asked = false;
	if (vm->op)
		vm->op->cancel = NULL;
	if (!run->abandoned) {
		vm_set_end(vm, reason,
			   run->exit.error.code == ERROR_NONE ? "" : run->exit.error.message);
		vm_set_state(service, vm, STATE(STOPPING));
	}
	take_down(service, run);
}

void vm_on_exited(struct service *service, struct message *message)
{
	struct vm_run *run = CONTAINER_OF(message, struct vm_run, exited);

	run->over = true;
	/* Before the start's own end it waits for that. */
	if (run->up)
		vm_run_over(service, run);
}

/* --- The stop --- */

static void stop_too_long(struct service *service, struct timer *timer)
{
	struct vm_run *run = CONTAINER_OF(timer, struct vm_run, timer);
	struct vm_record *vm = run->vm;
	struct error error;

	error_raise(&error, ERROR_DEADLINE, "VM \"%s\": it has not ended after %u s", vm->msg->name,
		    service->tuning->stop_timeout);
	operation_end(service, vm->op, &error);
	vm_set_operation(vm, NULL);
	message_set_string(&vm->msg->status->message, error.message);
	record_touch(service, &vm->record);
	node_drain_look(service);
}

/* The guest is not asked, or has had its time. */
static void stop_now(struct service *service, struct vm_record *vm)
{
	struct vm_run *run = vm->run;

	run->asked = false;
	timer_disarm(service, &run->timer);
	run->timer.fire = stop_too_long;
	timer_arm(service, &run->timer, service->tuning->stop_timeout * SECOND);
	if (vm->op) {
		vm->op->cancel = NULL;
		operation_step(service, vm->op, "ending it by force");
	}
	vmm_stop(run->vmm);
}

static void asked_too_long(struct service *service, struct timer *timer)
{
	struct vm_run *run = CONTAINER_OF(timer, struct vm_run, timer);

	log_info("vms/%s: the guest did not end in time", run->vm->msg->name);
	stop_now(service, run->vm);
}

/* A guest that obeys all the same ends as one that powers itself off. */
static void asked_no_more(struct service *service, struct operation *op)
{
	struct vm_record *vm = op->owner;
	struct error error;

	vm->run->asked = false;
	timer_disarm(service, &vm->run->timer);
	error_raise(&error, ERROR_CANCELLED, "VM \"%s\": the %s was cancelled", vm->msg->name,
		    op->msg->verb);
	operation_end(service, op, &error);
	vm_set_operation(vm, NULL);
	vm_set_state(service, vm, STATE(RUNNING));
	vm_restart_on_again(service, vm);
}

static void ask(struct service *service, struct vm_record *vm, uint64_t patience_ns)
{
	struct vm_run *run = vm->run;
	char step[80];

	run->asked = true;
	run->timer.fire = asked_too_long;
	timer_arm(service, &run->timer, patience_ns);
	vm->op->cancel = asked_no_more;
	vm->op->owner = vm;
	snprintf(step, sizeof(step), "waiting for the guest to end, at most %.3g s",
		 (double)patience_ns / SECOND);
	operation_step(service, vm->op, step);
	vmm_ask_stop(run->vmm);
}

/* An ask that can be cut short has an operation, which the stop by force answers with. */
static bool is_asked(const struct vm_record *vm)
{
	return vm_record_vmm(vm) && vm->run->asked;
}

/* It does not run, but would again: its stop is that it does not. */
static bool waits(const struct vm_record *vm)
{
	return vm_restart_phase(vm) == RESTART_PHASE(WAITING) && !vm_record_live(vm);
}

int vm_check_stop(struct service *service, const struct vm_record *vm, uint64_t patience_ns,
		  struct error *err)
{
	(void)service;
	if (waits(vm))
		return 0;
	if (is_asked(vm) && !patience_ns) {
		if (!is_restart(vm->op))
			return 0;
		return error_raise(err, ERROR_CONFLICT,
				   "VM \"%s\" is being restarted: cancel operation \"%s\" first",
				   vm->msg->name, vm->op->msg->name);
	}
	if (!vm_record_vmm(vm) || vm->msg->status->state != STATE(RUNNING))
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s, not RUNNING",
				   vm->msg->name, vm_state_name(vm));
	return 0;
}

/* It runs: the end of it, by an operation of that verb. */
static struct operation *begin_stop(struct service *service, struct vm_record *vm, const char *verb,
				    const struct vm_stop *stop, struct error *err)
{
	struct operation *op = vm_new_operation(service, vm, verb, stop->actor, err);

	if (!op)
		return NULL;
	operation_run(service, op, NULL);
	vm_set_operation(vm, op);
	vm_set_state(service, vm, STATE(STOPPING));
	if (stop->patience_ns)
		ask(service, vm, stop->patience_ns);
	else
		stop_now(service, vm);
	return op;
}

/* What of a stop is left for one that only waits. */
static struct operation *stop_waiting(struct service *service, struct vm_record *vm,
				      const char *actor, struct error *err)
{
	struct operation *op = vm_new_operation(service, vm, "stop", actor, err);

	if (op)
		operation_end(service, op, NULL);
	return op;
}

struct operation *vm_record_stop(struct service *service, struct vm_record *vm,
				 const struct vm_stop *how, struct error *err)
{
	struct operation *op = vm->op;

	if (vm_check_stop(service, vm, how->patience_ns, err) < 0)
		return NULL;
	if (waits(vm))
		op = stop_waiting(service, vm, how->actor, err);
	else if (is_asked(vm))
		stop_now(service, vm);
	else
		op = begin_stop(service, vm, "stop", how, err);
	if (op)
		vm_restart_off(service, vm);
	return op;
}

int vm_check_restart(struct service *service, const struct vm_record *vm, uint64_t patience_ns,
		     struct error *err)
{
	const Croft__V1__Image *image;
	int r;

	if (!vm->run)
		return vm_check_start(service, vm, err);
	if (is_asked(vm) && !patience_ns && is_restart(vm->op))
		return 0;
	if (!vm_record_vmm(vm) || vm->msg->status->state != STATE(RUNNING))
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s", vm->msg->name,
				   vm_state_name(vm));
	/* Better no end of a guest that could not come up again. Its own memory comes back. */
	r = vm_check_startable(service, vm, &image, err);
	if (r < 0)
		return error_widen(err, "VM \"%s\" goes on running", vm->msg->name);
	return 0;
}

struct operation *vm_record_restart(struct service *service, struct vm_record *vm,
				    const struct vm_stop *how, struct error *err)
{
	struct operation *op = vm->op;

	if (vm_check_restart(service, vm, how->patience_ns, err) < 0)
		return NULL;
	if (!vm->run)
		return vm_start_as(service, vm, "restart", how->actor, err);
	if (is_asked(vm))
		stop_now(service, vm);
	else
		op = begin_stop(service, vm, "restart", how, err);
	if (op)
		vm_restart_on(service, vm);
	return op;
}

void vm_records_stop(struct service *service)
{
	for (size_t i = 0; i < service->vms.count; i++) {
		struct vm_record *vm = service->vms.entries[i].record;
		struct vmm *vmm = vm_record_vmm(vm);

		if (!vm->run)
			continue;
		if (vmm)
			vmm_stop(vmm);
		else if (!vm->run->up)
			atomic_store(&vm->run->job.cancel, true);
	}
}
