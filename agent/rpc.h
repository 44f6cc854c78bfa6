/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC door: every method of the service by its name, and grpc.health.v1.
 */
#ifndef CROFT_AGENT_RPC_H
#define CROFT_AGENT_RPC_H

#include "vmm/base.h"

struct config;
struct rpc;
struct service;

/*
 * Listens on config->listen_grpc; with that off, *out is NULL. Calls are served when this returns 0. The service must exist
 * until rpc_free() has returned. After this the process must not fork() without exec: gRPC core has threads. Errors name
 * the address: CONFLICT when it cannot be listened on.
 */
int rpc_new(struct rpc **out, const struct config *config, struct service *service,
	    struct error *err);

/* Refuses new calls, cancels what waits, ends. The service must still run. Takes NULL, returns NULL. */
struct rpc *rpc_free(struct rpc *rpc);

#endif
