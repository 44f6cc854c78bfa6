// SPDX-License-Identifier: Apache-2.0
// Rich errors of gRPC: google.rpc.Status, whose three fields are written by hand.

#include <string.h>

#include "agent/fault.h"
#include "agent/rpc_call.h"

#define PROBLEM_URL "type.googleapis.com/croft.v1.Problem"

/* Tags of the protobuf encoding: field number << 3 | wire type (0 varint, 2 length and bytes). */
enum {
	STATUS_CODE = 1 << 3,	     /* int32 */
	STATUS_MESSAGE = 2 << 3 | 2, /* string */
	STATUS_DETAILS = 3 << 3 | 2, /* repeated google.protobuf.Any */
	ANY_TYPE_URL = 1 << 3 | 2,   /* string */
	ANY_VALUE = 2 << 3 | 2,	     /* bytes */
};

#define VARINT_MAX 10

static uint8_t *put_varint(uint8_t *p, size_t value)
{
	for (; value >= 0x80; value >>= 7)
		*p++ = (uint8_t)(value | 0x80);
	*p++ = (uint8_t)value;
	return p;
}

static uint8_t *put_bytes(uint8_t *p, uint8_t tag, const void *data, size_t size)
{
	*p++ = tag;
	p = put_varint(p, size);
	memcpy(p, data, size);
	return p + size;
}

static size_t varint_size(size_t value)
{
	uint8_t scratch[VARINT_MAX];

	return (size_t)(put_varint(scratch, value) - scratch);
}

static size_t bytes_size(size_t size)
{
	return 1 + varint_size(size) + size;
}

grpc_slice rpc_status_details(const struct error *error)
{
	Croft__V1__Problem *problem = fault_problem(error, 0);
	size_t code, message, url = strlen(PROBLEM_URL), value, any;
	grpc_slice slice;
	uint8_t *p;

	if (!problem)
		return grpc_empty_slice();
	code = (size_t)fault_of(error->code)->grpc;
	message = strlen(problem->detail);
	value = croft__v1__problem__get_packed_size(problem);
	any = bytes_size(url) + bytes_size(value);
	slice = grpc_slice_malloc(1 + varint_size(code) + bytes_size(message) + bytes_size(any));
	p = GRPC_SLICE_START_PTR(slice);
	*p++ = STATUS_CODE;
	p = put_varint(p, code);
	p = put_bytes(p, STATUS_MESSAGE, problem->detail, message);
	*p++ = STATUS_DETAILS;
	p = put_varint(p, any);
	p = put_bytes(p, ANY_TYPE_URL, PROBLEM_URL, url);
	*p++ = ANY_VALUE;
	p = put_varint(p, value);
	croft__v1__problem__pack(problem, p);
	croft__v1__problem__free_unpacked(problem, NULL);
	return slice;
}
