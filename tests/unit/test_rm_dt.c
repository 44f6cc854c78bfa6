/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device trees through the resource manager: what a guest's must have, what it finds added, and the
 * primary's link.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <libfdt.h>

#include "tests/unit/rm_client.h"

#define BASE FAKE_RAM_BASE

static const struct tree_options plain;
static struct rm_test_vm vm;

static int boot(void **state)
{
	(void)state;
	rm_client_boot();
	vm = (struct rm_test_vm){ .pa = BASE + 0x400000, .size = 0x400000 };
	return 0;
}

static int whole(void **state)
{
	(void)state;
	assert_true(fake_primary_whole());
	assert_int_equal(fake.pages, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_free();
	return 0;
}

static void finish(void)
{
	rm_stop(vm.vmid, 1);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

/* Makes a VM of a tree and gives all back; the answers of INIT, or 0 and that of START. */
static void expect(const struct tree_options *o, uint32_t init, uint32_t start)
{
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, o), init);
	if (!init)
		assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), start);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_STATE, vm.vmid), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0),
			 init || start ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_RUNNING);
	finish();
	assert_true(fake_primary_whole());
	assert_int_equal(fake.pages, 0);
}

static void provoked_failures(void **state)
{
	(void)state;
	expect(&plain, 0, 0);
	expect(&(struct tree_options){ .no_chosen = true }, 0, GH_RM_ERROR_NORESOURCE);
	expect(&(struct tree_options){ .hypervisor = true }, 0, GH_RM_ERROR_NORESOURCE);
	expect(&(struct tree_options){ .memory_unit = true }, 0, GH_RM_ERROR_NORESOURCE);
	expect(&(struct tree_options){ .reserved = true,
				       .reserved_base = 0x90000000,
				       .reserved_size = 0x1000 },
	       0, GH_RM_ERROR_NORESOURCE);
	expect(&(struct tree_options){ .gicr_size = 0x20000 }, GH_RM_ERROR_NORESOURCE, 0);
	expect(&(struct tree_options){ .cpus = 3 }, GH_RM_ERROR_NORESOURCE, 0);
	expect(&(struct tree_options){ .no_image_name = true }, GH_RM_ERROR_MEM_INVALID, 0);
	expect(&(struct tree_options){ .size_max = 0x200000 }, 0, 0);
	expect(&(struct tree_options){ .trusted = true }, GH_RM_ERROR_ARGUMENT_INVALID, 0);
	expect(&(struct tree_options){ .attrs = "crash-fatal" }, GH_RM_ERROR_ARGUMENT_INVALID, 0);
	expect(&(struct tree_options){ .rm_rpc = true }, 0, 0);
	expect(&(struct tree_options){ .static_affinity = true }, GH_RM_ERROR_NORESOURCE, 0);
	expect(&(struct tree_options){ .no_psci = true }, GH_RM_ERROR_MEM_INVALID, 0);
	expect(&(struct tree_options){ .cpus = 1, .no_psci = true }, 0, 0);
	expect(&(struct tree_options){ .bells = 2, .same_spi = true }, GH_RM_ERROR_NORESOURCE, 0);
	expect(&(struct tree_options){ .shm = true }, 0, GH_RM_ERROR_NORESOURCE);
	expect(&(struct tree_options){ .gic_phandle = true }, 0, 0);
	expect(&(struct tree_options){ .base = 0x80000800 }, GH_RM_ERROR_MEM_INVALID, 0);
	expect(&(struct tree_options){ .base = 0x1000000000 }, GH_RM_ERROR_ARGUMENT_INVALID, 0);
	expect(&(struct tree_options){ .base = 0xfffe00000 }, GH_RM_ERROR_ARGUMENT_INVALID, 0);
	expect(&(struct tree_options){ .base = 0xfffffffffffff000 }, GH_RM_ERROR_MEM_INVALID, 0);
	expect(&(struct tree_options){ .base = 0x3fe00000 }, GH_RM_ERROR_NORESOURCE,
	       0); /* on the GIC */
	expect(&(struct tree_options){ .size_max = 0xfffffffffffff000 }, GH_RM_ERROR_MEM_INVALID,
	       0);
	expect(&(struct tree_options){ .size_max = 0xf90000000 }, GH_RM_ERROR_ARGUMENT_INVALID, 0);
	fake.bells_max = 1;
	expect(&(struct tree_options){ .bells = 2 }, GH_RM_ERROR_NORESOURCE, 0);
}

