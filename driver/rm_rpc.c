// SPDX-License-Identifier: GPL-2.0-only
/*
 * The requests to the resource manager, one function each: arguments in, wire format out, replies
 * checked.
 *
 * No locks of its own; gh_rm_call serialises.
 */
#include "compat.h"
#include "rm.h"
#include "trace.h"

static int gh_rm_plain(struct gh_rm *rm, u32 id, const void *data, size_t size)
{
	struct gh_rm_request request = { .id = id, .data = data, .size = size };

	return gh_rm_call(rm, &request, NULL, NULL);
}

/* A request whose reply is one word. */
static int gh_rm_word(struct gh_rm *rm, struct gh_rm_request *request, u32 *word)
{
	void *reply __free(kfree) = NULL;
	size_t size;
	int ret;

	ret = gh_rm_call(rm, request, &reply, &size);
	return ret ?: gh_rm_decode_word(reply, size, word);
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

int gh_rm_vm_deallocate(struct gh_rm *rm, u16 vmid)
{
	struct gh_rm_vmid message = { .vmid = cpu_to_le16(vmid) };
	struct gh_rm_request request = {
		.id = GH_RM_VM_DEALLOCATE,
		.data = &message,
		.size = sizeof(message),
	};
	int ret = gh_rm_call(rm, &request, NULL, NULL);

	return ret && request.error == GH_RM_ERROR_VMID_INVALID ? -ENOENT : ret;
}

int gh_rm_vm_get_state(struct gh_rm *rm, u16 vmid, u32 *state)
{
	struct gh_rm_vmid message = { .vmid = cpu_to_le16(vmid) };
	struct gh_rm_request request = {
		.id = GH_RM_VM_GET_STATE,
		.data = &message,
		.size = sizeof(message),
	};
	u32 word;
	int ret = gh_rm_word(rm, &request, &word);

	if (!ret)
		*state = word & 0xff;
	return ret;
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

int gh_rm_vm_configure(struct gh_rm *rm, u16 vmid, u16 auth, const struct gh_rm_slice *dtb)
{
	struct gh_rm_vm_config_image message = {
		.vmid = cpu_to_le16(vmid),
		.auth = cpu_to_le16(auth),
		.mem_handle = cpu_to_le32(dtb->handle),
		.dtb_offset = cpu_to_le64(dtb->offset),
		.dtb_size = cpu_to_le64(dtb->size),
	};

	return gh_rm_plain(rm, GH_RM_VM_CONFIG_IMAGE, &message, sizeof(message));
}

int gh_rm_vm_set_firmware(struct gh_rm *rm, u16 vmid, const struct gh_rm_slice *firmware)
{
	struct gh_rm_vm_set_firmware_mem message = {
		.vmid = cpu_to_le16(vmid),
		.mem_handle = cpu_to_le32(firmware->handle),
		.offset = cpu_to_le64(firmware->offset),
		.size = cpu_to_le64(firmware->size),
	};

	return gh_rm_plain(rm, GH_RM_VM_SET_FIRMWARE_MEM, &message, sizeof(message));
}

int gh_rm_vm_set_context(struct gh_rm *rm, u16 vmid, u32 reg, u64 value)
{
	struct gh_rm_vm_set_context message = {
		.vmid = cpu_to_le16(vmid),
		.set = reg >> 8,
		.index = reg & 0xff,
		.value = cpu_to_le64(value),
	};

	return gh_rm_plain(rm, GH_RM_VM_SET_CONTEXT, &message, sizeof(message));
}

int gh_rm_provides(struct gh_rm *rm, enum gh_rm_optional what)
{
	static const u32 ids[] = {
		[GH_RM_HAS_CONTEXT] = GH_RM_VM_SET_CONTEXT,
		[GH_RM_HAS_FIRMWARE] = GH_RM_VM_SET_FIRMWARE_MEM,
	};
	struct gh_rm_request request = { .id = ids[what] };
	int known = READ_ONCE(rm->provides[what]);

	/* Asked twice by two VMs at once, the answer is the same. */
	if (!known) {
		known = gh_rm_call(rm, &request, NULL, NULL);
		if (request.outcome == GH_RM_UNKNOWN || known == -ENOMEM)
			return known;
		known = known == -EOPNOTSUPP ? known : 1;
		WRITE_ONCE(rm->provides[what], known);
	}
	return min(known, 0);
}

int gh_rm_vm_get_resources(struct gh_rm *rm, u16 vmid, void **reply,
			   struct gh_rm_resources *resources)
{
	struct gh_rm_vmid message = { .vmid = cpu_to_le16(vmid) };
	struct gh_rm_request request = {
		.id = GH_RM_VM_GET_HYP_RESOURCES,
		.data = &message,
		.size = sizeof(message),
	};
	size_t size;
	int ret;

	ret = gh_rm_call(rm, &request, reply, &size);
	return ret ?: gh_rm_decode_resources(*reply, size, &resources->records, &resources->count);
}

static int gh_rm_mem_append(struct gh_rm *rm, u16 vmid, const struct gh_parcel *parcel,
			    void *buffer)
{
	size_t next = gh_rm_given_first(parcel), size;
	int ret = 0;

	while (next < parcel->range_count && !ret) {
		size = gh_rm_encode_append(parcel, next, &next, buffer);
		ret = gh_rm_plain(rm, GH_RM_MEM_APPEND, buffer, size);
		trace_gunyah_mem(vmid, parcel, "append", ret);
	}
	return ret;
}

/* Without an answer nobody knows whose the memory is, until the answer comes. */
static void gh_parcel_lose(struct gh_parcel *parcel, const struct gh_rm_request *request)
{
	parcel->lost = request->outcome != GH_RM_REFUSED;
	parcel->doubtful = true;
	parcel->lost_seq = request->seq;
}

int gh_rm_mem_give(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel)
{
	void *buffer __free(kfree) = kmalloc(GH_RM_MEM_SIZE, GFP_KERNEL);
	struct gh_rm_request request = {
		.id = parcel->lend ? GH_RM_MEM_LEND : GH_RM_MEM_SHARE,
		.data = buffer,
		.vmid = vmid,
	};
	u16 host = 0;
	int ret = 0;

	if (!buffer)
		return -ENOMEM;
	if (!parcel->lend)
		ret = gh_rm_get_host_vmid(rm, &host);
	if (ret)
		return ret;
	request.size = gh_rm_encode_give(parcel, vmid, host, buffer);
	ret = gh_rm_word(rm, &request, &parcel->handle);
	trace_gunyah_mem(vmid, parcel, parcel->lend ? "lend" : "share", ret);
	if (ret)
		gh_parcel_lose(parcel, &request);
	return ret ?: gh_rm_mem_append(rm, vmid, parcel, buffer);
}

int gh_rm_mem_settle(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel)
{
	void *buffer __free(kfree) = kmalloc(GH_RM_MEM_SIZE, GFP_KERNEL);
	struct gh_rm_request request = { .id = GH_RM_MEM_QCOM_LOOKUP_SGL, .data = buffer };
	u32 handle = GH_PARCEL_NONE;
	u16 host = 0;
	int ret = 0;

	if (!buffer)
		return -ENOMEM;
	/* One message holds no more, and what is not complete is not found. */
	if (parcel->range_count > GH_RM_LIST_MAX)
		return parcel->lost ? -ETIMEDOUT : 0;
	if (!parcel->lend)
		ret = gh_rm_get_host_vmid(rm, &host);
	if (ret)
		return ret;
	request.size = gh_rm_encode_lookup(parcel, vmid, host, buffer);
	ret = gh_rm_word(rm, &request, &handle);
	trace_gunyah_mem(vmid, parcel, "lookup", ret);
	if (request.outcome == GH_RM_UNKNOWN)
		return ret;
	/* Found, or known not to be there; other refusals tell nothing. */
	if (!ret)
		parcel->handle = handle;
	else if (request.error == GH_RM_ERROR_LOOKUP_FAILED)
		parcel->handle = GH_PARCEL_NONE;
	else if (parcel->lost)
		return ret;
	parcel->lost = false;
	parcel->doubtful = false;
	return 0;
}

int gh_rm_mem_reclaim(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel)
{
	/* What a guest did in memory that was its own is not for the host to read. */
	struct gh_rm_mem_handle message = {
		.handle = cpu_to_le32(parcel->handle),
		.flags = parcel->lend ? GH_RM_MEM_SANITISE : 0,
	};
	struct gh_rm_request request = {
		.id = GH_RM_MEM_RECLAIM,
		.data = &message,
		.size = sizeof(message),
		.vmid = vmid,
	};
	int ret = gh_rm_call(rm, &request, NULL, NULL);

	trace_gunyah_mem(vmid, parcel, "reclaim", ret);
	if (!ret)
		parcel->handle = GH_PARCEL_NONE;
	else
		gh_parcel_lose(parcel, &request);
	return ret;
}
