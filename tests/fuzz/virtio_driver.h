/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile virtio driver for the fuzz targets: the input is guest memory and a list of register
 * accesses, notifications, chains and stores to that memory, against one device behind the real
 * transport and the real device loop.
 */
#ifndef CROFT_TESTS_VIRTIO_DRIVER_H
#define CROFT_TESTS_VIRTIO_DRIVER_H

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/virtio_mmio.h"

#define BASE	    0x80000000ull
#define RAM	    (1u << 20)
#define ACTIONS_MAX 512u
#define MUST	    (VIRTIO_F_VERSION_1 | VIRTIO_ACCESS_PLATFORM)

/* Where bring_up() puts the rings of a queue; the first page is for what they point at. */
#define RINGS(queue) (BASE + 0x10000 + 0x4000ull * (queue))
#define DESC(queue)  RINGS(queue)
#define AVAIL(queue) (RINGS(queue) + 0x1000)
#define USED(queue)  (RINGS(queue) + 0x2000)

struct input {
	const uint8_t *p;
	size_t n;
};

struct driver {
	struct mem mem;
	struct loop loop;
	struct virtio_slot slot;
	struct virtio_mmio *dev;
	uint64_t broken; /* times that the device said so */
	/* What reaches the device from the other side: a packet, a key, a new size. Or NULL. */
	void (*outside)(struct driver *d, struct input *in);
	uint16_t offered[VIRTIO_QUEUES_MAX];
	uint32_t size;
	uint8_t *low;	 /* what is at BASE */
	bool scribbling; /* atomic */
};

static inline uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++) {
		if (in->n == 0)
			return value;
		value |= (uint64_t)*in->p << (8 * i);
		in->p++;
		in->n--;
	}
	return value;
}

static inline void store(struct driver *d, uint64_t at, const void *bytes, size_t n)
{
	void *p = mem_at(&d->mem, gpa(at), n);

	if (p)
		memcpy(p, bytes, n);
}

static inline void write_reg(struct driver *d, uint64_t off, uint32_t value)
{
	d->dev->mmio.ops->write(&d->dev->mmio, off, 4, value);
}

/* A queue of the size, at the usual place or, with `astray`, somewhere else. */
static inline void set_queue(struct driver *d, uint32_t queue, uint32_t size, uint32_t astray)
{
	write_reg(d, 0x30, queue);
	write_reg(d, 0x38, size);
	write_reg(d, 0x80, (uint32_t)DESC(queue) + astray);
	write_reg(d, 0x90, (uint32_t)AVAIL(queue) + astray);
	write_reg(d, 0xa0, (uint32_t)USED(queue) + astray);
	write_reg(d, 0x44, 1);
}

/* So that inputs reach the rings soon: a driver that did everything right so far. */
static inline void bring_up(struct driver *d, uint32_t features, uint32_t size)
{
	d->size = 1u << (size % 9);
	memset(d->offered, 0, sizeof(d->offered));
	write_reg(d, 0x70, 0);
	write_reg(d, 0x70, 3);
	write_reg(d, 0x24, 1);
	write_reg(d, 0x20, (uint32_t)((d->dev->features & MUST) >> 32));
	write_reg(d, 0x24, 0);
	write_reg(d, 0x20, features & (uint32_t)d->dev->features);
	write_reg(d, 0x70, 11);
	for (uint32_t i = 0; i < d->dev->queue_count; i++) {
		static const uint8_t empty[4];

		store(d, AVAIL(i), empty, sizeof(empty));
		set_queue(d, i, d->size, 0);
	}
	write_reg(d, 0x70, 15);
}

/* What was signalled, a few times over: handle() asks for more as long as there is more. */
static inline void serve(struct driver *d)
{
	bool quit = false;

	for (unsigned int round = 0; round < 8 && loop_turn(&d->loop, 0, &quit); round++)
		;
	eventfd_take(d->dev->mmio.irq.fd);
}

/*
 * Offers a chain of up to seven pieces at descriptors 0.. of a queue, or of a table that its first
 * descriptor names. Lengths and addresses are the input's, small ones more often than large ones.
 */
