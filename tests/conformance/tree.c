// SPDX-License-Identifier: GPL-2.0-only
/* A flat device tree, written front to back, and a walker that finds a node by its path. */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/unaligned.h>

#include "tree.h"

#define MAGIC	   0xd00dfeedu
#define BEGIN_NODE 1u
#define END_NODE   2u
#define PROP	   3u
#define NOP	   4u
#define END	   9u
#define HEADER	   40u
#define RESERVE	   16u /* one empty entry */
#define STRINGS	   2048u

struct writer {
	u8 *at;
	size_t size, room;
	char strings[STRINGS];
	size_t strings_size;
	bool full;
};

static void put32(struct writer *w, u32 value)
{
	if (w->size + 4 > w->room) {
		w->full = true;
		return;
	}
	put_unaligned_be32(value, w->at + w->size);
	w->size += 4;
}

static void put_bytes(struct writer *w, const void *data, size_t size)
{
	size_t padded = ALIGN(size, 4);

	if (w->size + padded > w->room) {
		w->full = true;
		return;
	}
	memset(w->at + w->size, 0, padded);
	memcpy(w->at + w->size, data, size);
	w->size += padded;
}

static u32 string_offset(struct writer *w, const char *name)
{
	size_t at, size = strlen(name) + 1;

	for (at = 0; at < w->strings_size; at += strlen(w->strings + at) + 1)
		if (!strcmp(w->strings + at, name))
			return at;
	if (w->strings_size + size > STRINGS) {
		w->full = true;
		return 0;
	}
	memcpy(w->strings + at, name, size);
	w->strings_size += size;
	return at;
}

static void begin(struct writer *w, const char *name)
{
	put32(w, BEGIN_NODE);
	put_bytes(w, name, strlen(name) + 1);
}

static void end(struct writer *w)
{
	put32(w, END_NODE);
}

static void prop(struct writer *w, const char *name, const void *data, size_t size)
{
	put32(w, PROP);
	put32(w, size);
	put32(w, string_offset(w, name));
	put_bytes(w, data, size);
}

static void prop_text(struct writer *w, const char *name, const char *text)
{
	prop(w, name, text, strlen(text) + 1);
}

static void prop_flag(struct writer *w, const char *name)
{
	prop(w, name, "", 0);
}

#define CELLS(w, name, ...)                                      \
	do {                                                     \
		const u32 values[] = { __VA_ARGS__ };            \
		prop_cells(w, name, values, ARRAY_SIZE(values)); \
	} while (0)

static void prop_cells(struct writer *w, const char *name, const u32 *values, size_t count)
{
	size_t i;

	put32(w, PROP);
	put32(w, count * 4);
	put32(w, string_offset(w, name));
	for (i = 0; i < count; i++)
		put32(w, values[i]);
}

static void prop_u64(struct writer *w, const char *name, u64 value)
{
	CELLS(w, name, value >> 32, value);
}

static void address_cells(struct writer *w, u32 address, u32 size)
{
	CELLS(w, "#address-cells", address);
	CELLS(w, "#size-cells", size);
}

static void put_cpus(struct writer *w, const struct tree_spec *spec)
{
	char name[16];
	unsigned int i;

	begin(w, "cpus");
	address_cells(w, 1, 0);
	for (i = 0; i < spec->cpus; i++) {
		snprintf(name, sizeof(name), "cpu@%x", i);
		begin(w, name);
		prop_text(w, "device_type", "cpu");
		prop_text(w, "compatible", "arm,armv8");
		if (!spec->no_psci)
			prop_text(w, "enable-method", "psci");
		CELLS(w, "reg", i);
		end(w);
	}
	end(w);
	if (!spec->no_psci) {
		begin(w, "psci");
		prop_text(w, "compatible", "arm,psci-1.0");
		prop_text(w, "method", "hvc");
		end(w);
	}
}

static void put_gic(struct writer *w, const struct tree_spec *spec)
{
	u32 gicr = spec->gicr_size ?: spec->cpus * GICR_SIZE;

	begin(w, "interrupt-controller@3fff0000");
	prop_text(w, "compatible", "arm,gic-v3");
	CELLS(w, "#interrupt-cells", 3);
	address_cells(w, 2, 2);
	prop_flag(w, "interrupt-controller");
	CELLS(w, "reg", 0, GICD_BASE, 0, 0x10000, 0, GICD_BASE - gicr, 0, gicr);
	CELLS(w, "phandle", 1);
	end(w);
}

