/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message queues: from one VM to another, or between a VM and the resource manager.
 *
 * The sender's interrupt fires when the queue falls to its not-full threshold, the receiver's when it reaches its
 * not-empty threshold or a message is pushed. The resource manager lives in the hypervisor: when the primary sends to it,
 * the primary does its work, one message for each message sent. A guest's message waits until its CPU is the primary's
 * again, because the resource manager may wait for guests to leave their CPUs, and so must not be waited for by one.
 */
#include <string.h>

#include "core/arch.h"
#include "core/object.h"
#include "core/vgic.h"

#define QUEUES_MAX	128u
#define DEPTH_MAX	255u
#define SIZE_MAX_BYTES	1023u
#define SLOT_PAGES	(DEPTH_MAX / (HYP_PAGE / (SIZE_MAX_BYTES + 1u + 4u)) + 1u)
#define THRESHOLD_KEEP	(~0ull)
#define THRESHOLD_DEPTH (~1ull)
#define DELAY_KEEP	(~0ull)
#define TX_VIRQ		960u
#define RX_VIRQ		961u

struct slot {
	uint32_t size;
	uint8_t data[];
};

struct queue_end {
	struct vm *vm; /* NULL: nobody has it, or the resource manager */
	uint64_t cap;
	uint32_t virq; /* 0: none */
	struct virq_source source;
};

struct msgq {
	struct hyp_object object;
	hyp_spinlock_t lock;
	bool of_rm;	      /* one end is the resource manager's */
	uint32_t depth, size; /* most messages, most bytes of one */
	uint32_t count, head;
	uint32_t not_full, not_empty; /* thresholds */
	bool pushed;		      /* and not received yet */
	struct queue_end end[2];      /* by enum hyp_side */
	uint8_t *page[SLOT_PAGES];
};

static struct msgq queues[QUEUES_MAX];
static hyp_spinlock_t queues_lock;
static struct hyp_rm_link rm_link; /* of the primary */
static hyp_spinlock_t
	deliver_lock; /* outermost: keeps the primary's messages to the resource manager in order */

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

static struct slot *slot_at(const struct msgq *q, uint32_t index)
{
	uint32_t stride = (q->size + (uint32_t)sizeof(struct slot) + 3u) & ~3u;
	uint32_t per_page = HYP_PAGE / stride;

	index %= q->depth;
	return (struct slot *)(void *)(q->page[index / per_page] + index % per_page * stride);
}

static struct slot *tail(const struct msgq *q)
{
	return slot_at(q, q->head + q->count);
}

static void raise(const struct queue_end *e)
{
	if (e->virq)
		vgic_raise(e->vm, e->virq);
}

static void lower(const struct queue_end *e)
{
	if (e->virq)
		vgic_lower(e->vm, e->virq);
}

static void put(struct msgq *q, bool push)
{
	__atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELEASE);
	if (push)
		__atomic_store_n(&q->pushed, true, __ATOMIC_RELEASE);
	if (push || q->count == q->not_empty)
		raise(&q->end[HYP_RECEIVER]);
}

static void take(struct msgq *q)
{
	q->head = (q->head + 1) % q->depth;
	__atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELEASE);
	if (!q->count)
		__atomic_store_n(&q->pushed, false, __ATOMIC_RELEASE);
	if (!rx_asserted(q))
		lower(&q->end[HYP_RECEIVER]);
	if (q->count == q->not_full)
		raise(&q->end[HYP_SENDER]);
}

/* Copies between a caller's buffer and a message, page by page. False: the caller may not access all of it. */
static bool copy(uint64_t va, struct slot *m, bool out)
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

/* --- Calls --- */

/* Takes the lock if the handle still is that of one of the queue's ends. */
static bool enter(struct msgq *q, enum hyp_side side, uint64_t cap, const struct vcpu *caller)
{
	hyp_lock(&q->lock);
	if (q->object.used && q->end[side].vm == caller->vm && q->end[side].cap == cap)
		return true;
	hyp_unlock(&q->lock);
	return false;
}

/* One message of the primary goes to the resource manager. */
static void deliver(void)
{
	uint8_t message[GH_RM_MSG_SIZE];
	uint32_t size;

	hyp_lock(&deliver_lock);
	size = hyp_rm_take(hyp_primary(), message);
	if (size)
		rm_receive(message, size);
	hyp_unlock(&deliver_lock);
}

