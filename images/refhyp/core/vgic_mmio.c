/* SPDX-License-Identifier: GPL-2.0-only */
/* The register frames of the virtual GICv3: the distributor, and a redistributor for each vCPU. */
#include "core/arch.h"
#include "core/vgic.h"

/* Files of registers; in the redistributor's second frame at the same offsets. */
#define IGROUPR	      0x0080
#define ISENABLER     0x0100
#define ICENABLER     0x0180
#define ISPENDR	      0x0200
#define ICPENDR	      0x0280
#define ISACTIVER     0x0300
#define ICACTIVER     0x0380
#define IPRIORITYR    0x0400
#define ITARGETSR     0x0800
#define ICFGR	      0x0c00
#define IGRPMODR      0x0d00
#define NSACR	      0x0e00
#define SGIR	      0x0f00
#define SGI_FILES_END 0x0f30
#define IROUTER	      0x6100 /* of INTID 32 */
#define IROUTER_END   (0x6000 + INTID_END * 8)
#define ID_FIRST      0xffd0
#define PIDR2	      0xffe8

#define GICD_CTLR      0x0000
#define GICD_TYPER     0x0004
#define GICD_IIDR      0x0008
#define GICD_TYPER2    0x000c
#define STATUSR	       0x0010
#define SETSPI_NSR     0x0040
#define CLRSPI_NSR     0x0048
#define SETSPI_SR      0x0050
#define CLRSPI_SR      0x0058
#define GICR_CTLR      0x0000
#define GICR_IIDR      0x0004
#define GICR_TYPER     0x0008
#define GICR_WAKER     0x0014
#define GICR_PROPBASER 0x0070
#define GICR_PENDBASER 0x0078
#define GICR_PRIVATE   0x10000

#define CTLR_ALWAYS 0x50u /* one security state, affinity routing */
/* 1020 INTIDs, message-based SPIs, 10 bits of INTID, affinity level 3, no 1-of-N. */
#define TYPER_VALUE   (31u | 1u << 16 | 9u << 19 | 1u << 24 | 1u << 25)
#define IIDR_VALUE    0x47000070u
#define PIDR2_VALUE   0x30u
#define GICR_LAST     (1ull << 4)
#define PRIORITY_MASK 0xf8u /* five bits */
#define ROUTE_MASK    0x80ffffffu

struct reg {
	struct vcpu *v;	    /* who accesses */
	struct vcpu *owner; /* whose private interrupts; the accessor for SPIs */
	uint32_t offset, size;
	bool write, priv; /* priv: a redistributor's */
	uint64_t value;
};

/* Which interrupts a register covers: `n` of them from `first`. False: it is not of this file. */
static bool covers(const struct reg *r, uint32_t file, uint32_t bits, uint32_t *first)
{
	uint32_t last = r->priv ? VM_PRIVATE : 1024;

	if (r->offset < file || r->offset >= file + last * bits / 8)
		return false;
	*first = (r->offset - file) * 8 / bits;
	return true;
}

/* Bits of private interrupts in the distributor, and beyond the last SPI, are zero and ignore writes. */
static bool exists(const struct reg *r, uint32_t intid)
{
	return r->priv ? intid < VM_PRIVATE : intid >= INTID_SPI_FIRST && intid < INTID_END;
}

static bool hw(const struct virq *irq, uint32_t intid)
{
	return irq->hw && intid >= INTID_SPI_FIRST;
}

static void set_pending(struct vcpu *v, uint32_t intid, bool on)
{
	struct virq *irq = vgic_irq(v, intid);

	if (hw(irq, intid)) {
		/* The physical interrupt comes back through the front door. */
		arch_irq_set_pending(intid, on);
		if (on)
			return;
	}
	if (on) {
		irq->pending = true;
		vgic_changed(v, intid);
	} else {
		vgic_unpend(v, intid);
	}
}

static void set_active(struct vcpu *v, uint32_t intid, bool on)
{
	struct virq *irq = vgic_irq(v, intid);

	if (irq->active == on)
		return;
	irq->active = on;
	irq->holder = irq->target;
	if (hw(irq, intid) && on != irq->hw_active) {
		if (on)
			arch_irq_set_active(intid);
		else
			arch_irq_deactivate(intid);
		irq->hw_active = on;
	}
	vgic_changed(v, intid);
}

static void set_enabled(struct vcpu *v, uint32_t intid, bool on)
{
	struct virq *irq = vgic_irq(v, intid);

	if (irq->enabled == on)
		return;
	irq->enabled = on;
	if (hw(irq, intid))
		arch_irq_enable(intid, on);
	vgic_changed(v, intid);
}

