/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that needs no kernel: says hello on the UART, checks that x0 is the device tree, and
 * switches itself off.
 */
	.equ	UART, 0x09000000
	.equ	PSCI_SYSTEM_OFF, 0x84000008

	ldr	w3, [x0]
	mov	x1, #UART
	adr	x2, hello
	ldr	w4, magic
	cmp	w3, w4
	b.eq	1f
	adr	x2, lost
1:	ldrb	w3, [x2], #1
	cbz	w3, 2f
	strb	w3, [x1]
	b	1b
2:	ldr	w0, off
	hvc	#0
	b	.

	.align	2
magic:	.word	0xedfe0dd0
off:	.word	PSCI_SYSTEM_OFF
hello:	.asciz	"hello from a guest\n"
lost:	.asciz	"no device tree in x0\n"
