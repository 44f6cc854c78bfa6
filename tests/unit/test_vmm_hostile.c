// SPDX-License-Identifier: Apache-2.0
/*
 * What no device of any kind may mind: a storm of notifications, a reset at any moment, and memory
 * that another vCPU rewrites while it is read.
 */
#include "tests/unit/virtio_help.h"

#include <sched.h>
#include <sys/socket.h>

#define RAM_END	  (BOOT_RAM_BASE + 4 * MIB)
#define STORM	  20000u
#define REWRITTEN 20000u

struct kind {
	const char *name;
	unsigned int queues; /* that a driver without features of the type sets up */
	struct virtio_mmio *(*make)(struct fixture *f);
};

static struct virtio_mmio *make_disk(struct fixture *f)
{
	struct vmm_disk disk = { .name = "disk", .queues = 2 };

	f->file = disk.fd = blank_file(1 * MIB);
	assert_int_equal(virtio_blk_new(&f->blk, &disk, &f->slot, NULL), 0);
	return virtio_blk_device(f->blk);
}

static struct virtio_mmio *make_net(struct fixture *f)
{
	struct vmm_net config = { .name = "lan", .kind = VMM_NET_STREAM, .mac = { 2, 1 } };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	config.fd = pair[0];
	f->file = pair[1];
	assert_int_equal(virtio_net_new(&f->net, &config, &f->slot, NULL), 0);
	base_close(pair[0]);
	return virtio_net_device(f->net);
}

static struct virtio_mmio *make_vsock(struct fixture *f)
{
	char path[64];
	struct vmm_vsock config = { .cid = 3, .path = path };

	snprintf(path, sizeof(path), "@vmm-hostile-%d", getpid());
	assert_int_equal(virtio_vsock_new(&f->vsock, &config, &f->slot, NULL), 0);
	return virtio_vsock_device(f->vsock);
}

static void port_heard(void *data, unsigned int port, const void *bytes, size_t n)
{
	(void)data;
	(void)port;
	(void)bytes;
	(void)n;
}

static struct virtio_mmio *make_ports(struct fixture *f)
{
	static const char *const names[] = { "one" };
	struct virtio_ports_config config = { .names = names, .count = 1, .events = &f->events };

	f->events.port = port_heard;
	assert_int_equal(virtio_ports_new(&f->ports, &config, &f->slot, NULL), 0);
	return virtio_ports_device(f->ports);
}

static struct virtio_mmio *make_console(struct fixture *f)
{
	assert_int_equal(virtio_console_new(&f->vc, &f->console, &f->slot, NULL), 0);
	return virtio_console_device(f->vc);
}

static struct virtio_mmio *make_rng(struct fixture *f)
{
	assert_int_equal(virtio_rng_new(&f->rng, &f->slot, NULL), 0);
	return virtio_rng_device(f->rng);
}

static struct virtio_mmio *make_balloon(struct fixture *f)
{
	assert_int_equal(virtio_balloon_new(&f->balloon, &f->slot, NULL), 0);
	virtio_balloon_settle(f->balloon);
	return virtio_balloon_device(f->balloon);
}

static const struct kind kinds[] = {
	{ "disk", 2, make_disk },	{ "net", 2, make_net }, { "vsock", 3, make_vsock },
	{ "ports", 2, make_ports },	{ "rng", 1, make_rng }, { "console", 2, make_console },
	{ "balloon", 2, make_balloon },
};

static struct fixture *make(const struct kind *kind)
{
	struct fixture *f = fixture_new();

	f->dev = kind->make(f);
	f->queues = kind->queues;
	return f;
}

/* A chain of two descriptors is the next request of a queue; nobody is notified. */
static void offer(struct fixture *f, uint32_t queue)
{
	uint64_t step = QUEUE_STEP * queue;

	put_le(at(f, AVAIL + step + 4 + 2 * (f->avail[queue] % SIZE), 2), 0, 2);
	put_le(at(f, AVAIL + step + 2, 2), ++f->avail[queue], 2);
}

static void put_desc(struct fixture *f, uint64_t where, uint64_t addr, uint64_t rest)
{
	put_le(at(f, where, 8), addr, 8);
	put_le(at(f, where + 8, 8), rest, 8);
}

/* --- A storm --- */

/* Notifications of queues that are empty, and of queues that there are not: nothing happens. */
static void test_storm(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct fixture *f = make(&kinds[k]);

		bring_up(f, VIRTIO_F_VERSION_1);
		eventfd_take(f->dev->mmio.irq.fd);
		for (unsigned int i = 0; i < STORM; i++) {
			wr(f, 0x50, i % 13);
			if (i % 100 == 0)
				serve(f);
		}
		wr(f, 0x50, UINT32_MAX);
		serve(f);
		assert_int_equal(rd(f, STATUS), 15);
		assert_false(eventfd_take(f->dev->mmio.irq.fd));
		for (unsigned int q = 0; q < f->queues; q++)
			assert_int_equal(*at(f, USED + QUEUE_STEP * q + 2, 1), 0);
		teardown((void **)&f);
	}
}

/* --- A reset --- */

