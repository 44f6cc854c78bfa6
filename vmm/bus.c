// SPDX-License-Identifier: Apache-2.0
/* From a trapped guest address to the device that answers. */
#include "vmm/bus.h"

#include <assert.h>

#include "vmm/loop.h"

int irq_init(struct irq_line *irq, uint32_t spi, struct error *err)
{
	int fd = eventfd_new();

	if (fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -fd, "interrupt line");
	*irq = (struct irq_line){ .fd = fd, .spi = spi };
	return 0;
}

void irq_free(struct irq_line *irq)
{
	irq->fd = base_close(irq->fd);
}

void irq_raise(struct irq_line *irq)
{
	eventfd_signal(irq->fd);
}

void bus_add(struct bus *bus, struct mmio_device *dev)
{
	assert(bus->count < BUS_DEVICES_MAX);
	bus->devices[bus->count++] = dev;
}

static struct mmio_device *find(const struct bus *bus, gpa_t at, unsigned int len)
{
	for (unsigned int i = 0; i < bus->count; i++) {
		struct mmio_device *dev = bus->devices[i];
		uint64_t off = at.v - dev->base.v;

		if (at.v >= dev->base.v && off < dev->size && len <= dev->size - off)
			return dev;
	}
	return NULL;
}

uint64_t bus_read(const struct bus *bus, gpa_t at, unsigned int len)
{
	struct mmio_device *dev = find(bus, at, len);

	uint64_t value = dev ? dev->ops->read(dev, at.v - dev->base.v, len) : UINT64_MAX;

	return len == 8 ? value : value & ((1ull << 8 * len) - 1);
}

void bus_write(const struct bus *bus, gpa_t at, unsigned int len, uint64_t value)
{
	struct mmio_device *dev = find(bus, at, len);

	if (dev)
		dev->ops->write(dev, at.v - dev->base.v, len, value);
}
