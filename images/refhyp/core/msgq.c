/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message queues. Two exist: from the primary to the resource manager, and back.
 *
 * The sender's interrupt fires when the queue falls to its not-full threshold, the receiver's when it reaches its
 * not-empty threshold or a message is pushed. The resource manager lives in the hypervisor: whoever sends to it does its
 * work, one message for each message sent, so the work of a call is bounded and the order is kept.
 */
#include <string.h>

#include "core/arch.h"
#include "core/object.h"
#include "core/vgic.h"

#define THRESHOLD_KEEP	(~0ull)
#define THRESHOLD_DEPTH (~1ull)
#define DELAY_KEEP	(~0ull)
#define TX_VIRQ		960u
#define RX_VIRQ		961u

struct message {
	uint32_t size;
	uint8_t data[GH_RM_MSG_SIZE];
};

struct msgq {
	hyp_spinlock_t lock;
	uint32_t count, head;
	uint32_t not_full, not_empty; /* thresholds */
	bool pushed;		      /* and not received yet */
	uint32_t tx_virq, rx_virq;    /* of the primary; 0: that end is the resource manager's */
	struct virq_source tx_source, rx_source;
	struct message ring[GH_RM_QUEUE_DEPTH];
};

static struct msgq to_rm, from_rm;
static struct hyp_rm_link rm_link;
static hyp_spinlock_t deliver_lock; /* outermost: keeps messages to the resource manager in order */

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static bool tx_asserted(const void *object)
{
	const struct msgq *q = object;

	return load(&q->count) <= load(&q->not_full);
}

static bool rx_asserted(const void *object)
{
	const struct msgq *q = object;

	return load(&q->count) >= load(&q->not_empty) ||
	       __atomic_load_n(&q->pushed, __ATOMIC_ACQUIRE);
}

/* --- The ring; the queue's lock is held --- */

static struct message *tail(struct msgq *q)
{
	return &q->ring[(q->head + q->count) % GH_RM_QUEUE_DEPTH];
}

static void put(struct msgq *q, bool push)
{
	__atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELEASE);
	if (push)
		__atomic_store_n(&q->pushed, true, __ATOMIC_RELEASE);
	if (q->rx_virq && (push || q->count == q->not_empty))
		vgic_raise(hyp_primary(), q->rx_virq);
}

static void take(struct msgq *q)
{
	q->head = (q->head + 1) % GH_RM_QUEUE_DEPTH;
	__atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELEASE);
	if (!q->count)
		__atomic_store_n(&q->pushed, false, __ATOMIC_RELEASE);
	if (q->rx_virq && !rx_asserted(q))
		vgic_lower(hyp_primary(), q->rx_virq);
	if (q->tx_virq && q->count == q->not_full)
		vgic_raise(hyp_primary(), q->tx_virq);
}

/* Copies between a caller's buffer and a message, page by page. False: the caller may not access all of it. */
static bool copy(uint64_t va, struct message *m, bool out)
{
	uint8_t *end[2] = { NULL, NULL };
	uint32_t first = HYP_PAGE - (uint32_t)(va & (HYP_PAGE - 1));
	uint32_t sizes[2] = { m->size < first ? m->size : first,
			      m->size < first ? 0 : m->size - first };
	pa_t pa;

	for (unsigned int i = 0; i < 2; i++) {
		if (!sizes[i])
			continue;
		if (!arch_guest_va(va + (i ? first : 0), out, &pa) ||
		    !hyp_is_primary_ram(pa, sizes[i]))
			return false;
		end[i] = hyp_ptr(pa);
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (!sizes[i])
			continue;
		if (out)
			memcpy(end[i], m->data + (i ? first : 0), sizes[i]);
		else
			memcpy(m->data + (i ? first : 0), end[i], sizes[i]);
	}
	return true;
}

/* One message goes to the resource manager. */
static void deliver(void)
{
	struct message m = { .size = 0 };

	hyp_lock(&deliver_lock);
	hyp_lock(&to_rm.lock);
	if (to_rm.count) {
		m = to_rm.ring[to_rm.head];
		take(&to_rm);
	}
	hyp_unlock(&to_rm.lock);
	if (m.size)
		rm_receive(m.data, m.size);
	hyp_unlock(&deliver_lock);
}

enum gh_error msgq_send(struct msgq *q, struct vcpu *caller, const uint64_t *arg,
			uint64_t *not_full)
{
	enum gh_error error = GH_ERROR_OK;
	uint64_t size = arg[1];

	if (!size || size > GH_RM_MSG_SIZE)
		return GH_ERROR_ARG_SIZE;
	if (arg[3] & ~GH_MSGQ_PUSH)
		return GH_ERROR_ARG_INVALID;
	/* With the lock nobody takes the pages from the caller between translation and copy. */
	hyp_lock(&caller->vm->stage_lock);
	hyp_lock(&q->lock);
	if (q->count == GH_RM_QUEUE_DEPTH) {
		error = GH_ERROR_MSGQ_FULL;
	} else {
		tail(q)->size = (uint32_t)size;
		if (copy(arg[2], tail(q), false))
			put(q, arg[3] & GH_MSGQ_PUSH);
		else
			error = GH_ERROR_ADDR_INVALID;
	}
	hyp_unlock(&q->lock);
	hyp_unlock(&caller->vm->stage_lock);
	if (!error && q == &to_rm)
		deliver();
	*not_full = load(&q->count) < GH_RM_QUEUE_DEPTH;
	return error;
}

