// SPDX-License-Identifier: GPL-2.0-only
/* Messages of the storm that are not about memory: known ids with anything behind them, and packets that are none. */
#include <linux/delay.h>

#include "storm_host.h"

static const u32 ids[] = {
	GH_RM_VM_ALLOCATE,
	GH_RM_VM_DEALLOCATE,
	GH_RM_VM_CONFIG_IMAGE,
	GH_RM_VM_AUTH_IMAGE,
	GH_RM_VM_INIT,
	GH_RM_VM_START,
	GH_RM_VM_RESET,
	GH_RM_VM_GET_STATE,
	GH_RM_VM_GET_HYP_RESOURCES,
	GH_RM_VM_GET_CRASH_MSG,
	GH_RM_VM_SET_CRASH_MSG,
	GH_RM_VM_SET_CONTEXT,
	GH_RM_VM_SET_TIME_BASE,
	GH_RM_VM_SET_FIRMWARE_MEM,
	GH_RM_VM_GET_ID,
	GH_RM_VM_LOOKUP_URI,
	GH_RM_VM_LOOKUP_GUID,
	GH_RM_VM_LOOKUP_NAME,
	GH_RM_VM_GET_OWNER,
	GH_RM_VM_GET_PEERS,
	GH_RM_VM_HOST_GET_TYPE,
	GH_RM_VM_IRQ_ACCEPT,
	GH_RM_VM_IRQ_LEND,
	GH_RM_VM_IRQ_RELEASE,
	GH_RM_VM_IRQ_RECLAIM,
	GH_RM_VM_IRQ_NOTIFY,
	GH_RM_VM_SET_STATUS,
	GH_RM_VM_CONSOLE_OPEN,
	GH_RM_VM_CONSOLE_CLOSE,
	GH_RM_VM_CONSOLE_WRITE,
	GH_RM_VM_CONSOLE_FLUSH,
	GH_RM_IPA_RESERVE,
	GH_RM_FW_MILESTONE,
	GH_RM_FW_SET_VM_FIRMWARE,
	GH_RM_VM_GET_VMID,
	0x56000021,
	0x560000ff,
};

static u16 any_vmid(u64 *random)
{
	switch (storm_below(random, 6)) {
	case 0:
		return storm_below(random, 33);
	case 1:
		return 0x80 + storm_below(random, 0x80);
	case 2:
		return storm_random(random);
	default:
		return storm.hostile.vmid;
	}
}

/* Sizes that some of them have, and others. */
static size_t any_size(u64 *random)
{
	static const u8 sizes[] = { 0, 4, 4, 4, 8, 8, 12, 16, 20, 24, 40 };

	return storm_rarely(random, 4) ? storm_below(random, 500)
				       : sizes[storm_below(random, ARRAY_SIZE(sizes))];
}

static void request_of(u64 *random)
{
	u32 id = ids[storm_below(random, ARRAY_SIZE(ids))];
	struct gh_rm_vmid any = { 0 };
	const struct reply *r;
	u8 data[500];
	size_t i;
	u16 vmid = any_vmid(random);

	if (id == GH_RM_VM_ALLOCATE) {
		any.vmid = cpu_to_le16(storm_below(random, 33));
		if (!rm_call(id, &any, sizeof(any), &r) && !any.vmid && r->size >= 2)
			any.vmid = cpu_to_le16(get16(r->data));
		rm_vm_call(GH_RM_VM_DEALLOCATE, le16_to_cpu(any.vmid));
		return;
	}
	/* The victim is to live: only its own storm may end it. */
	if (vmid == storm.victim.vmid)
		return;
	for (i = 0; i < sizeof(data); i++)
		data[i] = storm_rarely(random, 2) ? 0 : storm_below(random, 256);
	data[0] = vmid;
	data[1] = vmid >> 8;
	if (storm_rarely(random, 2))
		data[2] = data[3] = 0;
	rm_call(id, data, any_size(random), NULL);
}

/* What the victim's own number may be asked. */
static void ask_victim(u64 *random)
{
	static const u32 harmless[] = { GH_RM_VM_START,	    GH_RM_VM_INIT,   GH_RM_VM_RESET,
					GH_RM_VM_GET_STATE, GH_RM_VM_GET_ID, GH_RM_VM_DEALLOCATE };

	rm_vm_call(harmless[storm_below(random, ARRAY_SIZE(harmless))], storm.victim.vmid);
}

/* Bytes that are no request: truncated, of another version, continuations of nothing, requests that never end. */
static void no_request(u64 *random)
{
	u8 bytes[GH_RM_MSG_SIZE];
	size_t size = storm_rarely(random, 3) ? storm_below(random, 9)
					      : storm_below(random, sizeof(bytes) + 1);
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = storm_random(random);
	switch (storm_below(random, 4)) {
	case 0:
		bytes[0] = GH_RM_API;
		bytes[1] = 1 + storm_below(random, 63) * 4;
		break;
	case 1:
		bytes[0] = GH_RM_API;
		bytes[1] &= ~1;
		break;
	default:
		break;
	}
	if (size >= 2 && bytes[0] == GH_RM_API && bytes[1] == GH_RM_TYPE_REQUEST)
		return;
	packet_send(bytes, size);
}

void storm_message_turn(u64 *random)
{
	switch (storm_below(random, 8)) {
	case 0:
		no_request(random);
		break;
	case 1:
		ask_victim(random);
		break;
	default:
		request_of(random);
	}
	atomic64_inc(&storm.messages);
}
