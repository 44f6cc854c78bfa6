/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of a VM's life, vm_start.c and vm_life.c, have for each other and for the restart policy.
 */
#ifndef CROFT_AGENT_VM_LIFE_H
#define CROFT_AGENT_VM_LIFE_H

#include "agent/vm.h"

struct vm_run;

/* A new operation of that verb on the VM; NULL with RESOURCE_EXHAUSTED. */
struct operation *vm_new_operation(struct service *service, const struct vm_record *vm,
				   const char *verb, const char *actor, struct error *err);

/* vm_start.c: that it can be started, by the node, by its image and by what the host has free. `out` is the image. */
int vm_check_startable(struct service *service, const struct vm_record *vm,
		       const Croft__V1__Image **out, struct error *err);

/* Starts the job of a start; there is no run. The operation is the caller's to end when that fails. */
int vm_begin_start(struct service *service, struct vm_record *vm, struct operation *op,
		   struct error *err);

/* The checks and the start, which a client has asked for; the operation is of `verb`: "start", or "restart". */
struct operation *vm_start_as(struct service *service, struct vm_record *vm, const char *verb,
			      const char *actor, struct error *err);

/* vm_life.c: the guest has ended, or is to end because nobody waits for its start any more. */
void vm_run_over(struct service *service, struct vm_run *run);
/* Everything is given back: the run is freed. */
void vm_run_ended(struct service *service, struct vm_record *vm);
/* The handler of vm_run.exited. */
void vm_on_exited(struct service *service, struct message *message);

#endif
