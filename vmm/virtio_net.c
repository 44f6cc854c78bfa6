// SPDX-License-Identifier: Apache-2.0
/* virtio-net (virtio 1.2, section 5.1), one pair of queues. */
#include "vmm/virtio_net.h"

#include <assert.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/limit.h"
#include "vmm/net_link.h"
#include "vmm/net_tap.h"
#include "vmm/vhost.h"

/* --- Constants --- */

#define VHOST_NET "/dev/vhost-net"
#define DEVICE_ID 1u
#define QUEUE_RX  0u
#define QUEUE_TX  1u
#define MAC_SIZE  6u
#define TURN_MAX  64u /* frames received before the loop's other sources have their turn */

#define F_CSUM	     (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MAC	     (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_GUEST_TSO6 (1ull << 8)
#define F_HOST_TSO4  (1ull << 11)
#define F_HOST_TSO6  (1ull << 12)
#define F_MRG_RXBUF  (1ull << 15)
#define F_STATUS     (1ull << 16)
#define OFFLOADS     (F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6)

#define LINK_UP 1u

/* In a frame, in an IPv4 header, and in an IPv6 header. */
#define ETHERTYPE   12u
#define IPV4_TO	    16u
#define IPV6_TO	    24u
#define IPV6_HEADER 40u

struct net_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
	uint16_t num_buffers;
};
static_assert(sizeof(struct net_header) == NET_HEADER, "virtio_net_hdr");

/* --- Config space --- */

struct net_config {
	uint8_t mac[MAC_SIZE];
	uint16_t status;
};
static_assert(sizeof(struct net_config) == 8, "virtio_net_config");

/* --- State --- */

struct virtio_net {
	struct virtio_mmio dev;
	char name[40];
	struct loop *loop;
	struct net_config config;
	bool any_source;
	bool peer_gone;
	struct loop_source source; /* of link */
	struct net_link link;
	struct vhost vhost;
	struct limit receive, transmit;
	struct vmm_net_stats stats; /* counters atomic, one by one */

	/* A frame that has been read and waits for buffers, for the limit, or for nobody. */
	uint8_t frame[NET_HEADER + NET_FRAME_MAX];
	size_t frame_size;
	uint16_t offered; /* buffers that the driver had offered when they were too few */
	bool frame_paid;  /* the limit has been asked */
	bool out_paid;	  /* the same of the next request to send, which waits for the other side */
	uint16_t heads[VIRTQUEUE_SIZE_MAX]; /* that it goes into */
	uint32_t lengths[VIRTQUEUE_SIZE_MAX];
	struct virtq_chain first; /* where its header goes */
	struct iovec out[VIRTQUEUE_SIZE_MAX + 1];
};

static struct virtio_net *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_net, dev);
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	virtio_config_copy(&of(dev)->config, sizeof(struct net_config), off, to, n);
}

static bool link_up(const struct virtio_net *net)
{
	return net->config.status & LINK_UP;
}

/* Also what nobody wants is read while the link is down, or it would come late. */
static void listen_again(struct virtio_net *net)
{
	bool in = virtio_driver_up(&net->dev) && net->frame_size == 0;
	bool out = net->out_paid || net_link_stuck(&net->link);

	if (!net->peer_gone && !net->vhost.active)
		loop_listen(net->loop, &net->source, (in ? LOOP_IN : 0) | (out ? LOOP_OUT : 0));
}

static void lose_peer(struct virtio_net *net)
{
	loop_remove(net->loop, &net->source);
	net->peer_gone = true;
	net->config.status = 0;
	virtio_config_changed(&net->dev);
}

/* --- Receive --- */

/*
 * Takes buffers for the frame, the first of which goes to `first`, and fills them but for the
 * header. Returns how many, 0 when there are not enough, -EMSGSIZE when there never will be.
 */
