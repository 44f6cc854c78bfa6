/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads a guest's configuration (ABI section 9) out of its device tree.
 */
#include <string.h>

#include "core/rm_config.h"
#include "core/rm_fdt.h"

#define DEFAULT_BASE 0x28800000ull /* of a tree that names none, as on upstream's platform */
#define BASE_ALIGN   0x200000ull
#define GICR_STRIDE  0x20000u
#define MESSAGE_MAX  1023u
#define DEPTH_MAX    255u
#define SPI_END	     988u /* numbers of SPIs; INTID = number + 32 */

/* A text property that may be absent; false when it is there and no text or too long. */
static bool optional_text(const void *fdt, int node, const char *name, const char **text)
{
	*text = NULL;
	if (!rm_fdt_has(fdt, node, name))
		return true;
	*text = rm_fdt_string(fdt, node, name);
	return *text && strlen(*text) < RM_NAME_MAX;
}

/* --- The root of the configuration --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_guid(const char *text, uint8_t guid[16])
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
	size_t out = 0;

	for (size_t g = 0; g < sizeof(groups); g++) {
		if (g && *text++ != '-')
			return false;
		for (unsigned int i = 0; i < groups[g]; i++, text += 2) {
			int high = hex_digit(text[0]);
			int low = high < 0 ? -1 : hex_digit(text[1]);

			if (low < 0)
				return false;
			guid[out++] = (uint8_t)(high << 4 | low);
		}
	}
	return *text == '\0';
}

static const char *parse_root(const void *fdt, int root, struct rm_config *c)
{
	static const char *const trusted[] = { "iomemory-ranges", "gic-irq-ranges" };

	c->image_name = rm_fdt_string(fdt, root, "image-name");
	if (!c->image_name || !*c->image_name || strlen(c->image_name) >= RM_NAME_MAX)
		return "image-name: none, or too long";
	if (!optional_text(fdt, root, "vm-uri", &c->uri))
		return "vm-uri: not a text, or too long";
	if (!optional_text(fdt, root, "vm-guid", &c->guid_text) ||
	    (c->guid_text && !parse_guid(c->guid_text, c->guid)))
		return "vm-guid: not a GUID";
	for (size_t i = 0; i < sizeof(trusted) / sizeof(trusted[0]); i++)
		if (rm_fdt_has(fdt, root, trusted[i]))
			c->trusted_only = trusted[i];
	if (rm_fdt_lists(fdt, root, "vm-attrs", "crash-fatal"))
		c->trusted_only = "crash-fatal";
	c->no_shutdown = rm_fdt_lists(fdt, root, "vm-attrs", "no-shutdown");
	c->no_reset = rm_fdt_lists(fdt, root, "vm-attrs", "no-reset");
	return NULL;
}

/* --- memory --- */

static bool optional_number(const void *fdt, int node, const char *name, unsigned int cells,
			    uint64_t *value)
{
	uint32_t size;
	const void *p = rm_fdt_prop(fdt, node, name, &size);

	if (!p)
		return true;
	if (size != cells * 4)
		return false;
	*value = rm_fdt_number(p, cells);
	return *value % HYP_PAGE == 0;
}

static const char *parse_memory(const void *fdt, int root, struct rm_config *c)
{
	int node = rm_fdt_child(fdt, root, "memory");
	unsigned int address, size;

	c->base = DEFAULT_BASE;
	if (node < 0)
		return NULL;
	if (!rm_fdt_cells(fdt, node, &address, &size))
		return "memory: #address-cells or #size-cells is not 1 or 2";
	if (!optional_number(fdt, node, "base-address", address, &c->base))
		return "memory: base-address: wrong length, or not page aligned";
	if (!optional_number(fdt, node, "size-min", size, &c->size_min) ||
	    !optional_number(fdt, node, "size-max", size, &c->size_max))
		return "memory: size-min or size-max: wrong length, or not page aligned";
	if (c->base > UINT64_MAX - BASE_ALIGN)
		return "memory: base-address is too high";
	c->base = (c->base + BASE_ALIGN - 1) & ~(BASE_ALIGN - 1);
	if (c->size_max > UINT64_MAX - c->base)
		return "memory: base-address and size-max wrap";
	if (rm_fdt_has(fdt, node, "is-direct"))
		c->trusted_only = "is-direct";
	return NULL;
}

