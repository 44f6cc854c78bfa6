/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source of entropy as a virtio device: the host's own random numbers.
 */
#ifndef CROFT_VMM_VIRTIO_RNG_H
#define CROFT_VMM_VIRTIO_RNG_H

#include "vmm/virtio_mmio.h"

/* What one request is given at most, however large its buffers are. */
#define VIRTIO_RNG_MAX 4096u

struct virtio_rng;

/* On failure *out is untouched. */
int virtio_rng_new(struct virtio_rng **out, const struct virtio_slot *slot, struct error *err);
struct virtio_rng *virtio_rng_free(struct virtio_rng *rng);

struct virtio_mmio *virtio_rng_device(struct virtio_rng *rng);

#endif
