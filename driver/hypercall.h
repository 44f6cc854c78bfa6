/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypercalls that the driver makes, as functions: SMCCC fast calls over HVC.
 *
 * Written here and not with the kernel's SMCCC helpers because those return four registers and
 * VCPU_RUN answers in five.
 */
#ifndef GH_HYPERCALL_H
#define GH_HYPERCALL_H

#include <linux/errno.h>
#include <linux/types.h>

#include "api/gunyah/abi.h"

struct gh_regs {
	u64 x[8];
};

/* Registers 8 to 17 are lost in a call; 18 and up, and the vector registers, are kept. */
static inline void gh_hvc(struct gh_regs *regs)
{
	register u64 x0 asm("x0") = regs->x[0];
	register u64 x1 asm("x1") = regs->x[1];
	register u64 x2 asm("x2") = regs->x[2];
	register u64 x3 asm("x3") = regs->x[3];
	register u64 x4 asm("x4") = regs->x[4];
	register u64 x5 asm("x5") = regs->x[5];
	register u64 x6 asm("x6") = regs->x[6];
	register u64 x7 asm("x7") = regs->x[7];

	asm volatile("hvc #0"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5), "+r"(x6),
		       "+r"(x7)
		     :
		     : "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		       "memory");
	regs->x[0] = x0;
	regs->x[1] = x1;
	regs->x[2] = x2;
	regs->x[3] = x3;
	regs->x[4] = x4;
	regs->x[5] = x5;
	regs->x[6] = x6;
	regs->x[7] = x7;
}

/*
 * Each function below returns the hypervisor's error, enum gh_error; outputs are written only with
 * GH_ERROR_OK.
 */

static inline s64 gh_hyp_msgq_send(u64 capid, size_t size, const void *buffer, u64 flags)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_MSGQ_SEND), capid, size,
				       (uintptr_t)buffer, flags } };

	gh_hvc(&regs);
	return (s64)regs.x[0];
}

static inline s64 gh_hyp_msgq_recv(u64 capid, void *buffer, size_t max, size_t *size, bool *more)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_MSGQ_RECV), capid,
				       (uintptr_t)buffer, max } };

	gh_hvc(&regs);
	if (regs.x[0] == GH_ERROR_OK) {
		*size = regs.x[1];
		*more = regs.x[2] != 0;
	}
	return (s64)regs.x[0];
}

static inline s64 gh_hyp_doorbell_send(u64 capid, u64 flags)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_DOORBELL_SEND), capid, flags } };

	gh_hvc(&regs);
	return (s64)regs.x[0];
}

static inline s64 gh_hyp_doorbell_mask(u64 capid, u64 enable, u64 ack)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_DOORBELL_MASK), capid, enable,
				       ack } };

	gh_hvc(&regs);
	return (s64)regs.x[0];
}

struct gh_vcpu_result {
	u64 state; /* enum gh_vcpu_state */
	u64 data[3];
};

static inline s64 gh_hyp_vcpu_run(u64 capid, const u64 resume[2], struct gh_vcpu_result *result)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_VCPU_RUN), capid, resume[0],
				       resume[1] } };

	gh_hvc(&regs);
	if (regs.x[0] == GH_ERROR_OK)
		*result = (struct gh_vcpu_result){ .state = regs.x[1],
						   .data = { regs.x[2], regs.x[3], regs.x[4] } };
	return (s64)regs.x[0];
}

static inline int gh_error_to_errno(s64 error)
{
	switch (error) {
	case GH_ERROR_OK:
		return 0;
	case GH_ERROR_NOMEM:
		return -ENOMEM;
	case GH_ERROR_DENIED:
	case GH_ERROR_CSPACE_CAP_NULL:
	case GH_ERROR_CSPACE_CAP_REVOKED:
	case GH_ERROR_CSPACE_WRONG_OBJ_TYPE:
	case GH_ERROR_CSPACE_INSUF_RIGHTS:
		return -EACCES;
	case GH_ERROR_BUSY:
	case GH_ERROR_IDLE:
	case GH_ERROR_CSPACE_FULL:
		return -EBUSY;
	case GH_ERROR_IRQ_BOUND:
	case GH_ERROR_IRQ_UNBOUND:
	case GH_ERROR_MSGQ_EMPTY:
	case GH_ERROR_MSGQ_FULL:
		return -EIO;
	case GH_ERROR_UNIMPLEMENTED:
		return -EOPNOTSUPP;
	case GH_ERROR_RETRY:
		return -EAGAIN;
	default:
		return -EINVAL;
	}
}

#endif
