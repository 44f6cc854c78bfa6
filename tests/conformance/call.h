/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls from the primary to EL2 in every convention: SMCCC over HVC and SMC, and HVC with a number. */
#ifndef CONFORMANCE_CALL_H
#define CONFORMANCE_CALL_H

#include <linux/types.h>

#include "api/gunyah/abi.h"

/* A number that is nobody's capability. */
#define NO_CAP 0xdeadbeefull

struct regs {
	u64 x[8];
};

/* Registers 8 to 17 are lost in a call. `text` is the instruction. */
#define CALL_EL2(r, text)                                                                          \
	do {                                                                                       \
		register u64 x0 asm("x0") = (r)->x[0];                                             \
		register u64 x1 asm("x1") = (r)->x[1];                                             \
		register u64 x2 asm("x2") = (r)->x[2];                                             \
		register u64 x3 asm("x3") = (r)->x[3];                                             \
		register u64 x4 asm("x4") = (r)->x[4];                                             \
		register u64 x5 asm("x5") = (r)->x[5];                                             \
		register u64 x6 asm("x6") = (r)->x[6];                                             \
		register u64 x7 asm("x7") = (r)->x[7];                                             \
		asm volatile(text                                                                  \
			     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5),         \
			       "+r"(x6), "+r"(x7)                                                  \
			     :                                                                     \
			     : "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", \
			       "memory");                                                          \
		*(r) = (struct regs){ { x0, x1, x2, x3, x4, x5, x6, x7 } };                        \
	} while (0)

static inline void hvc(struct regs *regs)
{
	CALL_EL2(regs, "hvc #0");
}

static inline void smc(struct regs *regs)
{
	CALL_EL2(regs, "smc #0");
}

/* Hypercall n by SMCCC over HVC; the value is its error. */
#define HYPERCALL(r, n, ...)                                                      \
	({                                                                        \
		*(r) = (struct regs){ { GH_SMCCC_HYPERCALL(n), ##__VA_ARGS__ } }; \
		hvc(r);                                                           \
		(s64)(r)->x[0];                                                   \
	})

static inline s64 hyp_msgq_send(u64 cap, size_t size, const void *buffer, u64 flags, u64 *not_full)
{
	struct regs r;
	s64 error = HYPERCALL(&r, GH_CALL_MSGQ_SEND, cap, size, (uintptr_t)buffer, flags);

	if (!error && not_full)
		*not_full = r.x[1];
	return error;
}

static inline s64 hyp_msgq_receive(u64 cap, void *buffer, size_t max, size_t *size, u64 *not_empty)
{
	struct regs r;
	s64 error = HYPERCALL(&r, GH_CALL_MSGQ_RECV, cap, (uintptr_t)buffer, max);

	if (!error) {
		*size = r.x[1];
		*not_empty = r.x[2];
	}
	return error;
}

#endif
