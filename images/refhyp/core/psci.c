/* SPDX-License-Identifier: GPL-2.0-only */
/* PSCI 1.1 and the SMC calling convention's own calls, for the primary and for secondary VMs alike. */
#include "core/arch.h"
#include "core/vcpu.h"
#include "core/vgic.h"

#define SMCCC_VERSION		 0x80000000u
#define SMCCC_ARCH_FEATURES	 0x80000001u
#define SMCCC_1_3		 0x10003u
#define PSCI_VERSION		 0x84000000u
#define PSCI_CPU_SUSPEND	 0x84000001u
#define PSCI_CPU_OFF		 0x84000002u
#define PSCI_CPU_ON		 0x84000003u
#define PSCI_AFFINITY_INFO	 0x84000004u
#define PSCI_SYSTEM_OFF		 0x84000008u
#define PSCI_SYSTEM_RESET	 0x84000009u
#define PSCI_FEATURES		 0x8400000au
#define PSCI_CPU_DEFAULT_SUSPEND 0x8400000cu
#define PSCI_SET_SUSPEND_MODE	 0x8400000fu
#define PSCI_SYSTEM_RESET2	 0x84000012u
#define SMC64			 0x40000000u
#define PSCI_1_1		 0x10001u

#define SUCCESS		   0ll
#define NOT_SUPPORTED	   (-1ll)
#define INVALID_PARAMETERS (-2ll)
#define ALREADY_ON	   (-4ll)
#define ON_PENDING	   (-5ll)
#define INTERNAL_FAILURE   (-6ll)
#define EXTENDED_STATE	   2ll /* of CPU_SUSPEND: the format of its power state */
#define AFFINITY_MASK	   0xff00ffffffull
#define RESET2_VENDOR	   0x80000000u

/* The vCPU with this affinity; its index is affinity level 0. */
static struct vcpu *target(struct vm *vm, uint64_t affinity)
{
	return !(affinity & ~AFFINITY_MASK) && affinity < vm->vcpus ? &vm->vcpu[affinity] : NULL;
}

static int64_t cpu_on(struct vcpu *v, const uint64_t *arg)
{
	struct vcpu *to = target(v->vm, arg[0]);
	int64_t result = SUCCESS;

	if (!to)
		return INVALID_PARAMETERS;
	hyp_lock(&v->vm->lock);
	if (to->run == RUN_OFF) {
		if (!vcpu_start(to, arg[1], arg[2]))
			result = INTERNAL_FAILURE;
	} else {
		result = to->run == RUN_READY && !to->started ? ON_PENDING : ALREADY_ON;
	}
	hyp_unlock(&v->vm->lock);
	return result;
}

static int64_t affinity_info(struct vcpu *v, const uint64_t *arg)
{
	struct vcpu *to = target(v->vm, arg[0]);
	int64_t result;

	if (!to || arg[1])
		return INVALID_PARAMETERS;
	hyp_lock(&v->vm->lock);
	if (to->run == RUN_OFF || to->run == RUN_DEAD)
		result = 1;
	else
		result = to->run == RUN_READY && !to->started ? 2 : 0;
	hyp_unlock(&v->vm->lock);
	return result;
}

static void cpu_off(struct vcpu *v)
{
	if (!vcpu_is_primary(v)) {
		vcpu_exit(v, RUN_OFF, (struct run_result){ GH_VCPU_POWERED_OFF, { 0 } });
		return;
	}
	vcpu_idle(arch_cpu());
}

/* Every state is a standby: the call returns when there is an interrupt. */
static void suspend(struct vcpu *v, uint64_t state)
{
	v->regs.x[0] = SUCCESS;
	if (!vcpu_is_primary(v)) {
		vcpu_wait(v, state, GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND);
	} else if (!vcpu_has_interrupt(v)) {
		arch_wait();
	}
}

static void system_off(struct vcpu *v)
{
	if (vcpu_is_primary(v)) {
		hyp_log("off\n");
		arch_system_off();
	}
	vcpu_halt(v, RUN_DEAD, &(struct hyp_halt){ .type = GH_RM_EXIT_PSCI_SYSTEM_OFF });
}

static void system_reset(struct vcpu *v)
{
	if (vcpu_is_primary(v))
		arch_system_reset();
	vcpu_halt(v, RUN_RESET, &(struct hyp_halt){ .type = GH_RM_EXIT_PSCI_SYSTEM_RESET });
}

