/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table that says what an error is over HTTP and over gRPC, and the Problem message made of it.
 */
#ifndef CROFT_AGENT_FAULT_H
#define CROFT_AGENT_FAULT_H

#include "croft/v1/common.pb-c.h"
#include "vmm/base.h"

struct fault {
	unsigned int http; /* status of RFC 9110; 499 is the common "client closed request" */
	int grpc;	   /* status code of the gRPC protocol */
	bool retryable; /* the same request may succeed later, with nothing changed by the client */
};

/* Never NULL; a code that is out of range reads as ERROR_INTERNAL. ERROR_NONE is 200 and OK. */
const struct fault *fault_of(enum error_code code);

/* The reason phrase of an HTTP status that this table or a transport uses; "Error" for another. Static. */
const char *fault_title(unsigned int http);

/* What an error says to people: its message, with the field at fault before it. Cut to `size`. */
void fault_detail(char *out, size_t size, const struct error *error);
#define FAULT_DETAIL_MAX (ERROR_FIELD_MAX + ERROR_MESSAGE_MAX + 2)

/*
 * The error as a Problem, whose status is that of the table, or `http` when that is not 0 (a transport's own: 405,
 * 413; it is not retryable).
 * `error` must have been raised. NULL when memory is out. Free it with croft__v1__problem__free_unpacked(p, NULL).
 */
Croft__V1__Problem *fault_problem(const struct error *error, unsigned int http);

#endif
