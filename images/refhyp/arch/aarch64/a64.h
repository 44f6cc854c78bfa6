/* SPDX-License-Identifier: GPL-2.0-only */
/* AArch64 at EL2: system registers, barriers, and what the files of this directory share. */
#ifndef REFHYP_ARCH_AARCH64_A64_H
#define REFHYP_ARCH_AARCH64_A64_H

#include "core/arch.h"
#include "core/platform.h"

#define SYS_READ(name)                                            \
	({                                                        \
		uint64_t sys_v;                                   \
		__asm__ volatile("mrs %0, " #name : "=r"(sys_v)); \
		sys_v;                                            \
	})
#define SYS_WRITE(name, value)                                        \
	do {                                                          \
		uint64_t sys_w = (value);                             \
		__asm__ volatile("msr " #name ", %0" : : "r"(sys_w)); \
	} while (0)
/* Of a register that the assembler may not know by name: the argument is a macro for its encoding. */
#define SYS_READ_AS(name)	  SYS_READ(name)
#define SYS_WRITE_AS(name, value) SYS_WRITE(name, value)
#define ISB()			  __asm__ volatile("isb" : : : "memory")
#define DSB(kind)		  __asm__ volatile("dsb " #kind : : : "memory")
#define TLBI(op)		  __asm__ volatile("tlbi " #op : : : "memory")
#define TLBI_ADDR(op, value) \
	__asm__ volatile("tlbi " #op ", %0" : : "r"((uint64_t)(value)) : "memory")
#define AT(op, va) __asm__ volatile("at " #op ", %0" : : "r"((uint64_t)(va)) : "memory")

/* Saved program state. */
#define PSTATE_A32  (1ull << 4)
#define PSTATE_MODE 0xfull
#define PSTATE_EL0  0x0ull
#define PSTATE_EL1H 0x5ull
#define PSTATE_DAIF 0x3c0ull
#define PSTATE_PAN  (1ull << 22)

/* EL1 registers that belong to a vCPU and change hands whenever another one is loaded. */
/* clang-format off */
#define EL1_REGISTERS(X) \
	X(sctlr_el1) X(cpacr_el1) X(ttbr0_el1) X(ttbr1_el1) X(esr_el1) X(afsr0_el1) X(afsr1_el1) \
	X(far_el1) X(mair_el1) X(amair_el1) X(vbar_el1) X(contextidr_el1) X(tpidr_el0) \
	X(tpidrro_el0) X(tpidr_el1) X(cntkctl_el1) X(par_el1) X(elr_el1) X(spsr_el1) X(sp_el0) \
	X(sp_el1) X(mdscr_el1) X(csselr_el1) X(cntv_cval_el0)
/* clang-format on */

struct a64_vcpu {
	alignas(16) uint8_t q[32][16];
	uint64_t fpsr, fpcr;
#define X(name) uint64_t name;
	EL1_REGISTERS(X)
#undef X
	uint64_t tcr_el1, cntv_ctl, tpidr2, vdisr;
	uint64_t vmcr, ap0r0, ap1r0;
};
_Static_assert(sizeof(struct a64_vcpu) <= sizeof(struct arch_vcpu), "room for the registers");

static inline struct a64_vcpu *a64(struct vcpu *v)
{
	return (struct a64_vcpu *)(void *)v->arch.opaque;
}

/* entry.S */
extern char refhyp_vectors[], refhyp_secondary[], image_start[], image_rodata[], image_data[],
	image_end[];
extern char refhyp_stacks[], panic_stacks[]; /* a page a CPU of the latter */
#define STACK_SIZE   16384u		     /* a CPU's; the page below it is not mapped */
#define STACK_STRIDE (STACK_SIZE + HYP_PAGE)
void a64_fp_save(void *q);
void a64_fp_load(const void *q);

/* boot.c */
void a64_mmu_build(void);
void a64_mmu_on(void);

/* pgtable.c: tables of the 4 KiB granule that start at level 1; stage 2, and EL2's own */
struct pgtable {
	uint64_t *root;
	void *(*alloc)(void);
	void (*release)(void *page);
	void (*flush)(const struct pgtable *table, uint64_t addr, uint64_t size);
	const void *owner;
};
#define PGTABLE_ATTR \
	0xfff0000000000ffcull /* the bits of a leaf that are neither address nor type */
enum gh_error pgtable_map(struct pgtable *t, uint64_t addr, pa_t pa, uint64_t size, uint64_t attr);
enum gh_error pgtable_unmap(struct pgtable *t, uint64_t addr, uint64_t size);
bool pgtable_walk(const struct pgtable *t, uint64_t addr, pa_t *pa, uint64_t *attr, uint64_t *left);
void pgtable_free(struct pgtable *t);

/* switch.c */
void a64_cpu_init(void);
void a64_inject(struct vcpu *v, uint64_t esr, uint64_t far);

/* gic.c */
void a64_gic_init_board(void);
void a64_gic_init_cpu(unsigned int cpu);

/* sysreg.c */
void a64_ids_init(void);
void a64_trap_sysreg(struct vcpu *v, uint32_t iss);

/* panic.c */
_Noreturn void a64_panic_trap(const struct regs *regs, unsigned int vector);

#endif
