// SPDX-License-Identifier: Apache-2.0
// The peer of the REST door: libmicrohttpd alone, which answers every request with the same JSON. Usage: bare_rest PORT FILE

#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 65536u

struct body {
	size_t size;
	char text[BODY_MAX];
};

static int body_read(struct body *body, const char *path)
{
	FILE *f = fopen(path, "rbe");

	if (!f)
		return -1;
	body->size = fread(body->text, 1, sizeof(body->text), f);
	return fclose(f);
}

/* Like a server that does its work, it reads the request's body before it answers. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **context)
{
	static int seen;
	struct body *body = data;
	struct MHD_Response *response;
	enum MHD_Result rc;

	(void)url;
	(void)version;
	(void)upload;
	if (!*context) {
		*context = &seen;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	response = MHD_create_response_from_buffer(body->size, body->text, MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	rc = MHD_queue_response(connection, strcmp(method, "POST") == 0 ? 201 : 200, response);
	MHD_destroy_response(response);
	return rc;
}

int main(int argc, char **argv)
{
	static struct body body;
	struct MHD_Daemon *daemon;
	sigset_t end;
	int got;

	if (argc != 3 || body_read(&body, argv[2])) {
		fputs("usage: bare_rest PORT FILE\n", stderr);
		return 2;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t)atoi(argv[1]), NULL,
				  NULL, on_request, &body, MHD_OPTION_END);
	if (!daemon) {
		perror("libmicrohttpd");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	sigwait(&end, &got);
	MHD_stop_daemon(daemon);
	return 0;
}
