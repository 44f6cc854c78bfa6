/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions that may end in an exception: each function returns by way of probe_fixup then, 1. */
#include <linux/linkage.h>
#include <asm/asm-extable.h>
#include <asm/assembler.h>

	.macro probe name, text:vararg
SYM_FUNC_START(\name)
	mov	x2, x0
.Linsn_\name:
	\text
	mov	w0, #0
	ret
	_asm_extable_uaccess .Linsn_\name, probe_fixup
SYM_FUNC_END(\name)
	.endm

	.globl probe_begin
probe_begin:
	probe probe_load, ldr w3, [x2]
	probe probe_store, str w1, [x2]

	/* A call: x0 is the function and the result. */
	.macro probe_call name, text:vararg
SYM_FUNC_START(\name)
	\text
	ret
SYM_FUNC_END(\name)
	.endm

	probe_call probe_hvc_1, hvc #1
	probe_call probe_hvc_5fff, hvc #0x5fff
	probe_call probe_hvc_6069, hvc #0x6069
	probe_call probe_hvc_61ff, hvc #0x61ff
	probe_call probe_hvc_6200, hvc #0x6200
	probe_call probe_hvc_ffff, hvc #0xffff
	probe_call probe_smc_1, smc #1
	.globl probe_end
probe_end:

SYM_FUNC_START(probe_fixup)
	mov	w0, #1
	ret
SYM_FUNC_END(probe_fixup)