enum gh_error msgq_receive(struct msgq *q, struct vcpu *caller, const uint64_t *arg, uint64_t *out)
{
	enum gh_error error = GH_ERROR_OK;
	struct message *m;

	hyp_lock(&caller->vm->stage_lock);
	hyp_lock(&q->lock);
	m = &q->ring[q->head];
	if (!q->count) {
		error = GH_ERROR_MSGQ_EMPTY;
	} else if (m->size > arg[2]) {
		error = GH_ERROR_ARG_SIZE;
	} else if (!copy(arg[1], m, true)) {
		error = GH_ERROR_ADDR_INVALID;
	} else {
		out[1] = m->size;
		take(q);
		out[2] = q->count > 0;
	}
	hyp_unlock(&q->lock);
	hyp_unlock(&caller->vm->stage_lock);
	if (!error && q == &from_rm)
		rm_room();
	return error;
}

enum gh_error msgq_flush(struct msgq *q)
{
	hyp_lock(&q->lock);
	while (q->count)
		take(q);
	hyp_unlock(&q->lock);
	if (q == &from_rm)
		rm_room();
	return GH_ERROR_OK;
}

enum gh_error msgq_configure(struct msgq *q, bool sender, uint64_t threshold, uint64_t delay)
{
	enum gh_error error = GH_ERROR_OK;

	if (delay != DELAY_KEEP)
		return GH_ERROR_UNIMPLEMENTED;
	hyp_lock(&q->lock);
	if (!sender && threshold == THRESHOLD_DEPTH)
		threshold = GH_RM_QUEUE_DEPTH;
	if (threshold == THRESHOLD_KEEP)
		threshold = sender ? q->not_full : q->not_empty;
	if (sender ? threshold >= GH_RM_QUEUE_DEPTH : !threshold || threshold > GH_RM_QUEUE_DEPTH)
		error = GH_ERROR_ARG_INVALID;
	else
		__atomic_store_n(sender ? &q->not_full : &q->not_empty, (uint32_t)threshold,
				 __ATOMIC_RELEASE);
	if (!error) {
		uint32_t virq = sender ? q->tx_virq : q->rx_virq;
		bool now = sender ? tx_asserted(q) : rx_asserted(q);

		if (virq && now)
			vgic_raise(hyp_primary(), virq);
		else if (virq)
			vgic_lower(hyp_primary(), virq);
	}
	hyp_unlock(&q->lock);
	return error;
}

/* --- For the resource manager --- */

bool hyp_rm_send(const void *msg, size_t size)
{
	struct msgq *q = &from_rm;
	bool room;

	if (!size || size > GH_RM_MSG_SIZE)
		return false;
	hyp_lock(&q->lock);
	room = q->count < GH_RM_QUEUE_DEPTH;
	if (room) {
		tail(q)->size = (uint32_t)size;
		memcpy(tail(q)->data, msg, size);
		put(q, false);
	}
	hyp_unlock(&q->lock);
	return room;
}

void hyp_rm_link(struct hyp_rm_link *link)
{
	*link = rm_link;
}

static void init_one(struct msgq *q, uint32_t tx_virq, uint32_t rx_virq)
{
	*q = (struct msgq){ .not_full = GH_RM_QUEUE_DEPTH - 1,
			    .not_empty = 1,
			    .tx_virq = tx_virq,
			    .rx_virq = rx_virq };
	q->tx_source = (struct virq_source){ .asserted = tx_asserted, .object = q };
	q->rx_source = (struct virq_source){ .asserted = rx_asserted, .object = q };
	if (tx_virq)
		vgic_bind(hyp_primary(), tx_virq, &q->tx_source);
	if (rx_virq)
		vgic_bind(hyp_primary(), rx_virq, &q->rx_source);
}

void msgq_init(void)
{
	struct cspace *cspace = &hyp_primary()->cspace;

	init_one(&to_rm, TX_VIRQ, 0);
	init_one(&from_rm, 0, RX_VIRQ);
	rm_link = (struct hyp_rm_link){
		.tx_cap = cap_add(cspace, OBJECT_MSGQ, &to_rm, GH_RIGHT_MSGQ_SEND),
		.rx_cap = cap_add(cspace, OBJECT_MSGQ, &from_rm, GH_RIGHT_MSGQ_RECV),
		.tx_virq = TX_VIRQ,
		.rx_virq = RX_VIRQ,
	};
}
