/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Framing of the resource manager's messages (section 4.1) and what waits while a client's queue
 * is full.
 */
#include <string.h>

#include "core/inject.h"
#include "core/rm_rpc.h"

#define CLIENTS_MAX (HYP_VMS_MAX + 1u)

/* A request of which not all fragments are here yet. */
struct incoming {
	bool open;
	struct gh_rm_header header;
	unsigned int left; /* continuations to come */
	size_t size;
	uint8_t data[RM_REQUEST_MAX];
};

struct notification {
	uint64_t order;
	struct gh_rm_header header;
	uint32_t extra_parts;
	uint32_t size;
	uint8_t payload[RM_NOTIFY_MAX];
};

/* What waits to be sent. Everything leaves in the order in which it came. */
struct outgoing {
	uint64_t order;
	uint16_t seq;	       /* of notifications */
	uint32_t first, count; /* ring of notifications */
	struct notification ring[RM_PENDING_MAX];
	bool has_reply;
	uint64_t reply_order;
	size_t reply_sent;
	bool reply_begun;
	struct rm_outgoing reply;
};

struct client {
	uint16_t vmid;	/* 0: nobody */
	struct vm *hyp; /* NULL: the primary */
	struct incoming in;
	struct outgoing out;
};

static struct client clients[CLIENTS_MAX]; /* the first is the primary */

static struct client *find(uint16_t vmid)
{
	for (size_t i = 0; vmid && i < CLIENTS_MAX; i++)
		if (clients[i].vmid == vmid)
			return &clients[i];
	return NULL;
}

static void empty(struct client *c)
{
	c->in.open = false;
	c->out.first = c->out.count = 0;
	c->out.order = 0;
	c->out.seq = 0;
	c->out.has_reply = false;
}

void rm_rpc_reset(void)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		clients[i].vmid = 0;
		empty(&clients[i]);
	}
	clients[0].vmid = GH_VMID_PRIMARY;
}

bool rm_rpc_open(uint16_t vmid, struct vm *hyp)
{
	for (size_t i = 1; i < CLIENTS_MAX; i++) {
		if (clients[i].vmid)
			continue;
		empty(&clients[i]);
		clients[i].vmid = vmid;
		clients[i].hyp = hyp;
		return true;
	}
	return false;
}

void rm_rpc_close(uint16_t vmid)
{
	struct client *c = find(vmid);

	if (c && c != clients)
		c->vmid = 0;
}

bool rm_rpc_has(uint16_t vmid)
{
	return find(vmid) != NULL;
}

static struct vm *hyp_of(const struct client *c)
{
	return c->hyp ? c->hyp : hyp_primary();
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

static bool continues(const struct incoming *in, const struct gh_rm_header *h)
{
	return in->open && h->id == in->header.id && h->seq == in->header.seq &&
	       header_fragments(h) == header_fragments(&in->header);
}

static bool feed(struct client *c, const void *msg, size_t size, struct rm_request *request)
{
	struct incoming *in = &c->in;
	struct gh_rm_header h;

	if (size < sizeof(h) || size > GH_RM_MSG_SIZE)
		return false;
	memcpy(&h, msg, sizeof(h));
	if (h.api != GH_RM_API || header_fragments(&h) > GH_RM_FRAGMENTS_MAX)
		return false;

	if (header_type(&h) == GH_RM_TYPE_CONTINUATION) {
		if (!continues(in, &h))
			return false;
		in->left--;
	} else {
		in->open = header_type(&h) == GH_RM_TYPE_REQUEST;
		in->header = h;
		in->left = header_fragments(&h);
		in->size = 0;
		if (!in->open)
			return false;
	}
	memcpy(in->data + in->size, (const uint8_t *)msg + sizeof(h), size - sizeof(h));
	in->size += size - sizeof(h);
	if (in->left)
		return false;

	in->open = false;
	*request = (struct rm_request){
		.from = c->vmid,
		.id = in->header.id,
		.seq = in->header.seq,
		.data = in->data,
		.size = in->size,
	};
	return true;
}

bool rm_rpc_feed(uint16_t vmid, const void *msg, size_t size, struct rm_request *request)
{
	struct client *c = find(vmid);

	return c && feed(c, msg, size, request);
}

bool rm_rpc_take(struct rm_request *request, bool *complete)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	for (size_t i = 1; i < CLIENTS_MAX; i++) {
		uint32_t size = clients[i].vmid ? hyp_rm_take(clients[i].hyp, msg) : 0;

		if (!size)
			continue;
		*complete = feed(&clients[i], msg, size, request);
		return true;
	}
	return false;
}

/* --- Out --- */

static bool send(const struct client *c, struct gh_rm_header h, const void *payload, size_t size)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), payload, size);
	return hyp_rm_send(hyp_of(c), msg, sizeof(h) + size);
}

