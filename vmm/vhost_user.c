// SPDX-License-Identifier: Apache-2.0
/* Speaks vhost-user to a process that works on a device's queues. */
#include "vmm/vhost_user.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* --- Constants --- */

#define F_PROTOCOL_FEATURES (1ull << 30)
#define PROTOCOL_MQ	    (1ull << 0)
#define PROTOCOL_REPLY_ACK  (1ull << 3)

#define FLAG_VERSION	0x1u
#define FLAG_REPLY	0x4u
#define FLAG_NEED_REPLY 0x8u

#define PAYLOAD_MAX 40u
#define ANSWER_SIZE 8u /* of the payload of each answer that there is */

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
};

struct header {
	uint32_t request, flags, size;
};
static_assert(sizeof(struct header) == 12, "vhost-user header");

struct message {
	struct header header;
	uint8_t payload[PAYLOAD_MAX];
};

struct answer {
	struct header header;
	uint64_t value;
} __attribute__((packed));
static_assert(sizeof(struct answer) == 20, "vhost-user answer");

struct state {
	uint32_t index, num;
};
static_assert(sizeof(struct state) == ANSWER_SIZE, "vring state");

struct addresses {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};
static_assert(sizeof(struct addresses) == PAYLOAD_MAX, "vring addresses");

/* A table of one region. */
struct table {
	uint32_t regions, padding;
	uint64_t guest, size, user, offset;
};
static_assert(sizeof(struct table) == PAYLOAD_MAX, "memory table");

/* --- The wire --- */

static int wait_for(int fd, short what, uint64_t until_ns)
{
	struct pollfd pfd = { .fd = fd, .events = what };
	uint64_t now = loop_now_ns();
	int r;

	if (now >= until_ns)
		return -ETIMEDOUT;
	r = poll(&pfd, 1, (int)((until_ns - now) / 1000000 + 1));
	return r < 0 && errno != EINTR ? -errno : 0;
}

static bool is_later(int err)
{
	return err == EAGAIN || err == EINTR;
}

/* fd, which may be -1, goes with the first byte. */
static int send_all(int sock, const void *bytes, size_t n, int fd, uint64_t until_ns)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	const char *p = bytes;
	int r = 0;

	while (n > 0 && r == 0) {
		struct iovec iov = { .iov_base = (char *)(uintptr_t)p, .iov_len = n };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t sent;

		if (fd >= 0) {
			struct cmsghdr *c;

			msg.msg_control = control;
			msg.msg_controllen = sizeof(control);
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(fd));
			memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		}
		sent = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0) {
			r = is_later(errno) ? wait_for(sock, POLLOUT, until_ns) : -errno;
			continue;
		}
		fd = -1;
		p += sent;
		n -= (size_t)sent;
	}
	return r;
}

/* Nobody has asked for descriptors: the kernel drops any, for want of room, and tells so. */
static int receive_all(int sock, void *bytes, size_t n, uint64_t until_ns)
{
	char *p = bytes;
	int r = 0;

	while (n > 0 && r == 0) {
		struct iovec iov = { .iov_base = p, .iov_len = n };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t got = recvmsg(sock, &msg, MSG_DONTWAIT);

		if (got < 0) {
			r = is_later(errno) ? wait_for(sock, POLLIN, until_ns) : -errno;
			continue;
		}
		if (got == 0)
			return -EPIPE;
		if (msg.msg_flags & MSG_CTRUNC)
			return -EPROTO;
		p += got;
		n -= (size_t)got;
	}
	return r;
}

/* A device, and the guest's CPU that waits for it, are kept by no more than this. */
static void begin_call(struct vhost_user *vhost)
{
	vhost->until_ns = loop_now_ns() + (uint64_t)vhost->limit_ms * 1000000u;
}

/* One question and its answer, which is to be of the same kind and of the one size. */
static int ask(struct vhost_user *vhost, struct message *message, int fd, uint64_t *value)
{
	uint64_t until = vhost->until_ns;
	int sock = vhost->source.fd, r;
	struct answer answer;

	assert(message->header.size <= PAYLOAD_MAX);
	r = send_all(sock, message, sizeof(message->header) + message->header.size, fd, until);
	if (r == 0)
		r = receive_all(sock, &answer, sizeof(answer), until);
	if (r < 0)
		return r;
	if (answer.header.request != message->header.request ||
	    answer.header.flags != (FLAG_VERSION | FLAG_REPLY) || answer.header.size != ANSWER_SIZE)
		return -EPROTO;
	*value = answer.value;
	return 0;
}

