// SPDX-License-Identifier: Apache-2.0
// The console recording: offsets, the newest bytes, waking, and its file.

#include "tests/unit/agent_help.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/console.h"

static char *dir;
static char path[300];
static int notified;

static int setup(void **state)
{
	(void)state;
	dir = help_mkdir();
	snprintf(path, sizeof(path), "%s/console", dir);
	notified = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	help_rmdir(dir);
	return 0;
}

static void notify(void *data)
{
	assert_ptr_equal(data, path);
	__atomic_add_fetch(&notified, 1, __ATOMIC_SEQ_CST);
}

static struct recording *open_recording(void)
{
	struct recording *r = NULL;
	struct error e;

	if (recording_open(&r, path, notify, path, &e) < 0)
		fail_msg("%s", e.message);
	return r;
}

static void test_read(void **state)
{
	struct recording *r = open_recording();
	char out[32] = "";
	uint64_t offset = 0;

	(void)state;
	assert_int_equal(recording_read(r, &offset, out, sizeof(out)), 0);
	recording_append(r, "hello ", 6);
	recording_append(r, "", 0);
	recording_append(r, "world", 5);
	assert_true(recording_end(r) == 11);
	assert_int_equal(recording_read(r, &offset, out, sizeof(out)), 11);
	assert_memory_equal(out, "hello world", 11);
	offset = 6;
	assert_int_equal(recording_read(r, &offset, out, 3), 3);
	assert_memory_equal(out, "wor", 3);
	assert_true(offset == 6);
	offset = 11;
	assert_int_equal(recording_read(r, &offset, out, sizeof(out)), 0);
	offset = UINT64_MAX;
	assert_int_equal(recording_read(r, &offset, out, sizeof(out)), 0);
	assert_true(offset == UINT64_MAX);
	assert_null(recording_free(r));
	assert_null(recording_free(NULL));
}

/* Byte n of the stream. */
static unsigned char byte_at(uint64_t n)
{
	return (unsigned char)(n * 31 + n / 251);
}

static void test_wraps(void **state)
{
	static unsigned char chunk[70001], back[RECORDING_KEPT + 10];
	struct recording *r = open_recording();
	uint64_t total = 0, offset = 5;
	size_t n;

	(void)state;
	while (total < 3 * RECORDING_KEPT) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = byte_at(total + i);
		recording_append(r, chunk, sizeof(chunk));
		total += sizeof(chunk);
	}
	assert_true(recording_end(r) == total);
	n = recording_read(r, &offset, back, sizeof(back));
	assert_int_equal(n, RECORDING_KEPT);
	assert_true(offset == total - RECORDING_KEPT);
	for (size_t i = 0; i < n; i++)
		if (back[i] != byte_at(offset + i))
			fail_msg("byte %zu differs", i);
	recording_free(r);
}

/* More at once than is kept. */
static void test_huge_append(void **state)
{
	size_t n = 2 * RECORDING_KEPT + 77;
	unsigned char *big = malloc(n), *back = malloc(RECORDING_KEPT);
	struct recording *r = open_recording();
	uint64_t offset = 0;

	(void)state;
	assert_non_null(big);
	assert_non_null(back);
	for (size_t i = 0; i < n; i++)
		big[i] = byte_at(i);
	recording_append(r, big, n);
	assert_int_equal(recording_read(r, &offset, back, RECORDING_KEPT), RECORDING_KEPT);
	assert_true(offset == n - RECORDING_KEPT);
	assert_memory_equal(back, big + offset, RECORDING_KEPT);
	recording_free(r);
	free(big);
	free(back);
}

static void test_watch(void **state)
{
	struct recording *r = open_recording();

	(void)state;
	recording_append(r, "a", 1);
	assert_int_equal(notified, 0);
	assert_true(recording_watch(r, 0));
	recording_append(r, "b", 1);
	assert_int_equal(notified, 0);
	assert_false(recording_watch(r, 2));
	assert_false(recording_watch(r, 5));
	recording_append(r, "", 0);
	assert_int_equal(notified, 0);
	recording_append(r, "c", 1);
	assert_int_equal(notified, 1);
	recording_append(r, "d", 1);
	assert_int_equal(notified, 1);
	recording_free(r);
}

static void test_outlives(void **state)
{
	struct recording *r = open_recording();
	uint64_t offset = 0;
	char out[16];
	int fd;

	(void)state;
	recording_append(r, "before ", 7);
	recording_free(r);
	r = open_recording();
	recording_append(r, "after", 5);
	assert_int_equal(recording_read(r, &offset, out, sizeof(out)), 12);
	assert_memory_equal(out, "before after", 12);
	recording_free(r);

	/* A file that is none of ours begins anew. */
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage!", 8, 0), 8);
	close(fd);
	r = open_recording();
	assert_true(recording_end(r) == 0);
	recording_free(r);
}

static void test_no_file(void **state)
{
	struct recording *r = NULL;
	struct error e;

	(void)state;
	assert_true(recording_open(&r, "/nowhere/at/all", notify, path, &e) < 0);
	assert_null(r);
	assert_int_equal(e.code, ERROR_INTERNAL);
}

static void *append_much(void *arg)
{
	for (int i = 0; i < 2000; i++)
		recording_append(arg, "0123456789abcdef", 16);
	return NULL;
}

/* Two writers, and a reader that follows: each chunk arrives whole. */
static void test_threads(void **state)
{
	struct recording *r = open_recording();
	uint64_t offset = 0, total = 2 * 2000 * 16;
	pthread_t writers[2];
	char out[16];

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, append_much, r), 0);
	while (offset < total) {
		size_t n = recording_read(r, &offset, out, sizeof(out));

		if (n == sizeof(out)) {
			assert_memory_equal(out, "0123456789abcdef", sizeof(out));
			offset += n;
		}
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	recording_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_append, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outlives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
