// SPDX-License-Identifier: Apache-2.0
// The REST door: listeners, the threads of libmicrohttpd, and the watch for clients that vanish.

#include "agent/rest.h"

#include <grp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "agent/config.h"
#include "agent/log.h"
#include "agent/rest_request.h"

#define LISTEN_BACKLOG 128
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
	socket_watch(r, EPOLL_CTL_DEL);
	MHD_resume_connection(r->connection);
	rest->posted--;
	pthread_cond_broadcast(&rest->changed);
	pthread_mutex_unlock(&rest->lock);
}

/* All under the lock, so that neither an answer nor the watcher can come in between. */
bool rest_post(struct request *r)
{
	struct rest *rest = r->rest;
	bool closing;

	r->call->done = call_done;
	r->call->data = r;
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
		service_post(rest->service, r->call);
		socket_watch(r, EPOLL_CTL_ADD);
	}
	pthread_mutex_unlock(&rest->lock);
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

/* --- libmicrohttpd's callbacks --- */

/* A NUL in the path would end it early for everybody who reads it as a string. */
static const char bad_uri[] = "";

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
	(void)cls;
	(void)connection;
	return strstr(uri, "%00") ? (void *)(uintptr_t)bad_uri : NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	struct request *r = *context;

	(void)version;
	if (r && (const char *)r != bad_uri)
		return *size ? request_data(r, data, size) : request_step(r);

	r = request_begin(cls, connection, method, url);
	if (r && *context && !r->error.code)
		error_raise(&r->error, ERROR_INVALID_ARGUMENT, "the URL has a NUL character in it");
	*context = r;
	if (!r)
		return MHD_NO;
	return r->error.code && !request_reads_body(r) ? request_step(r) : MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode why)
{
	(void)cls;
	(void)connection;
	(void)why;
	if (*context && *context != bad_uri)
		request_free(*context);
	*context = NULL;
}

static void on_log(void *cls, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_log(void *cls, const char *format, va_list ap)
{
	char line[256];
	size_t n;

	(void)cls;
	vsnprintf(line, sizeof(line), format, ap);
	n = strlen(line);
	while (n && line[n - 1] == '\n')
		line[--n] = '\0';
	log_warning("rest: %s", line);
}

/* --- Listeners --- */

/* Removes a socket file that no process listens on, as one that was killed leaves it. */
static int remove_stale(const struct sockaddr_un *addr, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "socket");
	if (lstat(addr->sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_raise(err, ERROR_CONFLICT, "is there and is not a socket");
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno != ECONNREFUSED)
		return error_raise(err, ERROR_CONFLICT, "another process listens on it");
	if (unlink(addr->sun_path))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "unlink");
	return 0;
}

static int socket_rights(const struct config *config, struct error *err)
{
	const struct group *group;

	if (!config->socket_group || !config->socket_group[0])
		return 0;
	group = getgrnam(config->socket_group);
	if (!group)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "unknown group \"%s\"",
				   config->socket_group);
	if (chown(config->listen_unix, (uid_t)-1, group->gr_gid) ||
	    chmod(config->listen_unix, 0660))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "group \"%s\"",
					 config->socket_group);
	return 0;
}

static int listen_unix(struct rest *rest, int *out, struct error *err)
{
	const char *path = rest->config->listen_unix;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "longer than %zu bytes",
				   sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	rc = remove_stale(&addr, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "socket");
	/* bind() makes the file with the socket's own mode; the umask belongs to all threads. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "bind");
	rest->socket_bound = true;
	rc = socket_rights(rest->config, err);
	if (rc)
		return rc;
	if (listen(fd, LISTEN_BACKLOG))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "listen");
	*out = TAKE_FD(fd);
	return 0;
}

static int listen_tcp(const struct config_address *address, int *out, struct error *err)
{
	_cleanup_close_ int fd =
		socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "SO_REUSEADDR");
	if (bind(fd, (const struct sockaddr *)&address->addr, address->len))
		return error_raise_errno(err,
					 errno == EADDRINUSE ? ERROR_CONFLICT : ERROR_UNAVAILABLE,
					 errno, "bind");
	if (listen(fd, LISTEN_BACKLOG))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "listen");
	*out = TAKE_FD(fd);
	return 0;
}

/* libmicrohttpd owns the socket from here on, also when it fails. */
static int daemon_new(struct MHD_Daemon **out, struct rest *rest, int fd, struct error *err)
{
	struct MHD_Daemon *d = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, on_request, rest, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)REST_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)REST_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)REST_CONNECTION_MEMORY, MHD_OPTION_END);

	if (!d)
		return error_raise(err, ERROR_UNAVAILABLE, "libmicrohttpd does not start");
	*out = d;
	return 0;
}

static int listen_all(struct rest *rest, struct error *err)
{
	const struct config *config = rest->config;
	int fd = -1, rc;

	if (config->listen_unix && config->listen_unix[0]) {
		rc = listen_unix(rest, &fd, err);
		if (!rc)
			rc = daemon_new(&rest->unix_daemon, rest, fd, err);
		if (rc)
			return error_widen(err, "REST on %s", config->listen_unix);
	}
	if (config->listen_tcp.len) {
		rc = listen_tcp(&config->listen_tcp, &fd, err);
		if (!rc)
			rc = daemon_new(&rest->tcp_daemon, rest, fd, err);
		if (rc)
			return error_widen(err, "REST on %s", config->listen_tcp.text);
	}
	return 0;
}

/* --- Life --- */

static int find_methods(struct rest *rest, struct error *err)
{
	rest->methods = calloc(rest_route_count, sizeof(struct method *));
	if (!rest->methods)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	for (size_t i = 0; i < rest_route_count; i++) {
		rest->methods[i] = service_method_find(rest_routes[i].rpc);
		if (!rest->methods[i])
			return error_raise(err, ERROR_INTERNAL, "REST: the service has no %s",
					   rest_routes[i].rpc);
	}
	return 0;
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

int rest_new(struct rest **out, const struct config *config, struct service *service,
	     struct error *err)
{
	struct rest *rest = calloc(1, sizeof(*rest));
	pthread_condattr_t attr;
	int rc;

	if (!rest)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	rest->config = config;
	rest->service = service;
	rest->epoll = rest->stop = -1;
	pthread_mutex_init(&rest->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rest->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = find_methods(rest, err);
	if (!rc)
		rc = watcher_new(rest, err);
	if (!rc)
		rc = listen_all(rest, err);
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

static void daemon_free(struct MHD_Daemon *d, int listener)
{
	if (!d)
		return;
	MHD_stop_daemon(d);
	/* A daemon that was quiesced leaves its socket to us. */
	base_close(listener);
}

struct rest *rest_free(struct rest *rest)
{
	int unix_fd = -1, tcp_fd = -1;

	if (!rest)
		return NULL;
	if (rest->unix_daemon)
		unix_fd = MHD_quiesce_daemon(rest->unix_daemon);
	if (rest->tcp_daemon)
		tcp_fd = MHD_quiesce_daemon(rest->tcp_daemon);
	drain(rest);
	daemon_free(rest->tcp_daemon, tcp_fd);
	daemon_free(rest->unix_daemon, unix_fd);
	if (rest->socket_bound)
		unlink(rest->config->listen_unix);
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
	free(rest);
	return NULL;
}
