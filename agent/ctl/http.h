/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST client of croftctl: one request after the other over the agent's unix socket.
 */
#ifndef CROFT_AGENT_CTL_HTTP_H
#define CROFT_AGENT_CTL_HTTP_H

#include <jansson.h>

#include "vmm/base.h"

struct http;

/* `socket` is the path of the agent's socket. Nothing is connected yet. */
int http_new(struct http **out, const char *socket, struct error *err);
struct http *http_free(struct http *http);

/*
 * Sends a request, with `body` as JSON unless it is NULL, and gives the answer's JSON (NULL when it has none). An answer of
 * 400 and more is an error: the message is the problem's detail, and *status tells them apart. *status is 0 when the agent
 * was not reached. The statuses up to `accept` (503 for health) are no errors.
 */
struct http_request {
	const char *method;
	const char *path; /* with its query */
	json_t *body;
	json_int_t revision; /* that the object must have; 0: any */
	long accept;
};
int http_json(struct http *http, const struct http_request *request, json_t **out, long *status,
	      struct error *err);

/* GET whose answer goes to `to` as it comes, until it ends. */
int http_stream(struct http *http, const char *path, FILE *to, struct error *err);

/* POST of raw bytes. */
int http_send(struct http *http, const char *path, const char *data, size_t size,
	      struct error *err);

/* The text as a path segment or query value; free() it. NULL when memory is out. */
char *http_escape(struct http *http, const char *text);

#endif
