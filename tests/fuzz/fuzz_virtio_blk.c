// SPDX-License-Identifier: Apache-2.0
/* A hostile driver of a disk, whose size and rate limit change meanwhile. */
#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_blk.h"

#define DISK_SIZE (64u << 10)

struct world {
	struct driver d;
	struct virtio_blk *blk;
	int file;
};

static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	uint8_t kind = (uint8_t)take(in, 1);
	struct vmm_limit limit = { .bytes_per_s = kind & 2 ? take(in, 3) : 0,
				   .ops_per_s = kind >> 4 };
	struct vmm_disk_stats stats;

	if (kind & 1)
		virtio_blk_set_limit(w->blk, &limit, NULL);
	else if (ftruncate(w->file, (off_t)(kind & 0xfe) << 9) == 0)
		virtio_blk_resized(w->blk, NULL);
	virtio_blk_stats(w->blk, &stats);
	assert(stats.size > 0 && stats.size <= 2 * DISK_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmm_disk disk = { .name = "fuzz", .fd = memfd_create("disk", MFD_CLOEXEC) };
	struct input in = { data, size };
	uint8_t setup = (uint8_t)take(&in, 1);
	struct world w = { 0 };
	int r;

	assert(disk.fd >= 0 && ftruncate(disk.fd, DISK_SIZE) == 0);
	disk.read_only = setup & 1;
	/* Without it an input gives the same each time. */
	disk.synchronous = (setup & 6) != 6;
	disk.queues = 1 + (setup >> 6);
	driver_init(&w.d);
	w.d.outside = outside;
	w.file = disk.fd;
	r = virtio_blk_new(&w.blk, &disk, &w.d.slot, NULL);
	assert(r == 0);
	driver_run(&w.d, virtio_blk_device(w.blk), &in);
	virtio_blk_free(w.blk);
	driver_free(&w.d);
	base_close(disk.fd);
	return 0;
}
