// SPDX-License-Identifier: Apache-2.0
/* The guest's device tree, read back, against what the resource manager and Linux want in it. */
#include "tests/unit/vmm_help.h"

#include <libfdt.h>

#include "vmm/bus.h"
#include "vmm/fdt.h"

static void describe(const struct mmio_device *dev, struct fdt_tree *tree)
{
	tree_begin(tree, "thing@%llx", (unsigned long long)dev->base.v);
	tree_reg(tree, dev->base, dev->size);
	tree_spi(tree, dev->irq.spi);
	tree_end(tree);
}

static const struct mmio_ops ops = { .describe = describe };

struct built {
	uint8_t blob[65536];
	size_t length;
	struct mmio_device devices[2];
	struct bus bus;
	struct fdt_config config;
};

static void build(struct built *b)
{
	struct error err = { 0 };

	if (fdt_build(&b->config, b->blob, sizeof(b->blob), &b->length, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(fdt_check_header(b->blob), 0);
	assert_int_equal(fdt_totalsize(b->blob), b->length);
}

static int setup(void **state)
{
	struct built *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->devices[0] = (struct mmio_device){
		.ops = &ops, .base = gpa(0x9000000), .size = 0x1000, .irq.spi = 32
	};
	b->devices[1] = (struct mmio_device){
		.ops = &ops, .base = gpa(0xa000000), .size = 0x200, .irq.spi = 16
	};
	bus_add(&b->bus, &b->devices[0]);
	bus_add(&b->bus, &b->devices[1]);
	b->config = (struct fdt_config){
		.name = "web1",
		.vcpus = 2,
		.ram_base = gpa(0x80000000),
		.ram_size = 5ull << 30,
		.cmdline = "console=ttyS0 quiet",
		.initrd_start = gpa(0x84000000),
		.initrd_size = 12345,
		.bus = &b->bus,
		.stdout_path = "/serial@9000000",
	};
	build(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static const void *prop(struct built *b, const char *path, const char *name, int *len)
{
	int node = fdt_path_offset(b->blob, path);
	const void *p = node < 0 ? NULL : fdt_getprop(b->blob, node, name, len);

	if (!p)
		fail_msg("no %s of %s", name, path);
	return p;
}

static void is_string(struct built *b, const char *path, const char *name, const char *value)
{
	int len;
	const char *p = prop(b, path, name, &len);

	assert_int_equal(len, strlen(value) + 1);
	assert_string_equal(p, value);
}

static void is_cells(struct built *b, const char *path, const char *name, unsigned int n,
		     const uint32_t *cells)
{
	int len;
	const fdt32_t *p = prop(b, path, name, &len);

	assert_int_equal(len, 4 * n);
	for (unsigned int i = 0; i < n; i++)
		if (fdt32_to_cpu(p[i]) != cells[i])
			fail_msg("%s of %s: cell %u is %x", name, path, i, fdt32_to_cpu(p[i]));
}

#define CELLS(b, path, name, ...)                                                \
	is_cells(b, path, name, ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })), \
		 (const uint32_t[]){ __VA_ARGS__ })

static void test_resource_manager(void **state)
{
	struct built *b = *state;
	int len;

	is_string(b, "/gunyah-vm-config", "image-name", "web1");
	is_string(b, "/gunyah-vm-config", "os-type", "linux");
	CELLS(b, "/gunyah-vm-config/memory", "#address-cells", 2);
	CELLS(b, "/gunyah-vm-config/memory", "base-address", 0, 0x80000000);
	is_string(b, "/gunyah-vm-config/interrupts", "config", "/interrupt-controller@3fff0000");
	is_string(b, "/gunyah-vm-config/vcpus", "affinity", "proxy");
	/* One bell for each line, tied by the number. */
	is_string(b, "/gunyah-vm-config/vdevices/bell-20", "vdevice-type", "doorbell");
	is_string(b, "/gunyah-vm-config/vdevices/bell-20", "generate", "/hypervisor/bell-20");
	CELLS(b, "/gunyah-vm-config/vdevices/bell-20", "label", 32);
	CELLS(b, "/gunyah-vm-config/vdevices/bell-20", "interrupts", 0, 32, 1);
	prop(b, "/gunyah-vm-config/vdevices/bell-20", "peer-default", &len);
	prop(b, "/gunyah-vm-config/vdevices/bell-20", "source-can-clear", &len);
	CELLS(b, "/gunyah-vm-config/vdevices/bell-10", "label", 16);
	/*
	 * The resource manager makes the one, and takes each of the other's children for a parcel.
	 */
	assert_int_equal(fdt_path_offset(b->blob, "/hypervisor"), -FDT_ERR_NOTFOUND);
	assert_int_equal(fdt_path_offset(b->blob, "/reserved-memory"), -FDT_ERR_NOTFOUND);
	assert_true(fdt_path_offset(b->blob, "/memory") > 0);
}

static void test_linux(void **state)
{
	struct built *b = *state;
	int len;

	is_string(b, "/memory", "device_type", "memory");
	CELLS(b, "/memory", "reg", 0, 0x80000000, 1, 0x40000000);
	is_string(b, "/chosen", "bootargs", "console=ttyS0 quiet");
	is_string(b, "/chosen", "stdout-path", "/serial@9000000");
	CELLS(b, "/chosen", "linux,initrd-start", 0, 0x84000000);
	CELLS(b, "/chosen", "linux,initrd-end", 0, 0x84000000 + 12345);
	is_string(b, "/cpus/cpu@1", "enable-method", "psci");
	CELLS(b, "/cpus/cpu@1", "reg", 1);
	assert_int_equal(fdt_path_offset(b->blob, "/cpus/cpu@2"), -FDT_ERR_NOTFOUND);
	is_string(b, "/psci", "method", "hvc");
	assert_string_equal(prop(b, "/psci", "compatible", &len), "arm,psci-1.0");
	CELLS(b, "/interrupt-controller@3fff0000", "reg", 0, 0x3fff0000, 0, 0x10000, 0, 0x3ffb0000,
	      0, 0x40000);
	CELLS(b, "/timer", "interrupts", 1, 13, 8, 1, 14, 8, 1, 11, 8, 1, 10, 8);
	assert_null(
		fdt_getprop(b->blob, fdt_path_offset(b->blob, "/timer"), "clock-frequency", &len));
	CELLS(b, "/thing@a000000", "reg", 0, 0xa000000, 0, 0x200);
	CELLS(b, "/thing@a000000", "interrupts", 0, 16, 1);
}

static void test_variants(void **state)
{
	struct built *b = *state;
	char name[200];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	b->config.initrd_size = 0;
	b->config.cmdline = NULL;
	b->config.vcpus = 8;
	b->config.name = name;
	build(b);
	/* The node itself stays: without it a VM is not started. */
	assert_null(fdt_getprop(b->blob, fdt_path_offset(b->blob, "/chosen"), "bootargs", NULL));
	assert_null(fdt_getprop(b->blob, fdt_path_offset(b->blob, "/chosen"), "linux,initrd-start",
				NULL));
	CELLS(b, "/interrupt-controller@3fff0000", "reg", 0, 0x3fff0000, 0, 0x10000, 0, 0x3fef0000,
	      0, 0x100000);
	assert_true(fdt_path_offset(b->blob, "/cpus/cpu@7") > 0);
	name[79] = '\0';
	is_string(b, "/gunyah-vm-config", "image-name", name);
}

static void test_no_room(void **state)
{
	struct built *b = *state;
	struct error err = { 0 };
	size_t length = 77;

	for (size_t size = 0; size < b->length; size += 1 + size / 8) {
		assert_true(fdt_build(&b->config, b->blob, size, &length, &err) < 0);
		assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	}
	assert_int_equal(length, 77);
}

/* An overlay whose one fragment adds, below `target`, a node with a property. */
static size_t make_overlay(uint8_t *blob, size_t size, const char *target, const char *node)
{
	assert_int_equal(fdt_create(blob, (int)size), 0);
	fdt_finish_reservemap(blob);
	fdt_begin_node(blob, "");
	fdt_begin_node(blob, "fragment@0");
	fdt_property(blob, "target-path", target, (int)strlen(target) + 1);
	fdt_begin_node(blob, "__overlay__");
	if (node)
		fdt_begin_node(blob, node);
	fdt_property(blob, "compatible", "croft,test", sizeof("croft,test"));
	if (node)
		fdt_end_node(blob);
	fdt_end_node(blob);
	fdt_end_node(blob);
	fdt_end_node(blob);
	assert_int_equal(fdt_finish(blob), 0);
	return fdt_totalsize(blob);
}

static void test_overlay(void **state)
{
	struct built *b = *state;
	uint8_t overlay[1024];
	size_t before = b->length;

	b->config.overlay = overlay;
	b->config.overlay_size = make_overlay(overlay, sizeof(overlay), "/", "widget");
	build(b);
	is_string(b, "/widget", "compatible", "croft,test");
	is_string(b, "/gunyah-vm-config", "os-type", "linux");
	assert_true(b->length > before && b->length < before + 256);
	b->config.overlay_size = make_overlay(overlay, sizeof(overlay), "/chosen", NULL);
	build(b);
	is_string(b, "/chosen", "compatible", "croft,test");
}

static void test_bad_overlays(void **state)
{
	struct built *b = *state;
	static const struct {
		const char *target, *node, *message;
	} cases[] = {
		{ "/nowhere", "x", "device-tree overlay: FDT_ERR_" },
		{ "/memory", NULL, "it changes /memory" },
		{ "/", "memory", "it changes /memory" },
		{ "/", "hypervisor", "it changes /hypervisor" },
		{ "/cpus", "cpu@9", "it changes /cpus" },
		{ "/cpus/cpu@1", NULL, "it changes /cpus" },
		{ "/gunyah-vm-config/vdevices", "bell-1", "it changes /gunyah-vm-config" },
	};
	uint8_t overlay[1024], large[65537] = { 0 };
	struct error err = { 0 };
	size_t length;

	b->config.overlay = overlay;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		b->config.overlay_size =
			make_overlay(overlay, sizeof(overlay), cases[i].target, cases[i].node);
		assert_true(fdt_build(&b->config, b->blob, sizeof(b->blob), &length, &err) < 0);
		assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
		assert_string_equal(err.field, "/spec/device_tree_overlay");
		if (!strstr(err.message, cases[i].message))
			fail_msg("case %zu: %s", i, err.message);
	}
	/* Cut short at any place, it is none. */
	length = make_overlay(overlay, sizeof(overlay), "/", "widget");
	for (size_t n = 0; n < length; n += 7) {
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, overlay, n);
		b->config.overlay = cut;
		b->config.overlay_size = n;
		assert_true(fdt_build(&b->config, b->blob, sizeof(b->blob), &length, &err) < 0);
		free(cut);
		length = fdt_totalsize(overlay);
	}
	b->config.overlay = large;
	b->config.overlay_size = sizeof(large);
	assert_true(fdt_build(&b->config, b->blob, sizeof(b->blob), &length, &err) < 0);
	assert_string_equal(err.message, "device-tree overlay: larger than 65536 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resource_manager, setup, teardown),
		cmocka_unit_test_setup_teardown(test_linux, setup, teardown),
		cmocka_unit_test_setup_teardown(test_variants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_overlays, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
