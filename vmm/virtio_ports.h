/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams with names between a guest and its host: a virtio console with several ports, none
 * of which is a terminal.
 */
#ifndef CROFT_VMM_VIRTIO_PORTS_H
#define CROFT_VMM_VIRTIO_PORTS_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm.h"

#define VIRTIO_PORT_NAME_MAX 64u
#define VIRTIO_PORT_BUFFER   4096u /* bytes for a guest that has not read them yet */

struct virtio_ports;

struct virtio_ports_config {
	const char *const *names;
	unsigned int count; /* 1..VMM_PORTS_MAX */
	const struct vmm_events *events;
};

/* On failure *out is untouched. */
int virtio_ports_new(struct virtio_ports **out, const struct virtio_ports_config *config,
		     const struct virtio_slot *slot, struct error *err);
struct virtio_ports *virtio_ports_free(struct virtio_ports *ports);

struct virtio_mmio *virtio_ports_device(struct virtio_ports *ports);

/* Any thread; returns how many bytes were taken. */
size_t virtio_ports_write(struct virtio_ports *ports, unsigned int port, const void *bytes,
			  size_t n);

#endif
