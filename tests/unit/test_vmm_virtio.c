// SPDX-License-Identifier: Apache-2.0
/* The virtio-mmio transport as a driver sees it, and a disk and a console behind it. */
#include "tests/unit/virtio_help.h"

#include <fcntl.h>

static int make_disk(void **state, bool synchronous)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "root", .synchronous = synchronous };
	struct error err = { 0 };

	f->file = disk.fd = blank_file(1 * MIB);
	if (virtio_blk_new(&f->blk, &disk, &f->slot, &err) < 0)
		fail_msg("%s", err.message);
	f->dev = virtio_blk_device(f->blk);
	f->waits = !synchronous;
	*state = f;
	return 0;
}

static int setup_disk(void **state)
{
	return make_disk(state, true);
}

static int setup_uring(void **state)
{
	return make_disk(state, false);
}

static int setup_read_only(void **state)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "disk",
				 .serial = "a disk with a long name",
				 .read_only = true };

	f->file = disk.fd = blank_file(1 * MIB);
	assert_int_equal(virtio_blk_new(&f->blk, &disk, &f->slot, NULL), 0);
	f->dev = virtio_blk_device(f->blk);
	f->waits = true;
	*state = f;
	return 0;
}

static int setup_console(void **state)
{
	struct fixture *f = fixture_new();

	assert_int_equal(virtio_console_new(&f->vc, &f->console, &f->slot, NULL), 0);
	f->dev = virtio_console_device(f->vc);
	*state = f;
	return 0;
}

static int setup_rng(void **state)
{
	struct fixture *f = fixture_new();

	assert_int_equal(virtio_rng_new(&f->rng, &f->slot, NULL), 0);
	f->dev = virtio_rng_device(f->rng);
	*state = f;
	return 0;
}

/* --- The transport --- */

static void test_registers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, 0), 0x74726976);
	assert_int_equal(rd(f, 4), 2);
	assert_int_equal(rd(f, 8), 2);
	wr(f, 0x14, 1);
	assert_int_equal(rd(f, 0x10) & 1, 1); /* VERSION_1 */
	wr(f, 0x14, 2);
	assert_int_equal(rd(f, 0x10), 0);
	wr(f, 0x14, 0xffffffff);
	assert_int_equal(rd(f, 0x10), 0);
	assert_int_equal(rd(f, 0x34), 256);
	wr(f, QUEUE_SEL, 1);
	assert_int_equal(rd(f, 0x34), 0);
	wr(f, QUEUE_SEL, 0xffffffff);
	assert_int_equal(rd(f, 0x34), 0);
	wr(f, QUEUE_READY, 1);
	assert_int_equal(rd(f, QUEUE_READY), 0);
	/* Capacity, in every width that a driver may use; beyond the fields there are zeros. */
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x100, 8), 2048);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x101, 1), 8);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x10c, 8), 254);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x1f8, 8), 0);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0, 1), 0);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 2, 4), 0);
	assert_int_equal(rd(f, 0xb0), UINT32_MAX);
	f->dev->mmio.ops->write(&f->dev->mmio, 0x100, 8, 1);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x100, 8), 2048);
}

static void test_negotiation(void **state)
{
	struct fixture *f = *state;

	/* A legacy driver, and one that wants what nobody offered, below or above bit 64. */
	negotiate(f, 0);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER);
	negotiate(f, VIRTIO_F_VERSION_1 | 1ull << 40);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER);
	wr(f, STATUS, 0);
	wr(f, 0x24, 2);
	wr(f, 0x20, 1);
	wr(f, 0x24, 1);
	wr(f, 0x20, 1);
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER);
	/* DRIVER_OK needs FEATURES_OK. */
	wr(f, STATUS, 0);
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER);
	/* Features are settled then, and bits stay until a reset. */
	negotiate(f, VIRTIO_F_VERSION_1);
	wr(f, 0x24, 0);
	wr(f, 0x20, 0xffffffff);
	assert_int_equal(f->dev->driver_features, VIRTIO_F_VERSION_1);
	wr(f, STATUS, ACKNOWLEDGE);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	/* The device's own bit is not the driver's to set. */
	wr(f, STATUS, NEEDS_RESET | ACKNOWLEDGE);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static void test_queue_setup(void **state)
{
	struct fixture *f = *state;

	/* Before FEATURES_OK nothing of a queue can be written. */
	set_queue(f, 0, DESC);
	assert_int_equal(rd(f, QUEUE_READY), 0);
	negotiate(f, VIRTIO_F_VERSION_1);
	set_queue(f, 0, DESC);
	assert_int_equal(rd(f, QUEUE_READY), 1);
	/* Nor while it is ready. */
	wr(f, 0x80, 0x1234);
	wr(f, QUEUE_NUM, 4);
	assert_int_equal(f->dev->queues[0].ring.desc.v, DESC);
	assert_int_equal(f->dev->queues[0].ring.size, SIZE);
	wr(f, QUEUE_READY, 0);
	assert_int_equal(rd(f, QUEUE_READY), 0);
	/* Outside RAM: the device must be reset, and says so. */
	set_queue(f, 0, 0x1000);
	assert_int_equal(rd(f, QUEUE_READY), 0);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	assert_int_equal(f->dev->resets_needed, 1);
	wr(f, STATUS, 0);
	assert_int_equal(rd(f, STATUS), 0);
	bring_up(f, VIRTIO_F_VERSION_1);
}

