// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio-mmio register file, status machine and notifications (virtio 1.2, sections 2.1, 3.1
 * and 4.2).
 */
#include "vmm/virtio_mmio.h"

#include <assert.h>
#include <string.h>

#define MAGIC	0x74726976u /* "virt" */
#define VERSION 2u
#define VENDOR	0x54465243u /* "CRFT" */

enum reg {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE_ID = 0x08,
	REG_VENDOR_ID = 0x0c,
	REG_DEVICE_FEATURES = 0x10,
	REG_DEVICE_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_INTERRUPT_STATUS = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC_LOW = 0x80,
	REG_QUEUE_DESC_HIGH = 0x84,
	REG_QUEUE_AVAIL_LOW = 0x90,
	REG_QUEUE_AVAIL_HIGH = 0x94,
	REG_QUEUE_USED_LOW = 0xa0,
	REG_QUEUE_USED_HIGH = 0xa4,
	REG_SHM_LEN_LOW = 0xb0,
	REG_SHM_LEN_HIGH = 0xb4,
	REG_SHM_BASE_LOW = 0xb8,
	REG_SHM_BASE_HIGH = 0xbc,
	REG_CONFIG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

#define STATUS_ACKNOWLEDGE 0x01u
#define STATUS_DRIVER	   0x02u
#define STATUS_DRIVER_OK   0x04u
#define STATUS_FEATURES_OK 0x08u
#define STATUS_NEEDS_RESET 0x40u
#define STATUS_FAILED	   0x80u
#define STATUS_OF_DRIVER \
	(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK | STATUS_FEATURES_OK | STATUS_FAILED)

#define INTERRUPT_EACH 16u /* requests of a batch */

/*
 * Drivers of networks, consoles and sockets keep a page in each entry of a queue for what may come.
 * Ten such queues at their full size would take up a small bounce range.
 */
#define QUEUE_SMALL  64u
#define BOUNCE_LARGE (64ull << 20)
static_assert(QUEUE_SMALL <= VIRTQUEUE_SIZE_MAX, "entries of a queue");

#define INTERRUPT_USED	 0x1u
#define INTERRUPT_CONFIG 0x2u

/* --- Interrupts --- */

/*
 * The line is an edge, so each reason rings it, also while an earlier one waits to be acknowledged.
 */
static void raise_interrupt(struct virtio_mmio *dev, uint32_t reason)
{
	__atomic_fetch_or(&dev->interrupt_status, reason, __ATOMIC_SEQ_CST);
	irq_raise(&dev->mmio.irq);
}

void virtio_interrupt(struct virtio_mmio *dev, unsigned int queue)
{
	if (virtqueue_should_interrupt(&dev->queues[queue].ring))
		raise_interrupt(dev, INTERRUPT_USED);
}

void virtio_interrupt_always(struct virtio_mmio *dev)
{
	raise_interrupt(dev, INTERRUPT_USED);
}

void virtio_config_changed(struct virtio_mmio *dev)
{
	dev->config_generation++;
	if (dev->status & STATUS_DRIVER_OK)
		raise_interrupt(dev, INTERRUPT_CONFIG);
}

void virtio_needs_reset(struct virtio_mmio *dev)
{
	if (dev->status & STATUS_NEEDS_RESET)
		return;
	__atomic_fetch_add(&dev->resets_needed, 1, __ATOMIC_RELAXED);
	dev->status |= STATUS_NEEDS_RESET;
	virtio_config_changed(dev);
	if (dev->broken)
		dev->broken(dev->broken_data, dev);
}

/* --- Queues --- */

bool virtio_driver_up(const struct virtio_mmio *dev)
{
	return (dev->status & STATUS_DRIVER_OK) && !(dev->status & STATUS_NEEDS_RESET);
}

bool virtio_queue_live(const struct virtio_mmio *dev, unsigned int queue)
{
	return virtio_driver_up(dev) && dev->queues[queue].ring.ready;
}

void virtio_poke(struct virtio_mmio *dev, unsigned int queue)
{
	if (dev->ops->handle)
		eventfd_signal(dev->queues[queue].notified.fd);
}

int virtio_serve(struct virtio_mmio *dev, unsigned int queue, virtio_request_fn *request)
{
	struct virtqueue *q = &dev->queues[queue].ring;
	unsigned int n;
	int r = 1;

	for (n = 0; r > 0 && n < VIRTQUEUE_SIZE_MAX; n++) {
		int64_t written;

		r = virtqueue_pop(q, &dev->chain);
		if (r == 0) {
			r = virtqueue_listen(q);
			continue;
		}
		if (r < 0)
			break;
		written = request(dev, &dev->chain);
		if (written == -EAGAIN) {
			virtqueue_unpop(q, 1);
			r = 0;
		} else if (written == VIRTIO_LATER) {
			continue;
		} else if (written < 0) {
			r = -EPROTO;
		} else {
			r = virtqueue_push(q, dev->chain.head, virtio_written(written));
			r = r < 0 ? r : 1;
		}
		/* One interrupt for several, but not for so many that the driver runs dry. */
		if (n % INTERRUPT_EACH == INTERRUPT_EACH - 1)
			virtio_interrupt(dev, queue);
	}
	if (r >= 0)
		virtio_interrupt(dev, queue);
	return r;
}

static void notified(struct loop_source *source)
{
	struct virtio_queue *queue = CONTAINER_OF(source, struct virtio_queue, notified);
	struct virtio_mmio *dev = queue->dev;
	unsigned int index = (unsigned int)(queue - dev->queues);
	int r;

	pthread_mutex_lock(&dev->lock);
	if (virtio_queue_live(dev, index)) {
		r = dev->ops->handle(dev, index);
		if (r < 0)
			virtio_needs_reset(dev);
		else if (r > 0)
			virtio_poke(dev, index);
	}
	pthread_mutex_unlock(&dev->lock);
}

/* The selected queue, or NULL when there is no such. */
static struct virtqueue *selected(struct virtio_mmio *dev)
{
	return dev->queue_sel < dev->queue_count ? &dev->queues[dev->queue_sel].ring : NULL;
}

static void set_queue_ready(struct virtio_mmio *dev, struct virtqueue *q, uint32_t value)
{
	if (!(value & 1)) {
		if (q->ready && dev->ops->suspend)
			dev->ops->suspend(dev, dev->queue_sel);
		q->ready = false;
		return;
	}
	if (q->ready)
		return;
	q->event_idx = dev->driver_features & VIRTIO_F_EVENT_IDX;
	q->indirect = dev->driver_features & VIRTIO_F_INDIRECT_DESC;
	if (virtqueue_enable(q) < 0)
		virtio_needs_reset(dev);
	else if (virtio_driver_up(dev) && dev->ops->start)
		dev->ops->start(dev);
}

static void set_half(gpa_t *address, uint32_t value, bool high)
{
	if (high)
		address->v = (uint32_t)address->v | (uint64_t)value << 32;
	else
		address->v = (address->v & ~0xffffffffull) | value;
}

/* A queue is set up between FEATURES_OK and QueueReady. */
static void write_queue(struct virtio_mmio *dev, enum reg reg, uint32_t value)
{
	struct virtqueue *q = selected(dev);

	if (!q || !(dev->status & STATUS_FEATURES_OK))
		return;
	if (reg == REG_QUEUE_READY) {
		set_queue_ready(dev, q, value);
		return;
	}
	if (q->ready)
		return;
	switch (reg) {
	case REG_QUEUE_NUM:
		q->size = value <= VIRTQUEUE_SIZE_MAX ? (uint16_t)value : 0;
		break;
	case REG_QUEUE_DESC_LOW:
	case REG_QUEUE_DESC_HIGH:
		set_half(&q->desc, value, reg == REG_QUEUE_DESC_HIGH);
		break;
	case REG_QUEUE_AVAIL_LOW:
	case REG_QUEUE_AVAIL_HIGH:
		set_half(&q->avail, value, reg == REG_QUEUE_AVAIL_HIGH);
		break;
	case REG_QUEUE_USED_LOW:
	case REG_QUEUE_USED_HIGH:
		set_half(&q->used, value, reg == REG_QUEUE_USED_HIGH);
		break;
	default:
		break;
	}
}

/* --- Features and status --- */

static void write_driver_features(struct virtio_mmio *dev, uint32_t value)
{
	if (dev->status & STATUS_FEATURES_OK)
		return;
	if (dev->driver_features_sel == 0)
		dev->driver_features = (dev->driver_features & ~0xffffffffull) | value;
	else if (dev->driver_features_sel == 1)
		dev->driver_features = (uint32_t)dev->driver_features | (uint64_t)value << 32;
	else if (value)
		/* Nothing is offered up there. */
		dev->driver_wants_more = true;
}

static void reset(struct virtio_mmio *dev)
{
	dev->ops->reset(dev);
	for (unsigned int i = 0; i < dev->queue_count; i++)
		virtqueue_reset(&dev->queues[i].ring);
	dev->status = 0;
	dev->driver_features = 0;
	dev->driver_wants_more = false;
	dev->device_features_sel = 0;
	dev->driver_features_sel = 0;
	dev->queue_sel = 0;
	__atomic_store_n(&dev->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

/*
 * A device that reaches a part of memory only is of no use to a driver that does not ask its
 * platform where to put things.
 */
static bool features_accepted(const struct virtio_mmio *dev)
{
	uint64_t must = VIRTIO_F_VERSION_1 | (dev->features & VIRTIO_ACCESS_PLATFORM);

	return !(dev->driver_features & ~dev->features) && !dev->driver_wants_more &&
	       (dev->driver_features & must) == must;
}

static void write_status(struct virtio_mmio *dev, uint32_t value)
{
	uint32_t added;

	if (value == 0) {
		reset(dev);
		return;
	}
	/* A driver may set bits, and take them back only by a reset. */
	added = value & STATUS_OF_DRIVER & ~dev->status;
	if ((added & STATUS_FEATURES_OK) && !features_accepted(dev))
		added &= ~STATUS_FEATURES_OK;
	if ((added & STATUS_DRIVER_OK) && !((dev->status | added) & STATUS_FEATURES_OK))
		added &= ~STATUS_DRIVER_OK;
	dev->status |= added;
	if ((added & STATUS_DRIVER_OK) && dev->ops->start)
		dev->ops->start(dev);
	/* What was notified too early is looked at now. */
	if (added & STATUS_DRIVER_OK)
		for (unsigned int i = 0; i < dev->queue_count; i++)
			virtio_poke(dev, i);
}

/* --- Registers --- */

void virtio_config_copy(const void *config, size_t size, uint64_t off, void *to, size_t n)
{
	if (off < size)
		memcpy(to, (const char *)config + off, n < size - off ? n : size - (size_t)off);
}

static uint32_t read_locked(struct virtio_mmio *dev, enum reg reg)
{
	struct virtqueue *q = selected(dev);

	switch (reg) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return VERSION;
	case REG_DEVICE_ID:
		return dev->ops->id;
	case REG_VENDOR_ID:
		return VENDOR;
	case REG_DEVICE_FEATURES:
		return dev->device_features_sel > 1
			       ? 0
			       : (uint32_t)(dev->features >> (32 * dev->device_features_sel));
	case REG_QUEUE_NUM_MAX:
		return q ? dev->queue_max : 0;
	case REG_QUEUE_READY:
		return q && q->ready;
	case REG_STATUS:
		return dev->status;
	case REG_CONFIG_GENERATION:
		return dev->config_generation;
	case REG_SHM_LEN_LOW:
	case REG_SHM_LEN_HIGH:
	case REG_SHM_BASE_LOW:
	case REG_SHM_BASE_HIGH:
		/* No shared memory region, whichever is selected. */
		return UINT32_MAX;
	default:
		return 0;
	}
}

static uint64_t mmio_read(struct mmio_device *mmio, uint64_t off, unsigned int len)
{
	struct virtio_mmio *dev = CONTAINER_OF(mmio, struct virtio_mmio, mmio);
	uint64_t value = 0;

	/* The registers are 32 bits wide, and only that is defined. */
	if (off < REG_CONFIG && (len != 4 || off % 4 != 0))
		return 0;
	if (off == REG_INTERRUPT_STATUS)
		return __atomic_load_n(&dev->interrupt_status, __ATOMIC_SEQ_CST) |
		       (__atomic_load_n(&dev->interrupts_unseen, __ATOMIC_RELAXED) ? INTERRUPT_USED
										   : 0);
	pthread_mutex_lock(&dev->lock);
	if (off < REG_CONFIG)
		value = read_locked(dev, (enum reg)off);
	else if (dev->ops->read_config)
		dev->ops->read_config(dev, off - REG_CONFIG, &value, len);
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static void write_locked(struct virtio_mmio *dev, enum reg reg, uint32_t value)
{
	switch (reg) {
	case REG_DEVICE_FEATURES_SEL:
		dev->device_features_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		write_driver_features(dev, value);
		break;
	case REG_DRIVER_FEATURES_SEL:
		dev->driver_features_sel = value;
		break;
	case REG_QUEUE_SEL:
		dev->queue_sel = value;
		break;
	case REG_STATUS:
		write_status(dev, value);
		break;
	default:
		write_queue(dev, reg, value);
		break;
	}
}

static void mmio_write(struct mmio_device *mmio, uint64_t off, unsigned int len, uint64_t value)
{
	struct virtio_mmio *dev = CONTAINER_OF(mmio, struct virtio_mmio, mmio);

	if (off < REG_CONFIG && (len != 4 || off % 4 != 0))
		return;
	if (off == REG_INTERRUPT_ACK) {
		__atomic_fetch_and(&dev->interrupt_status, ~(uint32_t)value, __ATOMIC_SEQ_CST);
		return;
	}
	/* Comes this way when no ioeventfd took it. */
	if (off == REG_QUEUE_NOTIFY) {
		if (value < dev->queue_count)
			virtio_poke(dev, (unsigned int)value);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (off < REG_CONFIG)
		write_locked(dev, (enum reg)off, (uint32_t)value);
	else if (dev->ops->write_config)
		dev->ops->write_config(dev, off - REG_CONFIG, &value, len);
	pthread_mutex_unlock(&dev->lock);
}

static void describe(const struct mmio_device *mmio, struct fdt_tree *tree)
{
	tree_begin(tree, "virtio@%llx", (unsigned long long)mmio->base.v);
	tree_string(tree, "compatible", "virtio,mmio");
	tree_reg(tree, mmio->base, mmio->size);
	tree_spi(tree, mmio->irq.spi);
	tree_dma(tree);
	tree_end(tree);
}

static const struct mmio_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.describe = describe,
	.dma = true,
};

/* --- Set-up --- */

int virtio_mmio_init(struct virtio_mmio *dev, const struct virtio_ops *ops,
		     const struct virtio_slot *slot, struct error *err)
{
	dev->ops = ops;
	if (!dev->queue_count)
		dev->queue_count = ops->queues;
	assert(dev->queue_count <= VIRTIO_QUEUES_MAX);
	dev->features |= VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
	dev->queue_max = VIRTQUEUE_SIZE_MAX;
	if (slot->mem->bounce.host)
		dev->features |= VIRTIO_ACCESS_PLATFORM;
	if (slot->mem->bounce.host && slot->mem->bounce.size < BOUNCE_LARGE)
		dev->queue_max = QUEUE_SMALL;
	dev->mmio = (struct mmio_device){
		.ops = &mmio_ops,
		.base = slot->base,
		.size = VIRTIO_MMIO_SIZE,
		.irq.fd = -1,
	};
	pthread_mutex_init(&dev->lock, NULL);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev->queues[i] = (struct virtio_queue){
			.ring.mem = slot->mem,
			.dev = dev,
			.notified = { .fd = -1, .ready = notified },
		};
	for (unsigned int i = 0; i < dev->queue_count; i++) {
		int fd = eventfd_new(), r;

		if (fd < 0)
			return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -fd,
						 "virtio queue");
		dev->queues[i].notified.fd = fd;
		r = ops->handle ? loop_add(slot->loop, &dev->queues[i].notified, err) : 0;
		if (r < 0)
			return r;
	}
	return irq_init(&dev->mmio.irq, slot->spi, err);
}

void virtio_mmio_free(struct virtio_mmio *dev)
{
	irq_free(&dev->mmio.irq);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		base_close(dev->queues[i].notified.fd);
	pthread_mutex_destroy(&dev->lock);
}
