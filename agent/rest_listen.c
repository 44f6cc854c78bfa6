// SPDX-License-Identifier: Apache-2.0
// Listeners of REST: their sockets, their daemons of libmicrohttpd, and what those call.

#include "agent/rest_listen.h"

#include <ctype.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/config.h"
#include "agent/log.h"
#include "agent/rest_request.h"

#define LISTEN_BACKLOG 128

/* --- What libmicrohttpd calls --- */

/* What is wrong with a URI's form, as the first value of a request's context. */
static const char uri_too_long[] = "too long";
static const char uri_nul[] = "the URL has a NUL character in it";
static const char uri_percent[] = "the URL has a % that no two hexadecimal digits follow";

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
	(void)cls;
	(void)connection;
	if (strlen(uri) > REST_URI_MAX)
		return (void *)(uintptr_t)uri_too_long;
	for (const char *p = strchr(uri, '%'); p; p = strchr(p + 1, '%')) {
		if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
			return (void *)(uintptr_t)uri_percent;
		/* It would end the path early for everybody who reads it as a string. */
		if (p[1] == '0' && p[2] == '0')
			return (void *)(uintptr_t)uri_nul;
	}
	return NULL;
}

static bool is_uri_error(const void *context)
{
	return context == uri_too_long || context == uri_nul || context == uri_percent;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *r = *context;
	const char *refused = NULL;

	(void)cls;
	(void)version;
	if (r && !is_uri_error(r))
		return *size ? request_data(r, data, size) : request_step(r);

	if (r)
		refused = *context == uri_too_long ? "" : *context;
	*context = r = info->socket_context ? request_begin(info->socket_context, connection,
							    method, url, refused)
					    : NULL;
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
	if (*context && !is_uri_error(*context))
		request_free(*context);
	*context = NULL;
}

static struct link *link_new(struct listener *listener, struct MHD_Connection *connection)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->listener = listener;
	if (listener->tls) {
		link->credentials = rest_tls_begin(listener->tls, connection);
		if (!link->credentials) {
			free(link);
			return NULL;
		}
	}
	link->spare = atomic_fetch_add(&listener->connections, 1) >= REST_CONNECTIONS_MAX;
	if (link->spare)
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  (unsigned int)REST_SPARE_SECONDS);
	return link;
}

/* A connection without a link, for want of memory, is closed at its first request. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct link *link = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = link_new(cls, connection);
	} else if (link) {
		atomic_fetch_sub(&link->listener->connections, 1);
		credentials_put(link->credentials);
		free(link);
		*context = NULL;
	}
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

/* libmicrohttpd owns the socket from here on, also when it fails. */
static int daemon_new(struct listener *listener, int fd, struct error *err)
{
	static const struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };

	listener->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
			MHD_USE_ERROR_LOG | (listener->tls ? MHD_USE_TLS : 0),
		0, NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		on_uri, NULL, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)(REST_CONNECTIONS_MAX + REST_CONNECTIONS_SPARE),
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)REST_IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REST_CONNECTION_MEMORY,
		MHD_OPTION_ARRAY, listener->tls ? rest_tls_options(listener->tls) : none,
		MHD_OPTION_END);
	if (!listener->daemon)
		return error_raise(err, ERROR_UNAVAILABLE, "libmicrohttpd does not start");
	return 0;
}

/* --- The unix socket --- */

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

int listener_unix(struct listener *listener, struct error *err)
{
	const struct config *config = listener->rest->config;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int rc;

	listener->name = config->listen_unix;
	if (strlen(listener->name) >= sizeof(addr.sun_path))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "longer than %zu bytes",
				   sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, listener->name, strlen(listener->name));
	rc = remove_stale(&addr, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "socket");
	/* bind() makes the file with the socket's own mode; the umask belongs to all threads. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "bind");
	listener->bound = true;
	rc = socket_rights(config, err);
	if (rc)
		return rc;
	if (listen(fd, LISTEN_BACKLOG))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "listen");
	return daemon_new(listener, TAKE_FD(fd), err);
}

/* --- TCP --- */

/* Connections inherit them: who is gone without a word is noticed. */
static int tcp_options(int fd, struct error *err)
{
	static const struct {
		const char *name;
		int level, option, value;
	} options[] = {
		{ "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1 },
		{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, REST_DEAD_SECONDS / 2 },
		{ "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, REST_DEAD_SECONDS / 6 },
		{ "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 3 },
		{ "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, REST_DEAD_SECONDS * 1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			       sizeof(int)))
			return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "%s",
						 options[i].name);
	return 0;
}

int listener_tcp(struct listener *listener, const struct config_address *address, struct error *err)
{
	_cleanup_close_ int fd =
		socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	listener->name = address->text;
	if (fd < 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "socket");
	rc = tcp_options(fd, err);
	if (rc)
		return rc;
	if (bind(fd, (const struct sockaddr *)&address->addr, address->len))
		return error_raise_errno(err,
					 errno == EADDRINUSE ? ERROR_CONFLICT : ERROR_UNAVAILABLE,
					 errno, "bind");
	if (listen(fd, LISTEN_BACKLOG))
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno, "listen");
	return daemon_new(listener, TAKE_FD(fd), err);
}

/* --- The end, and who is there --- */

void listener_quiet(struct listener *listener)
{
	if (listener->daemon)
		listener->quiet = MHD_quiesce_daemon(listener->daemon);
}

void listener_stop(struct listener *listener)
{
	if (listener->daemon) {
		MHD_stop_daemon(listener->daemon);
		/* A daemon that was quiesced leaves its socket to us. */
		base_close(listener->quiet);
	}
	if (listener->bound)
		unlink(listener->name);
	rest_tls_free(listener->tls);
}

const struct principal *link_who(struct link *link, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!link->known) {
		auth_of_socket(&link->who, link->listener->rest->config,
			       info ? info->connect_fd : -1);
		if (link->listener->tls)
			rest_tls_who(&link->who, connection);
		link->known = true;
	}
	return &link->who;
}
