// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two guests that name each other as peers: a doorbell, messages, memory that both share; and a guest that by its own link
 * accepts memory while it runs, and gives it back.
 */
#include <linux/mm.h>

#include "parcel.h"
#include "suite.h"
#include "vm.h"

#define SHARED_LABEL 0x52
#define SHARED_BASE  0xa0000000ul
#define LATE_LABEL   0x53
#define LATE_BASE    0xb0000000ul
#define RM_REPLY     0x1000 /* offsets in the scratch memory */

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

static u64 cap(const struct vm *vm, const char *path, unsigned int index)
{
	const void *t = vm->memory + VM_TREE;

	return (u64)tree_u32(t, path, "reg", index * 2) << 32 |
	       tree_u32(t, path, "reg", index * 2 + 1);
}

static s64 call(struct vm *vm, unsigned int n, u64 a, u64 b, u64 c)
{
	GUEST_CALL(vm, 0, INSN(hvc), GH_SMCCC_HYPERCALL(n), a, b, c);
	return vm->cpu[0].out[0];
}

/* --- Between the two --- */

static void bell(struct vm *first, struct vm *second)
{
	u64 source = cap(first, "hypervisor/source", 0), sink = cap(second, "hypervisor/sink", 0);

	expect_hyp("a guest rings another", GH_ERROR_OK,
		   call(first, GH_CALL_DOORBELL_SEND, source, 0x30, 0));
	expect_hyp("the other receives", GH_ERROR_OK,
		   call(second, GH_CALL_DOORBELL_RECEIVE, sink, ~0ull, 0));
	expect("the flags that were sent", 0x30, second->cpu[0].out[1]);
	expect_hyp("the receiver may not ring", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   call(second, GH_CALL_DOORBELL_SEND, sink, 1, 0));
	expect_no_cap("a capability that is only the other's",
		      call(first, GH_CALL_DOORBELL_SEND, 150, 1, 0));
}

