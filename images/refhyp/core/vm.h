/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own objects: VMs, vCPUs, physical CPUs and the virtual interrupts that tie them together.
 *
 * Locks, outermost first: the resource manager's; a VM's stage_lock (stage 2 and windows); a capability space's; an
 * object's (doorbell, message queue); a secondary VM's lock (interrupts, vCPU states); the primary VM's lock; a CPU's
 * timer queue. Nothing that waits for another CPU holds any lock but the resource manager's.
 */
#ifndef REFHYP_CORE_VM_H
#define REFHYP_CORE_VM_H

#include <stdalign.h>

#include "core/hyp.h"

#define VM_SPIS		988u /* INTIDs 32..1019 */
#define VM_PRIVATE	32u  /* SGIs and PPIs */
#define VM_LRS_MAX	16u
#define VM_WINDOWS_MAX	4u
#define INTID_TIMER	27u /* virtual timer PPI */
#define INTID_PTIMER	30u /* physical timer PPI, emulated */
#define INTID_SPI_FIRST 32u
#define INTID_END	1020u
#define INTID_NONE	0xffffu
#define TIME_NEVER	UINT64_MAX
#define CPU_NONE	(-1)

struct vcpu;
struct msgq;

/* What raises an interrupt; asserted() is read at the end of a level interrupt, under the VM's lock, so it takes none. */
struct virq_source {
	bool (*asserted)(const void *object);
	const void *object;
};

struct virq {
	const struct virq_source *source;
	uint32_t route; /* low word of GICD_IROUTER */
	uint8_t priority;
	uint8_t target;	  /* index of the vCPU that takes an SPI */
	uint8_t holder;	  /* while active: index of the vCPU that took it, and so ends it */
	uint8_t lr_owner; /* index + 1 of the vCPU that has it in a list register */
	bool enabled : 1, pending : 1, active : 1, edge : 1, group1 : 1;
	bool hw : 1;	    /* forwards the physical interrupt of the same number */
	bool hw_active : 1; /* which is active at the physical controller */
	bool drop : 1;	    /* pending state in the list register is void */
};

struct vgic {
	ipa_t gicd, gicr;
	uint64_t stride; /* of the redistributors; 0: the VM has no interrupt controller */
	uint32_t ctlr;
	uint64_t ready[(VM_SPIS + 63) / 64]; /* SPIs that are active, or pending and enabled */
	struct virq spi[VM_SPIS];
};

struct vrtc { /* under the VM's lock; base and exists are constant once it runs */
	bool exists, set;
	uint32_t loaded;
	ipa_t base;
	uint64_t offset; /* in ticks, from the system counter to the clock */
};

/* The registers that every trap saves; the assembly knows their order. */
struct regs {
	uint64_t x[31];
	uint64_t pc;
	uint64_t pstate;
};

struct arch_vcpu { /* the rest belongs to the architecture */
	alignas(16) uint64_t opaque[176];
};

struct arch_space {
	uint64_t *root;
	uint16_t vmid;
	uint8_t last_ran[HYP_CPUS_MAX]; /* index + 1 of the vCPU that a CPU's TLB may know */
};

enum run_state {
	RUN_OFF,    /* powered off */
	RUN_READY,  /* may run, and does not */
	RUN_ACTIVE, /* runs on .cpu */
	RUN_WAIT,   /* for an interrupt */
	RUN_MMIO,   /* for the host's answer to an access */
	RUN_FAULT,  /* cannot go on */
	RUN_RESET,  /* asked for a system reset that the host has not seen */
	RUN_DEAD,   /* will never run again */
};

struct mmio_access {
	ipa_t ipa;
	uint64_t value;		       /* of a write */
	uint64_t pc_step;	       /* bytes to the next instruction */
	uint8_t size;		       /* 1, 2, 4 or 8 */
	uint8_t reg;		       /* 31: the zero register */
	bool write, sign_extend, wide; /* wide: the register is 64 bits */
};

