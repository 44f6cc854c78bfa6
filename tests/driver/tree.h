/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree of a tiny guest, and where things are in its memory.
 */
#ifndef CROFT_TESTS_DRIVER_TREE_H
#define CROFT_TESTS_DRIVER_TREE_H

#include <libfdt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/driver/runner.h"

#define PAGE	   4096ul
#define BASE	   0x80000000ul /* of guest memory */
#define SIZE	   0x200000ul
#define DTB_OFFSET 0x100000ul
#define DTB_SIZE   0x10000ul
#define GICD	   0x3fff0000ul
#define BELL	   4u  /* label and SPI of the doorbell */
#define BELLS	   32u /* labels and SPIs of those that only have to be there */
#define MMIO	   0x09000000ul

struct tree {
	unsigned int cpus;
	bool level;	    /* the doorbell's interrupt */
	unsigned int bells; /* more doorbells, labels from 32 on; the guest has no use for them */
	bool no_image_name, hypervisor_node, no_config;
};

static inline void fdt_fail(int error)
{
	if (error)
		wrong("device tree: %s", fdt_strerror(error));
}

static inline void cells(void *fdt, const char *name, unsigned int count, ...)
{
	fdt32_t value[12];
	va_list args;
	unsigned int i;

	va_start(args, count);
	for (i = 0; i < count; i++)
		value[i] = cpu_to_fdt32(va_arg(args, unsigned int));
	va_end(args);
	fdt_fail(fdt_property(fdt, name, value, (int)(count * sizeof(value[0]))));
}

static inline void put_cpus(void *fdt, unsigned int count)
{
	char name[16];
	unsigned int i;

	fdt_begin_node(fdt, "cpus");
	cells(fdt, "#address-cells", 1, 1u);
	cells(fdt, "#size-cells", 1, 0u);
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "cpu@%u", i);
		fdt_begin_node(fdt, name);
		fdt_property_string(fdt, "device_type", "cpu");
		fdt_property_string(fdt, "compatible", "arm,armv8");
		fdt_property_string(fdt, "enable-method", "psci");
		cells(fdt, "reg", 1, i);
		fdt_end_node(fdt);
	}
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "psci");
	fdt_property_string(fdt, "compatible", "arm,psci-1.0");
	fdt_property_string(fdt, "method", "hvc");
	fdt_end_node(fdt);
}

static inline void put_bell(void *fdt, unsigned int label, bool level)
{
	char name[16], path[32];

	snprintf(name, sizeof(name), "bell-%u", label);
	snprintf(path, sizeof(path), "/hypervisor/%s", name);
	fdt_begin_node(fdt, name);
	fdt_property_string(fdt, "vdevice-type", "doorbell");
	fdt_property(fdt, "generate", path, (int)strlen(path) + 1);
	cells(fdt, "label", 1, label);
	fdt_property(fdt, "peer-default", NULL, 0);
	fdt_property(fdt, "source-can-clear", NULL, 0);
	cells(fdt, "interrupts", 3, 0u, label, level ? 4u : 1u);
	fdt_end_node(fdt);
}

static inline void put_config(void *fdt, const struct tree *tree)
{
	unsigned int i;

	fdt_begin_node(fdt, "gunyah-vm-config");
	if (!tree->no_image_name)
		fdt_property_string(fdt, "image-name", "tiny");
	fdt_property_string(fdt, "os-type", "linux");
	fdt_begin_node(fdt, "memory");
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	cells(fdt, "base-address", 2, 0u, (unsigned int)BASE);
	cells(fdt, "size-max", 2, 0u, 0x10000000u);
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "interrupts");
	fdt_property_string(fdt, "config", "/interrupt-controller@3fff0000");
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "vcpus");
	fdt_property_string(fdt, "affinity", "proxy");
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "vdevices");
	fdt_property_string(fdt, "generate", "/hypervisor");
	put_bell(fdt, BELL, tree->level);
	for (i = 0; i < tree->bells; i++)
		put_bell(fdt, BELLS + i, false);
	fdt_end_node(fdt);
	fdt_end_node(fdt);
}

static inline void put_tree(char *at, const struct tree *tree)
{
	void *fdt = at;
	unsigned int gicr = tree->cpus * 0x20000u;

	fdt_fail(fdt_create(fdt, (int)DTB_SIZE / 4));
	fdt_fail(fdt_finish_reservemap(fdt));
	fdt_begin_node(fdt, "");
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	cells(fdt, "interrupt-parent", 1, 1u);
	fdt_begin_node(fdt, "chosen");
	fdt_end_node(fdt);
	if (tree->hypervisor_node) {
		fdt_begin_node(fdt, "hypervisor");
		fdt_end_node(fdt);
	}
	fdt_begin_node(fdt, "memory");
	fdt_property_string(fdt, "device_type", "memory");
	cells(fdt, "reg", 4, 0u, (unsigned int)BASE, 0u, (unsigned int)SIZE);
	fdt_end_node(fdt);
	put_cpus(fdt, tree->cpus);
	fdt_begin_node(fdt, "interrupt-controller@3fff0000");
	fdt_property_string(fdt, "compatible", "arm,gic-v3");
	cells(fdt, "#interrupt-cells", 1, 3u);
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	fdt_property(fdt, "interrupt-controller", NULL, 0);
	cells(fdt, "reg", 8, 0u, (unsigned int)GICD, 0u, 0x10000u, 0u, (unsigned int)GICD - gicr,
	      0u, gicr);
	cells(fdt, "phandle", 1, 1u);
	fdt_end_node(fdt);
	if (!tree->no_config)
		put_config(fdt, tree);
	fdt_end_node(fdt);
	fdt_fail(fdt_finish(fdt));
}

static const struct tree one = { .cpus = 1 };

#endif
