// SPDX-License-Identifier: GPL-2.0-only
/* A guest's requests, which lie in its scratch memory: what it sends at the beginning, what it receives a page behind. */
#include <linux/jiffies.h>

#include "guest.h"

#define RECEIVED (VM_SCRATCH + 0x1000)

const void *guest_tree(const struct vm *vm)
{
	return vm->memory + VM_TREE;
}

u64 guest_cap(const struct vm *vm, const char *path, unsigned int index)
{
	const void *t = guest_tree(vm);

	return (u64)tree_u32(t, path, "reg", index * 2) << 32 |
	       tree_u32(t, path, "reg", index * 2 + 1);
}

s64 guest_hyp(struct vm *vm, unsigned int n, u64 a, u64 b, u64 c)
{
	GUEST_CALL(vm, 0, INSN(hvc), GH_SMCCC_HYPERCALL(n), a, b, c);
	return vm->cpu[0].out[0];
}

/* One message for the guest; NULL: none. */
static const u8 *receive(struct vm *vm)
{
	return guest_hyp(vm, GH_CALL_MSGQ_RECV, guest_cap(vm, GUEST_RM, 1), VM_BASE + RECEIVED,
			 GH_RM_MSG_SIZE)
		       ? NULL
		       : vm->memory + RECEIVED;
}

u32 guest_rm(struct vm *vm, u32 id, const void *data, size_t size, const u8 **reply)
{
	struct gh_rm_header head = { GH_RM_API, GH_RM_TYPE_REQUEST, cpu_to_le16(next_seq()),
				     cpu_to_le32(id) };
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);
	u8 *out = vm->memory + VM_SCRATCH;

	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), data, size);
	if (guest_hyp(vm, GH_CALL_MSGQ_SEND, guest_cap(vm, GUEST_RM, 0), sizeof(head) + size,
		      VM_BASE + VM_SCRATCH))
		return RM_SILENT;
	while (time_before(jiffies, end) && vm->cpu[0].asking) {
		const u8 *in = receive(vm);

		if (!in || (in[1] & GH_RM_TYPE_MASK) != GH_RM_TYPE_REPLY ||
		    get16(in + 2) != le16_to_cpu(head.seq))
			continue;
		if (reply)
			*reply = in + 12;
		return get32(in + 8);
	}
	return RM_SILENT;
}

u32 guest_accept(struct vm *vm, const struct guest_accept *what, const u8 **reply)
{
	struct {
		struct gh_rm_mem_accept head;
		struct gh_rm_list acl, sgl_head;
		struct gh_rm_sgl sgl[3];
	} __packed m = {
		.head = { .handle = what->handle,
			  .trans_type = GH_RM_MEM_TRANS_SHARE,
			  .flags = what->flags,
			  .label = what->label },
		.sgl_head = { what->sgls, what->map_vmid },
		.sgl = { what->sgl[0], what->sgl[1], what->sgl[2] },
	};
	size_t size = offsetof(typeof(m), sgl) + what->sgls * sizeof(m.sgl[0]);
	u8 message[sizeof(m) + sizeof(struct gh_rm_list)] = { 0 };

	/* The list of attributes is empty. */
	memcpy(message, &m, size);
	return guest_rm(vm, GH_RM_MEM_ACCEPT, message, size + sizeof(struct gh_rm_list), reply);
}

u32 guest_release(struct vm *vm, u32 handle, u8 flags)
{
	struct gh_rm_mem_handle m = { .handle = cpu_to_le32(handle), .flags = flags };

	return guest_rm(vm, GH_RM_MEM_RELEASE, &m, sizeof(m), NULL);
}

const u8 *guest_told(struct vm *vm, u32 id)
{
	const u8 *in;

	while ((in = receive(vm)))
		if (get32(in + 4) == id)
			return in + 8;
	return NULL;
}
