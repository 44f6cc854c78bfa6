/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks, from where, and what it may do: the principal of a connection.
 *
 * | door | actor | roles |
 * | unix socket | "uid:1000" | uid 0 and the agent's own: admin; members of the socket's group: [access] socket_roles |
 * | plain TCP, loopback only | "tcp" | [access] tcp_roles |
 * | mutual TLS | "cert:<CN>" | those that the client's certificate names: tls.h |
 */
#ifndef CROFT_AGENT_AUTH_H
#define CROFT_AGENT_AUTH_H

#include "vmm/base.h"

struct config;

#define AUTH_ACTOR_MAX 80 /* "cert:", the 64 characters of a CN and some */
#define AUTH_PEER_MAX  64

/* What a client may do. Each method names the roles that may call it; a client needs one of them. */
enum role {
	ROLE_VIEWER = 1,   /* reads all but consoles, configuration and audit */
	ROLE_OPERATOR = 2, /* changes VMs, images, operations and the desired state */
	ROLE_ADMIN = 4,	   /* everything */
	ROLE_CONSOLE = 8,  /* reads consoles and types into them */
};

/* Who asks. */
struct principal {
	char actor[AUTH_ACTOR_MAX]; /* "uid:0", "cert:controller", "tcp" */
	char peer[AUTH_PEER_MAX];   /* from where: "unix:pid=812", "127.0.0.1:40112" */
	unsigned int roles;	    /* enum role, or'ed */
};

/* The role of a name: "viewer", "operator", "admin", "console"; 0 for any other. `n` is its length. */
unsigned int auth_role_named(const char *name, size_t n);

/* The names of all roles in the set, in the order of enum role: "operator, admin"; "" for none. */
#define AUTH_ROLES_MAX 48 /* with every role, and the NUL */
void auth_role_names(char out[AUTH_ROLES_MAX], unsigned int set);

/* Roles in words with blanks or commas between; "" is none. INVALID_ARGUMENT names a word that is no role. */
int auth_parse_roles(unsigned int *out, const char *text, struct error *err);

/*
 * Of a connected socket. A unix socket's peer is who connected it (SO_PEERCRED, SO_PEERGROUPS), whoever has it now. A
 * socket that tells nothing is "unknown" and has no roles. Over TLS, tls_principal() then says who it is.
 */
void auth_of_socket(struct principal *out, const struct config *config, int fd);

/* Of a peer's URI as gRPC core gives it, "ipv4:127.0.0.1:4711" or "ipv6:%5B::1%5D:4711"; what else holds is as above. */
void auth_of_uri(struct principal *out, const struct config *config, const char *uri);

#endif
