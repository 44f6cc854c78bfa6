/* SPDX-License-Identifier: GPL-2.0-only */
/* System registers that trap: what a vCPU may know of the processor, and the few that it may write. */
#include "arch/aarch64/a64.h"

#define REG(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_SGI1R		     REG(3, 0, 12, 11, 5)
#define ICC_ASGI1R		     REG(3, 0, 12, 11, 6)
#define ICC_SGI0R		     REG(3, 0, 12, 11, 7)
#define ICC_DIR			     REG(3, 0, 12, 11, 1)
#define ACTLR			     REG(3, 0, 1, 0, 1)
#define CNTP_TVAL		     REG(3, 3, 14, 2, 0)
#define CNTP_CTL		     REG(3, 3, 14, 2, 1)
#define CNTP_CVAL		     REG(3, 3, 14, 2, 2)
#define MDSCR			     REG(2, 0, 0, 2, 2)
#define OSLSR			     REG(2, 0, 1, 1, 4)
#define ID_FIRST		     REG(3, 0, 0, 1, 0)
#define ID_LAST			     REG(3, 0, 0, 7, 7)
#define MDSCR_STEP \
	((1ull << 0) | (1ull << 12) | (1ull << 13)) /* SS, TDCC, KDE: no hardware breakpoints */
#define TIMER_CTL_MASK 3u
#define TIMER_FIRES    4u

/* ID registers of CRm 4 to 7; all others read as zero: there is no AArch32. The same for every VM and CPU. */
static uint64_t ids[4][8];

static uint64_t fields(uint64_t value, uint64_t nibbles)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < 16; i++)
		if (nibbles >> i & 1)
			mask |= 0xfull << 4 * i;
	return value & mask;
}

static uint64_t at_most(uint64_t value, unsigned int shift, uint64_t limit)
{
	uint64_t now = value >> shift & 0xf;

	return (now > limit ? limit : now) << shift;
}

/* Bit n of the second argument of fields() keeps bits 4n+3:4n. */
void a64_ids_init(void)
{
	uint64_t pfr0 = SYS_READ(id_aa64pfr0_el1), mmfr0 = SYS_READ(id_aa64mmfr0_el1);

	/* AArch64 only at EL0 and EL1; FP, SIMD, GIC, DIT, CSV3 as they are; no RAS, SVE, MPAM, AMU, RME. */
	ids[0][0] = 0x11 | fields(pfr0, 1 << 4 | 1 << 5 | 1 << 6 | 1 << 12 | 1 << 15) |
		    at_most(pfr0, 56, 1);
	/* BTI and SSBS; no MTE, SME, NMI. */
	ids[0][1] = fields(SYS_READ(id_aa64pfr1_el1), 1 << 0 | 1 << 1);
	/* ARMv8 debug with two breakpoints and watchpoints that never hit; no PMU, trace, profiling. */
	ids[1][0] = 0x1006 | 1ull << 20 | (SYS_READ(id_aa64dfr0_el1) & 0xfull << 36);
	/* All but TME. */
	ids[2][0] = fields(SYS_READ(id_aa64isar0_el1), 0xffff & ~(1 << 6));
	/* No pointer authentication, no LS64, no XS. */
	ids[2][1] = fields(SYS_READ(id_aa64isar1_el1),
			   1 << 0 | 1 << 3 | 1 << 4 | 1 << 5 | 0x3f << 8 | 1 << 13);
	ids[2][2] = 0;
	/* 36 bits of physical address; granules without 52-bit forms; no fine-grained traps, no ECV. */
	ids[3][0] = 1 | fields(mmfr0, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4) | at_most(mmfr0, 20, 1) |
		    (mmfr0 & 0xfull << 24) | (mmfr0 >> 28 & 0xf ? mmfr0 & 0x8ull << 28 : 0);
	/* Hardware access flag, HPDS, PAN, ETS. */
	ids[3][1] = fields(SYS_READ(id_aa64mmfr1_el1), 1 << 0 | 1 << 3 | 1 << 5 | 1 << 9);
	/* UAO, LSM, CCIDX, ST, AT, IDS, TTL, BBM, E0PD. */
	ids[3][2] =
		fields(SYS_READ(id_aa64mmfr2_el1), 1 << 1 | 1 << 2 | 1 << 5 | 1 << 7 | 1 << 8 |
							   1 << 9 | 1 << 12 | 1 << 13 | 1 << 15);
}

static uint64_t debug_read(uint32_t reg)
{
	return reg == MDSCR ? SYS_READ(mdscr_el1) : 0;
}

static bool sys_read(struct vcpu *v, uint32_t reg, uint64_t *value)
{
	struct emulated_timer timer;

	*value = 0;
	if (reg >= ID_FIRST && reg <= ID_LAST) {
		unsigned int crm = reg >> 3 & 15;

		*value = crm >= 4 ? ids[crm - 4][reg & 7] : 0;
		return true;
	}
	if (reg >> 14 == 2) {
		*value = debug_read(reg);
		return true;
	}
	switch (reg) {
	case ACTLR:
		return true;
	case CNTP_TVAL:
	case CNTP_CTL:
	case CNTP_CVAL:
		timer = trap_ptimer();
		if (reg == CNTP_TVAL)
			*value = (uint32_t)(timer.cval - arch_counter());
		else if (reg == CNTP_CVAL)
			*value = timer.cval;
		else
			*value = timer.ctl |
				 (timer.ctl & 1 && arch_counter() >= timer.cval ? TIMER_FIRES : 0);
		return true;
	default:
		(void)v;
		return false;
	}
}

static bool sys_write(uint32_t reg, uint64_t value)
{
	struct emulated_timer timer;

	if (reg >> 14 == 2) {
		if (reg == MDSCR)
			SYS_WRITE(mdscr_el1, value & MDSCR_STEP);
		return true;
	}
	switch (reg) {
	case ICC_SGI1R:
		trap_sgi(value, true);
		return true;
	case ICC_SGI0R:
	case ICC_ASGI1R:
		trap_sgi(value, false);
		return true;
	case ICC_DIR:
		trap_dir((uint32_t)value & 0xffffff);
		return true;
	case ACTLR:
		return true;
	case CNTP_TVAL:
	case CNTP_CTL:
	case CNTP_CVAL:
		timer = trap_ptimer();
		if (reg == CNTP_TVAL)
			timer.cval = arch_counter() + (uint64_t)(int64_t)(int32_t)value;
		else if (reg == CNTP_CVAL)
			timer.cval = value;
		else
			timer.ctl = (uint32_t)value & TIMER_CTL_MASK;
		trap_ptimer_set(timer);
		return true;
	default:
		return false;
	}
}

/* iss: of the trapped MRS or MSR. pc still points at it. */
void a64_trap_sysreg(struct vcpu *v, uint32_t iss)
{
	uint32_t reg =
		REG(iss >> 20 & 3, iss >> 14 & 7, iss >> 10 & 15, iss >> 1 & 15, iss >> 17 & 7);
	unsigned int rt = iss >> 5 & 31;
	bool read = iss & 1, from_user = !(v->regs.pstate & (PSTATE_MODE | PSTATE_A32));
	uint64_t value = 0;
	bool known;

	/* User space gets here with the timer only when its kernel let it; other registers are its kernel's. */
	if (from_user && reg >> 14 == 2)
		known = false;
	else if (read)
		known = sys_read(v, reg, &value);
	else
		known = sys_write(reg, rt < 31 ? v->regs.x[rt] : 0);
	if (!known) {
		arch_inject_undefined(v);
		return;
	}
	if (read && rt < 31)
		v->regs.x[rt] = value;
	v->regs.pc += 4;
}
