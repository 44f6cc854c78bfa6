// SPDX-License-Identifier: Apache-2.0
/* virtio-console (virtio 1.2, section 5.3) as a bundle of named ports. */
#include "vmm/virtio_ports.h"

#include <assert.h>
#include <string.h>

/* --- Constants --- */

#define DEVICE_ID   3u
#define F_MULTIPORT (1ull << 1)
#define OUTPUT_MAX  (1u << 20) /* bytes in one request: how long it may keep the device thread */

#define QUEUE_CONTROL_RX 2u
#define QUEUE_CONTROL_TX 3u

enum event {
	DEVICE_READY,
	PORT_ADD,
	PORT_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME
};

struct control {
	uint32_t id;
	uint16_t event, value;
};
static_assert(sizeof(struct control) == 8, "virtio_console_control");

static_assert(2 * (VMM_PORTS_MAX + 1) <= VIRTIO_QUEUES_MAX, "queues of ports");

/* --- Config space --- */

struct ports_config {
	uint16_t cols, rows;
	uint32_t max_nr_ports;
	uint32_t emerg_wr;
};

/* --- State --- */

/* What a port has yet to tell the guest, as bits. */
#define TELL_ADD  1u
#define TELL_NAME 2u
#define TELL_OPEN 4u

struct port {
	char name[VIRTIO_PORT_NAME_MAX];
	unsigned int tell;
	bool open;		     /* a program of the guest has it open */
	char in[VIRTIO_PORT_BUFFER]; /* a ring */
	size_t in_start, in_used;
};

struct virtio_ports {
	struct virtio_mmio dev;
	const struct vmm_events *events;
	struct port ports[VMM_PORTS_MAX];
	unsigned int count;
	unsigned int serving; /* the queue whose request is looked at */
};

static struct virtio_ports *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_ports, dev);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	struct ports_config config = { .max_nr_ports = of(dev)->count };

	virtio_config_copy(&config, sizeof(config), off, to, n);
}

/* The first port has the first two queues, and the others those behind the control queues. */
static unsigned int port_of(unsigned int queue)
{
	return queue < QUEUE_CONTROL_RX ? 0 : queue / 2 - 1;
}

static unsigned int receive_queue(unsigned int port)
{
	return port == 0 ? 0 : 2 * (port + 1);
}

/* --- Control --- */

/* Writes the next message into the buffer; its size, or 0. */
static uint32_t next_message(struct virtio_ports *ports, const struct virtq_chain *chain)
{
	for (uint32_t i = 0; i < ports->count; i++) {
		struct port *port = &ports->ports[i];
		struct control message = { .id = i, .value = 1 };
		size_t n = 0;

		if (port->tell & TELL_ADD) {
			message.event = PORT_ADD;
			port->tell &= ~TELL_ADD;
		} else if (port->tell & TELL_NAME) {
			message.event = PORT_NAME;
			port->tell &= ~TELL_NAME;
			n = strlen(port->name);
		} else if (port->tell & TELL_OPEN) {
			message.event = PORT_OPEN;
			port->tell &= ~TELL_OPEN;
		} else {
			continue;
		}
		iov_write(chain->iov, chain->in_count, 0, &message, sizeof(message));
		n = iov_write(chain->iov, chain->in_count, sizeof(message), port->name, n);
		return (uint32_t)(sizeof(message) + n);
	}
	return 0;
}

static int64_t tell(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	uint32_t n;

	if (chain->out_count > 0 || chain->in_bytes < sizeof(struct control))
		return -EPROTO;
	n = next_message(of(dev), chain);
	return n ? (int64_t)n : -EAGAIN;
}

static int64_t hear(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_ports *ports = of(dev);
	struct control message;

	if (chain->in_count > 0 || chain->out_bytes < sizeof(message))
		return -EPROTO;
	iov_read(chain->iov, chain->out_count, 0, &message, sizeof(message));
	if (message.event == DEVICE_READY && message.value == 1)
		for (unsigned int i = 0; i < ports->count; i++)
			ports->ports[i].tell = TELL_ADD;
	/* A port that there is not, and what is nothing to us, is said in vain. */
	if (message.id < ports->count) {
		struct port *port = &ports->ports[message.id];

		if (message.event == PORT_READY && message.value == 1)
			port->tell |= TELL_NAME | TELL_OPEN;
		if (message.event == PORT_OPEN)
			port->open = message.value == 1;
	}
	virtio_poke(dev, QUEUE_CONTROL_RX);
	return 0;
}

/* --- Data --- */

