/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiny guests: a few hand-written arm64 instructions each, position independent, MMU off.
 *
 * Words and not assembly, so that the test compiles for any machine. x0 at entry is the device
 * tree, kept in x20; x19 is the MMIO page. PSCI calls are HVC.
 */
#ifndef CROFT_TESTS_DRIVER_GUESTS_H
#define CROFT_TESTS_DRIVER_GUESTS_H

#include <stddef.h>
#include <stdint.h>

struct guest {
	const uint32_t *code;
	size_t size; /* bytes */
};

/*
 * Writes and reads of every size, a sum, the tree's magic, three writes for ioeventfds, then
 * SYSTEM_OFF.
 */
/* clang-format off */
static const uint32_t guest_mmio_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0x52800822,	/* 08: mov w2, #0x41 */
	0x39000262,	/* 0c: strb w2, [x19] */
	0x52884862,	/* 10: mov w2, #0x4243 */
	0x79000662,	/* 14: strh w2, [x19, #2] */
	0x52a888a2,	/* 18: mov w2, #0x44450000 */
	0x7288c8e2,	/* 1c: movk w2, #0x4647 */
	0xb9000662,	/* 20: str w2, [x19, #4] */
	0xaa0203e3,	/* 24: mov x3, x2 */
	0xd3607c42,	/* 28: lsl x2, x2, #32 */
	0xaa030042,	/* 2c: orr x2, x2, x3 */
	0xf9000662,	/* 30: str x2, [x19, #8] */
	0x39404263,	/* 34: ldrb w3, [x19, #16] */
	0x79402664,	/* 38: ldrh w4, [x19, #18] */
	0xb9401665,	/* 3c: ldr w5, [x19, #20] */
	0xf9400e66,	/* 40: ldr x6, [x19, #24] */
	0x8b040067,	/* 44: add x7, x3, x4 */
	0x8b0500e7,	/* 48: add x7, x7, x5 */
	0x8b0600e7,	/* 4c: add x7, x7, x6 */
	0xf9001267,	/* 50: str x7, [x19, #32] */
	0xb9400288,	/* 54: ldr w8, [x20] */
	0xb9002a68,	/* 58: str w8, [x19, #40] */
	0x528000e2,	/* 5c: mov w2, #0x7 */
	0xb9010262,	/* 60: str w2, [x19, #256] */
	0x52800102,	/* 64: mov w2, #0x8 */
	0xb9010262,	/* 68: str w2, [x19, #256] */
	0x79020a62,	/* 6c: strh w2, [x19, #260] */
	0x52b08000,	/* 70: mov w0, #0x84000000 */
	0x72800100,	/* 74: movk w0, #0x8 */
	0xd4000002,	/* 78: hvc #0x0 */
	0xd503207f,	/* 7c: wfi */
	0x17ffffff,	/* 80: b +0x7c */
};
/* clang-format on */

/* SYSTEM_RESET. */
/* clang-format off */
static const uint32_t guest_reset_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0x52b08000,	/* 08: mov w0, #0x84000000 */
	0x72800120,	/* 0c: movk w0, #0x9 */
	0xd4000002,	/* 10: hvc #0x0 */
	0xd503207f,	/* 14: wfi */
	0x17ffffff,	/* 18: b +0x14 */
};
/* clang-format on */

/* Says so, then turns in place. */
/* clang-format off */
static const uint32_t guest_spin_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xb900027f,	/* 08: str wzr, [x19] */
	0x14000000,	/* 0c: b +0xc */
};
/* clang-format on */

/* Says so, then waits for an interrupt that never comes. */
/* clang-format off */
static const uint32_t guest_wfi_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xb900027f,	/* 08: str wzr, [x19] */
	0xd503207f,	/* 0c: wfi */
	0x17ffffff,	/* 10: b +0xc */
};
/* clang-format on */

/*
 * Undefined instructions whose vector, in the zeros behind, is undefined again: a loop of traps
 * without an end.
 */
/* clang-format off */
static const uint32_t guest_trap_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xb900027f,	/* 08: str wzr, [x19] */
	0xd2b00001,	/* 0c: mov x1, #0x80000000 */
	0xf2810001,	/* 10: movk x1, #0x800 */
	0xd518c001,	/* 14: msr vbar_el1, x1 */
	0xd5033fdf,	/* 18: isb */
	0x00000001,	/* 1c: udf #1 */
};
/* clang-format on */

/* The same with an abort, which the hypervisor has to inject each time. */
/* clang-format off */
static const uint32_t guest_abort_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xb900027f,	/* 08: str wzr, [x19] */
	0xd2aa0001,	/* 0c: mov x1, #0x50000000 */
	0xd518c001,	/* 10: msr vbar_el1, x1 */
	0xd5033fdf,	/* 14: isb */
	0xf9400022,	/* 18: ldr x2, [x1] */
	0x14000000,	/* 1c: b +0x1c */
};
/* clang-format on */

/*
 * CPU_ON of the second vCPU with context 0x77, then asks until told to go on. The second tells its
 * context.
 */