static void small_places(void **state)
{
	size_t size = rm_write_tree(vm.pa + TREE_OFFSET, &plain);
	static const struct {
		int more; /* than the tree's own size */
		uint32_t init, start;
	} places[] = {
		{ -1, GH_RM_ERROR_MEM_INVALID, 0 },
		{ 0, 0, GH_RM_ERROR_NORESOURCE },
		{ 4096, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint64_t place = (uint64_t)((int64_t)size + places[i].more);

		vm.vmid = rm_new_vm();
		assert_int_equal(rm_give(GH_RM_MEM_LEND, vm.vmid, vm.pa, vm.size, &vm.handle),
				 GH_RM_OK);
		assert_int_equal(rm_config(vm.vmid, vm.handle, TREE_OFFSET, place), GH_RM_OK);
		assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid), places[i].init);
		if (!places[i].init)
			assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), places[i].start);
		finish();
	}
}

static void broken_blobs(void **state)
{
	uint8_t *tree = hyp_ptr(vm.pa + TREE_OFFSET);
	size_t size = rm_write_tree(vm.pa + TREE_OFFSET, &plain);

	(void)state;
	vm.vmid = rm_new_vm();
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, vm.vmid, vm.pa, vm.size, &vm.handle), GH_RM_OK);
	/* Each word of the header, with numbers that lie. */
	for (unsigned int word = 0; word < 10; word++) {
		for (unsigned int n = 0; n < 5; n++) {
			static const uint32_t lies[] = { 0, 3, 0x10000, 0x7fffffff, 0xffffffff };
			uint32_t good, lie = cpu_to_fdt32(lies[n]);

			/* A later version is welcome, and the boot CPU may be any. */
			if ((word == 5 && n > 1) || (word == 6 && n < 2) || word == 7)
				continue;
			memcpy(&good, tree + word * 4, 4);
			memcpy(tree + word * 4, &lie, 4);
			assert_int_equal(rm_config(vm.vmid, vm.handle, TREE_OFFSET, TREE_MAX),
					 GH_RM_OK);
			assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid),
					 GH_RM_ERROR_MEM_INVALID);
			assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vm.vmid), GH_RM_OK);
			memcpy(tree + word * 4, &good, 4);
		}
	}
	/* A tree cut at each of its words. */
	for (size_t cut = 0; cut < size; cut += 4) {
		assert_int_equal(rm_config(vm.vmid, vm.handle, TREE_OFFSET, cut), GH_RM_OK);
		assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid), GH_RM_ERROR_MEM_INVALID);
		assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, vm.vmid), GH_RM_OK);
	}
	assert_int_equal(rm_config(vm.vmid, vm.handle, TREE_OFFSET, TREE_MAX), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_INIT, vm.vmid), GH_RM_OK);
	finish();
}

/* --- What the guest finds --- */

static const void *fdt;

static uint64_t number(const char *path, const char *name, unsigned int cell, unsigned int cells)
{
	int len;
	const fdt32_t *p = fdt_getprop(fdt, fdt_path_offset(fdt, path), name, &len);
	uint64_t value = 0;

	if (!p || len < (int)(cell + cells) * 4)
		fail_msg("%s: %s: no such cells", path, name);
	for (unsigned int i = 0; i < cells; i++)
		value = value << 32 | fdt32_to_cpu(p[cell + i]);
	return value;
}

static int length(const char *path, const char *name)
{
	int len;

	return fdt_getprop(fdt, fdt_path_offset(fdt, path), name, &len) ? len : -1;
}

static void expect_strings(const char *path, const char *name, const char *const *wanted, int count)
{
	int node = fdt_path_offset(fdt, path);

	assert_int_equal(fdt_stringlist_count(fdt, node, name), count);
	for (int i = 0; i < count; i++)
		assert_string_equal(fdt_stringlist_get(fdt, node, name, i, NULL), wanted[i]);
}

