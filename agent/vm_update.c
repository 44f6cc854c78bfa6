// SPDX-License-Identifier: Apache-2.0
// Changes of a VM: which fields take effect when, what waits for a restart, and what is refused.

#include "agent/vm_update.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/event.h"
#include "agent/log.h"
#include "agent/mask.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/validate.h"
#include "agent/vm_live.h"
#include "agent/vm_restart.h"
#include "agent/vm_run.h"
#include "agent/vm_state.h"

#define SPEC  &croft__v1__vm_spec__descriptor
#define DISK  &croft__v1__disk_spec__descriptor
#define NET   &croft__v1__network_spec__descriptor
#define SHARE &croft__v1__share_spec__descriptor

const struct vm_field vm_fields[] = {
	{ SPEC, "vcpus", VM_RESTART },
	{ SPEC, "memory_bytes", VM_RESTART },
	{ SPEC, "image", VM_RESTART },
	{ SPEC, "cmdline", VM_RESTART },
	{ SPEC, "cmdline_append", VM_RESTART },
	{ SPEC, "disks", VM_RESTART },
	{ SPEC, "memory_target_bytes", VM_LIVE },
	{ SPEC, "protection", VM_RESTART },
	{ SPEC, "bounce_bytes", VM_RESTART },
	{ SPEC, "huge_pages", VM_RESTART },
	{ SPEC, "networks", VM_RESTART },
	{ SPEC, "no_network", VM_RESTART },
	{ SPEC, "vsock", VM_RESTART },
	{ SPEC, "ports", VM_RESTART },
	{ SPEC, "device_tree_overlay", VM_RESTART },
	{ SPEC, "shares", VM_RESTART },
	{ SPEC, "restart", VM_LIVE },
	{ DISK, "image_disk", VM_NEVER },
	{ DISK, "size_bytes", VM_LIVE },
	{ DISK, "read_only", VM_RESTART },
	{ DISK, "serial", VM_RESTART },
	{ DISK, "queues", VM_RESTART },
	{ DISK, "limit", VM_LIVE },
	{ DISK, "block_device", VM_NEVER },
	{ NET, "kind", VM_RESTART },
	{ NET, "bridge", VM_RESTART },
	{ NET, "mac", VM_RESTART },
	{ NET, "any_source", VM_RESTART },
	{ NET, "link_down", VM_LIVE },
	{ NET, "receive", VM_LIVE },
	{ NET, "transmit", VM_LIVE },
	{ SHARE, "path", VM_RESTART },
	{ SHARE, "read_only", VM_RESTART },
};
const size_t vm_field_count = ARRAY_SIZE(vm_fields);

/* What vm_changes() has bits for. */
static const char *const pointers[] = {
	"/labels",
	"/spec/vcpus",
	"/spec/memory_bytes",
	"/spec/image",
	"/spec/cmdline",
	"/spec/cmdline_append",
	"/spec/disks",
	"/spec/memory_target_bytes",
	"/spec/protection",
	"/spec/bounce_bytes",
	"/spec/huge_pages",
	"/spec/networks",
	"/spec/no_network",
	"/spec/vsock",
	"/spec/ports",
	"/spec/device_tree_overlay",
	"/spec/shares",
	"/spec/restart",
};

/* A part that is not in the table is a name, which says what the others belong to. */
static enum vm_effect effect_of(const ProtobufCMessageDescriptor *type, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(vm_fields); i++)
		if (vm_fields[i].type == type && strcmp(vm_fields[i].name, name) == 0)
			return vm_fields[i].effect;
	return VM_RESTART;
}

/* --- Differences --- */

static const char *label_of(const Croft__V1__Vm *vm, const char *key)
{
	for (size_t i = 0; i < vm->n_labels; i++)
		if (strcmp(vm->labels[i]->key, key) == 0)
			return vm->labels[i]->value;
	return NULL;
}

/* Their order means nothing. */
static bool labels_differ(const Croft__V1__Vm *a, const Croft__V1__Vm *b)
{
	if (a->n_labels != b->n_labels)
		return true;
	for (size_t i = 0; i < a->n_labels; i++) {
		const char *value = label_of(b, a->labels[i]->key);

		if (!value || strcmp(value, a->labels[i]->value) != 0)
			return true;
	}
	return false;
}

static bool is_listed(const ProtobufCMessageDescriptor *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(vm_fields); i++)
		if (vm_fields[i].type == type)
			return true;
	return false;
}

static bool item_waits(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	const ProtobufCMessageDescriptor *type = a->descriptor;

	for (unsigned int i = 0; i < type->n_fields; i++)
		if (effect_of(type, type->fields[i].name) != VM_LIVE &&
		    message_field_differs(a, b, &type->fields[i]))
			return true;
	return false;
}

