/* SPDX-License-Identifier: GPL-2.0-only */
/* The last words: why, registers, whose CPU it was, and the return addresses on the stack. */
#include "arch/aarch64/a64.h"

#define FRAMES_MAX 24u

static uint32_t panicking;

static bool in_image(uint64_t at)
{
	return at >= (uintptr_t)image_start && at < (uintptr_t)image_end;
}

/* The functions of this image in the order of their addresses; made when it is linked. */
struct symbol {
	uint64_t at, name;
};
extern const struct symbol symbol_table[], symbol_table_end[];
extern const char symbol_names[];

static void print_place(uint64_t at)
{
	const struct symbol *s = symbol_table_end;

	while (s > symbol_table && s[-1].at > at)
		s--;
	if (s == symbol_table)
		hyp_log("  from %lx\n", at);
	else
		hyp_log("  from %lx %s+0x%lx\n", at, symbol_names + s[-1].name, at - s[-1].at);
}

static void backtrace(uint64_t frame)
{
	for (unsigned int i = 0; i < FRAMES_MAX && in_image(frame) && !(frame & 15); i++) {
		const uint64_t *record = (const uint64_t *)(uintptr_t)frame;

		if (!in_image(record[1]))
			break;
		print_place(record[1]);
		if (record[0] <= frame)
			break;
		frame = record[0];
	}
}

static void print_registers(const struct regs *regs)
{
	hyp_log("  pc %lx pstate %lx\n", regs->pc, regs->pstate);
	for (unsigned int i = 0; i < 30; i += 2)
		hyp_log("  x%u %lx x%u %lx\n", i, regs->x[i], i + 1, regs->x[i + 1]);
	hyp_log("  x30 %lx\n", regs->x[30]);
}

static void owner(void)
{
	const struct cpu *c = arch_cpu();
	const struct vcpu *v = c ? c->current : NULL;

	if (!v)
		hyp_log("CPU %u, no vCPU\n", c ? c->id : 0);
	else
		hyp_log("CPU %u for VM %u vCPU %u, whose registers are\n", c->id, v->vm->vmid,
			v->index);
	if (v)
		print_registers(&v->regs);
}

/* The first CPU that panics speaks; another one, or a panic in the panic, ends here. */
static void only_once(void)
{
	if (__atomic_exchange_n(&panicking, 1, __ATOMIC_ACQ_REL))
		arch_system_off();
	log_panic();
}

_Noreturn void arch_panic(const char *why)
{
	only_once();
	hyp_log("PANIC: %s\n", why);
	backtrace((uintptr_t)__builtin_frame_address(0));
	owner();
	arch_system_off();
}

_Noreturn void a64_panic_trap(const struct regs *regs, unsigned int vector)
{
	only_once();
	hyp_log("PANIC: exception %u at EL2: ESR %lx FAR %lx\n", vector, SYS_READ(esr_el2),
		SYS_READ(far_el2));
	print_registers(regs);
	print_place(regs->pc);
	backtrace(regs->x[29]);
	owner();
	arch_system_off();
}
