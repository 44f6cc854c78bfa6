// SPDX-License-Identifier: Apache-2.0
// VMs' lives: the state machine between what clients ask and what runs.

#include "agent/vm.h"

#include <inttypes.h>
#include <string.h>

#include "agent/config.h"
#include "agent/image.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/node.h"
#include "agent/state.h"
#include "agent/tuning.h"
#include "agent/validate.h"
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

static int begin_start(struct service *service, struct vm_record *vm, struct operation *op,
		       struct error *err);

static bool is_restart(const struct operation *op)
{
	return op && strcmp(op->msg->verb, "restart") == 0;
}

/* --- The end of a run --- */

/* Everything is given back. */
static void run_ended(struct service *service, struct vm_record *vm)
{
	struct vm_run *run = vm->run;

	timer_disarm(service, &run->timer);
	vm_discard_disks(service, vm, run->spec);
	vm->run = vm_run_free(run);
	service->runs--;
	service->changed = true;
}

/* The second half of a restart, with its operation. */
static void start_again(struct service *service, struct vm_record *vm)
{
	struct error error = { .code = ERROR_NONE };
	int r = service->stopping ? error_raise(&error, ERROR_UNAVAILABLE, "the agent was stopped")
				  : begin_start(service, vm, vm->op, &error);

	if (r == 0)
		return;
	error_widen(&error, "VM \"%s\" has ended, but does not start", vm->msg->name);
	operation_end(service, vm->op, &error);
	vm_set_operation(vm, NULL);
	record_touch(service, &vm->record);
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
	if (is_restart(vm->op)) {
		start_again(service, vm);
		return;
	}
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

/* The balloon's target may have changed since the start was planned; and what it was planned with was checked. */
static void catch_up(struct vm_record *vm)
{
	const struct vm_run *run = vm->run;
	uint64_t target = vm->msg->spec->memory_target_bytes;

	if (target != run->spec->memory_target_bytes)
		vmm_set_balloon(run->vmm, vm_run_balloon(run->spec->memory_bytes, target), NULL);
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
		catch_up(vm);
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
		    vm->msg->name, service->tuning->start_timeout);
	run->abandoned = true;
	atomic_store(&run->job.cancel, true);
	vm_set_end(vm, REASON(start_timeout), error.message);
	vm_set_state(service, vm, STATE(FAILED));
	operation_end(service, vm->op, &error);
	vm_set_operation(vm, NULL);
}

/* That it can be started, by the node, by its image and by what the host has free. */
static int check_start(struct service *service, const struct vm_record *vm,
		       const Croft__V1__Image **out, struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	const struct image_record *image = table_find(&service->images, spec->image);
	const char *cmdline = spec->cmdline;
	struct vmm_host host;
	int r = node_check_start(service, err);

	if (r < 0)
		return r;
	if (!image || !image_record_ready(image))
		return error_raise(err, ERROR_CONFLICT, "image \"%s\" is not READY%s%s",
				   spec->image, image && image->msg->status->message[0] ? ": " : "",
				   image ? image->msg->status->message : "");
	r = vm_check_image_disks(service, vm->msg, image->msg, err);
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
	if (vm->run)
		host.memory_available += vm->run->spec->memory_bytes;
	if (spec->memory_bytes > host.memory_available)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				   "%" PRIu64 " bytes of memory: the host has %" PRIu64 " left",
				   spec->memory_bytes, host.memory_available);
	*out = image->msg;
	return 0;
}

static int check_idle(const struct vm_record *vm, struct error *err)
{
	if (!vm->run)
		return 0;
	return error_raise(err, ERROR_CONFLICT, "it is %s%s", vm_state_name(vm),
			   vm_record_live(vm) ? "" : ", and its last start has not come back");
}

/* Starts the job of a start; the operation is the caller's to end when that fails. */
static int begin_start(struct service *service, struct vm_record *vm, struct operation *op,
		       struct error *err)
{
	const Croft__V1__Image *image = NULL;
	struct vm_run *run;
	int r = check_start(service, vm, &image, err);

