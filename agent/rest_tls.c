// SPDX-License-Identifier: Apache-2.0
// Mutual TLS 1.3 for REST: each handshake takes the files as they are now, so a reload ends no connection.

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "agent/log.h"
#include "agent/rest_listen.h"
#include "agent/tls.h"

/* The files as GnuTLS has them. Connections hold them until they end; all on the listener's thread. */
struct credentials {
	unsigned int users;
	uint64_t generation; /* of the files */
	gnutls_certificate_credentials_t certificate;
};

struct rest_tls {
	struct tls *tls;
	struct tls_files *first; /* what the daemon was started with */
	struct credentials *now;
	uint64_t refused; /* the generation that GnuTLS would not take; it is logged once */
	struct MHD_OptionItem options[4];
};

void credentials_put(struct credentials *credentials)
{
	if (!credentials || --credentials->users)
		return;
	gnutls_certificate_free_credentials(credentials->certificate);
	free(credentials);
}

static gnutls_datum_t datum(char *text)
{
	return (gnutls_datum_t){ .data = (unsigned char *)text,
				 .size = (unsigned int)strlen(text) };
}

static int credentials_new(struct credentials **out, const struct tls_files *files,
			   struct error *err)
{
	gnutls_datum_t certificate = datum(files->certificate), key = datum(files->key),
		       ca = datum(files->client_ca);
	struct credentials *new = calloc(1, sizeof(*new));
	int rc;

	if (!new || gnutls_certificate_allocate_credentials(&new->certificate) < 0) {
		free(new);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	new->users = 1;
	new->generation = files->generation;
	rc = gnutls_certificate_set_x509_key_mem(new->certificate, &certificate, &key,
						 GNUTLS_X509_FMT_PEM);
	if (rc >= 0)
		rc = gnutls_certificate_set_x509_trust_mem(new->certificate, &ca,
							   GNUTLS_X509_FMT_PEM);
	if (rc < 0) {
		credentials_put(new);
		return error_raise(err, ERROR_INVALID_ARGUMENT, "GnuTLS: %s", gnutls_strerror(rc));
	}
	*out = new;
	return 0;
}

int rest_tls_new(struct rest_tls **out, struct tls *tls, struct error *err)
{
	struct rest_tls *new = calloc(1, sizeof(*new));
	int rc;

	if (!new)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	new->tls = tls;
	new->first = tls_files_get(tls);
	rc = credentials_new(&new->now, new->first, err);
	if (rc) {
		rest_tls_free(new);
		return rc;
	}
	new->options[0] =
		(struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
					 (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3" };
	new->options[1] =
		(struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, new->first->certificate };
	new->options[2] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, new->first->key };
	new->options[3] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	*out = new;
	return 0;
}

struct rest_tls *rest_tls_free(struct rest_tls *tls)
{
	if (!tls)
		return NULL;
	credentials_put(tls->now);
	tls_files_put(tls->first);
	free(tls);
	return NULL;
}

const struct MHD_OptionItem *rest_tls_options(const struct rest_tls *tls)
{
	return tls->options;
}

/* Takes new files, unless GnuTLS refuses them: then the old ones go on. */
static void renew(struct rest_tls *tls)
{
	struct tls_files *files = tls_files_get(tls->tls);
	struct credentials *new = NULL;
	struct error error;

	if (files->generation != tls->now->generation && files->generation != tls->refused) {
		if (credentials_new(&new, files, &error) == 0) {
			credentials_put(tls->now);
			tls->now = new;
		} else {
			tls->refused = files->generation;
			log_error("rest: new TLS files are not used: %s", error.message);
		}
	}
	tls_files_put(files);
}

static gnutls_session_t session_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	return info ? info->tls_session : NULL;
}

struct credentials *rest_tls_begin(struct rest_tls *tls, struct MHD_Connection *connection)
{
	/* GnuTLS keeps the pointer. */
	static gnutls_typed_vdata_st purpose[] = {
		{ GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
		  0 },
	};
	gnutls_session_t session = session_of(connection);

	renew(tls);
	if (!session ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->now->certificate) < 0)
		return NULL;
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert2(session, purpose, ARRAY_SIZE(purpose), 0);
	tls->now->users++;
	return tls->now;
}

void rest_tls_who(struct principal *out, struct MHD_Connection *connection)
{
	gnutls_session_t session = session_of(connection);
	unsigned int n = 0;
	const gnutls_datum_t *chain = session ? gnutls_certificate_get_peers(session, &n) : NULL;

	/* The handshake has seen to that already; a client that it let pass by mistake has no name here. */
	if (!chain || !n || gnutls_session_get_verify_cert_status(session) != 0)
		tls_principal(out, "", 0);
	else
		tls_principal(out, chain[0].data, chain[0].size);
}
