// SPDX-License-Identifier: GPL-2.0-only
/* Section 4.5, VM_SET_TIME_BASE: nanoseconds at a moment of the system counter, and the PL031 that tells them to a guest. */
#include <asm/arch_timer.h>

#include "suite.h"
#include "vm.h"

#define RTC	0x09030000ull
#define DR	(RTC + 0x000)
#define LR	(RTC + 0x008)
#define CR	(RTC + 0x00c)
#define ID	(RTC + 0xfe0)
#define CELL_ID (RTC + 0xff0)
#define NS	1000000000ull
#define EPOCH	1700000000ull /* seconds */

static const struct vm_spec with = { .tree = { .cpus = 1, .bells = 1, .rtc = RTC } };

/* The error, and the hypervisor's behind it; GH_ERROR_OK when there is none. */
static u32 set_time(const struct vm *vm, u64 ns, u64 counter, u32 *why)
{
	struct gh_rm_vm_set_time_base request = {
		.vmid = cpu_to_le16(vm->vmid),
		.time_base = cpu_to_le64(ns),
		.timer = cpu_to_le64(counter),
	};
	const struct reply *r;
	u32 error = rm_call(GH_RM_VM_SET_TIME_BASE, &request, sizeof(request), &r);

	*why = r && r->size >= 4 ? get32(r->data) : GH_ERROR_OK;
	return error;
}

static void without(void)
{
	struct vm vm;
	u32 why;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD)) {
		expect_rm("in LOAD", GH_RM_ERROR_VM_STATE, set_time(&vm, NS, 0, &why));
		expect_hyp("in LOAD: the second word", GH_ERROR_ARG_INVALID, why);
	}
	vm_down(&vm);
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_READY)) {
		expect_rm("without a clock", GH_RM_ERROR_ARGUMENT_INVALID,
			  set_time(&vm, NS, 0, &why));
		expect_hyp("without a clock: the second word", GH_ERROR_DENIED, why);
	}
	vm_down(&vm);
}

static bool ready(struct vm *vm)
{
	u32 error;

	if (!vm_up(vm, &with, GH_RM_VM_STATE_INIT))
		return false;
	error = rm_vm_call(GH_RM_VM_INIT, vm->vmid);
	expect_rm_but("VM_INIT with vrtc-pl031", GH_RM_OK, error, GH_RM_ERROR_NORESOURCE,
		      "its resource manager for QEMU has no clock");
	return !error;
}

static void time_base(const struct vm *vm, u64 counter)
{
	u32 why;

	expect_rm("a moment to come", GH_RM_ERROR_ARGUMENT_INVALID,
		  set_time(vm, EPOCH * NS, counter + (1ull << 60), &why));
	expect_hyp("a moment to come: the second word", GH_ERROR_ARG_INVALID, why);
	expect_rm("the time, by nanoseconds", GH_RM_OK, set_time(vm, EPOCH * NS, counter, &why));
	expect_rm("once more", GH_RM_ERROR_ARGUMENT_INVALID,
		  set_time(vm, EPOCH * NS, counter, &why));
	expect_hyp("once more: the second word", GH_ERROR_BUSY, why);
}

static void in_the_tree(const struct vm *vm)
{
	u8 *tree = vm->memory + VM_TREE;

	expect("/vsoc/vrtc: compatible", 1,
	       tree_lists(tree, "vsoc/vrtc", "compatible", "arm,pl031"));
	expect("/vsoc/vrtc: the address", (u32)RTC, tree_u32(tree, "vsoc/vrtc", "reg", 1));
	expect("/vsoc/vrtc: the size", 4096, tree_u32(tree, "vsoc/vrtc", "reg", 3));
	expect("/vsoc/vrtc: its clock", tree_u32(tree, "vsoc/vrtc-pclk", "phandle", 0),
	       tree_u32(tree, "vsoc/vrtc", "clocks", 0));
	expect("/vsoc/vrtc-pclk: compatible", 1,
	       tree_lists(tree, "vsoc/vrtc-pclk", "compatible", "fixed-clock"));
}

static void refused_access(struct vm *vm, const char *what, u32 insn, u64 address)
{
	vcpu_do(vm, 0, insn, 0, address, 0);
	expect(say("%s: an abort", what), EC_DABT, EVENT_EC(vm->cpu[0].event));
}

static void in_the_guest(struct vm *vm, u64 counter)
{
	u64 hz = arch_timer_get_cntfrq(), before, got;

	before = EPOCH + (read_sysreg(cntvct_el0) - counter) / hz;
	got = guest_read32(vm, 0, DR);
	expect("RTCDR: between two of the primary's seconds", 1,
	       got >= before && got <= EPOCH + (read_sysreg(cntvct_el0) - counter) / hz);
	expect("RTCLR", EPOCH, guest_read32(vm, 0, LR));
	expect("RTCCR: it runs", 1, guest_read32(vm, 0, CR));
	expect("PeriphID0", 0x31, guest_read32(vm, 0, ID));
	expect("PeriphID1", 0x10, guest_read32(vm, 0, ID + 4));
	expect("PCellID0", 0x0d, guest_read32(vm, 0, CELL_ID));
	expect("PCellID3", 0xb1, guest_read32(vm, 0, CELL_ID + 12));
	refused_access(vm, "RTCDR by half-word", INSN(ldrh), DR);
	refused_access(vm, "RTCDR by 64 bits", INSN(ldr_x), DR);
	before = read_sysreg(cntvct_el0);
	guest_write32(vm, 0, LR, 1000);
	got = guest_read32(vm, 0, DR);
	expect("RTCLR sets it", 1,
	       got >= 1000 && got <= 1000 + (read_sysreg(cntvct_el0) - before) / hz);
	expect("RTCLR is what was set", 1000, guest_read32(vm, 0, LR));
}

void suite_rtc(void)
{
	struct vm_spec shared = with;
	struct vm vm;
	u64 counter;

	without();
	if (ready(&vm)) {
		counter = read_sysreg(cntvct_el0);
		vm_resources(&vm);
		time_base(&vm, counter);
		expect_rm("VM_START", GH_RM_OK, rm_vm_call(GH_RM_VM_START, vm.vmid));
		if (need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE))
			in_the_guest(&vm, counter);
	}
	vm_down(&vm);
	/* What is shared can be looked at. */
	shared.share = true;
	if (rm.survives && vm_up(&vm, &shared, GH_RM_VM_STATE_RUNNING))
		in_the_tree(&vm);
	vm_down(&vm);
}
