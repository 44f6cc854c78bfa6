// SPDX-License-Identifier: GPL-2.0-only
/* Section 2.2: what the guest's tree becomes at START, read by the owner where memory may be shared. */
#include <linux/delay.h>
#include <linux/mm.h>

#include "guest.h"
#include "parcel.h"
#include "suite.h"

#define BUFFER_LABEL 0x51
#define BUFFER_BASE  0xa0000000u

static void patched(struct vm *vm)
{
	static const char *const compatible[] = { "gunyah-hypervisor", "qcom,gunyah-hypervisor-1.0",
						  "qcom,gunyah-hypervisor", "simple-bus" };
	const void *t = guest_tree(vm);
	unsigned int i;
	char path[40];

	expect("/hypervisor is there", 1, tree_has(t, "hypervisor"));
	for (i = 0; i < ARRAY_SIZE(compatible); i++)
		expect(say("/hypervisor is compatible with %s", compatible[i]), 1,
		       tree_lists(t, "hypervisor", "compatible", compatible[i]));
	expect("/hypervisor: #address-cells", 2, tree_u32(t, "hypervisor", "#address-cells", 0));
	expect("/hypervisor: #size-cells", 0, tree_u32(t, "hypervisor", "#size-cells", 0));
	expect("gunyah-vm: vmid", vm->vmid,
	       tree_u32(t, "hypervisor/qcom,gunyah-vm", "qcom,vmid", 0));
	expect("gunyah-vm: owner", GH_VMID_PRIMARY,
	       tree_u32(t, "hypervisor/qcom,gunyah-vm", "qcom,owner-vmid", 0));
	expect("gunyah-vm: vendor", 1,
	       tree_lists(t, "hypervisor/qcom,gunyah-vm", "qcom,vendor", "Qualcomm"));
	expect("gunyah-vm: image name", 1,
	       tree_lists(t, "hypervisor/qcom,gunyah-vm", "qcom,image-name", "conformance"));
	snprintf(path, sizeof(path), "hypervisor/bell-%u", BELL_SPI);
	expect("doorbell: there", 1, tree_has(t, path));
	expect("doorbell: compatible", 1,
	       tree_lists(t, path, "compatible", "qcom,gunyah-doorbell"));
	expect("doorbell: a capability", 1,
	       tree_lists(t, path, "compatible", "qcom,gunyah-capability"));
	expect("doorbell: label", BELL_SPI, tree_u32(t, path, "label", 0));
	expect("doorbell: qcom,label", BELL_SPI, tree_u32(t, path, "qcom,label", 0));
	expect("doorbell: interrupt, type", 0, tree_u32(t, path, "interrupts", 0));
	expect("doorbell: interrupt, number", BELL_SPI, tree_u32(t, path, "interrupts", 1));
	expect("doorbell: interrupt, edge", 1, tree_u32(t, path, "interrupts", 2));
	expect("/memory: base", VM_BASE, tree_u32(t, "memory", "reg", 1));
	expect("/memory: size", VM_SIZE, tree_u32(t, "memory", "reg", 3));
	expect("/chosen has a seed", 1, tree_u32(t, "chosen", "kaslr-seed", 0) != ~0u);
	expect("/vsoc is there", 1, tree_has(t, "vsoc"));
	expect("the tree still fits", 1, be32_to_cpup((const __be32 *)t + 1) <= VM_TREE_SIZE);
}

/* --- The guest's own link to the resource manager --- */

