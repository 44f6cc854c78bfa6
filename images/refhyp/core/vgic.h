/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtual GICv3 of every VM: vgic.c keeps the state and the list registers, vgic_mmio.c the register frames. */
#ifndef REFHYP_CORE_VGIC_H
#define REFHYP_CORE_VGIC_H

#include "core/vm.h"

#define GICD_SIZE	 0x10000ull
#define GICR_SIZE	 0x20000ull
#define GICD_CTLR_GROUP0 1u
#define GICD_CTLR_GROUP1 2u

void vgic_init(struct vm *vm, ipa_t gicd, ipa_t gicr, uint64_t stride);
void vgic_reset_vcpu(struct vcpu *v);

/* Ties an interrupt to what raises it; NULL unties it and makes it idle. */
void vgic_bind(struct vm *vm, uint32_t intid, const struct virq_source *source);
/* The source became asserted: the interrupt is pending until it is taken. */
void vgic_raise(struct vm *vm, uint32_t intid);
/* Something happened that is no level: only an interrupt that the guest configured as edge notices. */
void vgic_pulse(struct vm *vm, uint32_t intid);
/* The source is no longer asserted: a level interrupt that was not taken yet is withdrawn. */
void vgic_lower(struct vm *vm, uint32_t intid);
/* A private interrupt of one vCPU; the VM's lock is held. */
void vgic_raise_private(struct vcpu *v, uint32_t intid);
/* The physical interrupt behind one of v's, or of v's VM, fired on this CPU and is active. */
void vgic_fired(struct vcpu *v, uint32_t intid);

/* List registers go into, and come out of, the hardware. The VM's lock is not held. */
void vgic_load(struct vcpu *v);
void vgic_unload(struct vcpu *v);
void vgic_refresh(struct vcpu *v);
/* Whether an interrupt is pending for v that it has not taken; the VM's lock is held. */
bool vgic_pending(struct vcpu *v);

void vgic_sgi(struct vcpu *v, uint64_t value, bool group1);
void vgic_dir(struct vcpu *v, uint32_t intid);

/* What the register frames need of the state; the VM's lock is held, the accessing vCPU's list registers are empty. */
struct virq *vgic_irq(struct vcpu *v, uint32_t intid);
void vgic_changed(struct vcpu *v, uint32_t intid);
void vgic_changed_all(struct vm *vm);
void vgic_begin(struct vcpu *v);
void vgic_end(struct vcpu *v);
void vgic_settle(struct vcpu *v); /* empties the list registers of v's siblings until vgic_end() */
void vgic_unpend(struct vcpu *v, uint32_t intid);

/* Serves an access to the frames; false: it is not one of theirs, or must abort (*mine tells). A read sets *value. */
bool vgic_access(struct vcpu *v, const struct mmio_access *access, uint64_t *value, bool *mine);

#endif
