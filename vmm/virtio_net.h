/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device: frames between a guest and a tap or a stream socket.
 */
#ifndef CROFT_VMM_VIRTIO_NET_H
#define CROFT_VMM_VIRTIO_NET_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm.h"

struct virtio_net;

/* Duplicates the fd. On failure *out is untouched. */
int virtio_net_new(struct virtio_net **out, const struct vmm_net *config,
		   const struct virtio_slot *slot, struct error *err);
struct virtio_net *virtio_net_free(struct virtio_net *net);

struct virtio_mmio *virtio_net_device(struct virtio_net *net);

/* Any thread. */
void virtio_net_set_link(struct virtio_net *net, bool up);
int virtio_net_set_limits(struct virtio_net *net, const struct vmm_limit *receive,
			  const struct vmm_limit *transmit, struct error *err);
void virtio_net_stats(struct virtio_net *net, struct vmm_net_stats *stats);

#endif
