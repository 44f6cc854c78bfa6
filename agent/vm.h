/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs as records: the state machine between what clients ask and what runs. Service thread only.
 *
 *   DEFINED ─start─> PREPARING ──> STARTING ──> RUNNING ─stop─> STOPPING ──> STOPPED ─start─> PREPARING
 *                        └────────────┴─> FAILED      └─exit─> STOPPING ──> STOPPED or FAILED
 */
#ifndef CROFT_AGENT_VM_H
#define CROFT_AGENT_VM_H

#include "agent/operation.h"
#include "agent/record.h"
#include "agent/vm_console.h"
#include "croft/v1/vm.pb-c.h"
#include "vmm/vmm.h"

struct vm_run;
struct vm_restart;

struct vm_record {
	struct record record;
	Croft__V1__Vm *msg;
	struct vm_console *consoles; /* those that were wanted so far */
	struct vm_run *run;	     /* from a start until its vmm is freed */
	struct operation *op;	     /* that works on it now */
	struct vm_restart *restart;  /* what its restart policy remembers */
};

/* NULL with NOT_FOUND when there is none of that name. */
struct vm_record *vm_record_find(struct service *service, const char *name, struct error *err);

/* Defines it. Errors: INVALID_ARGUMENT, ALREADY_EXISTS, NOT_FOUND never: an unknown image is a wrong field. */
int vm_record_new(struct service *service, const Croft__V1__Vm *wish, const char *actor,
		  struct vm_record **out, struct error *err);

/* The checks of the two alone, for a dry run; and the message that the record would have, NULL without memory. */
int vm_check_new(struct service *service, const Croft__V1__Vm *wish, struct error *err);
int vm_check_delete(const struct vm_record *vm, struct error *err);
Croft__V1__Vm *vm_new_message(const Croft__V1__Vm *wish);

/* Removes it with disks and console. CONFLICT while it has a run. The record is freed. */
int vm_record_delete(struct service *service, struct vm_record *vm, const char *actor,
		     struct error *err);

/*
 * Starts it; this and the next two answer the operation, or NULL. Errors: CONFLICT with the state, RESOURCE_EXHAUSTED for
 * memory that the host does not have now, UNAVAILABLE.
 */
struct operation *vm_record_start(struct service *service, struct vm_record *vm, const char *actor,
				  struct error *err);

/* How a guest is ended: it is asked, and forced after patience_ns; at once for 0, also when it is being asked. */
struct vm_stop {
	uint64_t patience_ns;
	const char *actor;
};

/* One that waits for a restart waits no more, and the operation has ended. CONFLICT when it neither runs nor waits. */
struct operation *vm_record_stop(struct service *service, struct vm_record *vm,
				 const struct vm_stop *how, struct error *err);

/* The end and a new start in one operation; of one that does not run the start. CONFLICT while it comes up or goes down. */
struct operation *vm_record_restart(struct service *service, struct vm_record *vm,
				    const struct vm_stop *how, struct error *err);

/* The checks of the three alone, for a dry run. */
int vm_check_start(struct service *service, const struct vm_record *vm, struct error *err);
int vm_check_stop(struct service *service, const struct vm_record *vm, uint64_t patience_ns,
		  struct error *err);
int vm_check_restart(struct service *service, const struct vm_record *vm, uint64_t patience_ns,
		     struct error *err);

/* From the start's acceptance until everything is given back. */
bool vm_record_live(const struct vm_record *vm);

/* The running guest; NULL when there is none, or not any more. Valid until the service thread's next event. */
struct vmm *vm_record_vmm(const struct vm_record *vm);
/* The same, or CONFLICT. */
struct vmm *vm_record_running(const struct vm_record *vm, struct error *err);

/* What its run was started with; NULL when it does not run. */
const Croft__V1__VmSpec *vm_record_ran_with(const struct vm_record *vm);

/* The name of its image. */
const char *vm_record_image(const struct vm_record *vm);

/* A child process has ended: tells in the status of a VM that runs when it was one of its own. */
void vm_records_child_ended(struct service *service);

/* Brings the records back; VMs that ran when the agent ended are STOPPED with vmm_crash. */
int vm_records_load(struct service *service, struct error *err);
void vm_records_free(struct service *service);

/* Moves directories of VMs that are no more to the trash. Before any run. */
void vm_records_sweep(struct service *service);

/* Forces all to end, because the agent ends: exit reason host_shutdown. */
void vm_records_stop(struct service *service);

#endif
