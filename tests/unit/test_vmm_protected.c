// SPDX-License-Identifier: Apache-2.0
/* Memory of other kinds: lent with a bounce range beside it, of huge pages, and more than 4 GiB. */
#include "tests/unit/virtio_help.h"

#include <libfdt.h>

#include "vmm/bus.h"
#include "vmm/fdt.h"

#define BOUNCE (2 * MIB)
#define BELOW  (BOOT_RAM_BASE - BOUNCE)

/* --- Ranges --- */

static void test_ranges(void **state)
{
	struct mem mem = MEM_NONE;

	(void)state;
	assert_int_equal(mem_init(&mem, gpa(BOOT_RAM_BASE), 4 * MIB, NULL), 0);
	assert_int_equal(mem_of_devices(&mem).base.v, BOOT_RAM_BASE);
	assert_true(mem_gives_back(&mem));
	assert_int_equal(mem_add_bounce(&mem, gpa(BELOW), BOUNCE, NULL), 0);
	assert_int_equal(mem_size(&mem), 6 * MIB);
	assert_int_equal(mem_of_devices(&mem).base.v, BELOW);
	assert_int_equal(mem_of_devices(&mem).size, BOUNCE);
	assert_non_null(mem_at(&mem, gpa(BOOT_RAM_BASE), 4 * MIB));
	assert_ptr_equal(mem_at(&mem, gpa(BELOW), BOUNCE), mem.bounce.host);
	assert_null(mem_at(&mem, gpa(BELOW - 1), 2));
	/* What is in both is in none. */
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE - 1), 2));
	mem.lent = true;
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE), 1));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE + 4 * MIB - 1), 1));
	assert_non_null(mem_at(&mem, gpa(BOOT_RAM_BASE - 1), 1));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE - 1), 2));
	assert_false(mem_gives_back(&mem));
	memset(mem.bounce.host, 1, 4096);
	assert_int_equal(mem_give_back(&mem, mem.bounce.host, 4096), 0);
	assert_in_range(mem_resident(&mem), 4096, BOUNCE);
	mem_free(&mem);
	assert_int_equal(mem_size(&mem), 0);
}

/* --- Devices --- */

static int setup(void **state)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "root", .synchronous = true };

	mem_free(&f->mem);
	/* The rings of the helpers lie in the bounce range, and RAM behind it. */
	assert_int_equal(mem_init(&f->mem, gpa(BOOT_RAM_BASE + 4 * MIB), 4 * MIB, NULL), 0);
	assert_int_equal(mem_add_bounce(&f->mem, gpa(BOOT_RAM_BASE), 4 * MIB, NULL), 0);
	f->mem.lent = true;
	assert_int_equal(mprotect(f->mem.host, 4 * MIB, PROT_NONE), 0);
	f->file = disk.fd = blank_file(1 * MIB);
	assert_int_equal(virtio_blk_new(&f->blk, &disk, &f->slot, NULL), 0);
	f->dev = virtio_blk_device(f->blk);
	*state = f;
	return 0;
}

static void test_platform_is_required(void **state)
{
	struct fixture *f = *state;

	assert_true(f->dev->features & VIRTIO_ACCESS_PLATFORM);
	negotiate(f, VIRTIO_F_VERSION_1);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER);
	negotiate(f, VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

/* Rings and buffers where the device cannot reach are the guest's mistake, and nothing more. */
static void test_lent_addresses(void **state)
{
	const uint64_t lent = BOOT_RAM_BASE + 4 * MIB;
	struct fixture *f = *state;
	static const struct piece good[] = { { DATA, 16, false },
					     { DATA + 4096, 512, true },
					     { DATA + 16, 1, true } };
	struct piece bad[3];

	negotiate(f, VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM);
	set_queue(f, 0, lent);
	assert_int_equal(rd(f, QUEUE_READY), 0);
	assert_true(rd(f, STATUS) & NEEDS_RESET);
	/* The last entry of the table is one too far. */
	negotiate(f, VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM);
	set_queue(f, 0, lent - 16 * (SIZE - 1));
	assert_true(rd(f, STATUS) & NEEDS_RESET);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(bad, good, sizeof(bad));
		bad[i].addr = lent - bad[i].len + 1;
		bring_up(f, VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM);
		assert_int_equal(submit(f, 0, 3, bad), UINT32_MAX);
		assert_true(rd(f, STATUS) & NEEDS_RESET);
	}
	bring_up(f, VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM);
	memset(at(f, DATA, 17), 0, 17);
	assert_int_equal(submit(f, 0, 3, good), 513);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

/* --- The tree --- */

static const void *prop(const void *blob, const char *path, const char *name, int *len)
{
	int node = fdt_path_offset(blob, path);
	const void *p = node < 0 ? NULL : fdt_getprop(blob, node, name, len);

	if (!p)
		fail_msg("no %s of %s", name, path);
	return p;
}

static void cells(const void *blob, const char *path, const char *name, unsigned int n,
		  const uint32_t *want)
{
	int len;
	const fdt32_t *p = prop(blob, path, name, &len);

	assert_int_equal(len, 4 * n);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(fdt32_to_cpu(p[i]), want[i]);
}

#define CELLS(blob, path, name, ...)                                             \
	cells(blob, path, name, ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })), \
	      (const uint32_t[]){ __VA_ARGS__ })

