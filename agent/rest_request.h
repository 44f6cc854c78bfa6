/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of REST on its way: private to rest*.c.
 *
 * A request belongs to the thread of its listener. It leaves that thread only while its call is posted: the connection is
 * suspended then, and the service thread gives it back. What both may touch is under rest->lock.
 */
#ifndef CROFT_AGENT_REST_REQUEST_H
#define CROFT_AGENT_REST_REQUEST_H

#include <microhttpd.h>
#include <pthread.h>

#include "agent/rest.h"
#include "agent/rest_route.h"
#include "agent/service.h"

#define REST_BODY_MAX	       (1024 * 1024) /* bytes of a body that is read; more is 413 */
#define REST_DISCARD_MAX       (16 * 1024 * 1024) /* bytes of a refused body that are read to be polite */
#define REST_CONSOLE_MAX       (1024 * 1024) /* bytes of one console answer without follow */
#define REST_CONSOLE_CHUNK     65536	     /* bytes of one read of the console */
#define REST_WAIT_MAX_SECONDS  300
#define REST_CONNECTIONS_MAX   512	   /* of each listener */
#define REST_IDLE_SECONDS      30	   /* a connection on which nothing moves is closed */
#define REST_CONNECTION_MEMORY (32 * 1024) /* bytes of request line and headers; more is 431 */

struct request;

struct rest {
	const struct config *config;
	struct service *service;
	struct MHD_Daemon *unix_daemon, *tcp_daemon;
	const struct method **methods; /* of the rows of rest_routes */
	pthread_t watcher;
	bool watcher_runs;
	int epoll; /* the sockets of suspended connections, to see clients that vanish */
	int stop;  /* eventfd: the watcher ends */
	bool socket_bound;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* posted and active get smaller */
	_Atomic bool closing;	/* written under lock */
	size_t posted;		/* requests whose call is with the service */
	size_t active;		/* requests that have begun and not completed */
	uint64_t last_id;
	struct request *first; /* list of the posted ones */
};

enum request_state {
	REQUEST_BODY, /* reading */
	REQUEST_CALL, /* its call is posted or answered */
	REQUEST_WAIT, /* the same, of the WaitOperation behind a slow verb */
	REQUEST_DONE, /* the response is queued */
};

struct request {
	struct rest *rest;
	struct MHD_Connection *connection;
	struct route_match match;
	enum request_state state;
	unsigned int status; /* of the error, where it is REST's own; 0: the table's */
	struct error error;  /* what was found before the call */
	bool head;
	bool follow, verbose;
	const char *wait; /* the text of ?wait of a slow verb; lives as long as the request */
	char *body;
	size_t body_size, body_room, body_seen;

	struct call *call; /* the last one */
	struct {
		uint64_t first; /* offset of the first byte of the console that is answered */
		size_t sent;	/* bytes of the call's reply, or of events' text, that were sent */
		bool rendered;	/* the events of the call's reply are text in `body` */
	} stream;

	/* Under rest->lock. */
	bool posted, gone;
	uint64_t id;
	struct request *next, *prev;
};

static inline const struct method *request_method(const struct request *r)
{
	return r->rest->methods[r->match.route - rest_routes];
}

/* rest.c: posts r->call and suspends the connection; false when the agent is closing, and nothing was done then. */
bool rest_post(struct request *r);

/* rest_request.c */
void *request_begin(struct rest *rest, struct MHD_Connection *connection, const char *method,
		    const char *url);
enum MHD_Result request_data(struct request *r, const char *data, size_t *size);
enum MHD_Result request_step(struct request *r);
void request_free(struct request *r);
/*
 * Whether a refused request is answered behind its body: most clients read nothing before they have sent it all. One that
 * asks first (Expect), or announces too much, is answered at once.
 */
bool request_reads_body(const struct request *r);
/* A call of that method with a new request message; NULL with r->error raised. */
struct call *request_call_new(struct request *r, const struct method *method);

/* rest_reply.c: each queues a response, which ends the request. */
enum MHD_Result reply_error(struct request *r, const struct error *error, unsigned int status);
enum MHD_Result reply_problem(struct request *r, const ProtobufCMessage *problem,
			      unsigned int status);
enum MHD_Result reply_message(struct request *r, const ProtobufCMessage *message,
			      unsigned int status);
/* The text of a reply that is a Text. */
enum MHD_Result reply_text(struct request *r, const ProtobufCMessage *message);
enum MHD_Result reply_queue(struct request *r, struct MHD_Response *response, unsigned int status,
			    const char *type);

/* rest_console.c: the call of a ROUTE_READ has been answered without error. */
enum MHD_Result console_step(struct request *r);

/*
 * rest_event.c: the call of a ROUTE_EVENTS has its parameters, and gets those of a stream if the client wants one; negative
 * with r->error raised. The second when the call has been answered without error.
 */
int events_begin(struct request *r);
enum MHD_Result events_step(struct request *r);

#endif
