// SPDX-License-Identifier: Apache-2.0
// The body of a REST request: a message, what replaces one, a merge patch, or bytes.

#include <assert.h>
#include <string.h>

#include "agent/message.h"
#include "agent/rest_request.h"
#include "agent/transcode.h"
#include "google/protobuf/field_mask.pb-c.h"

#define MASK "update_mask"

static bool is_method(const struct request *r, const char *method)
{
	return strcmp(r->match.route->method, method) == 0;
}

static bool media_is(const char *type, const char *wanted)
{
	size_t n = strlen(wanted);

	return type && strncasecmp(type, wanted, n) == 0 &&
	       (!type[n] || type[n] == ';' || type[n] == ' ');
}

static int check_type(struct request *r)
{
	const char *type = request_header(r, MHD_HTTP_HEADER_CONTENT_TYPE);

	if (media_is(type, "application/json"))
		return 0;
	if (!is_method(r, "PATCH"))
		return request_fail(r, 415, ERROR_UNSUPPORTED,
				    "the body must be JSON, with Content-Type: application/json");
	if (media_is(type, "application/merge-patch+json"))
		return 0;
	return request_fail(r, 415, ERROR_UNSUPPORTED,
			    "the body must be a merge patch (RFC 7396), with Content-Type: "
			    "application/merge-patch+json or application/json");
}

/* The name is in the path; a body that has another one is a mistake. */
static int check_name(struct request *r, const ProtobufCMessage *body)
{
	const char *name = transcode_string(body, "name");

	if (!r->match.name[0] || !name || !name[0] || strcmp(name, r->match.name) == 0)
		return 0;
	return error_raise_field(&r->error, "/name", "is not the name in the path");
}

static int take_request(struct request *r)
{
	ProtobufCMessage *body;
	int rc = transcode_parse(&body, r->method->request, r->body, r->body_size, &r->error);

	if (rc)
		return rc;
	rc = check_name(r, body);
	if (rc) {
		message_free(body);
		return rc;
	}
	message_free(r->call->request);
	r->call->request = body;
	return 0;
}

static Google__Protobuf__FieldMask *mask_of(struct transcode_patch *patch)
{
	assert(patch->mask->descriptor == &google__protobuf__field_mask__descriptor);
	return (Google__Protobuf__FieldMask *)(void *)patch->mask;
}

static int add_path(struct request *r, Google__Protobuf__FieldMask *mask, const char *path)
{
	char *copy = strdup(path);

	if (copy && !message_append(&mask->paths, &mask->n_paths, copy))
		return 0;
	free(copy);
	return error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

static int parse_patch(struct request *r, const ProtobufCMessageDescriptor *type,
		       struct transcode_patch *out)
{
	int rc = transcode_patch(out, type, r->body, r->body_size, &r->error);

	/* A mask must not be empty; the name says only which object is meant. */
	return rc || mask_of(out)->n_paths ? rc : add_path(r, mask_of(out), "name");
}

/* What replaces an object whole: every field that may change, does. */
static int parse_whole(struct request *r, const ProtobufCMessageDescriptor *type,
		       struct transcode_patch *out)
{
	int rc = transcode_parse(&out->message, type, r->body, r->body_size, &r->error);

	if (rc || !protobuf_c_message_descriptor_get_field_by_name(r->method->request, MASK))
		return rc;
	out->mask = message_new(&google__protobuf__field_mask__descriptor);
	if (!out->mask)
		return error_raise(&r->error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return add_path(r, mask_of(out), "*");
}

/* An object inside the request, which the path names where the request does not. */
static int take_object(struct request *r)
{
	const char *body = r->match.route->body;
	const ProtobufCMessageDescriptor *request = r->method->request, *type;
	struct transcode_patch object = { 0 };
	int rc;

	type = protobuf_c_message_descriptor_get_field_by_name(request, body)->descriptor;
	rc = is_method(r, "PATCH") ? parse_patch(r, type, &object) : parse_whole(r, type, &object);
	if (!rc)
		rc = check_name(r, object.message);
	if (!rc && r->match.name[0])
		rc = transcode_set(object.message, "name", r->match.name, &r->error);
	if (rc) {
		message_free(object.message);
		message_free(object.mask);
		return rc;
	}
	transcode_attach(r->call->request, body, object.message);
	if (object.mask)
		transcode_attach(r->call->request, MASK, object.mask);
	return 0;
}

int body_take(struct request *r)
{
	const struct route *route = r->match.route;
	bool whole = route->body && strcmp(route->body, "*") == 0;
	int rc;

	if (route->kind == ROUTE_WRITE)
		return transcode_set_bytes(r->call->request, route->body, r->body, r->body_size,
					   &r->error);
	if (!r->body_size && (!route->body || whole || route->may_be_empty))
		return 0;
	if (!route->body)
		return request_fail(r, 0, ERROR_INVALID_ARGUMENT, "this request has no body");
	if (!r->body_size)
		return request_fail(r, 0, ERROR_INVALID_ARGUMENT,
				    "the body is missing; it is an object in JSON");
	rc = check_type(r);
	if (rc)
		return rc;
	return whole ? take_request(r) : take_object(r);
}