/* --- interrupts --- */

int rm_config_gic(const void *fdt, int root)
{
	int node = rm_fdt_child(fdt, root, "interrupts");
	const char *path = rm_fdt_string(fdt, node, "config");
	uint32_t phandle;

	if (path && *path == '/')
		return rm_fdt_node(fdt, path);
	if (rm_fdt_u32(fdt, node, "config", &phandle)) {
		hyp_log("rm: interrupts/config is a phandle; a path is expected\n");
		return rm_fdt_by_phandle(fdt, phandle);
	}
	if (!rm_fdt_has(fdt, node, "config") && rm_fdt_u32(fdt, 0, "interrupt-parent", &phandle))
		return rm_fdt_by_phandle(fdt, phandle);
	return RM_FDT_NONE;
}

static const char *parse_gic_reg(const void *fdt, int gic, struct rm_config *c)
{
	unsigned int address, size;
	uint32_t bytes;
	const uint8_t *reg = rm_fdt_prop(fdt, gic, "reg", &bytes);

	c->gic_has_reg = reg != NULL;
	if (!reg)
		return NULL;
	if (!rm_fdt_cells(fdt, rm_fdt_parent(fdt, gic), &address, &size))
		return "interrupt controller: the parent's cells are not 1 or 2";
	if (bytes < 2 * (address + size) * 4)
		return "interrupt controller: reg needs GICD and GICR";
	c->gicd = rm_fdt_number(reg, address);
	c->gicd_size = rm_fdt_number(reg + address * 4, size);
	reg += (address + size) * 4;
	c->gicr = rm_fdt_number(reg, address);
	c->gicr_size = rm_fdt_number(reg + address * 4, size);
	return NULL;
}

static const char *parse_gic(const void *fdt, int root, struct rm_config *c)
{
	int gic = rm_config_gic(fdt, root);
	uint32_t value, size;
	const void *stride;

	if (gic < 0)
		return "interrupts: config leads to no node";
	if (!rm_fdt_lists(fdt, gic, "compatible", "arm,gic-v3") ||
	    !rm_fdt_has(fdt, gic, "interrupt-controller") ||
	    !rm_fdt_u32(fdt, gic, "#interrupt-cells", &value) || value != 3)
		return "interrupts: config is no GICv3 with 3 interrupt cells";
	if (rm_fdt_has(fdt, gic, "#redistributor-regions") &&
	    (!rm_fdt_u32(fdt, gic, "#redistributor-regions", &value) || value > 1))
		return "interrupt controller: more than one redistributor region";
	c->gicr_stride = GICR_STRIDE;
	stride = rm_fdt_prop(fdt, gic, "redistributor-stride", &size);
	if (stride) {
		if (size != 4 && size != 8)
			return "interrupt controller: redistributor-stride";
		c->gicr_stride = rm_fdt_number(stride, size / 4);
		if (c->gicr_stride < GICR_STRIDE || c->gicr_stride % 0x10000 ||
		    c->gicr_stride > UINT32_MAX)
			return "interrupt controller: redistributor-stride";
	}
	return parse_gic_reg(fdt, gic, c);
}

/* --- vcpus --- */

enum boot_rule {
	CPU_IGNORED,
	CPU_BOOTS,
	CPU_OFF,
};

static enum boot_rule cpu_status(const void *fdt, int cpu, bool first)
{
	const char *status = rm_fdt_string(fdt, cpu, "status");

