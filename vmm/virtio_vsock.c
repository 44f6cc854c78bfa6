// SPDX-License-Identifier: Apache-2.0
/* virtio-vsock (virtio 1.2, section 5.10), stream sockets. */
#include "vmm/virtio_vsock.h"

#include <assert.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "vmm/vhost.h"
#include "vmm/vsock_conn.h"

/* --- Constants --- */

#define VHOST_VSOCK "/dev/vhost-vsock"
#define DEVICE_ID   19u
#define QUEUE_RX    0u
#define QUEUE_TX    1u
#define QUEUES	    3u /* the third is for events, of which there are none */
#define HOST_CID    2u
#define RSTS_MAX    32u /* that wait for a buffer; more are not told */
#define PACKET_MAX  (64u << 10)
#define FIRST_PORT  0x40000000u /* of those that we choose for programs of the host */

#define TYPE_STREAM 1u

enum op {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST
};

#define SHUTDOWN_RECEIVE 1u
#define SHUTDOWN_SEND	 2u

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags;
	uint32_t buf_alloc, fwd_cnt;
} __attribute__((packed));
static_assert(sizeof(struct packet) == 44, "virtio_vsock_hdr");

/* --- State --- */

struct rst {
	uint32_t host_port, guest_port;
};

struct virtio_vsock {
	struct virtio_mmio dev;
	uint64_t cid;
	struct loop *loop;
	struct vhost vhost;
	char path[VSOCK_PATH_MAX];
	struct loop_source listener; /* fd -1: vhost does it all */
	struct vsock_conn conns[VSOCK_CONNS_MAX];
	unsigned int turn; /* who sends first to the guest, next time */
	uint32_t next_port;
	struct rst rsts[RSTS_MAX];
	unsigned int rst_count;
	struct iovec in[VIRTQUEUE_SIZE_MAX];
	struct vmm_vsock_stats stats; /* counters atomic */
};

static struct virtio_vsock *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_vsock, dev);
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	virtio_config_copy(&of(dev)->cid, sizeof(of(dev)->cid), off, to, n);
}

/* --- Connections --- */

