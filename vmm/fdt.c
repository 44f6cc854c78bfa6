// SPDX-License-Identifier: Apache-2.0
/* Writes the guest's device tree in one pass, with libfdt's sequential functions. */
#include "vmm/fdt.h"

#include <assert.h>
#include <libfdt.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/vmm.h"

#define GIC_PHANDLE    1u
#define POOL_PHANDLE   4u
#define CLOCK_HZ       24000000u
#define MIB	       (1ull << 20)
#define SLAB	       2048u /* the unit of Linux's bounce buffers, in bytes */
#define OVERLAY_DEPTH  16u
#define IMAGE_NAME_MAX 79 /* the resource manager takes fewer than 80 bytes */

/* Cells of an interrupt specifier (GICv3 binding). */
#define GIC_SPI		0u
#define GIC_PPI		1u
#define IRQ_EDGE_RISING 1u
#define IRQ_LEVEL_LOW	8u

struct fdt_tree {
	void *blob;
	int error; /* of libfdt, the first one */
	bool pool; /* devices that work in guest memory are tied to POOL_PHANDLE */
};

static void keep(struct fdt_tree *tree, int r)
{
	if (!tree->error)
		tree->error = r;
}

void tree_begin(struct fdt_tree *tree, const char *fmt, ...)
{
	char name[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	keep(tree, fdt_begin_node(tree->blob, name));
}

void tree_end(struct fdt_tree *tree)
{
	keep(tree, fdt_end_node(tree->blob));
}

void tree_flag(struct fdt_tree *tree, const char *name)
{
	keep(tree, fdt_property(tree->blob, name, NULL, 0));
}

void tree_string(struct fdt_tree *tree, const char *name, const char *value)
{
	keep(tree, fdt_property(tree->blob, name, value, (int)strlen(value) + 1));
}

void tree_strings(struct fdt_tree *tree, const char *name, const char *value, size_t size)
{
	keep(tree, fdt_property(tree->blob, name, value, (int)size));
}

void tree_cells(struct fdt_tree *tree, const char *name, unsigned int n, const uint32_t *cells)
{
	void *to;
	int r = fdt_property_placeholder(tree->blob, name, (int)(n * sizeof(*cells)), &to);

	keep(tree, r);
	if (r)
		return;
	for (unsigned int i = 0; i < n; i++)
		fdt32_st((char *)to + i * sizeof(*cells), cells[i]);
}

void tree_u32(struct fdt_tree *tree, const char *name, uint32_t value)
{
	keep(tree, fdt_property_u32(tree->blob, name, value));
}

void tree_u64(struct fdt_tree *tree, const char *name, uint64_t value)
{
	keep(tree, fdt_property_u64(tree->blob, name, value));
}

static void put_range(uint32_t *cells, uint64_t base, uint64_t size)
{
	cells[0] = (uint32_t)(base >> 32);
	cells[1] = (uint32_t)base;
	cells[2] = (uint32_t)(size >> 32);
	cells[3] = (uint32_t)size;
}

void tree_reg(struct fdt_tree *tree, gpa_t base, uint64_t size)
{
	uint32_t cells[4];

	put_range(cells, base.v, size);
	tree_cells(tree, "reg", 4, cells);
}

void tree_spi(struct fdt_tree *tree, uint32_t spi)
{
	tree_cells(tree, "interrupts", 3, (const uint32_t[]){ GIC_SPI, spi, IRQ_EDGE_RISING });
}

static void two_cells(struct fdt_tree *tree)
{
	tree_u32(tree, "#address-cells", 2);
	tree_u32(tree, "#size-cells", 2);
}

void tree_dma(struct fdt_tree *tree)
{
	tree_flag(tree, "dma-coherent");
	if (tree->pool)
		tree_u32(tree, "memory-region", POOL_PHANDLE);
}

/* Whether devices reach the bounce range by way of ZONE_DMA. */
static bool by_zone(const struct fdt_config *config)
{
	return config->bounce.size > 0 && !config->bounce.pool;
}

/* Linux rounds the number of its bounce buffers to a power of two; the rest is for rings. */
static unsigned int slabs_of(uint64_t size)
{
	uint64_t rings = size < 8 * MIB ? size / 4 : 2 * MIB, slabs = 1;

	while (2 * slabs * SLAB <= size - rings)
		slabs *= 2;
	return (unsigned int)slabs;
}

/*
 * Bounce buffers and the rings of the devices are in ZONE_DMA, nothing else has a claim to it, and
 * nothing falls back to it that the guest would not show. Ahead of the user's words, which may say
 * otherwise.
 */
static void put_cmdline(struct fdt_tree *tree, const struct fdt_config *config)
{
	char line[VMM_BOUNCE_CMDLINE + VMM_CMDLINE_MAX];
	const char *user = config->cmdline ? config->cmdline : "";

	if (!by_zone(config)) {
		if (config->cmdline)
			tree_string(tree, "bootargs", config->cmdline);
		return;
	}
	snprintf(line, sizeof(line), "swiotlb=%u,1,force cma=0 sysctl.vm.lowmem_reserve_ratio=1 %s",
		 slabs_of(config->bounce.size), user);
	tree_string(tree, "bootargs", line);
}

static void put_chosen(struct fdt_tree *tree, const struct fdt_config *config)
{
	tree_begin(tree, "chosen");
	put_cmdline(tree, config);
	if (config->stdout_path)
		tree_string(tree, "stdout-path", config->stdout_path);
	if (config->initrd_size) {
		tree_u64(tree, "linux,initrd-start", config->initrd_start.v);
		tree_u64(tree, "linux,initrd-end", config->initrd_start.v + config->initrd_size);
	}
	tree_end(tree);
}

/* The resource manager knows the memory node by this exact name, and writes it anew. */
static void put_memory(struct fdt_tree *tree, const struct fdt_config *config)
{
	uint32_t cells[8];

	put_range(cells, config->ram_base.v, config->ram_size);
	put_range(cells + 4, config->bounce.base.v, config->bounce.size);
	tree_begin(tree, "memory");
	tree_string(tree, "device_type", "memory");
	tree_cells(tree, "reg", config->bounce.size ? 8 : 4, cells);
	tree_end(tree);
}

/*
 * The resource manager maps the parcel of this label here, adds the range to /memory, and would
 * fence it if there were no node. Linux fences what is reserved too, unless it is disabled.
 */
static void put_bounce(struct fdt_tree *tree, const struct fdt_bounce *bounce)
{
	if (!bounce->size)
		return;
	tree_begin(tree, "reserved-memory");
	two_cells(tree);
	tree_flag(tree, "ranges");
	tree_begin(tree, "bounce@%llx", (unsigned long long)bounce->base.v);
	tree_reg(tree, bounce->base, bounce->size);
	tree_u32(tree, "qcom,label", bounce->label);
	if (bounce->pool) {
		tree_string(tree, "compatible", FDT_DMA_POOL);
		tree_u32(tree, "phandle", POOL_PHANDLE);
	} else {
		tree_string(tree, "status", "disabled");
	}
	tree_end(tree);
	tree_end(tree);
	tree->pool = bounce->pool;
}

static void put_cpus(struct fdt_tree *tree, const struct fdt_config *config)
{
	static const char psci[] = "arm,psci-1.0\0arm,psci-0.2";

	tree_begin(tree, "cpus");
	tree_u32(tree, "#address-cells", 1);
	tree_u32(tree, "#size-cells", 0);
	for (unsigned int i = 0; i < config->vcpus; i++) {
		tree_begin(tree, "cpu@%x", i);
		tree_string(tree, "device_type", "cpu");
		tree_string(tree, "compatible", "arm,armv8");
		tree_string(tree, "enable-method", "psci");
		tree_u32(tree, "reg", i);
		tree_end(tree);
	}
	tree_end(tree);

	tree_begin(tree, "psci");
	tree_strings(tree, "compatible", psci, sizeof(psci));
	tree_string(tree, "method", "hvc");
	tree_end(tree);
}

static uint64_t gicr_base(unsigned int vcpus)
{
	return FDT_GICD_BASE - FDT_GICR_STRIDE * vcpus;
}

static void put_gic(struct fdt_tree *tree, const struct fdt_config *config)
{
	uint32_t cells[8];

	put_range(cells, FDT_GICD_BASE, FDT_GICD_SIZE);
	put_range(cells + 4, gicr_base(config->vcpus), FDT_GICR_STRIDE * config->vcpus);
	tree_begin(tree, "interrupt-controller@%llx", FDT_GICD_BASE);
	tree_string(tree, "compatible", "arm,gic-v3");
	tree_flag(tree, "interrupt-controller");
	tree_u32(tree, "#interrupt-cells", 3);
	two_cells(tree);
	tree_cells(tree, "reg", ARRAY_SIZE(cells), cells);
	tree_u32(tree, "phandle", GIC_PHANDLE);
	tree_end(tree);
}

/*
 * Secure physical, physical, virtual, hypervisor. No clock-frequency: the guest reads CNTFRQ_EL0.
 */
static void put_timer(struct fdt_tree *tree)
{
	static const uint32_t cells[] = {
		GIC_PPI, 13, IRQ_LEVEL_LOW, GIC_PPI, 14, IRQ_LEVEL_LOW,
		GIC_PPI, 11, IRQ_LEVEL_LOW, GIC_PPI, 10, IRQ_LEVEL_LOW,
	};

	tree_begin(tree, "timer");
	tree_string(tree, "compatible", "arm,armv8-timer");
	tree_cells(tree, "interrupts", ARRAY_SIZE(cells), cells);
	tree_flag(tree, "always-on");
	tree_end(tree);
}

/* A PrimeCell's driver wants a bus clock. Nothing here runs by it. */
static void put_clock(struct fdt_tree *tree)
{
	tree_begin(tree, "apb-pclk");
	tree_string(tree, "compatible", "fixed-clock");
	tree_u32(tree, "#clock-cells", 0);
	tree_u32(tree, "clock-frequency", CLOCK_HZ);
	tree_string(tree, "clock-output-names", "apb_pclk");
	tree_u32(tree, "phandle", FDT_CLOCK_PHANDLE);
	tree_end(tree);
}

/*
 * A doorbell for each line: the label ties the guest's interrupt to the irqfd of the same number.
 */
static void put_doorbells(struct fdt_tree *tree, const struct bus *bus)
{
	tree_begin(tree, "vdevices");
	tree_string(tree, "generate", "/hypervisor");
	for (unsigned int i = 0; i < bus->count; i++) {
		uint32_t spi = bus->devices[i]->irq.spi;
		char path[64];

		if (bus->devices[i]->irq.fd < 0)
			continue;
		snprintf(path, sizeof(path), "/hypervisor/bell-%x", spi);
		tree_begin(tree, "bell-%x", spi);
		tree_string(tree, "vdevice-type", "doorbell");
		tree_string(tree, "generate", path);
		tree_u32(tree, "label", spi);
		tree_flag(tree, "peer-default");
		tree_flag(tree, "source-can-clear");
		tree_spi(tree, spi);
		tree_end(tree);
	}
	tree_end(tree);
}

static void put_vm_config(struct fdt_tree *tree, const struct fdt_config *config)
{
	char name[IMAGE_NAME_MAX + 1], gic[64];

	snprintf(name, sizeof(name), "%s", config->name);
	snprintf(gic, sizeof(gic), "/interrupt-controller@%llx", FDT_GICD_BASE);
	tree_begin(tree, "gunyah-vm-config");
	tree_string(tree, "image-name", name);
	tree_string(tree, "os-type", "linux");
	tree_begin(tree, "memory");
	two_cells(tree);
	tree_u64(tree, "base-address", config->ram_base.v);
	tree_u64(tree, "size-max", config->ram_size);
	tree_end(tree);
	tree_begin(tree, "interrupts");
	tree_string(tree, "config", gic);
	tree_end(tree);
	tree_begin(tree, "vcpus");
	tree_string(tree, "affinity", "proxy");
	tree_end(tree);
	put_doorbells(tree, config->bus);
	tree_end(tree);
}

static void put_devices(struct fdt_tree *tree, const struct fdt_config *config, bool dma)
{
	for (unsigned int i = 0; i < config->bus->count; i++) {
		const struct mmio_device *dev = config->bus->devices[i];

		if (dev->ops->dma == dma)
			dev->ops->describe(dev, tree);
	}
}

/* A bus from which nothing but the bounce range is reached: Linux ends ZONE_DMA where that ends. */
static void put_dma_bus(struct fdt_tree *tree, const struct fdt_config *config)
{
	const struct fdt_bounce *bounce = &config->bounce;
	uint32_t cells[6] = { (uint32_t)(bounce->base.v >> 32), (uint32_t)bounce->base.v };

	put_range(cells + 2, bounce->base.v, bounce->size);
	tree_begin(tree, "dma-bus");
	tree_string(tree, "compatible", "simple-bus");
	two_cells(tree);
	tree_flag(tree, "ranges");
	tree_cells(tree, "dma-ranges", ARRAY_SIZE(cells), cells);
	put_devices(tree, config, true);
	tree_end(tree);
}

static void put_root(struct fdt_tree *tree, const struct fdt_config *config)
{
	tree_begin(tree, "%s", "");
	two_cells(tree);
	tree_string(tree, "compatible", "linux,dummy-virt");
	tree_u32(tree, "interrupt-parent", GIC_PHANDLE);
	put_chosen(tree, config);
	put_memory(tree, config);
	put_bounce(tree, &config->bounce);
	put_cpus(tree, config);
	put_gic(tree, config);
	put_timer(tree);
	put_clock(tree);
	put_devices(tree, config, false);
	if (by_zone(config))
		put_dma_bus(tree, config);
	else
		put_devices(tree, config, true);
	put_vm_config(tree, config);
	tree_end(tree);
}

/* --- The user's overlay --- */

static int bad_overlay(struct error *err, const char *why)
{
	return error_raise_field(err, "/spec/device_tree_overlay", "device-tree overlay: %s", why);
}

static bool same_property(const void *a, int at_a, const void *b, int at_b)
{
	const char *name_a, *name_b;
	int n_a, n_b;
	const void *p_a = fdt_getprop_by_offset(a, at_a, &name_a, &n_a);
	const void *p_b = fdt_getprop_by_offset(b, at_b, &name_b, &n_b);

	return p_a && p_b && n_a == n_b && strcmp(name_a, name_b) == 0 &&
	       memcmp(p_a, p_b, (size_t)n_a) == 0;
}

/* Whether a node, with all below it, is the same in two trees; -1: it is not there. */
static bool same_node(const void *a, int at_a, const void *b, int at_b)
{
	int p_a, p_b, depth = 0;

	if (at_a < 0 || at_b < 0)
		return at_a < 0 && at_b < 0;
	/* Both are walked in step. An overlay adds at the front, so any addition shows. */
	do {
		const char *name_a = fdt_get_name(a, at_a, NULL);
		const char *name_b = fdt_get_name(b, at_b, NULL);
		int down = depth;

		if (!name_a || !name_b || strcmp(name_a, name_b) != 0)
			return false;
		p_a = fdt_first_property_offset(a, at_a);
		p_b = fdt_first_property_offset(b, at_b);
		for (; p_a >= 0 && p_b >= 0;
		     p_a = fdt_next_property_offset(a, p_a), p_b = fdt_next_property_offset(b, p_b))
			if (!same_property(a, p_a, b, p_b))
				return false;
		if ((p_a < 0) != (p_b < 0))
			return false;
		at_a = fdt_next_node(a, at_a, &depth);
		at_b = fdt_next_node(b, at_b, &down);
		if (depth > 0 && down != depth)
			return false;
		if (depth <= 0 && down > 0)
			return false;
	} while (at_a >= 0 && at_b >= 0 && depth > 0);
	return true;
}

/* What is told to the hypervisor stays as we wrote it; and nothing is added for it. */
static int check_merged(const void *before, const void *after, struct error *err)
{
	static const char *const ours[] = {
		"/gunyah-vm-config", "/memory", "/cpus", "/psci", "/hypervisor", "/reserved-memory"
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (!same_node(before, fdt_path_offset(before, ours[i]), after,
			       fdt_path_offset(after, ours[i])))
			return error_raise_field(err, "/spec/device_tree_overlay",
						 "device-tree overlay: it changes %s", ours[i]);
	return 0;
}

/* Whether each offset of a property of __local_fixups__ lies inside the property it is about. */
static bool fixups_fit(const void *overlay, int property, int target)
{
	const char *name;
	int n, room;
	const uint8_t *offsets = fdt_getprop_by_offset(overlay, property, &name, &n);

	if (!offsets || !fdt_getprop(overlay, target, name, &room) || n % 4 != 0)
		return false;
	for (int i = 0; i < n; i += 4)
		if (room < 4 ||
		    fdt32_ld((const fdt32_t *)(const void *)(offsets + i)) > (uint32_t)room - 4)
			return false;
	return true;
}

/*
 * libfdt adjusts phandles at the offsets that __local_fixups__ gives, without a look at how long
 * the property is. The nodes there have the names of those that they are about.
 */
static bool local_fixups_fit(const void *overlay, int fixups, int target, unsigned int depth)
{
	int property, child;

	if (depth > OVERLAY_DEPTH)
		return false;
	fdt_for_each_property_offset(property, overlay, fixups)
		if (!fixups_fit(overlay, property, target))
			return false;
	fdt_for_each_subnode(child, overlay, fixups) {
		const char *name = fdt_get_name(overlay, child, NULL);
		int below = name ? fdt_subnode_offset(overlay, target, name) : -1;

		if (below < 0 || !local_fixups_fit(overlay, child, below, depth + 1))
			return false;
	}
	return true;
}

static int check_overlay(const void *overlay, size_t size, struct error *err)
{
	int r = size < sizeof(struct fdt_header) ? -FDT_ERR_TRUNCATED : fdt_check_header(overlay);
	int fixups;

	/* Debian's libfdt takes for granted that a root of an older version has a name. */
	if (r == 0 && fdt_version(overlay) < 16)
		r = -FDT_ERR_BADVERSION;
	if (r == 0)
		r = fdt_check_full(overlay, size);
	if (r < 0)
		return bad_overlay(err, fdt_strerror(r));
	fixups = fdt_path_offset(overlay, "/__local_fixups__");
	if (fixups >= 0 && !local_fixups_fit(overlay, fixups, 0, 0))
		return bad_overlay(err, "__local_fixups__ does not fit its nodes");
	return 0;
}

static bool has_fragment(const void *overlay)
{
	int node;

	fdt_for_each_subnode(node, overlay, 0)
		if (fdt_subnode_offset(overlay, node, "__overlay__") >= 0)
			return true;
	return false;
}

int vmm_overlay_check(const void *overlay, size_t size, struct error *err)
{
	_cleanup_free_ void *copy = NULL;
	int r;

	if (size > VMM_OVERLAY_MAX)
		return bad_overlay(err, "larger than 65536 bytes");
	/* libfdt wants it aligned. */
	copy = malloc(size ? size : 1);
	if (!copy)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "device tree");
	memcpy(copy, overlay, size);
	r = check_overlay(copy, size, err);
	if (r == 0 && !has_fragment(copy))
		r = bad_overlay(err, "it has no fragment");
	return r;
}

static int merge(const struct fdt_config *config, void *blob, size_t size, struct error *err)
{
	_cleanup_free_ void *overlay = NULL, *before = NULL;
	int r;

	if (config->overlay_size > VMM_OVERLAY_MAX)
		return bad_overlay(err, "larger than 65536 bytes");
	/* Merging uses it up, and spoils the tree when it fails. */
	overlay = malloc(config->overlay_size);
	before = malloc(fdt_totalsize(blob));
	if (!overlay || !before)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "device tree");
	memcpy(overlay, config->overlay, config->overlay_size);
	memcpy(before, blob, fdt_totalsize(blob));
	r = check_overlay(overlay, config->overlay_size, err);
	if (r < 0)
		return r;
	r = fdt_open_into(blob, blob, (int)size);
	if (r == 0)
		r = fdt_overlay_apply(blob, overlay);
	if (r < 0)
		return bad_overlay(err, fdt_strerror(r));
	r = check_merged(before, blob, err);
	if (r == 0)
		fdt_pack(blob);
	return r;
}

int fdt_build(const struct fdt_config *config, void *blob, size_t size, size_t *length,
	      struct error *err)
{
	struct fdt_tree tree = { .blob = blob };

	assert(config->vcpus > 0 && size <= INT32_MAX);
	memset(blob, 0, size);
	keep(&tree, fdt_create(blob, (int)size));
	keep(&tree, fdt_finish_reservemap(blob));
	if (!tree.error)
		put_root(&tree, config);
	keep(&tree, tree.error ? tree.error : fdt_finish(blob));
	if (tree.error == -FDT_ERR_NOSPACE)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "the device tree is larger than %zu bytes", size);
	if (tree.error)
		return error_raise(err, ERROR_INTERNAL, "device tree: %s",
				   fdt_strerror(tree.error));
	if (config->overlay) {
		int r = merge(config, blob, size, err);

		if (r < 0)
			return r;
		/* What packing has left behind the tree. */
		memset((char *)blob + fdt_totalsize(blob), 0, size - fdt_totalsize(blob));
	}
	*length = fdt_totalsize(blob);
	return 0;
}