static int64_t transmit(struct virtio_ports *ports, unsigned int port,
			const struct virtq_chain *chain)
{
	if (chain->out_bytes > OUTPUT_MAX || chain->in_count > 0)
		return -EPROTO;
	for (unsigned int i = 0; i < chain->out_count; i++)
		ports->events->port(ports->events->data, port, chain->iov[i].iov_base,
				    chain->iov[i].iov_len);
	return 0;
}

static int64_t receive(struct port *port, const struct virtq_chain *chain)
{
	size_t written = 0;

	if (chain->out_count > 0)
		return -EPROTO;
	if (port->in_used == 0)
		return -EAGAIN;
	while (port->in_used > 0) {
		size_t part = VIRTIO_PORT_BUFFER - port->in_start;

		part = part < port->in_used ? part : port->in_used;
		part = iov_write(chain->iov, chain->in_count, written, port->in + port->in_start,
				 part);
		if (part == 0)
			break;
		port->in_start = (port->in_start + part) % VIRTIO_PORT_BUFFER;
		port->in_used -= part;
		written += part;
	}
	return (int64_t)written;
}

static int64_t data(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_ports *ports = of(dev);
	unsigned int port = port_of(ports->serving);

	return ports->serving % 2 == 0 ? receive(&ports->ports[port], chain)
				       : transmit(ports, port, chain);
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	/* Without the feature there is one port, which is a console, and that is not here. */
	if (!(dev->driver_features & F_MULTIPORT))
		return 0;
	if (queue == QUEUE_CONTROL_RX)
		return virtio_serve(dev, queue, tell);
	if (queue == QUEUE_CONTROL_TX)
		return virtio_serve(dev, queue, hear);
	of(dev)->serving = queue;
	return virtio_serve(dev, queue, data);
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	struct virtio_ports *ports = of(dev);

	for (unsigned int i = 0; i < ports->count; i++) {
		ports->ports[i].tell = 0;
		ports->ports[i].open = false;
		ports->ports[i].in_used = 0;
	}
}

static const struct virtio_ops ops = {
	.name = "ports",
	.id = DEVICE_ID,
	.read_config = read_config,
	.handle = handle,
	.reset = reset,
};

/* --- Set-up --- */

static int check_names(const struct virtio_ports_config *config, struct error *err)
{
	if (!config->events->port)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "nobody hears what is written");
	for (unsigned int i = 0; i < config->count; i++)
		if (!config->names[i] || !config->names[i][0] || strchr(config->names[i], '/') ||
		    strlen(config->names[i]) >= VIRTIO_PORT_NAME_MAX)
			return error_raise(err, ERROR_INVALID_ARGUMENT,
					   "port %u needs a name of 1 to %u characters without /",
					   i, VIRTIO_PORT_NAME_MAX - 1);
	return 0;
}

int virtio_ports_new(struct virtio_ports **out, const struct virtio_ports_config *config,
		     const struct virtio_slot *slot, struct error *err)
{
	struct virtio_ports *ports = calloc(1, sizeof(*ports));
	int r;

	if (!ports)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "ports");
	assert(config->count >= 1 && config->count <= VMM_PORTS_MAX);
	ports->events = config->events;
	ports->count = config->count;
	ports->dev.queue_count = 2 * (config->count + 1);
	ports->dev.features = F_MULTIPORT;
	r = virtio_mmio_init(&ports->dev, &ops, slot, err);
	if (r == 0)
		r = check_names(config, err);
	if (r < 0) {
		virtio_ports_free(ports);
		return error_widen(err, "ports");
	}
	for (unsigned int i = 0; i < config->count; i++)
		snprintf(ports->ports[i].name, sizeof(ports->ports[i].name), "%s",
			 config->names[i]);
	*out = ports;
	return 0;
}

struct virtio_ports *virtio_ports_free(struct virtio_ports *ports)
{
	if (!ports)
		return NULL;
	virtio_mmio_free(&ports->dev);
	free(ports);
	return NULL;
}

struct virtio_mmio *virtio_ports_device(struct virtio_ports *ports)
{
	return &ports->dev;
}

size_t virtio_ports_write(struct virtio_ports *ports, unsigned int index, const void *bytes,
			  size_t n)
{
	const char *p = bytes;
	struct port *port;

	if (index >= ports->count)
		return 0;
	port = &ports->ports[index];
	pthread_mutex_lock(&ports->dev.lock);
	if (!port->open)
		n = 0;
	if (n > VIRTIO_PORT_BUFFER - port->in_used)
		n = VIRTIO_PORT_BUFFER - port->in_used;
	for (size_t i = 0; i < n; i++)
		port->in[(port->in_start + port->in_used + i) % VIRTIO_PORT_BUFFER] = p[i];
	port->in_used += n;
	pthread_mutex_unlock(&ports->dev.lock);
	if (n > 0)
		virtio_poke(&ports->dev, receive_queue(index));
	return n;
}
