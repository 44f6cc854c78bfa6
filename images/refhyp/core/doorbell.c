/* SPDX-License-Identifier: GPL-2.0-only */
/* Doorbells: 64 flags that one VM sets and that raise an interrupt in another. */
#include "core/object.h"
#include "core/vgic.h"

#define DOORBELLS_MAX 1024u

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
		bells[i] = (struct doorbell){ .cap = GH_CAPID_INVALID };
}

/* Takes the lock if the handle still is this doorbell's. */
static bool enter(struct doorbell *d, uint64_t cap)
{
	hyp_lock(&d->lock);
	if (d->cap == cap)
		return true;
	hyp_unlock(&d->lock);
	return false;
}

enum gh_error doorbell_send(struct doorbell *d, uint64_t cap, uint64_t flags, uint64_t *old)
{
	uint64_t now;

	if (!enter(d, cap))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	*old = d->flags;
	now = d->flags | flags;
	if (now & d->enable) {
		/* Flags that acknowledge themselves are gone before the interrupt can ask for them. */
		set(&d->flags, now & ~d->ack);
		vgic_raise(d->vm, d->intid);
	} else {
		set(&d->flags, now);
		vgic_pulse(d->vm, d->intid);
	}
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error doorbell_receive(struct doorbell *d, uint64_t cap, uint64_t clear, uint64_t *old)
{
	bool before;

	if (!clear)
		return GH_ERROR_ARG_INVALID;
	if (!enter(d, cap))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	before = asserted(d);
	*old = d->flags;
	set(&d->flags, d->flags & ~clear);
	if (before && !asserted(d))
		vgic_lower(d->vm, d->intid);
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error doorbell_mask(struct doorbell *d, uint64_t cap, uint64_t enable, uint64_t ack)
{
	bool before;

	if (!enter(d, cap))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	before = asserted(d);
	set(&d->enable, enable);
	d->ack = ack;
	if (asserted(d)) {
		set(&d->flags, d->flags & ~ack);
		if (!before)
			vgic_raise(d->vm, d->intid);
	} else if (before) {
		vgic_lower(d->vm, d->intid);
	}
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error doorbell_reset(struct doorbell *d, uint64_t cap)
{
	if (!enter(d, cap))
		return GH_ERROR_CSPACE_CAP_REVOKED;
	set(&d->flags, 0);
	set(&d->enable, ~0ull);
	d->ack = 0;
	vgic_lower(d->vm, d->intid);
	hyp_unlock(&d->lock);
	return GH_ERROR_OK;
}

enum gh_error hyp_vm_add_doorbell(struct vm *vm, uint32_t intid, bool source_can_clear,
				  uint64_t *cap)
{
	uint32_t rights = GH_RIGHT_DOORBELL_SEND | (source_can_clear ? GH_RIGHT_DOORBELL_RECV : 0);
	struct doorbell *d = NULL;
	uint64_t id;

	if (intid < INTID_SPI_FIRST || intid >= INTID_END)
		return GH_ERROR_ARG_INVALID;
	hyp_lock(&bells_lock);
	for (unsigned int i = 0; i < DOORBELLS_MAX; i++) {
		if (bells[i].vm == vm && bells[i].intid == intid) {
			hyp_unlock(&bells_lock);
			return GH_ERROR_IRQ_BOUND;
		}
		if (!d && !bells[i].vm)
			d = &bells[i];
	}
	if (d) {
		d->vm = vm;
		d->intid = intid;
	}
	hyp_unlock(&bells_lock);
	if (!d)
		return GH_ERROR_NORESOURCES;
	hyp_lock(&d->lock);
	d->flags = 0;
	d->enable = ~0ull;
	d->ack = 0;
	d->source = (struct virq_source){ .asserted = asserted, .object = d };
	id = cap_add(&hyp_primary()->cspace, OBJECT_DOORBELL, d, rights);
	d->cap = id;
	hyp_unlock(&d->lock);
	if (id == GH_CAPID_INVALID) {
		d->vm = NULL;
		return GH_ERROR_CSPACE_FULL;
	}
	vgic_bind(vm, intid, &d->source);
	*cap = id;
	return GH_ERROR_OK;
}

void doorbell_remove_all(struct vm *vm)
{
	for (unsigned int i = 0; i < DOORBELLS_MAX; i++) {
		struct doorbell *d = &bells[i];

		if (d->vm != vm)
			continue;
		cap_revoke(&hyp_primary()->cspace, d->cap);
		hyp_lock(&d->lock);
		d->cap = GH_CAPID_INVALID;
		vgic_bind(vm, d->intid, NULL);
		hyp_unlock(&d->lock);
		hyp_lock(&bells_lock);
		d->vm = NULL;
		hyp_unlock(&bells_lock);
	}
}