static void start(uint32_t how, const struct tree_options *o)
{
	assert_int_equal(rm_make(&vm, how, o), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	fdt = rm_guest_tree(vm.pa + TREE_OFFSET);
	assert_non_null(fdt);
}

static void the_guest_finds(void **state)
{
	static const char *const hypervisor[] = {
		"gunyah-hypervisor",
		"qcom,gunyah-hypervisor-1.0",
		"qcom,gunyah-hypervisor",
		"simple-bus",
	};
	static const char *const doorbell[] = { "qcom,gunyah-doorbell", "qcom,gunyah-capability" };
	static const char *const name[] = { "demo-vm" };
	static const char bell[] = "/hypervisor/bell-1@0000000000000001";
	const struct tree_options o = { .bells = 2 };

	(void)state;
	start(GH_RM_MEM_LEND, &o);
	expect_strings("/hypervisor", "compatible", hypervisor, 4);
	assert_int_equal(number("/hypervisor", "#address-cells", 0, 1), 2);
	assert_int_equal(number("/hypervisor", "#size-cells", 0, 1), 0);
	assert_int_equal(number("/hypervisor/qcom,gunyah-vm", "qcom,vmid", 0, 1), vm.vmid);
	assert_int_equal(number("/hypervisor/qcom,gunyah-vm", "qcom,owner-vmid", 0, 1), 3);
	expect_strings("/hypervisor/qcom,gunyah-vm", "qcom,image-name", name, 1);
	expect_strings(bell, "compatible", doorbell, 2);
	assert_int_equal(number(bell, "interrupts", 1, 1), 5);
	assert_int_equal(number(bell, "interrupts", 2, 1), 4);
	assert_int_equal(number(bell, "label", 0, 1), 101);
	assert_int_equal(number(bell, "qcom,label", 0, 1), 101);
	assert_int_equal(number("/chosen", "kaslr-seed", 0, 2), 0x0123456789abcdef);
	assert_int_equal(length("/memory", "reg"), 16);
	assert_int_equal(number("/memory", "reg", 0, 2), 0x80000000);
	assert_int_equal(number("/memory", "reg", 2, 2), vm.size);
	assert_int_equal(fdt_path_offset(fdt, "/reserved-memory"), -FDT_ERR_NOTFOUND);
	/* the rest of the tree is as it was */
	assert_string_equal(fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), "bootargs", NULL),
			    "console=hvc0");
	assert_true(fdt_path_offset(fdt, "/cpus/cpu@1") > 0);
	finish();
}

/* The clock's node, and the bus clock that Linux' driver asks for. */
static void clock_in_the_tree(void **state)
{
	static const char *const compatible[] = { "arm,pl031", "arm,primecell" };
	const struct tree_options given = { .clocks = 1, .clock_base = 0x09030000 };
	const struct tree_options chosen = { .clocks = 1, .cpus = 2 };
	int node;

	(void)state;
	start(GH_RM_MEM_LEND, &given);
	expect_strings("/vsoc/vrtc", "compatible", compatible, 2);
	assert_int_equal(length("/vsoc/vrtc", "reg"), 16);
	assert_int_equal(number("/vsoc/vrtc", "reg", 0, 2), 0x09030000);
	assert_int_equal(number("/vsoc/vrtc", "reg", 2, 2), 0x1000);
	expect_strings("/vsoc/vrtc", "clock-names", (const char *const[]){ "apb_pclk" }, 1);
	node = fdt_node_offset_by_phandle(fdt, (uint32_t)number("/vsoc/vrtc", "clocks", 0, 1));
	assert_string_equal(fdt_get_name(fdt, node, NULL), "vrtc-pclk");
	assert_int_equal(fdt_node_check_compatible(fdt, node, "fixed-clock"), 0);
	assert_int_equal(fake_vm(vm.vmid)->rtc, 0x09030000);
	finish();
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &chosen), GH_RM_OK);
	assert_true(fake_vm(vm.vmid)->rtc < 0x40000000);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
	expect(&(struct tree_options){ .clocks = 2 }, GH_RM_ERROR_MEM_INVALID, 0);
	expect(&(struct tree_options){ .clocks = 1, .clock_base = 0x09030800 },
	       GH_RM_ERROR_MEM_INVALID, 0);
	/* In the midst of the image. */
	expect(&(struct tree_options){ .clocks = 1, .clock_base = 0x80001000 }, 0,
	       GH_RM_ERROR_NORESOURCE);
}

