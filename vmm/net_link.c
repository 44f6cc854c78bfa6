// SPDX-License-Identifier: Apache-2.0
/* Frames to and from a tap or a stream socket. */
#include "vmm/net_link.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define PREFIX	  sizeof(uint32_t)
#define IN_SIZE	  (2 * (PREFIX + NET_FRAME_MAX))
#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static int init_tap(struct net_link *link, struct error *err)
{
	int header = NET_HEADER;
	struct ifreq ifr = { 0 };

	if (ioctl(link->fd, TUNGETIFF, &ifr) < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "not a tap");
	if ((ifr.ifr_flags & TAP_FLAGS) != TAP_FLAGS)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "not a tap with virtio headers and without packet information");
	if (ioctl(link->fd, TUNSETVNETHDRSZ, &header) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "size of the tap's header");
	return 0;
}

static int init_stream(struct net_link *link, struct error *err)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (getsockopt(link->fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not a stream socket");
	link->in = malloc(IN_SIZE);
	link->out = malloc(PREFIX + NET_FRAME_MAX);
	if (!link->in || !link->out)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "buffers");
	return 0;
}

int net_link_init(struct net_link *link, enum vmm_net_kind kind, int fd, struct error *err)
{
	int flags;

	*link = (struct net_link){ .kind = kind, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0) };
	if (link->fd < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "file descriptor");
	flags = fcntl(link->fd, F_GETFL);
	if (flags < 0 || fcntl(link->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "file descriptor");
	return kind == VMM_NET_TAP ? init_tap(link, err) : init_stream(link, err);
}

void net_link_free(struct net_link *link)
{
	link->fd = base_close(link->fd);
	free(TAKE_PTR(link->in));
	free(TAKE_PTR(link->out));
}

/* --- Read --- */

static bool is_later(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR || err == ENOBUFS;
}

/* 1 when the buffer holds a whole frame, of *length bytes behind its prefix. */
static int whole_frame(const struct net_link *link, uint32_t *length)
{
	if (link->in_used < PREFIX)
		return 0;
	memcpy(length, link->in + link->in_start, PREFIX);
	*length = ntohl(*length);
	if (*length < NET_FRAME_MIN || *length > NET_FRAME_MAX)
		return -EPIPE;
	return link->in_used - PREFIX >= *length;
}

static ssize_t read_stream(struct net_link *link, uint8_t *to)
{
	uint32_t length = 0;
	int r;

	while ((r = whole_frame(link, &length)) == 0) {
		ssize_t n;

		/* There is room for the rest of any frame, once what is there lies at the start. */
		memmove(link->in, link->in + link->in_start, link->in_used);
		link->in_start = 0;
		n = recv(link->fd, link->in + link->in_used, IN_SIZE - link->in_used, MSG_DONTWAIT);
		if (n < 0)
			return is_later(errno) ? -EAGAIN : -EPIPE;
		if (n == 0)
			return -EPIPE;
		link->in_used += (size_t)n;
	}
	if (r < 0)
		return r;
	memset(to, 0, NET_HEADER);
	memcpy(to + NET_HEADER, link->in + link->in_start + PREFIX, length);
	link->in_start += PREFIX + length;
	link->in_used -= PREFIX + length;
	return (ssize_t)(NET_HEADER + length);
}

ssize_t net_link_read(struct net_link *link, uint8_t *to, size_t n)
{
	ssize_t r;

	assert(n >= NET_HEADER + NET_FRAME_MAX);
	if (link->kind == VMM_NET_STREAM)
		return read_stream(link, to);
	r = read(link->fd, to, n);
	if (r < 0)
		return is_later(errno) ? -EAGAIN : -EPIPE;
	return r < (ssize_t)(NET_HEADER + NET_FRAME_MIN) ? -EAGAIN : r;
}

/* --- Write --- */

bool net_link_stuck(const struct net_link *link)
{
	return link->out_used > 0;
}

int net_link_flush(struct net_link *link)
{
	while (link->out_used > 0) {
		ssize_t n = send(link->fd, link->out + link->out_start, link->out_used,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return is_later(errno) ? -EAGAIN : -EPIPE;
		link->out_start += (size_t)n;
		link->out_used -= (size_t)n;
	}
	return 0;
}

/* The header goes, the length comes in its place. */
static int write_stream(struct net_link *link, struct iovec *iov, unsigned int count, size_t bytes)
{
	uint32_t length = htonl((uint32_t)(bytes - NET_HEADER));
	struct msghdr msg = { 0 };
	size_t total = bytes - NET_HEADER + PREFIX;
	ssize_t n;

	if (bytes - NET_HEADER > NET_FRAME_MAX)
		return -EMSGSIZE;
	if (net_link_stuck(link) && net_link_flush(link) < 0)
		return -EAGAIN;
	iov = iov_drop(iov, &count, NET_HEADER - PREFIX);
	assert(iov->iov_len >= PREFIX);
	memcpy(iov->iov_base, &length, PREFIX);
	msg.msg_iov = iov;
	msg.msg_iovlen = count;
	n = sendmsg(link->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return is_later(errno) ? -EAGAIN : -EPIPE;
	/* What was begun must be ended, or the other side would take the next for its rest. */
	if ((size_t)n < total) {
		link->out_start = 0;
		link->out_used = iov_read(iov, count, (uint64_t)n, link->out, total - (size_t)n);
	}
	return 0;
}

int net_link_write(struct net_link *link, struct iovec *iov, unsigned int count, size_t bytes)
{
	ssize_t n;

	if (link->kind == VMM_NET_STREAM)
		return write_stream(link, iov, count, bytes);
	do
		n = writev(link->fd, iov, (int)count);
	while (n < 0 && errno == EINTR);
	/* A tap that is full, or down, drops. */
	return n < 0 ? (errno == EAGAIN ? -ENOBUFS : -errno) : 0;
}

int net_link_offload(struct net_link *link, bool checksums, bool tso4, bool tso6)
{
	unsigned int flags =
		checksums ? TUN_F_CSUM | (tso4 ? TUN_F_TSO4 : 0u) | (tso6 ? TUN_F_TSO6 : 0u) : 0;

	if (link->kind != VMM_NET_TAP)
		return 0;
	return ioctl(link->fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}
