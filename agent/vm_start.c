// SPDX-License-Identifier: Apache-2.0
// How a VM comes up: the checks, the job, and what becomes of the record when it ends well or not.

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
#include "agent/vm_life.h"
#include "agent/vm_live.h"
#include "agent/vm_restart.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"

#define SECOND 1000000000ull

static void start_failed(struct service *service, struct vm_run *run)
{
	struct vm_record *vm = run->vm;
	struct error *error = &run->error;
	bool cancelled = error->code == ERROR_CANCELLED;

	if (run->abandoned) {
		vm_run_ended(service, vm);
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
	vm_run_ended(service, vm);
	if (cancelled && !service->stopping)
		vm_restart_off(service, vm);
	else
		vm_restart_judge(service, vm);
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
		vm_live_begin(vm);
		vm_set_state(service, vm, STATE(RUNNING));
		operation_end(service, vm->op, NULL);
		vm_set_operation(vm, NULL);
		log_info("vms/%s: RUNNING", vm->msg->name);
	}
	if (run->over)
		vm_run_over(service, run);
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
	vm_restart_judge(service, vm);
}

/* That it can be started, by the node, by its image and by what the host has free. */
int vm_check_startable(struct service *service, const struct vm_record *vm,
		       const Croft__V1__Image **out, struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	const struct image_record *image = table_find(&service->images, spec->image);
	const char *cmdline = spec->cmdline;
	struct vmm_host host;
	size_t n;
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
	n = validate_cmdline_length(cmdline, spec->cmdline_append);
	if (n > validate_cmdline_max(spec))
		return error_raise(err, ERROR_CONFLICT,
				   "the image's command line and /spec/cmdline_append have %zu "
				   "bytes together: at most %zu are allowed",
				   n, validate_cmdline_max(spec));
	r = vm_peers_check(service, vm, err);
	if (r == 0)
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
int vm_begin_start(struct service *service, struct vm_record *vm, struct operation *op,
		   struct error *err)
{
	const Croft__V1__Image *image = NULL;
	struct vm_run *run;
	int r = vm_check_startable(service, vm, &image, err);

	if (r == 0)
		r = vm_consoles_open(service, vm, err);
	if (r < 0)
		return r;
	run = vm_run_new(service, vm, image);
	if (!run)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	run->made.handle = on_made;
	run->exited.handle = vm_on_exited;
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

struct operation *vm_new_operation(struct service *service, const struct vm_record *vm,
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
		r = vm_check_startable(service, vm, &image, err);
	return r < 0 ? error_widen(err, "VM \"%s\"", vm->msg->name) : 0;
}

struct operation *vm_start_as(struct service *service, struct vm_record *vm, const char *verb,
			      const char *actor, struct error *err)
{
	struct operation *op;

	if (vm_check_start(service, vm, err) < 0)
		return NULL;
	op = vm_new_operation(service, vm, verb, actor, err);
	if (!op)
		return NULL;
	if (vm_begin_start(service, vm, op, err) < 0) {
		error_widen(err, "VM \"%s\"", vm->msg->name);
		operation_end(service, op, err);
		return NULL;
	}
	vm_restart_on(service, vm);
	return op;
}

struct operation *vm_record_start(struct service *service, struct vm_record *vm, const char *actor,
				  struct error *err)
{
	return vm_start_as(service, vm, "start", actor, err);
}
