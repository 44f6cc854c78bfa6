// SPDX-License-Identifier: Apache-2.0
// JSON to messages and back: the mapping of common.proto, and what is refused with which pointer.

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "agent/message.h"
#include "agent/transcode.h"
#include "agent/transcode_text.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"

#define VM    (&croft__v1__vm__descriptor)
#define STATS (&croft__v1__vm_stats__descriptor)
#define READ  (&croft__v1__read_console_request__descriptor)
#define WRITE (&croft__v1__write_console_request__descriptor)

static void *parse(const ProtobufCMessageDescriptor *type, const char *text)
{
	ProtobufCMessage *m = NULL;
	struct error error = { 0 };

	if (transcode_parse(&m, type, text, strlen(text), &error))
		fail_msg("%s: %s %s", text, error.field, error.message);
	return m;
}

/* `text` comes back as `want`, without the newline. */
static void round_trip(const ProtobufCMessageDescriptor *type, const char *text, const char *want)
{
	ProtobufCMessage *m = parse(type, text);
	char *out = NULL;
	size_t size;

	assert_int_equal(transcode_print(&out, &size, m, NULL), 0);
	assert_int_equal(size, strlen(out));
	assert_int_equal(out[size - 1], '\n');
	out[size - 1] = '\0';
	assert_string_equal(out, want);
	free(out);
	message_free(m);
}

static void same(const ProtobufCMessageDescriptor *type, const char *text)
{
	round_trip(type, text, text);
}

static void refused(const ProtobufCMessageDescriptor *type, const char *text, const char *field)
{
	ProtobufCMessage *m = NULL;
	struct error error = { 0 };

	if (!transcode_parse(&m, type, text, strlen(text), &error))
		fail_msg("%s was taken", text);
	assert_null(m);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_true(error.message[0]);
	assert_string_equal(error.field, field);
}

static void test_every_kind(void **state)
{
	(void)state;
	same(VM,
	     "{\"name\":\"web1\",\"uid\":\"u\",\"labels\":{\"a\":\"b\",\"c/d\":\"\"},\"revision\":7,"
	     "\"create_time\":\"2024-02-29T23:59:59.120Z\",\"spec\":{\"vcpus\":2,\"memory_bytes\":268435456,"
	     "\"disks\":[{\"name\":\"x\",\"size_bytes\":512,\"read_only\":true},{\"name\":\"y\"}]},"
	     "\"status\":{\"state\":\"RUNNING\",\"exit_reason\":\"guest_reset\",\"starts\":3}}");
	same(STATS,
	     "{\"vcpus\":[{\"run_seconds\":0.1,\"exits\":{\"error\":1,\"mmio_read\":2}},{\"index\":1}],"
	     "\"measured\":[\"a\",\"\",\"\\\"\\\\\"]}");
	same(READ,
	     "{\"name\":\"a\",\"offset\":9223372036854775807,\"max_bytes\":4294967295,\"wait\":\"1.5s\"}");
	same(WRITE, "{\"name\":\"a\",\"data\":\"AP/+aGk=\"}");
}

static void test_defaults_are_left_out(void **state)
{
	(void)state;
	round_trip(VM, "{}", "{\"revision\":0}");
	round_trip(VM,
		   "{\"name\":\"\",\"labels\":{},\"spec\":{\"vcpus\":0,\"disks\":[]},\"status\":{}}",
		   "{\"revision\":0,\"spec\":{},\"status\":{\"state\":\"STATE_UNSPECIFIED\"}}");
	round_trip(&croft__v1__health__descriptor, "{}", "{\"ok\":false}");
	round_trip(&croft__v1__vcpu_stats__descriptor,
		   "{\"run_seconds\":0.0,\"wait_seconds\":-0.0}", "{}");
}

static void test_numbers(void **state)
{
	(void)state;
	refused(READ, "{\"offset\":-1}", "/offset");
	refused(READ, "{\"offset\":9223372036854775808}", "/offset");
	refused(READ, "{\"offset\":1.5}", "/offset");
	refused(READ, "{\"offset\":1e3}", "/offset");
	refused(READ, "{\"offset\":\"1\"}", "/offset");
	refused(READ, "{\"offset\":true}", "/offset");
	refused(READ, "{\"offset\":1e400}", "/offset");
	refused(READ, "{\"max_bytes\":4294967296}", "/max_bytes");
	refused(&croft__v1__vcpu_stats__descriptor, "{\"run_seconds\":\"1\"}", "/run_seconds");
	round_trip(&croft__v1__vcpu_stats__descriptor, "{\"run_seconds\":5}",
		   "{\"run_seconds\":5.0}");
	round_trip(&croft__v1__vcpu_stats__descriptor, "{\"run_seconds\":1e-300}",
		   "{\"run_seconds\":1e-300}");
}