static inline void offer(struct driver *d, struct input *in, unsigned int queue)
{
	uint8_t how = (uint8_t)take(in, 1);
	unsigned int n = how & 7, entry = d->offered[queue] % d->size;
	uint64_t table = how & 8 ? BASE + 0x8000 : DESC(queue);
	uint16_t head = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t shape = (uint8_t)take(in, 1);
		struct {
			uint64_t addr;
			uint32_t len;
			uint16_t flags, next;
		} desc = {
			.addr = BASE + take(in, 2) + (how & 0x80 ? RAM : 0),
			.len = shape & 0x80 ? (uint32_t)take(in, 4) : (uint32_t)take(in, 1),
			.flags = (uint16_t)((shape & 2u) | (i + 1 < n)),
			.next = (uint16_t)(i + 1),
		};

		if (shape & 0x40)
			desc.len <<= 6;
		if (shape & 0x20)
			desc.flags = (uint16_t)take(in, 1);
		if (shape & 0x10)
			desc.next = (uint16_t)take(in, 2);
		store(d, table + 16 * i, &desc, sizeof(desc));
	}
	if (how & 8) {
		struct {
			uint64_t addr;
			uint32_t len;
			uint16_t flags, next;
		} desc = { .addr = table, .len = 16 * n, .flags = 4 };

		store(d, DESC(queue), &desc, sizeof(desc));
	}
	if (how & 0x10)
		head = (uint16_t)take(in, 2);
	store(d, AVAIL(queue) + 4 + 2 * entry, &head, 2);
	/* An index that jumps, when the input says so. */
	d->offered[queue] = (uint16_t)(d->offered[queue] + (how & 0x20 ? take(in, 2) : 1));
	store(d, AVAIL(queue) + 2, &d->offered[queue], 2);
	/* An event index, and a wish for no interrupts. */
	if (how & 0x40) {
		uint16_t value = (uint16_t)take(in, 2);

		store(d, AVAIL(queue) + 4 + 2 * d->size, &value, 2);
		store(d, AVAIL(queue), &value, 2);
	}
	write_reg(d, 0x50, queue);
}

/* Another vCPU that rewrites what the device reads at that moment. */
static inline void *scribble(void *data)
{
	struct driver *d = data;
	uint32_t seed = 1;

	while (__atomic_load_n(&d->scribbling, __ATOMIC_ACQUIRE)) {
		uint64_t off;

		seed = seed * 1664525u + 1013904223u;
		/* The ring of the first two queues, and the table beside them. */
		off = seed >> 31 ? 0x8000 + (seed >> 8) % 0x80 : 0x10000 + (seed >> 8) % 0x8000;
		*(volatile uint8_t *)(d->low + off) = (uint8_t)(seed >> 16);
	}
	return NULL;
}

