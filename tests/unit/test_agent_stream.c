// SPDX-License-Identifier: Apache-2.0
// Streams of a VM: its console followed and attached to by one writer and many readers, and its figures at an interval.

#include "tests/unit/agent_world.h"

#define CONSOLE(type) ((Croft__V1__ReadConsoleResponse *)(void *)(type)->reply)

static void run_echo(const char *name)
{
	pull_tiny();
	expect(create(name, "croft.any"), ERROR_NONE);
	finish_as(start(name), OPERATION(SUCCEEDED), NULL);
}

static struct call *follow(const char *name, uint64_t offset, uint64_t tail)
{
	Croft__V1__FollowConsoleRequest *request = NAMED(follow_console_request, name);

	request->offset = offset;
	request->tail_bytes = tail;
	return help_call(service, "croft.v1.Vms/FollowConsole", request);
}

static struct call *attach(const char *name, bool write)
{
	Croft__V1__AttachConsoleRequest *request = NAMED(attach_console_request, name);

	request->write = write;
	return help_call(service, "croft.v1.Vms/AttachConsole", request);
}

static struct call *type(const char *name, const char *text, uint64_t session)
{
	Croft__V1__WriteConsoleRequest *request = NAMED(write_console_request, name);

	request->data.data = (void *)strdup(text);
	request->data.len = strlen(text);
	return help_post_session(service, "croft.v1.Vms/WriteConsole", request, session);
}

static void expect_typed(const char *name, const char *text, uint64_t session, enum error_code code)
{
	struct call *call = type(name, text, session);

	help_wait(call);
	expect(call, code);
}

/* Reads on until `text` has come; the stream must not end before it. */
static void read_until(struct call *call, const char *text)
{
	char seen[65536] = "";
	size_t n = 0;

	while (!strstr(seen, text)) {
		if (call->reply) {
			Croft__V1__ReadConsoleResponse *r = CONSOLE(call);

			assert_true(n + r->data.len < sizeof(seen));
			memcpy(seen + n, r->data.data, r->data.len);
			n += r->data.len;
			assert_int_equal(r->next_offset, r->offset + r->data.len);
			assert_int_equal(call->cursor, r->next_offset);
		}
		if (strstr(seen, text))
			return;
		assert_true(call->more);
		help_next(service, call);
	}
}

static void end_stream(struct call *call)
{
	if (call->more)
		service_abandon(service, call);
	else
		call_free(call);
}

static void test_follow(void **state)
{
	struct call *call, *tail;
	uint64_t end;

	(void)state;
	run_echo("a");
	call = follow("a", 0, 0);
	expect_typed("a", "first\n", 0, ERROR_NONE);
	read_until(call, "first");
	end = call->cursor;
	tail = follow("a", 0, 3);
	if (!tail->reply)
		help_next(service, tail);
	assert_true(CONSOLE(tail)->offset >= end - 3);
	/* The end of the VM is the end of the stream, behind all bytes. */
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	while (call->more)
		help_next(service, call);
	assert_non_null(call->reply);
	assert_true(CONSOLE(call)->ended);
	call_free(call);
	end_stream(tail);
	/* Of one that does not run it is all that there is. */
	call = follow("a", 0, 0);
	while (call->more)
		help_next(service, call);
	assert_true(CONSOLE(call)->ended);
	call_free(call);
	call = follow("a", 1, 1);
	assert_string_equal(call->error.field, "/tail_bytes");
	expect(call, ERROR_INVALID_ARGUMENT);
	expect(follow("none", 0, 0), ERROR_NOT_FOUND);
}

