/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the resource manager writes into device trees: a guest's at START (section 2.2), the
 * primary's at boot (2.1).
 */
#include <string.h>

#include "core/rm.h"
#include "core/rm_fdt.h"

#define GROWTH	       0x10000u /* room for our nodes while a tree is edited */
#define SMALL	       0x4000u	/* up to here a final tree needs no room beside itself */
#define QUEUE_IRQ_FREE 960u
#define PATH_DEPTH_MAX 8u

static _Alignas(8) uint8_t work[RM_DTB_MAX + GROWTH];

/* --- Small helpers --- */

static char *put_text(char *to, const char *text)
{
	size_t size = strlen(text);

	memcpy(to, text, size + 1);
	return to + size;
}

static char *put_hex(char *to, uint64_t value, unsigned int digits)
{
	while (digits-- > 0)
		*to++ = "0123456789abcdef"[value >> digits * 4 & 0xf];
	*to = '\0';
	return to;
}

static unsigned int hex_digits(uint64_t value)
{
	unsigned int digits = 1;

	while (value >>= 4)
		digits++;
	return digits;
}

/* Properties that list texts are made one by one. */
static void set_compatible(struct rm_tree *t, int node, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		rm_tree_append(t, node, "compatible", list[i]);
}

static void set_pushed(struct rm_tree *t, int node, const struct rm_vdev *v)
{
	if (v->push)
		rm_tree_set(t, node, "compatible", v->push, v->push_size);
}

static void set_labels(struct rm_tree *t, int node, uint32_t label)
{
	rm_tree_u32(t, node, "qcom,label", label);
	rm_tree_u32(t, node, "label", label);
}

/* Makes the node at an absolute path, and those above it; fails when it exists. */
static int make_path(struct rm_tree *t, const char *path, const char *suffix)
{
	char name[RM_PATH_MAX + 24];
	int node = 0;

	for (unsigned int depth = 0; depth < PATH_DEPTH_MAX && *path == '/'; depth++) {
		const char *part = ++path;

		while (*path && *path != '/')
			path++;
		size_t size = (size_t)(path - part);

		if (!size || size >= RM_PATH_MAX)
			break;
		memcpy(name, part, size);
		name[size] = '\0';
		if (*path) {
			node = rm_tree_ensure(t, node, name);
			continue;
		}
		put_text(name + size, suffix);
		return rm_tree_add(t, node, name);
	}
	rm_tree_fail(t);
	return RM_FDT_NONE;
}

/* --- What is refused --- */

static const char *refused(const void *fdt)
{
	if (rm_fdt_child(fdt, 0, "hypervisor") >= 0)
		return "the tree has a /hypervisor node already";
	if (rm_fdt_child(fdt, 0, "chosen") < 0)
		return "the tree has no /chosen node";
	for (int n = rm_fdt_walk(fdt, 0); n >= 0; n = rm_fdt_walk(fdt, n)) {
		const char *type = rm_fdt_string(fdt, n, "device_type");

		if (type && strcmp(type, "memory") == 0 &&
		    (strcmp(rm_fdt_name(fdt, n), "memory") != 0 || rm_fdt_parent(fdt, n) != 0))
			return "a memory node is not named /memory";
	}
	return NULL;
}

/* --- /chosen and the interrupt controller --- */

static void patch_chosen(struct rm_tree *t)
{
	rm_tree_u64(t, rm_fdt_child(t->fdt, 0, "chosen"), "kaslr-seed", hyp_random());
}

/* A controller without reg gets the place that INIT chose. */
static const char *patch_gic(struct rm_tree *t, const struct rm_config *c)
{
	int gic = rm_config_gic(t->fdt, rm_config_root(t->fdt));
	unsigned int address, size;

	if (c->gic_has_reg)
		return NULL;
	if (!rm_fdt_cells(t->fdt, rm_fdt_parent(t->fdt, gic), &address, &size))
		return "interrupt controller: the parent's cells are not 1 or 2";
	rm_tree_string(t, gic, "compatible", "arm,gic-v3");
	rm_tree_u32(t, gic, "#redistributor-regions", 1);
	rm_tree_u64(t, gic, "redistributor-stride", c->gicr_stride);
	rm_tree_number(t, gic, "reg", c->gicd, address);
	rm_tree_number(t, gic, "reg", c->gicd_size, size);
	rm_tree_number(t, gic, "reg", c->gicr, address);
	rm_tree_number(t, gic, "reg", c->gicr_size, size);
	return NULL;
}

