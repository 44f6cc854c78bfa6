// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wire format of the resource manager, both ways.
 *
 * Nothing that comes in is believed: sizes of messages bound counts inside them, never the other
 * way round.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "rm_codec.h"

static_assert(GH_RM_MEM_SIZE <= GH_RM_REQUEST_MAX);

/* --- Packets --- */

bool gh_rm_assemble(struct gh_rm_assembly *rx, const void *packet, size_t size)
{
	const u8 *payload = packet;
	struct gh_rm_header header;
	u8 type, fragments;

	if (size < sizeof(header))
		return false;
	memcpy(&header, packet, sizeof(header));
	payload += sizeof(header);
	size -= sizeof(header);
	type = header.type & GH_RM_TYPE_MASK;
	fragments = header.type >> GH_RM_FRAGMENTS_SHIFT;
	if (header.api != GH_RM_API || fragments > GH_RM_FRAGMENTS_MAX || size > GH_RM_PAYLOAD)
		return false;

	if (type == GH_RM_TYPE_CONTINUATION) {
		if (!rx->active || le32_to_cpu(header.id) != rx->id ||
		    le16_to_cpu(header.seq) != rx->seq || fragments != rx->fragments)
			return false;
		rx->got++;
	} else {
		rx->active = true;
		rx->type = type;
		rx->fragments = fragments;
		rx->got = 0;
		rx->seq = le16_to_cpu(header.seq);
		rx->id = le32_to_cpu(header.id);
		rx->size = 0;
	}
	/* At most fragments + 1 packets come here, each checked above: the buffer holds them. */
	memcpy(rx->data + rx->size, payload, size);
	rx->size += size;
	rx->active = rx->got != rx->fragments;
	return !rx->active;
}

unsigned int gh_rm_packet_count(size_t size)
{
	return size ? (unsigned int)((size - 1) / GH_RM_PAYLOAD) + 1 : 1;
}

size_t gh_rm_packet(const struct gh_rm_frame *frame, unsigned int index, void *packet)
{
	unsigned int more = gh_rm_packet_count(frame->size) - 1;
	size_t done = (size_t)index * GH_RM_PAYLOAD;
	size_t part = min_t(size_t, frame->size - done, GH_RM_PAYLOAD);
	struct gh_rm_header header = {
		.api = GH_RM_API,
		.type = (u8)((index ? GH_RM_TYPE_CONTINUATION : GH_RM_TYPE_REQUEST) |
			     more << GH_RM_FRAGMENTS_SHIFT),
		.seq = cpu_to_le16(frame->seq),
		.id = cpu_to_le32(frame->id),
	};

	memcpy(packet, &header, sizeof(header));
	if (part)
		memcpy((u8 *)packet + sizeof(header), (const u8 *)frame->payload + done, part);
	return sizeof(header) + part;
}

/* --- Replies and notifications --- */

int gh_rm_error_to_errno(u32 error)
{
	switch ((s32)error) {
	case GH_RM_OK:
		return 0;
	case GH_RM_ERROR_UNIMPLEMENTED:
		return -EOPNOTSUPP;
	case GH_RM_ERROR_NOMEM:
		return -ENOMEM;
	case GH_RM_ERROR_NORESOURCE:
		return -ENODEV;
	case GH_RM_ERROR_DENIED:
		return -EPERM;
	case GH_RM_ERROR_BUSY:
		return -EBUSY;
	case GH_RM_ERROR_INVALID:
	case GH_RM_ERROR_ARGUMENT_INVALID:
	case GH_RM_ERROR_HANDLE_INVALID:
	case GH_RM_ERROR_VALIDATE_FAILED:
	case GH_RM_ERROR_MAP_FAILED:
	case GH_RM_ERROR_MEM_INVALID:
	case GH_RM_ERROR_MEM_INUSE:
	case GH_RM_ERROR_MEM_RELEASED:
	case GH_RM_ERROR_VMID_INVALID:
	case GH_RM_ERROR_LOOKUP_FAILED:
	case GH_RM_ERROR_IRQ_INVALID:
	case GH_RM_ERROR_IRQ_INUSE:
	case GH_RM_ERROR_IRQ_RELEASED:
		return -EINVAL;
	default:
		return -EBADMSG;
	}
}

int gh_rm_decode_word(const void *payload, size_t size, u32 *word)
{
	__le32 value;

	if (size != sizeof(value))
		return -EBADMSG;
	memcpy(&value, payload, sizeof(value));
	*word = le32_to_cpu(value);
	return 0;
}

int gh_rm_decode_resources(const void *payload, size_t size,
			   const struct gh_rm_hyp_resource **records, u32 *count)
{
	size_t bytes = size - sizeof(__le32);
	__le32 announced;

	if (size < sizeof(announced))
		return -EBADMSG;
	memcpy(&announced, payload, sizeof(announced));
	if (bytes % sizeof(**records) || le32_to_cpu(announced) != bytes / sizeof(**records))
		return -EBADMSG;
	*count = le32_to_cpu(announced);
	*records = (const void *)((const u8 *)payload + sizeof(announced));
	return 0;
}

