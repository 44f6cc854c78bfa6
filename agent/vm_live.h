/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a spec takes effect while the VM runs, and what of a running VM's status is the host's doing. Service thread only.
 */
#ifndef CROFT_AGENT_VM_LIVE_H
#define CROFT_AGENT_VM_LIVE_H

#include "agent/vm.h"

/* That the running guest can be given what of `spec` is live. CONFLICT with the field. */
int vm_live_check(const struct vm_record *vm, const Croft__V1__VmSpec *spec, struct error *err);

/*
 * Gives it to the running guest, all or nothing; without one it does nothing. Errors: those of vmm_live.h, RESOURCE_EXHAUSTED for
 * a disk that does not fit, with the field.
 */
int vm_live_apply(struct vm_record *vm, const Croft__V1__VmSpec *spec, struct error *err);

/* It has come up: catches up with what was changed meanwhile, and says in its status what it has of the host. */
void vm_live_begin(struct vm_record *vm);

/* Networks and vsock in its status as they are now, if it runs. Not stored by itself. */
void vm_live_show(struct vm_record *vm);

/* It has ended: nothing of that is there any more. */
void vm_live_clear(struct vm_record *vm);

#endif