/* --- /reserved-memory --- */

static bool exclusive(const struct memparcel *p)
{
	return p->access_count == 1 && p->trans != GH_RM_MEM_TRANS_SHARE;
}

static const struct rm_vdev *vdev_of_buffer(const struct rm_config *c, uint32_t label)
{
	for (unsigned int i = 0; i < c->vdevs; i++)
		if (c->vdev[i].type == RM_VDEV_SHM && c->vdev[i].mem_label == label)
			return &c->vdev[i];
	return NULL;
}

/*
 * A node with a label stands for the parcel of that label, at the node's address; one without for
 * an accepted one.
 */
static struct memparcel *parcel_of_node(struct rm_vm *vm, const void *fdt, int node, ipa_t ipa,
					uint64_t size)
{
	struct memparcel *p = NULL;
	bool labelled;
	uint32_t label = 0;

	labelled = rm_fdt_u32(fdt, node, "qcom,label", &label);
	while ((p = memparcel_next(p))) {
		struct mem_access *a = memparcel_access(p, vm->vmid);

		if (!a || p->state != MEMPARCEL_COMPLETE || p->size != size)
			continue;
		if (labelled && p->label == label && a->role == MEM_NOT_ACCEPTED)
			return rm_vm_accept(vm, p, ipa, MEM_BUFFER) ? NULL : p;
		if ((!labelled || p->label == label) && a->role != MEM_NOT_ACCEPTED &&
		    a->ipa == ipa)
			return p;
	}
	return NULL;
}

static const char *match_reserved(struct rm_vm *vm, struct rm_tree *t)
{
	int parent = rm_fdt_child(t->fdt, 0, "reserved-memory");
	unsigned int address, size;

	if (parent < 0)
		return NULL;
	if (!rm_fdt_cells(t->fdt, parent, &address, &size))
		return "reserved-memory: cells are not 1 or 2";
	for (int n = rm_fdt_first(t->fdt, parent); n >= 0 && !t->err;
	     n = rm_fdt_sibling(t->fdt, n)) {
		uint32_t bytes;
		const uint8_t *reg = rm_fdt_prop(t->fdt, n, "reg", &bytes);
		const struct memparcel *p;

		if (!reg)
			continue;
		if (bytes != (address + size) * 4)
			return "reserved-memory: reg needs one range";
		p = parcel_of_node(vm, t->fdt, n, rm_fdt_number(reg, address),
				   rm_fdt_number(reg + address * 4, size));
		if (!p)
			return "reserved-memory: reg matches no parcel";
		if (rm_fdt_has(t->fdt, n, "reusable") && !exclusive(p))
			return "reserved-memory: reusable, but others have the parcel too";
		rm_tree_u32(t, n, "qcom,rm-mem-handle", p->handle);
	}
	return NULL;
}

static int node_of_parcel(const void *fdt, uint32_t handle)
{
	int n = rm_fdt_first(fdt, rm_fdt_child(fdt, 0, "reserved-memory"));
	uint32_t value;

	while (n >= 0 && !(rm_fdt_u32(fdt, n, "qcom,rm-mem-handle", &value) && value == handle))
		n = rm_fdt_sibling(fdt, n);
	return n;
}