	if (!status)
		return first ? CPU_BOOTS : CPU_OFF;
	if (strlen(status) >= 4 && memcmp(status, "fail", 4) == 0)
		return CPU_IGNORED;
	return strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0 ? CPU_BOOTS : CPU_OFF;
}

static const char *parse_cpu(const void *fdt, int cpu, const char *default_method,
			     struct rm_config *c)
{
	const char *method = rm_fdt_string(fdt, cpu, "enable-method");
	enum boot_rule rule = cpu_status(fdt, cpu, c->cpus == 0);
	bool psci;

	if (rule == CPU_IGNORED)
		return NULL;
	if (!method)
		method = default_method;
	psci = method && strcmp(method, "psci") == 0;
	if (rule == CPU_OFF && !psci && !(method && strcmp(method, "qcom,gunyah-hvc") == 0))
		return "cpus: a CPU that is off at boot has no enable-method";
	if (psci || rm_fdt_has(fdt, cpu, "cpu-idle-states"))
		c->psci = true;
	if (rule == CPU_BOOTS && c->cpus < HYP_CPUS_MAX)
		c->cpu_boot |= 1u << c->cpus;
	c->cpus++;
	return NULL;
}

static const char *parse_vcpus(const void *fdt, int root, struct rm_config *c)
{
	int node = rm_fdt_child(fdt, root, "vcpus");
	const char *affinity = rm_fdt_string(fdt, node, "affinity");
	const char *path = rm_fdt_string(fdt, node, "config");
	int cpus = rm_fdt_node(fdt, path ? path : "/cpus");

	c->proxy = affinity && strcmp(affinity, "proxy") == 0;
	if (cpus < 0)
		return "vcpus: no node of CPUs";
	for (int n = rm_fdt_walk(fdt, 0); n >= 0; n = rm_fdt_walk(fdt, n))
		if (rm_fdt_lists(fdt, n, "compatible", "arm,psci-0.2") ||
		    rm_fdt_lists(fdt, n, "compatible", "arm,psci-1.0"))
			c->psci = true;
	for (int n = rm_fdt_first(fdt, cpus); n >= 0; n = rm_fdt_sibling(fdt, n)) {
		const char *type = rm_fdt_string(fdt, n, "device_type");
		const char *wrong;

		if (!type || strcmp(type, "cpu") != 0)
			continue;
		wrong = parse_cpu(fdt, n, rm_fdt_string(fdt, cpus, "enable-method"), c);
		if (wrong)
			return wrong;
	}
	return c->cpu_boot ? NULL : "cpus: none runs at boot";
}

/* --- vdevices --- */

/* A malformed specifier is ignored, and RM then chooses the number. One for each side that the guest has: sender, receiver. */
static void parse_vdev_interrupts(const void *fdt, int node, struct rm_vdev *v)
{
	uint32_t size;
	const uint8_t *p = rm_fdt_prop(fdt, node, "interrupts", &size);
	bool wants[2] = { v->has[HYP_SENDER] && v->type != RM_VDEV_SOURCE, v->has[HYP_RECEIVER] };

	if (!p || size != 12u * (wants[0] + wants[1]))
		return;
	for (unsigned int side = 0; side < 2; side++) {
		uint64_t number, flags;

		if (!wants[side])
			continue;
		number = rm_fdt_number(p + 4, 1);
		flags = rm_fdt_number(p + 8, 1) & 0xf;
		if (rm_fdt_number(p, 1) == 0 && number < SPI_END && (flags == 1 || flags == 4)) {
			v->intid[side] = (uint32_t)number + 32;
			v->level[side] = flags == 4;
		}
		p += 12;
	}
}

static bool parse_push(const void *fdt, int node, struct rm_vdev *v)
{
	unsigned int strings = 0;

	v->push = rm_fdt_prop(fdt, node, "push-compatible", &v->push_size);
	if (!v->push)
		return true;
	for (uint32_t i = 0; i < v->push_size; i++)
		strings += v->push[i] == '\0';
	return strings && strings <= RM_PUSH_MAX && v->push[v->push_size - 1] == '\0';
}