static int fill_buffers(struct virtio_net *net, struct virtqueue *q)
{
	bool merge = net->dev.driver_features & F_MRG_RXBUF;
	uint16_t n = 0;
	size_t done = 0;
	int r = 0;

	while (done < net->frame_size && n < q->size) {
		struct virtq_chain *chain = n == 0 ? &net->first : &net->dev.chain;

		r = virtqueue_pop(q, chain);
		if (r <= 0)
			break;
		if (chain->out_count > 0 || (n == 0 && chain->in_bytes < NET_HEADER))
			return -EPROTO;
		net->heads[n] = chain->head;
		net->lengths[n] = (uint32_t)iov_write(chain->iov, chain->in_count, 0,
						      net->frame + done, net->frame_size - done);
		done += net->lengths[n++];
		if (!merge)
			break;
	}
	if (r < 0)
		return r;
	if (done == net->frame_size)
		return n;
	net->offered = q->next_avail;
	virtqueue_unpop(q, n);
	/* Will more buffers help? */
	return n == q->size || (n > 0 && !merge) ? -EMSGSIZE : 0;
}

/* 1: the frame is gone, 0: it waits for buffers, -EPROTO. */
static int deliver(struct virtio_net *net)
{
	struct virtqueue *q = &net->dev.queues[QUEUE_RX].ring;
	int n = fill_buffers(net, q), r = 0;
	uint16_t buffers;

	if (n == 0) {
		/* Notified of more than there is; what came meanwhile is looked at soon. */
		r = virtqueue_listen_beyond(q, &net->offered);
		if (r > 0)
			virtio_poke(&net->dev, QUEUE_RX);
		return r < 0 ? r : 0;
	}
	if (n == -EMSGSIZE) {
		count(&net->stats.rx_dropped, 1);
		return 1;
	}
	if (n < 0)
		return n;
	buffers = (uint16_t)n;
	iov_write(net->first.iov, net->first.in_count, offsetof(struct net_header, num_buffers),
		  &buffers, sizeof(buffers));
	for (uint16_t i = 0; r == 0 && i < buffers; i++)
		r = virtqueue_fill(q, i, net->heads[i], net->lengths[i]);
	if (r == 0)
		r = virtqueue_publish(q, buffers);
	if (r < 0)
		return r;
	count(&net->stats.rx_packets, 1);
	count(&net->stats.rx_bytes, net->frame_size - NET_HEADER);
	return 1;
}

/* Puts the next frame into net->frame, when none waits there: whether one does. */
static bool next_frame(struct virtio_net *net)
{
	ssize_t n;

	if (net->frame_size > 0)
		return true;
	if (net->peer_gone)
		return false;
	n = net_link_read(&net->link, net->frame, sizeof(net->frame));
	if (n == -EPIPE)
		lose_peer(net);
	if (n <= 0)
		return false;
	net->frame_paid = false;
	net->frame_size = (size_t)n;
	return true;
}

/* 1: the frame is gone, 0: it waits for the limit, or for buffers; -EPROTO. */
static int pass_on(struct virtio_net *net, bool wanted)
{
	if (!wanted) {
		count(&net->stats.rx_dropped, 1);
		return 1;
	}
	if (!net->frame_paid)
		net->frame_paid = limit_take(&net->receive, net->frame_size - NET_HEADER);
	return net->frame_paid ? deliver(net) : 0;
}

/* Delivers what is there. Returns as handle(). */
static int receive(struct virtio_net *net)
{
	bool live = virtio_queue_live(&net->dev, QUEUE_RX), wanted = live && link_up(net);
	unsigned int i;
	int r = 1;

	for (i = 0; r > 0 && i < TURN_MAX && next_frame(net); i++) {
		r = pass_on(net, wanted);
		if (r > 0)
			net->frame_size = 0;
	}
	if (r >= 0 && live)
		virtio_interrupt(&net->dev, QUEUE_RX);
	listen_again(net);
	/* A stream may have been read further than we came, and nobody would tell of that. */
	if (i == TURN_MAX)
		virtio_poke(&net->dev, QUEUE_RX);
	return r < 0 ? r : 0;
}

/* --- Transmit --- */

/*
 * A stream's other side makes connections in the host's name, so what listens on the host's
 * loopback only must be out of the guest's reach. `ip` is behind the Ethernet header.
 */
static bool to_loopback(const uint8_t *frame, const uint8_t *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t none[15];
	const uint8_t *to = ip + IPV6_TO;

	if (frame[ETHERTYPE] == 0x08 && frame[ETHERTYPE + 1] == 0x00)
		return ip[IPV4_TO] == 127 || ip[IPV4_TO] == 0;
	if (frame[ETHERTYPE] != 0x86 || frame[ETHERTYPE + 1] != 0xdd)
		return false;
	return (memcmp(to, none, sizeof(none)) == 0 && to[15] <= 1) ||
	       (memcmp(to, mapped, sizeof(mapped)) == 0 && (to[12] == 127 || to[12] == 0));
}