static inline void serve_while_rewritten(struct driver *d)
{
	pthread_t thread;

	d->scribbling = true;
	if (pthread_create(&thread, NULL, scribble, d) != 0)
		return;
	for (unsigned int i = 0; i < 32; i++) {
		for (unsigned int q = 0; q < d->dev->queue_count; q++)
			write_reg(d, 0x50, q);
		serve(d);
	}
	__atomic_store_n(&d->scribbling, false, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

static inline void touch_register(struct driver *d, struct input *in, uint8_t kind)
{
	static const unsigned int widths[] = { 1, 2, 4, 8 };
	unsigned int len = widths[kind >> 6];
	uint64_t off = take(in, 1) * 2;

	if (off + len > VIRTIO_MMIO_SIZE)
		return;
	if (kind & 0x20)
		d->dev->mmio.ops->write(&d->dev->mmio, off, len, take(in, len));
	else
		d->dev->mmio.ops->read(&d->dev->mmio, off, len);
}

static inline void act(struct driver *d, struct input *in)
{
	uint8_t kind = (uint8_t)take(in, 1);
	unsigned int queue = (kind >> 4) % d->dev->queue_count;
	uint64_t value;

	switch (kind & 15) {
	case 0:
		touch_register(d, in, kind);
		break;
	case 1:
		write_reg(d, 0x50, (uint32_t)take(in, 1));
		break;
	case 2:
		value = take(in, 2);
		{
			uint64_t bytes = take(in, 8);

			store(d, BASE + value * 8, &bytes, 8);
		}
		break;
	case 3:
		bring_up(d, (uint32_t)take(in, 4), (uint32_t)take(in, 1));
		break;
	case 4:
		d->mem.lent = d->mem.bounce.host || (!d->mem.lent && (kind & 0x10));
		break;
	case 5:
		/* A storm, of queues that there are and others. */
		for (unsigned int i = 0; i < 256; i++)
			write_reg(d, 0x50, i % 5);
		break;
	case 6:
		/* A queue that is made ready where it must not, in a state that it must not. */
		write_reg(d, 0x30, queue);
		write_reg(d, 0x44, 0);
		set_queue(d, queue, (uint32_t)take(in, 2), (uint32_t)take(in, 4));
		break;
	case 7:
		write_reg(d, 0x70, kind & 0x10 ? 0 : (uint32_t)take(in, 1));
		break;
	case 8:
	case 9:
		if (d->outside)
			d->outside(d, in);
		break;
	case 10:
		/* Rare, since a thread is dear. */
		if (kind >> 4 == 7)
			serve_while_rewritten(d);
		break;
	default:
		offer(d, in, queue);
		break;
	}
	serve(d);
}

static inline void on_broken(void *data, struct virtio_mmio *dev)
{
	(void)dev;
	((struct driver *)data)->broken++;
}

/* Before the device is made, for which d->slot is. */
static inline void driver_init(struct driver *d)
{
	int r;

	*d = (struct driver){ .mem = MEM_NONE, .loop = LOOP_NONE };
	r = mem_init(&d->mem, gpa(BASE), RAM, NULL);
	assert(r == 0);
	r = loop_init(&d->loop, NULL);
	assert(r == 0);
	d->slot = (struct virtio_slot){
		.mem = &d->mem, .loop = &d->loop, .base = gpa(0xa000000), .spi = 16
	};
}

/* RAM goes out of the device's reach, and is where no ring or buffer should be: behind the rest. */
static inline void lend(struct driver *d)
{
	bool pinned = d->mem.pinned;
	int r;

	mem_free(&d->mem);
	r = mem_init(&d->mem, gpa(BASE + RAM), RAM, NULL);
	assert(r == 0);
	r = mem_add_bounce(&d->mem, gpa(BASE), RAM, NULL);
	assert(r == 0);
	d->mem.lent = true;
	d->mem.pinned = pinned;
	/* To reach it all the same would be the end. */
	r = mprotect(d->mem.host, RAM, PROT_NONE);
	assert(r == 0);
	d->dev->features |= VIRTIO_ACCESS_PLATFORM;
}

/* Does with the device what the input says. */
static inline void driver_run(struct driver *d, struct virtio_mmio *dev, struct input *in)
{
	uint8_t setup = (uint8_t)take(in, 1);
	uint64_t status, broken;

	d->dev = dev;
	dev->broken = on_broken;
	dev->broken_data = d;
	d->size = 1;
	if (setup & 4)
		lend(d);
	d->low = mem_at(&d->mem, gpa(BASE), RAM);
	/* The beginning of memory is the input's: requests, and tables. */
	if (setup & 1) {
		size_t n = (size_t)take(in, 2);

		n = n < in->n ? n : in->n;
		store(d, BASE, in->p, n);
		in->p += n;
		in->n -= n;
	}
	if (setup & 2)
		bring_up(d, (uint32_t)take(in, 4), (uint32_t)take(in, 1));
	for (unsigned int i = 0; in->n > 0 && i < ACTIONS_MAX; i++)
		act(d, in);
	/* Whatever it was, a driver that starts over finds a device that works. */
	d->mem.lent = d->mem.bounce.host;
	bring_up(d, UINT32_MAX, 3);
	serve(d);
	status = dev->mmio.ops->read(&dev->mmio, 0x70, 4);
	broken = __atomic_load_n(&dev->resets_needed, __ATOMIC_RELAXED);
	assert(broken == d->broken && (status == 15 || d->mem.pinned));
}

/* After the device is gone. */
static inline void driver_free(struct driver *d)
{
	loop_free(&d->loop);
	mem_free(&d->mem);
}

#endif