static void add_buffer(struct rm_vm *vm, struct rm_tree *t, const struct memparcel *p, ipa_t ipa)
{
	const struct rm_vdev *v = vdev_of_buffer(&vm->config, p->label);
	int parent = rm_fdt_child(t->fdt, 0, "reserved-memory");
	unsigned int address = 2, size = 2;
	char name[32];
	int node;

	if (parent < 0) {
		parent = rm_tree_add(t, 0, "reserved-memory");
		rm_tree_u32(t, parent, "#address-cells", address);
		rm_tree_u32(t, parent, "#size-cells", size);
		rm_tree_set(t, parent, "ranges", "", 0);
	} else if (!rm_fdt_cells(t->fdt, parent, &address, &size)) {
		rm_tree_fail(t);
	}
	put_hex(put_text(name, "buffer@"), ipa, hex_digits(ipa));
	node = rm_tree_add(t, parent, name);
	if (v)
		set_pushed(t, node, v);
	rm_tree_number(t, node, "reg", ipa, address);
	rm_tree_number(t, node, "reg", p->size, size);
	rm_tree_set(t, node, "no-map", "", 0);
	rm_tree_set(t, node, "qcom,shared-memory", "", 0);
	rm_tree_number(t, node, "peers", p->owner, 1);
	for (unsigned int i = 0; i < p->access_count; i++)
		if (p->access[i].vmid && p->access[i].vmid != vm->vmid &&
		    p->access[i].vmid != p->owner)
			rm_tree_number(t, node, "peers", p->access[i].vmid, 1);
	rm_tree_u32(t, node, "qcom,rm-mem-handle", p->handle);
	rm_tree_u32(t, node, "qcom,label", p->label);
	rm_tree_phandle(t, node);
}

static void add_buffers(struct rm_vm *vm, struct rm_tree *t)
{
	struct memparcel *p = NULL;

	while ((p = memparcel_next(p))) {
		const struct mem_access *a = memparcel_access(p, vm->vmid);

		if (a && a->role == MEM_BUFFER && node_of_parcel(t->fdt, p->handle) < 0)
			add_buffer(vm, t, p, a->ipa);
	}
}

/* --- /memory --- */

/* The accepted ranges, sorted by address and merged; returns their number. */
static unsigned int collect_memory(const struct rm_vm *vm, struct sg *range)
{
	struct memparcel *p = NULL;
	unsigned int count = 0, merged = 0;

	while ((p = memparcel_next(p))) {
		const struct mem_access *a = memparcel_access(p, vm->vmid);
		unsigned int at = count;

		if (!a || a->role == MEM_NOT_ACCEPTED)
			continue;
		for (; at && range[at - 1].pa > a->ipa; at--)
			range[at] = range[at - 1];
		range[at] = (struct sg){ a->ipa, p->size };
		count++;
	}
	for (unsigned int i = 0; i < count; i++) {
		if (merged && range[merged - 1].pa + range[merged - 1].size == range[i].pa)
			range[merged - 1].size += range[i].size;
		else
			range[merged++] = range[i];
	}
	return merged;
}

static const char *patch_memory(const struct rm_vm *vm, struct rm_tree *t)
{
	struct sg range[MEMPARCELS_MAX];
	unsigned int count = collect_memory(vm, range), address, size;
	int node = rm_fdt_child(t->fdt, 0, "memory");

	if (!rm_fdt_cells(t->fdt, 0, &address, &size))
		return "the root's cells are not 1 or 2";
	if (node >= 0)
		rm_tree_remove(t, node);
	node = rm_tree_add(t, 0, "memory");
	rm_tree_string(t, node, "device_type", "memory");
	for (unsigned int i = 0; i < count; i++) {
		rm_tree_number(t, node, "reg", range[i].pa, address);
		rm_tree_number(t, node, "reg", range[i].size, size);
	}
	return NULL;
}

/* --- /hypervisor of a guest --- */

static void add_identity(struct rm_tree *t, int hypervisor, const struct rm_vm *vm)
{
	static const char *const compatible[] = { "qcom,gunyah-vm-id-1.0", "qcom,gunyah-vm-id" };
	int node = rm_tree_add(t, hypervisor, "qcom,gunyah-vm");

	set_compatible(t, node, compatible, 2);
	rm_tree_u32(t, node, "qcom,vmid", vm->vmid);
	rm_tree_u32(t, node, "qcom,owner-vmid", vm->owner);
	rm_tree_string(t, node, "qcom,vendor", "Qualcomm");
	rm_tree_string(t, node, "qcom,image-name", vm->config.image_name);
	if (vm->config.uri)
		rm_tree_string(t, node, "qcom,vm-uri", vm->config.uri);
	if (vm->config.guid_text)
		rm_tree_string(t, node, "qcom,vm-guid", vm->config.guid_text);
}

static void put_interrupt(struct rm_tree *t, int node, uint32_t intid, bool level)
{
	rm_tree_number(t, node, "interrupts", 0, 1);
	rm_tree_number(t, node, "interrupts", intid - 32, 1);
	rm_tree_number(t, node, "interrupts", level ? 4 : 1, 1);
}

