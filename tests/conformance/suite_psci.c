// SPDX-License-Identifier: GPL-2.0-only
/* Section 1.13: PSCI of a guest with two vCPUs, and how each end of a VM is told. */
#include <linux/delay.h>

#include "gic.h"
#include "suite.h"

#define VERSION		0x84000000u
#define CPU_SUSPEND	0x84000001u
#define CPU_OFF		0x84000002u
#define CPU_ON		0xc4000003u
#define AFFINITY_INFO	0xc4000004u
#define SYSTEM_OFF	0x84000008u
#define SYSTEM_RESET	0x84000009u
#define FEATURES	0x8400000au
#define DEFAULT_SUSPEND 0x8400000cu
#define SYSTEM_RESET2	0x84000012u
#define SMC64		0x40000000u

#define NOT_SUPPORTED	   (-1)
#define INVALID_PARAMETERS (-2)
#define ALREADY_ON	   (-4)
#define ON_PENDING	   (-5)

static s64 psci(struct vm *vm, unsigned int cpu, u32 function, u64 a, u64 b, u64 c)
{
	if (GUEST_CALL(vm, cpu, INSN(hvc), function, a, b, c) != RUN_DONE)
		return -1000;
	return (s32)vm->cpu[cpu].out[0];
}

static void features(struct vm *vm)
{
	static const struct {
		u32 function;
		const char *name;
		s64 want;
	} functions[] = {
		{ VERSION, "VERSION", 0 },
		{ CPU_SUSPEND, "CPU_SUSPEND: extended format", 2 },
		{ CPU_SUSPEND | SMC64, "CPU_SUSPEND, 64 bits: extended format", 2 },
		{ CPU_OFF, "CPU_OFF", 0 },
		{ CPU_ON & ~SMC64, "CPU_ON, 32 bits", 0 },
		{ CPU_ON, "CPU_ON, 64 bits", 0 },
		{ AFFINITY_INFO & ~SMC64, "AFFINITY_INFO, 32 bits", 0 },
		{ AFFINITY_INFO, "AFFINITY_INFO, 64 bits", 0 },
		{ SYSTEM_OFF, "SYSTEM_OFF", 0 },
		{ SYSTEM_RESET, "SYSTEM_RESET", 0 },
		{ FEATURES, "FEATURES", 0 },
		{ DEFAULT_SUSPEND, "CPU_DEFAULT_SUSPEND", 0 },
		{ DEFAULT_SUSPEND | SMC64, "CPU_DEFAULT_SUSPEND, 64 bits", 0 },
		{ 0x8400000f, "SET_SUSPEND_MODE", 0 },
		{ SYSTEM_RESET2, "SYSTEM_RESET2, 32 bits", 0 },
		{ SYSTEM_RESET2 | SMC64, "SYSTEM_RESET2, 64 bits", 0 },
		{ 0x80000000, "SMCCC_VERSION", 0 },
		{ 0x84000005, "MIGRATE", NOT_SUPPORTED },
		{ 0x84000006, "MIGRATE_INFO_TYPE", NOT_SUPPORTED },
		{ 0x8400000b, "CPU_FREEZE", NOT_SUPPORTED },
		{ 0x8400000d, "NODE_HW_STATE", NOT_SUPPORTED },
		{ 0x8400000e, "SYSTEM_SUSPEND", NOT_SUPPORTED },
		{ 0x84000010, "STAT_RESIDENCY", NOT_SUPPORTED },
		{ 0x84000013, "MEM_PROTECT", NOT_SUPPORTED },
		{ 0x8400001f, "a function that does not exist", NOT_SUPPORTED },
		{ 0xc4000002, "CPU_OFF, 64 bits", NOT_SUPPORTED },
	};
	unsigned int i;

	expect("VERSION", 0x10001, psci(vm, 0, VERSION, 0, 0, 0));
	for (i = 0; i < ARRAY_SIZE(functions); i++)
		expect(say("FEATURES of %s", functions[i].name), functions[i].want,
		       psci(vm, 0, FEATURES, functions[i].function, 0, 0));
	expect("a function that does not exist", NOT_SUPPORTED, psci(vm, 0, 0x8400001f, 0, 0, 0));
	expect("MIGRATE", NOT_SUPPORTED, psci(vm, 0, 0x84000005, 0, 0, 0));
}

