/* SPDX-License-Identifier: GPL-2.0-only */
/* Gives the processor to a vCPU and takes it back: EL1 registers, floating point, timer, stage 2, EL2's controls. */
#include "arch/aarch64/a64.h"

#define HCR_VM	   (1ull << 0)
#define HCR_SWIO   (1ull << 1)
#define HCR_PTW	   (1ull << 2)
#define HCR_FMO	   (1ull << 3)
#define HCR_IMO	   (1ull << 4)
#define HCR_AMO	   (1ull << 5)
#define HCR_FB	   (1ull << 9)
#define HCR_BSU_IS (1ull << 10)
#define HCR_TWI	   (1ull << 13)
#define HCR_TID3   (1ull << 18)
#define HCR_TSC	   (1ull << 19)
#define HCR_TIDCP  (1ull << 20)
#define HCR_TACR   (1ull << 21)
#define HCR_RW	   (1ull << 31)
#define HCR_TLOR   (1ull << 35)
#define HCR_TERR   (1ull << 36)
/* Pointer authentication stays off (APK, API): its keys are nobody's, and trap. */
#define HCR_ALWAYS                                                                         \
	(HCR_VM | HCR_SWIO | HCR_PTW | HCR_FMO | HCR_IMO | HCR_AMO | HCR_FB | HCR_BSU_IS | \
	 HCR_TID3 | HCR_TSC | HCR_TIDCP | HCR_TACR | HCR_RW | HCR_TLOR | HCR_TERR)

/* Traps of SVE, SME, trace and activity monitors; floating point is free. */
#define CPTR_ALWAYS (0x33ffull | 1ull << 20 | 1ull << 30)
/* Traps of debug, OS lock, performance monitors, profiling and trace. */
#define MDCR_ALWAYS \
	(1ull << 5 | 1ull << 6 | 1ull << 9 | 1ull << 10 | 1ull << 11 | 1ull << 14 | 1ull << 19)
#define CNTHCTL_COUNTER 1ull /* EL1 and EL0 read the counter; the physical timer traps */
/* 36 bits of intermediate physical address from level 1, 4 KiB granule, write-back tables. */
#define VTCR_VALUE	(1ull << 31 | 1ull << 16 | 3ull << 12 | 1ull << 10 | 1ull << 8 | 1ull << 6 | 28)
#define SCTLR_EL1_RESET 0x30d00800ull

#define TPIDR2_EL0 s3_3_c13_c0_5
#define VDISR_EL2  s3_4_c12_c1_1 /* what a vCPU has in DISR_EL1 */
#define HCRX_EL2   s3_4_c1_c2_2

static bool have_sme, have_ras;

void a64_cpu_init(void)
{
	SYS_WRITE(hcr_el2, HCR_ALWAYS);
	SYS_WRITE(cptr_el2, CPTR_ALWAYS);
	SYS_WRITE(mdcr_el2, MDCR_ALWAYS | (SYS_READ(mdcr_el2) & 31));
	SYS_WRITE(hstr_el2, 0);
	SYS_WRITE(cnthctl_el2, CNTHCTL_COUNTER);
	SYS_WRITE(cntvoff_el2, 0);
	SYS_WRITE(cntv_ctl_el0, 0);
	SYS_WRITE(cnthp_ctl_el2, 0);
	SYS_WRITE(vtcr_el2, VTCR_VALUE);
	SYS_WRITE(vpidr_el2, SYS_READ(midr_el1));
	have_sme = SYS_READ(id_aa64pfr1_el1) >> 24 & 15;
	have_ras = SYS_READ(id_aa64pfr0_el1) >> 28 & 15;
	if (SYS_READ(id_aa64mmfr1_el1) >> 40 & 15)
		SYS_WRITE_AS(HCRX_EL2, 0);
	ISB();
	TLBI(alle1);
	DSB(nsh);
	ISB();
}

void arch_vcpu_reset(struct vcpu *v, uint64_t pc, uint64_t x0)
{
	v->regs = (struct regs){ .x[0] = x0, .pc = pc, .pstate = PSTATE_DAIF | PSTATE_EL1H };
	*a64(v) = (struct a64_vcpu){ .sctlr_el1 = SCTLR_EL1_RESET };
}

void arch_set_sp(struct vcpu *v, unsigned int el, uint64_t value)
{
	if (el)
		a64(v)->sp_el1 = value;
	else
		a64(v)->sp_el0 = value;
}

/*
 * A vCPU's TLB entries carry its VM's number only, and two vCPUs may use one address-space id for two things: when this
 * CPU ran another vCPU of the VM before, it forgets.
 */
static void load_space(struct vcpu *v)
{
	struct arch_space *space = &v->vm->space;
	unsigned int cpu = arch_cpu()->id;

	SYS_WRITE(vttbr_el2, (uint64_t)space->vmid << 48 | (uintptr_t)space->root);
	ISB();
	if (space->last_ran[cpu] != v->index + 1) {
		if (space->last_ran[cpu]) {
			TLBI(vmalle1);
			__asm__ volatile("ic iallu" : : : "memory");
			DSB(nsh);
			ISB();
		}
		space->last_ran[cpu] = (uint8_t)(v->index + 1);
	}
}