static uint8_t type_byte(unsigned int type, size_t parts)
{
	return (uint8_t)(parts << GH_RM_FRAGMENTS_SHIFT | type);
}

static bool send_notification(struct client *c)
{
	struct outgoing *out = &c->out;
	const struct notification *n = &out->ring[out->first];
	struct gh_rm_header h = n->header;

	h.type = type_byte(GH_RM_TYPE_NOTIFICATION, n->extra_parts);
	h.seq = out->seq;
	if (!send(c, h, n->payload, n->size))
		return false;
	out->seq++;
	out->first = (out->first + 1) % RM_PENDING_MAX;
	out->count--;
	return true;
}

static bool send_reply(struct client *c)
{
	struct outgoing *out = &c->out;
	const struct rm_outgoing *m = &out->reply;
	size_t parts = (m->size ? (m->size - 1) / GH_RM_PAYLOAD : 0) + m->extra_parts;
	struct gh_rm_header h = m->header;

	while (!out->reply_begun || out->reply_sent < m->size) {
		size_t part = m->size - out->reply_sent;

		if (part > GH_RM_PAYLOAD)
			part = GH_RM_PAYLOAD;
		h.type = type_byte(out->reply_begun ? GH_RM_TYPE_CONTINUATION : GH_RM_TYPE_REPLY,
				   parts);
		if (!send(c, h, m->data + out->reply_sent, part))
			return false;
		out->reply_begun = true;
		out->reply_sent += part;
	}
	out->has_reply = false;
	return true;
}

/* Fragments of two messages must not mix, so a reply that has begun goes on first. */
static bool reply_is_next(const struct outgoing *out)
{
	return out->has_reply &&
	       (out->reply_begun || !out->count || out->reply_order < out->ring[out->first].order);
}

static void queue_notification(struct outgoing *out, const struct rm_outgoing *m)
{
	struct notification *n;

	if (out->count == RM_PENDING_MAX) {
		out->first = (out->first + 1) % RM_PENDING_MAX;
		out->count--;
	}
	n = &out->ring[(out->first + out->count) % RM_PENDING_MAX];
	n->order = out->order++;
	n->header = m->header;
	n->extra_parts = m->extra_parts;
	n->size = (uint32_t)m->size;
	memcpy(n->payload, m->data, m->size);
	out->count++;
}

static void queue(struct outgoing *out, const struct rm_outgoing *m)
{
	if (!m->reply) {
		queue_notification(out, m);
		return;
	}
	out->has_reply = true;
	out->reply_order = out->order++;
	out->reply_sent = 0;
	out->reply_begun = false;
	out->reply.header = m->header;
	out->reply.extra_parts = m->extra_parts;
	out->reply.size = m->size;
	memcpy(out->reply.data, m->data, m->size);
}

static void send_all(struct client *c)
{
	while (c->out.has_reply || c->out.count)
		if (!(reply_is_next(&c->out) ? send_reply(c) : send_notification(c)))
			return;
}

/* What was kept back may go now; only tests do that, and only to the primary. */
static bool requeue(struct client *primary)
{
	static struct rm_outgoing m; /* too large for the stack; the lock of rm.c guards it */

	if (!inject_released(&m))
		return false;
	queue(&primary->out, &m);
	return true;
}

void rm_rpc_send(void)
{
	do {
		send_all(&clients[0]);
	} while (!clients[0].out.has_reply && requeue(&clients[0]));
}

void rm_rpc_send_guests(void)
{
	for (size_t i = 1; i < CLIENTS_MAX; i++)
		if (clients[i].vmid)
			send_all(&clients[i]);
}

/* The one that is being made; the lock of rm.c guards it. */
static struct rm_outgoing making;

static void send_made(struct client *c)
{
	bool primary = c == &clients[0];

	if (!primary || inject_outgoing(&making))
		queue(&c->out, &making);
	if (primary)
		rm_rpc_send();
	else
		send_all(c);
}

void rm_rpc_reply(const struct rm_request *request, enum gh_rm_error error, const void *payload,
		  size_t size)
{
	struct client *c = find(request->from);
	uint32_t word = (uint32_t)error;

	/* It may have ended itself. */
	if (!c)
		return;
	making.reply = true;
	making.extra_parts = 0;
	making.header = (struct gh_rm_header){
		.api = GH_RM_API,
		.seq = request->seq,
		.id = request->id,
	};
	making.size = sizeof(word) + size;
	memcpy(making.data, &word, sizeof(word));
	memcpy(making.data + sizeof(word), payload, size);
	send_made(c);
}

void rm_notify(uint16_t to, uint32_t id, const void *payload, size_t size)
{
	struct client *c = find(to);

	if (!c || size > RM_NOTIFY_MAX)
		return;
	making.reply = false;
	making.extra_parts = 0;
	making.header = (struct gh_rm_header){ .api = GH_RM_API, .id = id };
	making.size = size;
	memcpy(making.data, payload, size);
	send_made(c);
}
