/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners and connections of REST: private to rest*.c.
 */
#ifndef CROFT_AGENT_REST_LISTEN_H
#define CROFT_AGENT_REST_LISTEN_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "agent/auth.h"
#include "vmm/base.h"

struct config_address;
struct rest;
struct rest_tls;
struct tls;

struct listener {
	struct rest *rest;
	const char *name; /* path or address, for messages */
	struct MHD_Daemon *daemon;
	int quiet;	      /* the socket of a daemon that does not accept any more; else -1 */
	bool bound;	      /* a unix socket's file is ours */
	struct rest_tls *tls; /* NULL: plain */
	atomic_uint connections, streams;
};

/* A connection, from its beginning to its end. */
struct link {
	struct listener *listener;
	bool spare; /* beyond the limit: its request is refused */
	bool known; /* `who` is filled */
	struct principal who;
	struct credentials *credentials; /* over TLS: the agent's files as of the handshake */
};

/* Each listens and serves when it returns 0. Errors do not name the listener. */
int listener_unix(struct listener *listener, struct error *err);
int listener_tcp(struct listener *listener, const struct config_address *address,
		 struct error *err);
/* Accepts nothing more. Then stops: no request may be posted, and no WebSocket open. Both take one that never was. */
void listener_quiet(struct listener *listener);
void listener_stop(struct listener *listener);

/* Who is at the other end; of this listener's thread. */
const struct principal *link_who(struct link *link, struct MHD_Connection *connection);

/* rest_tls.c: what a TLS listener needs. `tls` must outlive it. */
int rest_tls_new(struct rest_tls **out, struct tls *tls, struct error *err);
struct rest_tls *rest_tls_free(struct rest_tls *tls); /* takes NULL, returns NULL */
/* Options for MHD_OPTION_ARRAY: key, certificate and protocol. */
const struct MHD_OptionItem *rest_tls_options(const struct rest_tls *tls);
/*
 * Before the handshake of a connection: gives it the newest files and asks for the client's certificate. NULL: it cannot be
 * served. What it returns is given back with credentials_put() when the connection has ended, on the same thread.
 */
struct credentials *rest_tls_begin(struct rest_tls *tls, struct MHD_Connection *connection);
void credentials_put(struct credentials *credentials);
/* Actor and roles of a client whose handshake has succeeded. */
void rest_tls_who(struct principal *out, struct MHD_Connection *connection);

#endif