static void second_cpu(struct vm *vm)
{
	struct run_exit e = vcpu_next(vm, 1);

	expect_run("the second vCPU's first run", GH_VCPU_POWERED_OFF, e.state);
	expect("not for ever", 0, e.data[0]);
	expect("AFFINITY_INFO of a vCPU that is off", 1, psci(vm, 0, AFFINITY_INFO, 1, 0, 0));
	expect("AFFINITY_INFO of oneself", 0, psci(vm, 0, AFFINITY_INFO, 0, 0, 0));
	expect("AFFINITY_INFO of nobody", INVALID_PARAMETERS, psci(vm, 0, AFFINITY_INFO, 7, 0, 0));
	expect("CPU_ON of nobody", INVALID_PARAMETERS, psci(vm, 0, CPU_ON, 7, VM_BASE, 0));
	expect("CPU_ON of oneself", ALREADY_ON, psci(vm, 0, CPU_ON, 0, VM_BASE, 0));
	expect("and the second is still off", 1, psci(vm, 0, AFFINITY_INFO, 1, 0, 0));

	vcpu_woken(vm, 1, 0);
	expect("CPU_ON", 0, psci(vm, 0, CPU_ON, 1, VM_BASE, 0x1234567890abcdef));
	expect("CPU_ON raises the second vCPU's wake-up interrupt", 1, vcpu_woken(vm, 1, WAIT_MS));
	expect("CPU_ON again before it ran", 1, psci(vm, 0, CPU_ON, 1, VM_BASE, 0) < 0);
	expect_run("the second runs", RUN_DONE, vcpu_next(vm, 1).state);
	expect("with the context in x0", 0x1234567890abcdef, vm->cpu[1].entry_x0);
	expect("at the entry", VM_BASE, vm->cpu[1].entry_pc);
	vcpu_do(vm, 1, INSN(mrs_mpidr), 0, 0, 0);
	expect("its affinity", 1, vm->cpu[1].out[0] & 0xff00ffffff);
	vcpu_do(vm, 0, INSN(ldr_x), 0, GICR(vm, 1) + 8, 0);
	expect("its GICR_TYPER: affinity, number, last", 1ull << 32 | 1 << 8 | 1 << 4,
	       vm->cpu[0].out[0] & 0xffffffff00ffff10ull);
	expect("AFFINITY_INFO of a vCPU that is on", 0, psci(vm, 0, AFFINITY_INFO, 1, 0, 0));
	expect("CPU_ON of a vCPU that is on", ALREADY_ON, psci(vm, 0, CPU_ON, 1, VM_BASE, 0));
}

static void between_cpus(struct vm *vm)
{
	gic_open(vm, 0);
	gic_open(vm, 1);
	gic_enable(vm, 1, 3);
	vcpu_woken(vm, 1, 0);
	vcpu_load(vm, 1, INSN(wfi), 0, 0, 0);
	expect_run("the second waits", GH_VCPU_EXPECTS_WAKEUP, vcpu_next(vm, 1).state);
	vcpu_do(vm, 0, INSN(msr_sgi1r), 0, 3ull << 24 | 1 << 1, 0);
	expect("SGI 3 to it raises its wake-up interrupt", 1, vcpu_woken(vm, 1, WAIT_MS));
	expect_run("and ends the WFI", RUN_DONE, vcpu_next_awake(vm, 1).state);
	expect("IAR", 3, gic_acknowledge(vm, 1));
	gic_end(vm, 1, 3);
	/* An SPI that is routed to the second, made pending by the first. */
	gic_set_edge(vm, 0, 55, true);
	gic_enable(vm, 0, 55);
	vcpu_do(vm, 0, INSN(str_x), 1, GICD_IROUTER + 55 * 8, 0);
	gic_set_bit(vm, 0, GIC_ISPENDR, 55);
	expect("an SPI routed to the second does not come to the first", INTID_NONE,
	       gic_acknowledge(vm, 0));
	expect("but to the second", 55, gic_acknowledge(vm, 1));
	vcpu_do(vm, 0, INSN(str_x), 0, GICD_IROUTER + 55 * 8, 0);
	gic_end(vm, 1, 55);
	expect("routed to the first meanwhile, it ends where it was taken", 0,
	       gic_bit(vm, 0, GIC_ISACTIVER, 55));
	gic_set_bit(vm, 0, GIC_ISPENDR, 55);
	expect("and the next one comes to the first", 55, gic_acknowledge(vm, 0));
	gic_end(vm, 0, 55);
}