static void asks(struct vm *vm)
{
	static const char message[] = "\5\0\0\0crash\0\0";
	struct gh_rm_vmid request = { 0 };
	const struct reply *r;
	const u8 *value;

	expect_rm("the guest: VM_GET_VMID", GH_RM_OK,
		  guest_rm(vm, GH_RM_VM_GET_VMID, NULL, 0, &value));
	expect("the guest: its VMID", vm->vmid, get32(value));
	expect_rm("the guest: VM_GET_OWNER", GH_RM_OK,
		  guest_rm(vm, GH_RM_VM_GET_OWNER, NULL, 0, &value));
	expect("the guest: its owner", GH_VMID_PRIMARY, get32(value));
	expect_rm("the guest: VM_GET_STATE of itself", GH_RM_OK,
		  guest_rm(vm, GH_RM_VM_GET_STATE, &request, 4, &value));
	expect_vm_state("the guest: its state", GH_RM_VM_STATE_RUNNING, get32(value) & 0xff);
	expect_rm("the guest: VM_ALLOCATE", GH_RM_ERROR_DENIED,
		  guest_rm(vm, GH_RM_VM_ALLOCATE, &request, 4, &value));
	expect_rm("the guest: an unknown id", (u32)GH_RM_ERROR_UNIMPLEMENTED,
		  guest_rm(vm, 0x56000099, NULL, 0, &value));
	expect_rm("the guest: VM_SET_STATUS by a dynamic VM", GH_RM_ERROR_DENIED,
		  guest_rm(vm, GH_RM_VM_SET_STATUS, &request, 4, &value));
	request.vmid = cpu_to_le16(vm->vmid);
	expect_rm("the guest: VM_SET_CRASH_MSG", GH_RM_OK,
		  guest_rm(vm, GH_RM_VM_SET_CRASH_MSG, message, 12, &value));
	if (expect_rm("VM_GET_CRASH_MSG by the owner", GH_RM_OK,
		      rm_call(GH_RM_VM_GET_CRASH_MSG, &request, 4, &r)))
		expect("what the guest left", 1,
		       get16(r->data) == 5 && !memcmp(r->data + 4, "crash", 5));
	expect_rm("the guest: MEM_RECLAIM of its own image", GH_RM_ERROR_DENIED,
		  guest_rm(vm, GH_RM_MEM_RECLAIM,
			   &(struct gh_rm_mem_handle){ .handle = cpu_to_le32(vm->handle) }, 8,
			   &value));
	if (rm.survives)
		expect_rm("the guest: MEM_RELEASE of its own image", GH_RM_ERROR_DENIED,
			  guest_rm(vm, GH_RM_MEM_RELEASE,
				   &(struct gh_rm_mem_handle){ .handle = cpu_to_le32(vm->handle) },
				   8, &value));
	else
		skip("the guest: MEM_RELEASE of its own image",
		     "upstream takes it from under the guest");
	expect_rm("the guest: VM_STOP of the primary", GH_RM_ERROR_VMID_INVALID,
		  guest_rm(vm, GH_RM_VM_STOP, "\3\0\1\0\0\0\0", 8, &value));
}

static void leaves(struct vm *vm)
{
	const struct notice *n;

	/* The reply may never be seen: the vCPU ends with the request. */
	vcpu_woken(vm, 0, 0);
	guest_rm(vm, GH_RM_VM_EXIT, "\1\0\1", 4, NULL);
	n = await_notice(vm->notice_from, GH_RM_NOTIFY_VM_EXITED, vm->vmid, WAIT_MS);
	if (!need("VM_EXITED after the guest's VM_EXIT", n))
		return;
	expect("VM_EXIT: type", GH_RM_EXIT_VM_EXIT, get16(n->data + 2));
	expect("VM_EXIT: flags and code", 1 | 1 << 16, get32(n->data + 8));
}

