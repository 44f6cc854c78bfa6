// SPDX-License-Identifier: Apache-2.0
// The REST door: its life, the requests that are with the service, and the watch for clients that vanish.

#include "agent/rest.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "agent/config.h"
#include "agent/rest_request.h"

#define CLOSE_GRACE_MS 500 /* running answers get this long when the agent goes down */

/* --- Posted requests --- */

static void socket_watch(struct request *r, int how)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = r->id };

	/* One that cannot be watched is answered all the same, only later. */
	if (info)
		epoll_ctl(r->rest->epoll, how, info->connect_fd, &event);
}

/* On the service thread. The connection goes on under the lock: rest_free() must not get between the two. */
static void call_done(struct call *call)
{
	struct request *r = call->data;
	struct rest *rest = r->rest;

	pthread_mutex_lock(&rest->lock);
	r->posted = false;
	if (r->prev)
		r->prev->next = r->next;
	else
		rest->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (r->watched)
		socket_watch(r, EPOLL_CTL_DEL);
	MHD_resume_connection(r->connection);
	rest->posted--;
	pthread_cond_broadcast(&rest->changed);
	pthread_mutex_unlock(&rest->lock);
}

/*
 * Posted last and without the lock: the service may answer at once, and that takes the lock. Who cancels the call before, as the
 * watcher may, is heard all the same.
 */
bool rest_post(struct request *r)
{
	struct rest *rest = r->rest;
	bool closing;

	r->call->done = call_done;
	r->call->data = r;
	/* A client that shuts its side may have gone, or just have nothing more to say. What is answered soon is answered. */
	r->watched = r->stream || r->patient || r->state == REQUEST_WAIT;
	pthread_mutex_lock(&rest->lock);
	closing = rest->closing;
	if (!closing) {
		r->id = ++rest->last_id;
		r->posted = true;
		r->prev = NULL;
		r->next = rest->first;
		if (rest->first)
			rest->first->prev = r;
		rest->first = r;
		rest->posted++;
		MHD_suspend_connection(r->connection);
		if (r->watched)
			socket_watch(r, EPOLL_CTL_ADD);
	}
	pthread_mutex_unlock(&rest->lock);
	if (!closing)
		service_post(rest->service, r->call);
	return !closing;
}

/* The request may have been answered, and even freed, since the event was made; then its number is not in the list. */
static void client_gone(struct rest *rest, uint64_t id)
{
	pthread_mutex_lock(&rest->lock);
	for (struct request *r = rest->first; r; r = r->next) {
		if (r->id == id) {
			r->gone = true;
			service_cancel(rest->service, r->call);
			break;
		}
	}
	pthread_mutex_unlock(&rest->lock);
}

static void *watch(void *data)
{
	struct rest *rest = data;
	struct epoll_event events[16];

	for (;;) {
		int n = epoll_wait(rest->epoll, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.u64)
				return NULL;
			client_gone(rest, events[i].data.u64);
		}
	}
}

/* --- Life --- */

static int find_method(const struct method **out, const char *name, struct error *err)
{
	*out = service_method_find(name);
	if (!*out)
		return error_raise(err, ERROR_INTERNAL, "REST: the service has no %s", name);
	return 0;
}

static int find_methods(struct rest *rest, struct error *err)
{
	int rc = 0;

	rest->methods = calloc(rest_route_count, sizeof(struct method *));
	rest->watches = calloc(rest_route_count, sizeof(struct method *));
	if (!rest->methods || !rest->watches)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	for (size_t i = 0; !rc && i < rest_route_count; i++) {
		rc = find_method(&rest->methods[i], rest_routes[i].rpc, err);
		if (!rc && rest_routes[i].watch)
			rc = find_method(&rest->watches[i], rest_routes[i].watch, err);
	}
	return rc;
}

static int watcher_new(struct rest *rest, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN }; /* data 0: stop */
	int rc;

	rest->epoll = epoll_create1(EPOLL_CLOEXEC);
	rest->stop = eventfd(0, EFD_CLOEXEC);
	if (rest->epoll < 0 || rest->stop < 0 ||
	    epoll_ctl(rest->epoll, EPOLL_CTL_ADD, rest->stop, &event))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "REST: epoll");
	rc = pthread_create(&rest->watcher, NULL, watch, rest);
	if (rc)
		return error_raise_errno(err, ERROR_UNAVAILABLE, rc, "REST: thread");
	rest->watcher_runs = true;
	return 0;
}

static int listen_all(struct rest *rest, struct tls *tls, struct error *err)
{
	const struct config *config = rest->config;
	struct listener *listener = &rest->unix_listener;
	int rc = 0;

	if (config->listen_unix && config->listen_unix[0])
		rc = listener_unix(listener, err);
	if (!rc && config->listen_tcp.len) {
		listener = &rest->tcp_listener;
		rc = listener_tcp(listener, &config->listen_tcp, err);
	}
	if (!rc && config->listen_tls.len) {
		listener = &rest->tls_listener;
		rc = rest_tls_new(&listener->tls, tls, err);
		if (!rc)
			rc = listener_tcp(listener, &config->listen_tls, err);
		else
			listener->name = config->listen_tls.text;
	}
	return rc ? error_widen(err, "REST on %s", listener->name) : 0;
}

int rest_new(struct rest **out, const struct config *config, struct service *service,
	     struct tls *tls, struct error *err)
{
	struct rest *rest = calloc(1, sizeof(*rest));
	pthread_condattr_t attr;
	int rc;

	if (!rest)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	rest->config = config;
	rest->service = service;
	rest->epoll = rest->stop = -1;
	rest->unix_listener = rest->tcp_listener = rest->tls_listener =
		(struct listener){ .rest = rest, .quiet = -1 };
	pthread_mutex_init(&rest->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rest->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = find_methods(rest, err);
	if (!rc)
		rc = watcher_new(rest, err);
	if (!rc)
		rc = sockets_new(&rest->sockets, rest, err);
	if (!rc)
		rc = listen_all(rest, tls, err);
	if (rc) {
		rest_free(rest);
		return rc;
	}
	*out = rest;
	return 0;
}

/* Sends away who waits, until the service has given back every request; then lets answers go out for a while. */
static void drain(struct rest *rest)
{
	struct timespec until;

	pthread_mutex_lock(&rest->lock);
	rest->closing = true;
	for (struct request *r = rest->first; r; r = r->next)
		service_cancel(rest->service, r->call);
	while (rest->posted)
		pthread_cond_wait(&rest->changed, &rest->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += CLOSE_GRACE_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (rest->active && !pthread_cond_timedwait(&rest->changed, &rest->lock, &until))
		;
	pthread_mutex_unlock(&rest->lock);
}

struct rest *rest_free(struct rest *rest)
{
	if (!rest)
		return NULL;
	listener_quiet(&rest->unix_listener);
	listener_quiet(&rest->tcp_listener);
	listener_quiet(&rest->tls_listener);
	drain(rest);
	sockets_close(rest->sockets);
	listener_stop(&rest->tls_listener);
	listener_stop(&rest->tcp_listener);
	listener_stop(&rest->unix_listener);
	sockets_free(rest->sockets);
	if (rest->watcher_runs) {
		uint64_t one = 1;

		if (write(rest->stop, &one, sizeof(one)) == sizeof(one))
			pthread_join(rest->watcher, NULL);
	}
	base_close(rest->stop);
	base_close(rest->epoll);
	pthread_cond_destroy(&rest->changed);
	pthread_mutex_destroy(&rest->lock);
	free(rest->methods);
	free(rest->watches);
	free(rest);
	return NULL;
}