enum gh_error msgq_send(struct msgq *q, struct vcpu *caller, const uint64_t *arg,
			uint64_t *not_full)
{
	enum gh_error error = GH_ERROR_OK;
	uint64_t size = arg[1];
	bool of_rm = false;

	if (arg[3] & ~GH_MSGQ_PUSH)
		return GH_ERROR_ARG_INVALID;
	/* With the lock nobody takes the pages from the caller between translation and copy. */
	hyp_lock(&caller->vm->stage_lock);
	if (!enter(q, HYP_SENDER, arg[0], caller)) {
		hyp_unlock(&caller->vm->stage_lock);
		return GH_ERROR_CSPACE_CAP_REVOKED;
	}
	if (!size || size > q->size) {
		error = GH_ERROR_ARG_SIZE;
	} else if (q->count == q->depth) {
		error = GH_ERROR_MSGQ_FULL;
	} else {
		tail(q)->size = (uint32_t)size;
		if (copy(arg[2], tail(q), false))
			put(q, arg[3] & GH_MSGQ_PUSH);
		else
			error = GH_ERROR_ADDR_INVALID;
		of_rm = q->of_rm;
	}
	hyp_unlock(&q->lock);
	hyp_unlock(&caller->vm->stage_lock);
	if (!error && of_rm && vcpu_is_primary(caller))
		deliver();
	else if (!error && of_rm)
		arch_cpu()->rm_work = true;
	*not_full = load(&q->count) < q->depth;
	return error;
}

enum gh_error msgq_receive(struct msgq *q, struct vcpu *caller, const uint64_t *arg, uint64_t *out)
{
	enum gh_error error = GH_ERROR_OK;
	struct slot *m;
	bool of_rm;

	hyp_lock(&caller->vm->stage_lock);
	if (!enter(q, HYP_RECEIVER, arg[0], caller)) {
		hyp_unlock(&caller->vm->stage_lock);
		return GH_ERROR_CSPACE_CAP_REVOKED;
	}
	m = slot_at(q, q->head);
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
	of_rm = q->of_rm;
	hyp_unlock(&q->lock);
	hyp_unlock(&caller->vm->stage_lock);
	if (!error && of_rm && vcpu_is_primary(caller))
		rm_room();
	else if (!error && of_rm)
		arch_cpu()->rm_work = true;
	return error;
}

enum gh_error msgq_flush(struct msgq *q, struct vcpu *caller, uint64_t cap)
{
	bool of_rm;

	if (!enter(q, HYP_RECEIVER, cap, caller))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	while (q->count)
		take(q);
	of_rm = q->of_rm;
	hyp_unlock(&q->lock);
	if (of_rm && vcpu_is_primary(caller))
		rm_room();
	else if (of_rm)
		arch_cpu()->rm_work = true;
	return GH_ERROR_OK;
}

enum gh_error msgq_configure(struct msgq *q, struct vcpu *caller, enum hyp_side side,
			     const uint64_t *arg)
{
	enum gh_error error = GH_ERROR_OK;
	uint64_t threshold = arg[1];
	bool sender = side == HYP_SENDER;

	if (arg[2] != DELAY_KEEP)
		return GH_ERROR_UNIMPLEMENTED;
	if (!enter(q, side, arg[0], caller))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	if (!sender && threshold == THRESHOLD_DEPTH)
		threshold = q->depth;
	if (threshold == THRESHOLD_KEEP)
		threshold = sender ? q->not_full : q->not_empty;
	if (sender ? threshold >= q->depth : !threshold || threshold > q->depth)
		error = GH_ERROR_ARG_INVALID;
	else
		__atomic_store_n(sender ? &q->not_full : &q->not_empty, (uint32_t)threshold,
				 __ATOMIC_RELEASE);
	if (!error && (sender ? tx_asserted(q) : rx_asserted(q)))
		raise(&q->end[side]);
	else if (!error)
		lower(&q->end[side]);
	hyp_unlock(&q->lock);
	return error;
}

/* --- Making and breaking --- */

static void free_slots(struct msgq *q)
{
	for (unsigned int i = 0; i < SLOT_PAGES; i++) {
		hyp_free_page(q->page[i]);
		q->page[i] = NULL;
	}
}

static bool alloc_slots(struct msgq *q)
{
	uint32_t per_page = HYP_PAGE / ((q->size + (uint32_t)sizeof(struct slot) + 3u) & ~3u);

	for (unsigned int i = 0; i <= (q->depth - 1) / per_page; i++) {
		q->page[i] = hyp_alloc_page();
		if (!q->page[i]) {
			free_slots(q);
			return false;
		}
	}
	return true;
}

static struct msgq *new_queue(unsigned int depth, unsigned int size)
{
	struct msgq *q = NULL;

	if (!depth || depth > DEPTH_MAX || !size || size > SIZE_MAX_BYTES)
		return NULL;
	hyp_lock(&queues_lock);
	for (unsigned int i = 0; i < QUEUES_MAX && !q; i++)
		if (!queues[i].object.used)
			q = &queues[i];
	if (q) {
		q->object = (struct hyp_object){ .used = true, .type = OBJECT_MSGQ };
		q->of_rm = false;
		q->depth = depth;
		q->size = size;
		q->count = q->head = 0;
		q->not_full = depth - 1;
		q->not_empty = 1;
		q->pushed = false;
		for (unsigned int i = 0; i < 2; i++)
			q->end[i] = (struct queue_end){ .cap = GH_CAPID_INVALID };
	}
	hyp_unlock(&queues_lock);
	if (q && !alloc_slots(q)) {
		q->object.used = false;
		return NULL;
	}
	return q;
}