	if (r == 0)
		r = vm_open_console(service, vm, true, err);
	if (r < 0)
		return r;
	run = vm_run_new(service, vm->msg, image);
	if (!run)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	run->vm = vm;
	run->console = vm->console;
	run->made.handle = on_made;
	run->exited.handle = on_exited;
	run->timer.fire = start_too_long;
	run->job.work = vm_run_start_work;
	run->job.finish = start_finish;
	r = job_start(service, &run->job, "start", err);
	if (r < 0) {
		vm_run_free(run);
		return r;
	}
	vm->run = run;
	service->runs++;
	timer_arm(service, &run->timer, service->tuning->start_timeout * SECOND);
	/* That of a restart runs already. */
	if (op->msg->state == CROFT__V1__OPERATION__STATE__RUNNING)
		op->job = &run->job;
	else
		operation_run(service, op, &run->job);
	vm_set_operation(vm, op);
	vm_set_state(service, vm, STATE(PREPARING));
	return 0;
}

static struct operation *new_operation(struct service *service, const struct vm_record *vm,
				       const char *verb, const char *actor, struct error *err)
{
	char target[NAME_MAX_LENGTH + 8];
	struct operation *op;

	snprintf(target, sizeof(target), "vms/%s", vm->msg->name);
	op = operation_new(service, verb, target, actor);
	if (!op)
		error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return op;
}

int vm_check_start(struct service *service, const struct vm_record *vm, struct error *err)
{
	const Croft__V1__Image *image;
	int r = check_idle(vm, err);

	if (r == 0)
		r = check_start(service, vm, &image, err);
	return r < 0 ? error_widen(err, "VM \"%s\"", vm->msg->name) : 0;
}

/* `verb` is "start", or "restart" of one that does not run. */
static int start(struct service *service, struct vm_record *vm, const char *verb, const char *actor,
		 struct error *err)
{
	struct operation *op;
	int r = vm_check_start(service, vm, err);

	if (r < 0)
		return r;
	op = new_operation(service, vm, verb, actor, err);
	if (!op)
		return -ENOMEM;
	r = begin_start(service, vm, op, err);
	if (r < 0) {
		error_widen(err, "VM \"%s\"", vm->msg->name);
		operation_end(service, op, err);
	}
	return r;
}

int vm_record_start(struct service *service, struct vm_record *vm, const char *actor,
		    struct error *err)
{
	return start(service, vm, "start", actor, err);
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

int vm_check_stop(const struct vm_record *vm, uint64_t patience_ns, struct error *err)
{
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
static int begin_stop(struct service *service, struct vm_record *vm, const char *verb,
		      const struct vm_stop *stop, struct error *err)
{
	struct operation *op = new_operation(service, vm, verb, stop->actor, err);

	if (!op)
		return -ENOMEM;
	operation_run(service, op, NULL);
	vm_set_operation(vm, op);
	vm_set_state(service, vm, STATE(STOPPING));
	if (stop->patience_ns)
		ask(service, vm, stop->patience_ns);
	else
		stop_now(service, vm);
	return 0;
}

int vm_record_stop(struct service *service, struct vm_record *vm, const struct vm_stop *how,
		   struct error *err)
{
	int r = vm_check_stop(vm, how->patience_ns, err);

	if (r < 0)
		return r;
	if (!is_asked(vm))
		return begin_stop(service, vm, "stop", how, err);
	stop_now(service, vm);
	return 0;
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
	r = check_start(service, vm, &image, err);
	if (r < 0)
		return error_widen(err, "VM \"%s\" goes on running", vm->msg->name);
	return 0;
}

int vm_record_restart(struct service *service, struct vm_record *vm, const struct vm_stop *how,
		      struct error *err)
{
	int r = vm_check_restart(service, vm, how->patience_ns, err);

	if (r < 0)
		return r;
	if (!vm->run)
		return start(service, vm, "restart", how->actor, err);
	if (!is_asked(vm))
		return begin_stop(service, vm, "restart", how, err);
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
