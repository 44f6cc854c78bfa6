// SPDX-License-Identifier: Apache-2.0
// VMs as records: the state machine between what clients ask and what runs.

#include "agent/vm.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "agent/health.h"
#include "agent/image.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/trash.h"
#include "agent/validate.h"
#include "agent/vm_run.h"

#define SECOND 1000000000ull

typedef Croft__V1__VmStatus__State state_t;
typedef Croft__V1__VmStatus__ExitReason reason_t;

#define STATE(name) CROFT__V1__VM_STATUS__STATE__##name
#define REASON(name) CROFT__V1__VM_STATUS__EXIT_REASON__##name

/* What each end of a guest means for the record. */
static const struct {
	reason_t reason;
	state_t state;
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

static const char *state_name(const struct vm_record *vm)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
		&croft__v1__vm_status__state__descriptor, (int)vm->msg->status->state);

	return value ? value->name : "in an unknown state";
}

static const char *reason_name(reason_t reason)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
		&croft__v1__vm_status__exit_reason__descriptor, (int)reason);

	return value ? value->name : "unknown";
}

static void set_state(struct service *service, struct vm_record *vm, state_t state)
{
	vm->msg->status->state = state;
	record_touch(service, &vm->record);
}

/* The end of a run, or of a start that failed. */
static void set_end(struct vm_record *vm, reason_t reason, const char *message)
{
	vm->msg->status->exit_reason = reason;
	message_set_string(&vm->msg->status->message, message);
	message_set_now(&vm->msg->status->exit_time);
}

static void set_operation(struct vm_record *vm, struct operation *op)
{
	vm->op = op;
	message_set_string(&vm->msg->status->operation, op ? op->msg->name : "");
}

bool vm_record_live(const struct vm_record *vm)
{
	switch (vm->msg->status->state) {
	case STATE(PREPARING):
	case STATE(STARTING):
	case STATE(RUNNING):
	case STATE(STOPPING):
		return true;
	default:
		return false;
	}
}

struct vmm *vm_record_vmm(const struct vm_record *vm)
{
	/* Once it has exited, the run's job may be freeing it. */
	return vm->run && vm->run->up && !vm->run->over ? vm->run->vmm : NULL;
}

const char *vm_record_image(const struct vm_record *vm)
{
	return vm->msg->spec->image;
}

/* --- Records --- */

static struct vm_record *vm_record_free(struct vm_record *vm)
{
	if (!vm)
		return NULL;
	recording_free(vm->console);
	message_free(vm->msg);
	free(vm);
	return NULL;
}

/* Takes the message, also when it fails; NULL without memory. */
static struct vm_record *add(struct service *service, Croft__V1__Vm *msg)
{
	struct vm_record *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		message_free(msg);
		return NULL;
	}
	vm->msg = msg;
	vm->record = (struct record){
		.kind = "vm", .name = msg->name, .message = &msg->base, .revision = &msg->revision
	};
	if (table_add(&service->vms, msg->name, vm) < 0)
		return vm_record_free(vm);
	return vm;
}

/* What the host has in all: whether it is free is asked at the start. */
static int check_wish(struct service *service, const Croft__V1__Vm *wish, struct error *err)
{
	struct vmm_host host;
	unsigned int vcpus_max = VMM_VCPUS_MAX;
	const struct image_record *image;
	int r;

	if (vmm_host_probe(service->config->backend, &host, NULL) == 0 && host.vcpus_max < vcpus_max)
		vcpus_max = host.vcpus_max;
	r = validate_vm(wish, health_memory_total(), vcpus_max, err);
	if (r < 0)
		return r;
	if (table_find(&service->vms, wish->name))
		return error_raise(err, ERROR_ALREADY_EXISTS, "VM \"%s\" exists", wish->name);
	image = table_find(&service->images, wish->spec->image);
	if (!image)
		return error_raise_field(err, "/spec/image", "there is no image \"%s\"", wish->spec->image);
	return image_record_ready(image) ? validate_image_disks(wish->spec, image->msg, err) : 0;
}

int vm_record_new(struct service *service, const Croft__V1__Vm *wish, struct vm_record **out, struct error *err)
{
	struct vm_record *vm;
	Croft__V1__Vm *msg;
	char uid[RECORD_UID];
	int r = check_wish(service, wish, err);

	if (r < 0)
		return r;
	msg = message_copy(&wish->base);
	if (!msg)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	record_uid(uid);
	message_set_string(&msg->uid, uid);
	message_set_now(&msg->create_time);
	message_free(msg->status);
	msg->status = message_new(&croft__v1__vm_status__descriptor);
	vm = NULL;
	if (msg->status && msg->uid[0])
		vm = add(service, msg);
	else
		message_free(msg);
	if (!vm)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	set_state(service, vm, STATE(DEFINED));
	log_info("vms/%s: defined", msg->name);
	*out = vm;
	return 0;
}