static void test_attach(void **state)
{
	struct call *writer, *reader, *other;

	(void)state;
	run_echo("a");
	writer = attach("a", true);
	assert_non_null(writer->reply);
	assert_int_equal(CONSOLE(writer)->data.len, 0);
	assert_true(writer->more && writer->session != 0);
	reader = attach("a", false);
	assert_int_equal(reader->session, 0);
	/* One writes. */
	other = attach("a", true);
	assert_non_null(strstr(other->error.message, "test is attached and writes"));
	expect(other, ERROR_CONFLICT);
	expect_typed("a", "x", 0, ERROR_CONFLICT);
	expect_typed("a", "x", writer->session + 1, ERROR_CONFLICT);
	expect_typed("a", "hello\n", writer->session, ERROR_NONE);
	read_until(writer, "hello");
	read_until(reader, "hello");
	/* Its end makes room for the next one. */
	end_stream(writer);
	expect_typed("a", "again\n", 0, ERROR_NONE);
	read_until(reader, "again");
	writer = attach("a", true);
	assert_non_null(writer->reply);
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	while (writer->more)
		help_next(service, writer);
	assert_true(CONSOLE(writer)->ended);
	call_free(writer);
	while (reader->more)
		help_next(service, reader);
	call_free(reader);
	expect(attach("a", true), ERROR_CONFLICT);
	expect(attach("none", true), ERROR_NOT_FOUND);
}

/* A stream does not go on in another VM that has got the name. */
static void test_deleted(void **state)
{
	struct call *call;

	(void)state;
	run_echo("a");
	call = attach("a", true);
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	expect(delete ("a"), ERROR_NONE);
	expect(create("a", ""), ERROR_NONE);
	while (call->more)
		help_next(service, call);
	expect(call, ERROR_NOT_FOUND);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	call = attach("a", true);
	assert_non_null(call->reply);
	end_stream(call);
}

/* A guest that reads nothing holds back who types, and nobody else; the end of the attachment ends that, too. */
static void test_back_pressure(void **state)
{
	char text[4097];
	struct call *writer, *typed[40];
	size_t stuck = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pull_tiny();
	expect(create("a", "croft.test=spin"), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	writer = attach("a", true);
	for (size_t i = 0; i < ARRAY_SIZE(typed); i++)
		typed[i] = type("a", text, writer->session);
	/* The service answers others meanwhile. */
	check_state("a", STATE(RUNNING), 0);
	for (size_t i = 0; i < ARRAY_SIZE(typed); i++)
		stuck += !help_done(typed[i]);
	assert_true(stuck > 0);
	end_stream(writer);
	for (size_t i = 0; i < ARRAY_SIZE(typed); i++) {
		help_wait(typed[i]);
		stuck -= typed[i]->error.code == ERROR_CONFLICT;
		call_free(typed[i]);
	}
	assert_int_equal(stuck, 0);
}

static struct call *watch(const char *name, int64_t seconds, int32_t nanos)
{
	Croft__V1__WatchVmStatsRequest *request = NAMED(watch_vm_stats_request, name);

	request->interval = message_new(&google__protobuf__duration__descriptor);
	request->interval->seconds = seconds;
	request->interval->nanos = nanos;
	return help_call(service, "croft.v1.Vms/WatchVmStats", request);
}

static void test_stats(void **state)
{
	struct call *call;

	(void)state;
	expect(watch("a", 1, 0), ERROR_NOT_FOUND);
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	expect(watch("a", 1, 0), ERROR_CONFLICT);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	expect(watch("a", 0, 99999999), ERROR_INVALID_ARGUMENT);
	expect(watch("a", 3600, 1), ERROR_INVALID_ARGUMENT);
	expect(watch("a", -1, 0), ERROR_INVALID_ARGUMENT);
	call = watch("a", 0, 100000000);
	for (size_t i = 0; i < 3; i++) {
		const Croft__V1__VmStats *stats = (void *)call->reply;

		assert_non_null(stats);
		assert_int_equal(stats->n_vcpus, 1);
		help_next(service, call);
	}
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	while (call->more)
		help_next(service, call);
	assert_null(call->reply);
	assert_int_equal(call->error.code, ERROR_NONE);
	call_free(call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_follow),	  TEST(test_attach), TEST(test_deleted),
		TEST(test_back_pressure), TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