/* What is looked at is copied first, and sent from the copy. */
static int send_frame(struct virtio_net *net, struct virtq_chain *chain)
{
	uint8_t head[NET_HEADER + NET_FRAME_MIN + IPV6_HEADER] = { 0 };
	const uint8_t *frame = head + NET_HEADER;
	unsigned int rest = chain->out_count;
	struct net_header header;
	struct iovec *iov;
	size_t n;

	n = iov_read(chain->iov, chain->out_count, 0, head, sizeof(head));
	memcpy(&header, head, sizeof(header));
	if (!net->any_source && memcmp(frame + MAC_SIZE, net->config.mac, MAC_SIZE) != 0) {
		count(&net->stats.tx_spoofed, 1);
		return -EPERM;
	}
	if (net->link.kind == VMM_NET_STREAM) {
		/* Nobody would finish what such a header leaves to the host. */
		if (header.flags || header.gso_type)
			return -EINVAL;
		if (to_loopback(frame, frame + NET_FRAME_MIN))
			return -EACCES;
	}
	iov = iov_drop(chain->iov, &rest, n);
	net->out[0] = (struct iovec){ .iov_base = head, .iov_len = n };
	if (rest > 0)
		memcpy(net->out + 1, iov, rest * sizeof(*iov));
	return net_link_write(&net->link, net->out, rest + 1, (size_t)chain->out_bytes);
}

static int64_t transmit(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_net *net = of(dev);
	uint64_t bytes;
	int r;

	if (chain->in_count > 0 || chain->out_bytes < NET_HEADER)
		return -EPROTO;
	bytes = chain->out_bytes - NET_HEADER;
	if (bytes < NET_FRAME_MIN || bytes > NET_FRAME_MAX || !link_up(net)) {
		count(&net->stats.tx_dropped, 1);
		return 0;
	}
	/* Not paid for twice: what waited for the other side has been. */
	if (!net->out_paid && !limit_take(&net->transmit, bytes))
		return -EAGAIN;
	r = send_frame(net, chain);
	net->out_paid = r == -EAGAIN;
	if (r == -EAGAIN) {
		listen_again(net);
		return -EAGAIN;
	}
	if (r < 0) {
		count(&net->stats.tx_dropped, 1);
		return 0;
	}
	count(&net->stats.tx_packets, 1);
	count(&net->stats.tx_bytes, bytes);
	return 0;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	struct virtio_net *net = of(dev);
	int r;

	/* A notification that we took while the queue changed hands goes on to its new owner. */
	if (net->vhost.active) {
		virtio_poke(dev, queue);
		return 0;
	}
	if (queue == QUEUE_RX)
		return receive(net);
	r = virtio_serve(dev, queue, transmit);
	listen_again(net);
	return r;
}

/* --- vhost --- */

/* Only where nothing has to be looked at that it would not show us. */
static bool wants_vhost(const struct virtio_net *net)
{
	return net->vhost.fd >= 0 && net->any_source && link_up(net) && !net->peer_gone &&
	       !limit_is_set(&net->receive) && !limit_is_set(&net->transmit) &&
	       virtio_queue_live(&net->dev, QUEUE_RX) && virtio_queue_live(&net->dev, QUEUE_TX);
}

static int run_vhost(struct vhost *vhost, bool on)
{
	struct virtio_net *net = CONTAINER_OF(vhost, struct virtio_net, vhost);
	int r = 0;

	for (unsigned int i = 0; i < vhost->queues; i++) {
		struct vhost_vring_file file = { .index = i, .fd = on ? net->link.fd : -1 };

		if (ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &file) < 0)
			r = -errno;
	}
	return r;
}

/* After anything has changed that decides who serves the queues. */
static void settle(struct virtio_net *net)
{
	if (!wants_vhost(net)) {
		if (vhost_stop(&net->vhost) < 0)
			virtio_needs_reset(&net->dev);
	} else if (!net->vhost.active && vhost_start(&net->vhost) == 0) {
		net->frame_size = 0;
		loop_listen(net->loop, &net->source, 0);
	}
	listen_again(net);
}

