// SPDX-License-Identifier: Apache-2.0
/* The balloon as a guest's driver sees it, and what it does to guest memory. */
#include "tests/unit/virtio_help.h"

#define PAGES	 (BOOT_RAM_BASE + 0x2000000) /* memory that a test gives up */
#define FEATURES (VIRTIO_F_VERSION_1 | 1ull << 1 | 1ull << 2 | 1ull << 5)
#define INFLATE	 0u
#define DEFLATE	 1u
#define STATS	 2u
#define REPORT	 3u

static int setup(void **state)
{
	struct fixture *f = fixture_new();
	struct error err = { 0 };

	mem_free(&f->mem);
	assert_int_equal(mem_init(&f->mem, gpa(BOOT_RAM_BASE), 128 * MIB, NULL), 0);
	if (virtio_balloon_new(&f->balloon, &f->slot, &err) < 0)
		fail_msg("%s", err.message);
	f->dev = virtio_balloon_device(f->balloon);
	virtio_balloon_settle(f->balloon);
	*state = f;
	return 0;
}

static struct vmm_balloon_stats stats_of(struct fixture *f)
{
	struct vmm_balloon_stats stats = { 0 };

	virtio_balloon_stats(f->balloon, &stats);
	return stats;
}

/* Writes n numbers of pages, from `first` in steps, to DATA. */
static void put_pfns(struct fixture *f, unsigned int n, uint64_t first, int step)
{
	for (unsigned int i = 0; i < n; i++)
		put_le(at(f, DATA + 4 * i, 4),
		       (uint64_t)((int64_t)(first >> 12) + (int64_t)i * step), 4);
}

static void test_target(void **state)
{
	struct fixture *f = *state;
	struct vmm_balloon_stats stats;
	struct error err = { 0 };

	assert_int_equal(rd(f, 0x008), 5);
	assert_int_equal(virtio_balloon_set(f->balloon, 64 * MIB + 1, &err), -EINVAL);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	assert_string_equal(err.message, "a balloon of 67108865 bytes leaves the guest less than "
					 "67108864 of its 134217728");
	assert_int_equal(virtio_balloon_set(f->balloon, UINT64_MAX, NULL), -EINVAL);
	/* Before a driver is there it waits in the config space; later it is announced. */
	assert_int_equal(virtio_balloon_set(f->balloon, 8 * MIB + 4095, NULL), 0);
	assert_int_equal(rd(f, 0x100), 2048);
	assert_int_equal(rd(f, INTERRUPT), 0);
	assert_false(stats_of(f).driver_up);
	bring_up(f, FEATURES);
	assert_int_equal(virtio_balloon_set(f->balloon, 4 * MIB, NULL), 0);
	assert_int_equal(rd(f, INTERRUPT), 2);
	assert_int_equal(rd(f, 0x100), 1024);
	/* Only `actual` is the driver's. */
	wr(f, 0x100, 7);
	wr(f, 0x104, 512);
	f->dev->mmio.ops->write(&f->dev->mmio, 0x104, 1, 1);
	stats = stats_of(f);
	assert_true(stats.present && stats.driver_up && stats.gives_back);
	assert_int_equal(stats.target, 4 * MIB);
	assert_int_equal(stats.actual, 2 * MIB);
	wr(f, STATUS, 0);
	assert_int_equal(stats_of(f).actual, 0);
	assert_int_equal(stats_of(f).target, 4 * MIB);
}

static void test_inflate(void **state)
{
	struct fixture *f = *state;
	static const struct piece two[] = { { DATA, 40, false }, { DATA + 40, 88, false } };
	uint64_t resident;

	bring_up(f, FEATURES);
	memset(at(f, PAGES, 64 * 4096), 0x55, 64 * 4096);
	resident = mem_resident(&f->mem);
	/* As Linux gives them, and the other way round. */
	put_pfns(f, 16, PAGES + 15 * 4096, -1);
	for (unsigned int i = 16; i < 32; i++)
		put_le(at(f, DATA + 4 * i, 4), (PAGES >> 12) + i, 4);
	assert_int_equal(submit(f, INFLATE, 2, two), 0);
	/* The request and its rings have taken a few meanwhile. */
	assert_in_range(resident - mem_resident(&f->mem), 24 * 4096, 32 * 4096);
	assert_int_equal(*at(f, PAGES, 1), 0);
	assert_int_equal(*at(f, PAGES + 31 * 4096, 1), 0);
	assert_int_equal(*at(f, PAGES + 32 * 4096, 1), 0x55);
	assert_int_equal(stats_of(f).inflated, 32 * 4096);
	assert_int_equal(stats_of(f).released, 32 * 4096);
	assert_int_equal(submit(f, DEFLATE, 2, two), 0);
	assert_int_equal(stats_of(f).deflated, 32 * 4096);
}

