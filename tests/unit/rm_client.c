/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primary's side of the resource manager's queue, for tests.
 */
#include <assert.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/rm_client.h"

struct rm_client client;

static uint16_t next_seq;
static uint16_t speaker; /* 0: the primary */

void rm_client_as(uint16_t vmid)
{
	speaker = vmid;
}

void rm_client_boot(void)
{
	static _Alignas(8) uint8_t tree[0x4000];

	fake_reset();
	memset(&client, 0, sizeof(client));
	speaker = 0;

	bool ready = !fdt_create_empty_tree(tree, sizeof(tree)) && rm_init(tree, sizeof(tree));

	assert(ready);
}

void rm_client_forget(void)
{
	client.notes = 0;
	client.replied = false;
}

static void take(const struct gh_rm_header *h, const uint8_t *payload, size_t size)
{
	static size_t got;

	switch (h->type & GH_RM_TYPE_MASK) {
	case GH_RM_TYPE_NOTIFICATION:
		if (client.notes == RM_NOTES)
			break;
		client.note[client.notes].id = h->id;
		client.note[client.notes].size = size;
		client.note[client.notes].before_reply = !client.replied;
		memcpy(client.note[client.notes++].payload, payload, size);
		break;
	case GH_RM_TYPE_REPLY:
		assert(size >= 4);
		memcpy(&client.error, payload, 4);
		got = size - 4;
		memcpy(client.reply, payload + 4, got);
		client.size = got;
		client.replied = true;
		break;
	case GH_RM_TYPE_CONTINUATION:
		assert(client.replied && got + size <= sizeof(client.reply));
		memcpy(client.reply + got, payload, size);
		got += size;
		client.size = got;
		break;
	default:
		abort(); /* the resource manager never asks */
	}
}

void rm_client_drain(void)
{
	uint8_t msg[GH_RM_MSG_SIZE];
	size_t size;

	while ((size = speaker ? fake_guest_take(speaker, msg) : fake_take(msg))) {
		struct gh_rm_header h;

		memcpy(&h, msg, sizeof(h));
		assert(h.api == GH_RM_API);
		take(&h, msg + sizeof(h), size - sizeof(h));
	}
}

uint32_t rm_ask(uint32_t id, const void *payload, size_t size)
{
	size_t fragments = size ? (size - 1) / GH_RM_PAYLOAD : 0, done = 0;
	struct gh_rm_header h = {
		.api = GH_RM_API,
		.type = (uint8_t)(fragments << GH_RM_FRAGMENTS_SHIFT) | GH_RM_TYPE_REQUEST,
		.seq = next_seq++,
		.id = id,
	};

	client.replied = false;
	do {
		size_t part = size - done > GH_RM_PAYLOAD ? GH_RM_PAYLOAD : size - done;
		uint8_t msg[GH_RM_MSG_SIZE];

		memcpy(msg, &h, sizeof(h));
		if (part)
			memcpy(msg + sizeof(h), (const uint8_t *)payload + done, part);
		if (!speaker)
			rm_receive(msg, sizeof(h) + part);
		else if (!fake_guest_send(speaker, msg, sizeof(h) + part))
			return ~1u;
		done += part;
		h.type = (uint8_t)(fragments << GH_RM_FRAGMENTS_SHIFT);
	} while (done < size);
	rm_client_drain();
	return client.replied ? client.error : ~1u;
}

uint32_t rm_ask_vmid(uint32_t id, uint16_t vmid)
{
	struct gh_rm_vmid request = { .vmid = vmid };

	return rm_ask(id, &request, sizeof(request));
}

uint32_t rm_reply_u32(size_t offset)
{
	uint32_t value;

	assert(offset + 4 <= client.size);
	memcpy(&value, client.reply + offset, sizeof(value));
	return value;
}

unsigned int rm_states(uint16_t vmid, uint8_t *states, unsigned int max)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < client.notes; i++) {
		struct gh_rm_vm_status s;

		if (client.note[i].id != GH_RM_NOTIFY_VM_STATUS)
			continue;
		memcpy(&s, client.note[i].payload, sizeof(s));
		if (s.vmid == vmid && count < max)
			states[count++] = s.vm_state;
	}
	return count;
}