/* A node named after a capability. */
static int cap_node(struct rm_tree *t, const struct rm_vdev *v, uint64_t cap)
{
	char suffix[24];
	int node;

	put_hex(put_text(suffix, "@"), cap, 16);
	node = make_path(t, v->generate, suffix);
	set_pushed(t, node, v);
	return node;
}

static void add_doorbell(struct rm_tree *t, const struct rm_vdev *v)
{
	static const char *const compatible[][2] = {
		{ "qcom,gunyah-doorbell-source", "qcom,gunyah-capability" },
		{ "qcom,gunyah-doorbell", "qcom,gunyah-capability" },
	};
	enum hyp_side side = v->type == RM_VDEV_SOURCE ? HYP_SENDER : HYP_RECEIVER;
	const struct hyp_end *own = &v->channel[side].own;
	int node = cap_node(t, v, own->cap);

	set_compatible(t, node, compatible[side], 2);
	rm_tree_u64(t, node, "reg", own->cap);
	if (side == HYP_RECEIVER)
		put_interrupt(t, node, own->intid, v->level[side]);
	set_labels(t, node, v->label);
}

static void set_queue_sizes(struct rm_tree *t, int node, uint32_t size, uint32_t depth)
{
	rm_tree_set(t, node, "qcom,is-full-duplex", "", 0);
	rm_tree_u32(t, node, "qcom,tx-message-size", size);
	rm_tree_u32(t, node, "qcom,rx-message-size", size);
	rm_tree_u32(t, node, "qcom,tx-queue-depth", depth);
	rm_tree_u32(t, node, "qcom,rx-queue-depth", depth);
}

static const char *const queue_compatible[] = { "qcom,gunyah-message-queue",
						"qcom,gunyah-capability" };

static void set_peer(struct rm_tree *t, int node, const struct rm_vm *vm, const struct rm_vdev *v,
		     const char *name)
{
	const struct rm_vm *peer = rm_vdev_peer(v);

	rm_tree_u32(t, node, name, peer ? peer->vmid : vm->owner);
}

/* One direction. */
static void add_queue(struct rm_tree *t, const struct rm_vdev *v)
{
	enum hyp_side side = v->has[HYP_SENDER] ? HYP_SENDER : HYP_RECEIVER;
	const struct hyp_end *own = &v->channel[side].own;
	int node = cap_node(t, v, own->cap);

	set_compatible(t, node, queue_compatible, 2);
	rm_tree_u64(t, node, "reg", own->cap);
	rm_tree_set(t, node, side == HYP_SENDER ? "is-sender" : "is-receiver", "", 0);
	rm_tree_u32(t, node, "tx_message_size", v->message_size);
	rm_tree_u32(t, node, "tx_queue_depth", v->depth);
	put_interrupt(t, node, own->intid, v->level[side]);
	set_labels(t, node, v->label);
}

/* Both directions: to a peer, or to us. */
static void add_pair(struct rm_tree *t, const struct rm_vm *vm, const struct rm_vdev *v,
		     unsigned int index)
{
	static const char *const rm_compatible[] = { "gunyah-resource-manager",
						     "qcom,resource-manager",
						     "qcom,resource-manager-1-0" };
	bool link = v->type == RM_VDEV_LINK;
	uint64_t tx = link ? vm->link.tx_cap : v->channel[HYP_SENDER].own.cap;
	uint64_t rx = link ? vm->link.rx_cap : v->channel[HYP_RECEIVER].own.cap;
	int node = cap_node(t, v, rx);

	if (link)
		set_compatible(t, node, rm_compatible, 3);
	set_compatible(t, node, queue_compatible, 2);
	rm_tree_number(t, node, "reg", tx, 2);
	rm_tree_number(t, node, "reg", rx, 2);
	put_interrupt(t, node, v->intid[HYP_SENDER], v->level[HYP_SENDER]);
	put_interrupt(t, node, v->intid[HYP_RECEIVER], v->level[HYP_RECEIVER]);
	set_queue_sizes(t, node, v->message_size, v->depth);
	if (link) {
		rm_tree_u32(t, node, "qcom,free-irq-start", 0);
		rm_tree_u32(t, node, "qcom,vdevice-handle", index);
		return;
	}
	set_peer(t, node, vm, v, "qcom,peer-vmid");
	set_peer(t, node, vm, v, "peer");
	set_labels(t, node, v->label);
}