static void link(void)
{
	struct vm_spec spec = { .tree = { .cpus = 1, .bells = 1, .link = true }, .share = true };
	static const char node[] = GUEST_RM;
	struct gh_rm_vm_stop stop = { .reason = cpu_to_le32(5) };
	struct vm vm;

	if (!vm_up(&vm, &spec, GH_RM_VM_STATE_RUNNING) ||
	    !need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE))
		goto out;
	expect("rm-rpc: compatible", 1,
	       tree_lists(guest_tree(&vm), node, "compatible", "gunyah-resource-manager"));
	expect("rm-rpc: message size", 240,
	       tree_u32(guest_tree(&vm), node, "qcom,tx-message-size", 0));
	expect("rm-rpc: depth", 8, tree_u32(guest_tree(&vm), node, "qcom,rx-queue-depth", 0));
	expect("rm-rpc: first free interrupt", 0,
	       tree_u32(guest_tree(&vm), node, "qcom,free-irq-start", 0));
	if (tree_has(guest_tree(&vm), node)) {
		asks(&vm);
		stop.vmid = cpu_to_le16(vm.vmid);
		expect_rm("VM_STOP, not forced, of a guest with a link", GH_RM_OK,
			  rm_call(GH_RM_VM_STOP, &stop, sizeof(stop), NULL));
		expect_vm_state("and it still runs", GH_RM_VM_STATE_RUNNING, rm_state(vm.vmid));
		leaves(&vm);
	}
out:
	vm_down(&vm);
}

/* --- A doorbell that the guest rings, and queues in both directions --- */

static bool came(atomic_t *count)
{
	irq_came(count, 0);
	return atomic_xchg(count, 0);
}

static void from_the_guest(struct vm *vm)
{
	const struct gh_rm_hyp_resource *r = vm_resource(vm, GH_RM_RES_DOORBELL_RX, SOURCE_LABEL);
	u64 cap = guest_cap(vm, "hypervisor/source", 0);
	static atomic_t irqs;
	struct regs regs;
	int irq;

	expect("doorbell-source: compatible", 1,
	       tree_lists(guest_tree(vm), "hypervisor/source", "compatible",
			  "qcom,gunyah-doorbell-source"));
	if (!need("a record of the guest's doorbell", r))
		return;
	irq = intid_request(le32_to_cpu(r->virq), &irqs);
	atomic_set(&irqs, 0);
	expect_hyp("the guest rings", GH_ERROR_OK, guest_hyp(vm, GH_CALL_DOORBELL_SEND, cap, 5, 0));
	expect("the guest rings: the flags before", 0, vm->cpu[0].out[1]);
	expect("the owner's interrupt", 1, came(&irqs));
	expect_hyp("the owner receives", GH_ERROR_OK,
		   HYPERCALL(&regs, GH_CALL_DOORBELL_RECEIVE, cap_of(r), ~0ull));
	expect("the owner receives: the flags", 5, regs.x[1]);
	expect_hyp("the owner may not ring it", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   HYPERCALL(&regs, GH_CALL_DOORBELL_SEND, cap_of(r), 1));
	if (irq)
		intid_free(irq, &irqs);
}

static void to_the_guest(struct vm *vm, u64 tx_cap, u64 rx_cap)
{
	u8 *scratch = vm->memory + VM_SCRATCH;
	unsigned int i;
	u64 not_full = 2;

	memcpy(scratch, "from the owner", 15);
	for (i = 0; i < PAIR_DEPTH; i++)
		expect_hyp(say("the owner sends message %u", i), GH_ERROR_OK,
			   hyp_msgq_send(tx_cap, 15, scratch, GH_MSGQ_PUSH, &not_full));
	expect("the last one says that the queue is full", 0, not_full);
	expect_hyp("the owner sends into the full queue", GH_ERROR_MSGQ_FULL,
		   hyp_msgq_send(tx_cap, 15, scratch, GH_MSGQ_PUSH, NULL));
	memset(scratch, 0, PAIR_SIZE);
	for (i = 0; i < PAIR_DEPTH; i++) {
		expect_hyp(say("the guest receives message %u", i), GH_ERROR_OK,
			   guest_hyp(vm, GH_CALL_MSGQ_RECV, rx_cap, VM_BASE + VM_SCRATCH,
				     PAIR_SIZE));
		expect(say("message %u: its size", i), 15, vm->cpu[0].out[1]);
		expect(say("message %u: whether there is more", i), i < PAIR_DEPTH - 1,
		       vm->cpu[0].out[2]);
	}
	expect("the guest received the text", 1, !memcmp(scratch, "from the owner", 15));
	expect_hyp("the guest receives from the empty queue", GH_ERROR_MSGQ_EMPTY,
		   guest_hyp(vm, GH_CALL_MSGQ_RECV, rx_cap, VM_BASE + VM_SCRATCH, PAIR_SIZE));
}

