/* SPDX-License-Identifier: GPL-2.0-only */
/* Brings the CPUs up at EL2: the hypervisor's own translation tables, the processor's controls, firmware calls. */
#include "arch/aarch64/a64.h"

#define PSCI_CPU_ON	   0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_SYSTEM_OFF	   0x84000008u
#define PSCI_SYSTEM_RESET  0x84000009u

/* Stage-1 leaf attributes at EL2; MAIR index 0 is device-nGnRnE, 1 normal write-back. */
#define EL2_AF	       (1ull << 10)
#define EL2_SHARED     (3ull << 8)
#define EL2_RES1       (1ull << 6)
#define EL2_READ_ONLY  (1ull << 7)
#define EL2_NO_EXEC    (1ull << 54)
#define EL2_DEVICE     (EL2_AF | EL2_RES1 | EL2_NO_EXEC)
#define EL2_NORMAL     (EL2_AF | EL2_RES1 | EL2_SHARED | 1ull << 2)
#define EL2_MAIR       0xff00ull
#define EL2_TCR	       (1ull << 31 | 1ull << 23 | 2ull << 16 | 3ull << 12 | 1ull << 10 | 1ull << 8 | 25)
#define EL2_SCTLR_RES1 0x30c50830ull
#define EL2_SCTLR_ON   (EL2_SCTLR_RES1 | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12 | 1ull << 19)

#define BOOT_TABLES 16u
#define GIC_WINDOW  0x02000000ull /* what of the device space the hypervisor maps for itself */

static alignas(HYP_PAGE) uint64_t boot_tables[BOOT_TABLES][512];
static unsigned int boot_tables_used;
static struct pgtable el2;

void a64_boot(void);
void a64_boot_secondary(unsigned int id);

