/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry of the first and of the other CPUs, exception vectors, and the way back into a vCPU. */

#define STACK_SIZE	16384
#define STACK_STRIDE	(STACK_SIZE + 4096)
#define CPUS_MAX	8
#define REGS_PC		(31 * 8)
#define REGS_SIZE	(34 * 8)	/* kept a multiple of 16 */
#define CPU_CURRENT	0
#define CPU_PANIC	16

	.section .text.entry, "ax"
	.globl refhyp_entry
refhyp_entry:
	msr	daifset, #15
	adrp	x1, bss_start
	add	x1, x1, :lo12:bss_start
	adrp	x2, bss_end
	add	x2, x2, :lo12:bss_end
1:	cmp	x1, x2
	b.hs	2f
	stp	xzr, xzr, [x1], #16
	b	1b
2:	adrp	x1, refhyp_stacks + STACK_STRIDE
	mov	sp, x1
	mov	x29, xzr
	mov	x30, xzr
	bl	a64_boot
	b	leave

/* x0: number of this CPU */
	.globl refhyp_secondary
refhyp_secondary:
	msr	daifset, #15
	adrp	x1, refhyp_stacks
	add	x2, x0, #1
	mov	x3, #STACK_STRIDE
	madd	x1, x2, x3, x1
	mov	sp, x1
	mov	x29, xzr
	mov	x30, xzr
	bl	a64_boot_secondary
	b	leave

/* --- Traps of a vCPU: its registers go to where tpidr_el2 points, the stack starts empty --- */
	.text
	.macro	trap handler
	.balign	0x80
	stp	x0, x1, [sp, #-16]!
	mrs	x0, tpidr_el2
	ldr	x0, [x0, #CPU_CURRENT]
	b	\handler
	.endm

/* x4 to x29, at their places in struct regs. */
	.macro	pairs op, base
	\op	x4, x5, [\base, #16 * 2]
	\op	x6, x7, [\base, #16 * 3]
	\op	x8, x9, [\base, #16 * 4]
	\op	x10, x11, [\base, #16 * 5]
	\op	x12, x13, [\base, #16 * 6]
	\op	x14, x15, [\base, #16 * 7]
	\op	x16, x17, [\base, #16 * 8]
	\op	x18, x19, [\base, #16 * 9]
	\op	x20, x21, [\base, #16 * 10]
	\op	x22, x23, [\base, #16 * 11]
	\op	x24, x25, [\base, #16 * 12]
	\op	x26, x27, [\base, #16 * 13]
	\op	x28, x29, [\base, #16 * 14]
	.endm

	.macro	save
	stp	x2, x3, [x0, #16 * 1]
	pairs	stp, x0
	ldp	x2, x3, [sp], #16
	mrs	x4, elr_el2
	mrs	x5, spsr_el2
	stp	x30, x4, [x0, #16 * 15]
	str	x5, [x0, #REGS_PC + 8]
	stp	x2, x3, [x0]
	mov	x29, xzr
	mov	x30, xzr
	.endm

trap_sync:
	save
	bl	a64_trap_sync
leave:
	mrs	x0, tpidr_el2
	ldr	x0, [x0, #CPU_CURRENT]
	ldp	x30, x4, [x0, #16 * 15]
	ldr	x5, [x0, #REGS_PC + 8]
	msr	elr_el2, x4
	msr	spsr_el2, x5
	pairs	ldp, x0
	ldp	x2, x3, [x0, #16 * 1]
	ldp	x0, x1, [x0]
	eret
	dsb	nsh
	isb

trap_irq_entry:
	save
	bl	a64_trap_irq
	b	leave

trap_serror:
	save
	bl	a64_trap_serror
	b	leave

/* --- Traps of the hypervisor itself end in a panic, on a stack of their own --- */
	.macro	fatal number
	.balign	0x80
	msr	sp_el0, x0
	mov	x0, #\number
	b	panic_entry
	.endm

panic_entry:
	msr	tpidr_el0, x1
	mrs	x1, tpidr_el2
	cbz	x1, .		/* not even a CPU structure yet: nothing can be printed */
	ldr	x1, [x1, #CPU_PANIC]
	sub	x1, x1, #REGS_SIZE
	stp	x2, x3, [x1, #16 * 1]
	mov	sp, x1
	pairs	stp, x1
	mrs	x4, elr_el2
	stp	x30, x4, [x1, #16 * 15]
	mrs	x2, spsr_el2
	str	x2, [x1, #REGS_PC + 8]
	mrs	x2, sp_el0
	mrs	x3, tpidr_el0
	stp	x2, x3, [x1]
	mov	x2, x0
	mov	x0, x1
	mov	x1, x2
	bl	a64_panic_trap

	.balign	0x800
	.globl refhyp_vectors
refhyp_vectors:
	fatal	0
	fatal	1
	fatal	2
	fatal	3
	fatal	4
	fatal	5
	fatal	6
	fatal	7
	trap	trap_sync
	trap	trap_irq_entry
	trap	trap_irq_entry
	trap	trap_serror
	trap	trap_sync
	trap	trap_irq_entry
	trap	trap_irq_entry
	trap	trap_serror

/* --- Floating point, which the compiler does not know here --- */
	.macro	vectors op
	\op	q0, q1, [x0, #32 * 0]
	\op	q2, q3, [x0, #32 * 1]
	\op	q4, q5, [x0, #32 * 2]
	\op	q6, q7, [x0, #32 * 3]
	\op	q8, q9, [x0, #32 * 4]
	\op	q10, q11, [x0, #32 * 5]
	\op	q12, q13, [x0, #32 * 6]
	\op	q14, q15, [x0, #32 * 7]
	\op	q16, q17, [x0, #32 * 8]
	\op	q18, q19, [x0, #32 * 9]
	\op	q20, q21, [x0, #32 * 10]
	\op	q22, q23, [x0, #32 * 11]
	\op	q24, q25, [x0, #32 * 12]
	\op	q26, q27, [x0, #32 * 13]
	\op	q28, q29, [x0, #32 * 14]
	\op	q30, q31, [x0, #32 * 15]
	.endm

	.globl a64_fp_save
a64_fp_save:
	vectors	stp
	mrs	x1, fpsr
	mrs	x2, fpcr
	add	x0, x0, #32 * 16
	stp	x1, x2, [x0]
	ret

	.globl a64_fp_load
a64_fp_load:
	vectors	ldp
	add	x0, x0, #32 * 16
	ldp	x1, x2, [x0]
	msr	fpsr, x1
	msr	fpcr, x2
	ret

/* Each CPU: a page that stays unmapped, then its stack, which grows down towards it. */
	.section .stacks, "aw", %nobits
	.balign	4096
	.globl refhyp_stacks
refhyp_stacks:
	.space	CPUS_MAX * STACK_STRIDE

	.bss
	.balign	4096
	.globl panic_stacks
panic_stacks:
	.space	CPUS_MAX * 4096

	.section .note.GNU-stack, "", %progbits
