/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver for tests: brings a device up through the real transport, and hands it requests.
 */
#ifndef CROFT_TESTS_VIRTIO_HELP_H
#define CROFT_TESTS_VIRTIO_HELP_H

#include "tests/unit/vmm_help.h"

#include "vmm/virtio_balloon.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_console.h"
#include "vmm/virtio_net.h"
#include "vmm/virtio_ports.h"
#include "vmm/virtio_rng.h"
#include "vmm/virtio_vsock.h"

#define DESC	   (BOOT_RAM_BASE + 0x1000)
#define AVAIL	   (BOOT_RAM_BASE + 0x3000)
#define USED	   (BOOT_RAM_BASE + 0x5000)
#define DATA	   (BOOT_RAM_BASE + 0x10000)
#define QUEUE_STEP 0x100000u /* between the rings of two queues */
#define SIZE	   8u

#define ACKNOWLEDGE 1u
#define DRIVER	    2u
#define DRIVER_OK   4u
#define FEATURES_OK 8u
#define NEEDS_RESET 0x40u

enum {
	STATUS = 0x70,
	QUEUE_SEL = 0x30,
	QUEUE_NUM = 0x38,
	QUEUE_READY = 0x44,
	INTERRUPT = 0x60,
	ACK = 0x64
};

struct fixture {
	struct mem mem;
	struct loop loop;
	struct virtio_slot slot;
	struct virtio_blk *blk;
	struct virtio_console *vc;
	struct virtio_rng *rng;
	struct virtio_balloon *balloon;
	struct virtio_net *net;
	struct virtio_ports *ports;
	struct virtio_vsock *vsock;
	struct console console;
	struct test_vm sink;
	struct vmm_events events;
	struct virtio_mmio *dev;
	int file;
	bool waits;	     /* for answers: the device works behind the driver's back */
	unsigned int queues; /* that the driver sets up; 0: all */
	unsigned int avail[VIRTIO_QUEUES_MAX]; /* what we offered, a queue */
};

static inline uint64_t rd(struct fixture *f, uint64_t off)
{
	return f->dev->mmio.ops->read(&f->dev->mmio, off, 4);
}

static inline void wr(struct fixture *f, uint64_t off, uint32_t value)
{
	f->dev->mmio.ops->write(&f->dev->mmio, off, 4, value);
}

/* What the device thread would do, were there one. */
static inline void serve(struct fixture *f)
{
	bool quit = false;

	while (loop_turn(&f->loop, 0, &quit))
		;
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = MEM_NONE;
	f->loop = LOOP_NONE;
	assert_int_equal(loop_init(&f->loop, NULL), 0);
	f->slot = (struct virtio_slot){
		.mem = &f->mem, .loop = &f->loop, .base = gpa(0xa000000), .spi = 16
	};
	f->file = -1;
	assert_int_equal(mem_init(&f->mem, gpa(BOOT_RAM_BASE), 4 * MIB, NULL), 0);
	pthread_mutex_init(&f->sink.lock, NULL);
	pthread_cond_init(&f->sink.changed, NULL);
	f->events = test_events(&f->sink);
	assert_int_equal(console_init(&f->console, &f->events, NULL), 0);
	return f;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_blk_free(f->blk);
	virtio_console_free(f->vc);
	virtio_rng_free(f->rng);
	virtio_balloon_free(f->balloon);
	virtio_net_free(f->net);
	virtio_ports_free(f->ports);
	virtio_vsock_free(f->vsock);
	console_free(&f->console);
	loop_free(&f->loop);
	mem_free(&f->mem);
	base_close(f->file);
	free(f);
	return 0;
}

