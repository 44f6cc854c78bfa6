// SPDX-License-Identifier: GPL-2.0-only
/* Sections 1.13 and 10: what a guest sees of its processor, its GIC and its timers. */
#include <linux/delay.h>
#include <asm/arch_timer.h>

#include "gic.h"
#include "suite.h"

#define LOOKS 20u

static u64 x0_of(struct vm *vm, unsigned int cpu, u32 insn)
{
	return vcpu_do(vm, cpu, insn, 0, 0, 0) == RUN_DONE ? vm->cpu[cpu].out[0] : ~0ull;
}

/* An instruction that must end in an exception of this class at the guest's EL1. */
static void undefined(struct vm *vm, const char *what, u32 insn)
{
	u64 state = vcpu_do(vm, 0, insn, 0, 0, 0);

	if (!expect_run(say("%s: no exit", what), RUN_DONE, state))
		return;
	expect(say("%s: an exception", what), VECTOR_SYNC, EVENT_VECTOR(vm->cpu[0].event));
	expect(say("%s: undefined", what), EC_UNKNOWN, EVENT_EC(vm->cpu[0].event));
}

static void processor(struct vm *vm)
{
	expect("CurrentEL", 1 << 2, x0_of(vm, 0, INSN(mrs_currentel)));
	expect("MPIDR: affinity is the index", 0, x0_of(vm, 0, INSN(mrs_mpidr)) & 0xff00ffffff);
	expect("MPIDR: bit 31", 1ull << 31, x0_of(vm, 0, INSN(mrs_mpidr)) & 1ull << 31);
	expect("MIDR: features are in ID registers", 0xf, x0_of(vm, 0, INSN(mrs_midr)) >> 16 & 0xf);
	expect("SCTLR: the MMU and caches are off", 0, x0_of(vm, 0, INSN(mrs_sctlr)) & 0x1005);
	expect("ID_AA64PFR0: EL1 without AArch32", 1, x0_of(vm, 0, INSN(mrs_pfr0)) >> 4 & 0xf);
	expect("ID_AA64PFR0: GIC system registers", 1, x0_of(vm, 0, INSN(mrs_pfr0)) >> 24 & 0xf);
	expect("an ID register that does not exist reads as zero", 0,
	       x0_of(vm, 0, INSN(mrs_id_hole)));
	expect("and without an exception", 0, vm->cpu[0].event);
	undefined(vm, "a vendor's register", INSN(mrs_vendor));
	undefined(vm, "HCR_EL2", INSN(mrs_hcr));
	undefined(vm, "UDF", INSN(udf));
}

static void calls(struct vm *vm)
{
	static const u16 numbers[] = { 1, 0x5fff, 0x6069, 0x61ff, 0x6200, 0xffff };
	static const struct {
		const char *name;
		u64 function, want;
	} functions[] = {
		{ "UID, word 0", GH_SMCCC_UID, GH_UID_0 },
		{ "SMCCC_VERSION", 0x80000000, 0x10003 },
		{ "PSCI_VERSION", 0x84000000, 0x10001 },
		{ "an unknown hypercall", 0xc60081ff, ~0ull },
		{ "an unknown function", 0xc7001234, ~0ull },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		GUEST_CALL(vm, 0, INSN(hvc), functions[i].function);
		expect(say("%s by HVC", functions[i].name), functions[i].want, vm->cpu[0].out[0]);
		GUEST_CALL(vm, 0, INSN(smc), functions[i].function);
		expect(say("%s by SMC", functions[i].name), functions[i].want, vm->cpu[0].out[0]);
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		GUEST_CALL(vm, 0, INSN_HVC(numbers[i]), 0x84000000);
		expect(say("HVC #%#x", numbers[i]), ~0ull, vm->cpu[0].out[0]);
	}
	GUEST_CALL(vm, 0, INSN(smc_1), 0x84000000);
	expect("SMC #1", ~0ull, vm->cpu[0].out[0]);
	GUEST_CALL(vm, 0, INSN_HVC(0x6000), 0);
	expect("HVC #0x6000: API version", 1, vm->cpu[0].out[0] & GH_API_VERSION_MASK);
	GUEST_CALL(vm, 0, INSN(hvc), GH_SMCCC_HYPERCALL(GH_CALL_VCPU_RUN), NO_CAP);
	expect_no_cap("vcpu_run by a guest", vm->cpu[0].out[0]);
	GUEST_CALL(vm, 0, INSN(hvc), GH_SMCCC_HYPERCALL(GH_CALL_MSGQ_SEND), rm.tx_cap, 8, VM_BASE);
	expect("msgq send by a guest with the primary's number is refused", 1,
	       vm->cpu[0].out[0] != GH_ERROR_OK);
	GUEST_CALL(vm, 0, INSN(hvc), GH_SMCCC_HYPERCALL(GH_CALL_PRNG_GET_ENTROPY), 16);
	expect_hyp("entropy for a guest", GH_ERROR_OK, vm->cpu[0].out[0]);
}

