/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what the resource manager reads from and writes into device trees of guests.
 *
 * An input that begins with an even byte is the blob itself. An odd one is a recipe: bytes that
 * choose nodes, properties and values from the names that the resource manager looks for.
 */
#include <assert.h>
#include <libfdt.h>
#include <string.h>

#include "tests/unit/rm_client.h"

#define IMAGE_SIZE 0x200000u
#define NODES_MAX  200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const node_names[] = {
	"gunyah-vm-config",
	"qcom,vm-config",
	"memory",
	"interrupts",
	"vcpus",
	"vdevices",
	"cpus",
	"cpu@0",
	"cpu@1",
	"chosen",
	"hypervisor",
	"reserved-memory",
	"pool",
	"gic",
	"psci",
	"bell",
	"shm",
	"memory@80000000",
	"aliases",
};

static const char *const property_names[] = {
	"image-name",
	"vm-uri",
	"vm-guid",
	"vm-attrs",
	"#address-cells",
	"#size-cells",
	"base-address",
	"size-min",
	"size-max",
	"is-direct",
	"config",
	"affinity",
	"device_type",
	"status",
	"enable-method",
	"cpu-idle-states",
	"compatible",
	"interrupt-controller",
	"#interrupt-cells",
	"#redistributor-regions",
	"redistributor-stride",
	"reg",
	"vdevice-type",
	"generate",
	"label",
	"qcom,label",
	"peer-default",
	"peer",
	"push-compatible",
	"source-can-clear",
	"base",
	"allocate-base",
	"optional",
	"dma_base",
	"interrupt-parent",
	"phandle",
	"reusable",
	"iomemory-ranges",
	"qcom,rm-mem-handle",
	"foo",
};

static const char *const texts[] = {
	"demo-vm",
	"proxy",
	"static",
	"cpu",
	"psci",
	"qcom,gunyah-hvc",
	"okay",
	"disabled",
	"fail",
	"memory",
	"arm,gic-v3",
	"arm,psci-1.0",
	"doorbell",
	"shm",
	"rm-rpc",
	"virtio-mmio",
	"/hypervisor/bell",
	"/gic",
	"/cpus",
	"/hypervisor/a/b/c",
	"/a",
	"//",
	"/hypervisor/qcom,gunyah-vm",
	"/",
	"no-reset",
	"no-shutdown",
	"crash-fatal",
	"01234567-89ab-cdef-0123-456789abcdef",
	"gic",
	"foo",
	"/reserved-memory/buffer@800000000",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct {
	const uint8_t *data;
	size_t left;
} in;

static uint8_t byte(void)
{
	if (!in.left)
		return 0;
	in.left--;
	return *in.data++;
}

static void text_property(void *fdt, const char *name)
{
	const char *value = texts[byte() % COUNT(texts)];

	fdt_property(fdt, name, value, (int)strlen(value) + 1);
}

static void number_property(void *fdt, const char *name)
{
	static const uint32_t usual[] = {
		0,	    1,		2,	    3,		4,	 32,
		77,	    0x1000,	0x10000,    0x20000,	0x40000, 0x3ffb0000,
		0x3fff0000, 0x80000000, 0x90000000, 0xfffff000,
	};
	fdt32_t cells[8];
	unsigned int count = byte() % 9;

	for (unsigned int i = 0; i < count; i++) {
		uint8_t b = byte();

		cells[i] = cpu_to_fdt32(b < 240 ? usual[b % COUNT(usual)] : byte() * 0x01010101u);
	}
	fdt_property(fdt, name, cells, (int)(count * 4));
}

static void raw_property(void *fdt, const char *name)
{
	uint8_t value[40];
	int size = byte() % 40;

	for (int i = 0; i < size; i++)
		value[i] = byte();
	fdt_property(fdt, name, value, size);
}

/* Bytes: 0.. a property of this node, 160.. a child, 224.. the node's end. */
static void follow_recipe(void *fdt)
{
	unsigned int depth = 1, nodes = 1;

	fdt_create(fdt, TREE_MAX);
	fdt_finish_reservemap(fdt);
	fdt_begin_node(fdt, "");
	while (in.left && nodes < NODES_MAX) {
		uint8_t b = byte();

		if (b < 160) {
			const char *name = property_names[byte() % COUNT(property_names)];

			if (b < 70)
				text_property(fdt, name);
			else if (b < 140)
				number_property(fdt, name);
			else
				raw_property(fdt, name);
		} else if (b < 224) {
			fdt_begin_node(fdt, node_names[byte() % COUNT(node_names)]);
			depth++;
			nodes++;
		} else if (depth > 1) {
			fdt_end_node(fdt);
			depth--;
		}
	}
	while (depth-- > 0)
		fdt_end_node(fdt);
	fdt_finish(fdt);
}

/* A whole life, with a labelled buffer offered; whatever the tree says, all must come back. */
static void life(struct rm_test_vm *vm)
{
	const struct gh_rm_sgl buffer = { .ipa = FAKE_RAM_BASE + 2 * IMAGE_SIZE, .size = 0x4000 };
	const struct hyp_halt off = { .type = GH_RM_EXIT_PSCI_SYSTEM_OFF };
	uint32_t handle = 0, err;

	vm->vmid = rm_new_vm();
	assert(rm_give(GH_RM_MEM_SHARE, vm->vmid, vm->pa, vm->size, &vm->handle) == GH_RM_OK);
	assert(rm_give_labelled(GH_RM_MEM_SHARE, vm->vmid, buffer, 77, &handle) == GH_RM_OK);
	assert(rm_config(vm->vmid, vm->handle, TREE_OFFSET, TREE_MAX) == GH_RM_OK);
	if (!rm_ask_vmid(GH_RM_VM_INIT, vm->vmid)) {
		rm_ask_vmid(GH_RM_VM_GET_ID, vm->vmid);
		rm_ask_vmid(GH_RM_VM_GET_HYP_RESOURCES, vm->vmid);
		if (!rm_ask_vmid(GH_RM_VM_START, vm->vmid))
			assert(rm_guest_tree(vm->pa + TREE_OFFSET));
	}
	fake_halt(vm->vmid, &off);
	err = rm_unmake(vm);
	if (err == GH_RM_ERROR_DENIED)
		return; /* the tree asked for no-reset, and got it */
	assert(err == GH_RM_OK && rm_reclaim(handle) == GH_RM_OK);
	assert(fake.pages == 0 && fake_primary_whole());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rm_test_vm vm = { .pa = FAKE_RAM_BASE, .size = IMAGE_SIZE };
	void *fdt;

	if (!size)
		return 0;
	in.data = data + 1;
	in.left = size - 1;
	rm_client_boot();
	fdt = hyp_ptr(vm.pa + TREE_OFFSET);
	memset(fdt, 0, TREE_MAX);
	if (data[0] & 1)
		follow_recipe(fdt);
	else
		memcpy(fdt, data + 1, size - 1 < TREE_MAX ? size - 1 : TREE_MAX);
	life(&vm);
	return 0;
}