/* The files of a deleted VM go when its record is gone from the disk. */
struct file_removal {
	struct deferred deferred;
	char uid[RECORD_UID];
};

static void remove_files(struct service *service, struct deferred *deferred)
{
	struct file_removal *removal = CONTAINER_OF(deferred, struct file_removal, deferred);

	trash_put(service->vm_dir, removal->uid);
	free(removal);
	service_empty_trash(service);
}

int vm_record_delete(struct service *service, struct vm_record *vm, struct error *err)
{
	struct file_removal *removal;

	if (vm->run)
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s%s", vm->msg->name, state_name(vm),
				   vm_record_live(vm) ? "" : ", and its last start has not come back");
	removal = calloc(1, sizeof(*removal));
	if (!removal)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (record_forget(service, &vm->record, err) < 0) {
		free(removal);
		return -ENOMEM;
	}
	removal->deferred.run = remove_files;
	snprintf(removal->uid, sizeof(removal->uid), "%s", vm->msg->uid);
	service_defer(service, &removal->deferred);
	table_remove(&service->vms, vm->msg->name);
	log_info("vms/%s: deleted", vm->msg->name);
	vm_record_free(vm);
	return 0;
}

static void console_news(void *data)
{
	service_nudge(data);
}

/* <vm_dir>/<uid>, and the console in it. */
static int open_console(struct service *service, struct vm_record *vm, bool make, struct error *err)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *path = NULL;

	if (vm->console)
		return 0;
	if (asprintf(&dir, "%s/%s", service->vm_dir, vm->msg->uid) < 0)
		dir = NULL;
	if (!dir || asprintf(&path, "%s/console", dir) < 0) {
		path = NULL;
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (!make && access(path, F_OK) < 0)
		return 0;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_raise_errno(err, errno == ENOSPC ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL, errno,
					 "make %s", dir);
	return recording_open(&vm->console, path, console_news, service, err);
}

int vm_record_console(struct service *service, struct vm_record *vm, struct recording **out, struct error *err)
{
	int r = open_console(service, vm, false, err);

	if (r < 0)
		return error_widen(err, "VM \"%s\": console", vm->msg->name);
	*out = vm->console;
	return 0;
}

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
	reason_t reason = vm->msg->status->exit_reason;
	bool abandoned = run->abandoned;
	state_t state = ends[run->exit.reason].state;

	run_ended(service, vm);
	if (abandoned)
		return;
	set_state(service, vm, state);
	log_info("vms/%s: %s, %s%s%s", vm->msg->name, state_name(vm), reason_name(reason),
		 vm->msg->status->message[0] ? ": " : "", vm->msg->status->message);
	operation_end(service, vm->op, NULL);
	set_operation(vm, NULL);
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
	reason_t reason = ends[run->exit.reason].reason;

	if (service->stopping && run->exit.reason == VMM_EXIT_FORCE_STOPPED)
		reason = REASON(host_shutdown);
	timer_disarm(service, &run->timer);
	if (!run->abandoned) {
		set_end(vm, reason, run->exit.error.code == ERROR_NONE ? "" : run->exit.error.message);
		set_state(service, vm, STATE(STOPPING));
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
		error_raise(error, ERROR_UNAVAILABLE, "VM \"%s\": the agent was stopped", vm->msg->name);
		set_end(vm, REASON(host_shutdown), error->message);
	} else if (!cancelled) {
		set_end(vm, REASON(load_failed), error->message);
	}
	operation_end(service, vm->op, error);
	set_operation(vm, NULL);
	if (cancelled)
		set_state(service, vm, vm->msg->status->starts ? STATE(STOPPED) : STATE(DEFINED));
	else
		set_state(service, vm, STATE(FAILED));
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
		operation_end(service, vm->op, NULL);
		set_operation(vm, NULL);
		set_state(service, vm, STATE(RUNNING));
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
		set_state(service, run->vm, STATE(STARTING));
}

static void start_too_long(struct service *service, struct timer *timer)
{
	struct vm_run *run = CONTAINER_OF(timer, struct vm_run, timer);
	struct vm_record *vm = run->vm;
	struct error error;

	error_raise(&error, ERROR_DEADLINE, "VM \"%s\": the start has not finished after %u s", vm->msg->name,
		    service->config->start_timeout);
	run->abandoned = true;
	atomic_store(&run->job.cancel, true);
	set_end(vm, REASON(start_timeout), error.message);
	operation_end(service, vm->op, &error);
	set_operation(vm, NULL);
	set_state(service, vm, STATE(FAILED));
}

