/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The servant: a guest that fetches an instruction and eight registers from the host, executes the
 * instruction, and gives the registers back, or the exception that came of it. MMU off, EL1.
 *
 * Registers across a command: x19 the page, x23 FAR, x24 what happened, x25 the slot of this vCPU,
 * x26 where the slot goes on. A hypercall may lose x8 to x17.
 */
#include "servant.h"

	/* x0 to x7, each an access of its own. */
	.macro	eight how, at
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	\how	x\n, [x19, #\at + 8 * \n]
	.endr
	.endm

	.section .rodata, "a"
	.balign 2048
	.globl servant_start
servant_start:
	mov	x20, x0
	mov	x19, #SERVANT_PAGE
	adr	x1, vectors
	msr	vbar_el1, x1
	isb
	mrs	x1, mpidr_el1
	and	x1, x1, #0xff
	adr	x25, slots
	add	x25, x25, x1, lsl #4
	adr	x26, report
	adr	x1, servant_start
	str	x20, [x19, #SERVANT_ENTRY_X0]
	str	x1, [x19, #SERVANT_ENTRY_PC]

next:
	ldr	w1, [x19, #SERVANT_INSN]
	str	w1, [x25]
	dc	cvau, x25
	dsb	ish
	ic	ivau, x25
	dsb	ish
	isb
	mov	x23, #0
	mov	x24, #0
	eight	ldr, SERVANT_IN
	br	x25

report:
	eight	str, SERVANT_OUT
	str	x23, [x19, #SERVANT_FAR]
	str	x24, [x19, #SERVANT_EVENT]
	b	next

slots:
	.rept	SERVANT_CPUS
	nop
	br	x26
	nop
	nop
	.endr

	/* An exception: its syndrome, and the number of its vector in the upper half. */
	.balign 2048
vectors:
	.set	vector, 0
	.rept	16
	.balign	128
	mrs	x24, esr_el1
	mov	w24, w24
	mov	x27, #(vector << 32)
	orr	x24, x24, x27
	mrs	x23, far_el1
	b	report
	.set	vector, vector + 1
	.endr
	.globl servant_end
servant_end:

	/* What the servant may be told to do. */
	.macro insn name, text:vararg
	.globl insn_\name
insn_\name:
	\text
	.endm

	.balign	4
	insn nop, nop
	insn spin, b .
	insn hvc, hvc #0
	insn smc, smc #0
	insn smc_1, smc #1
	insn wfi, wfi
	insn wfe, wfe
	insn udf, udf #1
	insn ldrb, ldrb w0, [x1]
	insn ldrh, ldrh w0, [x1]
	insn ldr_w, ldr w0, [x1]
	insn ldr_x, ldr x0, [x1]
	insn ldrsb_w, ldrsb w0, [x1]
	insn ldrsb_x, ldrsb x0, [x1]
	insn ldrsh_w, ldrsh w0, [x1]
	insn ldrsh_x, ldrsh x0, [x1]
	insn ldrsw, ldrsw x0, [x1]
	insn ldr_xzr, ldr xzr, [x1]
	insn ldar_w, ldar w0, [x1]
	insn ldr_offset, ldr w0, [x1, #8]
	insn ldr_index, ldr w0, [x1, x2]
	insn ldr_writeback, ldr x0, [x1], #8
	insn ldp, ldp x0, x2, [x1]
	insn ldxr, ldxr x0, [x1]
	insn strb, strb w0, [x1]
	insn strh, strh w0, [x1]
	insn str_w, str w0, [x1]
	insn str_x, str x0, [x1]
	insn str_xzr, str xzr, [x1]
	insn stlr_w, stlr w0, [x1]
	insn str_writeback, str x0, [x1], #8
	insn stp, stp x0, x2, [x1]
	insn blr, br x1
	insn daif_unmask, msr daifclr, #2
	insn mrs_midr, mrs x0, midr_el1
	insn mrs_mpidr, mrs x0, mpidr_el1
	insn mrs_currentel, mrs x0, currentel
	insn mrs_pfr0, mrs x0, id_aa64pfr0_el1
	insn mrs_mmfr0, mrs x0, id_aa64mmfr0_el1
	insn mrs_id_hole, mrs x0, s3_0_c0_c7_7
	insn mrs_cntfrq, mrs x0, cntfrq_el0
	insn mrs_cntvct, mrs x0, cntvct_el0
	insn mrs_cntpct, mrs x0, cntpct_el0
	insn mrs_sctlr, mrs x0, sctlr_el1
	insn mrs_vendor, mrs x0, s3_3_c15_c7_7
	insn mrs_hcr, mrs x0, hcr_el2
	insn msr_cntv_tval, msr cntv_tval_el0, x1
	insn msr_cntv_ctl, msr cntv_ctl_el0, x1
	insn mrs_cntv_ctl, mrs x0, cntv_ctl_el0
	insn msr_cntp_tval, msr cntp_tval_el0, x1
	insn msr_cntp_ctl, msr cntp_ctl_el0, x1
	insn msr_pmr, msr s3_0_c4_c6_0, x1
	insn msr_grpen1, msr s3_0_c12_c12_7, x1
	insn mrs_iar1, mrs x0, s3_0_c12_c12_0
	insn mrs_hppir1, mrs x0, s3_0_c12_c12_2
	insn msr_eoir1, msr s3_0_c12_c12_1, x1
	insn mrs_rpr, mrs x0, s3_0_c12_c11_3
	insn msr_sgi1r, msr s3_0_c12_c11_5, x1
	insn mrs_sre, mrs x0, s3_0_c12_c12_5
