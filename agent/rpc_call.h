/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC call on its way: private to rpc*.c. All of it runs on the completion queue's thread, but for the service's answers,
 * which only put a tag into that queue.
 *
 * | a method's call | goes |
 * | unary | read a message, post, answer with status |
 * | METHOD_STREAM | read, post, send, post the same call again when that is sent, ..., status |
 * | METHOD_INPUT | the same; meanwhile rpc_input.c reads further messages and posts each as a call of its own |
 * | reflection | rpc_reflection.c: read, send, read, ... ; the service is not asked |
 */
#ifndef CROFT_AGENT_RPC_CALL_H
#define CROFT_AGENT_RPC_CALL_H

#include <grpc/grpc_security.h>
#include <pthread.h>

#include "agent/rpc.h"
#include "agent/service.h"

/* The limits of the gRPC doors. What exceeds one is refused with RESOURCE_EXHAUSTED. */
#define RPC_MESSAGE_MAX	 (1024 * 1024)	    /* bytes of a message of a client */
#define RPC_METADATA_MAX (16 * 1024)	    /* bytes of a call's metadata */
#define RPC_CALLS_MAX	 1024		    /* calls at once on all connections */
#define RPC_STREAMS_MAX	 512		    /* of them calls that stream */
#define RPC_MEMORY_MAX	 (64 * 1024 * 1024) /* bytes that gRPC core has for connections and calls */
/* HTTP/2's own limit of calls at once on a connection; a client's library holds back what exceeds it. */
#define RPC_CONNECTION_CALLS_MAX 256

struct rpc_call;

/* What the completion queue gives back; ok is false when the batch failed or the server ends. */
struct rpc_tag {
	void (*run)(struct rpc_call *call, bool ok);
	struct rpc_call *call;
};

struct rpc {
	const struct config *config;
	struct service *service;
	struct tls *tls;		 /* NULL without a TLS listener */
	_Atomic uint64_t tls_generation; /* of the files that the TLS listener has */
	grpc_server *server;
	grpc_completion_queue *queue;
	pthread_t thread;
	bool thread_runs;
	pthread_mutex_t answering; /* held while the service thread puts a tag into the queue */
	struct rpc_tag ended;	   /* the server has shut down */

	/* The queue's thread only. */
	bool closing, server_ended;
	size_t active, streams; /* calls that have begun, and those of them that stream */
	struct rpc_call *first;
};

struct rpc_call {
	struct rpc *rpc;
	unsigned int pending; /* tags in the queue, or to come */
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *payload; /* the message that was read last */
	int close_cancelled;	   /* gRPC core's, until the tag on_close is back */
	bool cancelled;		   /* the client has gone */
	bool greeted;		   /* the initial metadata has been sent */
	bool over;		   /* the status has been sent, or the client has gone */
	bool streams;		   /* counted in rpc->streams */
	struct error verdict;	   /* raised: a stream ends with it as soon as its call is back */
	struct rpc_tag on_new, on_read, on_close, on_answer, on_sent, on_typed;

	const struct method *method; /* NULL: reflection */
	struct principal who;
	struct call *work;  /* the service's call */
	bool posted;	    /* it is with the service */
	bool reads;	    /* METHOD_INPUT: messages are read */
	struct call *typed; /* METHOD_INPUT: what was typed, while it is with the service */
	struct rpc_call *next, *prev;
};

/* rpc.c: waits for the next call. */
void rpc_accept(struct rpc *rpc);

/* rpc_call.c */
struct rpc_call *rpc_call_new(struct rpc *rpc);
/* One tag less; frees the call behind its last one. */
void rpc_call_put(struct rpc_call *c);
/* The call has come in: reads its message. */
void rpc_call_begin(struct rpc_call *c);
/* Reads another message into c->payload, NULL when the client has sent its last; then runs `run`. */
void rpc_call_read(struct rpc_call *c, void (*run)(struct rpc_call *c, bool ok));
/* Sends a message, or NULL for the initial metadata alone; then runs `run`. */
void rpc_call_send(struct rpc_call *c, const ProtobufCMessage *message,
		   void (*run)(struct rpc_call *c, bool ok));
/* Ends the call with a last message, which may be NULL, and OK; or with an error. */
void rpc_call_end(struct rpc_call *c, const ProtobufCMessage *message);
void rpc_call_fail(struct rpc_call *c, const struct error *error);
/* Has the service answer now what waits: the client has gone, or the agent goes down. */
void rpc_call_cancel(struct rpc_call *c);
/* Ends a stream with that error, when its call is back from the service. */
void rpc_call_stop(struct rpc_call *c, const struct error *error);
/* For struct call's done: has `tag` run on the queue's thread. */
void rpc_call_tag(struct rpc_call *c, struct rpc_tag *tag);
/* First in such a tag: the service thread may not have left gRPC core yet, and the call must last as long. */
void rpc_call_back(struct rpc_call *c);

/*
 * rpc_request.c. The first finds method and principal, and checks what each call is checked for; the second makes c->work
 * of the message and the metadata.
 */
int rpc_request_begin(struct rpc_call *c, struct error *err);
int rpc_request_work(struct rpc_call *c, struct error *err);
/* The message in c->payload, which is there; free it with message_free(). */
int rpc_request_unpack(struct rpc_call *c, const ProtobufCMessageDescriptor *type,
		       ProtobufCMessage **out, struct error *err);

/* rpc_input.c: types what the first message has, then reads on, when the service has answered the first time. */
void rpc_input_begin(struct rpc_call *c);

/* rpc_reflection.c: whether the call's name is that of reflection; answers its first message, then reads on. */
bool rpc_is_reflection(const char *name);
void rpc_reflection_begin(struct rpc_call *c);

/* rpc_tls.c: credentials that ask each client for a certificate and take the files of rpc->tls anew when they change. */
grpc_server_credentials *rpc_tls_credentials(struct rpc *rpc);
/* Who is at the other end of a call. */
void rpc_principal(struct principal *out, struct rpc_call *c);

/*
 * rpc_status.c: google.rpc.Status of an error, with a croft.v1.Problem in it, as the bytes of grpc-status-details-bin;
 * an empty slice when memory is out.
 */
grpc_slice rpc_status_details(const struct error *error);

#endif