static void queues(struct vm *vm)
{
	const struct gh_rm_hyp_resource *tx = vm_resource(vm, GH_RM_RES_MSGQ_TX, PAIR_LABEL);
	const struct gh_rm_hyp_resource *rx = vm_resource(vm, GH_RM_RES_MSGQ_RX, PAIR_LABEL);
	static const char node[] = "hypervisor/pair";
	u8 *scratch = vm->memory + VM_SCRATCH;
	static atomic_t irqs;
	u64 more = 2;
	size_t size = 0;
	int irq;

	expect("message-queue-pair: message size", PAIR_SIZE,
	       tree_u32(guest_tree(vm), node, "qcom,tx-message-size", 0));
	expect("message-queue-pair: depth", PAIR_DEPTH,
	       tree_u32(guest_tree(vm), node, "qcom,rx-queue-depth", 0));
	if (!need("records of both queues", tx && rx))
		return;
	irq = intid_request(le32_to_cpu(rx->virq), &irqs);
	atomic_set(&irqs, 0);
	to_the_guest(vm, cap_of(tx), guest_cap(vm, node, 1));
	memcpy(scratch, "from the guest", 15);
	expect_hyp("the guest sends", GH_ERROR_OK,
		   guest_hyp(vm, GH_CALL_MSGQ_SEND, guest_cap(vm, node, 0), 15,
			     VM_BASE + VM_SCRATCH));
	expect("the owner's interrupt for a message", 1, came(&irqs));
	memset(scratch, 0, PAIR_SIZE);
	expect_hyp("the owner receives the message", GH_ERROR_OK,
		   hyp_msgq_receive(cap_of(rx), scratch, PAIR_SIZE, &size, &more));
	expect("the owner receives the text", 1,
	       size == 15 && !memcmp(scratch, "from the guest", 15));
	if (irq)
		intid_free(irq, &irqs);
}

static void messages(void)
{
	struct vm_spec spec = {
		.tree = { .cpus = 1, .bell_source = true, .msgq = true },
		.share = true,
	};
	struct vm vm;

	if (vm_up(&vm, &spec, GH_RM_VM_STATE_RUNNING) &&
	    need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE)) {
		from_the_guest(&vm);
		queues(&vm);
	}
	vm_down(&vm);
}

/* --- A shared buffer --- */

static void through_the_buffer(struct vm *vm, u32 *ours)
{
	const void *t = guest_tree(vm);
	int size;

	expect("shm: compatible", 1,
	       tree_lists(t, "hypervisor/buffer", "compatible", "qcom,shared-memory"));
	expect("shm: what was pushed", 1,
	       tree_lists(t, "hypervisor/buffer", "compatible", "conformance,buffer"));
	expect("shm: peer", GH_VMID_PRIMARY, tree_u32(t, "hypervisor/buffer", "peer", 0));
	expect("reserved-memory: the buffer's address", BUFFER_BASE,
	       tree_u32(t, "reserved-memory/buffer", "reg", 1));
	expect("reserved-memory: the buffer's size", 4096,
	       tree_u32(t, "reserved-memory/buffer", "reg", 3));
	expect("reserved-memory: the buffer's label", BUFFER_LABEL,
	       tree_u32(t, "reserved-memory/buffer", "qcom,label", 0));
	expect("reserved-memory: no-map", 1,
	       tree_get(t, "reserved-memory/buffer", "no-map", &size) != NULL);
	WRITE_ONCE(ours[0], 0x600dcafe);
	expect("the guest reads what the owner wrote", 0x600dcafe,
	       guest_read32(vm, 0, BUFFER_BASE));
	guest_write32(vm, 0, BUFFER_BASE + 4, 0x77);
	expect("the owner reads what the guest wrote", 0x77, READ_ONCE(ours[1]));
	/* In lent or shared memory caches agree; behind the page there is nothing. */
	expect_run("behind the buffer", RUN_DONE,
		   vcpu_do(vm, 0, INSN(ldr_w), 0, BUFFER_BASE + 4096, 0));
	expect("behind the buffer: an abort", EC_DABT, EVENT_EC(vm->cpu[0].event));
}

