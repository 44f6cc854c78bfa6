// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two guests that name each other as peers: a doorbell, messages, memory that both share; and a guest that by its own link
 * accepts memory while it runs, and gives it back.
 */
#include <linux/mm.h>
#include <asm/sysreg.h>

#include "guest.h"
#include "parcel.h"
#include "suite.h"

#define SHARED_LABEL 0x52
#define SHARED_BASE  0xa0000000ul
#define LATE_LABEL   0x53
#define LATE_BASE    0xb0000000ul

/* Image and trees are shared so that the test can read them; the buffers are what matters here. */
static const struct vm_spec first_spec = {
	.tree = { .cpus = 1,
		  .name = "first",
		  .peer = "vm-name:second",
		  .bell_source = true,
		  .msgq = true,
		  .shm_label = SHARED_LABEL,
		  .shm_base = SHARED_BASE,
		  .link = true },
	.share = true,
};
static const struct vm_spec second_spec = {
	.tree = { .cpus = 1,
		  .name = "second",
		  .peer = "vm-name:first",
		  .bell_sink = true,
		  .msgq = true,
		  .shm_label = SHARED_LABEL,
		  .shm_base = SHARED_BASE,
		  .link = true },
	.share = true,
};

static const struct vm_spec successor_spec = {
	.tree = { .cpus = 1,
		  .name = "second",
		  .peer = "vm-name:first",
		  .bell_sink = true,
		  .msgq = true },
	.share = true,
};

static const char left[] = "what the one did not read is its successor's";

/* --- Between the two --- */

static void bell(struct vm *first, struct vm *second)
{
	u64 source = guest_cap(first, "hypervisor/source", 0),
	    sink = guest_cap(second, "hypervisor/sink", 0);

	expect_hyp("a guest rings another", GH_ERROR_OK,
		   guest_hyp(first, GH_CALL_DOORBELL_SEND, source, 0x30, 0));
	expect_hyp("the other receives", GH_ERROR_OK,
		   guest_hyp(second, GH_CALL_DOORBELL_RECEIVE, sink, ~0ull, 0));
	expect("the flags that were sent", 0x30, second->cpu[0].out[1]);
	expect_hyp("the receiver may not ring", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   guest_hyp(second, GH_CALL_DOORBELL_SEND, sink, 1, 0));
	expect_no_cap("a capability that is only the other's",
		      guest_hyp(first, GH_CALL_DOORBELL_SEND, 150, 1, 0));
}

static void message(struct vm *from, struct vm *to, const char *text)
{
	u8 *out = from->memory + VM_SCRATCH, *in = to->memory + VM_SCRATCH;
	size_t size = strlen(text) + 1;

	memcpy(out, text, size);
	memset(in + 512, 0, PAIR_SIZE);
	expect_hyp(say("sends \"%s\"", text), GH_ERROR_OK,
		   guest_hyp(from, GH_CALL_MSGQ_SEND, guest_cap(from, "hypervisor/pair", 0), size,
			     VM_BASE + VM_SCRATCH));
	expect_hyp("the peer receives", GH_ERROR_OK,
		   guest_hyp(to, GH_CALL_MSGQ_RECV, guest_cap(to, "hypervisor/pair", 1),
			     VM_BASE + VM_SCRATCH + 512, PAIR_SIZE));
	expect_text("what the peer received", text, say("%.40s", in + 512));
}

static void memory(struct vm *first, struct vm *second)
{
	guest_write32(first, 0, SHARED_BASE + 16, 0xfeedbeef);
	expect("the second guest reads what the first wrote", 0xfeedbeef,
	       guest_read32(second, 0, SHARED_BASE + 16));
	guest_write32(second, 0, SHARED_BASE + 20, 0x1234);
	expect("and the first what the second wrote", 0x1234,
	       guest_read32(first, 0, SHARED_BASE + 20));
}

