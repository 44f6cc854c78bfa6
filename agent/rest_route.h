/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of REST: which method and path is which RPC. It is the whole REST mapping; api/openapi/croft.yaml and the
 * protos' comments say the same, and a test compares them.
 */
#ifndef CROFT_AGENT_REST_ROUTE_H
#define CROFT_AGENT_REST_ROUTE_H

#include "vmm/base.h"

enum route_kind {
	ROUTE_JSON,   /* JSON in, JSON out; with Accept: text/event-stream the events of `watch` */
	ROUTE_HEALTH, /* 503 when the reply is not ok; passing checks only with ?verbose */
	ROUTE_TEXT,   /* the reply's text as it is, as what `type` says */
	ROUTE_READ,   /* the reply's bytes as text/plain; with ?follow those of `watch` */
	ROUTE_WRITE,  /* the body's bytes as they are, into the field `body` */
	ROUTE_SOCKET, /* the stream `rpc` as a WebSocket */
};

struct route {
	const char *method;
	/*
	 * "/v1/vms/{name}:start": at most one parameter. It is a field of the request, or where that has none of that
	 * name, of the body.
	 */
	const char *path;
	const char *rpc; /* name in service_methods */
	/* Of a GET: the stream of the same thing, when the client asks for one. */
	const char *watch;
	/*
	 * "*": the request; a field's name: that field; NULL: a body is refused. With PATCH it is a merge patch, and with PUT
	 * it replaces: both fill the request's update_mask, where it has one.
	 */
	const char *body;
	bool may_be_empty;   /* a body that is a field; "*" always may */
	unsigned int status; /* of success */
	enum route_kind kind;
	const char *type; /* Content-Type of a ROUTE_TEXT */
	const char *
		query; /* parameters that are fields: "page_size"; "wait=timeout": of another name */
	const char *own;   /* parameters that REST itself understands: "follow" */
	const char *fixed; /* "kind=live": a field that the path decides */
	/* The row is meant when this query parameter is there; it comes before the one without. */
	const char *when;
};

extern const struct route rest_routes[];
extern const size_t rest_route_count;

#define ROUTE_NAME_MAX 256 /* a path parameter that is longer matches no path */

struct route_match {
	const struct route *route; /* NULL: no such path, or no such method on it */
	char name[ROUTE_NAME_MAX]; /* the path parameter, or "" */
	char allow[64]; /* without a route: the methods of this path, "GET, POST"; "" when there is no such path */
};

/* has(data, key) says whether the query has that parameter. HEAD is GET. */
void route_find(struct route_match *out, const char *method, const char *path,
		bool (*has)(void *data, const char *key), void *data);

/* Whether the space-separated `list` holds `word`; *target is what stands behind its '=', or the word, of `size`. */
bool route_list_has(const char *list, const char *word, const char **target, size_t *size);

#endif
