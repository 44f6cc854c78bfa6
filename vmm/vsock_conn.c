// SPDX-License-Identifier: Apache-2.0
/* Connections between a guest's vsock and unix sockets of the host. */
#include "vmm/vsock_conn.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/virtqueue.h"

#define BACKLOG 16

static socklen_t address_of(struct sockaddr_un *un, const char *path, const char *suffix)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(un->sun_path, sizeof(un->sun_path), "%s%s", path, suffix);
	if (path[0] != '@')
		return sizeof(*un);
	un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + strlen(suffix));
}

/* Left behind by a VMM that was killed: there, and nobody listens. */
static bool is_stale(const struct sockaddr_un *un, socklen_t size)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return un->sun_path[0] != '\0' && fd >= 0 &&
	       connect(fd, (const struct sockaddr *)un, size) < 0 && errno == ECONNREFUSED;
}

int vsock_listen(const char *path, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un un;
	socklen_t size;
	int r;

	if (strlen(path) >= VSOCK_PATH_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "\"%s\": at most %u characters",
				   path, VSOCK_PATH_MAX - 1);
	size = address_of(&un, path, "");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "socket");
	r = bind(fd, (struct sockaddr *)&un, size);
	if (r < 0 && errno == EADDRINUSE && is_stale(&un, size) && unlink(path) == 0)
		r = bind(fd, (struct sockaddr *)&un, size);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return error_raise_errno(err,
					 errno == EADDRINUSE ? ERROR_ALREADY_EXISTS
							     : ERROR_INVALID_ARGUMENT,
					 errno, "listen at %s", path);
	return TAKE_FD(fd);
}

int vsock_connect(const char *path, uint32_t port)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un un;
	char suffix[16];
	socklen_t size;

	snprintf(suffix, sizeof(suffix), "_%" PRIu32, port);
	size = address_of(&un, path, suffix);
	/* A unix socket connects at once or, when too many wait already, not. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&un, size) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int vsock_conn_open(struct vsock_conn *conn, struct loop *loop, int fd, enum vsock_state state)
{
	void (*ready)(struct loop_source *) = conn->source.ready;
	struct virtio_vsock *owner = conn->owner;

	*conn = (struct vsock_conn){
		.source = { .fd = fd, .ready = ready, .stream = true },
		.owner = owner,
		.loop = loop,
		.state = state,
	};
	conn->out = malloc(VSOCK_BUFFER);
	if (conn->out && loop_add(loop, &conn->source, NULL) == 0)
		return 0;
	vsock_conn_close(conn);
	return -ENOMEM;
}

void vsock_conn_close(struct vsock_conn *conn)
{
	if (conn->state == VSOCK_FREE)
		return;
	loop_remove(conn->loop, &conn->source);
	conn->source.fd = base_close(conn->source.fd);
	free(TAKE_PTR(conn->out));
	conn->state = VSOCK_FREE;
	conn->tell = 0;
	conn->readable = false;
}

void vsock_conn_settle(struct vsock_conn *conn)
{
	bool in = !conn->readable && !conn->ended &&
		  (conn->state == VSOCK_OPEN || conn->state == VSOCK_GREETING);

	if (conn->state != VSOCK_FREE)
		loop_listen(conn->loop, &conn->source,
			    (in ? LOOP_IN : 0) | (conn->out_used > 0 ? LOOP_OUT : 0));
}

int vsock_conn_greeted(struct vsock_conn *conn, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	char *number = conn->line + sizeof(word) - 1, *end;
	unsigned long value;

	/* Byte by byte: what follows the line is for the guest. */
	for (;;) {
		ssize_t n = recv(conn->source.fd, conn->line + conn->line_used, 1, MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -EPROTO;
		if (n == 0)
			return -EPROTO;
		if (conn->line[conn->line_used] == '\n')
			break;
		if (++conn->line_used == sizeof(conn->line))
			return -EPROTO;
	}
	if (strncmp(conn->line, word, sizeof(word) - 1) != 0 || !isdigit((unsigned char)*number))
		return -EPROTO;
	value = strtoul(number, &end, 10);
	if (*end != '\n' || value > UINT32_MAX)
		return -EPROTO;
	*port = (uint32_t)value;
	return 1;
}

void vsock_conn_answer(struct vsock_conn *conn)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %" PRIu32 "\n", conn->host_port);

	/* The first bytes on a socket find room; whoever is gone shows later. */
	(void)!send(conn->source.fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

uint32_t vsock_conn_credit(const struct vsock_conn *conn)
{
	uint32_t on_the_way = conn->sent - conn->guest_took;

	return on_the_way < conn->guest_room ? conn->guest_room - on_the_way : 0;
}

int vsock_conn_flush(struct vsock_conn *conn)
{
	while (conn->out_used > 0) {
		size_t part = VSOCK_BUFFER - conn->out_start;
		ssize_t n;

		part = part < conn->out_used ? part : conn->out_used;
		n = send(conn->source.fd, conn->out + conn->out_start, part,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return -EPIPE;
		conn->out_start = (conn->out_start + (size_t)n) % VSOCK_BUFFER;
		conn->out_used -= (size_t)n;
		conn->took += (uint32_t)n;
	}
	/* The guest is told in good time that it may send again. */
	if (conn->took - conn->took_told >= VSOCK_BUFFER / 4)
		conn->tell |= VSOCK_TELL_CREDIT;
	if (conn->out_used == 0 && conn->guest_ended)
		shutdown(conn->source.fd, SHUT_WR);
	return 0;
}

int vsock_conn_write(struct vsock_conn *conn, const struct iovec *iov, unsigned int count,
		     uint64_t off, uint32_t n)
{
	size_t end = (conn->out_start + conn->out_used) % VSOCK_BUFFER;
	size_t part = VSOCK_BUFFER - end;

	if (n > VSOCK_BUFFER - conn->out_used)
		return -EPROTO;
	part = part < n ? part : n;
	iov_read(iov, count, off, conn->out + end, part);
	iov_read(iov, count, off + part, conn->out, n - part);
	conn->out_used += n;
	conn->got += n;
	return vsock_conn_flush(conn);
}
