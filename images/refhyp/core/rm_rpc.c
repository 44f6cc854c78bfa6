/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Framing of the resource manager's messages (section 4.1) and what waits while the client's queue
 * is full.
 */
#include <string.h>

#include "core/rm_rpc.h"

/* A request of which not all fragments are here yet. */
static struct {
	bool open;
	struct gh_rm_header header;
	unsigned int left; /* continuations to come */
	size_t size;
	uint8_t data[RM_REQUEST_MAX];
} in;

struct notification {
	uint64_t order;
	uint32_t id;
	uint32_t size;
	uint8_t payload[RM_NOTIFY_MAX];
};

/* What waits to be sent. Everything leaves in the order in which it came. */
static struct {
	uint64_t order;
	uint16_t seq;	       /* of notifications */
	uint32_t first, count; /* ring of notifications */
	struct notification ring[RM_PENDING_MAX];
	bool reply;
	uint64_t reply_order;
	struct gh_rm_header reply_header;
	size_t reply_size, reply_sent;
	uint8_t reply_data[sizeof(uint32_t) + RM_REPLY_MAX];
} out;

void rm_rpc_reset(void)
{
	memset(&in, 0, sizeof(in));
	memset(&out, 0, sizeof(out));
}

/* --- In --- */

static unsigned int header_type(const struct gh_rm_header *h)
{
	return h->type & GH_RM_TYPE_MASK;
}

static unsigned int header_fragments(const struct gh_rm_header *h)
{
	return h->type >> GH_RM_FRAGMENTS_SHIFT;
}

static bool continues(const struct gh_rm_header *h)
{
	return in.open && h->id == in.header.id && h->seq == in.header.seq &&
	       header_fragments(h) == header_fragments(&in.header);
}

bool rm_rpc_feed(const void *msg, size_t size, struct rm_request *request)
{
	struct gh_rm_header h;

	if (size < sizeof(h) || size > GH_RM_MSG_SIZE)
		return false;
	memcpy(&h, msg, sizeof(h));
	if (h.api != GH_RM_API || header_fragments(&h) > GH_RM_FRAGMENTS_MAX)
		return false;

	if (header_type(&h) == GH_RM_TYPE_CONTINUATION) {
		if (!continues(&h))
			return false;
		in.left--;
	} else {
		in.open = header_type(&h) == GH_RM_TYPE_REQUEST;
		in.header = h;
		in.left = header_fragments(&h);
		in.size = 0;
		if (!in.open)
			return false;
	}
	memcpy(in.data + in.size, (const uint8_t *)msg + sizeof(h), size - sizeof(h));
	in.size += size - sizeof(h);
	if (in.left)
		return false;

	in.open = false;
	*request = (struct rm_request){
		.id = in.header.id,
		.seq = in.header.seq,
		.data = in.data,
		.size = in.size,
	};
	return true;
}

/* --- Out --- */

static bool send(struct gh_rm_header h, const void *payload, size_t size)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), payload, size);
	return hyp_rm_send(msg, sizeof(h) + size);
}

static bool send_notification(void)
{
	const struct notification *n = &out.ring[out.first];
	struct gh_rm_header h = {
		.api = GH_RM_API,
		.type = GH_RM_TYPE_NOTIFICATION,
		.seq = out.seq,
		.id = n->id,
	};

	if (!send(h, n->payload, n->size))
		return false;
	out.seq++;
	out.first = (out.first + 1) % RM_PENDING_MAX;
	out.count--;
	return true;
}

static bool send_reply(void)
{
	size_t fragments = (out.reply_size + GH_RM_PAYLOAD - 1) / GH_RM_PAYLOAD - 1;
	struct gh_rm_header h = out.reply_header;

	h.type = (uint8_t)(fragments << GH_RM_FRAGMENTS_SHIFT);
	if (!out.reply_sent)
		h.type |= GH_RM_TYPE_REPLY;
	while (out.reply_sent < out.reply_size) {
		size_t part = out.reply_size - out.reply_sent;

		if (part > GH_RM_PAYLOAD)
			part = GH_RM_PAYLOAD;
		if (!send(h, out.reply_data + out.reply_sent, part))
			return false;
		out.reply_sent += part;
		h.type = (uint8_t)(fragments << GH_RM_FRAGMENTS_SHIFT) | GH_RM_TYPE_CONTINUATION;
	}
	out.reply = false;
	return true;
}

/* Fragments of two messages must not mix, so a reply that has begun goes on first. */
static bool reply_is_next(void)
{
	return out.reply &&
	       (out.reply_sent || !out.count || out.reply_order < out.ring[out.first].order);
}

void rm_rpc_send(void)
{
	while (out.reply || out.count)
		if (!(reply_is_next() ? send_reply() : send_notification()))
			return;
}

void rm_rpc_reply(const struct rm_request *request, enum gh_rm_error error, const void *payload,
		  size_t size)
{
	uint32_t word = (uint32_t)error;

	out.reply = true;
	out.reply_order = out.order++;
	out.reply_sent = 0;
	out.reply_size = sizeof(word) + size;
	out.reply_header = (struct gh_rm_header){
		.api = GH_RM_API,
		.seq = request->seq,
		.id = request->id,
	};
	memcpy(out.reply_data, &word, sizeof(word));
	memcpy(out.reply_data + sizeof(word), payload, size);
	rm_rpc_send();
}

void rm_notify(uint32_t id, const void *payload, size_t size)
{
	struct notification *n;

	if (size > RM_NOTIFY_MAX)
		return;
	if (out.count == RM_PENDING_MAX) {
		out.first = (out.first + 1) % RM_PENDING_MAX;
		out.count--;
	}
	n = &out.ring[(out.first + out.count) % RM_PENDING_MAX];
	n->order = out.order++;
	n->id = id;
	n->size = (uint32_t)size;
	memcpy(n->payload, payload, size);
	out.count++;
	rm_rpc_send();
}
