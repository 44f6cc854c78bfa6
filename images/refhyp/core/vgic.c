/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtual interrupts: what is pending, active and enabled for whom, and how that gets into list registers and back.
 *
 * While a vCPU is loaded, interrupts that are in its list registers have their pending and active state there
 * (lr_owner tells); all others have it in struct virq. Everything is under the VM's lock.
 */
#include "core/vgic.h"

#include "core/arch.h"
#include "core/vcpu.h"

static const struct virq idle_irq = { .priority = 0 };

static struct virq *irq_of(struct vm *vm, struct vcpu *v, uint32_t intid)
{
	return intid < VM_PRIVATE ? &v->private[intid] : &vm->gic.spi[intid - INTID_SPI_FIRST];
}

struct virq *vgic_irq(struct vcpu *v, uint32_t intid)
{
	return irq_of(v->vm, v, intid);
}

static bool wanted(const struct vm *vm, const struct virq *irq)
{
	return irq->pending && irq->enabled &&
	       vm->gic.ctlr & (irq->group1 ? GICD_CTLR_GROUP1 : GICD_CTLR_GROUP0);
}

/* v has to look at its interrupts again, wherever it is. */
static void notify(struct vcpu *v)
{
	if (v->run == RUN_WAIT)
		vcpu_wake(v);
	if (__atomic_exchange_n(&v->refresh, 1, __ATOMIC_ACQ_REL))
		return;
	if (v->cpu >= 0 && (unsigned int)v->cpu != arch_cpu()->id)
		arch_kick((unsigned int)v->cpu);
}

/* Whose list registers an SPI belongs into: one that was taken and then routed elsewhere ends where it was taken. */
static unsigned int taker(const struct virq *irq)
{
	return irq->active ? irq->holder : irq->target;
}

/* Recomputes whether the interrupt is a candidate for list registers; v: whose it is when it is private. */
static void changed(struct vm *vm, struct vcpu *v, uint32_t intid)
{
	struct virq *irq = irq_of(vm, v, intid);
	bool ready = irq->active || wanted(vm, irq);

	if (intid < VM_PRIVATE) {
		v->private_ready = (v->private_ready & ~(1u << intid)) | (uint32_t)ready << intid;
	} else {
		uint64_t *word = &vm->gic.ready[(intid - INTID_SPI_FIRST) / 64];
		unsigned int bit = (intid - INTID_SPI_FIRST) % 64;

		*word = (*word & ~(1ull << bit)) | (uint64_t)ready << bit;
		v = taker(irq) < vm->vcpus ? &vm->vcpu[taker(irq)] : NULL;
	}
	if (irq->lr_owner)
		v = &vm->vcpu[irq->lr_owner - 1];
	if (v && (ready || irq->lr_owner))
		notify(v);
}

void vgic_changed(struct vcpu *v, uint32_t intid)
{
	changed(v->vm, v, intid);
}

void vgic_changed_all(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpus; i++)
		for (uint32_t intid = 0; intid < VM_PRIVATE; intid++)
			changed(vm, &vm->vcpu[i], intid);
	for (uint32_t intid = INTID_SPI_FIRST; intid < INTID_END; intid++)
		changed(vm, NULL, intid);
}

/* --- Out of the list registers --- */

static void fold(struct vcpu *v, const struct lr *lr)
{
	struct virq *irq = vgic_irq(v, lr->intid);

	if (irq->lr_owner != v->index + 1)
		return;
	irq->lr_owner = 0;
	if (lr->pending && !irq->drop)
		irq->pending = true;
	if (lr->active) {
		irq->active = true;
		irq->holder = v->index;
	}
	if (irq->hw_active && !lr->active && (!lr->pending || irq->drop)) {
		/* The guest ended it, which the hardware passed on; or its pending state was taken away. */
		if (lr->pending)
			arch_irq_deactivate(lr->intid);
		irq->hw_active = false;
	}
	if (!lr->pending && !lr->active && !irq->edge && irq->source &&
	    irq->source->asserted(irq->source->object))
		irq->pending = true;
	irq->drop = false;
	changed(v->vm, v, lr->intid);
}

