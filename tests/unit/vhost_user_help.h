/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end of vhost-user for tests: a thread that answers as the protocol says, but for the one
 * message that a test names, and that gives each request of a queue back at once.
 */
#ifndef CROFT_TESTS_VHOST_USER_HELP_H
#define CROFT_TESTS_VHOST_USER_HELP_H

#include "tests/unit/virtio_help.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#define BACK_QUEUES  2u
#define BACK_WRITTEN 7u /* bytes, it says of each request */

/* Typed from the protocol's document, and not taken from the code under test. */
enum {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_REQUESTS = 32
};

enum fault {
	FAULT_NONE,
	FAULT_REFUSE,	/* an answer other than 0, or other than what is needed */
	FAULT_SHORT,	/* an answer that ends in the middle */
	FAULT_HEADER,	/* an answer that ends in the middle of its header */
	FAULT_OTHER,	/* the answer to something else */
	FAULT_NO_REPLY, /* an answer that does not say that it is one */
	FAULT_VERSION,
	FAULT_SIZE, /* an answer with another size than it has to have */
	FAULT_HUGE, /* one that says it goes on for 4 GiB */
	FAULT_FD,   /* an answer with a descriptor that nobody asked for */
	FAULT_DIE,  /* no answer: the end */
	FAULT_SILENT,
	FAULT_COUNT
};

struct back_queue {
	int kick, call;
	uint64_t desc, used, avail;
	uint32_t size, enabled;
	uint16_t next;
};

struct back {
	int sock, quit[2];
	pthread_t thread;
	uint64_t features, protocol, queues; /* that it says it has */
	unsigned int bad_request;
	enum fault fault;
	unsigned int delay_ms; /* before each answer */
	bool jams; /* makes each eventfd that it is given one that blocks, and that is full */
	/* Below: the thread's, until it is joined; counts are atomic. */
	uint64_t guest, size, user, driver_features, driver_protocol;
	uint8_t *memory;
	struct back_queue queue[BACK_QUEUES];
	unsigned int told[VU_REQUESTS];
	unsigned int completed, started, stopped;
};

struct back_message {
	uint32_t request, flags, size;
	uint8_t payload[64];
};

static inline unsigned int back_count(const unsigned int *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

static inline void back_bump(unsigned int *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELEASE);
}

static inline uint64_t back_u64(const struct back_message *m, size_t off)
{
	uint64_t value;

	memcpy(&value, m->payload + off, sizeof(value));
	return value;
}

static inline uint32_t back_u32(const struct back_message *m, size_t off)
{
	uint32_t value;

	memcpy(&value, m->payload + off, sizeof(value));
	return value;
}

/* One message, with the descriptor that came with it or -1; false at the end. */
static inline bool back_receive(struct back *b, struct back_message *m, int *fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = m, .iov_len = 12 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	*fd = -1;
	if (recvmsg(b->sock, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != 12)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	assert_true(m->size <= sizeof(m->payload));
	return m->size == 0 || recv(b->sock, m->payload, m->size, MSG_WAITALL) == (ssize_t)m->size;
}

static inline uint8_t *back_at(struct back *b, uint64_t user)
{
	assert_true(user >= b->user && user < b->user + b->size);
	return b->memory + (user - b->user);
}

static inline void back_serve(struct back *b, struct back_queue *q)
{
	uint16_t idx;

	memcpy(&idx, back_at(b, q->avail) + 2, 2);
	for (; q->next != idx; q->next++) {
		uint16_t slot = (uint16_t)(q->next % q->size), head, done = (uint16_t)(q->next + 1);
		uint8_t *elem = back_at(b, q->used) + 4 + 8 * slot;

		memcpy(&head, back_at(b, q->avail) + 4 + 2 * slot, 2);
		put_le(elem, head, 4);
		put_le(elem + 4, BACK_WRITTEN, 4);
		memcpy(back_at(b, q->used) + 2, &done, 2);
		back_bump(&b->completed);
	}
	eventfd_signal(q->call);
}

static inline void back_map(struct back *b, const struct back_message *m, int fd)
{
	assert_int_equal(back_u32(m, 0), 1);
	assert_int_equal(back_u64(m, 32), 0);
	if (b->memory)
		munmap(b->memory, b->size);
	b->guest = back_u64(m, 8);
	b->size = back_u64(m, 16);
	b->user = back_u64(m, 24);
	b->memory = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(b->memory != MAP_FAILED);
	base_close(fd);
}

static inline void back_jam(int fd)
{
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
	/* No signal has come before this one. */
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
}

/* What the message says; returns the value of the answer. */
static inline uint64_t back_obey(struct back *b, const struct back_message *m, int fd)
{
	bool vring = m->request >= VU_SET_VRING_NUM && m->request != VU_GET_PROTOCOL_FEATURES &&
		     m->request != VU_SET_PROTOCOL_FEATURES && m->request != VU_GET_QUEUE_NUM;
	struct back_queue *q = &b->queue[vring ? back_u32(m, 0) % BACK_QUEUES : 0];

	switch (m->request) {
	case VU_GET_FEATURES:
		return b->features;
	case VU_GET_PROTOCOL_FEATURES:
		return b->protocol;
	case VU_GET_QUEUE_NUM:
		return b->queues;
	case VU_SET_FEATURES:
		b->driver_features = back_u64(m, 0);
		break;
	case VU_SET_PROTOCOL_FEATURES:
		b->driver_protocol = back_u64(m, 0);
		break;
	case VU_SET_MEM_TABLE:
		back_map(b, m, fd);
		break;
	case VU_SET_VRING_NUM:
		q->size = back_u32(m, 4);
		break;
	case VU_SET_VRING_BASE:
		q->next = (uint16_t)back_u32(m, 4);
		break;
	case VU_SET_VRING_ADDR:
		q->desc = back_u64(m, 8);
		q->used = back_u64(m, 16);
		q->avail = back_u64(m, 24);
		break;
	case VU_SET_VRING_CALL:
		base_close(q->call);
		q->call = fd;
		if (b->jams && b->told[VU_SET_VRING_CALL] == 0)
			back_jam(fd);
		break;
	case VU_SET_VRING_KICK:
		/* Whoever may be kicked must be able to call. */
		assert_true(q->call >= 0 && b->memory && q->size && q->avail);
		base_close(q->kick);
		q->kick = fd;
		if (b->jams && b->told[VU_SET_VRING_KICK] < BACK_QUEUES)
			back_jam(fd);
		back_bump(&b->started);
		break;
	case VU_SET_VRING_ENABLE:
		q->enabled = back_u32(m, 4) && !b->jams;
		break;
	case VU_GET_VRING_BASE:
		q->kick = base_close(q->kick);
		q->call = base_close(q->call);
		q->enabled = 0;
		back_bump(&b->stopped);
		return back_u32(m, 0) | (uint64_t)q->next << 32;
	default:
		assert_int_equal(m->request, VU_SET_OWNER);
		break;
	}
	return 0;
}

/* False when that was the end. */
static inline bool back_answer(struct back *b, const struct back_message *m, uint64_t value)
{
	enum fault fault = m->request == b->bad_request ? b->fault : FAULT_NONE;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	uint32_t answer[5] = { m->request, 5, 8 };
	struct iovec iov = { .iov_base = answer, .iov_len = sizeof(answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fault == FAULT_DIE)
		return false;
	if (fault == FAULT_SILENT)
		return true;
	if (fault == FAULT_REFUSE)
		value = m->request == VU_GET_VRING_BASE ? value + 1 : value ? 0 : 1;
	memcpy(answer + 3, &value, sizeof(value));
	answer[0] += fault == FAULT_OTHER;
	answer[1] = fault == FAULT_NO_REPLY ? 1 : fault == FAULT_VERSION ? 6 : 5;
	answer[2] = fault == FAULT_SIZE ? 4 : fault == FAULT_HUGE ? UINT32_MAX : 8;
	iov.iov_len = fault == FAULT_SHORT ? 16 : fault == FAULT_HEADER ? 5 : sizeof(answer);
	if (fault == FAULT_FD) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &b->sock, sizeof(int));
	}
	(void)!sendmsg(b->sock, &msg, MSG_NOSIGNAL);
	return fault != FAULT_SHORT && fault != FAULT_HEADER;
}

