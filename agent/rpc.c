// SPDX-License-Identifier: Apache-2.0
// The gRPC door: the server, its completion queue and the thread that serves it.

#include "agent/rpc.h"

#include <string.h>
#include <time.h>

#include <grpc/grpc_security.h>
#include <grpc/support/log.h>

#include "agent/config.h"
#include "agent/log.h"
#include "agent/rpc_call.h"

#define CLOSE_GRACE_MS 500 /* running answers get this long when the agent goes down */

/* --- The queue's thread --- */

/* The server ends: nobody needs to wait any more. */
static void close_calls(struct rpc *rpc)
{
	rpc->closing = true;
	for (struct rpc_call *c = rpc->first; c; c = c->next)
		rpc_call_cancel(c);
}

static void accepted(struct rpc_call *c, bool ok)
{
	struct rpc *rpc = c->rpc;

	if (ok) {
		rpc_call_begin(c);
		rpc_accept(rpc);
	} else {
		close_calls(rpc);
	}
	rpc_call_put(c);
}

void rpc_accept(struct rpc *rpc)
{
	struct rpc_call *c = rpc_call_new(rpc);
	grpc_call_error rc;

	if (!c) {
		log_error("grpc: out of memory; no more calls are taken");
		return;
	}
	c->on_new = (struct rpc_tag){ .run = accepted, .call = c };
	c->pending = 1;
	rc = grpc_server_request_call(rpc->server, &c->call, &c->details, &c->metadata, rpc->queue,
				      rpc->queue, &c->on_new);
	if (rc != GRPC_CALL_OK)
		rpc_call_put(c);
}

static void *serve(void *data)
{
	struct rpc *rpc = data;
	bool queue_ended = false;

	for (;;) {
		grpc_event event = grpc_completion_queue_next(rpc->queue,
							      gpr_inf_future(GPR_CLOCK_REALTIME),
							      NULL);
		struct rpc_tag *tag = event.tag;

		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (event.type != GRPC_OP_COMPLETE)
			continue;
		if (tag == &rpc->ended)
			rpc->server_ended = true;
		else
			tag->run(tag->call, event.success != 0);
		/* The queue must last as long as the service may still answer a call. */
		if (rpc->server_ended && !rpc->first && !queue_ended) {
			queue_ended = true;
			grpc_completion_queue_shutdown(rpc->queue);
		}
	}
}

/* --- Life --- */

static void on_log(gpr_log_func_args *args)
{
	log_warning("grpc: %s", args->message);
}

static grpc_server *server_new(void)
{
	static const struct {
		const char *key;
		int value;
	} settings[] = {
		{ GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX },
		{ GRPC_ARG_MAX_METADATA_SIZE, RPC_METADATA_MAX },
		{ GRPC_ARG_MAX_CONCURRENT_STREAMS, RPC_CONNECTION_CALLS_MAX },
		/* Two agents must not share a port. */
		{ GRPC_ARG_ALLOW_REUSEPORT, 0 },
		/* A small compressed message may be a large one. */
		{ GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE },
		/* A client that is gone without a word is noticed. */
		{ GRPC_ARG_KEEPALIVE_TIME_MS, 60 * 1000 },
		{ GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1 },
		{ GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20 * 1000 },
		/* Nobody reads what channelz would keep of each call. */
		{ GRPC_ARG_ENABLE_CHANNELZ, 0 },
	};
	grpc_arg args[ARRAY_SIZE(settings) + 1];
	grpc_channel_args all = { .num_args = ARRAY_SIZE(args), .args = args };
	grpc_resource_quota *quota = grpc_resource_quota_create("croft");
	grpc_server *server;

	grpc_resource_quota_resize(quota, RPC_MEMORY_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		args[i] = (grpc_arg){ .type = GRPC_ARG_INTEGER,
				      .key = (char *)(uintptr_t)settings[i].key,
				      .value.integer = settings[i].value };
	args[ARRAY_SIZE(settings)] = (grpc_arg){
		.type = GRPC_ARG_POINTER,
		.key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
		.value.pointer = { .p = quota, .vtable = grpc_resource_quota_arg_vtable() },
	};
	server = grpc_server_create(&all, NULL);
	grpc_resource_quota_unref(quota);
	return server;
}

static int listen_on(struct rpc *rpc, const struct config_address *address,
		     grpc_server_credentials *credentials, struct error *err)
{
	int port = 0;

	if (credentials)
		port = grpc_server_add_http2_port(rpc->server, address->text, credentials);
	grpc_server_credentials_release(credentials);
	return port ? 0
		    : error_raise(err, ERROR_CONFLICT, "gRPC on %s: cannot be listened on",
				  address->text);
}

static int listen_all(struct rpc *rpc, struct error *err)
{
	const struct config *config = rpc->config;
	int rc = 0;

	if (config->listen_grpc.len)
		rc = listen_on(rpc, &config->listen_grpc, grpc_insecure_server_credentials_create(),
			       err);
	if (!rc && config->listen_grpc_tls.len)
		rc = listen_on(rpc, &config->listen_grpc_tls, rpc_tls_credentials(rpc), err);
	return rc;
}

void rpc_prepare(void)
{
	/*
	 * gRPC core has no setting for it, but reads the cipher suites of TLS 1.2 from here. With one that needs a key which
	 * nobody has, no handshake but that of TLS 1.3 succeeds.
	 */
	setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-CBC-SHA", 1);
}

int rpc_new(struct rpc **out, const struct config *config, struct service *service, struct tls *tls,
	    struct error *err)
{
	struct rpc *rpc;
	int rc;

	if (!config->listen_grpc.len && !config->listen_grpc_tls.len) {
		*out = NULL;
		return 0;
	}
	rpc = calloc(1, sizeof(*rpc));
	if (!rpc)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	gpr_set_log_function(on_log);
	gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
	grpc_init();
	rpc->config = config;
	rpc->service = service;
	rpc->tls = tls;
	pthread_mutex_init(&rpc->answering, NULL);
	rpc->queue = grpc_completion_queue_create_for_next(NULL);
	rpc->server = server_new();
	grpc_server_register_completion_queue(rpc->server, rpc->queue, NULL);
	rc = listen_all(rpc, err);
	if (!rc) {
		grpc_server_start(rpc->server);
		rpc_accept(rpc);
		rc = pthread_create(&rpc->thread, NULL, serve, rpc);
		rpc->thread_runs = rc == 0;
		if (rc)
			rc = error_raise_errno(err, ERROR_UNAVAILABLE, rc, "gRPC: thread");
	}
	if (rc) {
		rpc_free(rpc);
		return rc;
	}
	*out = rpc;
	return 0;
}

static void join(struct rpc *rpc)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += CLOSE_GRACE_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	if (!pthread_clockjoin_np(rpc->thread, NULL, CLOCK_MONOTONIC, &until))
		return;
	grpc_server_cancel_all_calls(rpc->server);
	pthread_join(rpc->thread, NULL);
}

struct rpc *rpc_free(struct rpc *rpc)
{
	if (!rpc)
		return NULL;
	grpc_server_shutdown_and_notify(rpc->server, rpc->queue, &rpc->ended);
	/* Without its thread the server has not started, and the queue is emptied here. */
	if (rpc->thread_runs)
		join(rpc);
	else
		serve(rpc);
	grpc_server_destroy(rpc->server);
	grpc_completion_queue_destroy(rpc->queue);
	pthread_mutex_destroy(&rpc->answering);
	free(rpc);
	grpc_shutdown_blocking();
	return NULL;
}
