// SPDX-License-Identifier: Apache-2.0
/* A hostile driver of a balloon, whose target changes, and whose memory may be pinned. */
#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_balloon.h"

struct world {
	struct driver d;
	struct virtio_balloon *balloon;
};

static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	struct vmm_balloon_stats stats = { 0 };

	virtio_balloon_set(w->balloon, take(in, 4), NULL);
	virtio_balloon_stats(w->balloon, &stats);
	assert(stats.present && (!w->d.mem.pinned || stats.released == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct world w = { 0 };
	int r;

	driver_init(&w.d);
	w.d.outside = outside;
	w.d.mem.pinned = take(&in, 1) & 1;
	r = virtio_balloon_new(&w.balloon, &w.d.slot, NULL);
	assert(r == 0);
	virtio_balloon_settle(w.balloon);
	driver_run(&w.d, virtio_balloon_device(w.balloon), &in);
	virtio_balloon_free(w.balloon);
	driver_free(&w.d);
	return 0;
}
