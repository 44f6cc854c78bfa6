/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSockets (RFC 6455) with a console behind each: private to rest_socket*.c.
 *
 * What the guest writes is the stream of the request's method: its next answer is asked for when the client has taken the last.
 * What the client types goes to the guest in calls of WriteConsole, one after the other; a client that types faster is read no
 * further. All of a socket belongs to the one thread of all sockets, but for what is marked.
 */
#ifndef CROFT_AGENT_REST_SOCKET_H
#define CROFT_AGENT_REST_SOCKET_H

#include "agent/rest_request.h"

#define SECOND_NS 1000000000ull

struct wslay_event_context;

struct wsocket {
	struct sockets *sockets;
	struct listener *listener;
	struct MHD_UpgradeResponseHandle *handle;
	int fd; /* -1: it is gone, and waits only for its calls */
	struct wslay_event_context *ws;
	uint32_t watched; /* events of epoll */

	struct call *stream; /* NULL: given up */
	struct call *typing; /* NULL: none */
	bool stream_posted;

	bool writes;
	bool terminal;	/* it has said its size, and says it in texts when that changes */
	uint8_t *input; /* typed, not yet posted */
	size_t input_size;
	uint32_t columns, rows; /* of the terminal, not yet posted; 0: as they were */
	size_t turn;		/* bytes read in this turn */
	uint8_t *early;		/* came behind the request, before the socket was one */
	size_t early_size, early_read;

	uint16_t goodbye; /* the code to close with when all is sent; 0: it goes on */
	char reason[124];
	bool said;	    /* the close frame is queued */
	bool leaving;	    /* the client has said that it closes */
	bool lost;	    /* the client has gone */
	bool lingering;	    /* our side is shut; what still comes is thrown away */
	uint64_t pinged_ns; /* since then nothing was heard; 0: nothing is expected */
	uint64_t moved_ns;  /* when it last took bytes that waited for it */
	uint64_t leave_ns;  /* at the latest it is dropped; 0: not decided */

	bool begun; /* the thread has it */

	/* Under sockets->lock. */
	bool stream_done, typing_done, queued;
	struct wsocket *next_news;

	struct wsocket *next, *prev; /* of all */
};

struct sockets {
	struct rest *rest;
	const struct method *write;
	pthread_t thread;
	bool running;
	int epoll, wake;
	struct wsocket *all;

	pthread_mutex_t lock;
	pthread_cond_t empty;
	struct wsocket *news; /* new ones, and those whose call is answered */
	size_t count;
	bool closing, stop, ended;
};

/* What libmicrohttpd hands over behind a handshake. */
struct upgraded {
	struct MHD_UpgradeResponseHandle *handle;
	int fd;
	const void *early; /* bytes that the client has sent already */
	size_t early_size;
};

/* rest_socket.c. A socket of an answered request, without its stream; NULL without memory. */
struct wsocket *socket_new(struct request *r, const struct upgraded *up);
/* Frees one that the thread does not have, or not any more; its stream is not touched. Takes NULL. */
void socket_discard(struct wsocket *w);

/* Ends its call, which is not posted now; the service hears of it before anything that is asked later. */
void socket_give_up_stream(struct wsocket *w);
/* The code and reason of the close frame, which goes out behind all that is queued; the first counts. */
void socket_goodbye(struct wsocket *w, unsigned int code, const char *reason);
/* The connection goes back to libmicrohttpd, which closes it; its calls are sent away. */
void socket_drop(struct wsocket *w);
/* What its calls have answered. */
void socket_take_stream(struct wsocket *w);
void socket_take_typing(struct wsocket *w);
/* Reads, posts and sends what can be; drops one that is at its end. */
void socket_run(struct wsocket *w);

/* rest_socket_thread.c. Hands a whole socket to the thread; false when that takes none any more. */
bool sockets_take(struct wsocket *w);
/* On the service thread: done() of the calls, whose data is the socket. */
void sockets_stream_done(struct call *call);
void sockets_typing_done(struct call *call);

#endif