static void describe_plain(const struct mmio_device *dev, struct fdt_tree *tree)
{
	tree_begin(tree, "plain");
	tree_reg(tree, dev->base, dev->size);
	tree_end(tree);
}

static void describe_dma(const struct mmio_device *dev, struct fdt_tree *tree)
{
	tree_begin(tree, "virtio");
	tree_reg(tree, dev->base, dev->size);
	tree_dma(tree);
	tree_end(tree);
}

static void build(uint8_t *blob, size_t size, struct fdt_config *config)
{
	static const struct mmio_ops plain = { .describe = describe_plain };
	static const struct mmio_ops dma = { .describe = describe_dma, .dma = true };
	struct mmio_device devices[] = {
		{ .ops = &plain, .base = gpa(0x9000000), .size = 0x1000, .irq.fd = -1 },
		{ .ops = &dma, .base = gpa(0xa000000), .size = 0x200, .irq.fd = -1 },
	};
	struct bus bus = { .devices = { &devices[0], &devices[1] }, .count = 2 };
	struct error err = { 0 };
	size_t length;

	config->name = "protected";
	config->vcpus = 1;
	config->ram_base = gpa(BOOT_RAM_BASE);
	config->bus = &bus;
	if (fdt_build(config, blob, size, &length, &err) < 0)
		fail_msg("%s", err.message);
}

static void test_tree_of_a_zone(void **state)
{
	struct fdt_config config = {
		.ram_size = 120 * MIB,
		.cmdline = "console=ttyS0 -- last",
		.bounce = { .base = gpa(0x7f800000), .size = 8 * MIB, .label = 1 },
	};
	static uint8_t blob[16384];
	int len;

	(void)state;
	build(blob, sizeof(blob), &config);
	CELLS(blob, "/memory", "reg", 0, 0x80000000, 0, 0x7800000, 0, 0x7f800000, 0, 0x800000);
	CELLS(blob, "/reserved-memory/bounce@7f800000", "reg", 0, 0x7f800000, 0, 0x800000);
	CELLS(blob, "/reserved-memory/bounce@7f800000", "qcom,label", 1);
	assert_string_equal(prop(blob, "/reserved-memory/bounce@7f800000", "status", &len),
			    "disabled");
	CELLS(blob, "/dma-bus", "dma-ranges", 0, 0x7f800000, 0, 0x7f800000, 0, 0x800000);
	prop(blob, "/dma-bus/virtio", "dma-coherent", &len);
	assert_null(
		fdt_getprop(blob, fdt_path_offset(blob, "/dma-bus/virtio"), "memory-region", NULL));
	assert_true(fdt_path_offset(blob, "/plain") > 0);
	assert_int_equal(fdt_path_offset(blob, "/dma-bus/plain"), -FDT_ERR_NOTFOUND);
	/* 4 MiB, and the user's words have the last one. */
	assert_string_equal(
		prop(blob, "/chosen", "bootargs", &len),
		"swiotlb=2048,1,force cma=0 sysctl.vm.lowmem_reserve_ratio=1 console=ttyS0 -- last");
	config.bounce.size = 2 * MIB;
	config.cmdline = NULL;
	build(blob, sizeof(blob), &config);
	assert_string_equal(prop(blob, "/chosen", "bootargs", &len),
			    "swiotlb=512,1,force cma=0 sysctl.vm.lowmem_reserve_ratio=1 ");
}

static void test_tree_of_a_pool(void **state)
{
	struct fdt_config config = {
		.ram_size = 120 * MIB,
		.cmdline = "quiet",
		.bounce = { .base = gpa(0x7f800000), .size = 8 * MIB, .label = 1, .pool = true },
	};
	static uint8_t blob[16384];
	int len;

	(void)state;
	build(blob, sizeof(blob), &config);
	assert_string_equal(prop(blob, "/reserved-memory/bounce@7f800000", "compatible", &len),
			    "restricted-dma-pool");
	assert_null(fdt_getprop(blob, fdt_path_offset(blob, "/reserved-memory/bounce@7f800000"),
				"status", NULL));
	CELLS(blob, "/virtio", "memory-region", 4);
	CELLS(blob, "/reserved-memory/bounce@7f800000", "phandle", 4);
	assert_string_equal(prop(blob, "/chosen", "bootargs", &len), "quiet");
	assert_int_equal(fdt_path_offset(blob, "/dma-bus"), -FDT_ERR_NOTFOUND);
}