static void suspended(struct vm *vm)
{
	struct timer_sleep sleep = { INSN(msr_cntv_tval), INSN(msr_cntv_ctl), INSN(hvc),
				     CPU_SUSPEND, 0x42 };
	struct run_exit e;

	gic_enable(vm, 0, INTID_VTIMER);
	e = timer_sleep(vm, &sleep);
	expect_run("CPU_SUSPEND", GH_VCPU_EXPECTS_WAKEUP, e.state);
	expect("CPU_SUSPEND: data 0 is the power state", 0x42, e.data[0]);
	expect("CPU_SUSPEND: the source", GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND, e.data[1]);
	expect_run("CPU_SUSPEND ends with the timer", RUN_DONE, vcpu_next_awake(vm, 0).state);
	expect("CPU_SUSPEND returns", 0, vm->cpu[0].out[0]);
	gic_acknowledge(vm, 0);
	vcpu_do(vm, 0, INSN(msr_cntv_ctl), 0, 2, 0);
	gic_end(vm, 0, INTID_VTIMER);
}

static void switched_off(struct vm *vm)
{
	struct run_exit e;

	vcpu_load(vm, 1, INSN(hvc), CPU_OFF, 0, 0);
	e = vcpu_next(vm, 1);
	expect_run("CPU_OFF of the second", GH_VCPU_POWERED_OFF, e.state);
	expect("not for ever", 0, e.data[0]);
	expect("AFFINITY_INFO after CPU_OFF", 1, psci(vm, 0, AFFINITY_INFO, 1, 0, 0));
	vcpu_woken(vm, 1, 0);
	expect("CPU_ON once more", 0, psci(vm, 0, CPU_ON, 1, VM_BASE, 5));
	expect("the wake-up interrupt", 1, vcpu_woken(vm, 1, WAIT_MS));
	expect_run("it runs again", RUN_DONE, vcpu_next(vm, 1).state);
	expect("with the new context", 5, vm->cpu[1].entry_x0);
}

/* --- Ends --- */

struct ending {
	const char *name;
	u64 x[3];
	u16 type;
	u64 run_state, data0, data1;
	u32 words, reason[4];
};

static bool was_exited(struct vm *vm, unsigned int cpu)
{
	struct run_exit e;
	unsigned int i;

	/* The hypervisor may answer "off" first, and "for ever" only after RM has acted. */
	for (i = 0; i < 1000; i++) {
		e = vcpu_next(vm, cpu);
		if (e.state == GH_VCPU_POWERED_OFF && e.data[0] == GH_VCPU_POWERED_OFF_EXITED)
			return true;
		usleep_range(1000, 2000);
	}
	return false;
}

static void told(struct vm *vm, const struct ending *end)
{
	const struct notice *n =
		await_notice(vm->notice_from, GH_RM_NOTIFY_VM_EXITED, vm->vmid, WAIT_MS);
	unsigned int i;

	if (!need(say("%s: VM_EXITED", end->name), n))
		return;
	expect(say("%s: VM_EXITED: type", end->name), end->type, get16(n->data + 2));
	expect(say("%s: VM_EXITED: bytes of the reason", end->name), end->words * 4,
	       get32(n->data + 4));
	for (i = 0; i < end->words; i++)
		expect(say("%s: VM_EXITED: word %u of the reason", end->name, i), end->reason[i],
		       get32(n->data + 8 + i * 4));
}