/* Active interrupts that were in no list register when the guest ended them: the most urgent one ended first. */
static void fold_evicted(struct vcpu *v, unsigned int ended)
{
	while (ended--) {
		struct virq *best = NULL;
		uint32_t best_id = 0;

		for (uint32_t intid = 0; intid < INTID_END; intid++) {
			struct virq *irq = vgic_irq(v, intid);

			if (irq->active && !irq->lr_owner &&
			    (intid < VM_PRIVATE || irq->holder == v->index) &&
			    (!best || irq->priority < best->priority)) {
				best = irq;
				best_id = intid;
			}
		}
		if (!best)
			return;
		best->active = false;
		if (best->hw_active)
			arch_irq_deactivate(best_id);
		best->hw_active = false;
		if (!best->edge && best->source && best->source->asserted(best->source->object))
			best->pending = true;
		changed(v->vm, v, best_id);
	}
}

/* The list registers keep what they held until flush() writes them again, which their users must not see. */
static void sync(struct vcpu *v)
{
	unsigned int used = v->lr_used;

	if (!v->loaded || !(used || v->lr_evicted))
		return;
	v->lr_used = 0;
	v->lr_stale = (uint8_t)(used > v->lr_stale ? used : v->lr_stale);
	for (unsigned int i = 0; i < used; i++) {
		struct lr lr;

		arch_lr_read(i, &lr);
		lr.intid = v->lr_intid[i];
		fold(v, &lr);
	}
	if (v->lr_evicted)
		fold_evicted(v, arch_eoi_count());
}

static void clear_stale(struct vcpu *v, unsigned int from)
{
	for (unsigned int i = from; i < v->lr_stale; i++)
		arch_lr_write(i, NULL);
	v->lr_stale = 0;
}

/* --- Into the list registers --- */

struct picks {
	uint16_t intid[VM_LRS_MAX];
	unsigned int n, room;
	unsigned int pending, active; /* candidates that there are, picked or not */
	uint32_t urgent;	      /* the pending one that comes first */
};

/* Active interrupts come first, so that their ends are seen; then by priority. */
static bool before(struct vcpu *v, uint32_t a, uint32_t b)
{
	const struct virq *x = vgic_irq(v, a), *y = vgic_irq(v, b);

	return x->active != y->active ? x->active : x->priority < y->priority;
}

static void pick(struct vcpu *v, struct picks *p, uint32_t intid)
{
	const struct virq *irq = vgic_irq(v, intid);
	unsigned int at;

	if (irq->lr_owner)
		return;
	if (irq->active) {
		p->active++;
	} else if (!p->pending++ || before(v, intid, p->urgent)) {
		p->urgent = intid;
	}
	for (at = p->n; at && before(v, intid, p->intid[at - 1]); at--)
		if (at < p->room)
			p->intid[at] = p->intid[at - 1];
	if (at == p->room)
		return;
	p->intid[at] = (uint16_t)intid;
	if (p->n < p->room)
		p->n++;
}

static void collect(struct vcpu *v, struct picks *p)
{
	const struct vgic *gic = &v->vm->gic;

	for (uint32_t bits = v->private_ready; bits; bits &= bits - 1)
		pick(v, p, (uint32_t)__builtin_ctz(bits));
	for (uint32_t word = 0; word < sizeof(gic->ready) / sizeof(gic->ready[0]); word++) {
		for (uint64_t bits = gic->ready[word]; bits; bits &= bits - 1) {
			uint32_t intid =
				INTID_SPI_FIRST + word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (taker(vgic_irq(v, intid)) == v->index)
				pick(v, p, intid);
		}
	}
	/* Of what waits, the most urgent gets the last place even from an active one, or nothing would move. */
	if (p->pending && p->n && p->n == p->room && vgic_irq(v, p->intid[p->n - 1])->active)
		p->intid[p->n - 1] = (uint16_t)p->urgent;
}