/* --- The other side --- */

static void link_ready(struct loop_source *source)
{
	struct virtio_net *net = CONTAINER_OF(source, struct virtio_net, source);
	int r = 0;

	pthread_mutex_lock(&net->dev.lock);
	if (!net->vhost.active && !net->peer_gone) {
		if (net_link_flush(&net->link) == -EPIPE)
			lose_peer(net);
		else if (net->out_paid && !net_link_stuck(&net->link))
			virtio_poke(&net->dev, QUEUE_TX);
		r = receive(net);
	}
	if (source->hung_up && !net->peer_gone)
		lose_peer(net);
	if (r < 0)
		virtio_needs_reset(&net->dev);
	if (net->peer_gone)
		settle(net);
	pthread_mutex_unlock(&net->dev.lock);
}

static void receive_again(struct loop_source *timer)
{
	struct virtio_net *net = CONTAINER_OF(timer, struct virtio_net, receive.timer);

	virtio_poke(&net->dev, QUEUE_RX);
}

static void transmit_again(struct loop_source *timer)
{
	struct virtio_net *net = CONTAINER_OF(timer, struct virtio_net, transmit.timer);

	virtio_poke(&net->dev, QUEUE_TX);
}

/* --- Start and reset --- */

static void start(struct virtio_mmio *dev)
{
	struct virtio_net *net = of(dev);
	uint64_t f = dev->driver_features;

	/* A tap that is gone takes nothing; the loop will say so. */
	(void)net_link_offload(&net->link, f & F_GUEST_CSUM, f & F_GUEST_TSO4, f & F_GUEST_TSO6);
	settle(net);
}

static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	(void)queue;
	(void)vhost_stop(&of(dev)->vhost);
	listen_again(of(dev));
}

static void reset(struct virtio_mmio *dev)
{
	struct virtio_net *net = of(dev);

	(void)vhost_stop(&net->vhost);
	net->frame_size = 0;
	net->out_paid = false;
	if (!net->peer_gone)
		loop_listen(net->loop, &net->source, net_link_stuck(&net->link) ? LOOP_OUT : 0);
}

static const struct virtio_ops ops = {
	.name = "network",
	.id = DEVICE_ID,
	.queues = 2,
	.read_config = read_config,
	.start = start,
	.suspend = suspend,
	.handle = handle,
	.reset = reset,
};

/* --- Set-up --- */

static int open_link(struct virtio_net *net, const struct vmm_net *config, struct error *err)
{
	int r = net_link_init(&net->link, config->kind, config->fd, err);

	if (r < 0)
		return r;
	if (config->kind == VMM_NET_TAP) {
		net->vhost.dev = &net->dev;
		net->vhost.queues = 2;
		net->vhost.run = run_vhost;
		r = vhost_open(&net->vhost, VHOST_NET, net->loop, err);
	}
	if (r < 0)
		return r;
	/* What the kernel cannot do must not be offered. */
	if (r > 0)
		net->dev.features &= vhost_features(&net->vhost) | F_MAC | F_STATUS | OFFLOADS;
	net->source =
		(struct loop_source){ .fd = net->link.fd, .ready = link_ready, .stream = true };
	r = loop_add(net->loop, &net->source, err);
	/* Until there is a driver. */
	loop_listen(net->loop, &net->source, 0);
	return r;
}

static int check_mac(const uint8_t *mac, struct error *err)
{
	static const uint8_t none[MAC_SIZE];

	if ((mac[0] & 1) || memcmp(mac, none, MAC_SIZE) == 0)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "%02x:%02x:%02x:%02x:%02x:%02x is no address of one device",
				   mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return 0;
}

static void net_freep(struct virtio_net **net)
{
	virtio_net_free(*net);
}

