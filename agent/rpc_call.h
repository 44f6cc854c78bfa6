/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC call on its way: private to rpc*.c. All of it runs on the completion queue's thread, but for the service's answer,
 * which only puts a tag into that queue.
 */
#ifndef CROFT_AGENT_RPC_CALL_H
#define CROFT_AGENT_RPC_CALL_H

#include <grpc/grpc.h>
#include <pthread.h>

#include "agent/rpc.h"
#include "agent/service.h"

#define RPC_MESSAGE_MAX	 (1024 * 1024) /* bytes of a request */
#define RPC_METADATA_MAX (16 * 1024)   /* bytes of a request's metadata */
#define RPC_STREAMS_MAX	 256	       /* calls at once on a connection */
#define RPC_CALLS_MAX	 1024 /* calls at once on all of them; more is RESOURCE_EXHAUSTED */

struct rpc_call;

/* What the completion queue gives back; ok is false when the batch failed or the server ends. */
struct rpc_tag {
	void (*run)(struct rpc_call *call, bool ok);
	struct rpc_call *call;
};

struct rpc {
	struct service *service;
	grpc_server *server;
	grpc_completion_queue *queue;
	pthread_t thread;
	bool thread_runs;
	pthread_mutex_t answering; /* held while the service thread puts a tag into the queue */
	struct rpc_tag ended;	   /* the server has shut down */

	/* The queue's thread only. */
	bool closing, server_ended;
	size_t active; /* calls that have begun */
	struct rpc_call *first;
};

struct rpc_call {
	struct rpc *rpc;
	unsigned int pending; /* tags in the queue, or to come */
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *payload;
	int cancelled;
	struct rpc_tag on_new, on_payload, on_close, on_answer, on_sent;

	struct call *work; /* the service's call */
	bool posted;	   /* it is with the service */
	bool health;	   /* grpc.health.v1: work is CheckHealth */
	struct rpc_call *next, *prev;
};

/* rpc.c: waits for the next call. */
void rpc_accept(struct rpc *rpc);

/* rpc_call.c */
struct rpc_call *rpc_call_new(struct rpc *rpc);
/* One tag less; frees the call behind its last one. */
void rpc_call_put(struct rpc_call *call);
/* The call has come in: reads its message. */
void rpc_call_begin(struct rpc_call *call);

/*
 * rpc_status.c: google.rpc.Status of an error, with a croft.v1.Problem in it, as the bytes of grpc-status-details-bin;
 * an empty slice when memory is out.
 */
grpc_slice rpc_status_details(const struct error *error);

#endif
