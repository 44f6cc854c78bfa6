// SPDX-License-Identifier: Apache-2.0
// The agent's files: VMs' disks, the blob store, the trash; and the scripts of fake guests.

#include "tests/unit/agent_help.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/blob.h"
#include "agent/disk.h"
#include "agent/fake_guest.h"
#include "agent/trash.h"

#define MIB (1u << 20)

static char *dir;
static char path[300], source[300];

static int setup(void **state)
{
	(void)state;
	dir = help_mkdir();
	snprintf(path, sizeof(path), "%s/disk.raw", dir);
	snprintf(source, sizeof(source), "%s/source", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	help_rmdir(dir);
	return 0;
}

/* A file of `size` zeros with a word at each of the places; size may be odd. */
static void make_file(const char *name, uint64_t size, const uint64_t *places, size_t n)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	_cleanup_free_ char *zeros = calloc(1, MIB);

	assert_true(fd >= 0);
	assert_non_null(zeros);
	/* Written zeros, as a download leaves them, and not a hole. */
	for (uint64_t at = 0; at < size; at += MIB)
		assert_int_equal(pwrite_all(fd, zeros, size - at < MIB ? (size_t)(size - at) : MIB,
					    at),
				 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pwrite_all(fd, "word", 4, places[i]), 0);
	close(fd);
}

static void check_file(uint64_t size, const uint64_t *places, size_t n)
{
	struct stat st;
	char word[4];
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_size == size);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pread_all(fd, word, 4, places[i]), 0);
		assert_memory_equal(word, "word", 4);
	}
	close(fd);
}

static uint64_t room_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int make_disk(const char *from, uint64_t size, bool cancelled, struct error *err)
{
	struct job job = { .service = NULL };

	atomic_store(&job.cancel, cancelled);
	return disk_make(&job, path, from, size, err);
}

static void test_empty_disk(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(make_disk(NULL, 10 * MIB, false, &e), 0);
	check_file(10 * MIB, NULL, 0);
	assert_true(room_of(path) < MIB);
}

static void test_copy(void **state)
{
	static const uint64_t places[] = { 0, 4094, 300000, 3 * MIB - 2, 8 * MIB + 1 };
	struct error e;

	(void)state;
	make_file(source, 8 * MIB + 77, places, ARRAY_SIZE(places));
	assert_int_equal(make_disk(source, 0, false, &e), 0);
	/* Rounded up to a sector, and without the room of the zeros. */
	check_file(8 * MIB + 512, places, ARRAY_SIZE(places));
	assert_true(room_of(path) < 2 * MIB);
}

static void test_enlarged_copy(void **state)
{
	static const uint64_t places[] = { 512 };
	struct error e;

	(void)state;
	make_file(source, MIB, places, ARRAY_SIZE(places));
	assert_int_equal(make_disk(source, 20 * MIB, false, &e), 0);
	check_file(20 * MIB, places, ARRAY_SIZE(places));
}

/* What is there has the VM's data, and only grows. */
static void test_second_time(void **state)
{
	static const uint64_t places[] = { 100 };
	struct error e;

	(void)state;
	make_file(path, 4096, places, ARRAY_SIZE(places));
	make_file(source, MIB, NULL, 0);
	assert_int_equal(make_disk(source, 20 * MIB, false, &e), 0);
	check_file(20 * MIB, places, ARRAY_SIZE(places));
	assert_int_equal(make_disk(source, MIB, false, &e), 0);
	check_file(20 * MIB, places, ARRAY_SIZE(places));
}

static void refused(const char *from, bool cancelled, enum error_code code)
{
	struct error e = { .code = ERROR_NONE };
	char draft[310];

	assert_true(make_disk(from, 0, cancelled, &e) < 0);
	assert_int_equal(e.code, code);
	snprintf(draft, sizeof(draft), "%s.draft", path);
	assert_true(access(path, F_OK) < 0);
	assert_true(access(draft, F_OK) < 0);
}