static int get(struct vhost_user *vhost, enum request request, uint64_t *value)
{
	struct message message = { .header = { request, FLAG_VERSION, 0 } };

	return ask(vhost, &message, -1, value);
}

/* Waits until it is obeyed. */
static int set(struct vhost_user *vhost, enum request request, const void *payload, size_t n,
	       int fd)
{
	struct message message = {
		.header = { request, FLAG_VERSION | FLAG_NEED_REPLY, (uint32_t)n },
	};
	uint64_t refused;
	int r;

	assert(n <= sizeof(message.payload));
	if (n > 0)
		memcpy(message.payload, payload, n);
	r = ask(vhost, &message, fd, &refused);
	return r < 0 ? r : refused ? -EPROTO : 0;
}

static int set_value(struct vhost_user *vhost, enum request request, uint64_t value, int fd)
{
	return set(vhost, request, &value, sizeof(value), fd);
}

static int set_state(struct vhost_user *vhost, enum request request, unsigned int index,
		     uint32_t num)
{
	struct state state = { index, num };

	return set(vhost, request, &state, sizeof(state), -1);
}

/* --- Its end --- */

static bool has_any_queue(const struct vhost_user *vhost)
{
	bool any = false;

	for (unsigned int i = 0; i < vhost->dev->queue_count; i++)
		any |= vhost->running[i];
	return any;
}

static void forget_queue(struct vhost_user *vhost, unsigned int queue)
{
	vhost->running[queue] = false;
	vhost->told = has_any_queue(vhost);
}

/* It has broken its word: nothing it says counts any more, and it sees the end of its socket. */
static void cut_off(struct vhost_user *vhost)
{
	if (vhost->source.fd < 0)
		return;
	loop_remove(vhost->loop, &vhost->source);
	vhost->source.fd = base_close(vhost->source.fd);
	for (unsigned int i = 0; i < vhost->dev->queue_count; i++)
		if (vhost->running[i])
			forget_queue(vhost, i);
}

