// SPDX-License-Identifier: Apache-2.0
/* An epoll loop for one thread, that sleeps until a device has something to do. */
#include "vmm/loop.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define EVENTS 16
/* How often the sources are asked again at the end, should each answer make the next. */
#define LAST_ROUNDS 64

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int eventfd_new(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void eventfd_signal(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool eventfd_take(int fd)
{
	uint64_t count;
	ssize_t r;

	do
		r = read(fd, &count, sizeof(count));
	while (r < 0 && errno == EINTR);
	return r == sizeof(count);
}

int loop_init(struct loop *loop, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN };

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "device loop");
	loop->quit_fd = eventfd_new();
	if (loop->quit_fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -loop->quit_fd,
					 "device loop");
	/* The only one without a source. */
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->quit_fd, &event) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "device loop");
	return 0;
}

void loop_free(struct loop *loop)
{
	base_close(loop->quit_fd);
	base_close(loop->epoll_fd);
	*loop = LOOP_NONE;
}

/* An edge needs no read, which is a system call for each signal. */
static uint32_t edge_of(const struct loop_source *source)
{
	return source->stream ? 0 : (uint32_t)EPOLLET;
}

int loop_add(struct loop *loop, struct loop_source *source, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN | edge_of(source), .data.ptr = source };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "device loop");
	return 0;
}

void loop_listen(struct loop *loop, struct loop_source *source, unsigned int what)
{
	struct epoll_event event = {
		.events = (what & LOOP_IN ? EPOLLIN : 0) | (what & LOOP_OUT ? EPOLLOUT : 0) |
			  edge_of(source),
		.data.ptr = source,
	};

	/* Fails only for what is not added. */
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

/* Asked anew: an event may be of an earlier fd of the source. */
static bool is_hung_up(const struct loop_source *source)
{
	struct pollfd pfd = { .fd = source->fd };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR));
}

bool loop_turn(struct loop *loop, int timeout_ms, bool *quit)
{
	struct epoll_event events[EVENTS];
	bool any = false;
	int n;

	do
		n = epoll_wait(loop->epoll_fd, events, EVENTS, timeout_ms);
	while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (source && (events[i].events & (EPOLLHUP | EPOLLERR)))
			source->hung_up = is_hung_up(source);
		if (!source) {
			*quit = eventfd_take(loop->quit_fd) || *quit;
		} else {
			source->ready(source);
			any = true;
		}
	}
	return any;
}

void loop_run(struct loop *loop)
{
	bool quit = false;

	while (!quit)
		loop_turn(loop, -1, &quit);
	for (int i = 0; i < LAST_ROUNDS; i++)
		if (!loop_turn(loop, 0, &quit))
			break;
}

void loop_quit(struct loop *loop)
{
	eventfd_signal(loop->quit_fd);
}