/* The timer's line may have fallen since it fired, or somebody cleared its state. */
static void recheck_timer(struct vcpu *v)
{
	struct virq *irq = &v->private[INTID_TIMER];

	if (!irq->hw_active || irq->active || (irq->pending && arch_vtimer_fires()))
		return;
	irq->pending = false;
	irq->hw_active = false;
	arch_irq_deactivate(INTID_TIMER);
	changed(v->vm, v, INTID_TIMER);
}

static void flush(struct vcpu *v)
{
	/* While a sibling needs them empty they stay so, and ends are counted; it asks for a refresh when it is done. */
	struct picks p = { .room = v->want_sync ? 0 : arch_lr_count() };
	unsigned int placed_active = 0, placed_pending = 0;
	bool more, evicted;

	recheck_timer(v);
	collect(v, &p);
	for (unsigned int i = 0; i < p.n; i++) {
		struct virq *irq = vgic_irq(v, p.intid[i]);
		struct lr lr = {
			.intid = p.intid[i],
			.priority = irq->priority,
			.group1 = irq->group1,
			.active = irq->active,
			.hw = irq->hw_active,
			.tell_eoi = !irq->edge && irq->source,
		};

		/* An interrupt that the hardware follows cannot be both. */
		lr.pending = wanted(v->vm, irq) && !(lr.hw && lr.active);
		if (lr.active)
			placed_active++;
		else
			placed_pending++;
		arch_lr_write(i, &lr);
		if (lr.pending)
			irq->pending = false;
		irq->active = false;
		irq->drop = false;
		irq->lr_owner = (uint8_t)(v->index + 1);
		v->lr_intid[i] = lr.intid;
	}
	v->lr_used = (uint8_t)p.n;
	clear_stale(v, p.n);
	more = placed_pending < p.pending && p.room;
	evicted = placed_active < p.active;
	/* System registers of the interrupt controller are slow, so what stays is not written. */
	if (more != v->lr_more || evicted != v->lr_evicted)
		arch_lr_overflow(more, evicted);
	v->lr_more = more;
	v->lr_evicted = evicted;
	__atomic_store_n(&v->refresh, 0, __ATOMIC_RELEASE);
}

void vgic_refresh(struct vcpu *v)
{
	hyp_lock(&v->vm->lock);
	sync(v);
	flush(v);
	hyp_unlock(&v->vm->lock);
}

void vgic_load(struct vcpu *v)
{
	struct virq *timer = &v->private[INTID_TIMER];

	hyp_lock(&v->vm->lock);
	v->loaded = true;
	if (timer->active) {
		/* The guest is in its handler: the physical one must not fire again before it ends. */
		arch_irq_set_active(INTID_TIMER);
		timer->hw_active = true;
	}
	flush(v);
	hyp_unlock(&v->vm->lock);
}

void vgic_unload(struct vcpu *v)
{
	struct virq *timer = &v->private[INTID_TIMER];

	hyp_lock(&v->vm->lock);
	sync(v);
	clear_stale(v, 0);
	if (v->lr_more || v->lr_evicted)
		arch_lr_overflow(false, false);
	v->lr_more = false;
	v->lr_evicted = false;
	v->loaded = false;
	if (timer->hw_active) {
		/* If the timer still fires when v comes back, the hardware says so again. */
		arch_irq_deactivate(INTID_TIMER);
		timer->hw_active = false;
		timer->pending = false;
		changed(v->vm, v, INTID_TIMER);
	}
	/* A host with something pending must get its CPU back at once. */
	__atomic_store_n(&v->refresh, vgic_pending(v), __ATOMIC_RELEASE);
	hyp_unlock(&v->vm->lock);
}

