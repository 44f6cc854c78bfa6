/* SPDX-License-Identifier: GPL-2.0-only */
/* Single instructions that may fault: each function returns 0, or 1 by way of probe_fixup. */
#include <linux/linkage.h>
#include <asm/asm-extable.h>
#include <asm/assembler.h>

	.macro probe name, text:vararg
SYM_FUNC_START(\name)
	mov	x2, x0
	mov	w0, #0
.Linsn_\name:
	\text
	ret
	_asm_extable_uaccess .Linsn_\name, probe_fixup
SYM_FUNC_END(\name)
	.endm

	.globl probe_begin
probe_begin:
	probe probe_load, ldr w3, [x2]
	probe probe_store, str w1, [x2]
	probe probe_hvc_below, hvc #0x5fff
	probe probe_hvc_above, hvc #0x6200
	probe probe_hvc_one, hvc #1
	.globl probe_end
probe_end:

SYM_FUNC_START(probe_fixup)
	mov	w0, #1
	ret
SYM_FUNC_END(probe_fixup)
