// SPDX-License-Identifier: Apache-2.0
// The table of errors: what both doors say about them.

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/fault.h"
#include "agent/transcode_text.h"

static void test_every_code(void **state)
{
	(void)state;
	assert_int_equal(fault_of(ERROR_NONE)->http, 200);
	assert_int_equal(fault_of(ERROR_NONE)->grpc, 0);
	for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
		const struct fault *fault = fault_of((enum error_code)code);

		assert_in_range(fault->http, 400, 599);
		assert_in_range(fault->grpc, 1, 16);
		assert_string_not_equal(fault_title(fault->http), "Error");
		/* No two codes are the same at the gRPC door, else a client could not tell them apart. */
		for (int other = ERROR_NONE; other < code; other++)
			assert_int_not_equal(fault->grpc, fault_of((enum error_code)other)->grpc);
	}
	assert_ptr_equal(fault_of((enum error_code)999), fault_of(ERROR_INTERNAL));
	assert_ptr_equal(fault_of((enum error_code) - 1), fault_of(ERROR_INTERNAL));
	assert_string_equal(fault_title(799), "Error");
}

/* What clients and load balancers rely on. */
static void test_well_known(void **state)
{
	(void)state;
	assert_int_equal(fault_of(ERROR_INVALID_ARGUMENT)->http, 400);
	assert_int_equal(fault_of(ERROR_INVALID_ARGUMENT)->grpc, 3);
	assert_int_equal(fault_of(ERROR_NOT_FOUND)->http, 404);
	assert_int_equal(fault_of(ERROR_NOT_FOUND)->grpc, 5);
	assert_int_equal(fault_of(ERROR_ALREADY_EXISTS)->http, 409);
	assert_int_equal(fault_of(ERROR_ALREADY_EXISTS)->grpc, 6);
	assert_int_equal(fault_of(ERROR_PRECONDITION)->http, 412);
	assert_int_equal(fault_of(ERROR_OUT_OF_RANGE)->http, 410);
	assert_int_equal(fault_of(ERROR_OUT_OF_RANGE)->grpc, 11);
	assert_int_equal(fault_of(ERROR_UNAVAILABLE)->http, 503);
	assert_int_equal(fault_of(ERROR_UNAVAILABLE)->grpc, 14);
	assert_true(fault_of(ERROR_UNAVAILABLE)->retryable);
	assert_false(fault_of(ERROR_CONFLICT)->retryable);
}

static void test_problem(void **state)
{
	struct error error = { 0 };
	Croft__V1__Problem *p;

	(void)state;
	error_raise_field(&error, "/spec/vcpus", "100 is not between 1 and 8");
	p = fault_problem(&error, 0);
	assert_string_equal(p->type, "about:blank");
	assert_string_equal(p->title, "Bad Request");
	assert_int_equal(p->status, 400);
	assert_string_equal(p->code, "INVALID_ARGUMENT");
	assert_string_equal(p->detail, "/spec/vcpus: 100 is not between 1 and 8");
	assert_int_equal(p->n_field_errors, 1);
	assert_string_equal(p->field_errors[0]->field, "/spec/vcpus");
	assert_string_equal(p->field_errors[0]->message, "100 is not between 1 and 8");
	croft__v1__problem__free_unpacked(p, NULL);

	error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "too large");
	error.field[0] = '\0';
	p = fault_problem(&error, 413);
	assert_int_equal(p->status, 413);
	assert_string_equal(p->title, "Content Too Large");
	assert_false(p->retryable);
	assert_int_equal(p->n_field_errors, 0);
	assert_string_equal(p->detail, "too large");
	croft__v1__problem__free_unpacked(p, NULL);
}

/* A message that was cut within a character is still UTF-8 when it leaves. */
static void test_problem_is_utf8(void **state)
{
	struct error error = { 0 };
	Croft__V1__Problem *p;

	(void)state;
	error_raise_field(&error, "/a", "\"%.4s\" is wrong", "\u20ac\u20ac");
	p = fault_problem(&error, 0);
	assert_true(text_is_utf8(p->detail, strlen(p->detail)));
	assert_true(text_is_utf8(p->field_errors[0]->message, strlen(p->field_errors[0]->message)));
	assert_string_equal(p->field_errors[0]->message, "\"\u20ac?\" is wrong");
	croft__v1__problem__free_unpacked(p, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_well_known),
		cmocka_unit_test(test_problem),
		cmocka_unit_test(test_problem_is_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
