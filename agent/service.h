/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: the one thread that owns every record (VMs, images, operations), and the calls that others send it.
 *
 * A transport fills a struct call from its wire, posts it, and is called back. It never touches a record.
 */
#ifndef CROFT_AGENT_SERVICE_H
#define CROFT_AGENT_SERVICE_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

struct service;
struct call;
struct config;

/* One RPC. `name` is "croft.v1.Vms/StartVm"; the table is sorted by nothing and searched by name at start-up only. */
struct method {
	const char *name;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
	/* Runs on the service thread and does not block: answers with call_reply() or call_fail() now or later. */
	void (*handle)(struct service *service, struct call *call);
};

extern const struct method service_methods[];
extern const size_t service_method_count;
const struct method *service_method_find(const char *name); /* NULL when unknown */

struct call {
	/* Filled by the transport. */
	const struct method *method;
	ProtobufCMessage *request; /* of method->request; the call owns it */
	uint64_t if_match;	   /* revision that the object must have; 0: any */
	char actor[64];		   /* who asks: "uid:0", "tcp:127.0.0.1" */
	void (*done)(
		struct call
			*call); /* once, on the service thread; must not block; may free the call */
	void *data;

	/* The answer, valid in done: a reply of method->reply (the call owns it), or error raised. */
	ProtobufCMessage *reply;
	struct error error;

	/* The service's own. */
	struct call *next;
	uint64_t deadline_ns; /* of a call that waits; 0: it has not begun to */
	uint64_t ticket;      /* of the store's commit that the answer waits for */
	bool cancelled;	      /* the client has gone */
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

/*
 * Any thread, before done() has freed the call: the client has gone. A call that waits is answered now with CANCELLED; any
 * other goes on.
 */
void service_cancel(struct service *service, struct call *call);

/* The time, in ns, at which the service thread last ran its loop; for the watchdog. Any thread. */
uint64_t service_heartbeat_ns(struct service *service);

/* For the metrics: REST has given an answer with that HTTP status. Any thread. */
void service_count_rest(struct service *service, unsigned int status);

#endif