static uint64_t firmware(uint32_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a1;
	register uint64_t x2 __asm__("x2") = a2;
	register uint64_t x3 __asm__("x3") = a3;

	__asm__ volatile("smc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "memory");
	return x0;
}

static void *boot_table(void)
{
	return boot_tables_used < BOOT_TABLES ? boot_tables[boot_tables_used++] : NULL;
}

static void el2_map(pa_t pa, uint64_t size, uint64_t attr)
{
	if (size && pgtable_map(&el2, pa, pa, size, attr))
		arch_panic("the hypervisor's own map");
}

/* Runs with the MMU off. All of it is 1:1. */
void a64_mmu_build(void)
{
	pa_t text = (pa_t)image_start, rodata = (pa_t)image_rodata, data = (pa_t)image_data;
	pa_t end = platform.hyp_ram.base + platform.hyp_ram.size;
	pa_t at = data;

	el2 = (struct pgtable){ .root = boot_table(), .alloc = boot_table };
	el2_map(platform.gicd & ~(GIC_WINDOW - 1), GIC_WINDOW, EL2_DEVICE);
	el2_map(platform.primary_ram.base, platform.primary_ram.size, EL2_NORMAL | EL2_NO_EXEC);
	el2_map(text, rodata - text, EL2_NORMAL | EL2_READ_ONLY);
	el2_map(rodata, data - rodata, EL2_NORMAL | EL2_READ_ONLY | EL2_NO_EXEC);
	/* The stacks end the image; each has a hole below it. */
	for (unsigned int i = 0; i < HYP_CPUS_MAX; i++) {
		pa_t guard = (pa_t)refhyp_stacks + (pa_t)i * STACK_STRIDE;

		el2_map(at, guard - at, EL2_NORMAL | EL2_NO_EXEC);
		at = guard + HYP_PAGE;
	}
	el2_map(at, end - at, EL2_NORMAL | EL2_NO_EXEC);
}

void a64_mmu_on(void)
{
	SYS_WRITE(mair_el2, EL2_MAIR);
	SYS_WRITE(tcr_el2, EL2_TCR);
	SYS_WRITE(ttbr0_el2, (uintptr_t)el2.root);
	ISB();
	TLBI(alle2);
	DSB(sy);
	ISB();
	SYS_WRITE(sctlr_el2, EL2_SCTLR_ON);
	ISB();
}

static void cpu_setup(unsigned int id)
{
	struct cpu *c = &hyp_cpus[id];

	SYS_WRITE(tpidr_el2, (uintptr_t)c);
	SYS_WRITE(vbar_el2, (uintptr_t)refhyp_vectors);
	c->id = id;
	c->panic_stack = (uintptr_t)panic_stacks + (id + 1ull) * HYP_PAGE;
	ISB();
}

void a64_boot(void)
{
	SYS_WRITE(hcr_el2, 1ull << 31);
	ISB();
	cpu_setup(0);
	a64_mmu_build();
	a64_mmu_on();
	a64_ids_init();
	a64_cpu_init();
	a64_gic_init_board();
	a64_gic_init_cpu(0);
	trap_boot();
	trap_return();
}

void a64_boot_secondary(unsigned int id)
{
	SYS_WRITE(hcr_el2, 1ull << 31);
	ISB();
	a64_mmu_on();
	cpu_setup(id);
	a64_cpu_init();
	a64_gic_init_cpu(id);
	__atomic_store_n(&hyp_cpus[id].present, true, __ATOMIC_RELEASE);
	trap_boot_secondary();
	trap_return();
}

unsigned int arch_start_cpus(void)
{
	unsigned int n = 1;

	hyp_cpus[0].present = true;
	/* The firmware knows which CPUs exist: it refuses the others. */
	for (; n < HYP_CPUS_MAX; n++) {
		if (firmware(PSCI_AFFINITY_INFO, n, 0, 0) != 1)
			break;
		if (firmware(PSCI_CPU_ON, n, (uintptr_t)refhyp_secondary, n))
			break;
		while (!__atomic_load_n(&hyp_cpus[n].present, __ATOMIC_ACQUIRE))
			arch_relax();
	}
	return n;
}

struct cpu *arch_cpu(void)
{
	return (struct cpu *)SYS_READ(tpidr_el2);
}

void arch_relax(void)
{
	__asm__ volatile("yield" : : : "memory");
}

void arch_wait(void)
{
	DSB(sy);
	__asm__ volatile("wfi" : : : "memory");
}

void arch_system_off(void)
{
	firmware(PSCI_SYSTEM_OFF, 0, 0, 0);
	for (;;)
		arch_wait();
}

void arch_system_reset(void)
{
	firmware(PSCI_SYSTEM_RESET, 0, 0, 0);
	for (;;)
		arch_wait();
}

void *arch_ptr(pa_t pa)
{
	return (void *)(uintptr_t)pa;
}

void arch_pool(pa_t *start, pa_t *end)
{
	*start = ((pa_t)image_end + HYP_PAGE - 1) & ~(pa_t)(HYP_PAGE - 1);
	*end = platform.hyp_ram.base + platform.hyp_ram.size;
}

void arch_clean(const void *p, size_t size)
{
	uint64_t line = 4ull << (SYS_READ(ctr_el0) >> 16 & 15);
	uintptr_t end = (uintptr_t)p + size;

	for (uintptr_t at = (uintptr_t)p & ~(line - 1); at < end; at += line)
		__asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
	DSB(ish);
	__asm__ volatile("ic ialluis" : : : "memory");
	DSB(ish);
	ISB();
}

void arch_zero_page(void *page)
{
	uint64_t line = 4ull << (SYS_READ(dczid_el0) & 15);

	for (uint64_t at = 0; at < HYP_PAGE; at += line)
		__asm__ volatile("dc zva, %0" : : "r"((uintptr_t)page + at) : "memory");
}

/* --- Time and entropy --- */

uint64_t arch_counter(void)
{
	ISB();
	return SYS_READ(cntpct_el0);
}

uint64_t arch_counter_hz(void)
{
	return SYS_READ(cntfrq_el0);
}

void arch_timer_set(uint64_t deadline)
{
	if (deadline == TIME_NEVER) {
		SYS_WRITE(cnthp_ctl_el2, 0);
	} else {
		SYS_WRITE(cnthp_cval_el2, deadline);
		SYS_WRITE(cnthp_ctl_el2, 1);
	}
}

bool arch_entropy(uint32_t *word)
{
	uint64_t value, flags;

	if ((SYS_READ(id_aa64isar0_el1) >> 60) == 0)
		return false;
	/* RNDR; the zero flag tells that there was nothing to give. */
	__asm__ volatile("mrs %0, s3_3_c2_c4_0\n\tmrs %1, nzcv"
			 : "=r"(value), "=r"(flags)
			 :
			 : "cc");
	*word = (uint32_t)value;
	return !(flags >> 30 & 1);
}

/* --- Console: PL011 --- */

#define UART_DATA    0x00
#define UART_FLAGS   0x18
#define UART_FULL    (1u << 5)
#define UART_CONTROL 0x30
#define UART_ON	     0x301u /* UART and transmitter enabled */
#define UART_WAITS   100000u

void arch_putc(char c)
{
	volatile uint32_t *uart = (volatile uint32_t *)(uintptr_t)platform.uart;

	if ((uart[UART_CONTROL / 4] & UART_ON) != UART_ON)
		uart[UART_CONTROL / 4] = UART_ON;
	/* The primary has it too, and may have made it wait for ever. */
	for (unsigned int i = 0; i < UART_WAITS && uart[UART_FLAGS / 4] & UART_FULL; i++)
		arch_relax();
	uart[UART_DATA / 4] = (uint8_t)c;
}
