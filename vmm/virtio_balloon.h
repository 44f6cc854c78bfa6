/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon: a guest gives memory up when asked to, reports pages that it does not use, and
 * tells how it is off.
 */
#ifndef CROFT_VMM_VIRTIO_BALLOON_H
#define CROFT_VMM_VIRTIO_BALLOON_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm.h"

struct virtio_balloon;

/* On failure *out is untouched. */
int virtio_balloon_new(struct virtio_balloon **out, const struct virtio_slot *slot,
		       struct error *err);
struct virtio_balloon *virtio_balloon_free(struct virtio_balloon *balloon);

struct virtio_mmio *virtio_balloon_device(struct virtio_balloon *balloon);

/*
 * Before the guest runs, when it is known whether its memory is pinned: then nobody would gain by
 * its reports of free pages, and they are not asked for.
 */
void virtio_balloon_settle(struct virtio_balloon *balloon);

/* Any thread. Errors as vmm_set_balloon(). */
int virtio_balloon_set(struct virtio_balloon *balloon, uint64_t bytes, struct error *err);

/*
 * Any thread; does not wait for the guest. Asks it for newer figures than these, at most once a
 * second, so a guest that nobody looks at is left alone.
 */
void virtio_balloon_stats(struct virtio_balloon *balloon, struct vmm_balloon_stats *stats);

#endif