static bool get_bit(const struct reg *r, uint32_t file, uint32_t intid)
{
	const struct virq *irq = vgic_irq(r->owner, intid);

	switch (file) {
	case IGROUPR:
		return irq->group1;
	case ISENABLER:
	case ICENABLER:
		return irq->enabled;
	case ISPENDR:
	case ICPENDR:
		return irq->pending || (hw(irq, intid) && arch_irq_pending(intid));
	default:
		return irq->active;
	}
}

static void write_bit(const struct reg *r, uint32_t file, uint32_t intid, bool bit)
{
	struct virq *irq = vgic_irq(r->owner, intid);

	if (file == IGROUPR) {
		irq->group1 = bit;
		vgic_changed(r->owner, intid);
		return;
	}
	if (!bit)
		return;
	switch (file) {
	case ISENABLER:
	case ICENABLER:
		set_enabled(r->owner, intid, file == ISENABLER);
		break;
	case ISPENDR:
	case ICPENDR:
		set_pending(r->owner, intid, file == ISPENDR);
		break;
	default:
		set_active(r->owner, intid, file == ISACTIVER);
	}
}

/* The seven files with one bit an interrupt. */
static bool bit_file(struct reg *r)
{
	uint32_t file = r->offset & ~0x7fu, first;
	uint64_t read = 0;

	if (file < IGROUPR || file > ICACTIVER || !covers(r, file, 1, &first) || r->size != 4)
		return false;
	if (file >= ISACTIVER)
		vgic_settle(r->v);
	for (uint32_t i = 0; i < 32; i++) {
		if (!exists(r, first + i))
			continue;
		if (r->write)
			write_bit(r, file, first + i, r->value >> i & 1);
		else
			read |= (uint64_t)get_bit(r, file, first + i) << i;
	}
	r->value = read;
	return true;
}

static bool priority_file(struct reg *r)
{
	uint64_t read = 0;
	uint32_t first;

	if (!covers(r, IPRIORITYR, 8, &first) || r->size > 4 || r->size == 2)
		return false;
	for (uint32_t i = 0; i < r->size; i++) {
		struct virq *irq;

		if (!exists(r, first + i))
			continue;
		irq = vgic_irq(r->owner, first + i);
		if (r->write)
			irq->priority = r->value >> 8 * i & PRIORITY_MASK;
		else
			read |= (uint64_t)irq->priority << 8 * i;
	}
	r->value = read;
	return true;
}

static bool config_file(struct reg *r)
{
	uint64_t read = 0;
	uint32_t first;

	if (!covers(r, ICFGR, 2, &first) || r->size != 4)
		return false;
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t intid = first + i;
		struct virq *irq;
		bool edge = r->value >> (2 * i + 1) & 1;

		if (!exists(r, intid))
			continue;
		irq = vgic_irq(r->owner, intid);
		if (!r->write) {
			read |= (uint64_t)irq->edge << (2 * i + 1);
		} else if (intid >= INTID_SPI_FIRST && irq->edge != edge) {
			/* Software interrupts are edges and our private ones levels, whatever is written. */
			irq->edge = edge;
			if (hw(irq, intid))
				arch_irq_set_edge(intid, edge);
		}
	}
	r->value = read;
	return true;
}

static void route(struct reg *r, uint32_t intid, uint32_t affinity)
{
	struct vm *vm = r->v->vm;
	struct virq *irq = vgic_irq(r->v, intid);

	irq->route = affinity & ROUTE_MASK;
	/* 1-of-N is not offered: it reads back, and the first vCPU takes the interrupt. */
	irq->target = affinity & 0x80ffff00 ? 0xff : (uint8_t)affinity;
	if (affinity >> 31)
		irq->target = 0;
	if (hw(irq, intid) && irq->target < vm->vcpus)
		arch_irq_route(intid, irq->target);
	vgic_changed(r->v, intid);
}

static bool router_file(struct reg *r)
{
	uint32_t intid = (r->offset - IROUTER) / 8 + INTID_SPI_FIRST;

	if (r->offset < IROUTER || r->offset >= IROUTER_END || r->size < 4)
		return false;
	if (r->offset & 4) {
		/* Affinity level 3, which no vCPU has. */
		r->value = 0;
		return true;
	}
	if (r->write)
		route(r, intid, r->size == 8 && r->value >> 32 ? 0x00ffffff : (uint32_t)r->value);
	else
		r->value = vgic_irq(r->v, intid)->route;
	return true;
}