/* --- Steps --- */

uint16_t rm_new_vm(void)
{
	return rm_ask_vmid(GH_RM_VM_ALLOCATE, 0) ? 0 : (uint16_t)rm_reply_u32(0);
}

uint32_t rm_give_labelled(uint32_t id, uint16_t vmid, struct gh_rm_sgl range, uint32_t label,
			  uint32_t *handle)
{
	uint16_t acls = id == GH_RM_MEM_SHARE ? 2 : 1;
	struct gh_rm_mem_share head = { .label = label };
	struct gh_rm_acl acl[2] = { { .vmid = vmid, .rights = 7 },
				    { .vmid = GH_VMID_PRIMARY, .rights = 7 } };
	uint8_t msg[64], *p = msg;
	uint32_t err;

	p = mempcpy(p, &head, sizeof(head));
	p = mempcpy(p, &(struct gh_rm_list){ .count = acls }, sizeof(struct gh_rm_list));
	p = mempcpy(p, acl, acls * sizeof(acl[0]));
	p = mempcpy(p, &(struct gh_rm_list){ .count = 1 }, sizeof(struct gh_rm_list));
	p = mempcpy(p, &range, sizeof(range));
	p = mempcpy(p, &(struct gh_rm_list){ .count = 0 }, sizeof(struct gh_rm_list));
	err = rm_ask(id, msg, (size_t)(p - msg));
	if (!err && handle)
		*handle = rm_reply_u32(0);
	return err;
}

uint32_t rm_give(uint32_t id, uint16_t vmid, pa_t pa, uint64_t size, uint32_t *handle)
{
	return rm_give_labelled(id, vmid, (struct gh_rm_sgl){ .ipa = pa, .size = size }, 0, handle);
}

uint32_t rm_config(uint16_t vmid, uint32_t handle, uint64_t dtb_offset, uint64_t dtb_size)
{
	struct gh_rm_vm_config_image request = {
		.vmid = vmid,
		.mem_handle = handle,
		.dtb_offset = dtb_offset,
		.dtb_size = dtb_size,
	};

	return rm_ask(GH_RM_VM_CONFIG_IMAGE, &request, sizeof(request));
}

uint32_t rm_stop(uint16_t vmid, uint8_t flags)
{
	struct gh_rm_vm_stop request = { .vmid = vmid,
					 .flags = flags,
					 .reason = GH_RM_VM_STOP_REASON };

	return rm_ask(GH_RM_VM_STOP, &request, sizeof(request));
}

uint32_t rm_reclaim(uint32_t handle)
{
	struct gh_rm_mem_handle request = { .handle = handle };

	return rm_ask(GH_RM_MEM_RECLAIM, &request, sizeof(request));
}

/* --- Trees --- */

static void text(void *fdt, const char *name, const char *value)
{
	fdt_property(fdt, name, value, (int)strlen(value) + 1);
}

static void prop_pair(void *fdt, const char *name, uint64_t a, uint64_t b)
{
	fdt64_t pair[] = { cpu_to_fdt64(a), cpu_to_fdt64(b) };

	fdt_property(fdt, name, pair, sizeof(pair));
}

static void write_cpus(void *fdt, const struct tree_options *o)
{
	fdt_begin_node(fdt, "cpus");
	fdt_property_u32(fdt, "#address-cells", 1);
	fdt_property_u32(fdt, "#size-cells", 0);
	for (unsigned int i = 0; i < (o->cpus ? o->cpus : 2); i++) {
		char name[16];

		snprintf(name, sizeof(name), "cpu@%x", i);
		fdt_begin_node(fdt, name);
		text(fdt, "device_type", "cpu");
		fdt_property_u32(fdt, "reg", i);
		if (!o->no_psci)
			text(fdt, "enable-method", "psci");
		fdt_end_node(fdt);
	}
	fdt_end_node(fdt);
}

