// SPDX-License-Identifier: GPL-2.0-only
/* The notifier that turns a fault in one of our instructions into its failure. */
#include <linux/kdebug.h>
#include <linux/notifier.h>
#include <linux/ptrace.h>

#include "probe.h"

int probe_load(void *address, u32 value), probe_store(void *address, u32 value);
void probe_fixup(void), storm_fixup(void);
extern const char probe_begin[], probe_end[], storm_begin[], storm_end[];

static u64 last_esr;

static bool within(u64 pc, const char *begin, const char *end)
{
	return pc >= (uintptr_t)begin && pc < (uintptr_t)end;
}

static int on_die(struct notifier_block *block, unsigned long event, void *data)
{
	struct die_args *args = data;
	u64 pc = instruction_pointer(args->regs);

	if (event == DIE_OOPS && within(pc, probe_begin, probe_end)) {
		last_esr = (unsigned int)args->err;
		instruction_pointer_set(args->regs, (uintptr_t)probe_fixup);
		return NOTIFY_STOP;
	}
	if (event == DIE_OOPS && within(pc, storm_begin, storm_end)) {
		instruction_pointer_set(args->regs, (uintptr_t)storm_fixup);
		return NOTIFY_STOP;
	}
	return NOTIFY_DONE;
}

static struct notifier_block on_die_block = { .notifier_call = on_die, .priority = INT_MAX };

int probe_open(void)
{
	return register_die_notifier(&on_die_block);
}

void probe_close(void)
{
	unregister_die_notifier(&on_die_block);
}

bool probe(enum probe what, void *address, u64 *esr)
{
	static int (*const probes[])(void *address, u32 value) = {
		[PROBE_LOAD] = probe_load,
		[PROBE_STORE] = probe_store,
	};
	int faulted;

	last_esr = 0;
	faulted = probes[what](address, 0);
	*esr = last_esr;
	return !faulted;
}