static void base_is_rounded_up(void **state)
{
	const struct tree_options o = { .base = 0x80100000 };

	(void)state;
	start(GH_RM_MEM_LEND, &o);
	assert_int_equal(number("/memory", "reg", 0, 2), 0x80200000);
	assert_int_equal(fake_vm(vm.vmid)->vcpu[0].pc, 0x80200000);
	finish();
}

static void gic_is_placed_when_it_has_no_place(void **state)
{
	static const char gic[] = "/interrupt-controller@3fff0000";
	const struct tree_options o = { .gic_no_reg = true };

	(void)state;
	start(GH_RM_MEM_LEND, &o);
	assert_int_equal(fake_vm(vm.vmid)->gicd, 0x3fff0000);
	assert_int_equal(fake_vm(vm.vmid)->gicr, 0x3ffb0000);
	assert_int_equal(number(gic, "reg", 0, 2), 0x3fff0000);
	assert_int_equal(number(gic, "reg", 2, 2), 0x10000);
	assert_int_equal(number(gic, "reg", 4, 2), 0x3ffb0000);
	assert_int_equal(number(gic, "reg", 6, 2), 0x40000);
	assert_int_equal(number(gic, "redistributor-stride", 0, 2), 0x20000);
	finish();
}

/*
 * A second private parcel follows the first; a shared one lies apart, behind a fence; both are in
 * /memory.
 */
static void more_memory(void **state)
{
	const struct gh_rm_sgl more = { .ipa = BASE, .size = 0x100000 };
	const struct gh_rm_sgl shared = { .ipa = BASE + 0x200000, .size = 0x2000 };
	uint32_t private_handle, shared_handle;
	struct vm *hyp;
	unsigned int rights;
	uint64_t left;
	char path[64];
	pa_t pa;

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &plain), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_LEND, vm.vmid, more, 0, &private_handle),
			 GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_SHARE, vm.vmid, shared, 9, &shared_handle),
			 GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	fdt = rm_guest_tree(vm.pa + TREE_OFFSET);
	hyp = fake_vm(vm.vmid);
	assert_true(hyp_vm_translate(hyp, 0x80000000 + vm.size, &pa, &rights, &left));
	assert_int_equal(pa, more.ipa);
	assert_int_equal(number("/memory", "reg", 2, 2), vm.size + more.size);
	assert_int_equal(number("/memory", "reg", 4, 2), 0x800000000);
	assert_int_equal(number("/memory", "reg", 6, 2), shared.size);
	strcpy(path, "/reserved-memory/buffer@800000000");
	assert_int_equal(number(path, "reg", 0, 2), 0x800000000);
	assert_int_equal(number(path, "qcom,rm-mem-handle", 0, 1), shared_handle);
	assert_int_equal(number(path, "qcom,label", 0, 1), 9);
	assert_int_equal(number(path, "peers", 0, 1), 3);
	assert_int_equal(length(path, "no-map"), 0);
	assert_true(hyp_vm_translate(hyp, 0x800000000, &pa, &rights, &left));
	assert_int_equal(pa, shared.ipa);
	assert_int_equal(rm_reclaim(shared_handle), GH_RM_ERROR_MEM_INUSE);
	finish();
	assert_int_equal(rm_reclaim(private_handle), GH_RM_OK);
	assert_int_equal(rm_reclaim(shared_handle), GH_RM_OK);
}

