// SPDX-License-Identifier: Apache-2.0
// VMs as records: defining, deleting, storing; vm_life.c starts and stops them.

#include "agent/vm.h"

#include <dirent.h>
#include <string.h>

#include "agent/allow.h"
#include "agent/config.h"
#include "agent/event.h"
#include "agent/health.h"
#include "agent/image.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/node.h"
#include "agent/state.h"
#include "agent/trash.h"
#include "agent/validate.h"
#include "agent/vm_live.h"
#include "agent/vm_restart.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"
#include "agent/vm_update.h"

const char *vm_state_name(const struct vm_record *vm)
{
	const ProtobufCEnumValue *value =
		protobuf_c_enum_descriptor_get_value(&croft__v1__vm_status__state__descriptor,
						     (int)vm->msg->status->state);

	return value ? value->name : "in an unknown state";
}

const char *vm_reason_name(const struct vm_record *vm)
{
	const ProtobufCEnumValue *value =
		protobuf_c_enum_descriptor_get_value(&croft__v1__vm_status__exit_reason__descriptor,
						     (int)vm->msg->status->exit_reason);

	return value ? value->name : "unknown";
}

void vm_set_state(struct service *service, struct vm_record *vm, Croft__V1__VmStatus__State state)
{
	Croft__V1__VmStatus *status = vm->msg->status;
	bool ended = state == STATE(STOPPED) || state == STATE(FAILED);
	Croft__V1__VmStatus__State before = status->state;

	status->state = state;
	vm_set_pending(vm);
	record_touch(service, &vm->record);
	node_drain_look(service);
	/* A new one's event is that it was created. */
	if (state == before || before == STATE(STATE_UNSPECIFIED))
		return;
	event_emit(service, &(struct event_news){ .type = "vm.state",
						  .collection = "vms",
						  .object = vm->msg->name,
						  .state = vm_state_name(vm),
						  .reason = ended ? vm_reason_name(vm) : NULL,
						  .message = ended ? status->message : NULL,
						  .actor = vm->op ? vm->op->msg->actor : NULL });
}

void vm_set_end(struct vm_record *vm, Croft__V1__VmStatus__ExitReason reason, const char *message)
{
	vm->msg->status->exit_reason = reason;
	message_set_string(&vm->msg->status->message, message);
	message_set_now(&vm->msg->status->exit_time);
}

void vm_set_operation(struct vm_record *vm, struct operation *op)
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

struct vmm *vm_record_running(const struct vm_record *vm, struct error *err)
{
	struct vmm *vmm = vm_record_vmm(vm);

	if (!vmm)
		error_raise(err, ERROR_CONFLICT, "VM \"%s\" does not run", vm->msg->name);
	return vmm;
}

const Croft__V1__VmSpec *vm_record_ran_with(const struct vm_record *vm)
{
	return vm->run && vm_record_live(vm) ? vm->run->spec : NULL;
}

const char *vm_record_image(const struct vm_record *vm)
{
	return vm->msg->spec->image;
}

/* --- Records --- */

struct vm_record *vm_record_find(struct service *service, const char *name, struct error *err)
{
	struct vm_record *vm = table_find(&service->vms, name);

	if (!vm)
		error_raise(err, ERROR_NOT_FOUND, "there is no VM \"%.80s\"", name);
	return vm;
}

static struct vm_record *vm_record_free(struct service *service, struct vm_record *vm)
{
	if (!vm)
		return NULL;
	vm_restart_free(service, vm->restart);
	vm_consoles_free(vm->consoles);
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
	vm->restart = vm_restart_new(vm);
	if (!vm->restart || table_add(&service->vms, msg->name, vm) < 0)
		return vm_record_free(service, vm);
	return vm;
}

/* Whether the VM's own file of that disk is there, so that its image is not needed any more. */
static bool disk_made(void *data, const char *vm, const char *disk)
{
	struct service *service = data;
	const struct vm_record *record = table_find(&service->vms, vm);
	_cleanup_free_ char *path = record ? vm_disk_path(service, record->msg, disk) : NULL;

	return path && access(path, F_OK) == 0;
}

int vm_check_image_disks(struct service *service, const Croft__V1__Vm *vm,
			 const Croft__V1__Image *image, struct error *err)
{
	const struct validate_copies copies = { .made = disk_made, .data = service };

	return validate_image_disks(vm, image, &copies, err);
}

/* Asked until it is told, because it costs more than all the rest of a definition; 0: not yet. */
static unsigned int known_vcpus_max(struct service *service)
{
	struct vmm_host host;

	if (!service->vcpus_max && vmm_host_probe(service->config->backend, &host, NULL) == 0)
		service->vcpus_max = host.vcpus_max < VMM_VCPUS_MAX ? host.vcpus_max
								    : VMM_VCPUS_MAX;
	return service->vcpus_max;
}