static void test_too_early(void **state)
{
	struct fixture *f = *state;
	static const struct piece bad[] = { { 0, 16, false } };

	negotiate(f, VIRTIO_F_VERSION_1);
	set_queue(f, 0, DESC);
	/* Not looked at, as bad as it is, before DRIVER_OK. */
	assert_int_equal(submit(f, 0, 1, bad), UINT32_MAX);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	wr(f, 0x50, 77);
	wr(f, 0x50, 0xffffffff);
	serve(f);
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	serve(f);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	/* A configuration change is announced, once. */
	assert_int_equal(rd(f, INTERRUPT), 2);
	assert_true(eventfd_take(f->dev->mmio.irq.fd));
	wr(f, ACK, 2);
	assert_int_equal(rd(f, INTERRUPT), 0);
	assert_int_equal(submit(f, 0, 1, bad), UINT32_MAX);
	assert_false(eventfd_take(f->dev->mmio.irq.fd));
}

/* --- The disk --- */

#define HEADER DATA
#define BUFFER (DATA + 0x1000)
#define RESULT (DATA + 0x100)

static uint8_t blk(struct fixture *f, uint32_t type, uint64_t sector, uint32_t bytes, bool in)
{
	const struct piece pieces[] = {
		{ HEADER, 16, false },
		{ BUFFER, bytes, in },
		{ RESULT, 1, true },
	};

	put_le(at(f, HEADER, 16), type, 8);
	put_le(at(f, HEADER + 8, 8), sector, 8);
	*at(f, RESULT, 1) = 0xaa;
	assert_int_not_equal(submit(f, 0, 3, pieces), UINT32_MAX);
	return *at(f, RESULT, 1);
}

static void test_disk(void **state)
{
	struct fixture *f = *state;
	struct vmm_disk_stats stats;
	uint8_t buf[1024];

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	memset(at(f, BUFFER, 1024), 0x42, 1024);
	assert_int_equal(blk(f, 1, 3, 1024, false), 0);
	assert_true(eventfd_take(f->dev->mmio.irq.fd));
	assert_int_equal(rd(f, INTERRUPT), 1);
	wr(f, ACK, 1);
	assert_int_equal(pread_all(f->file, buf, 1024, 3 * 512), 0);
	assert_memory_equal(buf, at(f, BUFFER, 1024), 1024);
	memset(at(f, BUFFER, 2048), 0, 2048);
	assert_int_equal(blk(f, 0, 2, 2048, true), 0);
	assert_memory_equal(at(f, BUFFER + 512, 1024), buf, 1024);
	assert_int_equal(*at(f, BUFFER, 1), 0);
	assert_int_equal(blk(f, 4, 0, 0, false), 0);
	assert_int_equal(blk(f, 8, 0, 20, true), 0);
	assert_memory_equal(at(f, BUFFER, 20), "root\0\0", 6);
	assert_int_equal(blk(f, 77, 0, 512, true), 2);
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.read_ops, 1);
	assert_int_equal(stats.read_bytes, 2048);
	assert_int_equal(stats.write_ops, 1);
	assert_int_equal(stats.write_bytes, 1024);
	assert_int_equal(stats.flush_ops, 1);
	assert_int_equal(stats.errors, 0);
}

