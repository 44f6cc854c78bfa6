/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions of the primary that no kernel would execute: every system instruction there is room for, and accesses of every
 * kind. Each is followed by a return and called with x15 = 0; where it ends in an exception, x15 is 1 on return.
 */
#include <linux/linkage.h>
#include <asm/asm-extable.h>
#include <asm/assembler.h>

	.arch	armv8.5-a
	.globl	storm_begin, storm_end
storm_begin:

	/* In the order of their encoding, op0 from 1 up: writes, then reads; always x0. */
	.globl	storm_systems
storm_systems:
	.set	read, 0
	.rept	2
	.set	bits, 0x4000
	.rept	0xc000
	.inst	0xd5000000 | read << 21 | bits << 5
	ret
	.set	bits, bits + 1
	.endr
	.set	read, read + 1
	.endr

	/* At the address in x4; x2 and x3 are values. Loads come first; those up to storm_sure reach memory, or end in an exception. */
	.macro	access text:vararg
9000:	\text
	ret
	_asm_extable_uaccess 9000b, storm_fixup
	.endm
	.globl	storm_kinds, storm_stores, storm_sure, storm_kinds_end
storm_kinds:
	access	ldrb w0, [x4]
	access	ldrh w0, [x4]
	access	ldr w0, [x4]
	access	ldr x0, [x4]
	access	ldrsb x0, [x4]
	access	ldrsh w0, [x4]
	access	ldrsw x0, [x4]
	access	ldar x0, [x4]
	access	ldaprb w0, [x4]
	access	ldur x0, [x4, #1]
	access	ldtr w0, [x4]
	access	ldxr x0, [x4]
	access	ldaxrb w0, [x4]
	access	ldxp x0, x1, [x4]
	access	ldp x0, x1, [x4]
	access	ldp w0, w1, [x4], #8
	access	ldpsw x0, x1, [x4]
	access	ldnp x0, x1, [x4]
	access	ldr x0, [x4], #8
	access	ldr x0, [x4, #0]!
	access	ldr b0, [x4]
	access	ldr q0, [x4]
	access	ldp q0, q1, [x4]
	access	ld1 {v0.16b, v1.16b}, [x4]
	access	ld3 {v0.b, v1.b, v2.b}[1], [x4]
	access	ld1r {v0.4s}, [x4]
storm_stores:
	access	strb w2, [x4]
	access	strh w2, [x4]
	access	str w2, [x4]
	access	str x2, [x4]
	access	stlr x2, [x4]
	access	stur x2, [x4, #1]
	access	sttr w2, [x4]
	access	stp x2, x3, [x4]
	access	stp w2, w3, [x4], #8
	access	stnp x2, x3, [x4]
	access	str x2, [x4], #8
	access	str h0, [x4]
	access	str q0, [x4]
	access	stp q0, q1, [x4]
	access	st1 {v0.16b, v1.16b}, [x4]
	access	st4 {v0.h, v1.h, v2.h, v3.h}[0], [x4]
	access	ldadd x2, x0, [x4]
	access	ldclrb w2, w0, [x4]
	access	swpal x2, x0, [x4]
	access	cas x2, x3, [x4]
	access	casp x2, x3, x0, x1, [x4]
	access	stset x2, [x4]
storm_sure:
	access	stxr w0, x2, [x4]
	access	stlxp w0, x2, x3, [x4]
	access	prfm pstl1keep, [x4]
	access	dc civac, x4
	access	dc cvap, x4
	access	dc zva, x4
	access	ic ivau, x4
storm_kinds_end:
storm_end:

/* Wherever one of them was, it was called with a link register. */
SYM_FUNC_START(storm_fixup)
	mov	x15, #1
	ret
SYM_FUNC_END(storm_fixup)

/*
 * storm_system(read, write, value): writes the value to a register, and what it was back at once, before anything can have
 * missed it; one that cannot be read keeps the value. read NULL: none is tried. 1: the write was refused.
 */
SYM_FUNC_START(storm_system)
	stp	x29, x30, [sp, #-16]!
	mrs	x9, daif
	msr	daifset, #15
	mov	x10, x1
	mov	x11, x2
	mov	x15, #1
	cbz	x0, 1f
	mov	x15, #0
	blr	x0
1:	mov	x14, x15
	mov	x8, x0
	mov	x15, #0
	mov	x0, x11
	blr	x10
	mov	x12, x15
	cbnz	x14, 2f
	mov	x0, x8
	blr	x10
2:	mov	x0, x12
	msr	daif, x9
	ldp	x29, x30, [sp], #16
	ret
SYM_FUNC_END(storm_system)

/* storm_access(kind, address, value): 1: an exception. What user space has in the vector registers stays there. */
SYM_FUNC_START(storm_access)
	stp	x29, x30, [sp, #-80]!
	mrs	x9, daif
	msr	daifset, #2
	stp	q0, q1, [sp, #16]
	stp	q2, q3, [sp, #48]
	mov	x4, x1
	mov	x3, x2
	mov	x15, #0
	blr	x0
	clrex
	ldp	q0, q1, [sp, #16]
	ldp	q2, q3, [sp, #48]
	msr	daif, x9
	mov	x0, x15
	ldp	x29, x30, [sp], #80
	ret
SYM_FUNC_END(storm_access)