static const char *parse_shm(const void *fdt, int node, struct rm_vdev *v)
{
	int memory = rm_fdt_child(fdt, node, "memory");
	unsigned int address, cells;
	uint32_t size;
	const void *base, *dma;

	if (!rm_fdt_u32(fdt, memory, "label", &v->mem_label) ||
	    !rm_fdt_cells(fdt, memory, &address, &cells))
		return "shm: memory with a label and cells of 1 or 2 is needed";
	base = rm_fdt_prop(fdt, memory, "base", &size);
	if (!base == !rm_fdt_has(fdt, memory, "allocate-base") || (base && size != address * 4))
		return "shm: memory needs either base or allocate-base";
	v->has_base = base != NULL;
	v->base = base ? rm_fdt_number(base, address) : 0;
	v->optional = rm_fdt_has(fdt, memory, "optional");
	dma = rm_fdt_prop(fdt, node, "dma_base", &size);
	if (dma && size != 8)
		return "shm: dma_base is no 64-bit number";
	v->has_dma_base = dma != NULL;
	v->dma_base = dma ? rm_fdt_number(dma, 2) : 0;
	return v->base % HYP_PAGE ? "shm: base is not page aligned" : NULL;
}

static const char *parse_rtc(const void *fdt, int node, struct rm_vdev *v)
{
	uint32_t size;
	const void *base = rm_fdt_prop(fdt, node, "base", &size);

	if (!base == !rm_fdt_has(fdt, node, "allocate-base") || (base && size != 8))
		return "vrtc-pl031: either a base of 64 bits or allocate-base";
	v->has_base = base != NULL;
	v->base = base ? rm_fdt_number(base, 2) : 0;
	return v->base % HYP_PAGE ? "vrtc-pl031: base is not page aligned" : NULL;
}

static const char *parse_queue(const void *fdt, int node, struct rm_vdev *v)
{
	v->message_size = GH_RM_MSG_SIZE;
	v->depth = GH_RM_QUEUE_DEPTH;
	(void)rm_fdt_u32(fdt, node, "message-size", &v->message_size);
	(void)rm_fdt_u32(fdt, node, "queue-depth", &v->depth);
	if (v->type == RM_VDEV_LINK)
		return v->message_size == GH_RM_MSG_SIZE && v->depth == GH_RM_QUEUE_DEPTH
			       ? NULL
			       : "rm-rpc: message-size is 240 and queue-depth 8";
	if (!v->message_size || v->message_size > MESSAGE_MAX || !v->depth || v->depth > DEPTH_MAX)
		return "vdevice: message-size is 1 to 1023, queue-depth 1 to 255";
	if (v->type == RM_VDEV_QUEUE) {
		v->has[HYP_SENDER] = rm_fdt_has(fdt, node, "is-sender");
		v->has[HYP_RECEIVER] = rm_fdt_has(fdt, node, "is-receiver");
		if (v->has[HYP_SENDER] == v->has[HYP_RECEIVER])
			return "message-queue: either is-sender or is-receiver";
	}
	return NULL;
}

static const char *parse_peer(const void *fdt, int node, struct rm_vdev *v)
{
	if (v->type == RM_VDEV_LINK)
		return NULL;
	v->peer_default = rm_fdt_has(fdt, node, "peer-default");
	if (!v->peer_default)
		v->peer = rm_fdt_string(fdt, node, "peer");
	return v->peer_default || v->peer ? NULL : "vdevice: neither peer-default nor peer";
}