/* What both frames have at the same place. */
static bool common_files(struct reg *r)
{
	bool sgi_files = r->offset >= SGIR && r->offset < SGI_FILES_END;

	if (bit_file(r) || priority_file(r) || config_file(r))
		return true;
	if ((r->offset >= IGRPMODR && r->offset < IGRPMODR + 0x80) ||
	    (r->offset >= NSACR && r->offset < NSACR + 0x100) || sgi_files ||
	    (r->offset >= ITARGETSR && r->offset < ITARGETSR + 0x400)) {
		r->value = 0;
		return r->size == 4 || r->size == 1;
	}
	return false;
}

static bool id_file(struct reg *r)
{
	if (r->offset < ID_FIRST || r->size != 4)
		return false;
	r->value = r->offset == PIDR2 ? PIDR2_VALUE : 0;
	return true;
}

static bool message_spi(struct reg *r)
{
	uint32_t intid = (uint32_t)r->value & 0x3ff;

	if (r->write && (r->offset == SETSPI_NSR || r->offset == CLRSPI_NSR) &&
	    intid >= INTID_SPI_FIRST && intid < INTID_END)
		set_pending(r->v, intid, r->offset == SETSPI_NSR);
	r->value = 0;
	return true;
}

static bool dist_access(struct reg *r)
{
	struct vm *vm = r->v->vm;

	if (r->size == 2 && (r->offset == SETSPI_NSR || r->offset == CLRSPI_NSR))
		return message_spi(r);
	if (common_files(r) || router_file(r) || id_file(r))
		return true;
	if (r->size != 4)
		return false;
	switch (r->offset) {
	case GICD_CTLR:
		if (r->write && vm->gic.ctlr != (r->value & 3)) {
			vm->gic.ctlr = (uint32_t)r->value & 3;
			vgic_changed_all(vm);
		}
		r->value = vm->gic.ctlr | CTLR_ALWAYS;
		return true;
	case GICD_TYPER:
		r->value = TYPER_VALUE;
		return true;
	case GICD_IIDR:
		r->value = IIDR_VALUE;
		return true;
	case GICD_TYPER2:
	case STATUSR:
		r->value = 0;
		return true;
	case SETSPI_NSR:
	case CLRSPI_NSR:
	case SETSPI_SR:
	case CLRSPI_SR:
		return message_spi(r);
	default:
		r->value = 0;
		return !r->write;
	}
}

static bool redist_access(struct reg *r)
{
	const struct vm *vm = r->v->vm;
	unsigned int index = r->owner->index;
	uint64_t typer = (uint64_t)index << 32 | index << 8 |
			 (index + 1 == vm->vcpus ? GICR_LAST : 0);

	if (r->offset >= GICR_PRIVATE) {
		r->offset -= GICR_PRIVATE;
		r->priv = true;
		if (common_files(r))
			return true;
		r->value = 0;
		return !r->write && r->size == 4;
	}
	if (id_file(r))
		return true;
	switch (r->offset) {
	case GICR_TYPER:
		r->value = r->size == 8 ? typer : (uint32_t)typer;
		return r->size >= 4;
	case GICR_TYPER + 4:
		r->value = typer >> 32;
		return r->size == 4;
	case GICR_IIDR:
		r->value = IIDR_VALUE;
		return r->size == 4;
	case GICR_CTLR:
	case STATUSR:
	case GICR_WAKER:
	case GICR_PROPBASER:
	case GICR_PROPBASER + 4:
	case GICR_PENDBASER:
	case GICR_PENDBASER + 4:
		/* Always awake, and without LPIs. */
		r->value = 0;
		return r->size >= 4;
	default:
		r->value = 0;
		return !r->write && r->size == 4;
	}
}

bool vgic_access(struct vcpu *v, const struct mmio_access *access, uint64_t *value, bool *mine)
{
	struct vm *vm = v->vm;
	struct vgic *gic = &vm->gic;
	struct reg r = { .v = v,
			 .owner = v,
			 .size = access->size,
			 .write = access->write,
			 .value = access->value };
	uint64_t frames = gic->stride * vm->vcpus;
	bool dist = gic->stride && access->ipa - gic->gicd < GICD_SIZE;
	bool ok;

	*mine = dist || (gic->stride && access->ipa - gic->gicr < frames);
	if (!*mine)
		return false;
	if (access->ipa & (access->size - 1u))
		return false;
	vgic_begin(v);
	if (dist) {
		r.offset = (uint32_t)(access->ipa - gic->gicd);
		ok = dist_access(&r);
	} else {
		uint64_t offset = access->ipa - gic->gicr;

		r.owner = &vm->vcpu[offset / gic->stride];
		r.offset = (uint32_t)(offset % gic->stride);
		ok = r.offset < GICR_SIZE && redist_access(&r);
	}
	vgic_end(v);
	*value = r.value;
	return ok;
}
