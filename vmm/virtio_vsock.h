/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock: sockets between a guest and its host, by vhost-vsock or by unix sockets.
 */
#ifndef CROFT_VMM_VIRTIO_VSOCK_H
#define CROFT_VMM_VIRTIO_VSOCK_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm.h"

struct virtio_vsock;

/* On failure *out is untouched. */
int virtio_vsock_new(struct virtio_vsock **out, const struct vmm_vsock *config,
		     const struct virtio_slot *slot, struct error *err);
struct virtio_vsock *virtio_vsock_free(struct virtio_vsock *vsock);

struct virtio_mmio *virtio_vsock_device(struct virtio_vsock *vsock);

/* Any thread. */
void virtio_vsock_stats(struct virtio_vsock *vsock, struct vmm_vsock_stats *stats);

#endif