static void test_pointers(void **state)
{
	(void)state;
	refused(VM, "{\"colour\":1}", "/colour");
	refused(VM, "{\"spec\":{\"disks\":[{},{\"nam\":1}]}}", "/spec/disks/1/nam");
	refused(VM, "{\"spec\":{\"disks\":[{},5]}}", "/spec/disks/1");
	refused(VM, "{\"labels\":{\"a~/b\":5}}", "/labels/a~0~1b");
	refused(VM, "{\"labels\":{\"\":5}}", "/labels/");
	refused(VM, "{\"spec\":null}", "/spec");
	refused(VM, "{\"labels\":{\"a\":null}}", "/labels/a");
	refused(VM, "{\"status\":{\"state\":\"FLYING\"}}", "/status/state");
	refused(VM, "{\"status\":{\"state\":3}}", "/status/state");
	refused(VM, "[]", "");
	refused(VM, "null", "");
	refused(VM, "5", "");
}

/* The parser stops in the middle of a text; the place is found all the same. */
static void test_pointers_in_wrong_text(void **state)
{
	(void)state;
	refused(VM, "{\"name\":\"a\",\"name\":\"b\"}", "/name");
	refused(VM,
		"{\"spec\":{\"vcpus\":1,\"disks\":[{\"name\":\"a\"},{\"name\":\"b\",\"name\":\"c\"}]}}",
		"/spec/disks/1/name");
	refused(VM, "{\"labels\":{\"a\":\"x\",\"b\":\"{,[\\\"\",\"a\":\"y\"}}", "/labels/a");
	refused(VM, "{\"spec\":{\"memory_bytes\":99999999999999999999}}", "/spec/memory_bytes");
	refused(VM, "{\"name\":\"\\u0000\"}", "/name");
	refused(VM, "{\"name\":\"\xff\"}", "/name");
	refused(VM, "{\"name\":tru}", "/name");
	refused(VM, "", "");
	refused(VM, "{", "");
	refused(VM, "}", "");
	refused(VM, "{} {}", "");
	refused(VM, "{\"spec\":{\"disks\":[", "/spec/disks/0");
}

