/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What core/ needs of a processor. arch/aarch64/ implements it for the board, arch/fake.c for tests on any host.
 *
 * Interrupts are masked whenever core/ runs. Functions without a CPU argument work on the calling CPU.
 */
#ifndef REFHYP_CORE_ARCH_H
#define REFHYP_CORE_ARCH_H

#include "core/trap.h"
#include "core/vm.h"

/* --- CPUs --- */
struct cpu *arch_cpu(void);
void arch_kick(unsigned int cpu); /* makes the CPU enter the hypervisor soon */
void arch_relax(void);		  /* in a loop that waits for another CPU */
void arch_wait(void);		  /* until an interrupt is pending; may return early */
unsigned int
arch_start_cpus(void); /* brings up the others; how many there are now, this one included */
_Noreturn void arch_system_off(void);
_Noreturn void arch_system_reset(void);
_Noreturn void arch_panic(const char *why);

/* --- vCPUs --- */

/* Puts a vCPU that is not loaded into its state at power-on: EL1h, MMU off, interrupts masked. */
void arch_vcpu_reset(struct vcpu *v, uint64_t pc, uint64_t x0);
void arch_vcpu_load(
	struct vcpu *v); /* all of its registers but struct regs, stage 2, timers, into this CPU */
void arch_vcpu_save(struct vcpu *v); /* the reverse; its virtual timer is then off */
void arch_set_sp(struct vcpu *v, unsigned int el, uint64_t value);
/* When the virtual timer of a vCPU that is not loaded fires; TIME_NEVER: it is off or masked. */
uint64_t arch_vtimer_deadline(const struct vcpu *v);
/* Whether the virtual timer of the loaded vCPU fires now. */
bool arch_vtimer_fires(void);

/* Makes the loaded vCPU take a synchronous external abort for the access that trapped. */
void arch_inject_abort(struct vcpu *v, const struct fault *fault);
void arch_inject_undefined(struct vcpu *v);

/* --- Stage 2 --- the caller holds the VM's stage_lock */
bool arch_space_init(struct arch_space *space, uint16_t vmid);
void arch_space_free(struct arch_space *space);
enum gh_error arch_space_map(struct arch_space *space, ipa_t ipa, pa_t pa, uint64_t size,
			     unsigned int kind);
enum gh_error arch_space_unmap(struct arch_space *space, ipa_t ipa, uint64_t size);
bool arch_space_translate(struct arch_space *space, ipa_t ipa, pa_t *pa, unsigned int *kind,
			  uint64_t *left);
#define SPACE_DEVICE 8u /* in `kind`, beside the rights */

/* Translates an address of the loaded vCPU as its kernel would use it, through both stages. */
bool arch_guest_va(uint64_t va, bool write, pa_t *pa);

/* --- Memory --- */
void *arch_ptr(pa_t pa);
void arch_pool(pa_t *start,
	       pa_t *end); /* pages that hyp_alloc_page() hands out, in arch_ptr()'s view */
void arch_clean(const void *p, size_t size);
void arch_zero_page(void *page);

/* --- The interrupt hardware of this CPU's loaded vCPU --- */
struct lr {
	uint16_t intid;
	uint8_t priority;
	bool pending, active, group1;
	bool hw;       /* its deactivation deactivates the physical interrupt */
	bool tell_eoi; /* its end raises the maintenance interrupt */
};
unsigned int arch_lr_count(void);
void arch_lr_write(unsigned int i, const struct lr *lr); /* NULL: empty */
void arch_lr_read(unsigned int i, struct lr *lr);
/* more: tell when nothing is pending in the list registers any more; evicted: active interrupts are in none, so their ends must be counted. */
void arch_lr_overflow(bool more, bool evicted);
unsigned int arch_eoi_count(void); /* ends without a list register since the last call */

/* --- Physical interrupts --- */
unsigned int arch_irq_end(void); /* one more than the highest INTID that exists */
uint32_t arch_irq_take(void);	 /* acknowledges one and drops its priority; 1020 and above: none */
void arch_irq_deactivate(uint32_t intid);
void arch_irq_enable(uint32_t intid, bool on);
void arch_irq_set_edge(uint32_t intid, bool edge);
void arch_irq_route(uint32_t intid, unsigned int cpu);
void arch_irq_set_pending(uint32_t intid, bool on);
void arch_irq_set_active(uint32_t intid);
bool arch_irq_pending(uint32_t intid);
enum arch_irq {
	ARCH_IRQ_NONE,
	ARCH_IRQ_KICK,
	ARCH_IRQ_MAINTENANCE,
	ARCH_IRQ_HYP_TIMER,
	ARCH_IRQ_VTIMER,
	ARCH_IRQ_SPI
};
enum arch_irq arch_irq_kind(uint32_t intid);

/* --- Time, entropy, console --- */
uint64_t arch_counter(void);
uint64_t arch_counter_hz(void);
void arch_timer_set(uint64_t deadline); /* the hypervisor's own; TIME_NEVER: off */
bool arch_entropy(uint32_t *word);
void arch_putc(char c);

#endif
