/* SPDX-License-Identifier: GPL-2.0-only */
/* The hostile guest, as it was linked. */
	.section .rodata, "a"
	.balign 4096
	.globl storm_guest_start, storm_guest_end
storm_guest_start:
	.incbin "storm_guest.bin"
storm_guest_end:
