// SPDX-License-Identifier: GPL-2.0-only
/* Section 1.9: vcpu_run with wrong capabilities, resume words, two callers, and its states. */
#include <linux/delay.h>
#include <linux/kthread.h>

#include "gic.h"
#include "suite.h"

#define MOVES  20u
#define DEVICE (SERVANT_PAGE + SERVANT_PAGE_END)

static const u64 none[3];

static void errors(struct vm *vm)
{
	struct run_exit e;
	struct regs r;

	expect_no_cap("run: no capability", vcpu_run(NO_CAP, none, 0, &e));
	expect_no_cap("run: the invalid capability", vcpu_run(GH_CAPID_INVALID, none, 0, &e));
	expect_hyp("run: a doorbell's capability", GH_ERROR_CSPACE_WRONG_OBJ_TYPE,
		   vcpu_run(vm_cap(vm, GH_RM_RES_DOORBELL_TX, BELL_SPI), none, 0, &e));
	expect_hyp("run_check: the owner has no right", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   HYPERCALL(&r, GH_CALL_VCPU_RUN_CHECK, vm->cpu[0].cap));
	expect_hyp("power on: the owner has no right", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   HYPERCALL(&r, 0x38, vm->cpu[0].cap));
	expect_hyp("kill: the owner has no right", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   HYPERCALL(&r, 0x3a, vm->cpu[0].cap));
}

static void before_start(void)
{
	struct run_exit e;
	u64 cap = NO_CAP;
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_READY)) {
		cap = vm.cpu[0].cap;
		expect_hyp("run before VM_START", GH_ERROR_OK,
			   vcpu_run(vm.cpu[0].cap, none, 0, &e));
		expect_run("run before VM_START: the state", GH_VCPU_POWERED_OFF, e.state);
		expect("run before VM_START: not for ever", 0, e.data[0]);
	}
	vm_down(&vm);
	expect_either("run of a VM that is gone", GH_ERROR_CSPACE_CAP_NULL,
		      GH_ERROR_CSPACE_CAP_REVOKED, vcpu_run(cap, none, 0, &e));
}

static void mmio_read(struct vm *vm, const char *what, u32 insn, u64 address, u64 size, u64 give,
		      u64 want)
{
	struct run_exit e;

	vcpu_load(vm, 0, insn, ~0ull, address, 0);
	e = vcpu_next(vm, 0);
	if (!expect_run(say("%s: the exit", what), GH_VCPU_ADDRSPACE_VMMIO_READ, e.state))
		return;
	expect(say("%s: the address", what), address, e.data[0]);
	expect(say("%s: the size", what), size, e.data[1]);
	/* What is beyond the size is not the host's to set. */
	vm->cpu[0].resume[0] = size < 8 ? give & ((1ull << size * 8) - 1) : give;
	expect_run(say("%s: goes on", what), RUN_DONE, vcpu_next(vm, 0).state);
	expect(say("%s: x0", what), want, vm->cpu[0].out[0]);
}

static void reads(struct vm *vm)
{
	const u64 value = 0xf1f2f3f4f5f6f7f8ull;

	mmio_read(vm, "ldrb", INSN(ldrb), DEVICE, 1, value, 0xf8);
	mmio_read(vm, "ldrh", INSN(ldrh), DEVICE + 2, 2, value, 0xf7f8);
	mmio_read(vm, "ldr w", INSN(ldr_w), DEVICE + 4, 4, value, 0xf5f6f7f8);
	mmio_read(vm, "ldr x", INSN(ldr_x), DEVICE + 8, 8, value, value);
	mmio_read(vm, "ldrsb w", INSN(ldrsb_w), DEVICE + 1, 1, value, 0xfffffff8);
	mmio_read(vm, "ldrsb x", INSN(ldrsb_x), DEVICE + 1, 1, value, 0xfffffffffffffff8ull);
	mmio_read(vm, "ldrsh w", INSN(ldrsh_w), DEVICE, 2, value, 0xfffff7f8);
	mmio_read(vm, "ldrsh x", INSN(ldrsh_x), DEVICE, 2, value, 0xfffffffffffff7f8ull);
	mmio_read(vm, "ldrsw", INSN(ldrsw), DEVICE, 4, value, 0xfffffffff5f6f7f8ull);
	mmio_read(vm, "ldrsb x of a positive value", INSN(ldrsb_x), DEVICE, 1, 0x7f, 0x7f);
	mmio_read(vm, "ldr xzr", INSN(ldr_xzr), DEVICE, 8, value, ~0ull);
	mmio_read(vm, "ldar w", INSN(ldar_w), DEVICE, 4, value, 0xf5f6f7f8);
	mmio_read(vm, "ldr w from address 0", INSN(ldr_w), 0, 4, 1, 1);
	mmio_read(vm, "ldr w from the word before the GIC", INSN(ldr_w), GICD_BASE - GICR_SIZE - 4,
		  4, 2, 2);
}

static void mmio_write(struct vm *vm, const char *what, u32 insn, u64 address, u64 size, u64 value,
		       u64 want)
{
	struct run_exit e;

	vcpu_load(vm, 0, insn, value, address, 0);
	e = vcpu_next(vm, 0);
	if (!expect_run(say("%s: the exit", what), GH_VCPU_ADDRSPACE_VMMIO_WRITE, e.state))
		return;
	expect(say("%s: the address", what), address, e.data[0]);
	expect(say("%s: the size", what), size, e.data[1]);
	/* Nor is it the host's to look at. */
	expect(say("%s: the value", what), want,
	       size < 8 ? e.data[2] & ((1ull << size * 8) - 1) : e.data[2]);
	expect_run(say("%s: goes on", what), RUN_DONE, vcpu_next(vm, 0).state);
	expect(say("%s: no exception", what), 0, vm->cpu[0].event);
}

static void writes(struct vm *vm)
{
	const u64 value = 0xf1f2f3f4f5f6f7f8ull;

	mmio_write(vm, "strb", INSN(strb), DEVICE, 1, value, 0xf8);
	mmio_write(vm, "strh", INSN(strh), DEVICE + 2, 2, value, 0xf7f8);
	mmio_write(vm, "str w", INSN(str_w), DEVICE + 4, 4, value, 0xf5f6f7f8);
	mmio_write(vm, "str x", INSN(str_x), DEVICE + 8, 8, value, value);
	mmio_write(vm, "str xzr", INSN(str_xzr), DEVICE, 8, value, 0);
	mmio_write(vm, "stlr w", INSN(stlr_w), DEVICE, 4, value, 0xf5f6f7f8);
}

/* What needs more than one register or writes the address back cannot be forwarded. */
static void not_forwarded(struct vm *vm)
{
	struct {
		const char *name;
		u32 insn;
		u64 address;
	} list[] = {
		{ "ldr with write-back", INSN(ldr_writeback), DEVICE },
		{ "str with write-back", INSN(str_writeback), DEVICE },
		{ "ldp", INSN(ldp), DEVICE },
		{ "stp", INSN(stp), DEVICE },
		{ "ldr w at 0x50000000", INSN(ldr_w), 0x50000000 },
		{ "str w at 0x50000000", INSN(str_w), 0x50000000 },
		{ "ldr w at 0x7ffffffc, before the memory", INSN(ldr_w), VM_BASE - 4 },
		{ "ldr w behind the memory", INSN(ldr_w), VM_BASE + VM_SIZE },
		{ "ldr w beyond 36 bits", INSN(ldr_w), 1ull << 36 },
	};
	unsigned int i;
	u64 state;

	for (i = 0; i < ARRAY_SIZE(list); i++) {
		state = vcpu_do(vm, 0, list[i].insn, 1, list[i].address, 2);
		/* Later hypervisors tell the host instead (state 7); the action word 2 ends that. */
		if (state == GH_VCPU_ADDRSPACE_PAGE_FAULT) {
			vm->cpu[0].resume[0] = GH_RESUME_FAULT;
			state = vcpu_next(vm, 0).state;
		}
		if (!expect_run(say("%s: no exit", list[i].name), RUN_DONE, state))
			continue;
		expect(say("%s: a data abort", list[i].name), EC_DABT, EVENT_EC(vm->cpu[0].event));
		expect_either(say("%s: external, or of its size", list[i].name), FSC_EXTERNAL,
			      list[i].address >> 36 ? 0 : FSC_EXTERNAL,
			      EVENT_FSC(vm->cpu[0].event));
		expect(say("%s: FAR", list[i].name), list[i].address, vm->cpu[0].far);
	}
	state = vcpu_do(vm, 0, INSN(blr), 0, 0x50000000, 0);
	expect_run("fetch at 0x50000000: no exit", RUN_DONE, state);
	expect("fetch at 0x50000000: an instruction abort", EC_IABT, EVENT_EC(vm->cpu[0].event));
}

