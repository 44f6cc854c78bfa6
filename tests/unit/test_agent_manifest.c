// SPDX-License-Identifier: Apache-2.0
// The image manifest: what a good one says, and every way to be bad, with the place in the message.

#include "tests/unit/agent_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/manifest.h"

#define SHA	  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FILE_KEYS "\"url\":\"a/b\",\"sha256\":\"" SHA "\",\"size\":10"
#define FILE_OF	  "{" FILE_KEYS "}"
#define HEAD	  "{\"name\":\"n\",\"version\":\"1\","
#define KERNEL	  "\"kernel\":" FILE_OF

static int parse(Croft__V1__ImageStatus **out, const char *text, struct error *err)
{
	return manifest_parse(out, text, strlen(text), 1000, err);
}

static void test_smallest(void **state)
{
	Croft__V1__ImageStatus *s = NULL;

	(void)state;
	assert_int_equal(parse(&s, HEAD KERNEL "}", NULL), 0);
	assert_string_equal(s->version, "1");
	assert_string_equal(s->kernel->url, "a/b");
	assert_string_equal(s->kernel->sha256, SHA);
	assert_true(s->kernel->size == 10 && s->size_bytes == 10);
	assert_null(s->initrd);
	assert_int_equal(s->n_disks, 0);
	assert_string_equal(s->cmdline, "");
	croft__v1__image_status__free_unpacked(s, NULL);
}

static void test_whole(void **state)
{
	Croft__V1__ImageStatus *s = NULL;

	(void)state;
	assert_int_equal(parse(&s,
			       HEAD KERNEL ",\"initrd\":" FILE_OF
					   ",\"cmdline\":\"quiet\",\"disks\":["
					   "{\"name\":\"root\"," FILE_KEYS "},"
					   "{\"name\":\"data\",\"read_only\":true," FILE_KEYS "}]}",
			       NULL),
			 0);
	assert_non_null(s->initrd);
	assert_string_equal(s->cmdline, "quiet");
	assert_int_equal(s->n_disks, 2);
	assert_string_equal(s->disks[0]->name, "root");
	assert_false(s->disks[0]->read_only);
	assert_string_equal(s->disks[1]->name, "data");
	assert_true(s->disks[1]->read_only);
	assert_true(s->size_bytes == 40);
	croft__v1__image_status__free_unpacked(s, NULL);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "manifest: line 1" },
		{ "{", "manifest: line 1" },
		{ "[]", "the whole text: not an object" },
		{ "{}", "/name: missing" },
		{ "{\"name\":\"n\"}", "/version: missing" },
		{ "{\"name\":1,\"version\":\"1\"," KERNEL "}", "/name: not a string" },
		{ "{\"name\":\"n\",\"version\":\"\"," KERNEL "}", "/version: empty" },
		{ "{\"name\":\"n\",\"version\":\"\\n\"," KERNEL "}",
		  "/version: has other than printable" },
		{ "{\"name\":\"n\",\"name\":\"n\",\"version\":\"1\"," KERNEL "}",
		  "duplicate object key" },
		{ HEAD KERNEL ",\"cpu\":1}", "/cpu: unknown key" },
		{ HEAD "\"cmdline\":\"\"}", "/kernel: missing" },
		{ HEAD "\"kernel\":\"x\"}", "/kernel: not an object" },
		{ HEAD "\"kernel\":{\"sha256\":\"" SHA "\",\"size\":1}}", "/kernel/url: missing" },
		{ HEAD "\"kernel\":{\"url\":\"\",\"sha256\":\"" SHA "\",\"size\":1}}",
		  "/kernel/url: empty" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"size\":1}}", "/kernel/sha256: missing" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"ABC\",\"size\":1}}",
		  "/kernel/sha256: not 64 lower-case" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "0\",\"size\":1}}",
		  "/kernel/sha256: longer than 64 bytes" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "\"}}",
		  "/kernel/size: missing" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "\",\"size\":\"1\"}}",
		  "/kernel/size: not an integer" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "\",\"size\":1.0}}",
		  "/kernel/size: not an integer" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "\",\"size\":0}}",
		  "/kernel/size: less than 1 byte" },
		{ HEAD "\"kernel\":{\"url\":\"x\",\"sha256\":\"" SHA "\",\"size\":1001}}",
		  "the files have more than 1000 bytes together" },
		{ HEAD "\"kernel\":{" FILE_KEYS ",\"mode\":1}}", "/kernel/mode: unknown key" },
		{ HEAD KERNEL ",\"initrd\":null}", "/initrd: not an object" },
		{ HEAD KERNEL ",\"disks\":{}}", "/disks: not an array" },
		{ HEAD KERNEL ",\"disks\":[" FILE_OF "]}", "/disks/0/name: missing" },
		{ HEAD KERNEL ",\"disks\":[{\"name\":\"A\"," FILE_KEYS "}]}",
		  "/disks/0/name: not 1 to 63" },
		{ HEAD KERNEL ",\"disks\":[{\"name\":\"a\"," FILE_KEYS
			      "},{\"name\":\"a\"," FILE_KEYS "}]}",
		  "/disks/1/name: there twice" },
		{ HEAD KERNEL ",\"disks\":[{\"name\":\"a\",\"read_only\":0," FILE_KEYS "}]}",
		  "/disks/0/read_only: not true or false" },
		{ HEAD KERNEL ",\"disks\":[1,1,1,1,1,1,1,1,1]}", "/disks: more than 8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		Croft__V1__ImageStatus *s = NULL;
		struct error e = { .code = ERROR_NONE };

		assert_true(parse(&s, bad[i].text, &e) < 0);
		assert_null(s);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		if (!strstr(e.message, bad[i].says))
			fail_msg("case %zu says: %s", i, e.message);
	}
}

static void test_long_text(void **state)
{
	size_t n = MANIFEST_SIZE_MAX + 1;
	char *text = malloc(n);
	Croft__V1__ImageStatus *s = NULL;
	struct error e;

	(void)state;
	assert_non_null(text);
	memset(text, ' ', n);
	assert_true(manifest_parse(&s, text, n, 1000, &e) < 0);
	assert_non_null(strstr(e.message, "more than 262144 bytes"));
	memset(text, '[', n - 1);
	assert_true(manifest_parse(&s, text, n - 1, 1000, &e) < 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