static void ends(const struct ending *end)
{
	struct run_exit e;
	struct vm vm;

	if (!vm_up(&vm, &vm_two, GH_RM_VM_STATE_RUNNING) ||
	    !need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE))
		goto out;
	vcpu_load(&vm, 0, INSN(hvc), end->x[0], end->x[1], end->x[2]);
	e = vcpu_next(&vm, 0);
	expect_run(say("%s: the exit", end->name), end->run_state, e.state);
	if (end->run_state == GH_VCPU_PSCI_SYSTEM_RESET) {
		expect(say("%s: data 0", end->name), end->data0, e.data[0]);
		expect(say("%s: data 1", end->name), end->data1, e.data[1]);
	}
	expect(say("%s: then off for ever", end->name), 1, was_exited(&vm, 0));
	expect(say("%s: the second vCPU as well", end->name), 1, was_exited(&vm, 1));
	told(&vm, end);
	expect_vm_state(say("%s: the state", end->name), GH_RM_VM_STATE_EXITED, rm_state(vm.vmid));
out:
	vm_down(&vm);
}

static void endings(void)
{
	static const struct ending list[] = {
		{ "SYSTEM_OFF",
		  { SYSTEM_OFF },
		  GH_RM_EXIT_PSCI_SYSTEM_OFF,
		  GH_VCPU_POWERED_OFF,
		  .words = 1 },
		{ "SYSTEM_RESET",
		  { SYSTEM_RESET },
		  GH_RM_EXIT_PSCI_SYSTEM_RESET,
		  GH_VCPU_PSCI_SYSTEM_RESET,
		  GH_VCPU_RESET_IS_RESET,
		  .words = 1 },
		{ "SYSTEM_RESET2",
		  { SYSTEM_RESET2, 0, 0x99 },
		  GH_RM_EXIT_PSCI_SYSTEM_RESET2,
		  GH_VCPU_PSCI_SYSTEM_RESET,
		  0,
		  0x99,
		  4,
		  { 0, 0, 0x99, 0 } },
		{ "SYSTEM_RESET2, 64 bits",
		  { SYSTEM_RESET2 | SMC64, 0x80000001, 0x1122334455667788 },
		  GH_RM_EXIT_PSCI_SYSTEM_RESET2,
		  GH_VCPU_PSCI_SYSTEM_RESET,
		  GH_VCPU_RESET2_SMC64 | 0x80000001,
		  0x1122334455667788,
		  4,
		  { GH_RM_EXIT_REASON_SMC64, 0x80000001, 0x55667788, 0x11223344 } },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(list); i++)
		ends(&list[i]);
}

/* Without PSCI in its tree a VM has none. */
static void without(void)
{
	struct vm_spec spec = { .tree = { .cpus = 1, .no_psci = true } };
	struct vm vm;

	if (vm_up(&vm, &spec, GH_RM_VM_STATE_RUNNING) &&
	    need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE)) {
		GUEST_CALL(&vm, 0, INSN(hvc), VERSION);
		expect("a VM without PSCI: VERSION", ~0u, lower_32_bits(vm.cpu[0].out[0]));
		GUEST_CALL(&vm, 0, INSN(hvc), SYSTEM_OFF);
		expect("a VM without PSCI: SYSTEM_OFF", ~0u, lower_32_bits(vm.cpu[0].out[0]));
	}
	vm_down(&vm);
}

void suite_psci(void)
{
	struct vm vm;

	if (vm_up(&vm, &vm_two, GH_RM_VM_STATE_RUNNING) &&
	    expect_run("the servant starts", RUN_DONE, vcpu_next(&vm, 0).state)) {
		features(&vm);
		second_cpu(&vm);
		between_cpus(&vm);
		suspended(&vm);
		switched_off(&vm);
	}
	vm_down(&vm);
	endings();
	without();
}