/* What the host has in all: whether it is free is asked at the start. */
int vm_check_wish(struct service *service, const Croft__V1__Vm *wish, struct error *err)
{
	unsigned int vcpus_max = known_vcpus_max(service);
	const struct image_record *image;
	int r;

	r = validate_vm(wish, health_memory_total(), vcpus_max ? vcpus_max : VMM_VCPUS_MAX, err);
	if (r == 0)
		r = allow_check_spec(service->config, wish->spec, err);
	if (r < 0)
		return r;
	image = table_find(&service->images, wish->spec->image);
	if (!image)
		return error_raise_field(err, "/spec/image", "there is no image \"%s\"",
					 wish->spec->image);
	return image_record_ready(image) ? vm_check_image_disks(service, wish, image->msg, err) : 0;
}

int vm_check_new(struct service *service, const Croft__V1__Vm *wish, struct error *err)
{
	/* Of a name that is taken the client hears before all else that is wrong. */
	if (table_find(&service->vms, wish->name))
		return error_raise(err, ERROR_ALREADY_EXISTS, "VM \"%s\" exists", wish->name);
	return vm_check_wish(service, wish, err);
}

/* As a client's message becomes that of a record: what only the agent sets is its own. */
Croft__V1__Vm *vm_new_message(const Croft__V1__Vm *wish)
{
	Croft__V1__Vm *msg = message_copy(&wish->base);
	char uid[RECORD_UID];

	if (!msg)
		return NULL;
	record_uid(uid);
	message_set_string(&msg->uid, uid);
	message_set_now(&msg->create_time);
	msg->revision = 0;
	message_free(msg->status);
	msg->status = message_new(&croft__v1__vm_status__descriptor);
	return msg->status && msg->uid[0] ? msg : message_free(msg);
}

int vm_record_new(struct service *service, const Croft__V1__Vm *wish, const char *actor,
		  struct vm_record **out, struct error *err)
{
	struct vm_record *vm;
	Croft__V1__Vm *msg;
	int r = vm_check_new(service, wish, err);

	if (r < 0)
		return r;
	msg = vm_new_message(wish);
	vm = msg ? add(service, msg) : NULL;
	if (!vm)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	vm_set_state(service, vm, STATE(DEFINED));
	event_emit(service, &(struct event_news){ .type = "vm.created",
						  .collection = "vms",
						  .object = msg->name,
						  .state = vm_state_name(vm),
						  .actor = actor });
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

int vm_check_delete(const struct vm_record *vm, struct error *err)
{
	if (!vm->run)
		return 0;
	return error_raise(err, ERROR_CONFLICT, "VM \"%s\" is %s%s", vm->msg->name,
			   vm_state_name(vm),
			   vm_record_live(vm) ? "" : ", and its last start has not come back");
}

int vm_record_delete(struct service *service, struct vm_record *vm, const char *actor,
		     struct error *err)
{
	struct file_removal *removal;
	int r = vm_check_delete(vm, err);

	if (r < 0)
		return r;
	removal = calloc(1, sizeof(*removal));
	if (!removal)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (vm_restart_forget(service, vm, err) < 0 ||
	    record_forget(service, &vm->record, err) < 0) {
		free(removal);
		return -ENOMEM;
	}
	removal->deferred.run = remove_files;
	snprintf(removal->uid, sizeof(removal->uid), "%s", vm->msg->uid);
	service_defer(service, &removal->deferred);
	table_remove(&service->vms, vm->msg->name);
	event_emit(service, &(struct event_news){ .type = "vm.deleted",
						  .collection = "vms",
						  .object = vm->msg->name,
						  .actor = actor });
	log_info("vms/%s: deleted", vm->msg->name);
	vm_record_free(service, vm);
	return 0;
}

char *vm_disk_path(const struct service *service, const Croft__V1__Vm *vm, const char *disk)
{
	char *path;

	return asprintf(&path, "%s/%s/%s.raw", service->vm_dir, vm->uid, disk) < 0 ? NULL : path;
}

void vm_discard_disk(struct service *service, const struct vm_record *vm, const char *disk)
{
	_cleanup_free_ char *path = vm_disk_path(service, vm->msg, disk), *name = NULL;

	if (asprintf(&name, "%s-%s", vm->msg->uid, disk) < 0)
		name = NULL;
	if (!path || !name || access(path, F_OK) < 0)
		return;
	trash_take(service->vm_dir, path, name);
	log_info("vms/%s: disk \"%s\" is removed", vm->msg->name, disk);
	service_empty_trash(service);
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
		vm_set_end(vm, REASON(vmm_crash), "the agent ended while the VM ran");
		vm_set_operation(vm, NULL);
		if (msg->status->vsock_path[0])
			unlink(msg->status->vsock_path);
		vm_live_clear(vm);
		vm_set_state(service, vm, STATE(STOPPED));
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
		vm_record_free(service, service->vms.entries[i].record);
	table_clear(&service->vms);
}
