// SPDX-License-Identifier: Apache-2.0
/* virtio-rng (virtio 1.2, section 5.4): fills buffers from getrandom(2). */
#include "vmm/virtio_rng.h"

#include <sys/random.h>

/* --- Constants --- */

#define DEVICE_ID 4u

/* --- State --- */

struct virtio_rng {
	struct virtio_mmio dev;
};

/* --- Queue --- */

/* A request that brings data breaks the rules; one for more than the limit is told what it got. */
static int64_t request(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	int64_t written = 0;

	(void)dev;
	if (chain->out_count > 0)
		return -EPROTO;
	for (unsigned int i = 0; i < chain->in_count && written < VIRTIO_RNG_MAX; i++) {
		const struct iovec *piece = &chain->iov[i];
		size_t room = VIRTIO_RNG_MAX - (size_t)written;
		ssize_t n;

		n = getrandom(piece->iov_base, piece->iov_len < room ? piece->iov_len : room, 0);
		if (n <= 0)
			break;
		written += n;
		/* What was cut short by a signal is short for the guest too. */
		if ((size_t)n < piece->iov_len)
			break;
	}
	return written;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	return virtio_serve(dev, queue, request);
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	(void)dev;
}

static const struct virtio_ops ops = {
	.name = "rng",
	.id = DEVICE_ID,
	.queues = 1,
	.handle = handle,
	.reset = reset,
};

/* --- Set-up --- */

int virtio_rng_new(struct virtio_rng **out, const struct virtio_slot *slot, struct error *err)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (!rng)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "rng");
	r = virtio_mmio_init(&rng->dev, &ops, slot, err);
	if (r < 0) {
		virtio_rng_free(rng);
		return error_widen(err, "rng");
	}
	*out = rng;
	return 0;
}

struct virtio_rng *virtio_rng_free(struct virtio_rng *rng)
{
	if (!rng)
		return NULL;
	virtio_mmio_free(&rng->dev);
	free(rng);
	return NULL;
}

struct virtio_mmio *virtio_rng_device(struct virtio_rng *rng)
{
	return &rng->dev;
}
