/* SPDX-License-Identifier: GPL-2.0-only */
/* Tells apart why EL1 or EL0 trapped, and describes it to core/. */
#include "arch/aarch64/a64.h"

#define EC_WFX	  0x01
#define EC_HVC64  0x16
#define EC_SMC64  0x17
#define EC_SYSREG 0x18
#define EC_IABT	  0x20
#define EC_DABT	  0x24

#define ISS_VALID	(1u << 24)
#define ISS_SIGN	(1u << 21)
#define ISS_WIDE	(1u << 15)
#define ISS_S1WALK	(1u << 7)
#define ISS_CACHE	(1u << 8)
#define ISS_WRITE	(1u << 6)
#define FSC_TYPE	0x3cu
#define FSC_TRANSLATION 0x04u
#define FSC_ACCESS	0x08u
#define FSC_PERMISSION	0x0cu
#define HPFAR_IPA	0xffffffffff0ull

void a64_trap_sync(struct vcpu *v);
void a64_trap_irq(struct vcpu *v);
void a64_trap_serror(struct vcpu *v);

static struct fault describe(const struct vcpu *v, uint32_t iss, bool exec)
{
	uint64_t va = SYS_READ(far_el2);
	uint32_t type = iss & FSC_TYPE;
	struct fault f = {
		.va = va,
		.ipa = (SYS_READ(hpfar_el2) & HPFAR_IPA) << 8 | (va & (HYP_PAGE - 1)),
		.ipa_valid = type == FSC_TRANSLATION || type == FSC_ACCESS || iss & ISS_S1WALK,
		.translation = type == FSC_TRANSLATION,
		.exec = exec,
		.write = !exec && iss & ISS_WRITE,
		.from_user = !(v->regs.pstate & PSTATE_MODE),
	};

	if (exec || !(iss & ISS_VALID) || iss & (ISS_S1WALK | ISS_CACHE))
		return f;
	f.decoded = true;
	f.access = (struct mmio_access){
		.ipa = f.ipa,
		.size = (uint8_t)(1u << (iss >> 22 & 3)),
		.reg = iss >> 16 & 31,
		.write = f.write,
		.sign_extend = iss & ISS_SIGN,
		.wide = iss & ISS_WIDE,
		.pc_step = 4,
	};
	if (f.write && f.access.reg < 31)
		f.access.value = v->regs.x[f.access.reg];
	if (f.access.size < 8)
		f.access.value &= (1ull << 8 * f.access.size) - 1;
	return f;
}

void a64_trap_sync(struct vcpu *v)
{
	uint64_t esr = SYS_READ(esr_el2);
	uint32_t iss = (uint32_t)esr & 0x1ffffff;
	struct fault fault;

	switch (esr >> 26 & 0x3f) {
	case EC_DABT:
	case EC_IABT:
		fault = describe(v, iss, (esr >> 26 & 0x3f) == EC_IABT);
		trap_fault(&fault);
		break;
	case EC_SYSREG:
		a64_trap_sysreg(v, iss);
		break;
	case EC_HVC64:
		trap_hvc(iss & 0xffff);
		break;
	case EC_SMC64:
		v->regs.pc += 4;
		trap_smc(iss & 0xffff);
		break;
	case EC_WFX:
		v->regs.pc += 4;
		trap_wfi();
		break;
	default:
		arch_inject_undefined(v);
	}
	trap_return();
}

void a64_trap_irq(struct vcpu *v)
{
	(void)v;
	trap_irq();
	trap_return();
}

/* The hardware tells of an error too late to say whose access it was. */
void a64_trap_serror(struct vcpu *v)
{
	hyp_log("SError while VM %u vCPU %u ran: ESR %lx\n", v->vm->vmid, v->index,
		SYS_READ(esr_el2));
	trap_broken();
	trap_return();
}