static void size_max_limits_the_rest(void **state)
{
	const struct tree_options o = { .size_max = 0x500000 };
	const struct gh_rm_sgl fits = { .ipa = BASE, .size = 0x100000 };
	const struct gh_rm_sgl excess = { .ipa = BASE + 0x200000, .size = 0x1000 };
	uint32_t handle[2];

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_LEND, vm.vmid, fits, 0, &handle[0]), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_LEND, vm.vmid, excess, 0, &handle[1]),
			 GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	fdt = rm_guest_tree(vm.pa + TREE_OFFSET);
	assert_int_equal(length("/memory", "reg"), 16);
	assert_int_equal(number("/memory", "reg", 2, 2), 0x500000);
	assert_int_equal(rm_reclaim(handle[1]), GH_RM_OK); /* nobody took it */
	finish();
	assert_int_equal(rm_reclaim(handle[0]), GH_RM_OK);
}

static void reserved_nodes_match_parcels(void **state)
{
	struct tree_options o = { .reserved = true,
				  .reserved_base = 0x90000000,
				  .reserved_size = 0x2000,
				  .reserved_label = 5 };
	const struct gh_rm_sgl buffer = { .ipa = BASE, .size = 0x2000 };
	uint32_t handle;

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_SHARE, vm.vmid, buffer, 5, &handle), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	fdt = rm_guest_tree(vm.pa + TREE_OFFSET);
	assert_int_equal(number("/reserved-memory/pool", "qcom,rm-mem-handle", 0, 1), handle);
	assert_true(fdt_path_offset(fdt, "/reserved-memory/buffer@90000000") < 0);
	assert_int_equal(number("/memory", "reg", 4, 2), 0x90000000);
	finish();
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
	/* the size differs */
	o.reserved_size = 0x1000;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_SHARE, vm.vmid, buffer, 5, &handle), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_ERROR_NORESOURCE);
	finish();
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
}

static uint32_t notify_shared(uint32_t handle, uint32_t tag)
{
	struct {
		struct gh_rm_mem_notify head;
		struct gh_rm_list list;
		struct gh_rm_acl to;
	} __attribute__((packed)) m = {
		.head = { .handle = handle, .flags = GH_RM_MEM_NOTIFY_SHARED, .tag = tag },
		.list = { .count = 1 },
		.to = { .vmid = vm.vmid },
	};

	return rm_ask(GH_RM_MEM_NOTIFY, &m, sizeof(m));
}

static void shared_buffer_device(void **state)
{
	static const char *const compatible[] = { "croft,test-buffer", "qcom,shared-memory" };
	const struct tree_options o = { .shm = true };
	const struct gh_rm_sgl buffer = { .ipa = BASE, .size = 0x4000 };
	const struct gh_rm_sgl other = { .ipa = BASE + 0x10000, .size = 0x4000 };
	struct gh_rm_mem_event event;
	uint32_t handle[2];
	int node;

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_SHARE, vm.vmid, buffer, 77, &handle[0]),
			 GH_RM_OK);
	assert_int_equal(rm_give_labelled(GH_RM_MEM_SHARE, vm.vmid, other, 78, &handle[1]),
			 GH_RM_OK);
	/* The VM is READY: its buffer is accepted on its behalf, and another one is not. */
	rm_client_forget();
	assert_int_equal(notify_shared(handle[0], 4), GH_RM_OK);
	assert_int_equal(client.note[0].id, GH_RM_NOTIFY_MEM_ACCEPTED);
	memcpy(&event, client.note[0].payload, sizeof(event));
	assert_int_equal(event.handle, handle[0]);
	assert_int_equal(event.vmid, vm.vmid);
	assert_int_equal(event.tag, 4);
	assert_int_equal(notify_shared(handle[0], 5), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(notify_shared(handle[1], 4), GH_RM_OK);
	assert_int_equal(client.note[1].id, GH_RM_NOTIFY_MEM_RELEASED);
	assert_int_equal(rm_reclaim(handle[0]), GH_RM_ERROR_MEM_INUSE);
	assert_int_equal(rm_reclaim(handle[1]), GH_RM_OK);

	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	fdt = rm_guest_tree(vm.pa + TREE_OFFSET);
	expect_strings("/hypervisor/buffer-dev", "compatible", compatible, 2);
	node = fdt_node_offset_by_phandle(fdt, (uint32_t)number("/hypervisor/buffer-dev",
								"memory-region", 0, 1));
	assert_string_equal(fdt_get_name(fdt, node, NULL), "buffer@200000000");
	assert_int_equal(number("/hypervisor/buffer-dev", "peer", 0, 1), 3);
	assert_int_equal(number("/reserved-memory/buffer@200000000", "qcom,label", 0, 1), 77);
	finish();
	assert_int_equal(rm_reclaim(handle[0]), GH_RM_OK);
}