/* The first `steps` of what a driver does, up to requests that nobody has looked at. */
static unsigned int go_so_far(struct fixture *f, unsigned int steps)
{
	unsigned int step = 0;
	static const uint32_t statuses[] = { ACKNOWLEDGE, ACKNOWLEDGE | DRIVER };

	for (size_t i = 0; i < ARRAY_SIZE(statuses) && step < steps; i++, step++)
		wr(f, STATUS, statuses[i]);
	if (step++ < steps)
		negotiate(f, VIRTIO_F_VERSION_1);
	for (uint32_t q = 0; q < f->queues && step < steps; q++, step++) {
		set_queue(f, q, DESC + QUEUE_STEP * q);
		memset(at(f, AVAIL + QUEUE_STEP * q, 64), 0, 64);
		memset(at(f, USED + QUEUE_STEP * q, 128), 0, 128);
		f->avail[q] = 0;
		put_desc(f, DESC + QUEUE_STEP * q, DATA, 64 | 1ull << 32 | 1ull << 48);
		put_desc(f, DESC + QUEUE_STEP * q + 16, DATA + 0x1000, 1024 | 2ull << 32);
	}
	if (step++ < steps)
		wr(f, STATUS, 15);
	for (uint32_t q = 0; q < f->queues && step < steps; q++, step++) {
		offer(f, q);
		wr(f, 0x50, q);
	}
	return step;
}

/* At each step, and what was signalled before comes after: the queues are not touched any more. */
static void test_reset_at_any_moment(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct fixture *f = make(&kinds[k]);

		for (unsigned int steps = 0; go_so_far(f, steps) >= steps && steps < 16; steps++) {
			wr(f, STATUS, 0);
			assert_int_equal(rd(f, STATUS), 0);
			assert_int_equal(rd(f, INTERRUPT), 0);
			for (unsigned int q = 0; q < f->queues; q++)
				memset(at(f, USED + QUEUE_STEP * q, 128), 0x77, 128);
			serve(f);
			assert_int_equal(rd(f, STATUS), 0);
			for (unsigned int q = 0; q < f->queues; q++)
				for (unsigned int i = 0; i < 128; i++)
					assert_int_equal(*at(f, USED + QUEUE_STEP * q + i, 1),
							 0x77);
			bring_up(f, VIRTIO_F_VERSION_1);
			assert_int_equal(rd(f, STATUS), 15);
			wr(f, STATUS, 0);
		}
		teardown((void **)&f);
	}
}

/* --- Another vCPU --- */

struct rewriter {
	struct fixture *f;
	volatile uint64_t *ram; /* the second mapping */
	uint64_t turns;		/* atomic */
	bool on;		/* atomic */
};

/*
 * Descriptors become others, each of which is good; half of one and half of another reaches beyond
 * RAM, and so does whoever looks at the length, and then reads it again.
 */
static void *rewrite(void *data)
{
	struct rewriter *w = data;
	const uint64_t small = (RAM_END - 16), large = BOOT_RAM_BASE + 0x80000;
	uint32_t seed = 1;

	while (__atomic_load_n(&w->on, __ATOMIC_ACQUIRE)) {
		for (unsigned int q = 0; q < w->f->queues; q++)
			for (unsigned int d = 0; d < 2; d++) {
				uint64_t off = DESC - BOOT_RAM_BASE + QUEUE_STEP * q + 16 * d;
				uint64_t flags = (d ? 0 : 1ull << 32 | 1ull << 48);
				bool big;

				seed = seed * 1664525u + 1013904223u;
				big = seed >> 31;
				/* The second is more often for the device to write. */
				flags |= (seed >> 29 & 3) < (d ? 3 : 1) ? 2ull << 32 : 0;
				w->ram[off / 8] = big ? large : small;
				w->ram[off / 8 + 1] = flags | (big ? 0x40000 : 16);
			}
		__atomic_fetch_add(&w->turns, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Behind RAM lies nothing, so that who goes too far falls. */
static void fence(struct fixture *f)
{
	uint8_t *room = mmap(NULL, f->mem.size + MIB, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(room != MAP_FAILED);
	assert_int_equal(munmap(f->mem.host, f->mem.size), 0);
	f->mem.host = mmap(room, f->mem.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			   f->mem.fd, 0);
	assert_true(f->mem.host == room);
}

static void test_rewritten(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct rewriter w = { .on = true };
		struct fixture *f = fixture_new();
		uint8_t *host;
		pthread_t thread;

		fence(f);
		host = f->mem.host;
		f->dev = kinds[k].make(f);
		f->queues = kinds[k].queues;
		w.f = f;
		w.ram = mmap(NULL, f->mem.size, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem.fd, 0);
		assert_true(w.ram != MAP_FAILED);
		bring_up(f, VIRTIO_F_VERSION_1);
		assert_int_equal(pthread_create(&thread, NULL, rewrite, &w), 0);
		while (__atomic_load_n(&w.turns, __ATOMIC_ACQUIRE) == 0)
			sched_yield();
		for (unsigned int i = 0; i < REWRITTEN; i++) {
			if (rd(f, STATUS) & NEEDS_RESET || i % 64 == 0)
				bring_up(f, VIRTIO_F_VERSION_1);
			for (unsigned int q = 0; q < f->queues; q++) {
				offer(f, q);
				wr(f, 0x50, q);
			}
			serve(f);
		}
		__atomic_store_n(&w.on, false, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
		bring_up(f, VIRTIO_F_VERSION_1);
		assert_int_equal(rd(f, STATUS), 15);
		munmap((void *)(uintptr_t)w.ram, f->mem.size);
		teardown((void **)&f);
		munmap(host + 4 * MIB, MIB);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_reset_at_any_moment),
		cmocka_unit_test(test_rewritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
