// SPDX-License-Identifier: Apache-2.0
/*
 * A back end of vhost-user that answers as it likes, to a device whose driver does as it likes: the
 * input is answers that lie ready before they are asked for, whole and cut, right and wrong. What
 * does not lie ready does not come: the device waits for nothing.
 */
#include <sys/socket.h>

#include "tests/fuzz/virtio_driver.h"
#include "vmm/vhost_user.h"

#define QUEUES 2u

struct world {
	struct driver d;
	struct virtio_mmio dev;
	struct vhost_user vhost;
	int back;
};

/* --- The device --- */

static struct vhost_user *vhost_of(struct virtio_mmio *dev)
{
	return &CONTAINER_OF(dev, struct world, dev)->vhost;
}

static void start(struct virtio_mmio *dev)
{
	if (vhost_user_start(vhost_of(dev)) < 0)
		virtio_needs_reset(dev);
}

static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	vhost_user_stop_queue(vhost_of(dev), queue);
	assert(!vhost_of(dev)->running[queue]);
}

static void reset(struct virtio_mmio *dev)
{
	vhost_user_stop(vhost_of(dev));
	for (unsigned int i = 0; i < QUEUES; i++)
		assert(!vhost_of(dev)->running[i]);
}

static const struct virtio_ops ops = {
	.name = "fuzz",
	.id = 26,
	.queues = QUEUES,
	.start = start,
	.suspend = suspend,
	.reset = reset,
};

/* --- The back end --- */

struct answer {
	uint32_t request, flags, size;
	uint64_t value;
} __attribute__((packed));

static void drain(struct world *w)
{
	uint8_t heard[4096];

	while (recv(w->back, heard, sizeof(heard), MSG_DONTWAIT) > 0)
		;
}

/* The right answer, unless the input spoils it. */
static void answer(struct world *w, struct input *in, uint32_t request, uint64_t value)
{
	struct answer a = { request, 5, 8, value };
	size_t n = sizeof(a);
	uint8_t how = (uint8_t)take(in, 1);

	if ((how & 0xc0) == 0xc0) {
		uint8_t *p = (uint8_t *)&a + how % sizeof(a);

		*p ^= (uint8_t)take(in, 1);
		n = how & 0x20 ? (size_t)take(in, 1) % sizeof(a) : n;
	}
	(void)!send(w->back, &a, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer_greeting(struct world *w, struct input *in)
{
	static const struct {
		uint32_t request;
		uint64_t value;
	} answers[] = { { 1, 0x170000000 }, { 15, 9 }, { 16, 0 }, { 17, QUEUES }, { 3, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		answer(w, in, answers[i].request, answers[i].value);
}

static void answer_start(struct world *w, struct input *in)
{
	static const uint32_t of_queue[] = { 8, 10, 9, 13, 12, 18 };

	answer(w, in, 2, 0);
	answer(w, in, 5, 0);
	for (unsigned int q = 0; q < QUEUES; q++)
		for (size_t i = 0; i < ARRAY_SIZE(of_queue); i++)
			answer(w, in, of_queue[i], 0);
}

static void send_with_fd(struct world *w)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct answer a = { 11, 5, 8, 0 };
	struct iovec iov = { .iov_base = &a, .iov_len = sizeof(a) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &w->back, sizeof(int));
	(void)!sendmsg(w->back, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Answers must lie there when the driver makes the device ask, or they are words unasked. */
static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	uint8_t kind = (uint8_t)take(in, 1);

	drain(w);
	switch (kind & 7) {
	case 0:
		(void)!send(w->back, in->p, in->n < 64 ? in->n : 64, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		shutdown(w->back, SHUT_RDWR);
		break;
	case 2:
		send_with_fd(w);
		write_reg(d, 0x70, 0);
		break;
	case 3:
		/* A queue that goes alone, and comes back. */
		answer(w, in, 11, 1 | take(in, 2) << 32);
		write_reg(d, 0x30, 1);
		write_reg(d, 0x44, 0);
		break;
	default:
		/* A reset, if there is anything to take back, and another driver. */
		if (kind & 8) {
			answer(w, in, 11, 0 | take(in, 2) << 32);
			answer(w, in, 11, 1 | take(in, 2) << 32);
			write_reg(d, 0x70, 0);
		}
		drain(w);
		answer_start(w, in);
		bring_up(d, (uint32_t)take(in, 4), 3);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct world w = { .vhost = VHOST_USER_NONE };
	struct error err = { 0 };
	int pair[2], r;

	r = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	assert(r == 0);
	w.back = pair[1];
	w.vhost.dev = &w.dev;
	w.vhost.limit_ms = 0;
	driver_init(&w.d);
	w.d.outside = outside;
	/* A device that is broken for good is no fault of the transport. */
	w.d.mem.pinned = true;
	r = virtio_mmio_init(&w.dev, &ops, &w.d.slot, NULL);
	assert(r == 0);
	answer_greeting(&w, &in);
	r = vhost_user_open(&w.vhost, pair[0], QUEUES, &w.d.loop, &err);
	base_close(pair[0]);
	assert(r == 0 || err.code == ERROR_UNAVAILABLE || err.code == ERROR_UNSUPPORTED);
	if (r == 0)
		driver_run(&w.d, &w.dev, &in);
	vhost_user_close(&w.vhost);
	virtio_mmio_free(&w.dev);
	base_close(w.back);
	driver_free(&w.d);
	return 0;
}