static void write_gic(void *fdt, const struct tree_options *o)
{
	uint64_t gicr = o->gicr_size ? o->gicr_size : 0x20000u * (o->cpus ? o->cpus : 2);
	fdt64_t reg[] = { cpu_to_fdt64(0x3fff0000), cpu_to_fdt64(0x10000),
			  cpu_to_fdt64(0x3fff0000 - gicr), cpu_to_fdt64(gicr) };

	fdt_begin_node(fdt, "interrupt-controller@3fff0000");
	text(fdt, "compatible", "arm,gic-v3");
	fdt_property_u32(fdt, "#interrupt-cells", 3);
	fdt_property_u32(fdt, "phandle", 1);
	fdt_property(fdt, "interrupt-controller", "", 0);
	if (!o->gic_no_reg)
		fdt_property(fdt, "reg", reg, sizeof(reg));
	fdt_end_node(fdt);
}

static void write_peer_vdev(void *fdt, const struct tree_options *o, const char *type,
			    uint32_t label)
{
	char path[64];

	fdt_begin_node(fdt, type);
	text(fdt, "vdevice-type", type);
	snprintf(path, sizeof(path), "/hypervisor/%s", type);
	text(fdt, "generate", path);
	fdt_property_u32(fdt, "label", label);
	if (o->peer)
		text(fdt, "peer", o->peer);
	else
		fdt_property(fdt, "peer-default", "", 0);
	fdt_end_node(fdt);
}

static void write_peers(void *fdt, const struct tree_options *o)
{
	if (o->source)
		write_peer_vdev(fdt, o, "doorbell-source", 200);
	if (o->sink)
		write_peer_vdev(fdt, o, "doorbell", 200);
	if (o->pair)
		write_peer_vdev(fdt, o, "message-queue-pair", 201);
}

static void write_vdevs(void *fdt, const struct tree_options *o)
{
	fdt_begin_node(fdt, "vdevices");
	for (unsigned int i = 0; i < o->bells; i++) {
		fdt32_t irq[] = { 0, cpu_to_fdt32(o->same_spi ? 4 : 4 + i),
				  cpu_to_fdt32(i % 2 ? 4 : 1) };
		char name[64];

		snprintf(name, sizeof(name), "bell-%u", i);
		fdt_begin_node(fdt, name);
		text(fdt, "vdevice-type", "doorbell");
		snprintf(name, sizeof(name), "/hypervisor/bell-%u", i);
		text(fdt, "generate", name);
		fdt_property_u32(fdt, "label", 100 + i);
		fdt_property(fdt, "peer-default", "", 0);
		fdt_property(fdt, "source-can-clear", "", 0);
		if (i != 2)
			fdt_property(fdt, "interrupts", irq, sizeof(irq));
		fdt_end_node(fdt);
	}
	write_peers(fdt, o);
	if (o->rm_rpc) {
		fdt_begin_node(fdt, "rpc");
		text(fdt, "vdevice-type", "rm-rpc");
		text(fdt, "generate", "/hypervisor/qcom,resource-mgr");
		fdt_end_node(fdt);
	}
	for (unsigned int i = 0; i < o->clocks; i++) {
		fdt_begin_node(fdt, i ? "clock2" : "clock");
		text(fdt, "vdevice-type", "vrtc-pl031");
		if (o->clock_base)
			fdt_property_u64(fdt, "base", o->clock_base);
		else
			fdt_property(fdt, "allocate-base", "", 0);
		fdt_end_node(fdt);
	}
	if (o->shm) {
		fdt_begin_node(fdt, "shm");
		text(fdt, "vdevice-type", "shm");
		text(fdt, "generate", "/hypervisor/buffer-dev");
		text(fdt, "push-compatible", "croft,test-buffer");
		fdt_property_u32(fdt, "label", 77);
		fdt_property(fdt, "peer-default", "", 0);
		fdt_begin_node(fdt, "memory");
		fdt_property_u32(fdt, "#address-cells", 2);
		fdt_property_u32(fdt, "label", 77);
		fdt_property_u64(fdt, "base", 0x200000000ull);
		fdt_end_node(fdt);
		fdt_end_node(fdt);
	}
	fdt_end_node(fdt);
}