static inline void negotiate(struct fixture *f, uint64_t features)
{
	wr(f, STATUS, 0);
	wr(f, STATUS, ACKNOWLEDGE);
	wr(f, STATUS, ACKNOWLEDGE | DRIVER);
	wr(f, 0x24, 0);
	wr(f, 0x20, (uint32_t)features);
	wr(f, 0x24, 1);
	wr(f, 0x20, (uint32_t)(features >> 32));
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static inline void set_queue(struct fixture *f, uint32_t queue, uint64_t desc)
{
	wr(f, QUEUE_SEL, queue);
	wr(f, QUEUE_NUM, SIZE);
	wr(f, 0x80, (uint32_t)desc);
	wr(f, 0x84, (uint32_t)(desc >> 32));
	wr(f, 0x90, (uint32_t)AVAIL + QUEUE_STEP * queue);
	wr(f, 0x94, AVAIL >> 32);
	wr(f, 0xa0, (uint32_t)USED + QUEUE_STEP * queue);
	wr(f, 0xa4, USED >> 32);
	wr(f, QUEUE_READY, 1);
}

/* All that a driver does until the device is up. */
static inline void bring_up(struct fixture *f, uint64_t features)
{
	negotiate(f, features);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (uint32_t i = 0; i < (f->queues ? f->queues : f->dev->queue_count); i++) {
		set_queue(f, i, DESC + QUEUE_STEP * i);
		assert_int_equal(rd(f, QUEUE_READY), 1);
		memset(mem_at(&f->mem, gpa(AVAIL + QUEUE_STEP * i), 64), 0, 64);
		memset(mem_at(&f->mem, gpa(USED + QUEUE_STEP * i), 128), 0, 128);
		f->avail[i] = 0;
	}
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(rd(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	serve(f);
}

static inline uint8_t *at(struct fixture *f, uint64_t gaddr, uint64_t n)
{
	uint8_t *p = mem_at(&f->mem, gpa(gaddr), n);

	assert_non_null(p);
	return p;
}

struct piece {
	uint64_t addr;
	uint32_t len;
	bool in;
};

/* As the hypervisor does, which signals past the registers. */
static inline void notify(struct fixture *f, uint32_t queue)
{
	if (f->dev->ops->handle)
		wr(f, 0x50, queue);
	else
		eventfd_signal(f->dev->queues[queue].notified.fd);
}

/*
 * Queues a chain of n pieces at descriptors 0.., notifies, and returns how many bytes the device
 * says it wrote.
 */
static inline uint32_t submit(struct fixture *f, uint32_t queue, unsigned int n,
			      const struct piece *pieces)
{
	uint64_t step = QUEUE_STEP * queue;
	bool quit = false;
	uint32_t written;
	uint16_t used;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *d = at(f, DESC + step + 16 * i, 16);

		put_le(d, pieces[i].addr, 8);
		put_le(d + 8, pieces[i].len, 4);
		put_le(d + 12, (pieces[i].in ? 2u : 0u) | (i + 1 < n ? 1u : 0u), 2);
		put_le(d + 14, i + 1, 2);
	}
	put_le(at(f, AVAIL + step + 4 + 2 * (f->avail[queue] % SIZE), 2), 0, 2);
	put_le(at(f, AVAIL + step + 2, 2), ++f->avail[queue], 2);
	notify(f, queue);
	serve(f);
	do {
		memcpy(&used, at(f, USED + step + 2, 2), 2);
		if (!f->waits || used == (uint16_t)f->avail[queue] || (rd(f, STATUS) & NEEDS_RESET))
			break;
	} while (loop_turn(&f->loop, 10000, &quit));
	if (used != (uint16_t)f->avail[queue])
		return UINT32_MAX;
	memcpy(&written, at(f, USED + step + 4 + 8 * ((used - 1u) % SIZE) + 4, 4), 4);
	return written;
}

/* --- A disk under load --- */

#define LOAD	   200u
#define LOAD_DATA  (BOOT_RAM_BASE + 0x180000)
#define LOAD_RINGS 256u

/* A ring of its own, with LOAD reads of 4 KiB in it, each with its header and its status. */
static inline void offer_load(struct fixture *f, unsigned int first)
{
	for (unsigned int i = 0; i < LOAD; i++) {
		const uint64_t header = LOAD_DATA + 0x1000 + 32 * i;
		const uint64_t table = LOAD_DATA + 0x4000 + 48 * i;
		uint8_t *d = at(f, LOAD_DATA + 0x8000 + 16 * i, 16), *t = at(f, table, 48);

		put_le(at(f, header, 16), 0, 8);
		put_le(at(f, header + 8, 8), 8 * (i % 256), 8);
		*at(f, header + 16, 1) = 0xaa;
		put_le(t, header, 8);
		put_le(t + 8, 16, 8);
		put_le(t + 12, 1 | 1u << 16, 4);
		put_le(t + 16, LOAD_DATA + 0x20000 + 4096 * (i % 64), 8);
		put_le(t + 24, 4096, 4);
		put_le(t + 28, 3 | 2u << 16, 4);
		put_le(t + 32, header + 16, 8);
		put_le(t + 40, 1, 4);
		put_le(t + 44, 2, 4);
		put_le(d, table, 8);
		put_le(d + 8, 48, 4);
		put_le(d + 12, 4, 4);
		put_le(at(f, LOAD_DATA + 0xa000 + 4 + 2 * ((first + i) % LOAD_RINGS), 2), i, 2);
	}
	put_le(at(f, LOAD_DATA + 0xa000 + 2, 2), first + LOAD, 2);
}

static inline void bring_up_load(struct fixture *f)
{
	negotiate(f, f->dev->features & ~VIRTIO_F_EVENT_IDX);
	wr(f, QUEUE_SEL, 0);
	wr(f, QUEUE_NUM, LOAD_RINGS);
	wr(f, 0x80, (uint32_t)(LOAD_DATA + 0x8000));
	wr(f, 0x90, (uint32_t)(LOAD_DATA + 0xa000));
	wr(f, 0xa0, (uint32_t)(LOAD_DATA + 0xc000));
	wr(f, QUEUE_READY, 1);
	wr(f, STATUS, 15);
	assert_int_equal(rd(f, QUEUE_READY), 1);
	serve(f);
}

static inline uint16_t load_done(struct fixture *f)
{
	uint16_t used;

	memcpy(&used, at(f, LOAD_DATA + 0xc000 + 2, 2), 2);
	return used;
}

static inline void run_load(struct fixture *f, unsigned int rounds)
{
	bool quit = false;

	for (unsigned int i = 0; i < rounds; i++) {
		offer_load(f, LOAD * i);
		wr(f, 0x50, 0);
		while (load_done(f) != (uint16_t)(LOAD * (i + 1)))
			assert_true(loop_turn(&f->loop, 10000, &quit));
	}
}

#endif