static void test_disk_bounds(void **state)
{
	struct fixture *f = *state;
	struct vmm_disk_stats stats;

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(blk(f, 0, 2047, 512, true), 0);
	assert_int_equal(blk(f, 0, 2047, 1024, true), 1);
	assert_int_equal(blk(f, 0, 2048, 512, true), 1);
	assert_int_equal(blk(f, 1, 2048, 512, false), 1);
	/* These would wrap to small offsets. */
	assert_int_equal(blk(f, 0, UINT64_MAX, 512, true), 1);
	assert_int_equal(blk(f, 0, 1ull << 55, 512, true), 1);
	assert_int_equal(blk(f, 1, UINT64_MAX / 512 + 1, 512, false), 1);
	assert_int_equal(blk(f, 0, 0, 100, true), 1);
	assert_int_equal(blk(f, 8, 0, 19, true), 1);
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.errors, 8);
	assert_int_equal(stats.write_ops, 0);
	/* The file became shorter behind our back. */
	assert_int_equal(ftruncate(f->file, 4096), 0);
	assert_int_equal(blk(f, 0, 100, 512, true), 1);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

/* Any framing is allowed: the header in three pieces, the status at the end of the data. */
static void test_disk_framing(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = {
		{ HEADER, 3, false },  { HEADER + 3, 12, false },   { HEADER + 15, 1, false },
		{ BUFFER, 100, true }, { BUFFER + 100, 413, true },
	};
	static const struct piece out[] = { { HEADER, 16 + 512, false }, { RESULT, 1, true } };
	uint8_t buf[512];

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	memset(buf, 7, sizeof(buf));
	assert_int_equal(pwrite_all(f->file, buf, sizeof(buf), 512), 0);
	put_le(at(f, HEADER, 8), 0, 8);
	put_le(at(f, HEADER + 8, 8), 1, 8);
	assert_int_equal(submit(f, 0, 5, pieces), 513);
	assert_memory_equal(at(f, BUFFER, 512), buf, 512);
	assert_int_equal(*at(f, BUFFER + 512, 1), 0);
	put_le(at(f, HEADER, 8), 1, 8);
	memset(at(f, HEADER + 16, 512), 9, 512);
	assert_int_equal(submit(f, 0, 2, out), 1);
	assert_int_equal(*at(f, RESULT, 1), 0);
	assert_int_equal(pread_all(f->file, buf, sizeof(buf), 512), 0);
	assert_int_equal(buf[0], 9);
	assert_int_equal(buf[511], 9);
}

static void test_disk_broken_requests(void **state)
{
	struct fixture *f = *state;
	static const struct piece requests[][2] = {
		{ { HEADER, 15, false }, { RESULT, 1, true } },	   /* half a header */
		{ { RESULT, 1, true }, { RESULT, 16, true } },	   /* none */
		{ { HEADER, 16, false }, { BUFFER, 512, false } }, /* nowhere to answer */
	};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		bring_up(f, VIRTIO_F_VERSION_1);
		assert_int_equal(submit(f, 0, 2, requests[i]), UINT32_MAX);
		assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	}
	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(blk(f, 0, 0, 512, true), 0);
}

#define DISCARD	     11u
#define WRITE_ZEROES 13u

static uint8_t ranges(struct fixture *f, uint32_t type, uint64_t sector, uint32_t sectors,
		      uint32_t flags)
{
	put_le(at(f, BUFFER, 16), sector, 8);
	put_le(at(f, BUFFER + 8, 4), sectors, 4);
	put_le(at(f, BUFFER + 12, 4), flags, 4);
	return blk(f, type, 0, 16, false);
}

static void test_ranges(void **state)
{
	struct fixture *f = *state;
	struct vmm_disk_stats stats;
	uint8_t buf[4096], zeroes[4096] = { 0 };

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	/* What the driver may ask for. */
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x124, 4), 1u << 22);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x138, 1), 1);
	memset(buf, 0x42, sizeof(buf));
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(pwrite_all(f->file, buf, sizeof(buf), 4096 * i), 0);
	assert_int_equal(ranges(f, DISCARD, 8, 8, 0), 0);
	assert_int_equal(ranges(f, WRITE_ZEROES, 24, 8, 1), 0);
	assert_int_equal(ranges(f, WRITE_ZEROES, 40, 8, 0), 0);
	for (unsigned int i = 1; i <= 5; i += 2) {
		assert_int_equal(pread_all(f->file, buf, sizeof(buf), 4096 * i), 0);
		assert_memory_equal(buf, zeroes, sizeof(buf));
		assert_int_equal(pread_all(f->file, buf, 1, 4096 * i - 1), 0);
		assert_int_equal(buf[0], 0x42);
		assert_int_equal(pread_all(f->file, buf, 1, 4096 * (i + 1)), 0);
		assert_int_equal(buf[0], 0x42);
	}
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.discard_ops, 1);
	assert_int_equal(stats.zero_ops, 2);
	assert_int_equal(stats.errors, 0);
}