static void write_config(void *fdt, const struct tree_options *o)
{
	fdt_begin_node(fdt, "gunyah-vm-config");
	if (!o->no_image_name)
		text(fdt, "image-name", o->name ? o->name : "demo-vm");
	if (o->attrs)
		text(fdt, "vm-attrs", o->attrs);
	if (o->trusted)
		fdt_property(fdt, "iomemory-ranges", "", 0);
	fdt_begin_node(fdt, "memory");
	fdt_property_u32(fdt, "#address-cells", 2);
	fdt_property_u32(fdt, "#size-cells", 2);
	fdt_property_u64(fdt, "base-address", o->base ? o->base : 0x80000000);
	if (o->size_max)
		fdt_property_u64(fdt, "size-max", o->size_max);
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "interrupts");
	if (o->gic_phandle)
		fdt_property_u32(fdt, "config", 1);
	else
		text(fdt, "config", "/interrupt-controller@3fff0000");
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "vcpus");
	text(fdt, "affinity", o->static_affinity ? "static" : "proxy");
	fdt_end_node(fdt);
	write_vdevs(fdt, o);
	fdt_end_node(fdt);
}

static void write_root(void *fdt, const struct tree_options *o)
{
	if (!o->no_chosen) {
		fdt_begin_node(fdt, "chosen");
		text(fdt, "bootargs", "console=hvc0");
		fdt_end_node(fdt);
	}
	fdt_begin_node(fdt, o->memory_unit ? "memory@80000000" : "memory");
	text(fdt, "device_type", "memory");
	prop_pair(fdt, "reg", 0x80000000, 0x1000);
	fdt_end_node(fdt);
	if (o->hypervisor) {
		fdt_begin_node(fdt, "hypervisor");
		fdt_end_node(fdt);
	}
	if (o->reserved) {
		fdt_begin_node(fdt, "reserved-memory");
		fdt_property_u32(fdt, "#address-cells", 2);
		fdt_property_u32(fdt, "#size-cells", 2);
		fdt_begin_node(fdt, "pool");
		if (o->reserved_label)
			fdt_property_u32(fdt, "qcom,label", o->reserved_label);
		prop_pair(fdt, "reg", o->reserved_base, o->reserved_size);
		fdt_end_node(fdt);
		fdt_end_node(fdt);
	}
	if (!o->no_psci) {
		fdt_begin_node(fdt, "psci");
		text(fdt, "compatible", "arm,psci-1.0");
		text(fdt, "method", "hvc");
		fdt_end_node(fdt);
	}
}

size_t rm_write_tree(pa_t pa, const struct tree_options *o)
{
	void *fdt = hyp_ptr(pa);
	int err;

	fdt_create(fdt, TREE_MAX);
	fdt_finish_reservemap(fdt);
	fdt_begin_node(fdt, "");
	fdt_property_u32(fdt, "#address-cells", 2);
	fdt_property_u32(fdt, "#size-cells", 2);
	fdt_property_u32(fdt, "interrupt-parent", 1);
	write_root(fdt, o);
	write_cpus(fdt, o);
	write_gic(fdt, o);
	write_config(fdt, o);
	fdt_end_node(fdt);
	err = fdt_finish(fdt);
	assert(!err);
	return fdt_totalsize(fdt);
}

const void *rm_guest_tree(pa_t pa)
{
	const void *fdt = hyp_ptr(pa);

	return fdt_check_full(fdt, TREE_MAX) ? NULL : fdt;
}

uint32_t rm_make(struct rm_test_vm *vm, uint32_t how, const struct tree_options *o)
{
	uint32_t err;

	vm->vmid = rm_new_vm();
	if (!vm->vmid)
		return client.error;
	rm_write_tree(vm->pa + TREE_OFFSET, o);
	err = rm_give(how, vm->vmid, vm->pa, vm->size, &vm->handle);
	if (!err)
		err = rm_config(vm->vmid, vm->handle, TREE_OFFSET, TREE_MAX);
	return err ? err : rm_ask_vmid(GH_RM_VM_INIT, vm->vmid);
}

uint32_t rm_unmake(struct rm_test_vm *vm)
{
	uint32_t err = rm_ask_vmid(GH_RM_VM_RESET, vm->vmid);

	if (!err)
		err = rm_reclaim(vm->handle);
	return err ? err : rm_ask_vmid(GH_RM_VM_DEALLOCATE, vm->vmid);
}
