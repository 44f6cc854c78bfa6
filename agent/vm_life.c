// SPDX-License-Identifier: Apache-2.0
// VMs' lives: the state machine between what clients ask and what runs.

#include "agent/vm.h"

#include <inttypes.h>
#include <string.h>

#include "agent/config.h"
#include "agent/image.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/validate.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"

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

/* --- The end of a run --- */

/* Everything is given back. */
static void run_ended(struct service *service, struct vm_record *vm)
{
	struct vm_run *run = vm->run;

	timer_disarm(service, &run->timer);
	vm->run = vm_run_free(run);
	service->runs--;
	service->changed = true;
}

static void end_finish(struct service *service, struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);
	struct vm_record *vm = run->vm;
	bool abandoned = run->abandoned;
	Croft__V1__VmStatus__State state = ends[run->exit.reason].state;

	run_ended(service, vm);
	if (abandoned)
		return;
	vm_set_state(service, vm, state);
	log_info("vms/%s: %s, %s%s%s", vm->msg->name, vm_state_name(vm), vm_reason_name(vm),
		 vm->msg->status->message[0] ? ": " : "", vm->msg->status->message);
	operation_end(service, vm->op, NULL);
	vm_set_operation(vm, NULL);
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

static void run_over(struct service *service, struct vm_run *run)
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

static void on_exited(struct service *service, struct message *message)
{
	struct vm_run *run = CONTAINER_OF(message, struct vm_run, exited);

	run->over = true;
	/* Before the start's own end it waits for that. */
	if (run->up)
		run_over(service, run);
}

/* --- The start --- */

static void start_failed(struct service *service, struct vm_run *run)
{
	struct vm_record *vm = run->vm;
	struct error *error = &run->error;
	bool cancelled = error->code == ERROR_CANCELLED;

	if (run->abandoned) {
		run_ended(service, vm);
		return;
	}
	error_widen(error, "VM \"%s\"", vm->msg->name);
	if (cancelled && service->stopping) {
		error_raise(error, ERROR_UNAVAILABLE, "VM \"%s\": the agent was stopped",
			    vm->msg->name);
		vm_set_end(vm, REASON(host_shutdown), error->message);
	} else if (!cancelled) {
		vm_set_end(vm, REASON(load_failed), error->message);
	}
	if (cancelled)
		vm_set_state(service, vm,
			     vm->msg->status->starts ? STATE(STOPPED) : STATE(DEFINED));
	else
		vm_set_state(service, vm, STATE(FAILED));
	operation_end(service, vm->op, error);
	vm_set_operation(vm, NULL);
	run_ended(service, vm);
}

static void start_finish(struct service *service, struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);
	struct vm_record *vm = run->vm;

	if (run->error.code != ERROR_NONE) {
		start_failed(service, run);
		return;
	}
	run->up = true;
	timer_disarm(service, &run->timer);
	if (!run->abandoned) {
		Croft__V1__VmStatus *status = vm->msg->status;

		status->starts++;
		message_set_now(&status->start_time);
		message_free(status->exit_time);
		status->exit_time = NULL;
		status->exit_reason = REASON(EXIT_REASON_UNSPECIFIED);
		message_set_string(&status->message, "");
		vm_set_state(service, vm, STATE(RUNNING));
		operation_end(service, vm->op, NULL);
		vm_set_operation(vm, NULL);
		log_info("vms/%s: RUNNING", vm->msg->name);
	}
	if (run->over)
		run_over(service, run);
	else if (run->abandoned || service->stopping)
		vmm_stop(run->vmm);
}

static void on_made(struct service *service, struct message *message)
{
	struct vm_run *run = CONTAINER_OF(message, struct vm_run, made);

	if (!run->abandoned)
		vm_set_state(service, run->vm, STATE(STARTING));
}

static void start_too_long(struct service *service, struct timer *timer)
{
	struct vm_run *run = CONTAINER_OF(timer, struct vm_run, timer);
	struct vm_record *vm = run->vm;
	struct error error;

	error_raise(&error, ERROR_DEADLINE, "VM \"%s\": the start has not finished after %u s",
		    vm->msg->name, service->config->start_timeout);
	run->abandoned = true;
	atomic_store(&run->job.cancel, true);
	vm_set_end(vm, REASON(start_timeout), error.message);
	vm_set_state(service, vm, STATE(FAILED));
	operation_end(service, vm->op, &error);
	vm_set_operation(vm, NULL);
}