void arch_vcpu_load(struct vcpu *v)
{
	struct a64_vcpu *a = a64(v);

	load_space(v);
	SYS_WRITE(hcr_el2, HCR_ALWAYS | (v->vm->primary ? 0 : HCR_TWI));
	SYS_WRITE(vmpidr_el2, 1ull << 31 | v->index);
	/* Writing this one costs a TLB flush on some processors, and most guests agree on its value. */
	if (SYS_READ(tcr_el1) != a->tcr_el1)
		SYS_WRITE(tcr_el1, a->tcr_el1);
#define X(name) SYS_WRITE(name, a->name);
	EL1_REGISTERS(X)
#undef X
	SYS_WRITE(cntv_ctl_el0, a->cntv_ctl);
	if (have_sme)
		SYS_WRITE_AS(TPIDR2_EL0, a->tpidr2);
	if (have_ras)
		SYS_WRITE_AS(VDISR_EL2, a->vdisr);
	SYS_WRITE(ich_vmcr_el2, a->vmcr);
	SYS_WRITE(ich_ap0r0_el2, a->ap0r0);
	SYS_WRITE(ich_ap1r0_el2, a->ap1r0);
	a64_fp_load(a->q);
	ISB();
}

void arch_vcpu_save(struct vcpu *v)
{
	struct a64_vcpu *a = a64(v);

	a->cntv_ctl = SYS_READ(cntv_ctl_el0);
	SYS_WRITE(cntv_ctl_el0, 0);
	a->tcr_el1 = SYS_READ(tcr_el1);
#define X(name) a->name = SYS_READ(name);
	EL1_REGISTERS(X)
#undef X
	if (have_sme)
		a->tpidr2 = SYS_READ_AS(TPIDR2_EL0);
	if (have_ras)
		a->vdisr = SYS_READ_AS(VDISR_EL2);
	a->vmcr = SYS_READ(ich_vmcr_el2);
	a->ap0r0 = SYS_READ(ich_ap0r0_el2);
	a->ap1r0 = SYS_READ(ich_ap1r0_el2);
	a64_fp_save(a->q);
	ISB();
}

uint64_t arch_vtimer_deadline(const struct vcpu *v)
{
	const struct a64_vcpu *a = (const struct a64_vcpu *)(const void *)v->arch.opaque;

	return (a->cntv_ctl & 3) == 1 ? a->cntv_cval_el0 : TIME_NEVER;
}

bool arch_vtimer_fires(void)
{
	return (SYS_READ(cntv_ctl_el0) & 7) == 5;
}

/* Makes the loaded vCPU take an exception to its EL1. */
void a64_inject(struct vcpu *v, uint64_t esr, uint64_t far)
{
	uint64_t from = v->regs.pstate, sctlr = SYS_READ(sctlr_el1), vector = SYS_READ(vbar_el1);
	uint64_t to = (from & 0xf1000000ull) | PSTATE_DAIF | PSTATE_EL1H;

	if (from & PSTATE_A32)
		vector += 0x600;
	else if ((from & PSTATE_MODE) == PSTATE_EL0)
		vector += 0x400;
	else if ((from & PSTATE_MODE) == PSTATE_EL1H)
		vector += 0x200;
	/* PAN is set on the way in unless SCTLR_EL1.SPAN keeps it; DIT stays; SSBS follows SCTLR_EL1.DSSBS. */
	if (!(sctlr >> 23 & 1))
		to |= PSTATE_PAN;
	else
		to |= from & PSTATE_PAN;
	to |= sctlr >> 44 & 1 ? 1ull << 12 : 0;
	SYS_WRITE(esr_el1, esr);
	SYS_WRITE(far_el1, far);
	SYS_WRITE(elr_el1, v->regs.pc);
	SYS_WRITE(spsr_el1, from);
	v->regs.pc = vector;
	v->regs.pstate = to;
}

#define ESR_IL	     (1ull << 25)
#define ESR_EXTERNAL 0x10ull /* fault status: synchronous external abort */

void arch_inject_undefined(struct vcpu *v)
{
	a64_inject(v, ESR_IL, SYS_READ(far_el1));
}

void arch_inject_abort(struct vcpu *v, const struct fault *fault)
{
	uint64_t class = fault->exec ? 0x20 : 0x24;
	uint64_t write = fault->write && !fault->exec ? 1ull << 6 : 0;

	if ((v->regs.pstate & (PSTATE_MODE | PSTATE_A32)) != PSTATE_EL0 &&
	    !(v->regs.pstate & PSTATE_A32))
		class ++;
	a64_inject(v, class << 26 | ESR_IL | write | ESR_EXTERNAL, fault->va);
}
