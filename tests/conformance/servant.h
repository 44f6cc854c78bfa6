/* SPDX-License-Identifier: GPL-2.0-only */
/* The page through which the servant is told what to do, and tells what came of it. */
#ifndef CONFORMANCE_SERVANT_H
#define CONFORMANCE_SERVANT_H

#define SERVANT_PAGE	 0x09000000
#define SERVANT_IN	 0x000	/* read: x0 to x7 */
#define SERVANT_INSN	 0x040	/* read: the instruction */
#define SERVANT_OUT	 0x080	/* written: x0 to x7 */
#define SERVANT_FAR	 0x0c0	/* written: FAR_EL1 of an exception, or 0 */
#define SERVANT_EVENT	 0x0c8	/* written: 0, or ESR_EL1 and the vector's number << 32 */
#define SERVANT_ENTRY_X0 0x100	/* written first: x0 at entry */
#define SERVANT_ENTRY_PC 0x108	/* and where it was entered */
#define SERVANT_PAGE_END 0x1000 /* what lies behind belongs to the tests */
#define SERVANT_CPUS	 8

#ifndef __ASSEMBLY__
#include <linux/types.h>

extern const char servant_start[], servant_end[];

#define INSN(name)                            \
	({                                    \
		extern const u32 insn_##name; \
		insn_##name;                  \
	})
#define INSN_HVC(imm) (0xd4000002u | (u32)(imm) << 5)

/* Vectors of exceptions taken at EL1 with SP_EL1. */
#define VECTOR_SYNC	    4u
#define VECTOR_IRQ	    5u
#define EVENT_VECTOR(event) ((unsigned int)((event) >> 32))
#define EVENT_EC(event)	    ((unsigned int)((event) >> 26 & 0x3f))
#define EVENT_FSC(event)    ((unsigned int)((event)&0x3f))
#define EC_UNKNOWN	    0x00u
#define EC_IABT		    0x21u
#define EC_DABT		    0x25u
#define FSC_EXTERNAL	    0x10u
#endif

#endif
