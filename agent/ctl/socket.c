// SPDX-License-Identifier: Apache-2.0
// A WebSocket client over the agent's unix socket.

#include "agent/ctl/socket.h"

#include <jansson.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HEAD_MAX    16384u
#define PAYLOAD_MAX 4096u
#define GOOD_END    1000 /* close code of RFC 6455, section 7.4.1 */

enum opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

void socket_close(struct socket *s)
{
	if (s->in)
		base_close(s->fd);
	free(s->in);
	*s = (struct socket){ .fd = -1 };
}

static int write_all(int fd, const void *bytes, size_t n, struct error *err)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_raise_errno(err, ERROR_UNAVAILABLE, errno,
						 "write to the agent");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Reads once into the buffer; 0 bytes are the end. */
static int fill(struct socket *s, size_t limit, struct error *err)
{
	ssize_t n;

	if (s->used == s->size) {
		size_t size = s->size ? s->size * 2 : HEAD_MAX;
		void *grown = size > 2 * limit ? NULL : realloc(s->in, size);

		if (!grown)
			return error_raise(err, ERROR_INTERNAL, "the agent sends too much at once");
		s->in = grown;
		s->size = size;
	}
	do {
		n = read(s->fd, s->in + s->used, s->size - s->used);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return error_raise_errno(err, ERROR_UNAVAILABLE, n < 0 ? errno : ECONNRESET,
					 "read from the agent");
	s->used += (size_t)n;
	return 0;
}

static void drop(struct socket *s, size_t n)
{
	s->used -= n;
	memmove(s->in, s->in + n, s->used);
}

/* --- The opening --- */

/* What the head says that follows it; 0 when it says nothing. */
static size_t content_length(const struct socket *s, size_t head)
{
	char text[HEAD_MAX + 1];
	const char *field;

	snprintf(text, sizeof(text), "%.*s", (int)head, (const char *)s->in);
	field = strcasestr(text, "\r\nContent-Length:");
	return field ? strtoul(strchr(field, ':') + 1, NULL, 10) : 0;
}

/* What the agent says instead of switching protocols. */
static int raise_refusal(struct socket *s, size_t head, struct error *err)
{
	const char *detail = NULL, *code = NULL;
	json_t *problem;
	int status = 0, r;

	sscanf((const char *)s->in, "HTTP/1.1 %d", &status);
	while (s->used < head + content_length(s, head) && fill(s, SOCKET_FRAME_MAX, NULL) == 0)
		;
	problem = json_loadb((const char *)s->in + head, s->used - head, JSON_DISABLE_EOF_CHECK,
			     NULL);
	json_unpack(problem, "{s?s, s?s}", "detail", &detail, "code", &code);
	if (detail)
		r = error_raise(err, ERROR_INTERNAL, "%s (%d %s)", detail, status,
				code ? code : "");
	else
		r = error_raise(err, ERROR_INTERNAL, "the agent answered %d", status);
	json_decref(problem);
	return r;
}

static int shake_hands(struct socket *s, const char *path, struct error *err)
{
	char request[2048];
	int n = snprintf(request, sizeof(request),
			 "GET %s HTTP/1.1\r\nHost: croft\r\nConnection: Upgrade\r\n"
			 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			 "Sec-WebSocket-Key: Y3JvZnRjdGwgY29uc29sZQ==\r\n\r\n",
			 path);
	const char *end = NULL;
	int r;

	if (n >= (int)sizeof(request))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "the name is too long");
	r = write_all(s->fd, request, (size_t)n, err);
	while (r == 0 && !end) {
		r = fill(s, HEAD_MAX, err);
		if (r == 0)
			end = memmem(s->in, s->used, "\r\n\r\n", 4);
	}
	if (r < 0)
		return r;
	n = (int)(end + 4 - (const char *)s->in);
	if (strncmp((const char *)s->in, "HTTP/1.1 101 ", 13) != 0)
		return raise_refusal(s, (size_t)n, err);
	drop(s, (size_t)n);
	return 0;
}