/* A page that the hypervisor holds must stay the guest's page. */
static void test_pinned(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { DATA, 4, false } };

	f->mem.pinned = true;
	virtio_balloon_settle(f->balloon);
	wr(f, 0x14, 0);
	assert_int_equal(rd(f, 0x10) & 1u << 5, 0);
	f->queues = 3;
	bring_up(f, FEATURES & ~(1ull << 5));
	memset(at(f, PAGES, 4096), 0x55, 4096);
	put_pfns(f, 1, PAGES, 1);
	assert_int_equal(submit(f, INFLATE, 1, pieces), 0);
	assert_int_equal(*at(f, PAGES, 1), 0x55);
	assert_int_equal(stats_of(f).inflated, 4096);
	assert_int_equal(stats_of(f).released, 0);
	assert_false(stats_of(f).gives_back);
}

static void test_broken_lists(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t pfn;
		struct piece piece;
		uint32_t queue;
	} cases[] = {
		{ 0, { DATA, 4, false }, INFLATE },	     /* below RAM */
		{ 0xffffffff, { DATA, 4, false }, INFLATE }, /* far above */
		{ (BOOT_RAM_BASE + 128 * MIB) >> 12, { DATA, 4, false }, INFLATE },
		{ PAGES >> 12, { DATA, 3, false }, INFLATE }, /* half a number */
		{ PAGES >> 12, { DATA, 4, true }, INFLATE },  /* nothing to read */
		{ PAGES >> 12, { DATA, 65540, false }, INFLATE },
		{ PAGES >> 12, { DATA, 6, false }, DEFLATE },
		{ PAGES >> 12, { DATA, 8, true }, DEFLATE },
		{ PAGES >> 12, { DATA, 10, true }, STATS },
		{ PAGES >> 12, { PAGES, 4096, false }, REPORT },
	};

	memset(at(f, PAGES, 4096), 0x55, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bring_up(f, FEATURES);
		put_le(at(f, DATA, 4), cases[i].pfn, 4);
		assert_int_equal(submit(f, cases[i].queue, 1, &cases[i].piece), UINT32_MAX);
		if (!(rd(f, STATUS) & NEEDS_RESET))
			fail_msg("case %zu", i);
	}
	assert_int_equal(*at(f, PAGES, 1), 0x55);
}

