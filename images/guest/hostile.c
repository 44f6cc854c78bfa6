// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that breaks every rule of its virtio devices, one after the other and then at random:
 * arguments are the devices' addresses. A device may say that it needs a reset, must then obey one,
 * and must work for a driver that keeps the rules.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	    4096u
#define QUEUES	    4u
#define SIZE	    8u
#define ROUNDS	    300u
#define STORM	    2000u
#define VERSION_1   (1ull << 32)
#define INDIRECT    (1ull << 28)
#define F_NEXT	    1u
#define F_WRITE	    2u
#define F_INDIRECT  4u
#define ALL_GOOD    15u
#define NEEDS_RESET 0x40u
#define OUTSIDE	    0x1000ull
#define WRAPS	    0xfffffffffffff000ull
#define SHARE	    26u /* a device's number */

enum reg {
	DEVICE_ID = 0x08,
	DEVICE_FEATURES = 0x10,
	DEVICE_FEATURES_SEL = 0x14,
	DRIVER_FEATURES = 0x20,
	DRIVER_FEATURES_SEL = 0x24,
	QUEUE_SEL = 0x30,
	QUEUE_NUM_MAX = 0x34,
	QUEUE_NUM = 0x38,
	QUEUE_READY = 0x44,
	QUEUE_NOTIFY = 0x50,
	STATUS = 0x70,
	DESC_LOW = 0x80,
	AVAIL_LOW = 0x90,
	USED_LOW = 0xa0,
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* One page, which the device knows by its physical address. */
struct rings {
	struct desc desc[SIZE];
	struct desc table[2 * SIZE];
	struct {
		uint16_t flags, idx, ring[SIZE], event;
	} avail;
	uint8_t used[6 + 8 * SIZE + 64];
	uint8_t data[1024];
};
_Static_assert(sizeof(struct rings) <= PAGE, "rings");

static volatile uint8_t *regs;
static struct rings *rings[QUEUES];
static uint64_t physical[QUEUES];
static unsigned int eager; /* a queue whose requests the device looks at when they come */
static bool mortal; /* it works by a process that may end of a bad request, and then for good */
static unsigned int needed, failed;

static uint32_t rd(enum reg reg)
{
	return *(volatile uint32_t *)(regs + reg);
}

static void wr(enum reg reg, uint32_t value)
{
	*(volatile uint32_t *)(regs + reg) = value;
}

static void wr64(enum reg low, uint64_t value)
{
	wr(low, (uint32_t)value);
	wr(low + 4, (uint32_t)(value >> 32));
}

/* Its frame stays the same, since it is locked and shared. */
static uint64_t physical_of(void *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	off_t at = (off_t)((uintptr_t)page / PAGE * sizeof(entry));

	if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry) || !(entry >> 63))
		return 0;
	close(fd);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static bool make_rings(void)
{
	for (unsigned int i = 0; i < QUEUES; i++) {
		rings[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (rings[i] == MAP_FAILED || mlock(rings[i], PAGE) < 0)
			return false;
		memset(rings[i], 0, PAGE);
		physical[i] = physical_of(rings[i]);
		if (!physical[i])
			return false;
	}
	return true;
}

static uint32_t xorshift(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* --- A driver that keeps the rules, but for the queue's addresses, which it is told --- */

static void set_queue(unsigned int q, uint32_t size, uint64_t at)
{
	wr(QUEUE_SEL, q);
	wr(QUEUE_NUM, size);
	wr64(DESC_LOW, at);
	wr64(AVAIL_LOW, at + offsetof(struct rings, avail));
	wr64(USED_LOW, (at + offsetof(struct rings, used) + 3) & ~3ull);
	wr(QUEUE_READY, 1);
}

static void negotiate(uint64_t features)
{
	wr(STATUS, 0);
	wr(STATUS, 3);
	wr(DRIVER_FEATURES_SEL, 0);
	wr(DRIVER_FEATURES, (uint32_t)features);
	wr(DRIVER_FEATURES_SEL, 1);
	wr(DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(STATUS, 11);
}

static unsigned int queues_of(void)
{
	unsigned int n = 0;

	for (; n < QUEUES; n++) {
		wr(QUEUE_SEL, n);
		if (!rd(QUEUE_NUM_MAX))
			break;
	}
	return n;
}

static void bring_up(void)
{
	negotiate(VERSION_1 | INDIRECT);
	/* The first two queues of every kind exist whatever the features. */
	for (unsigned int q = 0; q < queues_of() && q < 2; q++) {
		memset(rings[q], 0, PAGE);
		set_queue(q, SIZE, physical[q]);
	}
	wr(STATUS, ALL_GOOD);
}

/* Whether the device says that it needs a reset: it may take a while to look. */
static bool wants_reset(void)
{
	for (unsigned int i = 0; i < 400; i++) {
		if (rd(STATUS) & NEEDS_RESET)
			return true;
		usleep(5000);
	}
	return false;
}

static void check(const char *what, bool good)
{
	if (!good) {
		printf("croft-guest: hostile: device %u: %s FAILED\n", rd(DEVICE_ID), what);
		failed++;
	}
}

static void must_reset(void)
{
	needed += !!(rd(STATUS) & NEEDS_RESET);
	wr(STATUS, 0);
	check("a reset", rd(STATUS) == 0);
	bring_up();
}

static void must_recover(void)
{
	must_reset();
	check("a driver that keeps the rules", rd(STATUS) == ALL_GOOD);
}

static void offer(struct desc first, uint16_t idx)
{
	rings[eager]->desc[0] = first;
	rings[eager]->avail.idx = idx;
	__sync_synchronize();
	wr(QUEUE_NOTIFY, eager);
}

static void must_break(const char *what)
{
	check(what, wants_reset());
	must_recover();
}

static void bad_chain(const char *what)
{
	if (!mortal) {
		must_break(what);
		return;
	}
	(void)wants_reset();
	must_reset();
}

/* --- The rules, one by one --- */

static void break_features(void)
{
	negotiate(VERSION_1 | 1ull << 50);
	check("features never offered", !(rd(STATUS) & 8));
	negotiate(0);
	check("a driver of before version 1", !(rd(STATUS) & 8));
	wr(STATUS, 0);
	wr(STATUS, ALL_GOOD & ~8u);
	check("DRIVER_OK without FEATURES_OK", !(rd(STATUS) & 4));
	must_recover();
}

static void break_queues(void)
{
	static const uint64_t bad[] = { OUTSIDE, WRAPS, 0x0a000000, 0xffffffffffffffffull };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		negotiate(VERSION_1);
		set_queue(eager, SIZE, bad[i]);
		check("rings outside of memory", !rd(QUEUE_READY));
		must_break("rings outside of memory");
	}
	negotiate(VERSION_1);
	set_queue(eager, 3, physical[eager]);
	must_break("three entries");
	negotiate(VERSION_1);
	set_queue(eager, 65535, physical[eager]);
	must_break("more entries than there may be");
	/* Half set up: no ring is ready, and yet it is notified. */
	negotiate(VERSION_1);
	wr(QUEUE_SEL, eager);
	wr(QUEUE_NUM, SIZE);
	wr(STATUS, ALL_GOOD);
	for (unsigned int i = 0; i < STORM; i++)
		wr(QUEUE_NOTIFY, i);
	must_recover();
}

static void break_chains(void)
{
	uint64_t data = physical[eager] + offsetof(struct rings, data);
	uint64_t table = physical[eager] + offsetof(struct rings, table);

	offer((struct desc){ data, 1, F_NEXT, 0 }, 1);
	bad_chain("a chain that loops");
	offer((struct desc){ data, 1, F_NEXT, 7777 }, 1);
	bad_chain("a descriptor that does not exist");
	offer((struct desc){ OUTSIDE, 16, 0, 0 }, 1);
	bad_chain("a buffer outside of memory");
	offer((struct desc){ data, 0xffffffff, 0, 0 }, 1);
	bad_chain("a buffer longer than memory");
	offer((struct desc){ WRAPS, 0xffff, 0, 0 }, 1);
	bad_chain("a buffer that wraps");
	offer((struct desc){ data, 16, 0, 0 }, SIZE + 1);
	bad_chain("an index that jumps");
	rings[eager]->avail.ring[0] = SIZE;
	offer((struct desc){ data, 16, 0, 0 }, 1);
	bad_chain("a head that does not exist");
	offer((struct desc){ table, 17, F_INDIRECT, 0 }, 1);
	bad_chain("a table of one descriptor and a bit");
	offer((struct desc){ OUTSIDE, 32, F_INDIRECT, 0 }, 1);
	bad_chain("a table outside of memory");
	rings[eager]->table[0] = (struct desc){ table, 16, F_INDIRECT, 0 };
	offer((struct desc){ table, 16, F_INDIRECT, 0 }, 1);
	bad_chain("a table in a table");
	rings[eager]->table[0] = (struct desc){ data, 1, F_NEXT, 0 };
	offer((struct desc){ table, sizeof(struct desc) * SIZE, F_INDIRECT, 0 }, 1);
	bad_chain("a table that loops");
	rings[eager]->desc[1] = (struct desc){ data, 16, 0, 0 };
	offer((struct desc){ data, 16, F_NEXT | F_WRITE, 1 }, 1);
	bad_chain("a part to read after a part to write");
}

/* --- All of it at random, while another processor rewrites the rings --- */

static void scribble(uint32_t seed)
{
	for (;;) {
		uint32_t r = xorshift(&seed);

		((volatile uint8_t *)rings[(r >> 13) & 1])[r % sizeof(struct rings)] =
			(uint8_t)(r >> 16);
	}
}

static void at_random(uint32_t seed)
{
	static const uint16_t places[] = { QUEUE_SEL,	    QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY,
					   DRIVER_FEATURES, DESC_LOW,  AVAIL_LOW,   USED_LOW,
					   STATUS,	    0x100,     0x104,	    0x108 };

	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint64_t data = physical[eager] + offsetof(struct rings, data);

		for (unsigned int i = 0; i < SIZE; i++) {
			uint32_t r = xorshift(&seed);

			rings[eager]->desc[i] = (struct desc){ data + (r & 255), (r >> 8) & 511,
							       (uint16_t)((r >> 17) & 7),
							       (uint16_t)((r >> 20) & 7) };
		}
		offer(rings[eager]->desc[0], (uint16_t)(xorshift(&seed) & 15));
		for (unsigned int i = 0; i < 8; i++) {
			uint32_t r = xorshift(&seed);

			*(volatile uint32_t *)(regs +
					       places[r % (sizeof(places) / sizeof(places[0]))]) =
				r & 0x10000 ? r >> 24 : r;
			wr(QUEUE_NOTIFY, r >> 30);
		}
		if (round % 4 == 0)
			must_reset();
	}
}

static void one_device(uint64_t address, int fd)
{
	uint64_t in_page = address % PAGE;
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  (off_t)(address - in_page));
	pid_t other;

	if (page == MAP_FAILED) {
		perror("croft-guest: hostile: /dev/mem");
		exit(1);
	}
	regs = (volatile uint8_t *)page + in_page;
	mortal = rd(DEVICE_ID) == SHARE;
	/* Network, console and sockets receive on their first. */
	eager = mortal || rd(DEVICE_ID) == 1 || rd(DEVICE_ID) == 3 || rd(DEVICE_ID) == 19;
	bring_up();
	break_features();
	break_queues();
	break_chains();
	for (unsigned int i = 0; i < STORM; i++)
		wr(QUEUE_NOTIFY, i & 3);
	other = fork();
	if (other == 0)
		scribble(0x2545f491);
	at_random((uint32_t)address | 1);
	if (other > 0)
		kill(other, SIGKILL);
	while (other > 0 && kill(other, 0) == 0)
		usleep(1000);
	if (mortal)
		must_reset();
	else
		must_recover();
	wr(STATUS, 0);
	printf("croft-guest: hostile: device %u at 0x%llx survived\n", rd(DEVICE_ID),
	       (unsigned long long)address);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);

	signal(SIGCHLD, SIG_IGN);
	if (fd < 0 || !make_rings()) {
		perror("croft-guest: hostile");
		return 1;
	}
	for (int i = 1; i < argc; i++)
		one_device(strtoull(argv[i], NULL, 16), fd);
	printf("croft-guest: hostile: %d devices, %u resets needed, %u FAILED\n", argc - 1, needed,
	       failed);
	return failed > 0;
}
