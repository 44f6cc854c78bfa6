// SPDX-License-Identifier: GPL-2.0-only
/* Section 1.8: flags and masks of a doorbell, its rights, and the interrupt that the guest sees. */
#include "gic.h"
#include "suite.h"

static u64 bell;

static s64 ring(u64 flags, u64 *old)
{
	struct regs r;
	s64 error = HYPERCALL(&r, GH_CALL_DOORBELL_SEND, bell, flags);

	*old = error ? ~0ull : r.x[1];
	return error;
}

static s64 receive(u64 clear, u64 *old)
{
	struct regs r;
	s64 error = HYPERCALL(&r, GH_CALL_DOORBELL_RECEIVE, bell, clear);

	*old = error ? ~0ull : r.x[1];
	return error;
}

static s64 mask(u64 enable, u64 ack)
{
	struct regs r;

	return HYPERCALL(&r, GH_CALL_DOORBELL_MASK, bell, enable, ack);
}

static s64 reset(void)
{
	struct regs r;

	return HYPERCALL(&r, GH_CALL_DOORBELL_RESET, bell);
}

/* The flags as they are, which only taking nothing shows. */
static u64 flags(void)
{
	u64 old;

	return ring(0, &old) ? ~0ull : old;
}

static void errors(struct vm *vm)
{
	struct regs r;

	expect_no_cap("send: no capability", HYPERCALL(&r, GH_CALL_DOORBELL_SEND, NO_CAP, 1));
	expect_no_cap("send: the invalid capability",
		      HYPERCALL(&r, GH_CALL_DOORBELL_SEND, GH_CAPID_INVALID, 1));
	expect_hyp("send: a vCPU's capability", GH_ERROR_CSPACE_WRONG_OBJ_TYPE,
		   HYPERCALL(&r, GH_CALL_DOORBELL_SEND, vm->cpu[0].cap, 1));
	expect_either("send: a reserved argument", GH_ERROR_ARG_INVALID, GH_ERROR_OK,
		      HYPERCALL(&r, GH_CALL_DOORBELL_SEND, bell, 1, 1));
	expect_hyp("receive: clear nothing", GH_ERROR_ARG_INVALID,
		   HYPERCALL(&r, GH_CALL_DOORBELL_RECEIVE, bell, 0));
	expect_hyp("msgq send: a doorbell's capability", GH_ERROR_CSPACE_WRONG_OBJ_TYPE,
		   HYPERCALL(&r, GH_CALL_MSGQ_SEND, bell, 8, 0, 0));
	expect_hyp("bind: no right", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   HYPERCALL(&r, GH_CALL_DOORBELL_BIND_VIRQ, bell, NO_CAP, 0));
}

static void words(void)
{
	u64 old;

	expect_hyp("reset", GH_ERROR_OK, reset());
	expect_hyp("send", GH_ERROR_OK, ring(1, &old));
	expect("send: the flags before", 0, old);
	expect_hyp("send another bit", GH_ERROR_OK, ring(1ull << 63, &old));
	expect("send another bit: the flags before", 1, old);
	expect_hyp("receive one of them", GH_ERROR_OK, receive(1, &old));
	expect("receive: the flags before", 1ull << 63 | 1, old);
	expect("the other is left", 1ull << 63, flags());
	reset();
	expect("reset clears the flags", 0, flags());
}

static void masks(void)
{
	u64 old;

	reset();
	expect_hyp("mask: enable bit 32, acknowledge all", GH_ERROR_OK, mask(1ull << 32, ~0ull));
	ring(1ull << 32, &old);
	expect("an enabled bit is acknowledged by itself", 0, flags());
	ring(1, &old);
	expect("a bit that is not enabled stays", 1, flags());
	ring(1ull << 32, &old);
	expect("an assertion acknowledges every bit of the mask", 0, flags());
	ring(1, &old);
	expect_hyp("mask: enable the bit that is set", GH_ERROR_OK, mask(1, 1));
	expect("which acknowledges it", 0, flags());
	reset();
	mask(1, 0);
	ring(1, &old);
	expect("nothing acknowledges without a mask", 1, flags());
	expect_hyp("mask: the same bit still enabled, now acknowledged", GH_ERROR_OK, mask(1, 1));
	expect("which clears it", 0, flags());
	reset();
	ring(2, &old);
	expect("reset enables all and acknowledges none", 2, flags());
	reset();
}

