// SPDX-License-Identifier: Apache-2.0
/* A hostile driver of a source of entropy. */
#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct virtio_rng *rng = NULL;
	struct driver d;
	int r;

	driver_init(&d);
	r = virtio_rng_new(&rng, &d.slot, NULL);
	assert(r == 0);
	driver_run(&d, virtio_rng_device(rng), &in);
	virtio_rng_free(rng);
	driver_free(&d);
	return 0;
}