static void test_broken_ranges(void **state)
{
	struct fixture *f = *state;

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(ranges(f, DISCARD, 0, 8, 1), 2);
	assert_int_equal(ranges(f, WRITE_ZEROES, 0, 8, 2), 2);
	assert_int_equal(ranges(f, DISCARD, 2048, 1, 0), 1);
	assert_int_equal(ranges(f, DISCARD, 2047, 2, 0), 1);
	assert_int_equal(ranges(f, DISCARD, UINT64_MAX, 2, 0), 1);
	assert_int_equal(ranges(f, DISCARD, 0, UINT32_MAX, 0), 1);
	assert_int_equal(ranges(f, DISCARD, 0, 0, 0), 0);
	assert_int_equal(blk(f, DISCARD, 0, 15, false), 1);
	assert_int_equal(blk(f, DISCARD, 0, 17 * 16, false), 1);
	assert_int_equal(blk(f, WRITE_ZEROES, 0, 16, true), 1);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

static void test_disk_limit(void **state)
{
	struct fixture *f = *state;
	const struct vmm_limit slow = { .bytes_per_s = 20000 }, none = { 0 };
	struct vmm_disk_stats stats;

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(virtio_blk_set_limit(f->blk, &slow, NULL), 0);
	/* A tenth of a second's worth is there; then it takes as long as it takes. */
	f->waits = true;
	assert_int_equal(blk(f, 1, 0, 4096, false), 0);
	assert_int_equal(blk(f, 1, 0, 4096, false), 0);
	virtio_blk_stats(f->blk, &stats);
	assert_true(stats.throttled > 0);
	assert_int_equal(stats.write_bytes, 8192);
	assert_int_equal(virtio_blk_set_limit(f->blk, &none, NULL), 0);
	assert_int_equal(blk(f, 1, 0, 65536, false), 0);
}

/* Zeroes take few bytes of the guest's, and count as what may have to be written. */
static void test_zeroes_limit(void **state)
{
	struct fixture *f = *state;
	const struct vmm_limit slow = { .bytes_per_s = 1000 }, none = { 0 };
	struct vmm_disk_stats stats;

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(virtio_blk_set_limit(f->blk, &slow, NULL), 0);
	assert_int_equal(ranges(f, DISCARD, 0, 1024, 0), 0);
	assert_int_equal(ranges(f, WRITE_ZEROES, 0, 1024, 0), 0);
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.throttled, 0);
	/* 512 KiB are eight minutes. */
	put_le(at(f, AVAIL + 2, 2), ++f->avail[0], 2);
	wr(f, 0x50, 0);
	serve(f);
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.throttled, 1);
	assert_int_equal(virtio_blk_set_limit(f->blk, &none, NULL), 0);
	serve(f);
	assert_int_equal(*at(f, USED + 2, 2), 3);
}

static void test_disk_resized(void **state)
{
	struct fixture *f = *state;
	struct vmm_disk_stats stats;
	struct error err = { 0 };

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(virtio_blk_resized(f->blk, NULL), 0);
	assert_int_equal(rd(f, INTERRUPT), 0);
	assert_int_equal(blk(f, 0, 4000, 512, true), 1);
	wr(f, ACK, 1);
	assert_int_equal(ftruncate(f->file, 2 * MIB), 0);
	assert_int_equal(virtio_blk_resized(f->blk, NULL), 0);
	assert_int_equal(rd(f, INTERRUPT), 2);
	assert_int_equal(rd(f, 0x100), 4096);
	assert_int_equal(blk(f, 0, 4000, 512, true), 0);
	/* A size that no disk can have changes nothing. */
	assert_int_equal(ftruncate(f->file, 1000), 0);
	assert_true(virtio_blk_resized(f->blk, &err) < 0);
	assert_string_equal(err.message,
			    "disk \"root\": its size, 1000 bytes, is not a multiple of 512");
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.size, 2 * MIB);
}

