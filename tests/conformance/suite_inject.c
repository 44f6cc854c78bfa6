// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection of the build for tests: each action does what it says, once, to the message or call that was meant. A
 * product has no such door.
 */
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "inject/door.h"
#include "rpc.h"
#include "suite.h"
#include "vm.h"

#define SOON_MS 300 /* what must not come is awaited so long */

static ulong panic_at;
module_param_named(at, panic_at, ulong, 0444);
MODULE_PARM_DESC(at, "address at which the hypervisor is made to panic; 0: by a call");

static s64 door(struct regs *r, u32 function, u64 x1, u64 x2)
{
	*r = (struct regs){ { function, x1, x2 } };
	hvc(r);
	return r->x[0];
}

static u64 arm(u32 kind, u32 which, u32 action, u64 value)
{
	struct regs r = { { INJECT_ARM, kind, which, 1, 1, action, value } };

	hvc(&r);
	need(say("arming action %u", action), !r.x[0]);
	return r.x[1];
}

static void clear(void)
{
	struct regs r;

	door(&r, INJECT_CLEAR, 1, 0);
	pump();
}

/* A request that is harmless as often as one likes; its sequence number. */
static u16 ask(u32 action, u64 value)
{
	arm(INJECT_KIND_REQUEST, GH_RM_VM_GET_VMID, action, value);
	return request(GH_RM_VM_GET_VMID, NULL, 0);
}

static const struct reply *answer(u32 action, u64 value)
{
	return await(ask(action, value), WAIT_MS);
}

static bool silent(u32 action, u64 value)
{
	return !await(ask(action, value), SOON_MS);
}

static void next_is_well(const char *what)
{
	const struct reply *r;

	if (expect_rm(say("%s: the next is answered", what), GH_RM_OK,
		      rm_call(GH_RM_VM_GET_VMID, NULL, 0, &r)))
		expect(say("%s: rightly", what), GH_VMID_PRIMARY, get32(r->data));
}

static void errors(void)
{
	struct gh_rm_vmid any = { 0 };
	const struct reply *r;
	unsigned int i;
	u16 vmid;

	/* Refused without being done: the next VM gets the number that this one would have. */
	arm(INJECT_KIND_REQUEST, GH_RM_VM_ALLOCATE, INJECT_FAIL, GH_RM_ERROR_NORESOURCE);
	expect_rm("VM_ALLOCATE fails", GH_RM_ERROR_NORESOURCE,
		  rm_call(GH_RM_VM_ALLOCATE, &any, sizeof(any), &r));
	expect_rm("and then works", GH_RM_OK, rm_call(GH_RM_VM_ALLOCATE, &any, sizeof(any), &r));
	vmid = get16(r->data);
	arm(INJECT_KIND_REQUEST, GH_RM_VM_DEALLOCATE, INJECT_LIE, GH_RM_ERROR_BUSY);
	expect_rm("VM_DEALLOCATE is done, and says not", GH_RM_ERROR_BUSY,
		  rm_vm_call(GH_RM_VM_DEALLOCATE, vmid));
	expect_rm("the VM is gone", GH_RM_ERROR_NORESOURCE + 0x100, rm_state(vmid));
	clear();
	for (i = 0; i < 3; i++) {
		struct regs q = { { INJECT_ARM, INJECT_KIND_REQUEST, INJECT_ANY, i + 1, 1,
				    INJECT_FAIL, GH_RM_ERROR_NOMEM } };
		unsigned int ok = 0;

		hvc(&q);
		for (unsigned int n = 0; n < 3; n++)
			ok |= (rm_call(GH_RM_VM_GET_VMID, NULL, 0, NULL) == 0) << n;
		expect(say("only number %u of three fails", i + 1), 7 & ~(1u << i), ok);
		door(&q, INJECT_QUERY, q.x[1], 0);
		expect("the rule saw three", 3, q.x[1]);
		expect("and acted once", 1, q.x[2]);
		expect("upon this message", GH_RM_VM_GET_VMID, q.x[3]);
		clear();
	}
}

static void late(void)
{
	u64 start = ktime_get_ns();
	u16 seq = ask(INJECT_DELAY, SOON_MS);

	expect("late, but answered", 1, !!await(seq, WAIT_MS));
	expect("not before its time", 1, ktime_get_ns() - start >= SOON_MS * NSEC_PER_MSEC);
}

