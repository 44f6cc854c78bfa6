// SPDX-License-Identifier: Apache-2.0
// A request of REST that becomes a WebSocket: the handshake of RFC 6455, section 4.2.

#include <assert.h>
#include <string.h>

#include <openssl/evp.h>

#include "agent/rest_socket.h"
#include "agent/transcode_text.h"
#include "croft/v1/vm.pb-c.h"

/* Whether a header that is a list has the word. */
static bool has_word(const struct request *r, const char *header, const char *word)
{
	const char *p = request_header(r, header);
	size_t n = strlen(word);

	while (p && *p) {
		p += strspn(p, " \t,");
		if (strncasecmp(p, word, n) == 0 && strcspn(p + n, " \t,") == 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

int socket_check_headers(struct request *r)
{
	const char *version = request_header(r, "Sec-WebSocket-Version");
	const char *key = request_header(r, "Sec-WebSocket-Key");
	uint8_t *bytes;
	size_t n = 0;

	if (r->head || !has_word(r, MHD_HTTP_HEADER_UPGRADE, "websocket") ||
	    !has_word(r, MHD_HTTP_HEADER_CONNECTION, "upgrade"))
		return request_fail(r, 426, ERROR_UNSUPPORTED,
				    "this path is a WebSocket: GET with Upgrade: websocket");
	if (!version || strcmp(version, "13") != 0)
		return request_fail(r, 426, ERROR_UNSUPPORTED, "Sec-WebSocket-Version must be 13");
	bytes = key ? text_parse_base64(key, strlen(key), &n) : NULL;
	free(bytes);
	if (n != 16)
		return error_raise_field(&r->error, "Sec-WebSocket-Key",
					 "must be 16 bytes in base64");
	return 0;
}

/* RFC 6455, section 4.2.2: the SHA-1 of the key and a constant. NULL without memory. */
static char *accept_of(const char *key)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[64];
	unsigned int n = 0;
	int size = snprintf(text, sizeof(text), "%.24s%s", key, magic);

	if (!EVP_Digest(text, (size_t)size, digest, &n, EVP_sha1(), NULL))
		return NULL;
	return text_print_base64(digest, n);
}

/* The headers are sent. On the listener's thread, like all of the request so far. */
static void on_upgrade(void *cls, struct MHD_Connection *connection, void *context,
		       const char *early, size_t size, MHD_socket fd,
		       struct MHD_UpgradeResponseHandle *handle)
{
	struct request *r = cls;
	const Croft__V1__AttachConsoleRequest *request = (const void *)r->call->request;
	struct wsocket *w = socket_new(r, &(struct upgraded){ .handle = handle,
							      .fd = fd,
							      .early = early,
							      .early_size = size });

	(void)connection;
	(void)context;
	assert(request->base.descriptor == &croft__v1__attach_console_request__descriptor);
	if (w) {
		w->writes = request->write;
		w->terminal = request->columns || request->rows;
		w->stream = r->call;
	}
	if (w && sockets_take(w)) {
		/* It counts as a stream until it is dropped. */
		r->counted = false;
		r->call = NULL;
	} else {
		socket_discard(w);
		MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
		request_drop_call(r);
	}
	request_release(r);
	r->upgraded = true;
}

enum MHD_Result socket_upgrade(struct request *r)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, r);
	_cleanup_free_ char *accept = accept_of(request_header(r, "Sec-WebSocket-Key"));

	if (response && accept) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
		MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
	} else if (response) {
		MHD_destroy_response(response);
		response = NULL;
	}
	return reply_queue(r, response, MHD_HTTP_SWITCHING_PROTOCOLS, NULL);
}