/* Whether what differs in the field, of items with effects of their own, is more than what is live in them. */
static bool list_waits(const ProtobufCMessage *a, const ProtobufCMessage *b,
		       const ProtobufCFieldDescriptor *field)
{
	ProtobufCMessage *const *left, *const *right;
	size_t n, m;

	memcpy(&left, (const char *)a + field->offset, sizeof(left));
	memcpy(&right, (const char *)b + field->offset, sizeof(right));
	memcpy(&n, (const char *)a + field->quantifier_offset, sizeof(n));
	memcpy(&m, (const char *)b + field->quantifier_offset, sizeof(m));
	for (size_t i = 0; n == m && i < n; i++)
		if (item_waits(left[i], right[i]))
			return true;
	return n != m;
}

static bool field_waits(const Croft__V1__VmSpec *a, const Croft__V1__VmSpec *b,
			const ProtobufCFieldDescriptor *field)
{
	if (effect_of(SPEC, field->name) != VM_RESTART ||
	    !message_field_differs(&a->base, &b->base, field))
		return false;
	return field->label != PROTOBUF_C_LABEL_REPEATED || !is_listed(field->descriptor) ||
	       list_waits(&a->base, &b->base, field);
}

unsigned int vm_changes_waiting(const Croft__V1__VmSpec *ran, const Croft__V1__VmSpec *spec)
{
	const ProtobufCMessageDescriptor *type = SPEC;
	unsigned int changes = 0;

	for (unsigned int i = 0; i < type->n_fields; i++)
		if (field_waits(ran, spec, &type->fields[i]))
			changes |= VM_CHANGED_LABELS << (i + 1);
	return changes;
}

static unsigned int spec_changes(const Croft__V1__VmSpec *a, const Croft__V1__VmSpec *b)
{
	const ProtobufCMessageDescriptor *type = SPEC;
	unsigned int changes = 0;

	assert(type->n_fields == ARRAY_SIZE(pointers) - 1);
	for (unsigned int i = 0; i < type->n_fields; i++)
		if (message_field_differs(&a->base, &b->base, &type->fields[i]))
			changes |= VM_CHANGED_LABELS << (i + 1);
	return changes;
}

unsigned int vm_changes(const Croft__V1__Vm *a, const Croft__V1__Vm *b)
{
	return (labels_differ(a, b) ? VM_CHANGED_LABELS : 0) | spec_changes(a->spec, b->spec);
}

const char *vm_change_next(unsigned int *changes)
{
	unsigned int bit = *changes ? (unsigned int)__builtin_ctz(*changes) : 0;

	if (!*changes)
		return NULL;
	*changes &= *changes - 1;
	return pointers[bit];
}

static void fill_pending(Croft__V1__VmStatus *status, const Croft__V1__VmSpec *ran,
			 const Croft__V1__VmSpec *spec)
{
	unsigned int changes = ran ? vm_changes_waiting(ran, spec) : 0;
	const char *pointer;

	for (size_t i = 0; i < status->n_pending; i++)
		free(status->pending[i]);
	status->n_pending = 0;
	while ((pointer = vm_change_next(&changes))) {
		char *copy = strdup(pointer);

		if (!copy || message_append(&status->pending, &status->n_pending, copy) < 0)
			free(copy);
	}
}

void vm_set_pending(struct vm_record *vm)
{
	fill_pending(vm->msg->status, vm_record_ran_with(vm), vm->msg->spec);
}

/* --- Disks --- */

static const Croft__V1__DiskSpec *find_disk(const Croft__V1__VmSpec *spec, const char *name)
{
	for (size_t i = 0; spec && i < spec->n_disks; i++)
		if (strcmp(spec->disks[i]->name, name) == 0)
			return spec->disks[i];
	return NULL;
}

/* What becomes of a disk that is there. */
static int check_disk(const Croft__V1__DiskSpec *old, const Croft__V1__DiskSpec *new, size_t index,
		      struct error *err)
{
	char field[ERROR_FIELD_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(vm_fields); i++) {
		const struct vm_field *f = &vm_fields[i];

		if (f->type != DISK || f->effect != VM_NEVER ||
		    !message_field_differs(
			    &old->base, &new->base,
			    protobuf_c_message_descriptor_get_field_by_name(DISK, f->name)))
			continue;
		snprintf(field, sizeof(field), "/spec/disks/%zu/%s", index, f->name);
		return error_raise_field(err, field,
					 "%s of disk \"%s\" never changes: a disk that is another "
					 "one needs another name",
					 f->name, new->name);
	}
	snprintf(field, sizeof(field), "/spec/disks/%zu/size_bytes", index);
	if (new->size_bytes < old->size_bytes)
		return error_raise_field(err, field,
					 "disk \"%s\" has %" PRIu64
					 " bytes and can only be enlarged",
					 new->name, old->size_bytes);
	return 0;
}

/* A disk that was taken away but that the guest has still is that disk, when it is named again. */
static const Croft__V1__DiskSpec *known_disk(const struct vm_record *vm, const char *name)
{
	const Croft__V1__DiskSpec *disk = find_disk(vm->msg->spec, name);

	return disk ? disk : find_disk(vm_record_ran_with(vm), name);
}

