/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of mutual TLS: reads and checks them, reads them again when they change, and tells a client by its certificate.
 *
 * A listener takes a snapshot with each handshake, so a new certificate needs no restart and ends no connection.
 */
#ifndef CROFT_AGENT_TLS_H
#define CROFT_AGENT_TLS_H

#include <stdatomic.h>

#include "agent/auth.h"
#include "vmm/base.h"

#define TLS_FILE_MAX (256u * 1024u) /* bytes of each of the three files */

struct tls;

/* What the files said at one time; it does not change, and lasts until the last tls_files_put(). */
struct tls_files {
	uint64_t generation; /* 1 for the first that were read, greater by 1 for each next */
	char *certificate; /* PEM: the agent's own certificate, then those of the authorities between */
	char *key;	   /* PEM, of the certificate; never logged, and wiped when it is freed */
	char *client_ca; /* PEM: the authorities that sign clients' certificates */
	_Atomic unsigned int users;
};

/*
 * Reads config's tls_certificate, tls_key and tls_client_ca. *out is NULL when no TLS listener is configured. Errors:
 * INVALID_ARGUMENT with the file's name and what is wrong with it: no PEM, no key of this certificate, ...
 */
int tls_new(struct tls **out, const struct config *config, struct error *err);
/* All listeners have ended. Takes NULL, returns NULL. */
struct tls *tls_free(struct tls *tls);

/*
 * Looks whether a file has changed, or with `force` (SIGHUP) reads them in any case. Good new ones become the snapshot;
 * with bad ones the old stay. Logs what it did. One thread; takes NULL.
 */
void tls_look(struct tls *tls, bool force);
#define TLS_LOOK_SECONDS 2 /* how often main.c does that */

/* The newest files; give them back with tls_files_put(). Any thread. */
struct tls_files *tls_files_get(struct tls *tls);
void tls_files_put(struct tls_files *files);

/*
 * Who a client is by its certificate (PEM or DER), which the caller has verified: the actor is "cert:" and the subject's
 * one CN, the roles are those of its OUs "croft-viewer", "croft-operator", "croft-console" and "croft-admin" (RFC 5280,
 * section 4.1.2.6). `peer` stays. A certificate that names nobody (no CN or two, an empty one, more than 64 bytes or other
 * than printable ASCII), or that cannot be read, is "cert:?" and has no roles.
 */
void tls_principal(struct principal *out, const void *certificate, size_t size);

#endif