/* clang-format off */
static const uint32_t guest_smp_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0x52b88000,	/* 08: mov w0, #0xc4000000 */
	0x72800060,	/* 0c: movk w0, #0x3 */
	0xd2800021,	/* 10: mov x1, #0x1 */
	0x10000142,	/* 14: adr x2, +0x3c */
	0xd2800ee3,	/* 18: mov x3, #0x77 */
	0xd4000002,	/* 1c: hvc #0x0 */
	0xb9003260,	/* 20: str w0, [x19, #48] */
	0xb9403660,	/* 24: ldr w0, [x19, #52] */
	0x34ffffe0,	/* 28: cbz w0, +0x24 */
	0x52b08000,	/* 2c: mov w0, #0x84000000 */
	0x72800100,	/* 30: movk w0, #0x8 */
	0xd4000002,	/* 34: hvc #0x0 */
	0x14000000,	/* 38: b +0x38 */
	0xd2a12013,	/* 3c: mov x19, #0x9000000 */
	0xb9003a60,	/* 40: str w0, [x19, #56] */
	0x52b08000,	/* 44: mov w0, #0x84000000 */
	0x72800040,	/* 48: movk w0, #0x2 */
	0xd4000002,	/* 4c: hvc #0x0 */
	0x14000000,	/* 50: b +0x50 */
};
/* clang-format on */

/* Sets its GIC up for SPI 4, edge or level as the host says, and tells three of its interrupts. */
/* clang-format off */
static const uint32_t guest_irq_code[] = {
	0xaa0003f4,	/* 00: mov x20, x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xd2a7ffe1,	/* 08: mov x1, #0x3fff0000 */
	0x52800262,	/* 0c: mov w2, #0x13 */
	0xb9000022,	/* 10: str w2, [x1] */
	0x12800002,	/* 14: mov w2, #0xffffffff */
	0xb9008422,	/* 18: str w2, [x1, #132] */
	0xb9405a62,	/* 1c: ldr w2, [x19, #88] */
	0xb90c0822,	/* 20: str w2, [x1, #3080] */
	0xd28c0003,	/* 24: mov x3, #0x6000 */
	0x8b010063,	/* 28: add x3, x3, x1 */
	0xf900907f,	/* 2c: str xzr, [x3, #288] */
	0x52800202,	/* 30: mov w2, #0x10 */
	0xb9010422,	/* 34: str w2, [x1, #260] */
	0xd2a7ffa3,	/* 38: mov x3, #0x3ffd0000 */
	0xb900147f,	/* 3c: str wzr, [x3, #20] */
	0xb9401462,	/* 40: ldr w2, [x3, #20] */
	0x3717ffe2,	/* 44: tbnz w2, #2, +0x40 */
	0xd2800022,	/* 48: mov x2, #0x1 */
	0xd518cca2,	/* 4c: msr icc_sre_el1, x2 */
	0xd5033fdf,	/* 50: isb */
	0xd2801fe2,	/* 54: mov x2, #0xff */
	0xd5184602,	/* 58: msr icc_pmr_el1, x2 */
	0xd2800022,	/* 5c: mov x2, #0x1 */
	0xd518cce2,	/* 60: msr icc_igrpen1_el1, x2 */
	0xd5033fdf,	/* 64: isb */
	0x52800075,	/* 68: mov w21, #0x3 */
	0xb9005275,	/* 6c: str w21, [x19, #80] */
	0xd538cc03,	/* 70: mrs x3, icc_iar1_el1 */
	0x710ff07f,	/* 74: cmp w3, #0x3fc */
	0x54000142,	/* 78: b.cs +0xa0 */
	0xd518cc23,	/* 7c: msr icc_eoir1_el1, x3 */
	0xd5033fdf,	/* 80: isb */
	0xb9005663,	/* 84: str w3, [x19, #84] */
	0x710006b5,	/* 88: subs w21, w21, #0x1 */
	0x54ffff21,	/* 8c: b.ne +0x70 */
	0x52b08000,	/* 90: mov w0, #0x84000000 */
	0x72800100,	/* 94: movk w0, #0x8 */
	0xd4000002,	/* 98: hvc #0x0 */
	0x14000000,	/* 9c: b +0x9c */
	0xd503207f,	/* a0: wfi */
	0x17fffff3,	/* a4: b +0x70 */
};
/* clang-format on */

/* Entered at 0 it tells 0, entered at 4 the X5 that it was given. */
/* clang-format off */
static const uint32_t guest_context_code[] = {
	0xd2800005,	/* 00: mov x5, #0x0 */
	0xd2a12013,	/* 04: mov x19, #0x9000000 */
	0xd503201f,	/* 08: nop */
	0xf9000665,	/* 0c: str x5, [x19, #8] */
	0x52b08000,	/* 10: mov w0, #0x84000000 */
	0x72800100,	/* 14: movk w0, #0x8 */
	0xd4000002,	/* 18: hvc #0x0 */
	0x14000000,	/* 1c: b +0x1c */
};
/* clang-format on */

static const struct guest guest_mmio = { guest_mmio_code, sizeof(guest_mmio_code) };
static const struct guest guest_reset = { guest_reset_code, sizeof(guest_reset_code) };
static const struct guest guest_spin = { guest_spin_code, sizeof(guest_spin_code) };
static const struct guest guest_wfi = { guest_wfi_code, sizeof(guest_wfi_code) };
static const struct guest guest_trap = { guest_trap_code, sizeof(guest_trap_code) };
static const struct guest guest_abort = { guest_abort_code, sizeof(guest_abort_code) };
static const struct guest guest_smp = { guest_smp_code, sizeof(guest_smp_code) };
static const struct guest guest_context = { guest_context_code, sizeof(guest_context_code) };
static const struct guest guest_irq = { guest_irq_code, sizeof(guest_irq_code) };

#endif
