// SPDX-License-Identifier: Apache-2.0
// The thread of all WebSockets, and their end with the agent.

#include "agent/rest_socket.h"

#include <assert.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "agent/message.h"

#define LOOK_MS		1000 /* how often the patience with somebody may be at its end */
#define CLOSE_GRACE_S	1    /* for all closing handshakes when the agent goes down */
#define CODE_GOING_AWAY 1001 /* RFC 6455, section 7.4.1 */

/* --- From other threads --- */

static void wake(struct sockets *s)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the thread is woken anyway. */
	if (write(s->wake, &one, sizeof(one)) < 0)
		return;
}

/* With the lock held. */
static void tell(struct wsocket *w)
{
	if (w->queued)
		return;
	w->queued = true;
	w->next_news = w->sockets->news;
	w->sockets->news = w;
}

/* On the service thread. */
void sockets_stream_done(struct call *call)
{
	struct wsocket *w = call->data;
	struct sockets *s = w->sockets;

	pthread_mutex_lock(&s->lock);
	w->stream_done = true;
	tell(w);
	wake(s);
	pthread_mutex_unlock(&s->lock);
}

void sockets_typing_done(struct call *call)
{
	struct wsocket *w = call->data;
	struct sockets *s = w->sockets;

	pthread_mutex_lock(&s->lock);
	w->typing_done = true;
	tell(w);
	wake(s);
	pthread_mutex_unlock(&s->lock);
}

/* --- The thread --- */

static void end(struct wsocket *w)
{
	struct sockets *s = w->sockets;

	if (w->prev)
		w->prev->next = w->next;
	else
		s->all = w->next;
	if (w->next)
		w->next->prev = w->prev;
	socket_give_up_stream(w);
	socket_discard(w);
	pthread_mutex_lock(&s->lock);
	s->count--;
	pthread_cond_broadcast(&s->empty);
	pthread_mutex_unlock(&s->lock);
}

static void run(struct wsocket *w)
{
	socket_run(w);
	if (w->fd < 0 && !w->stream_posted && !w->typing)
		end(w);
}

/* One that has just become a socket. */
static void begin(struct wsocket *w)
{
	struct epoll_event event = { .data.ptr = w };

	w->prev = NULL;
	w->next = w->sockets->all;
	if (w->next)
		w->next->prev = w;
	w->sockets->all = w;
	w->begun = true;
	w->moved_ns = clock_ns();
	if (epoll_ctl(w->sockets->epoll, EPOLL_CTL_ADD, w->fd, &event))
		socket_drop(w);
	else
		socket_take_stream(w);
}

static void take_news(struct sockets *s)
{
	struct wsocket *list;

	pthread_mutex_lock(&s->lock);
	list = TAKE_PTR(s->news);
	pthread_mutex_unlock(&s->lock);
	while (list) {
		struct wsocket *w = list;
		bool stream, typing;

		pthread_mutex_lock(&s->lock);
		list = w->next_news;
		w->queued = false;
		stream = w->stream_done;
		typing = w->typing_done;
		w->stream_done = w->typing_done = false;
		pthread_mutex_unlock(&s->lock);
		if (!w->begun)
			begin(w);
		if (stream)
			socket_take_stream(w);
		if (typing)
			socket_take_typing(w);
		run(w);
	}
}

static void look_at_all(struct sockets *s, bool closing, bool stop)
{
	struct wsocket *next;

	for (struct wsocket *w = s->all; w; w = next) {
		next = w->next;
		if (closing)
			socket_goodbye(w, CODE_GOING_AWAY, "the agent is going down");
		if (stop)
			socket_drop(w);
		run(w);
	}
}

static void take_event(struct sockets *s, const struct epoll_event *event)
{
	struct wsocket *w = event->data.ptr;
	uint64_t count;

	/* It only wakes; the news are in the lists. */
	if (!w && read(s->wake, &count, sizeof(count)) < 0)
		return;
	if (!w)
		return;
	/* They would be told again and again while nothing is read. */
	if (event->events & (EPOLLERR | EPOLLHUP))
		socket_drop(w);
	run(w);
}

static void *serve(void *data)
{
	struct sockets *s = data;
	struct epoll_event events[32];
	bool closing = false, stop = false, ended = false;
	uint64_t look_ns = 0;

	while (!ended) {
		int n = epoll_wait(s->epoll, events, ARRAY_SIZE(events), s->all ? LOOK_MS : -1);

		for (int i = 0; i < n; i++)
			take_event(s, &events[i]);
		take_news(s);
		pthread_mutex_lock(&s->lock);
		closing = s->closing;
		stop = s->stop;
		ended = s->ended;
		pthread_mutex_unlock(&s->lock);
		if (closing || clock_ns() >= look_ns) {
			look_at_all(s, closing, stop);
			look_ns = clock_ns() + LOOK_MS * 1000000ull;
		}
	}
	return NULL;
}

bool sockets_take(struct wsocket *w)
{
	struct sockets *s = w->sockets;
	bool open;

	pthread_mutex_lock(&s->lock);
	open = !s->stop;
	if (open) {
		s->count++;
		tell(w);
		wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return open;
}

int sockets_new(struct sockets **out, struct rest *rest, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN }; /* data NULL: woken */
	struct sockets *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int rc;

	if (!s)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	s->rest = rest;
	s->write = service_method_find("croft.v1.Vms/WriteConsole");
	assert(s->write);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->empty, &attr);
	pthread_condattr_destroy(&attr);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = s->epoll < 0 || s->wake < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &event)
		     ? errno
		     : pthread_create(&s->thread, NULL, serve, s);
	s->running = rc == 0;
	if (rc) {
		sockets_free(s);
		return error_raise_errno(err, ERROR_UNAVAILABLE, rc, "REST: WebSockets");
	}
	*out = s;
	return 0;
}

void sockets_close(struct sockets *s)
{
	struct timespec until;

	if (!s)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CLOSE_GRACE_S;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	wake(s);
	while (s->count && !pthread_cond_timedwait(&s->empty, &s->lock, &until))
		;
	s->stop = true;
	wake(s);
	while (s->count)
		pthread_cond_wait(&s->empty, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

struct sockets *sockets_free(struct sockets *s)
{
	if (!s)
		return NULL;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->ended = true;
		wake(s);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	base_close(s->wake);
	base_close(s->epoll);
	pthread_cond_destroy(&s->empty);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}
