/* SPDX-License-Identifier: GPL-2.0-only */
/* Doorbells: 64 flags that one VM sets and that raise an interrupt in another; and what queues have in common with them. */
#include "core/object.h"
#include "core/vgic.h"

#define DOORBELLS_MAX 1024u

struct bell_end {
	struct vm *vm; /* NULL: nobody has it */
	uint64_t cap;
};

struct doorbell {
	struct hyp_object object;
	hyp_spinlock_t lock;
	struct bell_end end[2]; /* by enum hyp_side */
	uint32_t intid;		/* of the receiver */
	uint64_t flags, enable, ack;
	struct virq_source source;
};

static struct doorbell bells[DOORBELLS_MAX];
static hyp_spinlock_t bells_lock;

static bool asserted(const void *object)
{
	const struct doorbell *d = object;

	return __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE) &
	       __atomic_load_n(&d->enable, __ATOMIC_ACQUIRE);
}

static void set(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void doorbell_init(void)
{
	for (unsigned int i = 0; i < DOORBELLS_MAX; i++)
		bells[i] = (struct doorbell){ .object = { .used = false } };
}

/* Takes the lock if the handle still is the caller's for this doorbell. */
static bool enter(struct doorbell *d, const struct vm *vm, uint64_t cap)
{
	hyp_lock(&d->lock);
	for (unsigned int i = 0; i < 2; i++)
		if (d->end[i].vm == vm && d->end[i].cap == cap)
			return true;
	hyp_unlock(&d->lock);
	return false;
}

static void raise(const struct doorbell *d)
{
	if (d->end[HYP_RECEIVER].vm)
		vgic_raise(d->end[HYP_RECEIVER].vm, d->intid);
}

static void lower(const struct doorbell *d)
{
	if (d->end[HYP_RECEIVER].vm)
		vgic_lower(d->end[HYP_RECEIVER].vm, d->intid);
}

enum gh_error doorbell_send(struct doorbell *d, const struct vm *vm, const uint64_t *arg,
			    uint64_t *old)
{
	uint64_t now;

	if (!enter(d, vm, arg[0]))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	*old = d->flags;
	now = d->flags | arg[1];
	if (now & d->enable) {
		/* Flags that acknowledge themselves are gone before the interrupt can ask for them. */
		set(&d->flags, now & ~d->ack);
		raise(d);
	} else {
		set(&d->flags, now);
		if (d->end[HYP_RECEIVER].vm)
			vgic_pulse(d->end[HYP_RECEIVER].vm, d->intid);
	}
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error doorbell_receive(struct doorbell *d, const struct vm *vm, const uint64_t *arg,
			       uint64_t *old)
{
	bool before;

	if (!arg[1])
		return GH_ERROR_ARG_INVALID;
	if (!enter(d, vm, arg[0]))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	before = asserted(d);
	*old = d->flags;
	set(&d->flags, d->flags & ~arg[1]);
	if (before && !asserted(d))
		lower(d);
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error doorbell_mask(struct doorbell *d, const struct vm *vm, const uint64_t *arg)
{
	bool before;

	if (!enter(d, vm, arg[0]))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	before = asserted(d);
	set(&d->enable, arg[1]);
	d->ack = arg[2];
	if (asserted(d)) {
		set(&d->flags, d->flags & ~d->ack);
		if (!before)
			raise(d);
	} else if (before) {
		lower(d);
	}
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

static void clear(struct doorbell *d)
{
	set(&d->flags, 0);
	set(&d->enable, ~0ull);
	d->ack = 0;
	lower(d);
}

enum gh_error doorbell_reset(struct doorbell *d, const struct vm *vm, const uint64_t *arg)
{
	if (!enter(d, vm, arg[0]))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	clear(d);
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

/* --- Making and breaking --- */

struct hyp_object *hyp_doorbell_new(void)
{
	struct doorbell *d = NULL;

	hyp_lock(&bells_lock);
	for (unsigned int i = 0; i < DOORBELLS_MAX && !d; i++)
		if (!bells[i].object.used)
			d = &bells[i];
	if (d) {
		d->object = (struct hyp_object){ .used = true, .type = OBJECT_DOORBELL };
		d->flags = d->ack = 0;
		d->enable = ~0ull;
		d->intid = 0;
		d->source = (struct virq_source){ .asserted = asserted, .object = d };
		d->end[HYP_SENDER] = d->end[HYP_RECEIVER] =
			(struct bell_end){ .cap = GH_CAPID_INVALID };
	}
	hyp_unlock(&bells_lock);
	return d ? &d->object : NULL;
}

static enum gh_error bell_attach(struct doorbell *d, enum hyp_side side, struct vm *vm,
				 struct hyp_end *end)
{
	uint32_t rights = side == HYP_SENDER ? GH_RIGHT_DOORBELL_SEND : GH_RIGHT_DOORBELL_RECV;
	uint64_t cap;

	if (end->can_clear)
		rights |= GH_RIGHT_DOORBELL_RECV;
	cap = cap_add(&vm->cspace, OBJECT_DOORBELL, d, rights);
	if (cap == GH_CAPID_INVALID)
		return GH_ERROR_CSPACE_FULL;
	hyp_lock(&d->lock);
	d->end[side] = (struct bell_end){ .vm = vm, .cap = cap };
	if (side == HYP_RECEIVER) {
		d->intid = end->intid;
		vgic_bind(vm, end->intid, &d->source);
		if (asserted(d))
			raise(d);
	}
	hyp_unlock(&d->lock);
	end->cap = cap;
	return GH_ERROR_OK;
}

static void bell_detach(struct doorbell *d, enum hyp_side side)
{
	struct bell_end old;
	bool last;

	hyp_lock(&d->lock);
	old = d->end[side];
	if (side == HYP_RECEIVER && old.vm) {
		clear(d);
		vgic_bind(old.vm, d->intid, NULL);
		if (old.vm->primary)
			virq_free(d->intid);
	}
	d->end[side] = (struct bell_end){ .cap = GH_CAPID_INVALID };
	last = !d->end[!side].vm;
	hyp_unlock(&d->lock);
	if (old.vm)
		cap_revoke(&old.vm->cspace, old.cap);
	if (last) {
		hyp_lock(&bells_lock);
		d->object.used = false;
		hyp_unlock(&bells_lock);
	}
}

/* --- Both kinds --- */

enum gh_error hyp_attach(struct hyp_object *object, enum hyp_side side, struct vm *vm,
			 struct hyp_end *end)
{
	bool bell = object->type == OBJECT_DOORBELL, wants = !bell || side == HYP_RECEIVER;
	bool mine = vm->primary && wants && !end->intid;
	enum gh_error error;

	if (mine)
		end->intid = virq_alloc();
	if (wants && (end->intid < INTID_SPI_FIRST || end->intid >= INTID_END))
		return mine ? GH_ERROR_NORESOURCES : GH_ERROR_ARG_INVALID;
	error = bell ? bell_attach((struct doorbell *)(void *)object, side, vm, end)
		     : msgq_attach(object, side, vm, end);
	if (error && mine)
		virq_free(end->intid);
	return error;
}

void hyp_detach(struct hyp_object *object, enum hyp_side side)
{
	if (object->type == OBJECT_DOORBELL)
		bell_detach((struct doorbell *)(void *)object, side);
	else
		msgq_detach(object, side);
}
