/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that a guest reaches by loads and stores, and their interrupt lines.
 */
#ifndef CROFT_VMM_BUS_H
#define CROFT_VMM_BUS_H

#include "vmm/fdt.h"
#include "vmm/mem.h"

/* An edge-triggered line: the backend rings the guest's interrupt for each write to the eventfd. */
struct irq_line {
	int fd;
	uint32_t spi; /* number of the shared peripheral interrupt; also the doorbell's label */
};

int irq_init(struct irq_line *irq, uint32_t spi, struct error *err);
void irq_free(struct irq_line *irq);
void irq_raise(struct irq_line *irq);

struct mmio_device;

/*
 * Called on vCPU threads, several at once: a device locks itself. off + len is inside the device;
 * len is 1, 2, 4, 8.
 */
struct mmio_ops {
	uint64_t (*read)(struct mmio_device *dev, uint64_t off, unsigned int len);
	void (*write)(struct mmio_device *dev, uint64_t off, unsigned int len, uint64_t value);
	/* Writes the device's own node. */
	void (*describe)(const struct mmio_device *dev, struct fdt_tree *tree);
	bool dma; /* it works in guest memory */
};

struct mmio_device {
	const struct mmio_ops *ops;
	gpa_t base;
	uint64_t size;	     /* bytes */
	struct irq_line irq; /* fd -1: it has none */
};

#define BUS_DEVICES_MAX 32u

struct bus {
	struct mmio_device *devices[BUS_DEVICES_MAX];
	unsigned int count;
};

/* Before the first vCPU runs; ranges do not overlap. */
void bus_add(struct bus *bus, struct mmio_device *dev);

/*
 * An access that no device claims, or that crosses a device's end, reads as ones and writes
 * nothing.
 */
uint64_t bus_read(const struct bus *bus, gpa_t at, unsigned int len);
void bus_write(const struct bus *bus, gpa_t at, unsigned int len, uint64_t value);

#endif