static struct vsock_conn *find(struct virtio_vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &vsock->conns[i];

		if (c->state > VSOCK_GREETING && c->host_port == host_port &&
		    c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

/* One that is free, or whose end the guest has not cared to confirm. */
static struct vsock_conn *find_free(struct virtio_vsock *vsock)
{
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		if (vsock->conns[i].state == VSOCK_FREE)
			return &vsock->conns[i];
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		if (vsock->conns[i].state == VSOCK_CLOSING && !vsock->conns[i].guest_left) {
			vsock_conn_close(&vsock->conns[i]);
			return &vsock->conns[i];
		}
	return NULL;
}

static void refuse(struct virtio_vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	if (vsock->rst_count < RSTS_MAX)
		vsock->rsts[vsock->rst_count++] = (struct rst){ host_port, guest_port };
}

static void end_conn(struct virtio_vsock *vsock, struct vsock_conn *conn, bool tell)
{
	if (tell)
		refuse(vsock, conn->host_port, conn->guest_port);
	vsock_conn_close(conn);
}

/* --- To the guest --- */

static void put_packet(struct virtio_vsock *vsock, const struct virtq_chain *chain,
		       const struct packet *what)
{
	struct packet p = *what;

	p.src_cid = HOST_CID;
	p.dst_cid = vsock->cid;
	p.type = TYPE_STREAM;
	iov_write(chain->iov, chain->in_count, 0, &p, sizeof(p));
}

static struct packet packet_of(struct vsock_conn *conn, enum op op)
{
	conn->took_told = conn->took;
	conn->tell &= ~VSOCK_TELL_CREDIT;
	return (struct packet){
		.src_port = conn->host_port,
		.dst_port = conn->guest_port,
		.op = (uint16_t)op,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = conn->took,
	};
}

static bool can_read(const struct vsock_conn *conn)
{
	return conn->state == VSOCK_OPEN && conn->readable && vsock_conn_credit(conn) > 0;
}

static bool has_news(const struct vsock_conn *conn)
{
	return conn->tell != 0 || can_read(conn);
}

/* A program that sends no more may still read, until it hangs up. */
static void program_ended(struct vsock_conn *conn)
{
	conn->ended = true;
	conn->tell |= VSOCK_TELL_SHUTDOWN;
	if (conn->source.hung_up)
		conn->state = VSOCK_CLOSING;
}

/* Reads behind the header's place; the bytes that the guest gets, or 0 when there are none. */
static uint32_t read_data(struct virtio_vsock *vsock, struct vsock_conn *conn,
			  const struct virtq_chain *chain)
{
	uint64_t room = chain->in_bytes - sizeof(struct packet);
	unsigned int pieces = chain->in_count;
	uint32_t credit = vsock_conn_credit(conn);
	struct iovec *iov;
	ssize_t n;

	memcpy(vsock->in, chain->iov, pieces * sizeof(*vsock->in));
	iov = iov_drop(vsock->in, &pieces, sizeof(struct packet));
	/* One piece at a time keeps to the credit simply; drivers offer no more. */
	if (pieces == 0 || room == 0)
		return 0;
	room = iov->iov_len < credit ? iov->iov_len : credit;
	n = recv(conn->source.fd, iov->iov_base, room, MSG_DONTWAIT);
	if (n > 0)
		return (uint32_t)n;
	conn->readable = false;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		program_ended(conn);
	vsock_conn_settle(conn);
	return 0;
}

/* Fills one buffer with what the connection has to tell; its size, or 0 when that was nothing. */
static uint32_t tell(struct virtio_vsock *vsock, struct vsock_conn *conn,
		     const struct virtq_chain *chain)
{
	struct packet p;

	if (conn->tell & VSOCK_TELL_REQUEST) {
		p = packet_of(conn, OP_REQUEST);
		conn->tell &= ~VSOCK_TELL_REQUEST;
	} else if (conn->tell & VSOCK_TELL_RESPONSE) {
		p = packet_of(conn, OP_RESPONSE);
		conn->tell &= ~VSOCK_TELL_RESPONSE;
	} else if (can_read(conn)) {
		uint32_t n = read_data(vsock, conn, chain);

		if (n == 0)
			return 0;
		p = packet_of(conn, OP_RW);
		p.len = n;
		conn->sent += n;
		count(&vsock->stats.rx_bytes, n);
	} else if (conn->tell & VSOCK_TELL_SHUTDOWN) {
		p = packet_of(conn, OP_SHUTDOWN);
		p.flags = SHUTDOWN_SEND | (conn->state == VSOCK_CLOSING ? SHUTDOWN_RECEIVE : 0);
		conn->tell &= ~VSOCK_TELL_SHUTDOWN;
	} else {
		p = packet_of(conn, OP_CREDIT_UPDATE);
	}
	put_packet(vsock, chain, &p);
	return (uint32_t)sizeof(p) + p.len;
}

static struct vsock_conn *next_with_news(struct virtio_vsock *vsock)
{
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &vsock->conns[(vsock->turn + i) % VSOCK_CONNS_MAX];

		if (has_news(c)) {
			vsock->turn = (vsock->turn + i + 1) % VSOCK_CONNS_MAX;
			return c;
		}
	}
	return NULL;
}

/* The size of what was put into the buffer, 0 when there is nothing more to tell. */
static uint32_t next_packet(struct virtio_vsock *vsock, const struct virtq_chain *chain)
{
	struct vsock_conn *conn;

	if (vsock->rst_count > 0) {
		const struct rst *rst = &vsock->rsts[--vsock->rst_count];
		struct packet p = {
			.src_port = rst->host_port,
			.dst_port = rst->guest_port,
			.op = OP_RST,
		};

		put_packet(vsock, chain, &p);
		return sizeof(p);
	}
	/* Each either has something or loses its news. */
	while ((conn = next_with_news(vsock))) {
		uint32_t n = tell(vsock, conn, chain);

		if (n > 0)
			return n;
	}
	return 0;
}

static bool any_news(struct virtio_vsock *vsock)
{
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		if (has_news(&vsock->conns[i]))
			return true;
	return vsock->rst_count > 0;
}

/* Returns as handle(). */
static int send_news(struct virtio_vsock *vsock)
{
	struct virtqueue *q = &vsock->dev.queues[QUEUE_RX].ring;
	struct virtq_chain *chain = &vsock->dev.chain;
	unsigned int n;
	int r = 1;

	if (!virtio_queue_live(&vsock->dev, QUEUE_RX))
		return 0;
	for (n = 0; r > 0 && n < VIRTQUEUE_SIZE_MAX && any_news(vsock); n++) {
		uint32_t size;

		r = virtqueue_pop(q, chain);
		if (r == 0) {
			r = virtqueue_listen(q);
			continue;
		}
		if (r < 0 || chain->out_count > 0 || chain->in_bytes <= sizeof(struct packet))
			return -EPROTO;
		size = next_packet(vsock, chain);
		if (size == 0) {
			virtqueue_unpop(q, 1);
			break;
		}
		r = virtqueue_push(q, chain->head, size);
		r = r < 0 ? r : 1;
	}
	if (r < 0)
		return r;
	virtio_interrupt(&vsock->dev, QUEUE_RX);
	return n == VIRTQUEUE_SIZE_MAX;
}

/* --- From the guest --- */

static void guest_connects(struct virtio_vsock *vsock, const struct packet *p)
{
	struct vsock_conn *conn = find_free(vsock);
	int fd = conn ? vsock_connect(vsock->path, p->dst_port) : -ENOSPC;

	if (fd < 0 || vsock_conn_open(conn, vsock->loop, fd, VSOCK_OPEN) < 0) {
		refuse(vsock, p->dst_port, p->src_port);
		return;
	}
	conn->host_port = p->dst_port;
	conn->guest_port = p->src_port;
	conn->guest_room = p->buf_alloc;
	conn->guest_took = p->fwd_cnt;
	conn->tell = VSOCK_TELL_RESPONSE;
	count(&vsock->stats.connections, 1);
}

static void guest_shuts_down(struct virtio_vsock *vsock, struct vsock_conn *conn, uint32_t flags)
{
	const uint32_t both = SHUTDOWN_SEND | SHUTDOWN_RECEIVE;

	conn->guest_ended |= (flags & SHUTDOWN_SEND) != 0;
	if ((flags & both) == both) {
		conn->guest_left = true;
		conn->state = VSOCK_CLOSING;
		conn->tell = 0;
	}
	if (vsock_conn_flush(conn) < 0 || (conn->guest_left && conn->out_used == 0))
		end_conn(vsock, conn, true);
	vsock_conn_settle(conn);
}

static void to_conn(struct virtio_vsock *vsock, struct vsock_conn *conn, const struct packet *p,
		    const struct virtq_chain *chain)
{
	conn->guest_room = p->buf_alloc;
	conn->guest_took = p->fwd_cnt;
	switch (p->op) {
	case OP_RESPONSE:
		if (conn->state != VSOCK_ASKED) {
			end_conn(vsock, conn, true);
			return;
		}
		conn->state = VSOCK_OPEN;
		conn->readable = true;
		vsock_conn_answer(conn);
		count(&vsock->stats.connections, 1);
		break;
	case OP_RW:
		if (conn->state < VSOCK_OPEN || conn->guest_ended ||
		    vsock_conn_write(conn, chain->iov, chain->out_count, sizeof(*p), p->len) < 0) {
			end_conn(vsock, conn, true);
			return;
		}
		count(&vsock->stats.tx_bytes, p->len);
		break;
	case OP_SHUTDOWN:
		guest_shuts_down(vsock, conn, p->flags);
		return;
	case OP_CREDIT_REQUEST:
		conn->tell |= VSOCK_TELL_CREDIT;
		break;
	case OP_CREDIT_UPDATE:
		break;
	default:
		/* A second request, a reset, or nothing that there is. */
		end_conn(vsock, conn, p->op != OP_RST);
		return;
	}
	vsock_conn_settle(conn);
}

static int64_t from_guest(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_vsock *vsock = of(dev);
	struct vsock_conn *conn;
	struct packet p;

	if (chain->in_count > 0 || chain->out_bytes < sizeof(p))
		return -EPROTO;
	iov_read(chain->iov, chain->out_count, 0, &p, sizeof(p));
	if (p.len > chain->out_bytes - sizeof(p) || p.len > PACKET_MAX)
		return -EPROTO;
	/* Nobody lives elsewhere; and a guest that says it is another is not answered. */
	if (p.src_cid != vsock->cid)
		return 0;
	conn = p.dst_cid == HOST_CID && p.type == TYPE_STREAM ? find(vsock, p.dst_port, p.src_port)
							      : NULL;
	if (conn)
		to_conn(vsock, conn, &p, chain);
	else if (p.op == OP_REQUEST && p.dst_cid == HOST_CID && p.type == TYPE_STREAM)
		guest_connects(vsock, &p);
	else if (p.op != OP_RST && p.dst_cid == HOST_CID)
		refuse(vsock, p.dst_port, p.src_port);
	return 0;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	struct virtio_vsock *vsock = of(dev);
	int r = 0, sent;

	if (vsock->listener.fd < 0) {
		/* A notification that we took while the queue changed hands goes on to its new owner. */
		if (vsock->vhost.active && queue < vsock->vhost.queues)
			virtio_poke(dev, queue);
		return 0;
	}
	if (queue == QUEUE_TX)
		r = virtio_serve(dev, queue, from_guest);
	if (r < 0)
		return r;
	sent = send_news(vsock);
	if (sent > 0)
		virtio_poke(dev, QUEUE_RX);
	return sent < 0 ? sent : r;
}

/* --- From the host --- */

static void host_connects(struct loop_source *source)
{
	struct virtio_vsock *vsock = CONTAINER_OF(source, struct virtio_vsock, listener);
	struct vsock_conn *conn;
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	pthread_mutex_lock(&vsock->dev.lock);
	conn = virtio_driver_up(&vsock->dev) ? find_free(vsock) : NULL;
	/* Nobody is there to accept: the program sees its end. */
	if (!conn)
		base_close(fd);
	else
		(void)vsock_conn_open(conn, vsock->loop, fd, VSOCK_GREETING);
	pthread_mutex_unlock(&vsock->dev.lock);
}

static void greet(struct virtio_vsock *vsock, struct vsock_conn *conn)
{
	uint32_t port;
	int r = vsock_conn_greeted(conn, &port);

	if (r < 0)
		vsock_conn_close(conn);
	if (r <= 0)
		return;
	do
		conn->host_port = FIRST_PORT + vsock->next_port++ % FIRST_PORT;
	while (find(vsock, conn->host_port, port));
	conn->guest_port = port;
	conn->state = VSOCK_ASKED;
	conn->tell = VSOCK_TELL_REQUEST;
}

static void conn_ready(struct virtio_vsock *vsock, struct vsock_conn *conn)
{
	int r;

	if (conn->state == VSOCK_FREE)
		return;
	if (conn->state == VSOCK_GREETING) {
		greet(vsock, conn);
	} else if (vsock_conn_flush(conn) < 0) {
		end_conn(vsock, conn, true);
	} else if (conn->state != VSOCK_OPEN) {
		/* The guest has left, and the program has it all; or the program has, too early. */
		if (conn->source.hung_up || (conn->guest_left && conn->out_used == 0))
			end_conn(vsock, conn, true);
	} else if (!conn->ended) {
		conn->readable = true;
	}
	/* What is left is read up to its end, and a hang-up would be told for ever. */
	if (conn->state == VSOCK_OPEN && conn->source.hung_up) {
		loop_remove(vsock->loop, &conn->source);
		if (conn->ended)
			program_ended(conn);
	}
	vsock_conn_settle(conn);
	r = send_news(vsock);
	if (r < 0)
		virtio_needs_reset(&vsock->dev);
	else if (r > 0)
		virtio_poke(&vsock->dev, QUEUE_RX);
}

static void any_conn_ready(struct loop_source *source)
{
	struct vsock_conn *conn = CONTAINER_OF(source, struct vsock_conn, source);
	struct virtio_vsock *vsock = conn->owner;

	pthread_mutex_lock(&vsock->dev.lock);
	conn_ready(vsock, conn);
	pthread_mutex_unlock(&vsock->dev.lock);
}

/* --- vhost --- */

static int run_vhost(struct vhost *vhost, bool on)
{
	int start = on;

	return ioctl(vhost->fd, VHOST_VSOCK_SET_RUNNING, &start) < 0 ? -errno : 0;
}

static void start(struct virtio_mmio *dev)
{
	struct virtio_vsock *vsock = of(dev);

	if (vsock->vhost.fd >= 0 && virtio_queue_live(dev, QUEUE_RX) &&
	    virtio_queue_live(dev, QUEUE_TX) && vhost_start(&vsock->vhost) < 0)
		virtio_needs_reset(dev);
}

static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	struct virtio_vsock *vsock = of(dev);

	if (queue < vsock->vhost.queues)
		(void)vhost_stop(&vsock->vhost);
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	struct virtio_vsock *vsock = of(dev);

	(void)vhost_stop(&vsock->vhost);
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		vsock_conn_close(&vsock->conns[i]);
	vsock->rst_count = 0;
}

