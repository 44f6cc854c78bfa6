/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How vm*.c change a VM's record.
 */
#ifndef CROFT_AGENT_VM_STATE_H
#define CROFT_AGENT_VM_STATE_H

#include "agent/vm.h"
#include "croft/v1/image.pb-c.h"

#define STATE(name)  CROFT__V1__VM_STATUS__STATE__##name
#define REASON(name) CROFT__V1__VM_STATUS__EXIT_REASON__##name

/* "RUNNING", ... */
const char *vm_state_name(const struct vm_record *vm);
/* "guest_poweroff", ... of its last end */
const char *vm_reason_name(const struct vm_record *vm);

/*
 * Each but the first leaves it to vm_set_state() to have the record stored. The first makes an event, whose actor is that of
 * the VM's operation: it comes before the operation is taken away.
 */
void vm_set_state(struct service *service, struct vm_record *vm, Croft__V1__VmStatus__State state);
/* The end of a run, or of a start that failed. */
void vm_set_end(struct vm_record *vm, Croft__V1__VmStatus__ExitReason reason, const char *message);
void vm_set_operation(struct vm_record *vm, struct operation *op);

/* The whole message as a client may send it, its image and what its hypervisor can: INVALID_ARGUMENT. */
int vm_check_wish(struct service *service, const Croft__V1__Vm *wish, struct error *err);
/* The image, which is READY, has the disks that the VM needs of it. */
int vm_check_image_disks(struct service *service, const Croft__V1__Vm *vm,
			 const Croft__V1__Image *image, struct error *err);

/* The VM's own file of a disk; free() it. NULL without memory. */
char *vm_disk_path(const struct service *service, const Croft__V1__Vm *vm, const char *disk);
/* Moves that file, if it is there, to the trash. No run may use it. */
void vm_discard_disk(struct service *service, const struct vm_record *vm, const char *disk);

#endif