struct emulated_timer { /* CNTP */
	uint32_t ctl;
	uint64_t cval;
};

struct vcpu {
	struct regs regs; /* first: the assembly finds it at the vCPU's address */
	struct arch_vcpu arch;
	struct vm *vm;
	uint8_t index;
	bool psci;
	bool started; /* ran since it was last powered on */

	/* Under the VM's lock, except that only the CPU in .cpu changes the state of an active vCPU. */
	enum run_state run;
	int cpu; /* physical CPU that runs it; of a primary vCPU always its own */
	uint64_t wait_data, wait_source; /* what EXPECTS_WAKEUP reports */
	struct mmio_access mmio;
	uint64_t mmio_va;
	bool inject_abort; /* before it goes on: the host refused the access */
	struct hyp_halt halt;
	uint64_t entropy_since;
	uint32_t entropy_reads;
	uint32_t killed; /* atomic */

	/* Interrupts; loaded: its list registers are in the hardware of .cpu. */
	bool loaded;
	uint32_t refresh;   /* atomic: list registers must be filled again */
	uint32_t want_sync; /* how many siblings need the list registers empty */
	bool settling;	    /* its siblings keep theirs empty for it */
	uint32_t private_ready;
	uint8_t lr_used;
	uint8_t lr_stale;	  /* how many hold what sync() took out of them */
	bool lr_more, lr_evicted; /* what the hardware was told of too many interrupts */
	uint16_t lr_intid[VM_LRS_MAX];
	struct virq private[VM_PRIVATE];

	struct emulated_timer ptimer;
	bool ptimer_raised; /* since it was last set */
	struct virq_source ptimer_source;
	uint64_t deadline; /* in the timer queue of .timer_cpu, under that queue's lock */
	int timer_cpu;
	struct vcpu *timer_next;

	uint64_t cap; /* secondary: handle in the primary's space */
	uint16_t wake_virq;
};

struct window {
	ipa_t base;
	uint64_t size;
};

struct cap {
	uint64_t id;
	void *object; /* NULL: free */
	uint32_t type, rights;
};

struct cspace {
	hyp_spinlock_t lock;
	unsigned int count;
	struct cap *caps;
};

struct vm {
	uint16_t vmid;
	bool exists, primary;
	unsigned int vcpus;
	hyp_spinlock_t stage_lock;
	struct arch_space space;
	struct window windows[VM_WINDOWS_MAX];
	unsigned int window_count;

	hyp_spinlock_t lock;
	struct vgic gic;
	struct vrtc rtc;
	struct vcpu vcpu[HYP_CPUS_MAX];
	bool halted; /* the resource manager was told, or need not be */
	bool by_itself;
	struct hyp_halt halt; /* why, when by itself */

	struct cspace cspace;
	struct msgq *to_rm, *from_rm; /* NULL: it has no link */
};

/* A physical CPU. `current` comes first: the assembly needs it. */
struct cpu {
	struct vcpu *current;
	struct vcpu *host;    /* the primary's vCPU, which never leaves this CPU */
	uint64_t panic_stack; /* its top; the frames of what panicked stay as they are */
	unsigned int id;
	bool present;
	bool rm_work; /* a guest's message waits for the resource manager: before the primary goes on */
	bool halted; /* tell the resource manager, likewise: */
	uint16_t halted_vmid;
	hyp_spinlock_t timer_lock;
	struct vcpu *timers; /* sorted by deadline */
	uint64_t timer_set;  /* what the hardware is set to */
};

extern struct cpu hyp_cpus[HYP_CPUS_MAX];
extern struct vm hyp_vms[HYP_VMS_MAX + 1]; /* 0 is the primary */

void pool_init(void);
void log_panic(void); /* from here on the log needs no lock: one CPU speaks */

static inline bool vcpu_is_primary(const struct vcpu *v)
{
	return v->vm->primary;
}

#endif