static bool pending(struct vm *vm)
{
	return gic_bit(vm, 0, GIC_ISPENDR, INTID_BELL);
}

static void interrupts(struct vm *vm, bool level)
{
	const char *kind = level ? "level" : "edge";
	u64 old;

	gic_open(vm, 0);
	gic_enable(vm, 0, INTID_BELL);
	gic_set_edge(vm, 0, INTID_BELL, !level);
	/* What rang before this. */
	reset();
	gic_set_bit(vm, 0, GIC_ICPENDR, INTID_BELL);
	expect(say("%s: not pending before", kind), 0, pending(vm));
	ring(1, &old);
	expect(say("%s: pending after a send", kind), 1, pending(vm));
	expect(say("%s: the guest's IAR", kind), INTID_BELL, gic_acknowledge(vm, 0));
	expect(say("%s: nothing more while it is active", kind), INTID_NONE,
	       gic_acknowledge(vm, 0));
	gic_end(vm, 0, INTID_BELL);
	expect(say("%s: the flag is still set; IAR again", kind), level ? INTID_BELL : INTID_NONE,
	       gic_acknowledge(vm, 0));
	if (level)
		gic_end(vm, 0, INTID_BELL);
	receive(~0ull, &old);
	/* It may have become pending again before its flags went. */
	gic_end(vm, 0, gic_acknowledge(vm, 0));
	expect(say("%s: after receive nothing comes", kind), INTID_NONE, gic_acknowledge(vm, 0));

	expect_hyp(say("%s: mask as irqfd does", kind), GH_ERROR_OK, mask(1, 1));
	ring(1, &old);
	expect(say("%s: IAR after a send that acknowledges itself", kind), INTID_BELL,
	       gic_acknowledge(vm, 0));
	ring(1, &old);
	gic_end(vm, 0, INTID_BELL);
	expect(say("%s: a send while it was active comes after it", kind), INTID_BELL,
	       gic_acknowledge(vm, 0));
	gic_end(vm, 0, INTID_BELL);
	expect(say("%s: and then nothing", kind), INTID_NONE, gic_acknowledge(vm, 0));

	mask(2, 2);
	ring(1, &old);
	expect(say("%s: a send that is not enabled, as an edge", kind), level ? 0 : 1, pending(vm));
	if (!level) {
		gic_acknowledge(vm, 0);
		gic_end(vm, 0, INTID_BELL);
	}
	reset();
	expect(say("%s: nothing pending after reset", kind), 0, pending(vm));
	ring(1, &old);
	reset();
	expect(say("%s: reset takes back a level, not an edge", kind), !level, pending(vm));
}

static void with_kind(bool level)
{
	struct vm_spec spec = { .tree = { .cpus = 1, .bells = 1, .level = level } };
	struct vm vm;

	if (vm_up(&vm, &spec, GH_RM_VM_STATE_RUNNING)) {
		bell = vm_cap(&vm, GH_RM_RES_DOORBELL_TX, BELL_SPI);
		need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE);
		if (!level) {
			errors(&vm);
			words();
			masks();
		}
		interrupts(&vm, level);
	}
	vm_down(&vm);
	expect_either(say("send to the doorbell of a VM that is gone (%s)",
			  level ? "level" : "edge"),
		      GH_ERROR_CSPACE_CAP_NULL, GH_ERROR_CSPACE_CAP_REVOKED, ring(1, &(u64){ 0 }));
}

static void without_clear(void)
{
	struct vm_spec spec = { .tree = { .cpus = 1, .bells = 1, .no_clear = true } };
	struct vm vm;
	u64 old;

	if (vm_up(&vm, &spec, GH_RM_VM_STATE_READY)) {
		bell = vm_cap(&vm, GH_RM_RES_DOORBELL_TX, BELL_SPI);
		expect_hyp("without source-can-clear: send", GH_ERROR_OK, ring(1, &old));
		expect_hyp("without source-can-clear: receive", GH_ERROR_CSPACE_INSUF_RIGHTS,
			   receive(1, &old));
		expect_hyp("without source-can-clear: mask", GH_ERROR_CSPACE_INSUF_RIGHTS,
			   mask(1, 1));
		expect_hyp("without source-can-clear: reset", GH_ERROR_CSPACE_INSUF_RIGHTS,
			   reset());
	}
	vm_down(&vm);
}

void suite_doorbell(void)
{
	with_kind(false);
	with_kind(true);
	without_clear();
}