static void put_bell(struct writer *w, const struct tree_spec *spec, unsigned int label)
{
	char name[48];

	snprintf(name, sizeof(name), "bell-%u", label);
	begin(w, name);
	prop_text(w, "vdevice-type", "doorbell");
	snprintf(name, sizeof(name), "/hypervisor/bell-%u", label);
	prop_text(w, "generate", name);
	CELLS(w, "label", label);
	prop_flag(w, "peer-default");
	if (!spec->no_clear)
		prop_flag(w, "source-can-clear");
	if (!spec->no_spi)
		CELLS(w, "interrupts", 0, label, spec->level ? 4 : 1);
	end(w);
}

static void put_peer(struct writer *w, const struct tree_spec *spec)
{
	if (spec->peer)
		prop_text(w, "peer", spec->peer);
	else
		prop_flag(w, "peer-default");
}

static void put_sink(struct writer *w, const struct tree_spec *spec)
{
	begin(w, "sink");
	prop_text(w, "vdevice-type", "doorbell");
	prop_text(w, "generate", "/hypervisor/sink");
	CELLS(w, "label", SOURCE_LABEL);
	put_peer(w, spec);
	end(w);
}

static void put_other(struct writer *w, const char *type)
{
	begin(w, "other");
	prop_text(w, "vdevice-type", type);
	prop_text(w, "generate", "/hypervisor/other");
	prop_flag(w, "peer-default");
	CELLS(w, "label", OTHER_LABEL);
	begin(w, "memory");
	address_cells(w, 2, 2);
	CELLS(w, "label", OTHER_LABEL);
	prop_flag(w, "allocate-base");
	end(w);
	end(w);
}

static void put_vdevices(struct writer *w, const struct tree_spec *spec)
{
	unsigned int i;

	begin(w, "vdevices");
	prop_text(w, "generate", "/hypervisor");
	for (i = 0; i < spec->bells; i++)
		put_bell(w, spec, BELL_SPI + i);
	if (spec->link) {
		begin(w, "rm");
		prop_text(w, "vdevice-type", "rm-rpc");
		prop_text(w, "generate", "/hypervisor/rm");
		end(w);
	}
	if (spec->bell_source) {
		begin(w, "source");
		prop_text(w, "vdevice-type", "doorbell-source");
		prop_text(w, "generate", "/hypervisor/source");
		CELLS(w, "label", SOURCE_LABEL);
		prop_flag(w, "source-can-clear");
		put_peer(w, spec);
		end(w);
	}
	if (spec->msgq) {
		begin(w, "pair");
		prop_text(w, "vdevice-type", "message-queue-pair");
		prop_text(w, "generate", "/hypervisor/pair");
		CELLS(w, "message-size", PAIR_SIZE);
		CELLS(w, "queue-depth", PAIR_DEPTH);
		CELLS(w, "label", PAIR_LABEL);
		put_peer(w, spec);
		end(w);
	}
	if (spec->bell_sink)
		put_sink(w, spec);
	if (spec->rtc) {
		begin(w, "clock");
		prop_text(w, "vdevice-type", "vrtc-pl031");
		prop_text(w, "generate", "/vsoc/clock");
		prop_flag(w, "peer-default");
		prop_u64(w, "base", spec->rtc);
		end(w);
	}
	if (spec->vdevice)
		put_other(w, spec->vdevice);
	if (spec->shm_label) {
		begin(w, "buffer");
		prop_text(w, "vdevice-type", "shm");
		prop_text(w, "generate", "/hypervisor/buffer");
		prop_text(w, "push-compatible", "conformance,buffer");
		CELLS(w, "label", spec->shm_label);
		prop_flag(w, "peer-default");
		begin(w, "memory");
		address_cells(w, 2, 2);
		CELLS(w, "label", spec->shm_label);
		prop_u64(w, "base", spec->shm_base);
		end(w);
		end(w);
	}
	end(w);
}

static void put_config(struct writer *w, const struct tree_spec *spec)
{
	begin(w, "gunyah-vm-config");
	if (!spec->no_name)
		prop_text(w, "image-name", spec->name ?: "conformance");
	prop_text(w, "os-type", "linux");
	if (spec->uri)
		prop_text(w, "vm-uri", spec->uri);
	if (spec->guid)
		prop_text(w, "vm-guid", spec->guid);
	begin(w, "memory");
	address_cells(w, 2, 2);
	prop_u64(w, "base-address", spec->base ?: 0x80000000);
	prop_u64(w, "size-max", spec->size_max ?: 0x10000000);
	end(w);
	begin(w, "interrupts");
	prop_text(w, "config", "/interrupt-controller@3fff0000");
	end(w);
	begin(w, "vcpus");
	prop_text(w, "affinity", "proxy");
	end(w);
	put_vdevices(w, spec);
	end(w);
}