/* The kernel itself says which of the two it is. */
static void test_what_a_kernel_knows(void **state)
{
	static const char name[] = "restricted-dma-pool";
	uint8_t image[IMAGE_BYTES];

	(void)state;
	for (unsigned int knows = 0; knows < 2; knows++) {
		struct mem mem = MEM_NONE;
		struct boot_layout layout;
		int fd;

		make_image(image, 0, 8 * MIB);
		memcpy(image + IMAGE_BYTES - sizeof(name), name, sizeof(name));
		if (!knows)
			image[IMAGE_BYTES - 1] = 's';
		fd = file_of(image, sizeof(image));
		assert_int_equal(mem_init(&mem, gpa(BOOT_RAM_BASE), 64 * MIB, NULL), 0);
		assert_int_equal(boot_load(&mem, fd, -1, &layout, NULL), 0);
		assert_int_equal(layout.knows_dma_pools, knows);
		mem_free(&mem);
		base_close(fd);
	}
}

/* --- Much memory --- */

/* 16 GiB of addresses, of which a few pages are touched. */
static void test_much_memory(void **state)
{
	const uint64_t size = 16ull << 30;
	struct fdt_config config = { .ram_size = size };
	static uint8_t blob[16384];
	uint8_t image[IMAGE_BYTES];
	struct boot_layout layout;
	struct mem mem = MEM_NONE;
	int kernel;

	(void)state;
	make_image(image, 0, 8 * MIB);
	kernel = file_of(image, sizeof(image));
	assert_int_equal(mem_init(&mem, gpa(BOOT_RAM_BASE), size, NULL), 0);
	assert_int_equal(boot_load(&mem, kernel, -1, &layout, NULL), 0);
	assert_int_equal(layout.dtb.v, BOOT_RAM_BASE + 8 * MIB);
	*(uint8_t *)mem_at(&mem, gpa(BOOT_RAM_BASE + size - 1), 1) = 1;
	assert_ptr_equal(mem_at(&mem, gpa(1ull << 32), 1), mem.host + (2ull << 30));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE + size), 1));
	assert_in_range(mem_resident(&mem), 4096, 16 * MIB);
	build(blob, sizeof(blob), &config);
	CELLS(blob, "/memory", "reg", 0, 0x80000000, 4, 0);
	CELLS(blob, "/gunyah-vm-config/memory", "size-max", 4, 0);
	mem_free(&mem);
	base_close(kernel);
}

/* --- Whole VMs --- */

static void refused(struct test_vm *t, enum error_code code, const char *field, const char *text)
{
	struct vmm_events events = test_events(t);
	unsigned int fds = open_fds();
	struct error err = { 0 };

	assert_true(vmm_create(&t->vmm, &t->config, &events, &err) < 0);
	if (err.code != code || strcmp(err.field, field) != 0 || !strstr(err.message, text))
		fail_msg("%s at \"%s\": %s", error_code_name(err.code), err.field, err.message);
	assert_int_equal(open_fds(), fds);
}

static void test_bad_config(void **state)
{
	const char *field = "/spec/bounce_bytes";
	static struct test_vm t;
	char cmdline[VMM_CMDLINE_MAX];

	(void)state;
	test_vm_init(&t, NULL);
	t.config.memory = 128 * MIB;
	t.config.bounce = 2 * MIB;
	refused(&t, ERROR_INVALID_ARGUMENT, field, "needs no bounce memory");
	t.config.lend = true;
	t.config.bounce = 4096;
	refused(&t, ERROR_INVALID_ARGUMENT, field, "not a multiple of 2097152");
	t.config.bounce = 66 * MIB;
	refused(&t, ERROR_INVALID_ARGUMENT, field, "67108864 of memory must be left");
	t.config.memory = 4096 * MIB;
	t.config.bounce = 1026 * MIB;
	refused(&t, ERROR_INVALID_ARGUMENT, field, "at most 1073741824");
	t.config.memory = 128 * MIB;
	t.config.bounce = 2 * MIB;
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[VMM_CMDLINE_MAX - VMM_BOUNCE_CMDLINE] = '\0';
	t.config.cmdline = cmdline;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/cmdline", "1952 bytes, 1951 is the limit");
	test_vm_free(&t);
}