static void test_report(void **state)
{
	struct fixture *f = *state;
	static const struct piece two[] = { { PAGES, 8192, true },
					    { PAGES + 16384 + 1, 8192, true } };
	static const struct piece all[] = { { BOOT_RAM_BASE, 128u << 20, true },
					    { BOOT_RAM_BASE, 4096, true } };

	bring_up(f, FEATURES);
	memset(at(f, PAGES, 32768), 0x55, 32768);
	assert_int_equal(submit(f, REPORT, 2, two), 0);
	assert_int_equal(*at(f, PAGES, 1), 0);
	assert_int_equal(*at(f, PAGES + 8192, 1), 0x55);
	/* Of what does not begin or end with a page, the pages inside. */
	assert_int_equal(*at(f, PAGES + 16384, 1), 0x55);
	assert_int_equal(*at(f, PAGES + 20480, 1), 0);
	assert_int_equal(*at(f, PAGES + 24576, 1), 0x55);
	assert_int_equal(stats_of(f).reported, 16384);
	assert_int_equal(stats_of(f).released, 12288);
	/* More than there is. */
	assert_int_equal(submit(f, REPORT, 2, all), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
}

/* Without a queue for statistics the one for reports has its number. */
static void test_numbering(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { PAGES, 4096, true } };

	f->queues = 3;
	bring_up(f, FEATURES & ~(1ull << 1));
	assert_int_equal(submit(f, STATS, 1, pieces), 0);
	assert_int_equal(stats_of(f).reported, 4096);
	f->queues = 4;
	bring_up(f, FEATURES & ~(1ull << 1));
	assert_int_equal(submit(f, REPORT, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(f, FEATURES & ~(1ull << 1 | 1ull << 5));
	assert_int_equal(submit(f, STATS, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
}

static void put_stat(struct fixture *f, unsigned int i, uint16_t tag, uint64_t value)
{
	put_le(at(f, DATA + 10 * i, 10), tag, 2);
	put_le(at(f, DATA + 10 * i + 2, 8), value, 8);
}

static void test_statistics(void **state)
{
	struct fixture *f = *state;
	static const struct piece pieces[] = { { DATA, 35, false } };
	struct vmm_balloon_stats stats;

	bring_up(f, FEATURES);
	assert_int_equal(stats_of(f).guest.told, 0);
	put_stat(f, 0, 4, 1000);
	put_stat(f, 1, 999, 5); /* newer than we are */
	put_stat(f, 2, 6, 2000);
	/* The buffer stays with the device until somebody wants to know. */
	assert_int_equal(submit(f, STATS, 1, pieces), 0);
	assert_int_equal(*at(f, USED + STATS * QUEUE_STEP + 2, 2), 1);
	stats = stats_of(f);
	assert_int_equal(stats.guest.told, 1u << VMM_GUEST_FREE | 1u << VMM_GUEST_AVAILABLE);
	assert_int_equal(stats.guest.values[VMM_GUEST_FREE], 1000);
	assert_int_equal(stats.guest.values[VMM_GUEST_AVAILABLE], 2000);
	/* The driver answers; nobody has asked since, so that buffer is kept, */
	put_stat(f, 0, 4, 1001);
	assert_int_equal(submit(f, STATS, 1, pieces), UINT32_MAX);
	assert_int_equal(stats_of(f).guest.values[VMM_GUEST_FREE], 1001);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
	/* and there is no second one. */
	assert_int_equal(submit(f, STATS, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(f, FEATURES);
	assert_int_equal(submit(f, STATS, 1, pieces), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
	/* The last that was told stays, and grows older. */
	assert_true(stats_of(f).guest.age_ns > 0);
}

/* A driver that takes its queue back takes what lay there along, even when it makes it smaller. */
static void test_statistics_taken_back(void **state)
{
	struct fixture *f = *state;
	const uint64_t step = QUEUE_STEP * STATS;
	uint8_t *d;

	bring_up(f, FEATURES);
	d = at(f, DESC + step + 16 * (SIZE - 1), 16);
	put_le(d, DATA, 8);
	put_le(d + 8, 10, 8);
	put_stat(f, 0, 4, 1000);
	put_le(at(f, AVAIL + step + 4, 2), SIZE - 1, 2);
	put_le(at(f, AVAIL + step + 2, 2), 1, 2);
	wr(f, 0x50, STATS);
	serve(f);
	wr(f, QUEUE_SEL, STATS);
	wr(f, QUEUE_READY, 0);
	memset(at(f, AVAIL + step, 64), 0, 64);
	wr(f, QUEUE_NUM, 2);
	wr(f, QUEUE_READY, 1);
	assert_int_equal(rd(f, QUEUE_READY), 1);
	/* Asks for newer ones, and has nothing to ask with. */
	assert_int_equal(stats_of(f).guest.values[VMM_GUEST_FREE], 1000);
	serve(f);
	assert_int_equal(*at(f, USED + step + 2, 2), 0);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

static void test_through_the_door(void **state)
{
	struct vmm_stats stats;
	struct error err = { 0 };
	struct test_vm t;

	(void)state;
	test_vm_init(&t, "idle\n");
	t.config.memory = 128 * MIB;
	test_vm_create(&t);
	assert_int_equal(vmm_set_balloon(t.vmm, 32 * MIB, &err), 0);
	vmm_stats(t.vmm, &stats);
	assert_true(stats.balloon.present && stats.balloon.gives_back);
	assert_int_equal(stats.balloon.target, 32 * MIB);
	assert_true(vmm_set_balloon(t.vmm, 96 * MIB, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	test_vm_free(&t);
	test_vm_init(&t, "idle\n");
	t.config.lend = true;
	test_vm_create(&t);
	assert_true(vmm_set_balloon(t.vmm, 0, &err) < 0);
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	vmm_stats(t.vmm, &stats);
	assert_false(stats.balloon.present);
	test_vm_free(&t);
}

int main(void)
{
#define BALLOON(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		BALLOON(test_target),
		BALLOON(test_inflate),
		BALLOON(test_pinned),
		BALLOON(test_report),
		BALLOON(test_numbering),
		BALLOON(test_broken_lists),
		BALLOON(test_statistics),
		BALLOON(test_statistics_taken_back),
		cmocka_unit_test(test_through_the_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