static void distributor(struct vm *vm)
{
	u64 typer = guest_read32(vm, 0, GICD_TYPER);

	expect("GICD_TYPER: ITLinesNumber", 31, typer & 0x1f);
	expect("GICD_TYPER: SecurityExtn", 0, typer >> 10 & 1);
	expect("GICD_TYPER: MBIS", 1, typer >> 16 & 1);
	expect("GICD_TYPER: LPIS", 0, typer >> 17 & 1);
	expect("GICD_TYPER: IDbits", 9, typer >> 19 & 0x1f);
	expect("GICD_TYPER: A3V", 1, typer >> 24 & 1);
	expect("GICD_IIDR: product and implementer", 0x47000070,
	       guest_read32(vm, 0, GICD_IIDR) & 0xff000fff);
	expect("GICD_PIDR2: architecture", 0x30, guest_read32(vm, 0, GICD_PIDR2) & 0xf0);
	expect("GICD_CTLR: DS and ARE", 0x50, guest_read32(vm, 0, GICD_CTLR) & 0x50);
	expect("GICD: a register that does not exist", 0, guest_read32(vm, 0, GICD_BASE + 0x30));
	guest_write32(vm, 0, GICD_BASE + GIC_IPRIORITYR + 40, 0xffffffff);
	expect("GICD_IPRIORITYR: 5 bits", 0xf8f8f8f8,
	       guest_read32(vm, 0, GICD_BASE + GIC_IPRIORITYR + 40));
	vcpu_do(vm, 0, INSN(ldrb), 0, GICD_BASE + GIC_IPRIORITYR + 41, 0);
	expect("GICD_IPRIORITYR by byte", 0xf8, vm->cpu[0].out[0]);
	vcpu_do(vm, 0, INSN(ldrh), 0, GICD_TYPER, 0);
	expect("GICD_TYPER by half-word: an abort", EC_DABT, EVENT_EC(vm->cpu[0].event));
	vcpu_do(vm, 0, INSN(ldr_x), 0, GICD_BASE + GIC_ISENABLER + 8, 0);
	expect("GICD_ISENABLER by 64 bits: an abort", EC_DABT, EVENT_EC(vm->cpu[0].event));
	vcpu_do(vm, 0, INSN(ldr_x), 0, GICD_IROUTER + 40 * 8, 0);
	expect("GICD_IROUTER by 64 bits: no abort", 0, vm->cpu[0].event);

	vcpu_do(vm, 0, INSN(ldr_x), 0, GICR(vm, 0) + 8, 0);
	expect("GICR_TYPER: affinity, number, last", 1 << 4,
	       vm->cpu[0].out[0] & 0xffffffff00ffff10ull);
	expect("GICR_WAKER: awake", 0, guest_read32(vm, 0, GICR(vm, 0) + 0x14) & 6);
}