/* More than io_uring takes at once. */
static void test_many_at_once(void **state)
{
	struct fixture *f = *state;
	struct vmm_disk_stats stats;

	bring_up_load(f);
	run_load(f, 3);
	for (unsigned int i = 0; i < LOAD; i++)
		assert_int_equal(*at(f, LOAD_DATA + 0x1000 + 32 * i + 16, 1), 0);
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.read_ops, 3 * LOAD);
	assert_int_equal(stats.queue_requests[0], 3 * LOAD);
	assert_int_equal(stats.errors, 0);
}

/* While requests are under way the driver takes the queue away, sets it up anew, and resets all. */
static void test_queue_taken_away(void **state)
{
	struct fixture *f = *state;

	bring_up_load(f);
	offer_load(f, 0);
	f->dev->queues[0].notified.ready(&f->dev->queues[0].notified);
	wr(f, QUEUE_SEL, 0);
	wr(f, QUEUE_READY, 0);
	wr(f, QUEUE_NUM, 2);
	wr(f, QUEUE_READY, 1);
	serve(f);
	wr(f, STATUS, 0);
	bring_up_load(f);
	memset(at(f, LOAD_DATA + 0xc000, 4), 0, 4);
	offer_load(f, 0);
	f->dev->queues[0].notified.ready(&f->dev->queues[0].notified);
	wr(f, STATUS, 0);
	assert_int_equal(rd(f, STATUS), 0);
	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(blk(f, 0, 0, 512, true), 0);
}

/* When the driver has its queue back, nothing of it is under way: each request has its answer. */
static void test_queue_is_given_back(void **state)
{
	struct fixture *f = *state;
	const struct piece pieces[] = { { HEADER, 16, false }, { RESULT, 1, true } };

	f->waits = false;
	for (unsigned int i = 0; i < 20; i++) {
		bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
		put_le(at(f, HEADER, 16), 4, 8);
		put_le(at(f, HEADER + 8, 8), 0, 8);
		*at(f, RESULT, 1) = 0xaa;
		assert_int_equal(pwrite_all(f->file, "x", 1, 4096 * i), 0);
		(void)submit(f, 0, 2, pieces);
		wr(f, QUEUE_SEL, 0);
		wr(f, QUEUE_READY, 0);
		assert_int_equal(*at(f, RESULT, 1), 0);
		assert_int_equal(*at(f, USED + 2, 2), 1);
	}
}

static int setup_queues(void **state)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "root", .queues = 8 };

	f->file = disk.fd = blank_file(1 * MIB);
	assert_int_equal(virtio_blk_new(&f->blk, &disk, &f->slot, NULL), 0);
	f->dev = virtio_blk_device(f->blk);
	f->waits = true;
	*state = f;
	return 0;
}

static void test_several_queues(void **state)
{
	struct fixture *f = *state;
	const struct piece pieces[] = { { HEADER, 16, false },
					{ BUFFER, 512, true },
					{ RESULT, 1, true } };
	struct vmm_disk_stats stats;

	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x122, 2), VMM_DISK_QUEUES_MAX);
	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	memset(at(f, HEADER, 16), 0, 16);
	for (unsigned int q = 0; q < VMM_DISK_QUEUES_MAX; q++) {
		*at(f, RESULT, 1) = 0xaa;
		assert_int_equal(submit(f, q, 3, pieces), 513);
		assert_int_equal(*at(f, RESULT, 1), 0);
	}
	virtio_blk_stats(f->blk, &stats);
	assert_int_equal(stats.queue_count, VMM_DISK_QUEUES_MAX);
	assert_int_equal(stats.queue_requests[3], 1);
}

/*
 * A driver that cannot flush still gets durable writes; that cannot be seen here, but that they
 * work can.
 */
