/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for the fuzz targets that loads from and stores to a device's registers as the input
 * says, in every width and at every offset.
 */
#ifndef CROFT_TESTS_MMIO_GUEST_H
#define CROFT_TESTS_MMIO_GUEST_H

#include <assert.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/loop.h"

#define ACCESSES_MAX 2048u

/* outside(data): what happens at the device's other side, or NULL. */
static inline void guest_run(struct mmio_device *dev, const uint8_t *p, size_t n,
			     void (*outside)(void *data, uint8_t value), void *data)
{
	struct bus bus = { 0 };

	bus_add(&bus, dev);
	for (unsigned int i = 0; n >= 4 && i < ACCESSES_MAX; i++) {
		unsigned int len = 1u << (p[0] & 3);
		/* The lowest page of registers more often than those of the cell's name. */
		uint64_t off = p[1] | (p[0] & 4 ? 0x400u : 0) | (p[0] & 8 ? 0xf00u : 0);
		uint64_t value = 0x0101010101010101ull * p[2] ^ p[3];

		if (p[0] & 0x20 && outside)
			outside(data, p[2]);
		else if (p[0] & 0x10)
			bus_write(&bus, gpa(dev->base.v + off), len, value);
		else
			(void)bus_read(&bus, gpa(dev->base.v + off), len);
		p += 4;
		n -= 4;
	}
	if (dev->irq.fd >= 0)
		eventfd_take(dev->irq.fd);
}

#endif