/* Between two questions there is nothing to hear but its end. */
static void heard(struct loop_source *source)
{
	struct vhost_user *vhost = CONTAINER_OF(source, struct vhost_user, source);
	char byte;

	pthread_mutex_lock(&vhost->dev->lock);
	if (source->fd >= 0 &&
	    (recv(source->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || !is_later(errno))) {
		cut_off(vhost);
		if (virtio_driver_up(vhost->dev))
			virtio_needs_reset(vhost->dev);
	}
	pthread_mutex_unlock(&vhost->dev->lock);
}

/* --- What it gives back --- */

static void called(struct loop_source *source)
{
	struct vhost_user *vhost = CONTAINER_OF(source, struct vhost_user, called);

	pthread_mutex_lock(&vhost->dev->lock);
	if (has_any_queue(vhost))
		virtio_interrupt_always(vhost->dev);
	pthread_mutex_unlock(&vhost->dev->lock);
}

/* --- Greeting --- */

static int greet(struct vhost_user *vhost, unsigned int queues, struct error *err)
{
	uint64_t features, protocol, count = 0;
	int r = get(vhost, GET_FEATURES, &features);

	if (r == 0 && !(features & F_PROTOCOL_FEATURES))
		return error_raise(err, ERROR_UNSUPPORTED, "it has no protocol features");
	if (r == 0)
		r = get(vhost, GET_PROTOCOL_FEATURES, &protocol);
	if (r == 0 &&
	    (protocol & (PROTOCOL_MQ | PROTOCOL_REPLY_ACK)) != (PROTOCOL_MQ | PROTOCOL_REPLY_ACK))
		return error_raise(err, ERROR_UNSUPPORTED,
				   "it cannot tell how many queues it has, or confirm what it does");
	if (r == 0)
		r = set_value(vhost, SET_PROTOCOL_FEATURES, PROTOCOL_MQ | PROTOCOL_REPLY_ACK, -1);
	if (r == 0)
		r = get(vhost, GET_QUEUE_NUM, &count);
	if (r == 0 && count < queues)
		return error_raise(err, ERROR_UNSUPPORTED, "it has %llu queues, %u are needed",
				   (unsigned long long)count, queues);
	if (r == 0)
		r = set(vhost, SET_OWNER, NULL, 0, -1);
	if (r < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, -r, "greeting");
	vhost->features = features;
	return 0;
}

int vhost_user_open(struct vhost_user *vhost, int fd, unsigned int queues, struct loop *loop,
		    struct error *err)
{
	socklen_t size = sizeof(int);
	int type = 0, domain = 0, r;

	vhost->loop = loop;
	vhost->source = (struct loop_source){ .fd = -1, .ready = heard, .stream = true };
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not a unix stream socket");
	vhost->source.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (vhost->source.fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "duplicate");
	r = eventfd_new();
	if (r < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -r, "interrupts");
	vhost->called = (struct loop_source){ .fd = r, .ready = called };
	begin_call(vhost);
	r = greet(vhost, queues, err);
	if (r == 0)
		r = loop_add(loop, &vhost->called, err);
	return r < 0 ? r : loop_add(loop, &vhost->source, err);
}

void vhost_user_close(struct vhost_user *vhost)
{
	vhost->source.fd = base_close(vhost->source.fd);
	/* The other process has it still, so that closing it does not take it off the loop. */
	if (vhost->called.fd >= 0)
		loop_remove(vhost->loop, &vhost->called);
	vhost->called.fd = base_close(vhost->called.fd);
}

/* --- Queues --- */

/* What it is told once, before it has any queue. */
static int tell(struct vhost_user *vhost)
{
	const struct mem *mem = vhost->dev->queues[0].ring.mem;
	struct table table = {
		.regions = 1,
		.guest = mem->base.v,
		.size = mem->size,
		.user = (uintptr_t)mem->host,
	};
	int r;

	if (vhost->told)
		return 0;
	r = set_value(vhost, SET_FEATURES,
		      (vhost->dev->driver_features & vhost->features) | F_PROTOCOL_FEATURES, -1);
	if (r == 0)
		r = set(vhost, SET_MEM_TABLE, &table, sizeof(table), mem->fd);
	vhost->told = r == 0;
	return r;
}

static uintptr_t host_of(const struct virtqueue *q, gpa_t at)
{
	/* The whole ring has been found in RAM when the queue was made ready. */
	return (uintptr_t)mem_at(q->mem, at, 1);
}

/* The kick comes last but one: from then on it may have something to call for. */
static int start_queue(struct vhost_user *vhost, unsigned int index)
{
	struct virtio_queue *queue = &vhost->dev->queues[index];
	struct virtqueue *q = &queue->ring;
	struct addresses addresses = {
		.index = index,
		.desc = host_of(q, q->desc),
		.used = host_of(q, q->used),
		.avail = host_of(q, q->avail),
	};
	int r;

	if (!addresses.desc || !addresses.used || !addresses.avail)
		return -EFAULT;
	vhost->running[index] = true;
	r = set_state(vhost, SET_VRING_NUM, index, q->size);
	if (r == 0)
		r = set_state(vhost, SET_VRING_BASE, index, q->next_avail);
	if (r == 0)
		r = set(vhost, SET_VRING_ADDR, &addresses, sizeof(addresses), -1);
	if (r == 0)
		r = set_value(vhost, SET_VRING_CALL, index, vhost->called.fd);
	if (r == 0)
		r = set_value(vhost, SET_VRING_KICK, index, queue->notified.fd);
	return r < 0 ? r : set_state(vhost, SET_VRING_ENABLE, index, 1);
}

int vhost_user_start(struct vhost_user *vhost)
{
	int r = vhost->source.fd < 0 ? -EPIPE : 0;

	begin_call(vhost);
	for (unsigned int i = 0; r == 0 && i < vhost->dev->queue_count; i++) {
		if (vhost->running[i] || !virtio_queue_live(vhost->dev, i))
			continue;
		r = tell(vhost);
		if (r == 0)
			r = start_queue(vhost, i);
	}
	if (r < 0)
		cut_off(vhost);
	return r;
}

static void stop_queue(struct vhost_user *vhost, unsigned int queue)
{
	struct message message = {
		.header = { GET_VRING_BASE, FLAG_VERSION, sizeof(struct state) },
	};
	struct state state = { .index = queue };
	uint64_t value = 0;
	int r;

	if (!vhost->running[queue])
		return;
	memcpy(message.payload, &state, sizeof(state));
	r = ask(vhost, &message, -1, &value);
	memcpy(&state, &value, sizeof(state));
	/* Whoever does not say that it has stopped may go on: only its end is sure. */
	if (r < 0 || state.index != queue || state.num > UINT16_MAX)
		cut_off(vhost);
	else
		forget_queue(vhost, queue);
}

void vhost_user_stop_queue(struct vhost_user *vhost, unsigned int queue)
{
	begin_call(vhost);
	stop_queue(vhost, queue);
}

void vhost_user_stop(struct vhost_user *vhost)
{
	begin_call(vhost);
	for (unsigned int i = 0; i < vhost->dev->queue_count; i++)
		stop_queue(vhost, i);
}
