/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vdevices: doorbells and queues between a guest and its owner, or between two guests that name each other, a guest's link to
 * the resource manager, and its clock.
 *
 * Of two guests, whoever comes first to INIT makes the object and takes its end; the other one takes the end that is left,
 * when the labels are the same and each names the other as peer. One that goes leaves the object to the one that stays.
 */
#include <string.h>

#include "core/rm.h"
#include "core/rm_rpc.h"

#define VIRQ_FIRST 960u /* numbers that RM chooses itself */
#define VIRQ_END   1020u

/* --- Peers --- */

static const char *after_prefix(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);

	return strlen(text) > size && memcmp(text, prefix, size) == 0 ? text + size : NULL;
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Whether the text is this VM's; only a VM whose configuration is in force has names. */
static bool names(const char *text, const struct rm_vm *vm)
{
	return text && vm->configured && vm->hyp &&
	       (same(after_prefix(text, "vm-name:"), vm->config.image_name) ||
		same(after_prefix(text, "vm-uri:"), vm->config.uri) ||
		same(after_prefix(text, "vm-guid:"), vm->config.guid_text));
}

struct rm_vm *rm_vdev_peer(const struct rm_vdev *v)
{
	struct rm_vm *vm = NULL;

	while (v->peer && (vm = rm_vm_next(vm)))
		if (names(v->peer, vm))
			return vm;
	return NULL;
}

bool rm_vdev_are_peers(const struct rm_vm *a, const struct rm_vm *b)
{
	for (unsigned int i = 0; a->configured && i < a->config.vdevs; i++)
		if (names(a->config.vdev[i].peer, b))
			return true;
	return false;
}

static bool fits(const struct rm_vdev *v, const struct rm_vdev *w)
{
	if (v->label != w->label)
		return false;
	switch (v->type) {
	case RM_VDEV_DOORBELL:
		return w->type == RM_VDEV_SOURCE;
	case RM_VDEV_SOURCE:
		return w->type == RM_VDEV_DOORBELL;
	default:
		return w->type == v->type && w->message_size == v->message_size &&
		       w->depth == v->depth;
	}
}

/* The end that another guest's vdevice left for this one. */
static struct rm_channel *left_for(const struct rm_vm *vm, const struct rm_vdev *v,
				   enum hyp_side side)
{
	struct rm_vm *peer = rm_vdev_peer(v);

	for (unsigned int i = 0; peer && peer != vm && i < peer->config.vdevs; i++) {
		struct rm_vdev *w = &peer->config.vdev[i];
		struct rm_channel *c = &w->channel[!side];

		if (names(w->peer, vm) && fits(v, w) && c->object && !c->joined)
			return c;
	}
	return NULL;
}

/* --- Interrupts of the guest --- */

static bool intid_taken(const struct rm_config *c, uint32_t intid)
{
	unsigned int times = 0;

	for (unsigned int i = 0; i < c->vdevs; i++)
		for (unsigned int side = 0; side < 2; side++)
			times += c->vdev[i].intid[side] == intid;
	return times > 0;
}

static bool choose_intid(struct rm_config *c, uint32_t *intid)
{
	for (uint32_t n = VIRQ_FIRST; !*intid && n < VIRQ_END; n++)
		if (!intid_taken(c, n))
			*intid = n;
	return *intid;
}

static bool intids_differ(const struct rm_config *c)
{
	for (unsigned int i = 0; i < 2 * c->vdevs; i++)
		for (unsigned int j = 0; j < i; j++) {
			uint32_t a = c->vdev[i / 2].intid[i % 2];

			if (a && a == c->vdev[j / 2].intid[j % 2])
				return false;
		}
	return true;
}

/* --- INIT --- */

static const char *join(struct rm_vm *vm, struct rm_vdev *v, enum hyp_side side)
{
	struct rm_channel *c = &v->channel[side], *other = NULL;
	bool bell = v->type == RM_VDEV_DOORBELL || v->type == RM_VDEV_SOURCE;
	struct hyp_object *object;

	if (!v->peer_default)
		other = left_for(vm, v, side);
	if (other)
		object = other->object;
	else
		object = bell ? hyp_doorbell_new() : hyp_queue_new(v->depth, v->message_size);
	if (!object)
		return "no doorbell or queue left";
	c->own = (struct hyp_end){ .intid = v->intid[side],
				   .can_clear = v->type == RM_VDEV_SOURCE && v->source_can_clear };
	c->peer =
		(struct hyp_end){ .can_clear = v->type == RM_VDEV_DOORBELL && v->source_can_clear };
	if (hyp_attach(object, side, vm->hyp, &c->own)) {
		if (!other)
			hyp_detach(object, side);
		return "no capability left";
	}
	if (v->peer_default && hyp_attach(object, !side, hyp_primary(), &c->peer)) {
		hyp_detach(object, side);
		return "no capability or interrupt of the owner left";
	}
	c->object = object;
	c->joined = v->peer_default || other;
	if (other)
		other->joined = true;
	return NULL;
}

