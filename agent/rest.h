/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST door: HTTP/1.1 on a unix socket, on plain TCP, and on TCP with mutual TLS 1.3. It turns requests into service
 * calls by one table. Its limits are in rest_limits.h.
 */
#ifndef CROFT_AGENT_REST_H
#define CROFT_AGENT_REST_H

#include "vmm/base.h"

struct config;
struct rest;
struct service;
struct tls;

/*
 * Listens on config->listen_unix, config->listen_tcp and, with the files of `tls`, on config->listen_tls, where they are set;
 * requests are served when this returns 0. The service and `tls` must exist until rest_free() has returned. A socket file
 * that nobody listens on is replaced. Errors name the listener: CONFLICT for an address in use, INVALID_ARGUMENT for an
 * unknown group or files that cannot be used, UNAVAILABLE for all else.
 */
int rest_new(struct rest **out, const struct config *config, struct service *service,
	     struct tls *tls, struct error *err);

/*
 * Accepts nothing more, ends what waits (503) and what follows, gives running answers half a second, closes, removes the
 * socket file. The service must still run. Takes NULL, returns NULL.
 */
struct rest *rest_free(struct rest *rest);

#endif
