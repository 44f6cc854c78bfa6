// SPDX-License-Identifier: Apache-2.0
// Pulling, sharing and deleting images through the service, from web servers good and bad.

#include "tests/unit/agent_world.h"

static void test_pull(void **state)
{
	Croft__V1__Image *image;
	struct call *call;

	(void)state;
	pull_tiny();
	call = help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "tiny"));
	image = (void *)call->reply;
	assert_non_null(image);
	assert_int_equal(image->status->state, CROFT__V1__IMAGE_STATUS__STATE__READY);
	assert_string_equal(image->status->version, "1");
	assert_int_equal(image->status->n_disks, 1);
	call_free(call);
	assert_int_equal(count_files("blobs"), 3);
	expect(pull("tiny", help_web_url(web, "/manifest.json")), ERROR_ALREADY_EXISTS);

	/* The same files under another name take no room. */
	finish_as(pull("twin", help_web_url(web, "/manifest.json")), OPERATION(SUCCEEDED), NULL);
	assert_int_equal(count_files("blobs"), 3);
	expect(create("web1", ""), ERROR_NONE);
	expect(help_call(service, "croft.v1.Images/DeleteImage",
			 NAMED(delete_image_request, "tiny")),
	       ERROR_CONFLICT);
	expect(delete ("web1"), ERROR_NONE);
	expect(help_call(service, "croft.v1.Images/DeleteImage",
			 NAMED(delete_image_request, "tiny")),
	       ERROR_NONE);
	expect(help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "tiny")),
	       ERROR_NOT_FOUND);
	assert_int_equal(count_files("blobs"), 3);
	expect(help_call(service, "croft.v1.Images/DeleteImage",
			 NAMED(delete_image_request, "twin")),
	       ERROR_NONE);
	wait_files("blobs", 0);
}

static void test_pull_failures(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static char text[8][512];
	static char page[65536];
	static const struct {
		const char *path, *code;
	} bad[] = {
		{ "/digest.json", "CONFLICT" },	      { "/short.json", "CONFLICT" },
		{ "/long.json", "CONFLICT" },	      { "/gone.json", "NOT_FOUND" },
		{ "/file.json", "INVALID_ARGUMENT" }, { "/text.json", "INVALID_ARGUMENT" },
		{ "/loop", "UNAVAILABLE" },	      { "/escape", "UNAVAILABLE" },
		{ "/nothing", "NOT_FOUND" },	      { "/stalls.json", "DEADLINE" },
	};

	(void)state;
	serve_manifest("/digest.json", text[0], "Image", zeros, 65536);
	serve_manifest("/short.json", text[1], "Image", zeros, 65537);
	serve_manifest("/long.json", text[2], "Image", zeros, 65535);
	serve_manifest("/gone.json", text[3], "gone", zeros, 10);
	serve_manifest("/file.json", text[4], "file:///etc/passwd", zeros, 10);
	serve_manifest("/stalls.json", text[5], "stalls", zeros, 65536);
	help_web_add(web, (struct help_page){ .path = "/text.json", .body = "hello", .size = 5 });
	help_web_add(web, (struct help_page){ .path = "/loop", .location = "/loop" });
	help_web_add(web,
		     (struct help_page){ .path = "/escape", .location = "file:///etc/passwd" });
	help_web_add(web, (struct help_page){ .path = "/stalls",
					      .body = page,
					      .size = sizeof(page),
					      .stalls = true });
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* The same name each time: a failed pull is pulled anew. */
		finish_as(pull("bad", help_web_url(web, bad[i].path)), OPERATION(FAILED),
			  bad[i].code);
		wait_files("blobs", 0);
	}
	finish_as(pull("bad", "http://127.0.0.1:1/"), OPERATION(FAILED), "UNAVAILABLE");
	finish_as(pull("bad", help_web_url(web, "/manifest.json")), OPERATION(SUCCEEDED), NULL);
}

static void test_pull_bad_url(void **state)
{
	static const char *const bad[] = {
		"", "x", "ftp://h/x", "file:///x", "http://", "http://u:p@h/x", "http://h/a b"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct call *call = pull("bad", bad[i]);

		assert_string_equal(call->error.field, "/spec/manifest_url");
		expect(call, ERROR_INVALID_ARGUMENT);
	}
	expect(help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "bad")),
	       ERROR_NOT_FOUND);
}

static void test_pull_cancelled(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static char text[512];
	char *page = calloc(1, 65536);
	Croft__V1__Operation *op;
	struct call *call, *cancel;

	(void)state;
	serve_manifest("/stalls.json", text, "stalls", zeros, 65536);
	help_web_add(web, (struct help_page){
				  .path = "/stalls", .body = page, .size = 65536, .stalls = true });
	call = pull("slow", help_web_url(web, "/stalls.json"));
	op = (void *)call->reply;
	assert_non_null(op);
	expect(help_call(service, "croft.v1.Images/DeleteImage",
			 NAMED(delete_image_request, "slow")),
	       ERROR_CONFLICT);
	cancel = help_call(service, "croft.v1.Operations/CancelOperation",
			   NAMED(cancel_operation_request, op->name));
	expect(cancel, ERROR_NONE);
	cancel = help_call(service, "croft.v1.Operations/GetOperation",
			   NAMED(get_operation_request, op->name));
	expect(cancel, ERROR_NONE);
	finish_as(call, OPERATION(CANCELLED), "CANCELLED");
	wait_files("blobs", 0);
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, "op-1")),
	       ERROR_CONFLICT);
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, "op-9")),
	       ERROR_NOT_FOUND);
	help_web_stop(web);
	free(page);
	web = help_web_start();
}

/* The stream of an operation: each change, and the end as its last message. */
static void test_watch(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static char text[512], page[65536];
	const Croft__V1__Operation *op;
	struct call *call;

	(void)state;
	serve_manifest("/stalls.json", text, "stalls", zeros, 65536);
	help_web_add(web, (struct help_page){
				  .path = "/stalls", .body = page, .size = 65536, .stalls = true });
	expect(pull("slow", help_web_url(web, "/stalls.json")), ERROR_NONE);
	call = help_call(service, "croft.v1.Operations/WatchOperation",
			 NAMED(get_operation_request, "op-1"));
	assert_non_null(call->reply);
	assert_true(call->more);
	op = (const void *)call->reply;
	assert_int_equal(op->state, OPERATION(RUNNING));
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, "op-1")),
	       ERROR_NONE);
	while (call->more) {
		help_next(service, call);
		assert_non_null(call->reply);
	}
	op = (const void *)call->reply;
	assert_int_equal(op->state, OPERATION(CANCELLED));
	assert_string_equal(op->error->code, "CANCELLED");
	call_free(call);
	expect(help_call(service, "croft.v1.Operations/WatchOperation",
			 NAMED(get_operation_request, "op-9")),
	       ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pull),	   TEST(test_pull_failures), TEST(test_pull_bad_url),
		TEST(test_pull_cancelled), TEST(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
