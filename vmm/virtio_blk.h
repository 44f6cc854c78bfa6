/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk for the guest: a raw file or block device behind virtio-blk.
 */
#ifndef CROFT_VMM_VIRTIO_BLK_H
#define CROFT_VMM_VIRTIO_BLK_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm.h"

struct virtio_blk;

/*
 * Duplicates the disk's fd. On failure *out is untouched. Errors: INVALID_ARGUMENT,
 * RESOURCE_EXHAUSTED, INTERNAL.
 */
int virtio_blk_new(struct virtio_blk **out, const struct vmm_disk *disk,
		   const struct virtio_slot *slot, struct error *err);
struct virtio_blk *virtio_blk_free(struct virtio_blk *blk);

struct virtio_mmio *virtio_blk_device(struct virtio_blk *blk);

/* Any thread, as is all below. */
int virtio_blk_set_limit(struct virtio_blk *blk, const struct vmm_limit *limit, struct error *err);

/* Looks at the file's size again, and tells the guest when it is another. */
int virtio_blk_resized(struct virtio_blk *blk, struct error *err);

void virtio_blk_stats(struct virtio_blk *blk, struct vmm_disk_stats *stats);

#endif