static inline bool back_hear(struct back *b)
{
	struct back_message m;
	uint64_t value;
	int fd;

	if (!back_receive(b, &m, &fd))
		return false;
	assert_true(m.request < VU_REQUESTS);
	/* All but questions are to be confirmed. */
	assert_int_equal(m.flags, m.request == VU_GET_FEATURES || m.request == VU_GET_VRING_BASE ||
						  m.request == VU_GET_PROTOCOL_FEATURES ||
						  m.request == VU_GET_QUEUE_NUM
					  ? 1
					  : 9);
	value = back_obey(b, &m, fd);
	usleep(1000 * b->delay_ms);
	back_bump(&b->told[m.request]);
	return back_answer(b, &m, value);
}

static inline void *back_run(void *data)
{
	struct back *b = data;
	bool goes_on = true;

	while (goes_on) {
		struct pollfd fds[2 + BACK_QUEUES] = { { .fd = b->quit[0], .events = POLLIN },
						       { .fd = b->sock, .events = POLLIN } };

		for (unsigned int i = 0; i < BACK_QUEUES; i++)
			fds[2 + i] =
				(struct pollfd){ .fd = b->queue[i].enabled ? b->queue[i].kick : -1,
						 .events = POLLIN };
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		for (unsigned int i = 0; i < BACK_QUEUES; i++)
			if (fds[2 + i].revents && eventfd_take(b->queue[i].kick))
				back_serve(b, &b->queue[i]);
		if (fds[0].revents)
			break;
		if (fds[1].revents)
			goes_on = back_hear(b);
	}
	shutdown(b->sock, SHUT_RDWR);
	return NULL;
}

/* Returns the front end's socket; what the back end is to do wrong has been said. */
static inline int back_start(struct back *b)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe(b->quit), 0);
	b->sock = pair[1];
	for (unsigned int i = 0; i < BACK_QUEUES; i++)
		b->queue[i] = (struct back_queue){ .kick = -1, .call = -1 };
	if (!b->features)
		b->features = 1ull << 32 | 1ull << 30 | 1ull << 29 | 1ull << 28 | 1ull << 26;
	if (!b->protocol)
		b->protocol = 0xf | 1ull << 40;
	if (!b->queues)
		b->queues = BACK_QUEUES;
	assert_int_equal(pthread_create(&b->thread, NULL, back_run, b), 0);
	return pair[0];
}

static inline void back_stop(struct back *b)
{
	(void)!write(b->quit[1], "", 1);
	pthread_join(b->thread, NULL);
	for (unsigned int i = 0; i < BACK_QUEUES; i++) {
		base_close(b->queue[i].kick);
		base_close(b->queue[i].call);
	}
	if (b->memory)
		munmap(b->memory, b->size);
	base_close(b->sock);
	base_close(b->quit[0]);
	base_close(b->quit[1]);
}

#endif
