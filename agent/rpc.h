/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC doors: every method of the service by its name, grpc.health.v1 and server reflection, on loopback and over mutual
 * TLS. Not on a unix socket: gRPC core does not tell which user is at the other end.
 */
#ifndef CROFT_AGENT_RPC_H
#define CROFT_AGENT_RPC_H

#include "vmm/base.h"

struct config;
struct rpc;
struct service;
struct tls;

/*
 * Listens on config->listen_grpc and, with the files of `tls`, on config->listen_grpc_tls; with both off, *out is NULL.
 * Calls are served when this returns 0. The service and `tls` must exist until rpc_free() has returned. After this the process
 * must not fork() without exec: gRPC core has threads. Errors name the address: CONFLICT when it cannot be listened on.
 */
int rpc_new(struct rpc **out, const struct config *config, struct service *service, struct tls *tls,
	    struct error *err);

/* Before the process has a second thread: sets what gRPC core reads from the environment. */
void rpc_prepare(void);

/* Refuses new calls, cancels what waits, ends. The service must still run. Takes NULL, returns NULL. */
struct rpc *rpc_free(struct rpc *rpc);

#endif
