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

/* --- doorbell.c --- */
struct doorbell {
	hyp_spinlock_t lock;
	uint64_t cap;  /* in the primary's space; GH_CAPID_INVALID: free */
	struct vm *vm; /* whose interrupt it raises */
	uint32_t intid;
	uint64_t flags, enable, ack;
	struct virq_source source;
};
enum gh_error doorbell_send(struct doorbell *d, uint64_t cap, uint64_t flags, uint64_t *old);
enum gh_error doorbell_receive(struct doorbell *d, uint64_t cap, uint64_t clear, uint64_t *old);
enum gh_error doorbell_mask(struct doorbell *d, uint64_t cap, uint64_t enable, uint64_t ack);
enum gh_error doorbell_reset(struct doorbell *d, uint64_t cap);
void doorbell_init(void);
void doorbell_remove_all(struct vm *vm);

/* --- msgq.c: the pair of queues between the primary and the resource manager --- */
struct msgq;
void msgq_init(void);
enum gh_error msgq_send(struct msgq *q, struct vcpu *caller, const uint64_t *arg,
			uint64_t *not_full);
enum gh_error msgq_receive(struct msgq *q, struct vcpu *caller, const uint64_t *arg, uint64_t *out);
enum gh_error msgq_flush(struct msgq *q);
enum gh_error msgq_configure(struct msgq *q, bool sender, uint64_t threshold, uint64_t delay);

/* --- virq.c: INTIDs of the primary that no hardware has --- */
void virq_init(void);
uint32_t virq_alloc(void); /* 0: none is left */
void virq_free(uint32_t intid);

/* --- hypercall.c --- */
/* Call n (an offset from 0x6000) of v, its arguments from regs.x[first]; results go to regs.x[0]... */
void hypercall(struct vcpu *v, unsigned int n, unsigned int first);

#endif