/* What a guest leaves in its registers another one does not find. */
static void registers(struct vm *first, struct vm *second)
{
#define REGISTER(name)                  \
	{                               \
#name, SYS_##name##_EL1 \
	}
	static const struct {
		const char *name;
		u32 number;
	} list[] = {
		REGISTER(AFSR0),
		REGISTER(AFSR1),
		REGISTER(AMAIR),
		REGISTER(APIAKEYLO),
		REGISTER(CNTKCTL),
		REGISTER(CONTEXTIDR),
		REGISTER(DISR),
		REGISTER(ELR),
		REGISTER(ESR),
		REGISTER(FAR),
		REGISTER(MAIR),
		REGISTER(PAR),
		REGISTER(TTBR0),
		REGISTER(TTBR1),
		{ "CSSELR", SYS_CSSELR_EL1 },
		{ "MDSCR", SYS_MDSCR_EL1 },
		{ "TPIDR", SYS_TPIDR_EL1 },
		{ "TPIDR_EL0", SYS_TPIDR_EL0 },
		{ "TPIDRRO_EL0", SYS_TPIDRRO_EL0 },
		{ "TPIDR2_EL0", sys_reg(3, 3, 13, 0, 5) },
		{ "SCXTNUM_EL0", SYS_SCXTNUM_EL0 },
		{ "CNTV_CVAL_EL0", sys_reg(3, 3, 14, 3, 2) },
		{ "PMCCNTR_EL0", SYS_PMCCNTR_EL0 },
		{ "DBGBVR0", sys_reg(2, 0, 0, 0, 4) },
	};
	unsigned int i;
	u64 before, other;

	for (i = 0; i < ARRAY_SIZE(list); i++) {
		vcpu_do(second, 0, 0xd5200000 | list[i].number, 0, 0, 0);
		before = second->cpu[0].out[0];
		other = ~before ^ 0x5500;
		vcpu_do(first, 0, 0xd5000001 | list[i].number, 0, other, 0);
		vcpu_do(second, 0, 0xd5200000 | list[i].number, 0, 0, 0);
		expect_but(say("%s is not another guest's", list[i].name), before,
			   second->cpu[0].out[0], other, "upstream does not save it");
	}
}

/* What the one has not read when it goes is not its successor's; what is sent while nobody is there waits. */
static void one_goes(struct vm *first, struct vm *second)
{
	static const char unread[] = "for the one that goes", early[] = "for the one that comes";
	u64 tx = guest_cap(first, "hypervisor/pair", 0);
	u8 *out = first->memory + VM_SCRATCH, *in;

	memcpy(out, unread, sizeof(unread));
	expect_hyp("sends to a peer that will not read", GH_ERROR_OK,
		   guest_hyp(first, GH_CALL_MSGQ_SEND, tx, sizeof(unread), VM_BASE + VM_SCRATCH));
	vm_down(second);
	memcpy(out, early, sizeof(early));
	expect_hyp("sends to a peer that is gone", GH_ERROR_OK,
		   guest_hyp(first, GH_CALL_MSGQ_SEND, tx, sizeof(early), VM_BASE + VM_SCRATCH));
	if (!vm_up(second, &successor_spec, GH_RM_VM_STATE_RUNNING) ||
	    !need("its successor's servant", vcpu_next(second, 0).state == RUN_DONE))
		return;
	in = second->memory + VM_SCRATCH;
	expect_hyp("the successor receives", GH_ERROR_OK,
		   guest_hyp(second, GH_CALL_MSGQ_RECV, guest_cap(second, "hypervisor/pair", 1),
			     VM_BASE + VM_SCRATCH, PAIR_SIZE));
	expect_text_but("only what was sent to it", early, say("%.40s", in), unread, left);
	expect_but("and nothing more", 0, second->cpu[0].out[2], 1, left);
	message(second, first, "from the successor");
}

/* --- Its own link --- */

static u32 accept_late(struct vm *vm, u32 handle, u8 flags, u32 label)
{
	return guest_accept(vm,
			    &(struct guest_accept){
				    .handle = handle,
				    .label = label,
				    .flags = flags | GH_RM_MEM_ACCEPT_DONE,
				    .sgl = { { LATE_BASE, 4096 } },
				    .sgls = 1,
			    },
			    NULL);
}

static u32 notify(u32 handle, u8 flags, u16 to)
{
	struct {
		struct gh_rm_mem_notify head;
		struct gh_rm_list list;
		struct gh_rm_acl vmid;
	} __packed m = {
		.head = { .handle = cpu_to_le32(handle), .flags = flags, .tag = cpu_to_le32(9) },
		.list.count = cpu_to_le16(1),
		.vmid.vmid = cpu_to_le16(to),
	};

	return rm_call(GH_RM_MEM_NOTIFY, &m, sizeof(m), NULL);
}