static void software_interrupt(struct vm *vm)
{
	u32 got;

	gic_open(vm, 0);
	gic_set_edge(vm, 0, 50, true);
	gic_enable(vm, 0, 50);
	gic_set_bit(vm, 0, GIC_ISPENDR, 50);
	expect("SPI made pending by ISPENDR: IAR", 50, gic_acknowledge(vm, 0));
	expect("it is active", 1, gic_bit(vm, 0, GIC_ISACTIVER, 50));
	gic_end(vm, 0, 50);
	expect("after EOIR it is not", 0, gic_bit(vm, 0, GIC_ISACTIVER, 50));
	gic_set_bit(vm, 0, GIC_ISPENDR, 50);
	gic_set_bit(vm, 0, GIC_ICENABLER, 50);
	expect("pending and disabled: IAR", INTID_NONE, gic_acknowledge(vm, 0));
	gic_set_bit(vm, 0, GIC_ISENABLER, 50);
	expect("enabled again: IAR", 50, gic_acknowledge(vm, 0));
	gic_end(vm, 0, 50);

	gic_set_edge(vm, 0, 51, true);
	gic_enable(vm, 0, 51);
	gic_set_bit(vm, 0, GIC_ISPENDR, 51);
	gic_set_bit(vm, 0, GIC_ICPENDR, 51);
	got = gic_acknowledge(vm, 0);
	expect_but("pending and cleared: IAR", INTID_NONE, got, 51,
		   "what is in a list register stays pending, for ever");
	gic_set_bit(vm, 0, GIC_ICENABLER, 51);
	gic_end(vm, 0, got);

	gic_enable(vm, 0, 52);
	gic_set_bit(vm, 0, GIC_ISPENDR, 52);
	expect("a level SPI made pending by ISPENDR: IAR", 52, gic_acknowledge(vm, 0));
	gic_end(vm, 0, 52);
	got = gic_acknowledge(vm, 0);
	expect_but("and only once", INTID_NONE, got, 52, "without a source its level never falls");
	gic_set_bit(vm, 0, GIC_ICENABLER, 52);
	gic_end(vm, 0, got);
}

static void priorities(struct vm *vm)
{
	unsigned int i;
	u32 first, second;

	gic_drain(vm, 0);
	/* More than any processor has list registers. */
	for (i = 0; i < 20; i++) {
		gic_set_edge(vm, 0, 64 + i, true);
		gic_enable(vm, 0, 64 + i);
		vcpu_do(vm, 0, INSN(strb), i == 13 ? 0x20 : 0x80,
			GICD_BASE + GIC_IPRIORITYR + 64 + i, 0);
		gic_set_bit(vm, 0, GIC_ISPENDR, 64 + i);
	}
	expect("of 20 pending SPIs the one of highest priority comes first", 64 + 13,
	       gic_acknowledge(vm, 0));
	expect("RPR is its priority", 0x20, x0_of(vm, 0, INSN(mrs_rpr)));
	expect("none of lower priority comes meanwhile", INTID_NONE, gic_acknowledge(vm, 0));
	gic_end(vm, 0, 64 + 13);
	for (i = 0; i < 19; i++) {
		first = gic_acknowledge(vm, 0);
		gic_end(vm, 0, first);
		if (first < 64 || first >= 84)
			break;
	}
	expect("then the other 19", 19, i);
	second = gic_acknowledge(vm, 0);
	expect("and nothing else", INTID_NONE, second);
	vcpu_do(vm, 0, INSN(msr_pmr), 0, 0x40, 0);
	gic_set_bit(vm, 0, GIC_ISPENDR, 64);
	expect("an interrupt below the mask does not come", INTID_NONE, gic_acknowledge(vm, 0));
	vcpu_do(vm, 0, INSN(msr_pmr), 0, 0xf8, 0);
	expect("and comes when the mask is lifted", 64, gic_acknowledge(vm, 0));
	gic_end(vm, 0, 64);
}

static void taken(struct vm *vm)
{
	gic_drain(vm, 0);
	gic_set_bit(vm, 0, GIC_ISPENDR, 50);
	vcpu_do(vm, 0, INSN(daif_unmask), 0, 0, 0);
	expect("an unmasked IRQ is taken at its vector", VECTOR_IRQ,
	       EVENT_VECTOR(vm->cpu[0].event));
	gic_end(vm, 0, gic_acknowledge(vm, 0));
}