bool vgic_pending(struct vcpu *v)
{
	const struct vgic *gic = &v->vm->gic;

	sync(v);
	for (uint32_t bits = v->private_ready; bits; bits &= bits - 1)
		if (wanted(v->vm, &v->private[__builtin_ctz(bits)]))
			return true;
	for (uint32_t word = 0; word < sizeof(gic->ready) / sizeof(gic->ready[0]); word++) {
		for (uint64_t bits = gic->ready[word]; bits; bits &= bits - 1) {
			const struct virq *irq =
				&gic->spi[word * 64 + (uint32_t)__builtin_ctzll(bits)];

			if (taker(irq) == v->index && wanted(v->vm, irq))
				return true;
		}
	}
	return false;
}

/* --- Events --- */

static void pend(struct vm *vm, struct vcpu *v, uint32_t intid)
{
	struct virq *irq = irq_of(vm, v, intid);

	irq->pending = true;
	irq->drop = false;
	changed(vm, v, intid);
}

void vgic_raise(struct vm *vm, uint32_t intid)
{
	hyp_lock(&vm->lock);
	pend(vm, NULL, intid);
	hyp_unlock(&vm->lock);
}

void vgic_pulse(struct vm *vm, uint32_t intid)
{
	hyp_lock(&vm->lock);
	if (irq_of(vm, NULL, intid)->edge)
		pend(vm, NULL, intid);
	hyp_unlock(&vm->lock);
}

void vgic_raise_private(struct vcpu *v, uint32_t intid)
{
	pend(v->vm, v, intid);
}

static void unpend(struct vm *vm, struct vcpu *v, uint32_t intid)
{
	struct virq *irq = irq_of(vm, v, intid);

	irq->pending = false;
	irq->drop = irq->lr_owner;
	if (irq->hw_active && !irq->active && !irq->lr_owner) {
		irq->hw_active = false;
		arch_irq_deactivate(intid);
	}
	changed(vm, v, intid);
}

void vgic_unpend(struct vcpu *v, uint32_t intid)
{
	unpend(v->vm, v, intid);
}

void vgic_lower(struct vm *vm, uint32_t intid)
{
	hyp_lock(&vm->lock);
	if (!irq_of(vm, NULL, intid)->edge)
		unpend(vm, NULL, intid);
	hyp_unlock(&vm->lock);
}

void vgic_bind(struct vm *vm, uint32_t intid, const struct virq_source *source)
{
	hyp_lock(&vm->lock);
	irq_of(vm, NULL, intid)->source = source;
	if (!source)
		unpend(vm, NULL, intid);
	hyp_unlock(&vm->lock);
}

void vgic_fired(struct vcpu *v, uint32_t intid)
{
	struct vm *vm = v->vm;
	struct virq *irq;

	hyp_lock(&vm->lock);
	/* That it fired means that the last one ended, even if the list register has not told yet. */
	sync(v);
	irq = vgic_irq(v, intid);
	irq->lr_owner = 0;
	irq->hw_active = true;
	pend(vm, v, intid);
	__atomic_store_n(&v->refresh, 1, __ATOMIC_RELEASE);
	hyp_unlock(&vm->lock);
}

#define SGI_TARGETS(value)    ((uint32_t)(value)&0xffff)
#define SGI_AFF1(value)	      ((uint32_t)((value) >> 16) & 0xff)
#define SGI_INTID(value)      ((uint32_t)((value) >> 24) & 15)
#define SGI_AFF2(value)	      ((uint32_t)((value) >> 32) & 0xff)
#define SGI_ALL_OTHERS(value) ((value) >> 40 & 1)
#define SGI_RANGE(value)      ((uint32_t)((value) >> 44) & 15)
#define SGI_AFF3(value)	      ((uint32_t)((value) >> 48) & 0xff)

