/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restart policy of a VM: remembers whether it is wanted to run, and starts it again when it has ended without being asked.
 * What is remembered is in the store, in the commit of the change that it belongs to. Service thread only.
 */
#ifndef CROFT_AGENT_VM_RESTART_H
#define CROFT_AGENT_VM_RESTART_H

#include "agent/vm.h"
#include "croft/state/v1/kept.pb-c.h"

#define RESTART_PHASE(name) CROFT__STATE__V1__KEPT_RESTARTS__PHASE__##name

struct vm_restart;

/* NULL without memory. The free takes NULL and returns NULL. */
struct vm_restart *vm_restart_new(struct vm_record *vm);
struct vm_restart *vm_restart_free(struct service *service, struct vm_restart *restart);

Croft__State__V1__KeptRestarts__Phase vm_restart_phase(const struct vm_record *vm);

/* A client, or the desired state, has started it: what was counted begins anew, and a start that was due is this one. */
void vm_restart_on(struct service *service, struct vm_record *vm);
/* The end that was asked for is not wanted any more. */
void vm_restart_on_again(struct service *service, struct vm_record *vm);
/* Its end was asked for, or its start was cancelled: it stays as it is, or becomes. */
void vm_restart_off(struct service *service, struct vm_record *vm);

/* It has ended, or did not start; status.exit_reason says how. Nothing happens unless it is wanted to run. */
void vm_restart_judge(struct service *service, struct vm_record *vm);
/* What stood in the way of a start that is due may have gone: of one VM its last run, of all the node's cordon. */
void vm_restart_look(struct service *service, struct vm_record *vm);
void vm_restart_look_all(struct service *service);
/* The spec has changed. */
void vm_restart_changed(struct service *service, struct vm_record *vm);

/* The record is deleted: out of the store with this, too. RESOURCE_EXHAUSTED. */
int vm_restart_forget(struct service *service, struct vm_record *vm, struct error *err);

/* Brings back what was kept, behind the VMs; and when the service runs, goes on with it. */
int vm_restarts_load(struct service *service, struct error *err);
void vm_restarts_begin(struct service *service);

#endif
