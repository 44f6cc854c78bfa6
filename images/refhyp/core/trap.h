/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a processor tells core/: the boot, and each trap of the vCPU that runs.
 *
 * After any of these the architecture calls trap_return(), which may put another vCPU in arch_cpu()->current.
 */
#ifndef REFHYP_CORE_TRAP_H
#define REFHYP_CORE_TRAP_H

#include "core/vm.h"

/* A stage-2 fault of the running vCPU. */
struct fault {
	uint64_t va; /* as the faulting instruction used it */
	ipa_t ipa;   /* valid when ipa_valid */
	bool ipa_valid;
	bool translation; /* nothing is mapped, as opposed to: mapped without that right */
	bool exec, write;
	bool decoded; /* `access` describes a single-register load or store */
	bool from_user;
	struct mmio_access access;
};

void trap_boot(void);		/* on the first CPU; returns with its primary vCPU ready to run */
void trap_boot_secondary(void); /* on the others; returns when the primary powers that vCPU on */
void trap_irq(void);
void trap_hvc(unsigned int imm); /* pc is already behind the instruction */
void trap_smc(unsigned int imm); /* likewise */
void trap_wfi(void);		 /* likewise; secondary VMs only */
void trap_fault(const struct fault *fault);
void trap_sgi(uint64_t value,
	      bool group1);    /* a write to ICC_SGI1R_EL1, or to one of the group 0 registers */
void trap_dir(uint32_t intid); /* a write to ICC_DIR_EL1, while active interrupts are evicted */
void trap_broken(void);	       /* the running vCPU did what it cannot survive */
void trap_return(void);

/* The emulated physical timer of the running vCPU. */
struct emulated_timer trap_ptimer(void);
void trap_ptimer_set(struct emulated_timer timer);

#endif