/* A host that rewrites the tree after INIT changes nothing: the copy counts. */
static void the_tree_is_read_once(void **state)
{
	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_SHARE, &plain), GH_RM_OK);
	memset(hyp_ptr(vm.pa + TREE_OFFSET), 0xff, TREE_MAX);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid), GH_RM_OK);
	assert_non_null(rm_guest_tree(vm.pa + TREE_OFFSET));
	finish();
}

static void failures_half_way(void **state)
{
	(void)state;
	for (unsigned int n = 1; n < 4; n++) {
		assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &plain), GH_RM_OK);
		fake.fail_map = n;
		assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm.vmid),
				 n == 1 ? GH_RM_ERROR_NORESOURCE : GH_RM_OK);
		fake.fail_map = 0;
		fake.fail_unmap = n == 3; /* a part cannot be unmapped, so all is */
		finish();
		fake.fail_unmap = 0;
	}
}

/* --- The primary's tree --- */

static void the_primary_finds(void **state)
{
	static const char *const hypervisor[] = {
		"qcom,gunyah-hypervisor-1.0",
		"qcom,gunyah-hypervisor",
		"simple-bus",
	};
	static const char *const rm[] = {
		"gunyah-resource-manager",
		"qcom,resource-manager-1-0",
		"qcom,resource-manager",
	};
	static const char link[] = "/hypervisor/qcom,resource-manager-rpc@0000000000000000";
	static _Alignas(8) uint8_t tree[4096];

	(void)state;
	fake_reset();
	fdt_create_empty_tree(tree, sizeof(tree));
	fdt_pack(tree);
	assert_true(rm_init(tree, sizeof(tree)));
	fdt = tree;
	assert_int_equal(fdt_check_full(fdt, sizeof(tree)), 0);
	expect_strings("/hypervisor", "compatible", hypervisor, 3);
	expect_strings(link, "compatible", rm, 3);
	assert_int_equal(length(link, "reg"), 16);
	assert_int_equal(number(link, "reg", 0, 2), 0);
	assert_int_equal(number(link, "reg", 2, 2), 1);
	assert_int_equal(length(link, "interrupts"), 24);
	assert_int_equal(number(link, "interrupts", 1, 1), 0x3a0);
	assert_int_equal(number(link, "interrupts", 2, 1), 1);
	assert_int_equal(number(link, "interrupts", 4, 1), 0x3a1);
	assert_int_equal(number(link, "qcom,free-irq-start", 0, 1), 0x3c0);
	assert_int_equal(number(link, "qcom,tx-message-size", 0, 1), 0xf0);
	assert_int_equal(number(link, "qcom,rx-queue-depth", 0, 1), 8);
	assert_int_equal(number("/hypervisor/qcom,gunyah-vm", "qcom,vmid", 0, 1), 3);
	/* a second time there is a node already; and without room there is none */
	assert_false(rm_init(tree, sizeof(tree)));
	fdt_create_empty_tree(tree, sizeof(tree));
	fdt_pack(tree);
	assert_false(rm_init(tree, fdt_totalsize(tree) + 100));
	assert_false(rm_init(NULL, 0));
	memset(tree, 0, sizeof(tree));
	assert_false(rm_init(tree, sizeof(tree)));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, whole)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(provoked_failures),
		TEST(clock_in_the_tree),
		TEST(small_places),
		TEST(broken_blobs),
		TEST(the_guest_finds),
		TEST(base_is_rounded_up),
		TEST(gic_is_placed_when_it_has_no_place),
		TEST(more_memory),
		TEST(size_max_limits_the_rest),
		TEST(reserved_nodes_match_parcels),
		TEST(shared_buffer_device),
		TEST(the_tree_is_read_once),
		TEST(failures_half_way),
		TEST(the_primary_finds),
	};

	return cmocka_run_group_tests_name("rm_dt", tests, NULL, end);
}