static const struct virtio_ops ops = {
	.name = "vsock",
	.id = DEVICE_ID,
	.queues = QUEUES,
	.read_config = read_config,
	.start = start,
	.suspend = suspend,
	.handle = handle,
	.reset = reset,
};

/* --- Set-up --- */

static int open_vhost(struct virtio_vsock *vsock, struct error *err)
{
	int r;

	vsock->vhost.dev = &vsock->dev;
	vsock->vhost.queues = 2;
	vsock->vhost.run = run_vhost;
	r = vhost_open(&vsock->vhost, VHOST_VSOCK, vsock->loop, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_raise(err, ERROR_UNAVAILABLE,
				   "the host has no %s: give a path for unix sockets", VHOST_VSOCK);
	vsock->dev.features &= vhost_features(&vsock->vhost);
	if (ioctl(vsock->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &vsock->cid) < 0)
		return error_raise_errno(err,
					 errno == EADDRINUSE ? ERROR_ALREADY_EXISTS
							     : ERROR_INTERNAL,
					 errno, "context id %llu", (unsigned long long)vsock->cid);
	return 0;
}

static int open_unix(struct virtio_vsock *vsock, const char *path, struct error *err)
{
	int fd = vsock_listen(path, err);

	if (fd < 0)
		return fd;
	snprintf(vsock->path, sizeof(vsock->path), "%s", path);
	vsock->listener = (struct loop_source){ .fd = fd, .ready = host_connects, .stream = true };
	return loop_add(vsock->loop, &vsock->listener, err);
}

static void vsock_freep(struct virtio_vsock **vsock)
{
	virtio_vsock_free(*vsock);
}

int virtio_vsock_new(struct virtio_vsock **out, const struct vmm_vsock *config,
		     const struct virtio_slot *slot, struct error *err)
{
	_cleanup_(vsock_freep) struct virtio_vsock *vsock = calloc(1, sizeof(*vsock));
	int r;

	if (!vsock)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "vsock");
	vsock->listener.fd = -1;
	vsock->vhost = VHOST_NONE;
	vsock->loop = slot->loop;
	vsock->cid = config->cid;
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++) {
		vsock->conns[i].source = (struct loop_source){ .fd = -1, .ready = any_conn_ready };
		vsock->conns[i].owner = vsock;
	}
	r = virtio_mmio_init(&vsock->dev, &ops, slot, err);
	if (r == 0 && config->cid <= HOST_CID)
		r = error_raise(err, ERROR_INVALID_ARGUMENT, "context id %u, at least 3 is needed",
				config->cid);
	if (r == 0)
		r = config->path ? open_unix(vsock, config->path, err) : open_vhost(vsock, err);
	if (r < 0)
		return error_widen(err, "vsock");
	*out = TAKE_PTR(vsock);
	return 0;
}

struct virtio_vsock *virtio_vsock_free(struct virtio_vsock *vsock)
{
	if (!vsock)
		return NULL;
	for (unsigned int i = 0; i < VSOCK_CONNS_MAX; i++)
		vsock_conn_close(&vsock->conns[i]);
	if (vsock->listener.fd >= 0 && vsock->path[0] != '@')
		unlink(vsock->path);
	base_close(vsock->listener.fd);
	vhost_close(&vsock->vhost);
	virtio_mmio_free(&vsock->dev);
	free(vsock);
	return NULL;
}

struct virtio_mmio *virtio_vsock_device(struct virtio_vsock *vsock)
{
	return &vsock->dev;
}

void virtio_vsock_stats(struct virtio_vsock *vsock, struct vmm_vsock_stats *stats)
{
	stats->present = true;
	stats->vhost = vsock->listener.fd < 0;
	stats->connections = __atomic_load_n(&vsock->stats.connections, __ATOMIC_RELAXED);
	stats->rx_bytes = __atomic_load_n(&vsock->stats.rx_bytes, __ATOMIC_RELAXED);
	stats->tx_bytes = __atomic_load_n(&vsock->stats.tx_bytes, __ATOMIC_RELAXED);
}