static bool gh_rm_decode_exited(const u8 *payload, size_t size, struct gh_rm_event *event)
{
	struct gh_vm_exit_info *info = &event->exit_info;
	struct gh_rm_vm_exited message;
	size_t reason;

	if (size < sizeof(message))
		return false;
	memcpy(&message, payload, sizeof(message));
	event->vmid = le16_to_cpu(message.vmid);
	event->exited = true;
	info->type = le16_to_cpu(message.exit_type);
	info->reason_size = le32_to_cpu(message.reason_size);
	reason = min_t(size_t, info->reason_size, size - sizeof(message));
	memcpy(info->reason, payload + sizeof(message),
	       min_t(size_t, reason, GH_VM_MAX_EXIT_REASON_SIZE));
	return true;
}

bool gh_rm_decode_event(u32 id, const void *payload, size_t size, struct gh_rm_event *event)
{
	struct gh_rm_vm_status status;

	memset(event, 0, sizeof(*event));
	if (id == GH_RM_NOTIFY_VM_EXITED)
		return gh_rm_decode_exited(payload, size, event);
	if (id != GH_RM_NOTIFY_VM_STATUS || size < sizeof(status))
		return false;
	memcpy(&status, payload, sizeof(status));
	event->vmid = le16_to_cpu(status.vmid);
	event->state = status.vm_state;
	return true;
}

/* --- Memory --- */

/* Appends to a message under construction; the callers' contract makes its buffer large enough. */
static u8 *gh_rm_put(u8 *at, const void *data, size_t size)
{
	memcpy(at, data, size);
	return at + size;
}

static u8 *gh_rm_put_ranges(u8 *at, const struct gh_mem_range *ranges, size_t count)
{
	struct gh_rm_list list = { .count = cpu_to_le16((u16)count) };
	size_t i;

	at = gh_rm_put(at, &list, sizeof(list));
	for (i = 0; i < count; i++) {
		struct gh_rm_sgl entry = {
			.ipa = cpu_to_le64(ranges[i].addr),
			.size = cpu_to_le64(ranges[i].size),
		};

		at = gh_rm_put(at, &entry, sizeof(entry));
	}
	return at;
}

/* The guest first; with SHARE the host keeps everything. */
static u8 *gh_rm_put_acl(u8 *at, const struct gh_parcel *parcel, u16 guest, u16 host)
{
	struct gh_rm_acl acl[2] = {
		{ .vmid = cpu_to_le16(guest), .rights = parcel->guest_rights },
		{ .vmid = cpu_to_le16(host), .rights = GH_RM_ACL_R | GH_RM_ACL_W | GH_RM_ACL_X },
	};
	u16 count = parcel->lend ? 1 : 2;
	struct gh_rm_list list = { .count = cpu_to_le16(count) };

	at = gh_rm_put(at, &list, sizeof(list));
	return gh_rm_put(at, acl, count * sizeof(acl[0]));
}

size_t gh_rm_given_first(const struct gh_parcel *parcel)
{
	return min_t(size_t, parcel->range_count, GH_RM_LIST_MAX);
}

size_t gh_rm_encode_give(const struct gh_parcel *parcel, u16 guest, u16 host, void *buffer)
{
	size_t first = gh_rm_given_first(parcel);
	struct gh_rm_mem_share message = {
		.mem_type = GH_RM_MEM_NORMAL,
		.flags = first < parcel->range_count ? GH_RM_MEM_SHARE_APPEND : 0,
		.label = cpu_to_le32(parcel->label),
	};
	struct gh_rm_list attributes = {};
	u8 *at = buffer;

	at = gh_rm_put(at, &message, sizeof(message));
	at = gh_rm_put_acl(at, parcel, guest, host);
	at = gh_rm_put_ranges(at, parcel->ranges, first);
	at = gh_rm_put(at, &attributes, sizeof(attributes));
	return (size_t)(at - (u8 *)buffer);
}

size_t gh_rm_encode_lookup(const struct gh_parcel *parcel, u16 guest, u16 host, void *buffer)
{
	struct gh_rm_mem_lookup message = {
		.mem_type = GH_RM_MEM_NORMAL,
		.label = cpu_to_le32(parcel->label),
	};
	struct gh_rm_list attributes = {};
	u8 *at = buffer;

	at = gh_rm_put(at, &message, sizeof(message));
	at = gh_rm_put_acl(at, parcel, guest, host);
	at = gh_rm_put_ranges(at, parcel->ranges, gh_rm_given_first(parcel));
	at = gh_rm_put(at, &attributes, sizeof(attributes));
	return (size_t)(at - (u8 *)buffer);
}

size_t gh_rm_encode_append(const struct gh_parcel *parcel, size_t first, size_t *next, void *buffer)
{
	size_t count = min_t(size_t, parcel->range_count - first, GH_RM_LIST_MAX);
	struct gh_rm_mem_append message = {
		.handle = cpu_to_le32(parcel->handle),
		.flags = first + count == parcel->range_count ? GH_RM_MEM_APPEND_DONE : 0,
	};
	u8 *at = buffer;

	at = gh_rm_put(at, &message, sizeof(message));
	at = gh_rm_put_ranges(at, parcel->ranges + first, count);
	*next = first + count;
	return (size_t)(at - (u8 *)buffer);
}