static void timer(struct vm *vm, const char *name, u32 tval, u32 ctl, u32 intid)
{
	struct timer_sleep sleep = { .tval = tval, .ctl = ctl, .insn = INSN(wfi) };
	struct run_exit e;

	gic_enable(vm, 0, intid);
	e = timer_sleep(vm, &sleep);
	expect_run(say("%s: WFI", name), GH_VCPU_EXPECTS_WAKEUP, e.state);
	expect(say("%s: WFI: data 0", name), 0, e.data[0]);
	expect(say("%s: WFI: the source", name), GH_VCPU_WAKEUP_WFI, e.data[1]);
	expect(say("%s: the wake-up interrupt comes", name), 1, vcpu_woken(vm, 0, WAIT_MS));
	expect_run(say("%s: then WFI is over", name), RUN_DONE, vcpu_next_awake(vm, 0).state);
	expect(say("%s: IAR", name), intid, gic_acknowledge(vm, 0));
	vcpu_do(vm, 0, ctl, 0, 2, 0);
	gic_end(vm, 0, intid);
	/* It may have become pending again before its level fell. */
	gic_end(vm, 0, gic_acknowledge(vm, 0));
	expect(say("%s: silenced, it does not come again", name), INTID_NONE,
	       gic_acknowledge(vm, 0));
}

/* However long it slept or was out: its counter is the board's. */
static void no_drift(struct vm *vm)
{
	unsigned int round, well = 0;
	u64 mine, theirs;

	for (round = 0; round < LOOKS; round++) {
		mine = read_sysreg(cntvct_el0);
		theirs = x0_of(vm, 0, INSN(mrs_cntvct));
		well += theirs >= mine && theirs <= read_sysreg(cntvct_el0);
		usleep_range(500, 1000);
	}
	expect(say("CNTVCT has not drifted, %u times", LOOKS), LOOKS, well);
}

static void clocks(struct vm *vm)
{
	u64 mine, theirs;

	expect("CNTFRQ is the board's", arch_timer_get_cntfrq(), x0_of(vm, 0, INSN(mrs_cntfrq)));
	mine = read_sysreg(cntvct_el0);
	theirs = x0_of(vm, 0, INSN(mrs_cntvct));
	expect("CNTVCT has no offset: it is between two of the primary's", 1,
	       theirs >= mine && theirs <= read_sysreg(cntvct_el0));
	timer(vm, "virtual timer", INSN(msr_cntv_tval), INSN(msr_cntv_ctl), INTID_VTIMER);
	timer(vm, "physical timer", INSN(msr_cntp_tval), INSN(msr_cntp_ctl), INTID_PTIMER);
	no_drift(vm);
}

static void wait_for_bell(struct vm *vm)
{
	u64 bell = vm_cap(vm, GH_RM_RES_DOORBELL_TX, BELL_SPI);
	struct regs r;

	gic_drain(vm, 0);
	gic_enable(vm, 0, INTID_BELL);
	vcpu_woken(vm, 0, 0);
	vcpu_load(vm, 0, INSN(wfi), 0, 0, 0);
	expect_run("WFI with nothing to come", GH_VCPU_EXPECTS_WAKEUP, vcpu_next(vm, 0).state);
	vcpu_woken(vm, 0, 200);
	expect_run("and run again", GH_VCPU_EXPECTS_WAKEUP, vcpu_next(vm, 0).state);
	vcpu_woken(vm, 0, 0);
	HYPERCALL(&r, GH_CALL_DOORBELL_SEND, bell, 1);
	expect("a doorbell raises the wake-up interrupt", 1, vcpu_woken(vm, 0, WAIT_MS));
	expect_run("and ends the WFI", RUN_DONE, vcpu_next_awake(vm, 0).state);
	expect("IAR", INTID_BELL, gic_acknowledge(vm, 0));
	gic_end(vm, 0, INTID_BELL);
	HYPERCALL(&r, GH_CALL_DOORBELL_SEND, bell, 1);
	expect_run("WFI with an interrupt pending is no exit", RUN_DONE,
		   vcpu_do(vm, 0, INSN(wfi), 0, 0, 0));
	gic_end(vm, 0, gic_acknowledge(vm, 0));
	vcpu_do(vm, 0, INSN(wfe), 0, 0, 0);
	expect("WFE is no exit", 0, vm->cpu[0].event);
}

void suite_guest(void)
{
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING) &&
	    expect_run("the servant starts", RUN_DONE, vcpu_next(&vm, 0).state)) {
		processor(&vm);
		calls(&vm);
		distributor(&vm);
		software_interrupt(&vm);
		priorities(&vm);
		taken(&vm);
		clocks(&vm);
		wait_for_bell(&vm);
	}
	vm_down(&vm);
}