static const char *init_link(struct rm_vm *vm, const struct rm_vdev *v)
{
	if (rm_rpc_has(vm->vmid))
		return "a second rm-rpc";
	vm->link = (struct hyp_rm_link){ .tx_virq = v->intid[HYP_SENDER],
					 .rx_virq = v->intid[HYP_RECEIVER] };
	if (hyp_vm_add_link(vm->hyp, &vm->link) || !rm_rpc_open(vm->vmid, vm->hyp))
		return "no queues left for rm-rpc";
	return NULL;
}

/* Without a wish it lies right before the interrupt controller. */
static const char *init_rtc(struct rm_vm *vm, const struct rm_vdev *v)
{
	struct rm_config *c = &vm->config;

	c->rtc = v->has_base ? v->base : (c->gicd < c->gicr ? c->gicd : c->gicr) - HYP_PAGE;
	return hyp_vm_add_rtc(vm->hyp, c->rtc) ? "no place for the clock" : NULL;
}

static const char *init_one(struct rm_vm *vm, struct rm_vdev *v)
{
	const char *wrong = NULL;

	if (v->type == RM_VDEV_OTHER)
		return v->type_name;
	if (v->type == RM_VDEV_RTC)
		return init_rtc(vm, v);
	for (unsigned int side = 0; side < 2; side++)
		if (v->has[side] && !(v->type == RM_VDEV_SOURCE) &&
		    !choose_intid(&vm->config, &v->intid[side]))
			return "no interrupt is left for a vdevice";
	if (v->type == RM_VDEV_LINK)
		return init_link(vm, v);
	for (unsigned int side = 0; !wrong && side < 2; side++)
		if (v->has[side])
			wrong = join(vm, v, side);
	return wrong;
}

const char *rm_vdev_init(struct rm_vm *vm)
{
	/* The document's order; it decides who gets which number. */
	static const uint8_t order[] = { RM_VDEV_OTHER,	   RM_VDEV_RTC,	   RM_VDEV_LINK,
					 RM_VDEV_DOORBELL, RM_VDEV_SOURCE, RM_VDEV_QUEUE,
					 RM_VDEV_PAIR };
	struct rm_config *c = &vm->config;

	if (!intids_differ(c))
		return "a vdevice's interrupt is taken";
	for (size_t n = 0; n < sizeof(order); n++) {
		for (unsigned int i = 0; i < c->vdevs; i++) {
			const char *wrong = NULL;

			if (c->vdev[i].type == order[n])
				wrong = init_one(vm, &c->vdev[i]);
			if (wrong)
				return wrong;
		}
	}
	return NULL;
}

/* --- The reverse --- */

static void tell_peer(const struct rm_vm *vm, const struct hyp_object *object, enum hyp_side side)
{
	struct rm_vm *peer = NULL;

	while ((peer = rm_vm_next(peer)))
		for (unsigned int i = 0; peer != vm && peer->configured && i < peer->config.vdevs;
		     i++)
			if (peer->config.vdev[i].channel[side].object == object)
				peer->config.vdev[i].channel[side].joined = false;
}

static void part(struct rm_vm *vm, struct rm_vdev *v, enum hyp_side side)
{
	struct rm_channel *c = &v->channel[side];

	if (!c->object)
		return;
	if (v->peer_default)
		hyp_detach(c->object, !side);
	else if (c->joined)
		tell_peer(vm, c->object, !side);
	hyp_detach(c->object, side);
	c->object = NULL;
}

void rm_vdev_release(struct rm_vm *vm)
{
	rm_rpc_close(vm->vmid);
	for (unsigned int i = 0; vm->configured && i < vm->config.vdevs; i++)
		for (unsigned int side = 0; side < 2; side++)
			part(vm, &vm->config.vdev[i], side);
}

/* --- What the owner has of it --- */

static bool put_end(struct rm_call *call, const struct rm_vm *vm, unsigned int vdev,
		    enum hyp_side side)
{
	static const uint8_t types[2][2] = {
		{ GH_RM_RES_DOORBELL_RX, GH_RM_RES_DOORBELL_TX },
		{ GH_RM_RES_MSGQ_RX, GH_RM_RES_MSGQ_TX },
	};
	const struct rm_vdev *v = &vm->config.vdev[vdev];
	const struct rm_channel *c = &v->channel[side];
	struct gh_rm_hyp_resource r = {
		.type = types[v->message_size != 0][side],
		.partner_vmid = vm->vmid,
		.handle = vdev * 2 + side + 1,
		.label = v->label,
		.capid_low = (uint32_t)c->peer.cap,
		.capid_high = (uint32_t)(c->peer.cap >> 32),
		.virq = c->peer.intid,
	};

	return rm_put(call, &r, sizeof(r));
}

bool rm_vdev_put_resources(struct rm_call *call, const struct rm_vm *vm, uint32_t *count)
{
	for (unsigned int i = 0; vm->configured && i < vm->config.vdevs; i++) {
		const struct rm_vdev *v = &vm->config.vdev[i];

		for (unsigned int side = 0; side < 2; side++) {
			if (!v->peer_default || !v->channel[side].object)
				continue;
			if (!put_end(call, vm, i, side))
				return false;
			++*count;
		}
	}
	return true;
}