static int check_disks(const struct vm_record *vm, const Croft__V1__VmSpec *new, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < new->n_disks; i++) {
		const Croft__V1__DiskSpec *old = known_disk(vm, new->disks[i]->name);

		if (old)
			r = check_disk(old, new->disks[i], i, err);
	}
	return r;
}

/* The file of a disk that is taken away goes when the change is on the disk. */
struct disk_removal {
	struct deferred deferred;
	char vm[NAME_MAX_LENGTH + 1], uid[RECORD_UID], disk[NAME_MAX_LENGTH + 1];
};

static void remove_disk(struct service *service, struct deferred *deferred)
{
	struct disk_removal *removal = CONTAINER_OF(deferred, struct disk_removal, deferred);
	const struct vm_record *vm = table_find(&service->vms, removal->vm);

	if (vm && strcmp(vm->msg->uid, removal->uid) == 0 && !known_disk(vm, removal->disk))
		vm_discard_disk(service, vm, removal->disk);
	free(removal);
}

void vm_discard_disks(struct service *service, struct vm_record *vm, const Croft__V1__VmSpec *ran)
{
	for (size_t i = 0; i < ran->n_disks; i++) {
		const char *name = ran->disks[i]->name;
		struct disk_removal *removal;

		if (find_disk(vm->msg->spec, name))
			continue;
		removal = calloc(1, sizeof(*removal));
		/* A file that stays takes room until the VM is deleted. */
		if (!removal)
			return;
		removal->deferred.run = remove_disk;
		snprintf(removal->vm, sizeof(removal->vm), "%s", vm->msg->name);
		snprintf(removal->uid, sizeof(removal->uid), "%s", vm->msg->uid);
		snprintf(removal->disk, sizeof(removal->disk), "%s", name);
		service_defer(service, &removal->deferred);
	}
}

/* A new disk does not begin with the data of one that had its name before. */
static void discard_namesakes(struct service *service, struct vm_record *vm,
			      const Croft__V1__VmSpec *new)
{
	for (size_t i = 0; i < new->n_disks; i++)
		if (!known_disk(vm, new->disks[i]->name))
			vm_discard_disk(service, vm, new->disks[i]->name);
}

/* --- The update --- */

static void tell_update(struct service *service, struct vm_record *vm, unsigned int changes,
			const char *actor)
{
	char message[ERROR_MESSAGE_MAX] = "";
	const char *pointer;
	size_t n = 0;

	while ((pointer = vm_change_next(&changes)))
		n += (size_t)snprintf(message + n, sizeof(message) - n, "%s%s", n ? ", " : "",
				      pointer);
	event_emit(service, &(struct event_news){ .type = "vm.updated",
						  .collection = "vms",
						  .object = vm->msg->name,
						  .state = vm_state_name(vm),
						  .message = message,
						  .actor = actor });
	log_info("vms/%s: changed: %s", vm->msg->name, message);
}

/* Puts labels and spec of `merged` into the record, whose name others point to. */
static void take_in(struct service *service, struct vm_record *vm, Croft__V1__Vm *merged,
		    const struct vm_update *update)
{
	unsigned int changes = vm_changes(vm->msg, merged);

	if (!changes)
		return;
	discard_namesakes(service, vm, merged->spec);
	MESSAGE_SWAP(vm->msg->labels, merged->labels);
	MESSAGE_SWAP(vm->msg->n_labels, merged->n_labels);
	MESSAGE_SWAP(vm->msg->spec, merged->spec);
	if (!vm->run)
		vm_discard_disks(service, vm, merged->spec);
	vm_set_pending(vm);
	vm_live_show(vm);
	record_touch(service, &vm->record);
	tell_update(service, vm, changes, update->actor);
	vm_restart_changed(service, vm);
}

static int check(struct service *service, struct vm_record *vm, Croft__V1__Vm *merged,
		 const struct vm_update *update, struct error *err)
{
	static const char *const parts[] = { "labels", "spec", NULL };
	int r = mask_apply(&merged->base, &update->wish->base, update->mask, parts, err);

	if (r == 0)
		r = vm_check_wish(service, merged, err);
	if (r == 0)
		r = check_disks(vm, merged->spec, err);
	return r < 0 ? r : vm_live_check(vm, merged->spec, err);
}

int vm_record_update(struct service *service, struct vm_record *vm, const struct vm_update *update,
		     Croft__V1__Vm **out, struct error *err)
{
	Croft__V1__Vm *merged = message_copy(&vm->msg->base);
	int r;

	if (!merged)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = check(service, vm, merged, update, err);
	if (r == 0 && update->dry_run) {
		fill_pending(merged->status, vm_record_ran_with(vm), merged->spec);
		*out = merged;
		return 0;
	}
	if (r == 0)
		r = vm_live_apply(vm, merged->spec, err);
	if (r == 0)
		take_in(service, vm, merged, update);
	message_free(merged);
	if (r < 0)
		return r;
	*out = message_copy(&vm->msg->base);
	return *out ? 0 : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}