/*
 * A driver's whole life in the bounce range below RAM: a disk's sector is read. A ring in lent
 * memory before that, which is refused, and a guest that goes on.
 */
static void test_protected_vm(void **state)
{
	static const char script[] =
		"read 0xa000208 4 2\n"
		"write 0xa000270 4 3\nwrite 0xa000224 4 1\nwrite 0xa000220 4 1\n"
		"write 0xa000270 4 11\nread 0xa000270 4 3\n"
		"write 0xa000220 4 3\nwrite 0xa000270 4 11\nread 0xa000270 4 11\n"
		"write 0xa000238 4 8\n"
		"write 0xa000280 4 0x80001000\nwrite 0xa000290 4 0x7fe02000\nwrite 0xa0002a0 4 0x7fe03000\n"
		"write 0xa000244 4 1\nread 0xa000244 4 0\nread 0xa000270 4 75\n"
		"write 0xa000270 4 0\nwrite 0xa000270 4 3\n"
		"write 0xa000224 4 1\nwrite 0xa000220 4 3\nwrite 0xa000270 4 11\n"
		"write 0xa000238 4 8\n"
		"write 0xa000280 4 0x7fe01000\nwrite 0xa000290 4 0x7fe02000\nwrite 0xa0002a0 4 0x7fe03000\n"
		"write 0xa000244 4 1\nread 0xa000244 4 1\nwrite 0xa000270 4 15\n"
		"store 0x7fe01000 8 0x7fe04000\nstore 0x7fe01008 8 0x0001000100000010\n"
		"store 0x7fe01010 8 0x7fe05000\nstore 0x7fe01018 8 0x0002000300000200\n"
		"store 0x7fe01020 8 0x7fe06000\nstore 0x7fe01028 8 0x0000000200000001\n"
		"store 0x7fe04000 8 0\nstore 0x7fe04008 8 1\nstore 0x7fe06000 1 0xff\n"
		"store 0x7fe02004 2 0\nstore 0x7fe02002 2 1\n"
		"write 0xa000250 4 0\nwait 49\n"
		"load 0x7fe06000 1 0\nload 0x7fe05000 4 0x74636573\n"
		"print \"read\"\npoweroff\n";
	static struct test_vm t;
	struct vmm_disk disk = { .name = "root", .fd = blank_file(1 * MIB) };
	struct vmm_stats stats;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(pwrite_all(disk.fd, "sector one", 10, 512), 0);
	test_vm_init(&t, script);
	t.config.memory = 66 * MIB;
	t.config.lend = true;
	t.config.bounce = 2 * MIB;
	t.config.disks = &disk;
	t.config.disk_count = 1;
	test_vm_create(&t);
	assert_true(vmm_set_balloon(t.vmm, 0, &err) < 0);
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	test_vm_start(&t);
	test_vm_wait(&t, test_ended);
	assert_string_equal(t.exit.error.message, "");
	assert_int_equal(t.exit.reason, VMM_EXIT_GUEST_POWEROFF);
	assert_string_equal(t.console, "read");
	vmm_stats(t.vmm, &stats);
	assert_int_equal(stats.disks[0].read_bytes, 512);
	assert_int_equal(stats.devices_broken, 1);
	assert_int_equal(stats.memory_configured, 66 * MIB);
	assert_false(stats.balloon.present);
	test_vm_free(&t);
	base_close(disk.fd);
}

/* --- Huge pages --- */

static void test_huge_pages(void **state)
{
	struct vmm_stats stats;
	struct error err = { 0 };
	static struct test_vm t;
	uint64_t available;

	(void)state;
	test_vm_init(&t, "idle\n");
	t.config.huge_pages = true;
	if (mem_huge_available(&available, &err) < 0) {
		assert_int_equal(err.code, ERROR_UNAVAILABLE);
		refused(&t, ERROR_UNAVAILABLE, "", "no huge pages");
	} else if (available < t.config.memory) {
		refused(&t, ERROR_RESOURCE_EXHAUSTED, "/spec/memory_bytes", "vm.nr_hugepages");
	} else {
		test_vm_create(&t);
		vmm_stats(t.vmm, &stats);
		assert_int_equal(stats.memory_resident, t.config.memory);
		assert_false(stats.balloon.gives_back);
	}
	test_vm_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test_setup_teardown(test_platform_is_required, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lent_addresses, setup, teardown),
		cmocka_unit_test(test_tree_of_a_zone),
		cmocka_unit_test(test_tree_of_a_pool),
		cmocka_unit_test(test_what_a_kernel_knows),
		cmocka_unit_test(test_much_memory),
		cmocka_unit_test(test_bad_config),
		cmocka_unit_test(test_protected_vm),
		cmocka_unit_test(test_huge_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
