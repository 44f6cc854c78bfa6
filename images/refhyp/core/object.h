/* SPDX-License-Identifier: GPL-2.0-only */
/* What hypercalls act on: capabilities, doorbells, message queues, and the primary's virtual interrupt numbers. */
#ifndef REFHYP_CORE_OBJECT_H
#define REFHYP_CORE_OBJECT_H

#include "core/vm.h"

/* FOREIGN: what no VM is ever given. */
enum object_type { OBJECT_VCPU = 1, OBJECT_DOORBELL, OBJECT_MSGQ, OBJECT_FOREIGN };

/* --- cap.c --- */
void cap_init(struct cspace *cspace, struct cap *caps, unsigned int count);
/* A new handle, never used before; GH_CAPID_INVALID when the space is full. */
uint64_t cap_add(struct cspace *cspace, enum object_type type, void *object, uint32_t rights);
void cap_revoke(struct cspace *cspace, uint64_t id);
/* *object is only a hint: it may go at any time, so its lock's holder compares its handle once more. */
enum gh_error cap_find(struct cspace *cspace, uint64_t id, enum object_type type, uint32_t rights,
		       void **object);

/* What a doorbell and a message queue begin with. */
struct hyp_object {
	bool used;
	uint8_t type; /* enum object_type */
};

/* --- doorbell.c; arg[0] is the capability, then come the call's own arguments --- */
struct doorbell;
enum gh_error doorbell_send(struct doorbell *d, const struct vm *vm, const uint64_t *arg,
			    uint64_t *old);
enum gh_error doorbell_receive(struct doorbell *d, const struct vm *vm, const uint64_t *arg,
			       uint64_t *old);
enum gh_error doorbell_mask(struct doorbell *d, const struct vm *vm, const uint64_t *arg);
enum gh_error doorbell_reset(struct doorbell *d, const struct vm *vm, const uint64_t *arg);
void doorbell_init(void);

/* --- msgq.c; likewise --- */
void msgq_init(void);
enum gh_error msgq_send(struct msgq *q, struct vcpu *caller, const uint64_t *arg,
			uint64_t *not_full);
enum gh_error msgq_receive(struct msgq *q, struct vcpu *caller, const uint64_t *arg, uint64_t *out);
enum gh_error msgq_flush(struct msgq *q, struct vcpu *caller, uint64_t cap);
enum gh_error msgq_configure(struct msgq *q, struct vcpu *caller, enum hyp_side side,
			     const uint64_t *arg);
enum gh_error msgq_attach(struct hyp_object *object, enum hyp_side side, struct vm *vm,
			  struct hyp_end *end);
void msgq_detach(struct hyp_object *object, enum hyp_side side);
void msgq_remove_link(struct vm *vm);

/* --- virq.c: INTIDs of the primary that no hardware has --- */
void virq_init(void);
uint32_t virq_alloc(void); /* 0: none is left */
void virq_free(uint32_t intid);

/* --- hypercall.c --- */
/* Call n (an offset from 0x6000) of v, its arguments from regs.x[first]; results go to regs.x[0]... */
void hypercall(struct vcpu *v, unsigned int n, unsigned int first);

#endif
