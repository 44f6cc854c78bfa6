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
#include "agent/rest_limits.h"
#include "agent/rest_listen.h"
#include "agent/rest_route.h"
#include "agent/service.h"

struct sockets;

struct rest {
	const struct config *config;
	struct service *service;
	struct listener unix_listener, tcp_listener, tls_listener;
	struct sockets *sockets;
	const struct method **methods; /* of the rows of rest_routes */
	const struct method **watches; /* the same of their `watch` */
	pthread_t watcher;
	bool watcher_runs;
	int epoll; /* the sockets of suspended connections, to see clients that vanish */
	int stop;  /* eventfd: the watcher ends */

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
	struct link *link;
	struct MHD_Connection *connection;
	struct route_match match;
	const struct method *method; /* the row's RPC, or the one that it watches with */
	enum request_state state;
	unsigned int status; /* of the error, where it is REST's own; 0: the table's */
	struct error error;  /* what was found before the call */
	bool head, verbose;
	bool patient; /* its call may take as long as the client said */
	bool stream;  /* `method` is a stream, and counts as one */
	bool counted; /* it was counted at the listener */
	bool upgraded; /* it has become a WebSocket, and waits only for libmicrohttpd to be done with it */
	const char *wait; /* the text of ?wait of a slow verb; lives as long as the request */
	char *body;	  /* that was read; then the text that a stream or a console sends */
	size_t body_size, body_room, body_seen;
	size_t body_sent;	/* of a stream's text */
	bool rendered;		/* the stream's answer is text in `body` */
	uint64_t console_first; /* offset of the first byte of the console that is answered */

	struct call *call; /* the last one */

	/* Under rest->lock. */
	bool posted, gone;
	bool watched; /* its socket is in rest->epoll */
	uint64_t id;
	struct request *next, *prev;
};

/* rest.c: posts r->call and suspends the connection; false when the agent is closing, and nothing was done then. */
bool rest_post(struct request *r);

/* rest_request.c. `refused` is what was wrong with the URI's form, or NULL. */
struct request *request_begin(struct link *link, struct MHD_Connection *connection,
			      const char *method, const char *url, const char *refused);
enum MHD_Result request_data(struct request *r, const char *data, size_t *size);
enum MHD_Result request_step(struct request *r);
void request_free(struct request *r);
/* The request is not the listener's any more, but its memory is: of a connection that becomes a WebSocket. */
void request_release(struct request *r);
/* Frees its call, which is not posted; a stream is closed. */
void request_drop_call(struct request *r);
/*
 * Whether a refused request is answered behind its body: most clients read nothing before they have sent it all. One that
 * asks first (Expect), or announces too much, is answered at once.
 */
bool request_reads_body(const struct request *r);
/* A call of that method with a new request message; NULL with r->error raised. */
struct call *request_call_new(struct request *r, const struct method *method);

/* rest_param.c: what request line and headers say. Negative with r->error, and perhaps r->status. */
const char *request_header(const struct request *r, const char *name);
/* Whether the query has that parameter; its first value, NULL when it has no '='. */
bool param_query(const struct request *r, const char *key, const char **value);
int request_fail(struct request *r, unsigned int status, enum error_code code, const char *text);
int param_check_headers(struct request *r);
/* Finds r->method: the row's own, or the stream that the client asks for. */
void param_choose_method(struct request *r);
/* Path, query and headers into r->call. The path overrides what a body says, so it comes behind it. */
int param_take(struct request *r);
/* A field that the query calls by another name is blamed by that. */
void param_name_field(const struct request *r, struct error *error);
/* Whether If-None-Match lets an object of that revision through. */
bool param_none_match(const struct request *r, uint64_t revision);

/* rest_body.c: the body into r->call. */
int body_take(struct request *r);

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

/* rest_console.c: the call of a ROUTE_READ that does not follow has been answered without error. */
enum MHD_Result console_step(struct request *r);

/* rest_stream.c: the first answer of a stream is there, without error. */
enum MHD_Result stream_begin(struct request *r);

/* rest_socket.c: the same of one that becomes a WebSocket; and whether its headers say so, as param_check_headers(). */
enum MHD_Result socket_upgrade(struct request *r);
int socket_check_headers(struct request *r);
/*
 * One thread for all WebSockets. sockets_close() says goodbye to each, and returns when there is none any more; the service
 * must run. Both it and sockets_free() take NULL.
 */
int sockets_new(struct sockets **out, struct rest *rest, struct error *err);
void sockets_close(struct sockets *sockets);
struct sockets *sockets_free(struct sockets *sockets);

#endif