static void test_limits(void **state)
{
	static char text[TRANSCODE_VALUES_MAX * 2 + 64];
	size_t n;

	(void)state;
	memset(text, '[', 33);
	text[33] = '\0';
	refused(VM, text, "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0");
	n = (size_t)sprintf(text, "{\"measured\":[");
	for (int i = 0; i < TRANSCODE_VALUES_MAX; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	text[n] = '\0';
	refused(STATS, text, "/measured/65535");
	/* A pointer that is too long is cut at a character, and does not take the message's place. */
	n = (size_t)sprintf(text, "{\"");
	for (int i = 0; i < 200; i++)
		n += (size_t)sprintf(text + n, "\u20ac");
	sprintf(text + n, "\":1}");
	{
		struct error error = { 0 };
		ProtobufCMessage *m = NULL;

		assert_int_not_equal(transcode_parse(&m, VM, text, strlen(text), &error), 0);
		assert_true(text_is_utf8(error.field, strlen(error.field)));
		assert_int_equal(strlen(error.field), 1 + 31 * 3);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text, *back;
	} good[] = {
		{ "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z" },
		{ "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z" },
		{ "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z" },
		{ "2000-02-29t12:00:00z", "2000-02-29T12:00:00Z" },
		{ "2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z" },
		{ "2023-12-31T23:30:00-00:45", "2024-01-01T00:15:00Z" },
		{ "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.500Z" },
		{ "2024-01-01T00:00:00.000001Z", "2024-01-01T00:00:00.000001Z" },
		{ "1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.900Z" },
	};
	static const char *const bad[] = {
		"",
		"now",
		"2024-01-01",
		"2024-01-01T00:00:00",
		"2024-01-01 00:00:00Z",
		"2024-1-01T00:00:00Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2024-13-01T00:00:00Z",
		"2024-00-01T00:00:00Z",
		"2024-01-32T00:00:00Z",
		"2024-01-01T24:00:00Z",
		"2024-01-01T00:60:00Z",
		"2024-01-01T00:00:60Z",
		"2024-01-01T00:00:00.Z",
		"2024-01-01T00:00:00.1234567890Z",
		"2024-01-01T00:00:00+24:00",
		"2024-01-01T00:00:00+0100",
		"2024-01-01T00:00:00Zx",
		"0000-01-01T00:00:00Z",
		"0001-01-01T00:00:00+01:00",
		"9999-12-31T23:59:59-01:00",
		"12024-01-01T00:00:00Z",
	};
	Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	char text[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(text_parse_time(&t, good[i].text));
		assert_true(text_print_time(text, &t));
		assert_string_equal(text, good[i].back);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (text_parse_time(&t, bad[i]))
			fail_msg("%s was taken", bad[i]);
	assert_true(text_parse_time(&t, "2001-09-09T01:46:40Z"));
	assert_int_equal(t.seconds, 1000000000);
	t.seconds = TEXT_TIME_SECONDS_MAX + 1;
	assert_false(text_print_time(text, &t));
	t.seconds = 0;
	t.nanos = -1;
	assert_false(text_print_time(text, &t));
}

/* Every day of 800 years, against the sum of days. */
static void test_calendar(void **state)
{
	Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	char text[TEXT_MAX], want[TEXT_MAX];
	int64_t seconds = 0;

	(void)state;
	for (int year = 1970; year < 2770; year++) {
		for (int month = 1; month <= 12; month++) {
			static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
			bool leap = (year % 4 == 0 && year % 100) || year % 400 == 0;
			int n = days[month - 1] + (month == 2 && leap);

			for (int day = 1; day <= n; day++, seconds += 86400) {
				snprintf(want, sizeof(want), "%04d-%02d-%02dT00:00:00Z", year,
					 month, day);
				t.seconds = seconds;
				assert_true(text_print_time(text, &t));
				assert_string_equal(text, want);
				assert_true(text_parse_time(&t, want));
				assert_int_equal(t.seconds, seconds);
			}
		}
	}
}

static void test_durations(void **state)
{
	static const char *const good[] = { "0s",    "30s",    "1.5s",	       "0.000000001s",
					    "-1.5s", "-0.25s", "315576000000s" };
	static const char *const bad[] = { "",
					   "30",
					   "s",
					   "1.s",
					   ".5s",
					   "1.0000000000s",
					   "+1s",
					   " 1s",
					   "1s ",
					   "1m",
					   "--1s",
					   "1e3s",
					   "-s",
					   "315576000001s",
					   "0x1s",
					   "315576000000.1s",
					   "9999999999999s" };
	Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
	char text[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(text_parse_duration(&d, good[i]));
		assert_true(text_print_duration(text, &d));
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (text_parse_duration(&d, bad[i]))
			fail_msg("%s was taken", bad[i]);
	d.seconds = 1;
	d.nanos = -1;
	assert_false(text_print_duration(text, &d));
	d.seconds = INT64_MIN;
	assert_false(text_print_duration(text, &d));
	d.seconds = 0;
	d.nanos = INT32_MIN;
	assert_false(text_print_duration(text, &d));
	refused(READ, "{\"wait\":30}", "/wait");
	refused(READ, "{\"wait\":{\"seconds\":30}}", "/wait");
}

static void test_base64(void **state)
{
	static const char *const bad[] = { "A",	   "AA",   "AAA",  "AAAA=", "====",
					   "A===", "AB==", "AAB=", "AA=A",  "AA==AAAA",
					   "AA-_", "A A=", "AAA\n" };
	uint8_t data[70];
	size_t n;

	(void)state;
	for (size_t size = 0; size < sizeof(data); size++) {
		char *text;
		uint8_t *back;

		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)(i * 37 + size);
		text = text_print_base64(data, size);
		back = text_parse_base64(text, strlen(text), &n);
		assert_non_null(back);
		assert_int_equal(n, size);
		assert_memory_equal(back, data, size);
		free(back);
		free(text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (text_parse_base64(bad[i], strlen(bad[i]), &n))
			fail_msg("%s was taken", bad[i]);
	refused(WRITE, "{\"data\":\"AB==\"}", "/data");
	refused(WRITE, "{\"data\":[1]}", "/data");
}

static void test_utf8(void **state)
{
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xe0\x80\x80",
					   "\xed\xa0\x80",
					   "\xf0\x80\x80\x80",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xe2\x82",
					   "a\xff" };
	static const char good[] = "a\u00e9\u20ac\U0001f600";
	char text[] = "x\xff\xe2\x82y";

	(void)state;
	assert_true(text_is_utf8(good, strlen(good)));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
	text_make_utf8(text);
	assert_string_equal(text, "x???y");
}

/* A message of the wire may have what no JSON text has. */
static void test_print_of_odd_messages(void **state)
{
	Croft__V1__VcpuStats stats = CROFT__V1__VCPU_STATS__INIT;
	Croft__V1__VmStatus status = CROFT__V1__VM_STATUS__INIT;
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	char odd[] = "a\xff\xe2\x82";
	char *text;
	size_t n;

	(void)state;
	stats.run_seconds = NAN;
	stats.wait_seconds = INFINITY;
	assert_int_equal(transcode_print(&text, &n, &stats.base, NULL), 0);
	assert_string_equal(text, "{}\n");
	free(text);
	time.nanos = -5;
	status.state = (Croft__V1__VmStatus__State)77;
	status.message = odd;
	status.start_time = &time;
	status.starts = UINT64_MAX;
	assert_int_equal(transcode_print(&text, &n, &status.base, NULL), 0);
	assert_string_equal(text, "{\"state\":77,\"message\":\"a???\",\"start_time\":null,"
				  "\"starts\":1.84467440737096e19}\n");
	free(text);
}

static void test_check(void **state)
{
	struct error error = { 0 };
	Croft__V1__Vm *vm = parse(
		VM,
		"{\"labels\":{\"a\":\"b\"},\"spec\":{\"disks\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}");

	(void)state;
	assert_int_equal(transcode_check(&vm->base, &error), 0);
	vm->spec->disks[1]->name[0] = '\xff';
	assert_int_not_equal(transcode_check(&vm->base, &error), 0);
	assert_string_equal(error.field, "/spec/disks/1/name");
	vm->labels[0]->value[0] = '\xff';
	assert_int_not_equal(transcode_check(&vm->base, &error), 0);
	assert_string_equal(error.field, "/labels/0/value");
	message_free(vm);
}

static void test_check_wire(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *field; /* NULL: nothing is wrong */
	} packed[] = {
		{ "", 0, NULL },
		{ "\x0a\x03"
		  "a\0b",
		  5, "/name" },
		{ "\x0a\x02"
		  "ab",
		  4, NULL },
		{ "\x1a\x07\x0a\x01k\x12\x02v\0", 9, "/labels/0/value" },
		/* An item without a name, and one whose name is a NUL. */
		{ "\x32\x07\x32\x00\x32\x03\x0a\x01\0", 9, "/spec/disks/1/name" },
		/* A revision of 0, a zero in a field that is unknown, one in bytes, one behind what is no field. */
		{ "\x20\x00", 2, NULL },
		{ "\xfa\x7f\x01\0", 4, NULL },
		{ "\x32\x04\x7a\x02\0\0", 6, NULL },
		{ "\x0a\x7f\0", 3, NULL },
		{ "\x0b\x0a\x01\0", 4, NULL },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", 11, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packed); i++) {
		struct error error = { 0 };
		int r = transcode_check_wire(VM, packed[i].bytes, packed[i].size, &error);

		assert_string_equal(error.field, packed[i].field ? packed[i].field : "");
		assert_int_equal(r != 0, packed[i].field != NULL);
	}
}

static void test_fields(void **state)
{
	Croft__V1__ReadConsoleRequest *read = message_new(READ);
	Croft__V1__CreateVmRequest *create = message_new(&croft__v1__create_vm_request__descriptor);
	Croft__V1__WriteConsoleRequest *write = message_new(WRITE);
	struct error error = { 0 };

	(void)state;
	assert_int_equal(transcode_set(&read->base, "name", "web1", &error), 0);
	assert_int_equal(transcode_set(&read->base, "name", "web2", &error), 0);
	assert_string_equal(read->name, "web2");
	assert_int_equal(transcode_set(&read->base, "offset", "9223372036854775807", &error), 0);
	assert_true(read->offset == INT64_MAX);
	assert_int_equal(transcode_set(&read->base, "wait", "1s", &error), 0);
	assert_int_equal(transcode_set(&read->base, "wait", "2.5s", &error), 0);
	assert_int_equal(read->wait->seconds, 2);
	for (size_t i = 0; i < 8; i++) {
		static const char *const bad[] = {
			"", "-", "1x", " 1", "0x1", "-1", "9223372036854775808", "1-1"
		};

		assert_int_not_equal(transcode_set(&read->base, "offset", bad[i], &error), 0);
		assert_string_equal(error.field, "/offset");
	}
	assert_int_not_equal(transcode_set(&read->base, "name", "\xff", &error), 0);
	assert_string_equal(error.field, "/name");
	assert_string_equal(transcode_string(&read->base, "name"), "web2");
	assert_null(transcode_string(&read->base, "offset"));
	assert_null(transcode_string(&read->base, "nothing"));

	transcode_attach(&create->base, "vm", parse(VM, "{\"revision\":5}"));
	assert_int_equal(transcode_u64(&create->vm->base, "revision"), 5);
	assert_int_equal(transcode_u64(&create->base, "revision"), 0);
	assert_int_equal(transcode_set_bytes(&write->base, "data", "ab", 2, &error), 0);
	assert_int_equal(transcode_set_bytes(&write->base, "data", NULL, 0, &error), 0);
	assert_int_equal(write->data.len, 0);
	message_free(read);
	message_free(create);
	message_free(write);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_defaults_are_left_out),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_pointers_in_wrong_text),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_print_of_odd_messages),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_wire),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