static void replies(void)
{
	const struct reply *r;
	struct regs regs;
	u16 seq;

	expect("never answered", 1, silent(INJECT_DROP, 0));
	next_is_well("never answered");
	seq = ask(INJECT_HOLD, 0);
	expect("held back", 0, !!await(seq, SOON_MS));
	door(&regs, INJECT_RELEASE, 0, 0);
	expect("and released", 1, !!await(seq, WAIT_MS));
	late();
	seq = ask(INJECT_SEQ, 0x4000);
	expect("a wrong sequence number", 1, !!await(seq + 0x4000, WAIT_MS));
	expect("and not the right one", 0, !!seen(seq));
	r = answer(INJECT_ID, 0x56000077);
	expect("a wrong id", 0x56000077, r ? r->id : 0);
	r = answer(INJECT_CUT, 4);
	expect("cut to the error word", 0, r ? r->size : ~0u);
	expect("cut to nothing", 1, silent(INJECT_CUT, 0));
	r = answer(INJECT_PAD, 1000);
	expect("1000 bytes too long", 1004, r ? r->size : 0);
	r = answer(INJECT_PATCH, 4ull << 32 | 0xabcd);
	expect("another value", 0xabcd, r ? get32(r->data) : 0);
	expect("fragments that never come", 1, silent(INJECT_PARTS, 2));
	next_is_well("fragments that never come");
	clear();
}

static void notifications(void)
{
	struct gh_rm_vm_status status = { .vmid = cpu_to_le16(0x99), .vm_state = 3 };
	struct {
		struct gh_rm_header header;
		struct gh_rm_vm_status status;
	} __packed packet = {
		.header = { .api = GH_RM_API,
			    .type = GH_RM_TYPE_NOTIFICATION,
			    .id = cpu_to_le32(GH_RM_NOTIFY_VM_STATUS) },
		.status = status,
	};
	struct gh_rm_vmid any = { 0 };
	const struct reply *r;
	unsigned int from = notices();
	struct regs regs;
	u8 *copy;
	u16 vmid;

	copy = kmemdup(&packet, sizeof(packet), GFP_KERNEL | __GFP_NOFAIL);
	expect_hyp("a packet of the test's own", GH_ERROR_OK,
		   door(&regs, INJECT_SEND, (uintptr_t)copy, sizeof(packet)));
	expect("it came as a notification", 1, await_state(from, 0x99, 3, WAIT_MS));
	kfree(copy);

	arm(INJECT_KIND_NOTIFICATION, GH_RM_NOTIFY_VM_STATUS, INJECT_DROP, 0);
	from = notices();
	need("VM_ALLOCATE", !rm_call(GH_RM_VM_ALLOCATE, &any, sizeof(any), &r));
	vmid = get16(r->data);
	expect("VM_STATUS lost", 0, !!await_notice(from, GH_RM_NOTIFY_VM_STATUS, vmid, SOON_MS));
	need("VM_DEALLOCATE", !rm_vm_call(GH_RM_VM_DEALLOCATE, vmid));
	clear();
}

static void calls(void)
{
	struct regs r;
	u64 start;

	arm(INJECT_KIND_CALL, GH_CALL_IDENTIFY, INJECT_FAIL, GH_ERROR_DENIED);
	expect_hyp("a hypercall fails", GH_ERROR_DENIED, HYPERCALL(&r, GH_CALL_IDENTIFY));
	arm(INJECT_KIND_CALL, GH_CALL_IDENTIFY, INJECT_RESULT, 2ull << 56 | 0x1234);
	HYPERCALL(&r, GH_CALL_IDENTIFY);
	expect("a result register of one", 0x1234, r.x[2]);
	arm(INJECT_KIND_CALL, GH_CALL_IDENTIFY, INJECT_DELAY, 20000);
	start = ktime_get_ns();
	HYPERCALL(&r, GH_CALL_IDENTIFY);
	expect("20 ms in one", 1, ktime_get_ns() - start >= 20 * NSEC_PER_MSEC);
	clear();
	HYPERCALL(&r, GH_CALL_IDENTIFY);
	expect("and then nothing", 1, (r.x[0] & 0xff) == GH_API_VERSION);
}

void suite_inject(void)
{
	struct regs r;
	s64 hello = door(&r, INJECT_HELLO, 0, 0);

	if (hello) {
		expect_hyp("the door of the build for tests", GH_ERROR_UNIMPLEMENTED, hello);
		return;
	}
	expect("the door's version", INJECT_VERSION, r.x[1]);
	clear();
	errors();
	replies();
	notifications();
	calls();
	r = (struct regs){ { INJECT_ARM, INJECT_KIND_CALL, 0, 1, 1, INJECT_SEQ } };
	hvc(&r);
	expect_hyp("an action that is not for calls", GH_ERROR_ARG_INVALID, r.x[0]);
}

void suite_panic(void)
{
	struct regs r;

	door(&r, INJECT_PANIC, panic_at, 0);
	need("a panic", false);
}