int virtio_net_new(struct virtio_net **out, const struct vmm_net *config,
		   const struct virtio_slot *slot, struct error *err)
{
	_cleanup_(net_freep) struct virtio_net *net = calloc(1, sizeof(*net));
	int r;

	if (!net)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "network");
	net->link.fd = -1;
	net->vhost = VHOST_NONE;
	net->source.fd = -1;
	net->loop = slot->loop;
	net->any_source = config->any_source;
	limit_init(&net->receive, slot->loop, receive_again);
	limit_init(&net->transmit, slot->loop, transmit_again);
	snprintf(net->name, sizeof(net->name), "%s", config->name);
	net->dev.label = net->name;
	memcpy(net->config.mac, config->mac, MAC_SIZE);
	net->config.status = (uint16_t)(config->down ? 0 : LINK_UP);
	net->dev.features = F_MAC | F_STATUS | F_MRG_RXBUF |
			    (config->kind == VMM_NET_TAP ? OFFLOADS : 0);
	r = virtio_mmio_init(&net->dev, &ops, slot, err);
	if (r == 0)
		r = check_mac(config->mac, err);
	if (r == 0)
		r = open_link(net, config, err);
	if (r == 0)
		r = limit_set(&net->receive, &config->receive, err);
	if (r == 0)
		r = limit_set(&net->transmit, &config->transmit, err);
	if (r < 0)
		return error_widen(err, "network \"%s\"", config->name);
	*out = TAKE_PTR(net);
	return 0;
}

struct virtio_net *virtio_net_free(struct virtio_net *net)
{
	if (!net)
		return NULL;
	vhost_close(&net->vhost);
	net_link_free(&net->link);
	limit_free(&net->receive);
	limit_free(&net->transmit);
	virtio_mmio_free(&net->dev);
	free(net);
	return NULL;
}

struct virtio_mmio *virtio_net_device(struct virtio_net *net)
{
	return &net->dev;
}

/* --- While it runs --- */

void virtio_net_set_link(struct virtio_net *net, bool up)
{
	pthread_mutex_lock(&net->dev.lock);
	if (link_up(net) != up && !net->peer_gone) {
		net->config.status = (uint16_t)(up ? LINK_UP : 0);
		virtio_config_changed(&net->dev);
		settle(net);
	}
	pthread_mutex_unlock(&net->dev.lock);
}

int virtio_net_set_limits(struct virtio_net *net, const struct vmm_limit *receive_limit,
			  const struct vmm_limit *transmit_limit, struct error *err)
{
	struct vmm_limit before;
	int r;

	pthread_mutex_lock(&net->dev.lock);
	before = net->receive.rates;
	r = limit_set(&net->receive, receive_limit, err);
	if (r == 0) {
		r = limit_set(&net->transmit, transmit_limit, err);
		if (r < 0)
			(void)limit_set(&net->receive, &before, NULL);
	}
	settle(net);
	pthread_mutex_unlock(&net->dev.lock);
	/* What waited under the old limits asks again. */
	virtio_poke(&net->dev, QUEUE_RX);
	virtio_poke(&net->dev, QUEUE_TX);
	return r < 0 ? error_widen(err, "network \"%s\"", net->name) : 0;
}

void virtio_net_stats(struct virtio_net *net, struct vmm_net_stats *stats)
{
	const struct vmm_net_stats *s = &net->stats;

	stats->rx_packets = __atomic_load_n(&s->rx_packets, __ATOMIC_RELAXED);
	stats->rx_bytes = __atomic_load_n(&s->rx_bytes, __ATOMIC_RELAXED);
	stats->rx_dropped = __atomic_load_n(&s->rx_dropped, __ATOMIC_RELAXED);
	stats->tx_packets = __atomic_load_n(&s->tx_packets, __ATOMIC_RELAXED);
	stats->tx_bytes = __atomic_load_n(&s->tx_bytes, __ATOMIC_RELAXED);
	stats->tx_dropped = __atomic_load_n(&s->tx_dropped, __ATOMIC_RELAXED);
	stats->tx_spoofed = __atomic_load_n(&s->tx_spoofed, __ATOMIC_RELAXED);
	stats->throttled = __atomic_load_n(&net->receive.throttled, __ATOMIC_RELAXED) +
			   __atomic_load_n(&net->transmit.throttled, __ATOMIC_RELAXED);
	pthread_mutex_lock(&net->dev.lock);
	stats->link_up = link_up(net);
	stats->peer_gone = net->peer_gone;
	stats->vhost = net->vhost.active;
	pthread_mutex_unlock(&net->dev.lock);
	/* Frames that only the kernel saw are in the interface's own counters. */
	if (net->vhost.fd >= 0 && net->any_source)
		net_tap_counters(net->link.fd, stats);
}
