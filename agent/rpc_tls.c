// SPDX-License-Identifier: Apache-2.0
// Mutual TLS of gRPC, and who is at the other end of a call.

#include <string.h>

#include <grpc/support/alloc.h>

#include "agent/auth.h"
#include "agent/rpc_call.h"
#include "agent/tls.h"

/* For each handshake: gRPC core keeps what it has until it gets other files. One listener asks, so one generation is kept. */
static grpc_ssl_certificate_config_reload_status fetch(void *data,
						       grpc_ssl_server_certificate_config **out)
{
	struct rpc *rpc = data;
	struct tls_files *files = tls_files_get(rpc->tls);
	grpc_ssl_pem_key_cert_pair pair = { .private_key = files->key,
					    .cert_chain = files->certificate };
	grpc_ssl_certificate_config_reload_status status =
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;

	if (atomic_exchange(&rpc->tls_generation, files->generation) != files->generation) {
		*out = grpc_ssl_server_certificate_config_create(files->client_ca, &pair, 1);
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
	}
	tls_files_put(files);
	return status;
}

grpc_server_credentials *rpc_tls_credentials(struct rpc *rpc)
{
	return grpc_ssl_server_credentials_create_with_options(
		grpc_ssl_server_credentials_create_options_using_config_fetcher(
			GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, rpc));
}

/* --- Principals --- */

static const grpc_auth_property *property(const grpc_auth_context *context, const char *name)
{
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(context, name);

	return grpc_auth_property_iterator_next(&it);
}

void rpc_principal(struct principal *out, struct rpc_call *c)
{
	char *peer = grpc_call_get_peer(c->call);
	grpc_auth_context *context = grpc_call_auth_context(c->call);
	const grpc_auth_property *security =
		property(context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
	const grpc_auth_property *pem = property(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);

	auth_of_uri(out, c->rpc->config, peer);
	/* Whatever is not the plain listener must show a certificate. */
	if (!security || strcmp(security->value, "insecure") != 0)
		tls_principal(out, pem ? pem->value : "", pem ? pem->value_length : 0);
	grpc_auth_context_release(context);
	gpr_free(peer);
}
