// SPDX-License-Identifier: GPL-2.0-only
/*
 * The requests to the resource manager, one function each: arguments in, wire format out, replies
 * checked.
 *
 * No locks of its own; gh_rm_call serialises.
 */
#include <linux/mm.h>

#include "compat.h"
#include "rm.h"

static int gh_rm_plain(struct gh_rm *rm, u32 id, const void *data, size_t size)
{
	struct gh_rm_request request = { .id = id, .data = data, .size = size };

	return gh_rm_call(rm, &request, NULL, NULL);
}

/* A request whose reply is one word. */
static int gh_rm_word(struct gh_rm *rm, struct gh_rm_request *request, u32 *word)
{
	void *reply __free(kfree) = NULL;
	__le32 value;
	size_t size;
	int ret;

	ret = gh_rm_call(rm, request, &reply, &size);
	if (ret)
		return ret;
	if (size != sizeof(value))
		return -EBADMSG;
	memcpy(&value, reply, sizeof(value));
	*word = le32_to_cpu(value);
	return 0;
}

int gh_rm_get_host_vmid(struct gh_rm *rm, u16 *vmid)
{
	struct gh_rm_request request = { .id = GH_RM_VM_GET_VMID };
	u16 known = READ_ONCE(rm->host_vmid);
	u32 word;
	int ret;

	/* Asked twice by two VMs that start at once, the answer is the same. */
	if (!known) {
		ret = gh_rm_word(rm, &request, &word);
		if (ret)
			return ret;
		known = (u16)word;
		WRITE_ONCE(rm->host_vmid, known);
	}
	*vmid = known;
	return 0;
}

int gh_rm_vm_allocate(struct gh_rm *rm, u16 *vmid)
{
	struct gh_rm_vmid any = {};
	struct gh_rm_request request = { .id = GH_RM_VM_ALLOCATE,
					 .data = &any,
					 .size = sizeof(any) };
	u32 word;
	int ret = gh_rm_word(rm, &request, &word);

	if (ret)
		return ret;
	if (!word || word > U16_MAX)
		return -EBADMSG;
	*vmid = (u16)word;
	return 0;
}

int gh_rm_vm_request(struct gh_rm *rm, u32 id, u16 vmid)
{
	struct gh_rm_vmid message = { .vmid = cpu_to_le16(vmid) };

	return gh_rm_plain(rm, id, &message, sizeof(message));
}

int gh_rm_vm_stop(struct gh_rm *rm, u16 vmid)
{
	struct gh_rm_vm_stop message = {
		.vmid = cpu_to_le16(vmid),
		.flags = GH_RM_VM_STOP_FORCE,
		.reason = cpu_to_le32(GH_RM_VM_STOP_REASON),
	};

	return gh_rm_plain(rm, GH_RM_VM_STOP, &message, sizeof(message));
}

int gh_rm_vm_configure(struct gh_rm *rm, u16 vmid, u32 handle, u64 dtb_offset, u64 dtb_size)
{
	struct gh_rm_vm_config_image message = {
		.vmid = cpu_to_le16(vmid),
		.auth = cpu_to_le16(GH_RM_AUTH_NONE),
		.mem_handle = cpu_to_le32(handle),
		.dtb_offset = cpu_to_le64(dtb_offset),
		.dtb_size = cpu_to_le64(dtb_size),
	};

	return gh_rm_plain(rm, GH_RM_VM_CONFIG_IMAGE, &message, sizeof(message));
}

int gh_rm_vm_get_resources(struct gh_rm *rm, u16 vmid, struct gh_rm_hyp_resources **resources)
{
	struct gh_rm_vmid message = { .vmid = cpu_to_le16(vmid) };
	struct gh_rm_request request = {
		.id = GH_RM_VM_GET_HYP_RESOURCES,
		.data = &message,
		.size = sizeof(message),
	};
	void *reply __free(kfree) = NULL;
	struct gh_rm_hyp_resources *all;
	__le32 count;
	size_t size;
	int ret;

	ret = gh_rm_call(rm, &request, &reply, &size);
	if (ret)
		return ret;
	if (size < sizeof(count))
		return -EBADMSG;
	memcpy(&count, reply, sizeof(count));
	/* The size of the message bounds the count, never the other way round. */
	if ((size - sizeof(count)) % sizeof(all->records[0]) ||
	    le32_to_cpu(count) != (size - sizeof(count)) / sizeof(all->records[0]))
		return -EBADMSG;
	all = reply;
	all->count = le32_to_cpu(count);
	*resources = no_free_ptr(reply);
	return 0;
}

/*
 * Appends to a message under construction. The buffers below are made large enough by their only
 * callers.
 */
static void *gh_rm_put(void *at, const void *data, size_t size)
{
	memcpy(at, data, size);
	return at + size;
}