/* That it can be started, by its image and by what the host has free. */
static int check_start(struct service *service, struct vm_record *vm, const Croft__V1__Image **out, struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;
	const struct image_record *image = table_find(&service->images, spec->image);
	const char *cmdline = spec->cmdline;
	struct vmm_host host;
	int r;

	if (vm->run)
		return error_raise(err, ERROR_CONFLICT, "it is %s%s", state_name(vm),
				   vm_record_live(vm) ? "" : ", and its last start has not come back");
	if (!image || !image_record_ready(image))
		return error_raise(err, ERROR_CONFLICT, "image \"%s\" is not READY%s%s", spec->image,
				   image && image->msg->status->message[0] ? ": " : "",
				   image ? image->msg->status->message : "");
	r = validate_image_disks(spec, image->msg, err);
	if (r < 0)
		return error_raise(err, ERROR_CONFLICT, "%s: %s", err->field, err->message);
	if (!cmdline[0])
		cmdline = image->msg->status->cmdline;
	if (strlen(cmdline) + 1 + strlen(spec->cmdline_append) > CMDLINE_MAX_LENGTH)
		return error_raise(err, ERROR_CONFLICT,
				   "the image's command line and cmdline_append have more than %u bytes together",
				   CMDLINE_MAX_LENGTH);
	r = vmm_host_probe(service->config->backend, &host, err);
	if (r < 0)
		return r;
	if (spec->memory_bytes > host.memory_available)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "%" PRIu64 " bytes of memory: the host has %" PRIu64
				   " left", spec->memory_bytes, host.memory_available);
	*out = image->msg;
	return 0;
}

static int start(struct service *service, struct vm_record *vm, const char *actor, struct error *err)
{
	const Croft__V1__Image *image = NULL;
	char target[NAME_MAX_LENGTH + 8];
	struct operation *op;
	struct vm_run *run;
	int r = check_start(service, vm, &image, err);

	if (r == 0)
		r = open_console(service, vm, true, err);
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
	set_operation(vm, op);
	set_state(service, vm, STATE(PREPARING));
	return 0;
}

int vm_record_start(struct service *service, struct vm_record *vm, const char *actor, struct error *err)
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
	set_operation(vm, NULL);
	message_set_string(&vm->msg->status->message, error.message);
	record_touch(service, &vm->record);
}

int vm_record_stop(struct service *service, struct vm_record *vm, const char *actor, struct error *err)
{
	struct vmm *vmm = vm_record_vmm(vm);
	char target[NAME_MAX_LENGTH + 8];
	struct operation *op;

	if (!vmm || vm->msg->status->state != STATE(RUNNING))
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s, not RUNNING", vm->msg->name, state_name(vm));
	snprintf(target, sizeof(target), "vms/%s", vm->msg->name);
	op = operation_new(service, "stop", target, actor);
	if (!op)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	operation_run(service, op, NULL);
	set_operation(vm, op);
	vm->run->timer.fire = stop_too_long;
	timer_arm(service, &vm->run->timer, service->config->stop_timeout * SECOND);
	set_state(service, vm, STATE(STOPPING));
	vmm_stop(vmm);
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

/* --- Loading --- */

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	Croft__V1__Vm *msg = croft__v1__vm__unpack(NULL, n, bytes);
	struct vm_record *vm;

	if (!msg || strcmp(msg->name, name) != 0 || !msg->status || !msg->spec) {
		message_free(msg);
		return error_raise(err, ERROR_DATA_LOSS, "VM \"%s\" in the store is damaged", name);
	}
	vm = add(service, msg);
	if (!vm)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (vm_record_live(vm)) {
		set_end(vm, REASON(vmm_crash), "the agent ended while the VM ran");
		set_operation(vm, NULL);
		set_state(service, vm, STATE(STOPPED));
	}
	return 0;
}

int vm_records_load(struct service *service, struct error *err)
{
	return store_load(service->store, "vm", load, service, err);
}

void vm_records_sweep(struct service *service)
{
	struct table uids = { .count = 0 };
	DIR *d = opendir(service->vm_dir);
	bool all = true;
	struct dirent *e;

	for (size_t i = 0; i < service->vms.count; i++) {
		struct vm_record *vm = service->vms.entries[i].record;

		all = table_add(&uids, vm->msg->uid, vm) != -ENOMEM && all;
	}
	/* Without all names nothing may be called unknown. */
	while (d && all && (e = readdir(d)))
		if (strlen(e->d_name) == RECORD_UID - 1 && !table_find(&uids, e->d_name))
			trash_put(service->vm_dir, e->d_name);
	if (d)
		closedir(d);
	table_clear(&uids);
}

void vm_records_free(struct service *service)
{
	for (size_t i = 0; i < service->vms.count; i++)
		vm_record_free(service->vms.entries[i].record);
	table_clear(&service->vms);
}