static bool notified(struct vm *vm, u32 handle)
{
	struct {
		struct gh_rm_mem_notify head;
		struct gh_rm_list list;
		struct gh_rm_acl vmid;
	} __packed request = {
		.head = { .handle = cpu_to_le32(handle),
			  .flags = GH_RM_MEM_NOTIFY_SHARED,
			  .tag = cpu_to_le32(0x7a6) },
		.list.count = cpu_to_le16(1),
		.vmid.vmid = cpu_to_le16(vm->vmid),
	};
	unsigned int from = notices();
	const struct notice *n;

	if (!expect_rm("MEM_NOTIFY shared, the guest in READY", GH_RM_OK,
		       rm_call(GH_RM_MEM_NOTIFY, &request, sizeof(request), NULL)))
		return false;
	for (; (n = notice(from)); from++)
		if (n->id == GH_RM_NOTIFY_MEM_ACCEPTED && get32(n->data) == handle) {
			expect("MEM_ACCEPTED: who", vm->vmid, get16(n->data + 4));
			expect("MEM_ACCEPTED: tag", 0x7a6, get32(n->data + 8));
			return true;
		}
	return need("MEM_ACCEPTED", false);
}

static void buffer(void)
{
	struct vm_spec spec = {
		.tree = { .cpus = 1, .shm_label = BUFFER_LABEL, .shm_base = BUFFER_BASE },
		.share = true,
	};
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	struct parcel parcel = {
		.label = BUFFER_LABEL,
		.acl = { { 0, 6 }, { GH_VMID_PRIMARY, 6 } },
		.acls = 2,
		.sgls = 1,
	};
	u32 handle = ~0u;
	struct vm vm = { 0 };

	if (!need("memory", page) || !vm_up(&vm, &spec, GH_RM_VM_STATE_READY))
		goto out;
	parcel.acl[0].vmid = vm.vmid;
	parcel.sgl[0] = (struct gh_rm_sgl){ page_to_phys(page), 4096 };
	if (!expect_rm("SHARE a buffer", GH_RM_OK, parcel_send(GH_RM_MEM_SHARE, &parcel, &handle)))
		goto out;
	if (notified(&vm, handle))
		expect_rm("RECLAIM of what the guest has accepted", GH_RM_ERROR_MEM_INUSE,
			  parcel_reclaim(handle, 0));
	if (expect_rm("VM_START with a buffer", GH_RM_OK, rm_vm_call(GH_RM_VM_START, vm.vmid)) &&
	    need("the servant starts", vcpu_next(&vm, 0).state == RUN_DONE))
		through_the_buffer(&vm, page_address(page));
out:
	vm_down(&vm);
	if (~handle &&
	    !expect_rm("RECLAIM of the buffer after RESET", GH_RM_OK, parcel_reclaim(handle, 0)))
		return;
	if (page)
		__free_page(page);
}

void suite_link(void)
{
	struct vm_spec spec = { .tree = { .cpus = 1, .bells = 1 }, .share = true };
	struct vm vm;
	u32 error;

	if (!vm_up(&vm, &spec, GH_RM_VM_STATE_READY)) {
		vm_down(&vm);
		return;
	}
	error = rm_vm_call(GH_RM_VM_START, vm.vmid);
	if (error) {
		skip("the guest's tree", "a production build starts no VM whose memory is shared");
		vm_down(&vm);
		return;
	}
	patched(&vm);
	vm_down(&vm);
	buffer();
	link();
	messages();
}