static void *gh_rm_put_ranges(void *at, const struct gh_mem_range *ranges, size_t count)
{
	struct gh_rm_list list = { .count = cpu_to_le16(count) };
	size_t i;

	at = gh_rm_put(at, &list, sizeof(list));
	for (i = 0; i < count; i++) {
		struct gh_rm_sgl entry = {
			.ipa = cpu_to_le64(PFN_PHYS(ranges[i].pfn)),
			.size = cpu_to_le64(ranges[i].pages << PAGE_SHIFT),
		};

		at = gh_rm_put(at, &entry, sizeof(entry));
	}
	return at;
}

#define GH_RM_RANGES_SIZE (sizeof(struct gh_rm_list) + GH_RM_LIST_MAX * sizeof(struct gh_rm_sgl))

/* The guest first; with SHARE the host keeps everything. */
static void *gh_rm_put_acl(void *at, u16 guest, const struct gh_parcel *parcel, u16 host)
{
	struct gh_rm_acl acl[2] = {
		{ .vmid = cpu_to_le16(guest), .rights = parcel->guest_rights },
		{ .vmid = cpu_to_le16(host), .rights = GH_RM_ACL_R | GH_RM_ACL_W | GH_RM_ACL_X },
	};
	unsigned int count = parcel->lend ? 1 : 2;
	struct gh_rm_list list = { .count = cpu_to_le16(count) };

	at = gh_rm_put(at, &list, sizeof(list));
	return gh_rm_put(at, acl, count * sizeof(acl[0]));
}

static int gh_rm_mem_append(struct gh_rm *rm, const struct gh_parcel *parcel, void *buffer)
{
	size_t done = GH_RM_LIST_MAX;
	int ret;

	while (done < parcel->range_count) {
		size_t count = min_t(size_t, parcel->range_count - done, GH_RM_LIST_MAX);
		bool last = done + count == parcel->range_count;
		struct gh_rm_mem_append message = {
			.handle = cpu_to_le32(parcel->handle),
			.flags = last ? GH_RM_MEM_APPEND_DONE : 0,
		};
		void *end = gh_rm_put(buffer, &message, sizeof(message));

		end = gh_rm_put_ranges(end, parcel->ranges + done, count);
		ret = gh_rm_plain(rm, GH_RM_MEM_APPEND, buffer, end - buffer);
		if (ret)
			return ret;
		done += count;
	}
	return 0;
}

/* Without an answer nobody knows whose the memory is, until the answer comes. */
static void gh_parcel_lose(struct gh_parcel *parcel, const struct gh_rm_request *request)
{
	parcel->lost = request->outcome != GH_RM_REFUSED;
	parcel->lost_seq = request->seq;
}

int gh_rm_mem_give(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel)
{
	struct gh_rm_mem_share message = { .mem_type = GH_RM_MEM_NORMAL,
					   .label = cpu_to_le32(parcel->label) };
	struct gh_rm_request request = {
		.id = parcel->lend ? GH_RM_MEM_LEND : GH_RM_MEM_SHARE,
		.vmid = vmid,
	};
	size_t first = min_t(size_t, parcel->range_count, GH_RM_LIST_MAX);
	struct gh_rm_list attributes = {};
	void *buffer __free(kfree) = NULL;
	u16 host = 0;
	void *end;
	int ret;

	if (!parcel->lend) {
		ret = gh_rm_get_host_vmid(rm, &host);
		if (ret)
			return ret;
	}
	buffer =
		kmalloc(sizeof(message) + sizeof(struct gh_rm_list) + 2 * sizeof(struct gh_rm_acl) +
				GH_RM_RANGES_SIZE + sizeof(attributes),
			GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	if (first < parcel->range_count)
		message.flags = GH_RM_MEM_SHARE_APPEND;
	end = gh_rm_put(buffer, &message, sizeof(message));
	end = gh_rm_put_acl(end, vmid, parcel, host);
	end = gh_rm_put_ranges(end, parcel->ranges, first);
	end = gh_rm_put(end, &attributes, sizeof(attributes));

	request.data = buffer;
	request.size = end - buffer;
	ret = gh_rm_word(rm, &request, &parcel->handle);
	if (ret)
		gh_parcel_lose(parcel, &request);
	return ret ?: gh_rm_mem_append(rm, parcel, buffer);
}

int gh_rm_mem_reclaim(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel)
{
	struct gh_rm_mem_handle message = { .handle = cpu_to_le32(parcel->handle) };
	struct gh_rm_request request = {
		.id = GH_RM_MEM_RECLAIM,
		.data = &message,
		.size = sizeof(message),
		.vmid = vmid,
	};
	int ret = gh_rm_call(rm, &request, NULL, NULL);

	if (!ret)
		parcel->handle = GH_PARCEL_NONE;
	else
		gh_parcel_lose(parcel, &request);
	return ret;
}