/* Action words came with a later hypervisor; the first use shows whether this is one. */
static void resume_words(struct vm *vm)
{
	struct run_exit e;

	vcpu_load(vm, 0, INSN(ldr_w), 5, DEVICE, 0);
	if (!need("an exit", vcpu_next(vm, 0).state == GH_VCPU_ADDRSPACE_VMMIO_READ))
		return;
	vm->cpu[0].resume[1] = GH_RESUME_FAULT;
	expect_run("resume after a read with FAULT: goes on", RUN_DONE, vcpu_next(vm, 0).state);
	if (!vm->cpu[0].event) {
		skip("resume actions", "this hypervisor does not know them: it completed the read");
		return;
	}
	expect("resume with FAULT: a data abort", EC_DABT, EVENT_EC(vm->cpu[0].event));
	expect("resume with FAULT: an external one", FSC_EXTERNAL, EVENT_FSC(vm->cpu[0].event));
	expect("resume with FAULT: FAR", DEVICE, vm->cpu[0].far);

	vcpu_load(vm, 0, INSN(ldr_w), 5, DEVICE, 0);
	vcpu_next(vm, 0);
	vm->cpu[0].resume[1] = GH_RESUME_RETRY;
	expect_run("resume with RETRY: the same access again", GH_VCPU_ADDRSPACE_VMMIO_READ,
		   vcpu_next(vm, 0).state);
	vm->cpu[0].resume[0] = 77;
	expect_run("and then it is completed", RUN_DONE, vcpu_next(vm, 0).state);
	expect("with the value", 77, vm->cpu[0].out[0]);

	vcpu_load(vm, 0, INSN(str_w), 5, DEVICE, 0);
	vcpu_next(vm, 0);
	vm->cpu[0].resume[1] = GH_RESUME_FAULT;
	expect_run("resume after a write with FAULT: goes on", RUN_DONE, vcpu_next(vm, 0).state);
	expect("resume after a write with FAULT: a data abort", EC_DABT,
	       EVENT_EC(vm->cpu[0].event));

	vcpu_load(vm, 0, INSN(ldr_w), 5, DEVICE, 0);
	vcpu_next(vm, 0);
	vcpu_run(vm->cpu[0].cap, (const u64[3]){ 0, 3, 0 }, 0, &e);
	expect_hyp("resume with an action that does not exist", GH_ERROR_ARG_INVALID, e.error);
	vm->cpu[0].resume[0] = 78;
	expect_run("and the vCPU still waits", RUN_DONE, vcpu_next(vm, 0).state);
	expect("for its value", 78, vm->cpu[0].out[0]);
}

/* --- Two callers --- */

static struct vm spinner;
static bool spin_stop;

static int spin(void *unused)
{
	struct run_exit e;

	while (!READ_ONCE(spin_stop)) {
		vcpu_run(spinner.cpu[0].cap, none, 0, &e);
		cond_resched();
	}
	complete(unused);
	return 0;
}

