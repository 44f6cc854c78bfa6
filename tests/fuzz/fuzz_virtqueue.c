// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile virtio driver: the input is guest memory, and a list of register writes, notifications
 * and stores to that memory, against a disk, a console and an
 * entropy source behind the real transport.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/virtio_blk.h"
#include "vmm/virtio_console.h"
#include "vmm/virtio_rng.h"

#define BASE	    0x80000000ull
#define RAM	    (1u << 20)
#define DISK_SIZE   (64u << 10)
#define ACTIONS_MAX 512u

static void console(void *data, const void *bytes, size_t n)
{
	/* What the guest wrote must be there to be read, to its last byte. */
	volatile char last = ((const char *)bytes)[n - 1];

	(void)data;
	(void)last;
}

static void exited(void *data, const struct vmm_exit *exit)
{
	(void)data;
	(void)exit;
}

struct input {
	const uint8_t *p;
	size_t n;
};

static uint64_t take(struct input *in, unsigned int bytes)
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

static void write_reg(struct virtio_mmio *dev, uint64_t off, uint32_t value)
{
	dev->mmio.ops->write(&dev->mmio, off, 4, value);
}

/* So that inputs reach the rings soon: a driver that did everything right so far. */
static void bring_up(struct virtio_mmio *dev, uint32_t features, uint32_t size)
{
	write_reg(dev, 0x70, 0);
	write_reg(dev, 0x70, 3);
	write_reg(dev, 0x24, 1);
	write_reg(dev, 0x20, 1);
	write_reg(dev, 0x24, 0);
	write_reg(dev, 0x20, features & (uint32_t)dev->features);
	write_reg(dev, 0x70, 11);
	for (uint32_t i = 0; i < dev->ops->queues; i++) {
		write_reg(dev, 0x30, i);
		write_reg(dev, 0x38, 1u << (size % 9));
		write_reg(dev, 0x80, (uint32_t)BASE);
		write_reg(dev, 0x90, (uint32_t)BASE + 0x1000 + 0x400 * i);
		write_reg(dev, 0xa0, (uint32_t)BASE + 0x2000 + 0x1000 * i);
		write_reg(dev, 0x44, 1);
	}
	write_reg(dev, 0x70, 15);
}

/*
 * Each queue that was notified, a few times over: handle() asks for more as long as there is more.
 */
static void serve(struct virtio_mmio *dev)
{
	for (unsigned int round = 0; round < 4; round++)
		for (unsigned int i = 0; i < dev->ops->queues; i++)
			if (eventfd_take(dev->queues[i].notified.fd))
				dev->queues[i].notified.ready(&dev->queues[i].notified);
	eventfd_take(dev->mmio.irq.fd);
}

static void act(struct virtio_mmio *dev, struct mem *mem, struct console *c, struct input *in)
{
	static const unsigned int widths[] = { 1, 2, 4, 8 };
	uint64_t kind = take(in, 1);
	unsigned int len = widths[kind >> 6];
	uint64_t off;
	void *p;

	switch (kind & 7) {
	case 0:
		off = take(in, 1) * 2;
		if (off + len <= VIRTIO_MMIO_SIZE)
			dev->mmio.ops->read(&dev->mmio, off, len);
		break;
	case 1:
		off = take(in, 1) * 2;
		if (off + len <= VIRTIO_MMIO_SIZE)
			dev->mmio.ops->write(&dev->mmio, off, len, take(in, len));
		break;
	case 2:
		write_reg(dev, 0x50, (uint32_t)take(in, 1));
		break;
	case 3:
		off = take(in, 2);
		p = mem_at(mem, gpa(BASE + off), 8);
		kind = take(in, 8);
		if (p)
			memcpy(p, &kind, 8);
		break;
	case 4:
		console_type(c, in->p, in->n < 64 ? in->n : 64);
		break;
	case 5:
		bring_up(dev, (uint32_t)take(in, 4), (uint32_t)take(in, 1));
		break;
	case 6:
		mem->lent = !mem->lent && (kind & 8);
		break;
	default:
		/* One more available entry, whatever it is. */
		p = mem_at(mem, gpa(BASE + 0x1000 + 0x400 * (kind >> 3 & 1) + 2), 1);
		if (p)
			(*(uint8_t *)p)++;
		write_reg(dev, 0x50, kind >> 3 & 1);
		break;
	}
	serve(dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmm_events events = { .console = console, .exited = exited };
	struct input in = { data, size };
	struct mem mem = MEM_NONE;
	struct console c = { 0 };
	struct virtio_blk *blk = NULL;
	struct virtio_console *vc = NULL;
	struct virtio_rng *rng = NULL;
	struct virtio_mmio *dev;
	struct vmm_disk disk = { .name = "fuzz", .fd = -1 };
	struct virtio_slot slot = { .base = gpa(0xa000000), .spi = 16 };
	uint8_t setup = (uint8_t)take(&in, 1);
	int r;

	r = mem_init(&mem, gpa(BASE), RAM, NULL);
	assert(r == 0);
	r = console_init(&c, &events, NULL);
	assert(r == 0);
	if (setup & 1) {
		r = virtio_console_new(&vc, &c, &mem, slot, NULL);
		assert(r == 0);
		dev = virtio_console_device(vc);
	} else if (setup & 8) {
		r = virtio_rng_new(&rng, &mem, slot, NULL);
		assert(r == 0);
		dev = virtio_rng_device(rng);
	} else {
		disk.fd = memfd_create("disk", MFD_CLOEXEC);
		assert(disk.fd >= 0 && ftruncate(disk.fd, DISK_SIZE) == 0);
		disk.read_only = setup & 2;
		r = virtio_blk_new(&blk, &disk, &mem, slot, NULL);
		assert(r == 0);
		dev = virtio_blk_device(blk);
	}
	/* The beginning of memory is the input's: descriptors, rings and requests. */
	if (setup & 4) {
		size_t n = take(&in, 2);

		n = n < in.n ? n : in.n;
		memcpy(mem.host, in.p, n);
		in.p += n;
		in.n -= n;
		bring_up(dev, (uint32_t)take(&in, 4), (uint32_t)take(&in, 1));
	}
	for (unsigned int i = 0; in.n > 0 && i < ACTIONS_MAX; i++)
		act(dev, &mem, &c, &in);
	virtio_blk_free(blk);
	virtio_rng_free(rng);
	virtio_console_free(vc);
	console_free(&c);
	mem_free(&mem);
	base_close(disk.fd);
	return 0;
}
