/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a VM: which fields take effect when, what waits for a restart, and what is refused. Service thread only.
 */
#ifndef CROFT_AGENT_VM_UPDATE_H
#define CROFT_AGENT_VM_UPDATE_H

#include "agent/vm.h"
#include "google/protobuf/field_mask.pb-c.h"

/* As the comments in vm.proto say; a test holds the two against each other. */
enum vm_effect { VM_LIVE, VM_RESTART, VM_NEVER };

struct vm_field {
	const ProtobufCMessageDescriptor *type; /* of VmSpec or what is inside it */
	const char *name;
	enum vm_effect effect;
};

extern const struct vm_field vm_fields[];
extern const size_t vm_field_count;

/* One bit for the labels, then one for each field of VmSpec in the proto's order. */
#define VM_CHANGED_LABELS 1u
unsigned int vm_changes(const Croft__V1__Vm *a, const Croft__V1__Vm *b);

/* The bits of what differs and waits for a start: what is live in a disk or a network is no difference. */
unsigned int vm_changes_waiting(const Croft__V1__VmSpec *ran, const Croft__V1__VmSpec *spec);

/* The JSON pointer of the lowest bit ("/labels", "/spec/vcpus"), which is taken out of *changes; NULL when there is none. */
const char *vm_change_next(unsigned int *changes);

struct vm_update {
	const Croft__V1__Vm *wish; /* its name is not looked at */
	const Google__Protobuf__FieldMask *mask;
	const char *actor;
	bool dry_run; /* checks all and changes nothing */
};

/*
 * Changes labels and spec as the mask says, or nothing at all. *out, which the caller frees, is the VM as it then is, or
 * would be. Without a difference there is no new revision and no event. Errors: INVALID_ARGUMENT with the field; those of
 * vm_live.h.
 */
int vm_record_update(struct service *service, struct vm_record *vm, const struct vm_update *update,
		     Croft__V1__Vm **out, struct error *err);

/* Brings status.pending up to date: what the running guest was not started with. Not stored by itself. */
void vm_set_pending(struct vm_record *vm);

/* The run has ended: lets go of the files of its disks that the spec does not have any more. */
void vm_discard_disks(struct service *service, struct vm_record *vm, const Croft__V1__VmSpec *ran);

#endif