static void message(struct vm *from, struct vm *to, const char *text)
{
	u8 *out = from->memory + VM_SCRATCH, *in = to->memory + VM_SCRATCH;
	size_t size = strlen(text) + 1;

	memcpy(out, text, size);
	memset(in + 512, 0, PAIR_SIZE);
	expect_hyp(say("sends \"%s\"", text), GH_ERROR_OK,
		   call(from, GH_CALL_MSGQ_SEND, cap(from, "hypervisor/pair", 0), size,
			VM_BASE + VM_SCRATCH));
	expect_hyp("the peer receives", GH_ERROR_OK,
		   call(to, GH_CALL_MSGQ_RECV, cap(to, "hypervisor/pair", 1),
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

/* What the one has not read when it goes is not its successor's; what is sent while nobody is there waits. */
static void one_goes(struct vm *first, struct vm *second)
{
	static const char unread[] = "for the one that goes", early[] = "for the one that comes";
	u64 tx = cap(first, "hypervisor/pair", 0);
	u8 *out = first->memory + VM_SCRATCH, *in;

	memcpy(out, unread, sizeof(unread));
	expect_hyp("sends to a peer that will not read", GH_ERROR_OK,
		   call(first, GH_CALL_MSGQ_SEND, tx, sizeof(unread), VM_BASE + VM_SCRATCH));
	vm_down(second);
	memcpy(out, early, sizeof(early));
	expect_hyp("sends to a peer that is gone", GH_ERROR_OK,
		   call(first, GH_CALL_MSGQ_SEND, tx, sizeof(early), VM_BASE + VM_SCRATCH));
	if (!vm_up(second, &successor_spec, GH_RM_VM_STATE_RUNNING) ||
	    !need("its successor's servant", vcpu_next(second, 0).state == RUN_DONE))
		return;
	in = second->memory + VM_SCRATCH;
	expect_hyp("the successor receives", GH_ERROR_OK,
		   call(second, GH_CALL_MSGQ_RECV, cap(second, "hypervisor/pair", 1),
			VM_BASE + VM_SCRATCH, PAIR_SIZE));
	expect_text_but("only what was sent to it", early, say("%.40s", in), unread, left);
	expect_but("and nothing more", 0, second->cpu[0].out[2], 1, left);
	message(second, first, "from the successor");
}

/* --- Its own link --- */

static u32 ask_rm(struct vm *vm, u32 id, const void *data, size_t size)
{
	u8 *out = vm->memory + VM_SCRATCH, *in = out + RM_REPLY;
	struct gh_rm_header head = { GH_RM_API, GH_RM_TYPE_REQUEST, cpu_to_le16(next_seq()),
				     cpu_to_le32(id) };
	unsigned int tries = 100;

	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), data, size);
	if (call(vm, GH_CALL_MSGQ_SEND, cap(vm, "hypervisor/rm", 0), sizeof(head) + size,
		 VM_BASE + VM_SCRATCH))
		return RM_SILENT;
	while (tries--)
		if (!call(vm, GH_CALL_MSGQ_RECV, cap(vm, "hypervisor/rm", 1),
			  VM_BASE + VM_SCRATCH + RM_REPLY, GH_RM_MSG_SIZE) &&
		    (in[1] & GH_RM_TYPE_MASK) == GH_RM_TYPE_REPLY && get16(in + 2) == head.seq)
			return get32(in + 8);
	return RM_SILENT;
}

/* The next notification of the guest with this id, as it lies in its memory; NULL: none. */
static const u8 *told(struct vm *vm, u32 id)
{
	u8 *in = vm->memory + VM_SCRATCH + RM_REPLY;

	while (!call(vm, GH_CALL_MSGQ_RECV, cap(vm, "hypervisor/rm", 1),
		     VM_BASE + VM_SCRATCH + RM_REPLY, GH_RM_MSG_SIZE))
		if (get32(in + 4) == id)
			return in + 8;
	return NULL;
}

static u32 accept(struct vm *vm, u32 handle, u8 flags, u32 label)
{
	struct {
		struct gh_rm_mem_accept head;
		struct gh_rm_list acl, sgl_head;
		struct gh_rm_sgl sgl;
		struct gh_rm_list attr;
	} __packed m = {
		.head = { .handle = cpu_to_le32(handle),
			  .trans_type = GH_RM_MEM_TRANS_SHARE,
			  .flags = flags | GH_RM_MEM_ACCEPT_DONE,
			  .label = cpu_to_le32(label) },
		.sgl_head.count = cpu_to_le16(1),
		.sgl = { cpu_to_le64(LATE_BASE), cpu_to_le64(4096) },
	};

	return ask_rm(vm, GH_RM_MEM_ACCEPT, &m, sizeof(m));
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
	n = told(vm, GH_RM_NOTIFY_MEM_SHARED);
	if (need("MEM_SHARED for the guest", n)) {
		expect("MEM_SHARED: handle", handle, get32(n));
		expect("MEM_SHARED: owner", GH_VMID_PRIMARY, get16(n + 8));
		expect("MEM_SHARED: label", LATE_LABEL, get32(n + 12));
	}
	expect_rm("the guest: RELEASE of what it has not accepted", GH_RM_ERROR_MEM_RELEASED,
		  ask_rm(vm, GH_RM_MEM_RELEASE, &release, sizeof(release)));
	expect_rm("the guest: ACCEPT with another label", GH_RM_ERROR_VALIDATE_FAILED,
		  accept(vm, handle, GH_RM_MEM_ACCEPT_CHECK_LABEL, LATE_LABEL + 1));
	expect("before ACCEPT there is nothing", EC_DABT,
	       vcpu_do(vm, 0, INSN(ldr_w), 0, LATE_BASE, 0) == RUN_DONE ? EVENT_EC(vm->cpu[0].event)
									: 0);
	expect_rm("the guest: ACCEPT", GH_RM_OK,
		  accept(vm, handle, GH_RM_MEM_ACCEPT_CHECK_LABEL, LATE_LABEL));
	expect_rm("the guest: ACCEPT once more", GH_RM_ERROR_DENIED,
		  accept(vm, handle, 0, LATE_LABEL));
	WRITE_ONCE(*ours, 0xabcde);
	expect("the guest reads what the owner wrote", 0xabcde, guest_read32(vm, 0, LATE_BASE));
	expect_rm("the guest: NOTIFY accepted", GH_RM_OK,
		  ask_rm(vm, GH_RM_MEM_NOTIFY, &accepted, sizeof(accepted)));
	expect("MEM_ACCEPTED for the owner", 1, notices() > from);
	expect_rm("RECLAIM of what the guest has", GH_RM_ERROR_MEM_INUSE,
		  parcel_reclaim(handle, 0));
	expect_rm("MEM_NOTIFY recall", GH_RM_OK, notify(handle, GH_RM_MEM_NOTIFY_RECALL, vm->vmid));
	expect("MEM_RECALL for the guest", 1, told(vm, GH_RM_NOTIFY_MEM_RECALL) != NULL);
	expect_rm("the guest: RELEASE", GH_RM_OK,
		  ask_rm(vm, GH_RM_MEM_RELEASE, &release, sizeof(release)));
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
	n = told(vm, GH_RM_NOTIFY_VM_SHUTDOWN);
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