static bool parse_type(struct rm_vdev *v)
{
	static const struct {
		const char *name;
		uint8_t type;
		bool sends, receives;
	} types[] = {
		{ "doorbell", RM_VDEV_DOORBELL, false, true },
		{ "doorbell-source", RM_VDEV_SOURCE, true, false },
		{ "message-queue", RM_VDEV_QUEUE, false, false },
		{ "message-queue-pair", RM_VDEV_PAIR, true, true },
		{ "rm-rpc", RM_VDEV_LINK, true, true },
		{ "shm", RM_VDEV_SHM, false, false },
		{ "shm-doorbell", RM_VDEV_OTHER, false, false },
		{ "virtio-mmio", RM_VDEV_OTHER, false, false },
		{ "iomem", RM_VDEV_OTHER, false, false },
		{ "vsmmu-v2", RM_VDEV_OTHER, false, false },
		{ "vrtc-pl031", RM_VDEV_RTC, false, false },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(v->type_name, types[i].name) != 0)
			continue;
		v->type = types[i].type;
		v->has[HYP_SENDER] = types[i].sends;
		v->has[HYP_RECEIVER] = types[i].receives;
		return true;
	}
	return false;
}

static const char *parse_vdev(const void *fdt, int node, struct rm_vdev *v)
{
	const char *wrong;

	memset(v, 0, sizeof(*v));
	v->type_name = rm_fdt_string(fdt, node, "vdevice-type");
	if (!v->type_name)
		return "vdevice-type is no text";
	if (!parse_type(v))
		return "vdevice-type is not known";
	if (v->type == RM_VDEV_OTHER)
		return NULL;
	if (v->type == RM_VDEV_RTC)
		return parse_rtc(fdt, node, v);
	v->generate = rm_fdt_string(fdt, node, "generate");
	if (!v->generate || v->generate[0] != '/' || strlen(v->generate) >= RM_PATH_MAX)
		return "vdevice: generate: no absolute path, or too long";
	wrong = parse_peer(fdt, node, v);
	if (wrong)
		return wrong;
	if (!rm_fdt_u32(fdt, node, "qcom,label", &v->label))
		(void)rm_fdt_u32(fdt, node, "label", &v->label);
	if (!parse_push(fdt, node, v))
		return "vdevice: push-compatible";
	v->source_can_clear = rm_fdt_has(fdt, node, "source-can-clear");
	if (v->type == RM_VDEV_SHM)
		return parse_shm(fdt, node, v);
	if (v->type == RM_VDEV_QUEUE || v->type == RM_VDEV_PAIR || v->type == RM_VDEV_LINK)
		wrong = parse_queue(fdt, node, v);
	if (!wrong)
		parse_vdev_interrupts(fdt, node, v);
	return wrong;
}

static const char *parse_vdevs(const void *fdt, struct rm_config *c)
{
	for (int n = rm_fdt_walk(fdt, 0); n >= 0; n = rm_fdt_walk(fdt, n)) {
		struct rm_vdev *v = &c->vdev[c->vdevs];
		const char *wrong;

		if (!rm_fdt_has(fdt, n, "vdevice-type"))
			continue;
		if (c->vdevs++ == RM_VDEVS_MAX)
			return "vdevices: more than 64";
		wrong = parse_vdev(fdt, n, v);
		if (!wrong && v->type == RM_VDEV_RTC && c->has_rtc)
			wrong = "vrtc-pl031: a second one";
		if (wrong)
			return wrong;
		c->has_rtc |= v->type == RM_VDEV_RTC;
	}
	return NULL;
}

int rm_config_root(const void *fdt)
{
	int root = rm_fdt_node(fdt, "/gunyah-vm-config");

	return root >= 0 ? root : rm_fdt_node(fdt, "/qcom,vm-config");
}

const char *rm_config_parse(const void *fdt, struct rm_config *c)
{
	int root = rm_config_root(fdt);
	const char *wrong;

	memset(c, 0, sizeof(*c));
	if (root < 0)
		return "no /gunyah-vm-config";
	wrong = parse_root(fdt, root, c);
	if (!wrong)
		wrong = parse_memory(fdt, root, c);
	if (!wrong)
		wrong = parse_gic(fdt, root, c);
	if (!wrong)
		wrong = parse_vcpus(fdt, root, c);
	return wrong ? wrong : parse_vdevs(fdt, c);
}