int socket_open(struct socket *out, const char *unix_path, const char *path, struct error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct socket s = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	int r = 0;

	s.in = malloc(HEAD_MAX);
	s.size = HEAD_MAX;
	if (!s.in || s.fd < 0)
		r = error_raise(err, ERROR_RESOURCE_EXHAUSTED, "no memory or no file descriptor");
	else if ((size_t)snprintf(to.sun_path, sizeof(to.sun_path), "%s", unix_path) >=
			 sizeof(to.sun_path) ||
		 connect(s.fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		r = error_raise_errno(err, ERROR_UNAVAILABLE, errno, "cannot reach the agent at %s",
				      unix_path);
	if (r == 0)
		r = shake_hands(&s, path, err);
	if (r < 0)
		socket_close(&s);
	else
		*out = s;
	return r;
}

/* --- Frames --- */

static int send_frame(struct socket *s, enum opcode op, const void *bytes, size_t n,
		      struct error *err)
{
	unsigned char frame[PAYLOAD_MAX + 8] = { (unsigned char)(0x80 | op) };
	unsigned char *mask = frame + 2, *to;

	if (n > PAYLOAD_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "too much at once");
	frame[1] = (unsigned char)(0x80 | (n < 126 ? n : 126));
	if (n >= 126) {
		frame[2] = (unsigned char)(n >> 8);
		frame[3] = (unsigned char)n;
		mask += 2;
	}
	to = mask + 4;
	if (getrandom(mask, 4, 0) != 4)
		return error_raise(err, ERROR_INTERNAL, "no random numbers");
	for (size_t i = 0; i < n; i++)
		to[i] = ((const unsigned char *)bytes)[i] ^ mask[i % 4];
	return write_all(s->fd, frame, (size_t)(to - frame) + n, err);
}

int socket_send(struct socket *s, const void *bytes, size_t n, struct error *err)
{
	return send_frame(s, OP_BINARY, bytes, n, err);
}

int socket_send_text(struct socket *s, const char *text, size_t n, struct error *err)
{
	return send_frame(s, OP_TEXT, text, n, err);
}

struct frame {
	enum opcode op;
	const unsigned char *payload;
	size_t size, whole; /* bytes of the payload, and with its head */
};

/* The first frame of what has come: 1, 0 when it is not whole yet. An agent's frames are not masked. */
static int next_frame(const struct socket *s, struct frame *f, struct error *err)
{
	size_t head = 2, length = 0;

	if (s->used < head)
		return 0;
	f->op = (enum opcode)(s->in[0] & 0x0f);
	f->size = s->in[1] & 0x7f;
	if (f->size >= 126) {
		length = f->size == 126 ? 2 : 8;
		head += length;
		if (s->used < head)
			return 0;
		f->size = 0;
		for (size_t i = 2; i < head; i++)
			f->size = f->size << 8 | s->in[i];
	}
	if ((s->in[1] & 0x80) || f->size > SOCKET_FRAME_MAX)
		return error_raise(err, ERROR_INTERNAL, "the agent's frame makes no sense");
	f->payload = s->in + head;
	f->whole = head + f->size;
	return s->used >= f->whole;
}

static int take_frame(struct socket *s, const struct frame *f, FILE *to, struct error *err)
{
	switch (f->op) {
	case OP_MORE:
	case OP_TEXT:
	case OP_BINARY:
		fwrite(f->payload, 1, f->size, to);
		return 0;
	case OP_PING:
		return send_frame(s, OP_PONG, f->payload, f->size, err);
	case OP_CLOSE:
		return send_frame(s, OP_CLOSE, f->payload, f->size < 2 ? 0 : 2, err) < 0 ? -EPIPE
											 : 1;
	case OP_PONG:
		return 0;
	}
	return error_raise(err, ERROR_INTERNAL, "the agent's frame is of an unknown kind");
}

/* A close frame has a code and a reason, or nothing. */
static void note_end(struct socket_end *end, const struct frame *f)
{
	end->good = f->size < 2 || f->payload[0] * 256 + f->payload[1] == GOOD_END;
	snprintf(end->why, sizeof(end->why), "%.*s", f->size < 2 ? 0 : (int)f->size - 2,
		 (const char *)f->payload + 2);
}

int socket_take(struct socket *s, FILE *to, struct socket_end *end, struct error *err)
{
	struct frame f = { .size = 0 };
	int r;

	while ((r = next_frame(s, &f, err)) == 1) {
		r = take_frame(s, &f, to, err);
		if (r < 0)
			return r;
		if (f.op == OP_CLOSE) {
			note_end(end, &f);
			return 1;
		}
		drop(s, f.whole);
	}
	return r;
}

int socket_receive(struct socket *s, FILE *to, struct socket_end *end, struct error *err)
{
	int r = fill(s, SOCKET_FRAME_MAX, err);

	return r < 0 ? r : socket_take(s, to, end, err);
}