static struct memparcel *buffer_of_vdev(const struct rm_vm *vm, const struct rm_vdev *v)
{
	struct memparcel *p = NULL;

	while ((p = memparcel_next(p))) {
		const struct mem_access *a = memparcel_access(p, vm->vmid);

		if (a && a->role == MEM_BUFFER && p->label == v->mem_label)
			return p;
	}
	return NULL;
}

static void add_shm(struct rm_tree *t, const struct rm_vm *vm, const struct rm_vdev *v)
{
	static const char *const compatible[] = { "qcom,shared-memory" };
	const struct memparcel *p = buffer_of_vdev(vm, v);
	uint32_t phandle;
	int node;

	if (!p)
		return;
	phandle = rm_tree_phandle(t, node_of_parcel(t->fdt, p->handle));
	node = make_path(t, v->generate, "");
	set_pushed(t, node, v);
	set_compatible(t, node, compatible, 1);
	rm_tree_u32(t, node, "buffer", phandle);
	rm_tree_u32(t, node, "memory-region", phandle);
	set_peer(t, node, vm, v, "peer");
	set_labels(t, node, v->label);
	if (v->has_dma_base)
		rm_tree_u64(t, node, "dma_base", v->dma_base);
}

static void add_hypervisor(struct rm_tree *t, const struct rm_vm *vm)
{
	static const char *const compatible[] = {
		"gunyah-hypervisor",
		"qcom,gunyah-hypervisor-1.0",
		"qcom,gunyah-hypervisor",
		"simple-bus",
	};
	int node = rm_tree_add(t, 0, "hypervisor");

	rm_tree_u32(t, node, "#address-cells", 2);
	rm_tree_u32(t, node, "#size-cells", 0);
	set_compatible(t, node, compatible, 4);
	add_identity(t, node, vm);
	for (unsigned int i = 0; i < vm->config.vdevs; i++) {
		const struct rm_vdev *v = &vm->config.vdev[i];

		switch (v->type) {
		case RM_VDEV_DOORBELL:
		case RM_VDEV_SOURCE:
			add_doorbell(t, v);
			break;
		case RM_VDEV_QUEUE:
			add_queue(t, v);
			break;
		case RM_VDEV_PAIR:
		case RM_VDEV_LINK:
			add_pair(t, vm, v, i);
			break;
		default:
			add_shm(t, vm, v);
		}
	}
}

/* --- A guest's tree --- */

static void add_vsoc(struct rm_tree *t)
{
	int node;

	if (rm_fdt_child(t->fdt, 0, "vsoc") >= 0)
		return;
	node = rm_tree_add(t, 0, "vsoc");
	rm_tree_u32(t, node, "#address-cells", 2);
	rm_tree_u32(t, node, "#size-cells", 2);
	rm_tree_set(t, node, "ranges", "", 0);
	rm_tree_string(t, node, "compatible", "simple-bus");
}

/* Linux' driver of a PL031 wants a bus clock, whatever its rate. */
static void add_rtc(struct rm_tree *t, const struct rm_config *c)
{
	static const char *const compatible[] = { "arm,pl031", "arm,primecell" };
	int node = rm_tree_add(t, rm_fdt_child(t->fdt, 0, "vsoc"), "vrtc-pclk");
	unsigned int address, size;
	uint32_t phandle;

	rm_tree_string(t, node, "compatible", "fixed-clock");
	rm_tree_u32(t, node, "#clock-cells", 0);
	rm_tree_u32(t, node, "clock-frequency", 1);
	phandle = rm_tree_phandle(t, node);
	node = rm_fdt_child(t->fdt, 0, "vsoc");
	if (!rm_fdt_cells(t->fdt, node, &address, &size))
		rm_tree_fail(t);
	node = rm_tree_add(t, node, "vrtc");
	set_compatible(t, node, compatible, 2);
	rm_tree_number(t, node, "reg", c->rtc, address);
	rm_tree_number(t, node, "reg", HYP_PAGE, size);
	rm_tree_string(t, node, "clock-names", "apb_pclk");
	rm_tree_u32(t, node, "clocks", phandle);
}

