/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket client (RFC 6455) over the agent's unix socket, as far as an attached console needs one.
 */
#ifndef CROFT_AGENT_CTL_SOCKET_H
#define CROFT_AGENT_CTL_SOCKET_H

#include "vmm/base.h"

#define SOCKET_FRAME_MAX (1u << 20) /* bytes of a frame that the agent sends */

struct socket {
	int fd;
	unsigned char *in; /* what has come and is not used yet */
	size_t used, size;
};

/*
 * Connects to the unix socket and asks for `path`. Errors: UNAVAILABLE when the agent is not reached; INTERNAL with what it
 * answered. socket_close() takes a zeroed one, too.
 */
int socket_open(struct socket *out, const char *unix_path, const char *path, struct error *err);
void socket_close(struct socket *s);

/* One binary message of at most 4,096 bytes. */
int socket_send(struct socket *s, const void *bytes, size_t n, struct error *err);

/* The same for a text. */
int socket_send_text(struct socket *s, const char *text, size_t n, struct error *err);

/* How the agent has closed it. */
struct socket_end {
	bool good;
	char why[128];
};

/*
 * Writes the messages that have come whole to `to`; socket_receive() waits for more first. What came with the opening is there
 * to be taken at once. 1: the agent has closed it.
 */
int socket_take(struct socket *s, FILE *to, struct socket_end *end, struct error *err);
int socket_receive(struct socket *s, FILE *to, struct socket_end *end, struct error *err);

#endif
