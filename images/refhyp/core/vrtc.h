/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's real-time clock: a PL031 whose seconds follow the system counter. */
#ifndef REFHYP_CORE_VRTC_H
#define REFHYP_CORE_VRTC_H

#include "core/vm.h"

/* None yet. The VM is new, so nobody else looks. */
void vrtc_init(struct vm *vm);

/*
 * An access of the vCPU's VM. *mine: it is within the clock's page. False: not mine, or of a width or alignment that the
 * clock does not know; else *value is what a read gives. Takes the VM's lock.
 */
bool vrtc_access(struct vcpu *v, const struct mmio_access *access, uint64_t *value, bool *mine);

#endif
