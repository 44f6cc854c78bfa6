/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device thread's loop: file descriptors that become readable, and who is told.
 */
#ifndef CROFT_VMM_LOOP_H
#define CROFT_VMM_LOOP_H

#include "vmm/base.h"

/* One watched descriptor. Belongs to whoever adds it, and must outlive the loop. */
struct loop_source {
	int fd; /* an eventfd or timerfd, which nobody reads: each signal of it is one event */
	void (*ready)(struct loop_source *source);
	bool stream;  /* fd is something else, and ready() itself takes from it what is there */
	bool hung_up; /* a stream's other side is gone; set before ready() */
};

struct loop {
	int epoll_fd;
	int quit_fd;
};

#define LOOP_NONE ((struct loop){ .epoll_fd = -1, .quit_fd = -1 })

int loop_init(struct loop *loop, struct error *err);
void loop_free(struct loop *loop);

int loop_add(struct loop *loop, struct loop_source *source, struct error *err);

/* What a source waits for: from loop_add() on for input. Any thread. */
#define LOOP_IN	 1u
#define LOOP_OUT 2u
void loop_listen(struct loop *loop, struct loop_source *source, unsigned int what);

/* On the device thread, or when it does not run. Does nothing for what was never added. */
void loop_remove(struct loop *loop, struct loop_source *source);

/*
 * Waits at most timeout_ms (-1: for ever) and calls ready() of each source that is; returns whether
 * any was. *quit is set when the end was asked for.
 */
bool loop_turn(struct loop *loop, int timeout_ms, bool *quit);

/*
 * Calls ready() on this thread until loop_quit(); what was signalled before that is still handled.
 */
void loop_run(struct loop *loop);

/* Any thread; also before loop_run(). */
void loop_quit(struct loop *loop);

/* The monotonic clock. */
uint64_t loop_now_ns(void);

/* A non-blocking eventfd with close-on-exec; an fd, or -errno. */
int eventfd_new(void);
/* Cannot block: a counter that is full says what one more would say. */
void eventfd_signal(int fd);
/* Whether it had been signalled; takes that back. */
bool eventfd_take(int fd);

#endif