static int64_t system_reset2(struct vcpu *v, const uint64_t *arg, bool smc64)
{
	struct hyp_halt halt = {
		.type = GH_RM_EXIT_PSCI_SYSTEM_RESET2,
		.reset_type = (uint32_t)arg[0],
		.reset_cookie = arg[1],
		.smc64 = smc64,
	};

	/* The one reset that the architecture defines, and whatever a vendor may mean. */
	if (halt.reset_type && !(halt.reset_type & RESET2_VENDOR))
		return INVALID_PARAMETERS;
	if (vcpu_is_primary(v))
		arch_system_reset();
	vcpu_halt(v, RUN_RESET, &halt);
	return SUCCESS;
}

static int64_t features(uint32_t function)
{
	switch (function) {
	case SMCCC_VERSION:
	case PSCI_VERSION:
	case PSCI_CPU_OFF:
	case PSCI_CPU_ON:
	case PSCI_CPU_ON | SMC64:
	case PSCI_AFFINITY_INFO:
	case PSCI_AFFINITY_INFO | SMC64:
	case PSCI_SYSTEM_OFF:
	case PSCI_SYSTEM_RESET:
	case PSCI_FEATURES:
	case PSCI_CPU_DEFAULT_SUSPEND:
	case PSCI_CPU_DEFAULT_SUSPEND | SMC64:
	case PSCI_SET_SUSPEND_MODE:
	case PSCI_SYSTEM_RESET2:
	case PSCI_SYSTEM_RESET2 | SMC64:
		return SUCCESS;
	case PSCI_CPU_SUSPEND:
	case PSCI_CPU_SUSPEND | SMC64:
		return EXTENDED_STATE;
	default:
		return NOT_SUPPORTED;
	}
}

/* Calls that give their result at once. False: it is none of them. */
static bool simple_call(struct vcpu *v, uint32_t function, const uint64_t *arg, int64_t *result)
{
	switch (function) {
	case PSCI_VERSION:
		*result = PSCI_1_1;
		return true;
	case PSCI_FEATURES:
		*result = features((uint32_t)arg[0]);
		return true;
	case PSCI_CPU_ON:
	case PSCI_CPU_ON | SMC64:
		*result = cpu_on(v, arg);
		return true;
	case PSCI_AFFINITY_INFO:
	case PSCI_AFFINITY_INFO | SMC64:
		*result = affinity_info(v, arg);
		return true;
	case PSCI_SET_SUSPEND_MODE:
		*result = arg[0] ? NOT_SUPPORTED : SUCCESS; /* 0: the platform coordinates */
		return true;
	default:
		return false;
	}
}

bool psci_call(struct vcpu *v, uint32_t function)
{
	uint64_t arg[3] = { v->regs.x[1], v->regs.x[2], v->regs.x[3] };
	int64_t result;

	if (function == SMCCC_VERSION || function == SMCCC_ARCH_FEATURES) {
		bool known = function == SMCCC_VERSION || (uint32_t)arg[0] == SMCCC_VERSION ||
			     (uint32_t)arg[0] == SMCCC_ARCH_FEATURES;

		v->regs.x[0] = function == SMCCC_VERSION ? SMCCC_1_3
			       : known			 ? 0
							 : (uint64_t)NOT_SUPPORTED;
		return true;
	}
	if (!v->psci)
		return false;
	if (!(function & SMC64))
		for (unsigned int i = 0; i < 3; i++)
			arg[i] = (uint32_t)arg[i];
	if (simple_call(v, function, arg, &result)) {
		v->regs.x[0] = (uint64_t)result;
		return true;
	}
	switch (function) {
	case PSCI_CPU_SUSPEND:
	case PSCI_CPU_SUSPEND | SMC64:
		suspend(v, arg[0]);
		return true;
	case PSCI_CPU_DEFAULT_SUSPEND:
	case PSCI_CPU_DEFAULT_SUSPEND | SMC64:
		suspend(v, 0);
		return true;
	case PSCI_CPU_OFF:
		cpu_off(v);
		return true;
	case PSCI_SYSTEM_OFF:
		system_off(v);
		return true;
	case PSCI_SYSTEM_RESET:
		system_reset(v);
		return true;
	case PSCI_SYSTEM_RESET2:
	case PSCI_SYSTEM_RESET2 | SMC64:
		result = system_reset2(v, arg, function & SMC64);
		if (result)
			v->regs.x[0] = (uint64_t)result;
		return true;
	default:
		return false;
	}
}