void vgic_sgi(struct vcpu *v, uint64_t value, bool group1)
{
	struct vm *vm = v->vm;
	bool others = SGI_ALL_OTHERS(value);

	/* A vCPU's affinity is its index in level 0, and 0 above. */
	if (!others && (SGI_AFF1(value) || SGI_AFF2(value) || SGI_AFF3(value) || SGI_RANGE(value)))
		return;
	hyp_lock(&vm->lock);
	for (unsigned int i = 0; i < vm->vcpus; i++) {
		struct vcpu *to = &vm->vcpu[i];

		if (others ? to != v : SGI_TARGETS(value) >> i & 1)
			if (to->private[SGI_INTID(value)].group1 == group1)
				pend(vm, to, SGI_INTID(value));
	}
	hyp_unlock(&vm->lock);
}

void vgic_dir(struct vcpu *v, uint32_t intid)
{
	struct virq *irq;

	if (intid >= INTID_END)
		return;
	vgic_begin(v);
	irq = vgic_irq(v, intid);
	if (irq->active) {
		irq->active = false;
		if (irq->hw_active)
			arch_irq_deactivate(intid);
		irq->hw_active = false;
		if (!irq->edge && irq->source && irq->source->asserted(irq->source->object))
			irq->pending = true;
		changed(v->vm, v, intid);
	}
	vgic_end(v);
}

/* --- For the register frames --- */

void vgic_begin(struct vcpu *v)
{
	hyp_lock(&v->vm->lock);
	sync(v);
}

void vgic_settle(struct vcpu *v)
{
	struct vm *vm = v->vm;

	/* Also those that are not loaded, for they may be before the last of the others has left its list registers. */
	v->settling = true;
	for (unsigned int i = 0; i < vm->vcpus; i++)
		vm->vcpu[i].want_sync += &vm->vcpu[i] != v;
	for (unsigned int i = 0; i < vm->vcpus; i++) {
		struct vcpu *w = &vm->vcpu[i];

		if (w == v || !w->loaded || !w->lr_used)
			continue;
		__atomic_store_n(&w->refresh, 1, __ATOMIC_RELEASE);
		arch_kick((unsigned int)w->cpu);
		while (w->lr_used) {
			/* This CPU's own list registers are empty, so nobody can wait for them meanwhile. */
			hyp_unlock(&vm->lock);
			arch_relax();
			hyp_lock(&vm->lock);
		}
	}
}

void vgic_end(struct vcpu *v)
{
	struct vm *vm = v->vm;

	for (unsigned int i = 0; i < vm->vcpus; i++) {
		struct vcpu *w = &vm->vcpu[i];

		if (!v->settling || w == v)
			continue;
		w->want_sync--;
		if (!w->loaded)
			continue;
		__atomic_store_n(&w->refresh, 1, __ATOMIC_RELEASE);
		arch_kick((unsigned int)w->cpu);
	}
	v->settling = false;
	flush(v);
	hyp_unlock(&vm->lock);
}

void vgic_reset_vcpu(struct vcpu *v)
{
	for (uint32_t intid = 0; intid < VM_PRIVATE; intid++) {
		v->private[intid] = idle_irq;
		v->private[intid].edge = intid < 16;
	}
	v->private[INTID_TIMER].hw = true;
	v->private_ready = 0;
	v->lr_used = 0;
	v->lr_stale = 0;
	v->refresh = 1;
}

void vgic_init(struct vm *vm, ipa_t gicd, ipa_t gicr, uint64_t stride)
{
	struct vgic *gic = &vm->gic;

	gic->gicd = gicd;
	gic->gicr = gicr;
	gic->stride = stride;
	gic->ctlr = 0;
	for (unsigned int i = 0; i < VM_SPIS; i++) {
		gic->spi[i] = idle_irq;
		gic->spi[i].hw = vm->primary && i + INTID_SPI_FIRST < arch_irq_end();
	}
	for (unsigned int i = 0; i < sizeof(gic->ready) / sizeof(gic->ready[0]); i++)
		gic->ready[i] = 0;
}