struct hyp_object *hyp_queue_new(unsigned int depth, unsigned int size)
{
	struct msgq *q = new_queue(depth, size);

	return q ? &q->object : NULL;
}

enum gh_error msgq_attach(struct hyp_object *object, enum hyp_side side, struct vm *vm,
			  struct hyp_end *end)
{
	struct msgq *q = (struct msgq *)(void *)object;
	struct queue_end *e = &q->end[side];
	uint64_t cap = cap_add(&vm->cspace, OBJECT_MSGQ, q,
			       side == HYP_SENDER ? GH_RIGHT_MSGQ_SEND : GH_RIGHT_MSGQ_RECV);

	if (cap == GH_CAPID_INVALID)
		return GH_ERROR_CSPACE_FULL;
	hyp_lock(&q->lock);
	*e = (struct queue_end){
		.vm = vm,
		.cap = cap,
		.virq = end->intid,
		.source = { .asserted = side == HYP_SENDER ? tx_asserted : rx_asserted,
			    .object = q },
	};
	if (end->intid)
		vgic_bind(vm, end->intid, &e->source);
	if (side == HYP_RECEIVER && q->count)
		raise(e);
	hyp_unlock(&q->lock);
	end->cap = cap;
	return GH_ERROR_OK;
}

void msgq_detach(struct hyp_object *object, enum hyp_side side)
{
	struct msgq *q = (struct msgq *)(void *)object;
	struct queue_end *e = &q->end[side], old;
	bool last;

	hyp_lock(&q->lock);
	old = *e;
	/* First, since other CPUs ask the interrupt's source. */
	if (old.virq)
		vgic_bind(old.vm, old.virq, NULL);
	*e = (struct queue_end){ .cap = GH_CAPID_INVALID };
	last = !q->end[!side].vm;
	/* What the one has not read, the next one on that side must not. */
	q->count = q->head = 0;
	q->pushed = false;
	hyp_unlock(&q->lock);
	if (old.vm) {
		cap_revoke(&old.vm->cspace, old.cap);
		if (old.vm->primary)
			virq_free(old.virq);
	}
	if (last) {
		free_slots(q);
		hyp_lock(&queues_lock);
		q->object.used = false;
		hyp_unlock(&queues_lock);
	}
}

/* --- For the resource manager --- */

bool hyp_rm_send(struct vm *vm, const void *msg, size_t size)
{
	struct msgq *q = vm->from_rm;
	bool room;

	if (!q || !size || size > GH_RM_MSG_SIZE)
		return false;
	hyp_lock(&q->lock);
	room = q->count < q->depth;
	if (room) {
		tail(q)->size = (uint32_t)size;
		memcpy(tail(q)->data, msg, size);
		put(q, false);
	}
	hyp_unlock(&q->lock);
	return room;
}

uint32_t hyp_rm_take(struct vm *vm, void *msg)
{
	struct msgq *q = vm->to_rm;
	uint32_t size = 0;

	if (!q)
		return 0;
	hyp_lock(&q->lock);
	if (q->count) {
		size = slot_at(q, q->head)->size;
		memcpy(msg, slot_at(q, q->head)->data, size);
		take(q);
	}
	hyp_unlock(&q->lock);
	return size;
}

void hyp_rm_link(struct hyp_rm_link *link)
{
	*link = rm_link;
}

enum gh_error hyp_vm_add_link(struct vm *vm, struct hyp_rm_link *link)
{
	struct hyp_end tx = { .intid = link->tx_virq }, rx = { .intid = link->rx_virq };
	struct msgq *to = new_queue(GH_RM_QUEUE_DEPTH, GH_RM_MSG_SIZE);
	struct msgq *from = new_queue(GH_RM_QUEUE_DEPTH, GH_RM_MSG_SIZE);

	if (to && !msgq_attach(&to->object, HYP_SENDER, vm, &tx)) {
		if (from && !msgq_attach(&from->object, HYP_RECEIVER, vm, &rx)) {
			to->of_rm = from->of_rm = true;
			vm->to_rm = to;
			vm->from_rm = from;
			link->tx_cap = tx.cap;
			link->rx_cap = rx.cap;
			return GH_ERROR_OK;
		}
	}
	if (to)
		msgq_detach(&to->object, HYP_SENDER);
	if (from)
		msgq_detach(&from->object, HYP_RECEIVER);
	return GH_ERROR_NORESOURCES;
}

void msgq_remove_link(struct vm *vm)
{
	struct msgq *to = vm->to_rm, *from = vm->from_rm;

	vm->to_rm = vm->from_rm = NULL;
	if (to)
		msgq_detach(&to->object, HYP_SENDER);
	if (from)
		msgq_detach(&from->object, HYP_RECEIVER);
}

void msgq_init(void)
{
	memset(queues, 0, sizeof(queues));
	rm_link = (struct hyp_rm_link){ .tx_virq = TX_VIRQ, .rx_virq = RX_VIRQ };
	if (hyp_vm_add_link(hyp_primary(), &rm_link))
		arch_panic("no memory for the primary's queues");
}