static void test_disk_failures(void **state)
{
	struct error e;

	(void)state;
	refused(source, false, ERROR_NOT_FOUND);
	make_file(source, MIB, NULL, 0);
	refused(source, true, ERROR_CANCELLED);
	snprintf(path, sizeof(path), "%s/no/such/disk", dir);
	assert_true(make_disk(NULL, 4096, false, &e) < 0);
}

static bool is_a(void *data, const char *sha256)
{
	(void)data;
	return sha256[0] == 'a';
}

static void test_blobs(void **state)
{
	static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	static const char c[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
	struct blob_draft draft = BLOB_DRAFT_NONE, dropped = BLOB_DRAFT_NONE,
			  left = BLOB_DRAFT_NONE;
	struct error e;

	(void)state;
	for (const char *name = a; name; name = name == a ? b : NULL) {
		assert_int_equal(blob_draft_open(&draft, dir, name, &e), 0);
		assert_int_equal(pwrite_all(draft.fd, "hello", 5, 0), 0);
		assert_false(blob_exists(dir, name, 5));
		assert_int_equal(blob_draft_keep(&draft, name, &e), 0);
		assert_int_equal(draft.fd, -1);
		blob_draft_drop(&draft);
		assert_true(blob_exists(dir, name, 5));
		assert_false(blob_exists(dir, name, 4));
	}
	/* What was left is found again, by one at a time. */
	assert_int_equal(blob_draft_open(&left, dir, c, &e), 0);
	assert_true(left.size == 0);
	assert_int_equal(pwrite_all(left.fd, "hello", 5, 0), 0);
	assert_int_equal(blob_draft_open(&dropped, dir, c, &e), 0);
	assert_true(dropped.size == 0);
	assert_string_not_equal(dropped.path, left.path);
	blob_draft_drop(&dropped);
	assert_true(access(dropped.path, F_OK) < 0);
	blob_draft_leave(&left);
	assert_int_equal(blob_draft_open(&left, dir, c, &e), 0);
	assert_true(left.size == 5);
	assert_int_equal(blob_draft_clear(&left, &e), 0);
	blob_draft_leave(&left);
	assert_int_equal(blob_draft_open(&left, dir, c, &e), 0);
	assert_true(left.size == 0);

	blob_discard(dir, is_a, NULL);
	assert_true(blob_exists(dir, a, 5));
	assert_false(blob_exists(dir, b, 5));
	assert_true(access(left.path, F_OK) < 0);
	base_close(left.fd);
	trash_empty(dir);
	assert_true(blob_exists(dir, a, 5));

	/* Nothing but the one blob is there. */
	snprintf(path, sizeof(path), "%s/%s", dir, a);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_true(blob_draft_open(&draft, dir, a, &e) < 0);
}

static void test_trash(void **state)
{
	char name[400];

	(void)state;
	snprintf(name, sizeof(name), "%s/vm", dir);
	assert_int_equal(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%s/vm/console", dir);
	make_file(name, 10, NULL, 0);
	trash_put(dir, "vm");
	trash_put(dir, "not-there");
	trash_put("/nowhere/at/all", "vm");
	assert_true(access(name, F_OK) < 0);
	snprintf(name, sizeof(name), "%s/.trash-vm/console", dir);
	assert_int_equal(access(name, F_OK), 0);
	trash_empty(dir);
	trash_empty("/nowhere/at/all");
	assert_int_equal(rmdir(dir), 0);
}

static void test_fake_guests(void **state)
{
	(void)state;
	assert_null(fake_guest_script(""));
	assert_null(fake_guest_script("console=ttyS0 xcroft.test=poweroff"));
	assert_null(fake_guest_script("croft.test=poweroffs"));
	assert_null(fake_guest_script("croft.test="));
	assert_non_null(strstr(fake_guest_script("croft.test=poweroff"), "poweroff\n"));
	assert_non_null(
		strstr(fake_guest_script("a croft.test=poweroff croft.test=reboot b"), "reset\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty_disk),	TEST(test_copy),	  TEST(test_enlarged_copy),
		TEST(test_second_time), TEST(test_disk_failures), TEST(test_blobs),
		TEST(test_trash),	TEST(test_fake_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