static void two_callers(void)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);
	DECLARE_COMPLETION_ONSTACK(over);
	struct task_struct *task;
	s64 error = GH_ERROR_OK;
	struct run_exit e;

	spin_stop = false;
	if (num_online_cpus() < 2) {
		skip("run of a vCPU that runs on another CPU", "the primary has one CPU");
		return;
	}
	if (!vm_up(&spinner, &vm_plain, GH_RM_VM_STATE_RUNNING))
		goto out;
	vcpu_next(&spinner, 0);
	vcpu_load(&spinner, 0, INSN(spin), 0, 0, 0);
	/* The spin must have been fetched before others run it. */
	vcpu_run(spinner.cpu[0].cap, (const u64[3]){ INSN(spin) }, 0, &e);
	while (e.state == GH_VCPU_READY || e.state == GH_VCPU_ADDRSPACE_VMMIO_READ)
		if (vcpu_run(spinner.cpu[0].cap, none, 0, &e) || e.state == GH_VCPU_READY)
			break;
	task = kthread_create(spin, &over, "conformance-spin");
	kthread_bind(task, 1);
	wake_up_process(task);
	while (error != GH_ERROR_BUSY && time_before(jiffies, end)) {
		error = vcpu_run(spinner.cpu[0].cap, none, 0, &e);
		usleep_range(100, 1000);
	}
	expect_hyp("run of a vCPU that runs on another CPU", GH_ERROR_BUSY, error);
	expect_rm("VM_STOP while it spins there", GH_RM_OK, vm_stop(&spinner));
	WRITE_ONCE(spin_stop, true);
	expect("and the other CPU is free again", 1,
	       wait_for_completion_timeout(&over, msecs_to_jiffies(WAIT_MS)) != 0);
out:
	vm_down(&spinner);
}

/* Registers and the timer go along with a vCPU that each time runs on another CPU. */
static void moves(void)
{
	unsigned int round, cpus = num_online_cpus(), well = 0, slept = 0;
	struct timer_sleep sleep = { INSN(msr_cntv_tval), INSN(msr_cntv_ctl), INSN(wfi) };
	struct vm vm;

	if (cpus < 2) {
		skip("a vCPU that moves between CPUs", "the primary has one CPU");
		return;
	}
	if (!vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING) ||
	    !need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE))
		goto out;
	gic_open(&vm, 0);
	gic_enable(&vm, 0, INTID_VTIMER);
	for (round = 0; round < MOVES; round++) {
		set_cpus_allowed_ptr(current, cpumask_of(round % cpus));
		well += vcpu_do(&vm, 0, INSN(nop), round, ~round, 0) == RUN_DONE &&
			vm.cpu[0].out[0] == round && vm.cpu[0].out[1] == (u64)~round;
		slept += timer_sleep(&vm, &sleep).state == GH_VCPU_EXPECTS_WAKEUP;
		set_cpus_allowed_ptr(current, cpumask_of((round + 1) % cpus));
		well += vcpu_next_awake(&vm, 0).state == RUN_DONE &&
			gic_acknowledge(&vm, 0) == INTID_VTIMER;
		vcpu_do(&vm, 0, INSN(msr_cntv_ctl), 0, 2, 0);
		gic_end(&vm, 0, INTID_VTIMER);
	}
	set_cpus_allowed_ptr(current, cpumask_of(0));
	expect(say("%u sleeps on one CPU", MOVES), MOVES, slept);
	expect("and what it knew and was woken for on the next", 2 * MOVES, well);
out:
	vm_down(&vm);
}

static void after_stop(void)
{
	struct run_exit e;
	struct vm vm;
	unsigned int i;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING)) {
		need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE);
		expect_rm("VM_STOP, forced", GH_RM_OK, vm_stop(&vm));
		for (i = 0; i < 1000; i++) {
			vcpu_run(vm.cpu[0].cap, none, 0, &e);
			if (e.state == GH_VCPU_POWERED_OFF && e.data[0])
				break;
			usleep_range(1000, 2000);
		}
		expect_run("run after VM_STOP", GH_VCPU_POWERED_OFF, e.state);
		expect("run after VM_STOP: for ever", GH_VCPU_POWERED_OFF_EXITED, e.data[0]);
	}
	vm_down(&vm);
}

void suite_vcpu(void)
{
	struct vm vm;

	before_start();
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING)) {
		expect_run("the servant starts", RUN_DONE, vcpu_next(&vm, 0).state);
		expect("x0 at entry is the tree", VM_BASE + VM_TREE, vm.cpu[0].entry_x0);
		expect("the entry is the memory's first byte", VM_BASE, vm.cpu[0].entry_pc);
		errors(&vm);
		reads(&vm);
		writes(&vm);
		not_forwarded(&vm);
		resume_words(&vm);
	}
	vm_down(&vm);
	two_callers();
	moves();
	after_stop();
}