static void takes_late(struct vm *vm, u32 handle, u32 *ours)
{
	struct gh_rm_mem_notify accepted = { .handle = cpu_to_le32(handle),
					     .flags = GH_RM_MEM_NOTIFY_ACCEPTED,
					     .tag = cpu_to_le32(9) };
	struct gh_rm_mem_handle release = { .handle = cpu_to_le32(handle) };
	unsigned int from = notices();
	const u8 *n;

	expect_rm("MEM_NOTIFY shared, to a guest that runs", GH_RM_OK,
		  notify(handle, GH_RM_MEM_NOTIFY_SHARED, vm->vmid));
	n = guest_told(vm, GH_RM_NOTIFY_MEM_SHARED);
	if (need("MEM_SHARED for the guest", n)) {
		expect("MEM_SHARED: handle", handle, get32(n));
		expect("MEM_SHARED: owner", GH_VMID_PRIMARY, get16(n + 8));
		expect("MEM_SHARED: label", LATE_LABEL, get32(n + 12));
	}
	expect_rm("the guest: RELEASE of what it has not accepted", GH_RM_ERROR_MEM_RELEASED,
		  guest_rm(vm, GH_RM_MEM_RELEASE, &release, sizeof(release), NULL));
	expect_rm("the guest: ACCEPT with another label", GH_RM_ERROR_VALIDATE_FAILED,
		  accept_late(vm, handle, GH_RM_MEM_ACCEPT_CHECK_LABEL, LATE_LABEL + 1));
	expect("before ACCEPT there is nothing", EC_DABT,
	       vcpu_do(vm, 0, INSN(ldr_w), 0, LATE_BASE, 0) == RUN_DONE ? EVENT_EC(vm->cpu[0].event)
									: 0);
	expect_rm("the guest: ACCEPT", GH_RM_OK,
		  accept_late(vm, handle, GH_RM_MEM_ACCEPT_CHECK_LABEL, LATE_LABEL));
	expect_rm("the guest: ACCEPT once more", GH_RM_ERROR_DENIED,
		  accept_late(vm, handle, 0, LATE_LABEL));
	WRITE_ONCE(*ours, 0xabcde);
	expect("the guest reads what the owner wrote", 0xabcde, guest_read32(vm, 0, LATE_BASE));
	expect_rm("the guest: NOTIFY accepted", GH_RM_OK,
		  guest_rm(vm, GH_RM_MEM_NOTIFY, &accepted, sizeof(accepted), NULL));
	expect("MEM_ACCEPTED for the owner", 1, notices() > from);
	expect_rm("RECLAIM of what the guest has", GH_RM_ERROR_MEM_INUSE,
		  parcel_reclaim(handle, 0));
	expect_rm("MEM_NOTIFY recall", GH_RM_OK, notify(handle, GH_RM_MEM_NOTIFY_RECALL, vm->vmid));
	expect("MEM_RECALL for the guest", 1, guest_told(vm, GH_RM_NOTIFY_MEM_RECALL) != NULL);
	expect_rm("the guest: RELEASE", GH_RM_OK,
		  guest_rm(vm, GH_RM_MEM_RELEASE, &release, sizeof(release), NULL));
	expect("after RELEASE there is nothing", EC_DABT,
	       vcpu_do(vm, 0, INSN(ldr_w), 0, LATE_BASE, 0) == RUN_DONE ? EVENT_EC(vm->cpu[0].event)
									: 0);
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
}

static void shutdown(struct vm *vm)
{
	struct gh_rm_vm_stop stop = { .vmid = cpu_to_le16(vm->vmid), .reason = cpu_to_le32(5) };
	const u8 *n;

	expect_rm("VM_STOP, not forced", GH_RM_OK,
		  rm_call(GH_RM_VM_STOP, &stop, sizeof(stop), NULL));
	n = guest_told(vm, GH_RM_NOTIFY_VM_SHUTDOWN);
	expect("VM_SHUTDOWN for the guest: reason", 5, n ? get32(n) : 0);
}

static bool share(struct page *page, u32 label, u16 a, u16 b, u32 *handle)
{
	struct parcel parcel = {
		.label = label,
		.acl = { { a, 6 }, { b, 6 } },
		.acls = 2,
		.sgl = { { page_to_phys(page), 4096 } },
		.sgls = 1,
	};

	return expect_rm(b == GH_VMID_PRIMARY ? "SHARE with a guest" : "LEND to two guests",
			 GH_RM_OK,
			 parcel_send(b == GH_VMID_PRIMARY ? GH_RM_MEM_SHARE : GH_RM_MEM_LEND,
				     &parcel, handle));
}

static void together(struct vm *first, struct vm *second, struct page *pages)
{
	u32 both = ~0u, late = ~0u;

	if (!vm_up(first, &first_spec, GH_RM_VM_STATE_READY) ||
	    !vm_up(second, &second_spec, GH_RM_VM_STATE_READY) ||
	    !share(pages, SHARED_LABEL, first->vmid, second->vmid, &both) ||
	    !need("START of both", !rm_vm_call(GH_RM_VM_START, first->vmid) &&
					   !rm_vm_call(GH_RM_VM_START, second->vmid)) ||
	    !need("servants",
		  vcpu_next(first, 0).state == RUN_DONE && vcpu_next(second, 0).state == RUN_DONE))
		goto out;
	bell(first, second);
	message(first, second, "from the first");
	message(second, first, "from the second");
	memory(first, second);
	registers(first, second);
	if (share(pages + 1, LATE_LABEL, first->vmid, GH_VMID_PRIMARY, &late))
		takes_late(first, late, page_address(pages + 1));
	shutdown(first);
	one_goes(first, second);
out:
	vm_down(second);
	vm_down(first);
	if (~both)
		expect_rm("RECLAIM of what both had", GH_RM_OK, parcel_reclaim(both, 0));
}

void suite_peer(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, 1);
	static struct vm first, second;

	if (!need("memory", pages))
		return;
	together(&first, &second, pages);
	__free_pages(pages, 1);
}
