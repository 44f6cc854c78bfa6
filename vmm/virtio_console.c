// SPDX-License-Identifier: Apache-2.0
/* virtio-console (virtio 1.2, section 5.3), one port, with its size and emergency write. */
#include "vmm/virtio_console.h"

#include <assert.h>
#include <string.h>

/* --- Constants --- */

#define DEVICE_ID     3u
#define F_SIZE	      (1ull << 0)
#define F_EMERG_WRITE (1ull << 2)
#define QUEUE_RX      0u
#define QUEUE_TX      1u
#define OUTPUT_MAX    (1u << 20) /* bytes in one request: how long it may keep the device thread */

/* --- Config space --- */

struct console_config {
	uint16_t cols, rows;
	uint32_t max_nr_ports;
	uint32_t emerg_wr;
};
static_assert(sizeof(struct console_config) == 12, "virtio_console_config");

/* --- State --- */

struct virtio_console {
	struct virtio_mmio dev;
	struct console *console;
	bool rx_used; /* a receive buffer is with the driver, which has not offered another since */
	uint16_t rx_offered; /* how many it had offered then */
	uint16_t cols, rows;
};

static struct virtio_console *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_console, dev);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	struct console_config config = {
		.cols = of(dev)->cols,
		.rows = of(dev)->rows,
		.max_nr_ports = 1,
	};

	virtio_config_copy(&config, sizeof(config), off, to, n);
}

static void write_config(struct virtio_mmio *dev, uint64_t off, const void *from, size_t n)
{
	/* Works before a driver is up; the character is in the lowest byte. */
	if (off == offsetof(struct console_config, emerg_wr) && n > 0)
		console_output(of(dev)->console, CONSOLE_VIRTIO, from, 1);
}

/* --- Queues --- */

static int64_t transmit(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_console *vc = of(dev);

	if (chain->out_bytes > OUTPUT_MAX)
		return -EPROTO;
	for (unsigned int i = 0; i < chain->out_count; i++)
		console_output(vc->console, CONSOLE_VIRTIO, chain->iov[i].iov_base,
			       chain->iov[i].iov_len);
	/* What was typed while the guest spoke elsewhere is for this port now. */
	if (console_pending(vc->console, CONSOLE_VIRTIO))
		virtio_poke(dev, QUEUE_RX);
	return 0;
}

/*
 * One buffer at a time: Linux takes one for each interrupt that it handles, and two interrupts may
 * become one, so a second buffer could lie there until somebody types again. A driver offers a new
 * buffer when it has read the old one.
 */
static int receive_ready(struct virtio_console *vc)
{
	struct virtqueue *q = &vc->dev.queues[QUEUE_RX].ring;
	int r;

	if (!vc->rx_used)
		return 1;
	r = virtqueue_listen_beyond(q, &vc->rx_offered);
	if (r > 0)
		vc->rx_used = false;
	return r;
}

static int receive_one(struct virtio_console *vc)
{
	struct virtqueue *q = &vc->dev.queues[QUEUE_RX].ring;
	struct virtq_chain *chain = &vc->dev.chain;
	uint32_t written = 0;
	int r = virtqueue_pop(q, chain);

	if (r == 0)
		return virtqueue_listen(q);
	if (r < 0)
		return r;
	/* The first piece is enough; what it has no room for goes into the next request. */
	if (chain->in_count > 0)
		written = (uint32_t)console_take(vc->console, CONSOLE_VIRTIO,
						 virtq_in(chain)->iov_base,
						 virtq_in(chain)->iov_len);
	/* Before the driver can see it, and so offer another. */
	r = virtqueue_listen_beyond(q, &vc->rx_offered);
	if (r < 0)
		return r;
	vc->rx_used = true;
	r = virtqueue_push(q, chain->head, written);
	if (r < 0)
		return r;
	virtio_interrupt(&vc->dev, QUEUE_RX);
	return 1;
}

static int receive(struct virtio_mmio *dev)
{
	struct virtio_console *vc = of(dev);

	for (unsigned int n = 0; n < VIRTQUEUE_SIZE_MAX; n++) {
		int r;

		if (!console_pending(vc->console, CONSOLE_VIRTIO))
			return 0;
		r = receive_ready(vc);
		if (r > 0)
			r = receive_one(vc);
		if (r <= 0)
			return r;
	}
	return 1;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	return queue == QUEUE_RX ? receive(dev) : virtio_serve(dev, queue, transmit);
}

static void typed(void *data)
{
	virtio_poke(data, QUEUE_RX);
}

/* What was offered went with the queue. */
static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	if (queue == QUEUE_RX)
		of(dev)->rx_used = false;
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	suspend(dev, QUEUE_RX);
}

static const struct virtio_ops ops = {
	.name = "console",
	.id = DEVICE_ID,
	.queues = 2,
	.read_config = read_config,
	.write_config = write_config,
	.handle = handle,
	.suspend = suspend,
	.reset = reset,
};

/* --- Set-up --- */

static void console_freep(struct virtio_console **vc)
{
	virtio_console_free(*vc);
}

int virtio_console_new(struct virtio_console **out, struct console *console,
		       const struct virtio_slot *slot, struct error *err)
{
	_cleanup_(console_freep) struct virtio_console *vc = calloc(1, sizeof(*vc));
	int r;

	if (!vc)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "console");
	vc->console = console;
	vc->dev.features = F_SIZE | F_EMERG_WRITE;
	vc->cols = VMM_CONSOLE_COLUMNS;
	vc->rows = VMM_CONSOLE_ROWS;
	r = virtio_mmio_init(&vc->dev, &ops, slot, err);
	if (r < 0)
		return error_widen(err, "console");
	console_listen(console, CONSOLE_VIRTIO, typed, &vc->dev);
	*out = TAKE_PTR(vc);
	return 0;
}

struct virtio_console *virtio_console_free(struct virtio_console *vc)
{
	if (!vc)
		return NULL;
	virtio_mmio_free(&vc->dev);
	free(vc);
	return NULL;
}

struct virtio_mmio *virtio_console_device(struct virtio_console *vc)
{
	return &vc->dev;
}

void virtio_console_resize(struct virtio_console *vc, uint16_t columns, uint16_t rows)
{
	pthread_mutex_lock(&vc->dev.lock);
	if (columns != vc->cols || rows != vc->rows) {
		vc->cols = columns;
		vc->rows = rows;
		virtio_config_changed(&vc->dev);
	}
	pthread_mutex_unlock(&vc->dev.lock);
}