static void test_disk_without_flush(void **state)
{
	struct fixture *f = *state;

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(blk(f, 1, 0, 512, false), 0);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;

	bring_up(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	assert_int_equal(f->dev->features >> 5 & 1, 1);
	assert_int_equal(blk(f, 1, 0, 512, false), 1);
	assert_int_equal(blk(f, 0, 0, 512, true), 0);
	assert_int_equal(blk(f, 4, 0, 0, false), 0);
	assert_int_equal(blk(f, 8, 0, 20, true), 0);
	assert_memory_equal(at(f, BUFFER, 20), "a disk with a long n", 20);
}

static void test_event_idx(void **state)
{
	struct fixture *f = *state;

	bring_up(f, f->dev->features);
	/* used_event 1: the first is silent, the second is told. */
	put_le(at(f, AVAIL + 4 + 2 * SIZE, 2), 1, 2);
	assert_int_equal(blk(f, 0, 0, 512, true), 0);
	assert_false(eventfd_take(f->dev->mmio.irq.fd));
	assert_int_equal(blk(f, 0, 0, 512, true), 0);
	assert_true(eventfd_take(f->dev->mmio.irq.fd));
	/* And we say what we wait for. */
	assert_int_equal(*at(f, USED + 4 + 8 * SIZE, 2), 2);
}

static void test_bad_disks(void **state)
{
	struct fixture *f = *state;
	const struct {
		int fd;
		bool read_only;
		const char *message;
	} disks[] = {
		{ 9999, false, "disk \"d\": file descriptor: Bad file descriptor" },
		{ blank_file(0), false, "disk \"d\": its size, 0 bytes" },
		{ blank_file(1000), false,
		  "disk \"d\": its size, 1000 bytes, is not a multiple of 512" },
		{ open("/dev/null", O_RDWR | O_CLOEXEC), false,
		  "neither a regular file nor a block device" },
		{ open("/proc/self/exe", O_RDONLY | O_CLOEXEC), false,
		  "not open for reading and writing" },
		{ open("/dev/null", O_WRONLY | O_CLOEXEC), true, "not open for reading" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		struct vmm_disk disk = { .name = "d",
					 .fd = disks[i].fd,
					 .read_only = disks[i].read_only };
		struct virtio_blk *out = NULL;
		unsigned int fds = open_fds();
		struct error err = { 0 };

		assert_true(virtio_blk_new(&out, &disk, &f->slot, &err) < 0);
		assert_null(out);
		assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
		if (!strstr(err.message, disks[i].message))
			fail_msg("%s", err.message);
		assert_int_equal(open_fds(), fds);
		if (disk.fd != 9999)
			close(disk.fd);
	}
}

/* --- The console --- */

static void test_console_output(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { DATA, 6, false }, { DATA + 6, 6, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	memcpy(at(f, DATA, 12), "hello world\n", 12);
	assert_int_equal(submit(f, 1, 2, pieces), 0);
	assert_string_equal(f->sink.console, "hello world\n");
	/* One character without a queue, for a kernel that dies early. */
	f->dev->mmio.ops->write(&f->dev->mmio, 0x108, 4, 'x');
	console_flush(&f->console);
	assert_string_equal(f->sink.console, "hello world\nx");
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x104, 4), 1);
}

static void test_console_input(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { DATA, 4, true } };
	static const struct piece out[] = { { DATA + 64, 1, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	/* Typed before the guest spoke here: that goes to the UART. */
	assert_int_equal(submit(f, 0, 1, pieces), UINT32_MAX);
	assert_int_equal(console_type(&f->console, "abcdef", 6), 6);
	serve(f);
	assert_int_equal(*at(f, USED + 2, 2), 0);
	/* Now it speaks here, and what is left over comes with the next buffer. */
	assert_int_equal(submit(f, 1, 1, out), 0);
	assert_int_equal(*at(f, USED + 2, 2), 1);
	assert_memory_equal(at(f, DATA, 4), "abcd", 4);
	assert_int_equal(submit(f, 0, 1, pieces), 2);
	assert_memory_equal(at(f, DATA, 2), "ef", 2);
	/*
	 * With two buffers there, the second is used when the driver, done with the first, offers
	 * another.
	 */
	assert_int_equal(submit(f, 0, 1, pieces), UINT32_MAX);
	assert_int_equal(submit(f, 0, 1, pieces), UINT32_MAX);
	console_type(&f->console, "gh", 2);
	serve(f);
	console_type(&f->console, "i", 1);
	serve(f);
	assert_int_equal(*at(f, USED + 2, 2), 3);
	assert_memory_equal(at(f, DATA, 2), "gh", 2);
	assert_int_equal(submit(f, 0, 1, pieces), UINT32_MAX);
	assert_int_equal(*at(f, USED + 2, 2), 4);
	assert_memory_equal(at(f, DATA, 1), "i", 1);
	/* Bounded: what does not fit is not taken. */
	for (size_t n = 0; n < CONSOLE_IN_SIZE; n += 256) {
		char text[256] = { 0 };

		assert_int_equal(console_type(&f->console, text, 256), 256);
	}
	assert_int_equal(console_type(&f->console, "x", 1), 0);
	/* A driver that starts over does so here too. */
	bring_up(f, VIRTIO_F_VERSION_1);
	/* Buffers that cannot be written into take nothing and do no harm. */
	assert_int_equal(submit(f, 0, 1, out), 0);
}

/* A receive queue that is taken back and set up anew begins anew. */
static void test_console_queue_taken_back(void **state)
{
	struct fixture *f = *state;
	static const struct piece in[] = { { DATA, 4, true } };
	static const struct piece out[] = { { DATA + 64, 1, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, 1, 1, out), 0);
	for (unsigned int i = 0; i < 3; i++) {
		wr(f, QUEUE_SEL, 0);
		wr(f, QUEUE_READY, 0);
		memset(at(f, AVAIL, 64), 0, 64);
		memset(at(f, USED, 128), 0, 128);
		f->avail[0] = 0;
		wr(f, QUEUE_READY, 1);
		assert_int_equal(console_type(&f->console, "ab", 2), 2);
		assert_int_equal(submit(f, 0, 1, in), 2);
		assert_memory_equal(at(f, DATA, 2), "ab", 2);
	}
}

static void test_console_too_much(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { BOOT_RAM_BASE, MIB + 1, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, 1, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	assert_int_equal(f->sink.console_used, 0);
}

static void test_rng(void **state)
{
	struct fixture *f = *state;
	static const struct piece two[] = { { DATA, 16, true }, { DATA + 32, 16, true } };
	static const struct piece large[] = { { DATA, 3 * VIRTIO_RNG_MAX, true } };
	static const uint8_t zeroes[VIRTIO_RNG_MAX];

	assert_int_equal(rd(f, 0x008), 4);
	assert_int_equal(rd(f, 0x100), 0);
	wr(f, 0x100, 1);
	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, 0, 2, two), 32);
	assert_memory_not_equal(at(f, DATA, 16), zeroes, 16);
	assert_memory_not_equal(at(f, DATA + 32, 16), zeroes, 16);
	assert_memory_equal(at(f, DATA + 16, 16), zeroes, 16);
	assert_memory_not_equal(at(f, DATA, 16), at(f, DATA + 32, 16), 16);
	/* More than a request may have: the rest is not touched. */
	assert_int_equal(submit(f, 0, 1, large), VIRTIO_RNG_MAX);
	assert_memory_equal(at(f, DATA + VIRTIO_RNG_MAX, VIRTIO_RNG_MAX), zeroes, VIRTIO_RNG_MAX);
}

static void test_rng_is_told(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { DATA, 16, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, 0, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
}

int main(void)
{
#define DISK(name) cmocka_unit_test_setup_teardown(name, setup_disk, teardown)
#define URING(name)                                               \
	{                                                         \
#name "_uring", name, setup_uring, teardown, NULL \
	}
#define CONSOLE(name) cmocka_unit_test_setup_teardown(name, setup_console, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rng, setup_rng, teardown),
		cmocka_unit_test_setup_teardown(test_rng_is_told, setup_rng, teardown),
		DISK(test_registers),
		DISK(test_negotiation),
		DISK(test_queue_setup),
		DISK(test_too_early),
		DISK(test_disk),
		URING(test_disk),
		URING(test_disk_bounds),
		URING(test_disk_framing),
		URING(test_disk_broken_requests),
		URING(test_disk_without_flush),
		DISK(test_ranges),
		DISK(test_broken_ranges),
		DISK(test_disk_limit),
		URING(test_disk_limit),
		DISK(test_zeroes_limit),
		DISK(test_disk_resized),
		URING(test_many_at_once),
		URING(test_queue_taken_away),
		URING(test_queue_is_given_back),
		cmocka_unit_test_setup_teardown(test_several_queues, setup_queues, teardown),
		DISK(test_disk_bounds),
		DISK(test_disk_framing),
		DISK(test_disk_broken_requests),
		DISK(test_disk_without_flush),
		DISK(test_event_idx),
		DISK(test_bad_disks),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
		CONSOLE(test_console_output),
		CONSOLE(test_console_input),
		CONSOLE(test_console_queue_taken_back),
		CONSOLE(test_console_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
