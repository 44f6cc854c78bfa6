// SPDX-License-Identifier: Apache-2.0
/* The error value and the checked file helpers. */
#include "tests/unit/vmm_help.h"

static void test_raise(void **state)
{
	struct error e = { 0 };

	(void)state;
	assert_int_equal(error_raise(&e, ERROR_NOT_FOUND, "no image \"%s\"", "a"), -ENOENT);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	assert_int_equal(e.err, 0);
	assert_string_equal(e.message, "no image \"a\"");
	assert_string_equal(e.field, "");
	assert_int_equal(error_raise_errno(&e, ERROR_INTERNAL, ENOSPC, "write %s", "x"), -ENOSPC);
	assert_int_equal(e.err, ENOSPC);
	assert_string_equal(e.message, "write x: No space left on device");
	assert_int_equal(error_raise_field(&e, "/spec/vcpus", "%d vCPUs", 0), -EINVAL);
	assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
	assert_string_equal(e.field, "/spec/vcpus");
	assert_string_equal(e.message, "0 vCPUs");
	/* A caller that does not want to know still gets the number. */
	assert_int_equal(error_raise_errno(NULL, ERROR_INTERNAL, ENOSPC, "x"), -ENOSPC);
	assert_int_equal(error_raise(NULL, ERROR_DEADLINE, "x"), -ETIMEDOUT);
}

static void test_every_code(void **state)
{
	(void)state;
	for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
		assert_true(error_raise(NULL, (enum error_code)code, "x") < 0);
		for (int other = ERROR_NONE; other < code; other++)
			assert_string_not_equal(error_code_name((enum error_code)code),
						error_code_name((enum error_code)other));
	}
	assert_string_equal(error_code_name((enum error_code)999), "INTERNAL");
	assert_string_equal(error_code_name(ERROR_DATA_LOSS), "DATA_LOSS");
}

static void test_widen(void **state)
{
	struct error e = { 0 };

	(void)state;
	error_raise_errno(&e, ERROR_NOT_FOUND, ENOENT, "open /x");
	assert_int_equal(error_widen(&e, "disk \"%s\"", "root"), -ENOENT);
	assert_int_equal(error_widen(&e, "vm \"%s\"", "web1"), -ENOENT);
	assert_string_equal(e.message,
			    "vm \"web1\": disk \"root\": open /x: No such file or directory");
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	/* Its own message may be an argument. */
	error_raise(&e, ERROR_INTERNAL, "[%s]", e.message);
	assert_string_equal(e.message,
			    "[vm \"web1\": disk \"root\": open /x: No such file or directory]");
}

static void test_cut(void **state)
{
	/* "é" is two bytes, "€" three, "𝄞" four: none may be cut in two. */
	static const char *const chars[] = { "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9d\x84\x9e" };
	char text[2 * ERROR_MESSAGE_MAX];
	struct error e = { 0 };

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(chars); c++)
		for (size_t lead = 0; lead < 4; lead++) {
			size_t n = strlen(chars[c]), at = 0, len;

			while (at < lead)
				text[at++] = '-';
			while (at + n < sizeof(text)) {
				memcpy(text + at, chars[c], n);
				at += n;
			}
			text[at] = '\0';
			error_raise(&e, ERROR_INTERNAL, "%s", text);
			len = strlen(e.message);
			assert_true(len < ERROR_MESSAGE_MAX && len + 4 >= ERROR_MESSAGE_MAX);
			assert_int_equal((len - lead) % n, 0);
			error_widen(&e, "%.10s", "0123456789");
			assert_int_equal((strlen(e.message) - lead - 12) % n, 0);
		}
}

static void test_files(void **state)
{
	_cleanup_close_ int fd = file_of("0123456789", 10);
	_cleanup_close_ int nowhere = -1;
	char buf[10];

	(void)state;
	assert_int_equal(pread_all(fd, buf, 4, 6), 0);
	assert_memory_equal(buf, "6789", 4);
	assert_int_equal(pread_all(fd, buf, 5, 6), -EIO);
	assert_int_equal(pwrite_all(fd, "ab", 2, 9), 0);
	assert_int_equal(pread_all(fd, buf, 3, 8), 0);
	assert_memory_equal(buf, "8ab", 3);
	assert_int_equal(pread_all(nowhere, buf, 1, 0), -EBADF);
	assert_int_equal(pwrite_all(nowhere, buf, 1, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raise), cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_widen), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