static const char *edit(struct rm_vm *vm, struct rm_tree *t)
{
	const char *wrong = refused(t->fdt);

	if (!wrong)
		wrong = patch_gic(t, &vm->config);
	if (!wrong)
		wrong = match_reserved(vm, t);
	if (!wrong && rm_vm_accept_rest(vm))
		wrong = "a shared buffer cannot be mapped";
	if (wrong)
		return wrong;
	add_buffers(vm, t);
	wrong = patch_memory(vm, t);
	if (!wrong) {
		patch_chosen(t);
		add_vsoc(t);
		if (vm->config.has_rtc)
			add_rtc(t, &vm->config);
		add_hypervisor(t, vm);
	}
	return wrong;
}

const char *rm_patch_tree(struct rm_vm *vm, const struct memparcel *image)
{
	struct rm_tree t;
	const char *wrong;
	size_t size;

	rm_tree_open(&t, work, sizeof(work), vm->tree);
	wrong = t.err ? "the tree is too large" : edit(vm, &t);
	if (wrong)
		return wrong;
	size = rm_tree_close(&t);
	if (!size)
		return "the tree cannot be completed: too many nodes, or two of one name";
	if (size > vm->dtb_size || (size > SMALL && size > vm->dtb_size / 2))
		return "the completed tree does not fit: dtb size";
	return memparcel_write(image, vm->dtb_offset, work, size) ? NULL
								  : "the tree's place is gone";
}

/* --- The primary's tree --- */

static void add_link(struct rm_tree *t, int hypervisor)
{
	static const char *const compatible[] = {
		"gunyah-resource-manager",
		"qcom,resource-manager-1-0",
		"qcom,resource-manager",
	};
	struct hyp_rm_link link;
	char name[64];
	int node;

	hyp_rm_link(&link);
	put_hex(put_text(name, "qcom,resource-manager-rpc@"), link.tx_cap, 16);
	node = rm_tree_add(t, hypervisor, name);
	set_compatible(t, node, compatible, 3);
	rm_tree_number(t, node, "reg", link.tx_cap, 2);
	rm_tree_number(t, node, "reg", link.rx_cap, 2);
	for (unsigned int i = 0; i < 2; i++) {
		rm_tree_number(t, node, "interrupts", 0, 1);
		rm_tree_number(t, node, "interrupts", (i ? link.rx_virq : link.tx_virq) - 32, 1);
		rm_tree_number(t, node, "interrupts", 1, 1);
	}
	rm_tree_u32(t, node, "qcom,free-irq-start", QUEUE_IRQ_FREE);
	set_queue_sizes(t, node, GH_RM_MSG_SIZE, GH_RM_QUEUE_DEPTH);
}

bool rm_patch_primary(void *dtb, size_t capacity)
{
	static const char *const compatible[] = {
		"qcom,gunyah-hypervisor-1.0",
		"qcom,gunyah-hypervisor",
		"simple-bus",
	};
	static const char *const identity[] = { "qcom,gunyah-vm-id-1.0", "qcom,gunyah-vm-id" };
	struct rm_tree t;
	size_t size;
	int node, vm;

	if (!dtb || !rm_fdt_valid(dtb, capacity))
		return false;
	rm_tree_open(&t, work, sizeof(work), dtb);
	node = rm_tree_add(&t, 0, "hypervisor");
	rm_tree_u32(&t, node, "#address-cells", 2);
	rm_tree_u32(&t, node, "#size-cells", 0);
	set_compatible(&t, node, compatible, 3);
	/* All hypervisors of this ABI answer with one UID; tests want to know which one it is. */
	rm_tree_string(&t, node, "croft,product", "refhyp");
	vm = rm_tree_add(&t, node, "qcom,gunyah-vm");
	set_compatible(&t, vm, identity, 2);
	rm_tree_u32(&t, vm, "qcom,vmid", GH_VMID_PRIMARY);
	rm_tree_u32(&t, vm, "qcom,owner-vmid", GH_VMID_RM);
	rm_tree_string(&t, vm, "qcom,vendor", "Qualcomm");
	add_link(&t, node);
	size = rm_tree_close(&t);
	if (!size || size > capacity)
		return false;
	memcpy(dtb, work, size);
	hyp_clean(dtb, size);
	return true;
}