static void put_memory(struct writer *w, const struct tree_spec *spec)
{
	begin(w, "memory");
	prop_text(w, "device_type", "memory");
	CELLS(w, "reg", 0, spec->base ?: 0x80000000, 0, 0x200000);
	end(w);
	if (!spec->reserved)
		return;
	begin(w, "reserved-memory");
	address_cells(w, 2, 2);
	prop_flag(w, "ranges");
	begin(w, "leftover");
	CELLS(w, "reg", spec->reserved >> 32, spec->reserved, 0, 0x1000);
	end(w);
	end(w);
}

static void put_root(struct writer *w, const struct tree_spec *spec)
{
	begin(w, "");
	address_cells(w, 2, 2);
	CELLS(w, "interrupt-parent", 1);
	if (!spec->no_chosen) {
		begin(w, "chosen");
		end(w);
	}
	if (spec->hypervisor) {
		begin(w, "hypervisor");
		end(w);
	}
	put_memory(w, spec);
	put_cpus(w, spec);
	put_gic(w, spec);
	if (!spec->no_config)
		put_config(w, spec);
	end(w);
	put32(w, END);
}

size_t tree_build(void *at, size_t room, const struct tree_spec *spec)
{
	struct writer *w = kzalloc(sizeof(*w), GFP_KERNEL);
	size_t structs, total = 0;
	u8 *header = at;

	if (!w)
		return 0;
	w->at = at;
	w->room = room;
	memset(at, 0, HEADER + RESERVE);
	w->size = HEADER + RESERVE;
	put_root(w, spec);
	structs = w->size - HEADER - RESERVE;
	put_bytes(w, w->strings, w->strings_size);
	if (!w->full) {
		const u32 fields[] = { spec->bad_magic ? ~MAGIC : MAGIC,
				       w->size,
				       HEADER + RESERVE,
				       HEADER + RESERVE + structs,
				       HEADER,
				       17,
				       16,
				       0,
				       w->strings_size,
				       structs };

		for (total = 0; total < ARRAY_SIZE(fields); total++)
			put_unaligned_be32(fields[total], header + total * 4);
		total = w->size;
	}
	kfree(w);
	return total;
}

/* --- Reading --- */

static bool name_fits(const char *name, const char *component, size_t length)
{
	return !strncmp(name, component, length) && (!name[length] || name[length] == '@');
}

/* The offset behind the token at *at; the token, and for a property its name and data. */
static u32 walk(const u8 *tree, u32 *at)
{
	u32 token = get_unaligned_be32(tree + *at);

	*at += 4;
	if (token == BEGIN_NODE)
		*at += ALIGN(strlen((const char *)tree + *at) + 1, 4);
	else if (token == PROP)
		*at += 8 + ALIGN(get_unaligned_be32(tree + *at), 4);
	return token;
}

/* Behind the name of the node at the path; 0: there is none. */
static u32 find_node(const u8 *tree, const char *path)
{
	u32 at = get_unaligned_be32(tree + 8), stop = at + get_unaligned_be32(tree + 36);
	unsigned int depth = 0, found = 0;

	while (at < stop) {
		u32 start = at, token = walk(tree, &at);
		const char *name = (const char *)tree + start + 4;
		size_t length = strcspn(path, "/");

		if (token == BEGIN_NODE) {
			if (depth == found && name_fits(name, path, found ? length : 0)) {
				if (found)
					path += length + (path[length] == '/');
				found++;
				if (!*path)
					return at;
			}
			depth++;
		} else if (token == END_NODE) {
			depth--;
			if (depth < found)
				return 0;
		} else if (token == END) {
			return 0;
		}
	}
	return 0;
}

const void *tree_get(const void *tree, const char *path, const char *property, int *size)
{
	const u8 *base = tree;
	u32 at;

	if (get_unaligned_be32(tree) != MAGIC)
		return NULL;
	at = find_node(tree, path);
	while (at) {
		u32 start = at, token = walk(tree, &at);

		if (token == PROP) {
			const char *name = (const char *)base + get_unaligned_be32(base + 12) +
					   get_unaligned_be32(base + start + 8);

			*size = get_unaligned_be32(base + start + 4);
			if (!strcmp(name, property))
				return base + start + 12;
		} else if (token != NOP) {
			break;
		}
	}
	return NULL;
}

bool tree_has(const void *tree, const char *path)
{
	return get_unaligned_be32(tree) == MAGIC && find_node(tree, path);
}

u32 tree_u32(const void *tree, const char *path, const char *property, unsigned int cell)
{
	int size;
	const u8 *value = tree_get(tree, path, property, &size);

	return value && size >= (int)(cell + 1) * 4 ? get_unaligned_be32(value + cell * 4) : ~0u;
}

bool tree_lists(const void *tree, const char *path, const char *property, const char *text)
{
	int size, at = 0;
	const char *value = tree_get(tree, path, property, &size);

	for (; value && at < size; at += strlen(value + at) + 1)
		if (!strcmp(value + at, text))
			return true;
	return false;
}
