// SPDX-License-Identifier: Apache-2.0
// The one table that says what an error is over HTTP and over gRPC.

#include "agent/fault.h"

#include <string.h>

#include "agent/transcode_text.h"

/* Numbers of https://grpc.github.io/grpc/core/md_doc_statuscodes.html. */
enum grpc_number {
	GRPC_NUMBER_OK = 0,
	GRPC_NUMBER_CANCELLED = 1,
	GRPC_NUMBER_INVALID_ARGUMENT = 3,
	GRPC_NUMBER_DEADLINE_EXCEEDED = 4,
	GRPC_NUMBER_NOT_FOUND = 5,
	GRPC_NUMBER_ALREADY_EXISTS = 6,
	GRPC_NUMBER_PERMISSION_DENIED = 7,
	GRPC_NUMBER_RESOURCE_EXHAUSTED = 8,
	GRPC_NUMBER_FAILED_PRECONDITION = 9,
	GRPC_NUMBER_ABORTED = 10,
	GRPC_NUMBER_OUT_OF_RANGE = 11,
	GRPC_NUMBER_UNIMPLEMENTED = 12,
	GRPC_NUMBER_INTERNAL = 13,
	GRPC_NUMBER_UNAVAILABLE = 14,
	GRPC_NUMBER_DATA_LOSS = 15,
	GRPC_NUMBER_UNAUTHENTICATED = 16,
};

/*
 * A state that forbids the verb is FAILED_PRECONDITION in gRPC, and a revision that does not hold is ABORTED, because
 * the client should read the object again and decide anew.
 */
static const struct fault fault_table[] = {
	[ERROR_NONE] = { 200, GRPC_NUMBER_OK, false },
	[ERROR_INVALID_ARGUMENT] = { 400, GRPC_NUMBER_INVALID_ARGUMENT, false },
	[ERROR_NOT_FOUND] = { 404, GRPC_NUMBER_NOT_FOUND, false },
	[ERROR_ALREADY_EXISTS] = { 409, GRPC_NUMBER_ALREADY_EXISTS, false },
	[ERROR_CONFLICT] = { 409, GRPC_NUMBER_FAILED_PRECONDITION, false },
	[ERROR_PRECONDITION] = { 412, GRPC_NUMBER_ABORTED, false },
	[ERROR_RESOURCE_EXHAUSTED] = { 429, GRPC_NUMBER_RESOURCE_EXHAUSTED, true },
	[ERROR_CANCELLED] = { 499, GRPC_NUMBER_CANCELLED, false },
	[ERROR_DEADLINE] = { 504, GRPC_NUMBER_DEADLINE_EXCEEDED, true },
	[ERROR_UNAVAILABLE] = { 503, GRPC_NUMBER_UNAVAILABLE, true },
	[ERROR_UNSUPPORTED] = { 501, GRPC_NUMBER_UNIMPLEMENTED, false },
	[ERROR_PERMISSION_DENIED] = { 403, GRPC_NUMBER_PERMISSION_DENIED, false },
	[ERROR_UNAUTHENTICATED] = { 401, GRPC_NUMBER_UNAUTHENTICATED, false },
	[ERROR_OUT_OF_RANGE] = { 410, GRPC_NUMBER_OUT_OF_RANGE, false },
	[ERROR_DATA_LOSS] = { 500, GRPC_NUMBER_DATA_LOSS, false },
	[ERROR_INTERNAL] = { 500, GRPC_NUMBER_INTERNAL, false },
};
static_assert(ARRAY_SIZE(fault_table) == ERROR_CODE_COUNT, "every code has a row");

static const struct {
	unsigned int http;
	const char *title;
} titles[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 499, "Client Closed Request" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

const struct fault *fault_of(enum error_code code)
{
	size_t i = (size_t)code;

	return &fault_table[i < ARRAY_SIZE(fault_table) ? i : (size_t)ERROR_INTERNAL];
}

const char *fault_title(unsigned int http)
{
	for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
		if (titles[i].http == http)
			return titles[i].title;
	return "Error";
}

void fault_detail(char *out, size_t size, const struct error *error)
{
	snprintf(out, size, "%s%s%s", error->field, error->field[0] ? ": " : "", error->message);
	/* It may quote bytes of a request, cut within a character; a protobuf string must be UTF-8. */
	text_make_utf8(out);
}

static Croft__V1__FieldError *field_error(const struct error *error)
{
	Croft__V1__FieldError *f = malloc(sizeof(*f));

	if (!f)
		return NULL;
	croft__v1__field_error__init(f);
	f->field = text_utf8_copy(error->field);
	f->message = text_utf8_copy(error->message);
	if (f->field && f->message)
		return f;
	croft__v1__field_error__free_unpacked(f, NULL);
	return NULL;
}

Croft__V1__Problem *fault_problem(const struct error *error, unsigned int http)
{
	const struct fault *fault = fault_of(error->code);
	Croft__V1__Problem *p = malloc(sizeof(*p));
	char detail[FAULT_DETAIL_MAX];

	if (!p)
		return NULL;
	croft__v1__problem__init(p);
	p->status = http ? http : fault->http;
	p->retryable = fault->retryable && !http;
	p->type = strdup("about:blank");
	p->title = strdup(fault_title(p->status));
	fault_detail(detail, sizeof(detail), error);
	p->detail = strdup(detail);
	p->code = strdup(error_code_name(error->code));
	if (error->field[0]) {
		p->field_errors = malloc(sizeof(*p->field_errors));
		if (p->field_errors) {
			p->field_errors[0] = field_error(error);
			p->n_field_errors = p->field_errors[0] ? 1 : 0;
		}
	}
	if (p->type && p->title && p->detail && p->code && (!error->field[0] || p->n_field_errors))
		return p;
	croft__v1__problem__free_unpacked(p, NULL);
	return NULL;
}
