// SPDX-License-Identifier: Apache-2.0
// Merge patches: which paths they name, which values they carry, and what is refused with which pointer.

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/config.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"

#define VM     (&croft__v1__vm__descriptor)
#define CONFIG (&croft__v1__config__descriptor)

/* The paths, with a blank behind each, and the message as JSON. */
static void taken(const ProtobufCMessageDescriptor *type, const char *text, const char *paths,
		  const char *json)
{
	struct transcode_patch patch = { 0 };
	const Google__Protobuf__FieldMask *mask;
	struct error error = { 0 };
	char got[1024] = "", *out;
	size_t n;

	if (transcode_patch(&patch, type, text, strlen(text), &error))
		fail_msg("%s: %s %s", text, error.field, error.message);
	mask = (const void *)patch.mask;
	for (size_t i = 0; i < mask->n_paths; i++) {
		strcat(got, mask->paths[i]);
		strcat(got, " ");
	}
	assert_string_equal(got, paths);
	assert_int_equal(transcode_print(&out, &n, patch.message, NULL), 0);
	out[n - 1] = '\0';
	assert_string_equal(out, json);
	free(out);
	message_free(patch.message);
	message_free(patch.mask);
}

static void refused(const char *text, const char *field)
{
	struct transcode_patch patch = { 0 };
	struct error error = { 0 };

	if (!transcode_patch(&patch, VM, text, strlen(text), &error))
		fail_msg("%s was taken", text);
	assert_null(patch.message);
	assert_null(patch.mask);
	assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
	assert_true(error.message[0]);
	assert_string_equal(error.field, field);
}

static void test_values(void **state)
{
	(void)state;
	taken(VM, "{\"spec\":{\"vcpus\":2,\"cmdline\":\"x\"}}", "spec.vcpus spec.cmdline ",
	      "{\"revision\":0,\"spec\":{\"vcpus\":2,\"cmdline\":\"x\"}}");
	taken(CONFIG, "{\"spec\":{\"start_timeout\":\"1.5s\",\"log_level\":\"debug\"}}",
	      "spec.start_timeout spec.log_level ",
	      "{\"revision\":0,\"spec\":{\"log_level\":\"debug\",\"start_timeout\":\"1.5s\"}}");
	/* A value that is the default is set all the same. */
	taken(VM, "{\"spec\":{\"vcpus\":0}}", "spec.vcpus ", "{\"revision\":0,\"spec\":{}}");
}

static void test_null_clears(void **state)
{
	(void)state;
	taken(VM, "{\"spec\":{\"cmdline\":null},\"labels\":{\"a\":null,\"b\":\"c\"}}",
	      "spec.cmdline labels.a labels.b ",
	      "{\"labels\":{\"b\":\"c\"},\"revision\":0,\"spec\":{}}");
	taken(VM, "{\"spec\":null,\"labels\":null}", "spec labels ", "{\"revision\":0}");
	taken(CONFIG, "{\"spec\":{\"start_timeout\":null}}", "spec.start_timeout ",
	      "{\"revision\":0,\"spec\":{}}");
}

static void test_arrays_replace(void **state)
{
	(void)state;
	taken(VM, "{\"spec\":{\"disks\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}", "spec.disks ",
	      "{\"revision\":0,\"spec\":{\"disks\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}");
	taken(VM, "{\"spec\":{\"disks\":[]}}", "spec.disks ", "{\"revision\":0,\"spec\":{}}");
}

static void test_keys(void **state)
{
	(void)state;
	taken(VM, "{\"labels\":{\"plain_1\":\"\",\"a.b\":\"\",\"a-b\":\"\",\"1\":null}}",
	      "labels.plain_1 labels.`a.b` labels.`a-b` labels.`1` ",
	      "{\"labels\":{\"plain_1\":\"\",\"a.b\":\"\",\"a-b\":\"\"},\"revision\":0}");
}

static void test_nothing(void **state)
{
	(void)state;
	taken(VM, "{}", "", "{\"revision\":0}");
	taken(VM, "{\"labels\":{}}", "", "{\"revision\":0}");
	/* Where there is none it is made, and where there is one it stays. */
	taken(VM, "{\"spec\":{}}", "spec. ", "{\"revision\":0}");
	taken(VM, "{\"spec\":{\"vsock\":{}}}", "spec.vsock. ", "{\"revision\":0,\"spec\":{}}");
}

static void test_refused(void **state)
{
	(void)state;
	refused("null", "");
	refused("[]", "");
	refused("\"x\"", "");
	refused("", "");
	refused("{\"spec\":", "/spec");
	refused("{\"colour\":null}", "/colour");
	refused("{\"spec\":{\"cpus\":null}}", "/spec/cpus");
	refused("{\"spec\":5}", "/spec");
	refused("{\"spec\":[]}", "/spec");
	refused("{\"spec\":{\"vcpus\":\"2\"}}", "/spec/vcpus");
	refused("{\"spec\":{\"vcpus\":-1}}", "/spec/vcpus");
	refused("{\"spec\":{\"disks\":{\"0\":null}}}", "/spec/disks");
	refused("{\"spec\":{\"disks\":[null]}}", "/spec/disks/0");
	refused("{\"spec\":{\"disks\":[{\"name\":null}]}}", "/spec/disks/0/name");
	refused("{\"labels\":[]}", "/labels");
	refused("{\"labels\":{\"a\":1}}", "/labels/a");
	refused("{\"labels\":{\"a\":{}}}", "/labels/a");
	refused("{\"labels\":{\"a`b\":\"x\"}}", "/labels/a`b");
	refused("{\"labels\":{\"a\":null,\"a\":\"x\"}}", "/labels/a");
	refused("{\"create_time\":{}}", "/create_time");
}

static void test_limit(void **state)
{
	static char text[TRANSCODE_PATHS_MAX * 16];
	size_t n = (size_t)sprintf(text, "{\"labels\":{");

	(void)state;
	for (int i = 0; i <= TRANSCODE_PATHS_MAX; i++)
		n += (size_t)sprintf(text + n, "%s\"k%d\":null", i ? "," : "", i);
	sprintf(text + n, "}}");
	refused(text, "/labels/k1024");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	       cmocka_unit_test(test_null_clears),
		cmocka_unit_test(test_arrays_replace), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_nothing),	       cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
