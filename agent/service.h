/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: the one thread that owns every record (VMs, images, operations), and the calls that others send it.
 *
 * A transport fills a struct call from its wire, posts it, and is called back. It never touches a record.
 */
#ifndef CROFT_AGENT_SERVICE_H
#define CROFT_AGENT_SERVICE_H

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>

#include "agent/auth.h"
#include "vmm/base.h"

struct service;
struct call;
struct config;
struct kept_key;

enum method_flag {
	METHOD_CHANGES = 1, /* changes something: audited, and honours an idempotency key */
	METHOD_STREAM = 2,  /* answers more than once: see struct call */
	METHOD_INPUT = 4, /* a stream whose client sends messages too, each as a call of `input` */
};

/* One RPC. `name` is "croft.v1.Vms/StartVm"; the table is sorted by nothing, and searched by name rarely. */
struct method {
	const char *name;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
	/* Runs on the service thread and does not block: answers with call_reply() or call_fail() now or later. */
	void (*handle)(struct service *service, struct call *call);
	unsigned int roles; /* enum role: the client must have one of them; 0: anybody may */
	unsigned int flags; /* enum method_flag */
	/* Of a stream that holds something: gives it back. Runs once, on the service thread, when the stream has ended. */
	void (*close)(struct service *service, struct call *call);
};

extern const struct method service_methods[];
extern const size_t service_method_count;
const struct method *service_method_find(const char *name); /* NULL when unknown */

#define IDEMPOTENCY_KEY_MAX 128 /* characters of a key, printable ASCII */

/*
 * A stream (METHOD_STREAM) is one call that is posted again and again: done() gets one message, and while `more` is set the
 * transport sends it and posts the same call again when the client can take the next one. So a slow client costs nobody
 * anything. done() with `more` and without a reply is a sign of life, at least each 15 s. The transport ends a stream that
 * still has `more` with service_abandon().
 */
struct call {
	/* Filled by the transport. */
	const struct method *method;
	ProtobufCMessage *request; /* of method->request; the call owns it */
	uint64_t if_match;	   /* revision that the object must have; 0: any */
	bool must_exist;	   /* the object must be there, of whatever revision */
	struct principal who;	   /* who asks, as auth.h says */
	char idempotency_key[IDEMPOTENCY_KEY_MAX + 1]; /* "": none */
	uint64_t expires_ns; /* by clock_ns(): later the client does not want it begun any more; 0: any time */
	uint64_t session; /* of WriteConsole: the attachment that it belongs to, as that stream's call has it; else 0 */
	void (*done)(
		struct call
			*call); /* once, on the service thread; must not block; may free the call */
	void *data;

	/* The answer, valid in done: a reply of method->reply (the call owns it), or error raised. */
	ProtobufCMessage *reply;
	struct error error;
	bool more; /* a stream: there is another message, or there may be */

	/* A stream's place, which its handler keeps from post to post. */
	bool begun;	 /* the handler has checked the request and set the place */
	bool heard;	 /* the service's: something was answered, if only a sign of life */
	uint64_t cursor; /* the number or offset of the last that was sent */
	void *place;	 /* the handler's own, freed by method->close */

	/* The service's own. */
	struct call *next;
	uint64_t deadline_ns;  /* of a call that waits; 0: it has not begun to */
	uint64_t ticket;       /* of the store's commit that the answer waits for */
	atomic_bool cancelled; /* the client has gone */
	bool abandoned;	       /* posted only to be closed */
	bool replayed; /* its answer is that of an earlier request with its idempotency key */
	struct kept_key *key; /* its idempotency key, while the handler has not answered */
};

/* Frees request, reply and call; takes NULL, returns NULL. Not while the call is posted. */
struct call *call_free(struct call *call);

/*
 * Starts the service thread: opens the store, brings back records, probes the backend. The service is usable when this
 * returns 0. service_free() refuses new calls, force-stops the VMs (exit reason host_shutdown), ends the workers,
 * answers what waits with UNAVAILABLE and joins the thread; the transports must have stopped posting before it returns.
 */
int service_new(struct service **out, const struct config *config, struct error *err);
struct service *service_free(struct service *service);

/* Any thread. The call belongs to the service until done() is called, which always happens. */
void service_post(struct service *service, struct call *call);

/* Any thread, instead of posting a stream's call again: the client has gone. Closes the stream and frees the call. */
void service_abandon(struct service *service, struct call *call);

/*
 * Any thread, before done() has freed the call: the client has gone. A call that waits is answered now with CANCELLED; any
 * other goes on.
 */
void service_cancel(struct service *service, struct call *call);

/* The time, in ns, at which the service thread last ran its loop; for the watchdog. Any thread. */
uint64_t service_heartbeat_ns(struct service *service);

/* Any thread: a child process has ended (SIGCHLD). */
void service_child_ended(struct service *service);

/* For the metrics: REST has given an answer with that HTTP status. Any thread. */
void service_count_rest(struct service *service, unsigned int status);

#endif
