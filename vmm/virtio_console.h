/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console with one port.
 */
#ifndef CROFT_VMM_VIRTIO_CONSOLE_H
#define CROFT_VMM_VIRTIO_CONSOLE_H

#include "vmm/console.h"
#include "vmm/virtio_mmio.h"

struct virtio_console;

/* The console outlives the device, and is used on CONSOLE_VIRTIO. On failure *out is untouched. */
int virtio_console_new(struct virtio_console **out, struct console *console,
		       const struct virtio_slot *slot, struct error *err);
struct virtio_console *virtio_console_free(struct virtio_console *vc);

struct virtio_mmio *virtio_console_device(struct virtio_console *vc);

/* The guest's terminal is told. Any thread. */
void virtio_console_resize(struct virtio_console *vc, uint16_t columns, uint16_t rows);

#endif