/* That it can be started, by its image and by what the host has free. */
static int check_start(struct service *service, struct vm_record *vm, const Croft__V1__Image **out,
		       struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	const struct image_record *image = table_find(&service->images, spec->image);
	const char *cmdline = spec->cmdline;
	struct vmm_host host;
	int r;

	if (vm->run)
		return error_raise(err, ERROR_CONFLICT, "it is %s%s", vm_state_name(vm),
				   vm_record_live(vm) ? ""
						      : ", and its last start has not come back");
	if (!image || !image_record_ready(image))
		return error_raise(err, ERROR_CONFLICT, "image \"%s\" is not READY%s%s",
				   spec->image, image && image->msg->status->message[0] ? ": " : "",
				   image ? image->msg->status->message : "");
	r = validate_image_disks(spec, image->msg, err);
	if (r < 0)
		return error_raise(err, ERROR_CONFLICT, "%s: %s", err->field, err->message);
	if (!cmdline[0])
		cmdline = image->msg->status->cmdline;
	if (strlen(cmdline) + 1 + strlen(spec->cmdline_append) > CMDLINE_MAX_LENGTH)
		return error_raise(
			err, ERROR_CONFLICT,
			"the image's command line and cmdline_append have more than %u bytes together",
			CMDLINE_MAX_LENGTH);
	r = vmm_host_probe(service->config->backend, &host, err);
	if (r < 0)
		return r;
	if (spec->memory_bytes > host.memory_available)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				   "%" PRIu64 " bytes of memory: the host has %" PRIu64 " left",
				   spec->memory_bytes, host.memory_available);
	*out = image->msg;
	return 0;
}

static int start(struct service *service, struct vm_record *vm, const char *actor,
		 struct error *err)
{
	const Croft__V1__Image *image = NULL;
	char target[NAME_MAX_LENGTH + 8];
	struct operation *op;
	struct vm_run *run;
	int r = check_start(service, vm, &image, err);

	if (r == 0)
		r = vm_open_console(service, vm, true, err);
	if (r < 0)
		return r;
	snprintf(target, sizeof(target), "vms/%s", vm->msg->name);
	run = vm_run_new(service, vm->msg, image);
	op = run ? operation_new(service, "start", target, actor) : NULL;
	if (!op) {
		vm_run_free(run);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	run->vm = vm;
	run->console = vm->console;
	run->made.handle = on_made;
	run->exited.handle = on_exited;
	run->timer.fire = start_too_long;
	run->job.work = vm_run_start_work;
	run->job.finish = start_finish;
	r = job_start(service, &run->job, "start", err);
	if (r < 0) {
		operation_end(service, op, err);
		vm_run_free(run);
		return r;
	}
	vm->run = run;
	service->runs++;
	timer_arm(service, &run->timer, service->config->start_timeout * SECOND);
	operation_run(service, op, &run->job);
	vm_set_operation(vm, op);
	vm_set_state(service, vm, STATE(PREPARING));
	return 0;
}

int vm_record_start(struct service *service, struct vm_record *vm, const char *actor,
		    struct error *err)
{
	int r = start(service, vm, actor, err);

	return r < 0 ? error_widen(err, "VM \"%s\"", vm->msg->name) : 0;
}

/* --- The stop --- */

static void stop_too_long(struct service *service, struct timer *timer)
{
	struct vm_run *run = CONTAINER_OF(timer, struct vm_run, timer);
	struct vm_record *vm = run->vm;
	struct error error;

	error_raise(&error, ERROR_DEADLINE, "VM \"%s\": it has not ended after %u s", vm->msg->name,
		    service->config->stop_timeout);
	operation_end(service, vm->op, &error);
	vm_set_operation(vm, NULL);
	message_set_string(&vm->msg->status->message, error.message);
	record_touch(service, &vm->record);
}

/* The guest is not asked, or has had its time. */
static void stop_now(struct service *service, struct vm_record *vm)
{
	struct vm_run *run = vm->run;

	run->asked = false;
	timer_disarm(service, &run->timer);
	run->timer.fire = stop_too_long;
	timer_arm(service, &run->timer, service->config->stop_timeout * SECOND);
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
	error_raise(&error, ERROR_CANCELLED, "VM \"%s\": the stop was cancelled", vm->msg->name);
	operation_end(service, op, &error);
	vm_set_operation(vm, NULL);
	vm_set_state(service, vm, STATE(RUNNING));
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

int vm_record_stop(struct service *service, struct vm_record *vm, uint64_t patience_ns,
		   const char *actor, struct error *err)
{
	struct vmm *vmm = vm_record_vmm(vm);
	char target[NAME_MAX_LENGTH + 8];
	struct operation *op;

	if (vmm && vm->run->asked && !patience_ns) {
		stop_now(service, vm);
		return 0;
	}
	if (!vmm || vm->msg->status->state != STATE(RUNNING))
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s, not RUNNING",
				   vm->msg->name, vm_state_name(vm));
	snprintf(target, sizeof(target), "vms/%s", vm->msg->name);
	op = operation_new(service, "stop", target, actor);
	if (!op)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	operation_run(service, op, NULL);
	vm_set_operation(vm, op);
	vm_set_state(service, vm, STATE(STOPPING));
	if (patience_ns)
		ask(service, vm, patience_ns);
	else
		stop_now(service, vm);
	return 0;
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
