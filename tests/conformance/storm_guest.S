/* SPDX-License-Identifier: GPL-2.0-only */
/* The hostile guest's entry, its vectors, and its ways to do what may end in an exception. MMU off, EL1. */
#define STORM_ASM_STACKS 0x80040000

	.text
	.globl _start
_start:
	mrs	x0, mpidr_el1
	and	x0, x0, #0xff
	ldr	x1, =STORM_ASM_STACKS
	add	x2, x0, #1
	add	x1, x1, x2, lsl #14
	msr	spsel, #1
	mov	sp, x1
	adr	x1, vectors
	msr	vbar_el1, x1
	mov	x1, #3 << 20 /* vector registers may be used */
	msr	cpacr_el1, x1
	isb
	b	storm_main

	/* Registers that C may lose, but x0, x1 and x30. */
	.macro	lost how
	\how	x2, x3, [sp, #16]
	\how	x4, x5, [sp, #32]
	\how	x6, x7, [sp, #48]
	\how	x8, x9, [sp, #64]
	\how	x10, x11, [sp, #80]
	\how	x12, x13, [sp, #96]
	\how	x14, x15, [sp, #112]
	\how	x16, x17, [sp, #128]
	\how	x18, x29, [sp, #144]
	.endm

	/* All of those; then x0 vector, x1 syndrome, x2 where, x3 address -> where to go on. */
	.balign	2048
vectors:
	.set	vector, 0
	.rept	16
	.balign	128
	sub	sp, sp, #192
	stp	x0, x1, [sp]
	mov	x0, #vector
	b	taken
	.set	vector, vector + 1
	.endr

taken:
	lost	stp
	mrs	x1, spsr_el1
	stp	x30, x1, [sp, #160]
	mrs	x1, esr_el1
	mrs	x2, elr_el1
	mrs	x3, far_el1
	bl	storm_exception
	msr	elr_el1, x0
	/* Back to EL1 with SP_EL1, whatever the storm wrote; interrupts as they were. */
	ldp	x30, x1, [sp, #160]
	and	x1, x1, #0x3c0
	orr	x1, x1, #4
	orr	x1, x1, #1
	msr	spsr_el1, x1
	lost	ldp
	ldp	x0, x1, [sp]
	add	sp, sp, #192
	eret

	/* storm_jump(where, &back): goes there; an exception at the far end comes back to *back. */
	.globl storm_jump
storm_jump:
	stp	x29, x30, [sp, #-16]!
	adr	x2, 1f
	str	x2, [x1]
	blr	x0
1:	ldp	x29, x30, [sp], #16
	ret

	.globl storm_hvc, storm_smc
storm_hvc:
	hvc	#0
	ret
storm_smc:
	smc	#0
	ret

	/* storm_access(how, address, value): one of the accesses below; a load's value. */
	.globl storm_access
storm_access:
	adr	x3, accesses
	add	x3, x3, x0, lsl #3
	mov	x4, x1
	mov	x0, #0
	br	x3
accesses:
	.macro	access text:vararg
	\text
	ret
	.endm
	access	ldrb w0, [x4]
	access	ldrh w0, [x4]
	access	ldr w0, [x4]
	access	ldr x0, [x4]
	access	ldrsb x0, [x4]
	access	ldrsh w0, [x4]
	access	ldrsw x0, [x4]
	access	ldar x0, [x4]
	access	ldxr x0, [x4]
	access	ldp x0, x1, [x4]
	access	ldr x0, [x4], #8
	access	ldr x0, [x4, #-8]!
	access	strb w2, [x4]
	access	strh w2, [x4]
	access	str w2, [x4]
	access	str x2, [x4]
	access	stlr x2, [x4]
	access	stxr w0, x2, [x4]
	access	stp x2, x3, [x4]
	access	str x2, [x4], #8
	access	stp x2, x3, [x4, #16]!
	access	ldaxrb w0, [x4]
	access	ldxp x0, x1, [x4]
	access	stlxp w0, x2, x3, [x4]
	access	ldur x0, [x4, #1]
	access	sttr w2, [x4]
	access	ldpsw x0, x1, [x4]
	access	ldnp x0, x1, [x4]
	access	ldr q0, [x4]
	access	ldp q0, q1, [x4]
	access	ld1 {v0.16b, v1.16b}, [x4]
	access	ld3 {v0.b, v1.b, v2.b}[1], [x4]
	access	str b0, [x4]
	access	str q0, [x4]
	access	stp q0, q1, [x4]
	access	st1 {v0.16b, v1.16b}, [x4]
	access	dc civac, x4
	access	dc ivac, x4
	access	dc zva, x4
	access	ic ivau, x4
	access	prfm pstl1keep, [x4]
	.arch	armv8.1-a
	access	ldadd x2, x0, [x4]
	access	cas x2, x3, [x4]
	access	swpal x2, x0, [x4]
	access	ldclrb w2, w0, [x4]
	access	casp x2, x3, x0, x1, [x4]
	.globl storm_accesses
	.balign 8
storm_accesses:
	.quad	(storm_accesses - accesses) / 8
