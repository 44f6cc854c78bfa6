// SPDX-License-Identifier: Apache-2.0
// The store: what is committed is there again, also after the process was killed; other files are refused.

#include "tests/unit/store_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/store.h"
#include "croft/v1/image.pb-c.h"

static struct store *open_store(bool start)
{
	struct store *s = NULL;
	struct error e;

	if (store_open(&s, path, &e) < 0)
		fail_msg("%s", e.message);
	if (start)
		assert_int_equal(store_start(s, quiet, NULL, &e), 0);
	return s;
}

static void put(struct store *s, const char *name, uint64_t revision)
{
	Croft__V1__Image image = CROFT__V1__IMAGE__INIT;

	image.name = (char *)(uintptr_t)name;
	image.revision = revision;
	assert_int_equal(store_put(s, "image", name, &image.base), 0);
}

static void wait_for(struct store *s, uint64_t ticket)
{
	struct error e = { .code = ERROR_NONE };

	while (store_committed(s, &e) < ticket) {
		assert_int_equal(e.code, ERROR_NONE);
		usleep(1000);
	}
}

struct seen {
	char names[256];
	uint64_t revisions;
};

static int see(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct seen *seen = data;
	Croft__V1__Image *image = croft__v1__image__unpack(NULL, n, bytes);

	(void)err;
	assert_non_null(image);
	assert_string_equal(image->name, name);
	strcat(strcat(seen->names, name), " ");
	seen->revisions = seen->revisions * 10 + image->revision;
	croft__v1__image__free_unpacked(image, NULL);
	return 0;
}

static struct seen look(void)
{
	struct store *s = open_store(false);
	struct seen seen = { .names = "" };
	struct error e;

	assert_int_equal(store_load(s, "image", see, &seen, &e), 0);
	store_free(s);
	return seen;
}

static void test_kept(void **state)
{
	struct store *s = open_store(true);
	uint64_t ticket, value;
	struct error e;

	(void)state;
	put(s, "b", 1);
	put(s, "a", 2);
	put(s, "c", 3);
	assert_int_equal(store_set_counter(s, "n", 5), 0);
	assert_int_equal(store_set_counter(s, "n", 6), 0);
	ticket = store_submit(s);
	assert_true(store_submit(s) == ticket);
	wait_for(s, ticket);
	put(s, "a", 4);
	assert_int_equal(store_delete(s, "image", "c"), 0);
	assert_int_equal(store_delete(s, "vm", "a"), 0);
	assert_true(store_submit(s) > ticket);
	assert_null(store_free(s));

	assert_string_equal(look().names, "a b ");
	assert_true(look().revisions == 41);
	s = open_store(false);
	assert_int_equal(store_load_counter(s, "n", &value, &e), 0);
	assert_true(value == 6);
	assert_int_equal(store_load_counter(s, "other", &value, &e), 0);
	assert_true(value == 0);
	store_free(s);
	assert_null(store_free(NULL));
}

/* A child commits, says so, and is killed at once. */
static void test_killed(void **state)
{
	int said[2];
	char name[16];
	ssize_t n;
	pid_t child;
	char last[16] = "";

	(void)state;
	assert_int_equal(pipe(said), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *s = NULL;

		if (store_open(&s, path, NULL) < 0 || store_start(s, quiet, NULL, NULL) < 0)
			_exit(1);
		for (unsigned int i = 10; i < 100; i++) {
			Croft__V1__Image image = CROFT__V1__IMAGE__INIT;
			uint64_t ticket;

			snprintf(name, sizeof(name), "k%u", i);
			image.name = name;
			store_put(s, "image", name, &image.base);
			ticket = store_submit(s);
			while (store_committed(s, NULL) < ticket)
				usleep(100);
			if (write(said[1], name, 4) != 4)
				_exit(1);
		}
		pause();
	}
	close(said[1]);
	for (int i = 0; i < 20; i++) {
		n = read(said[0], last, 4);
		assert_int_equal(n, 4);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while ((n = read(said[0], last, 4)) == 4)
		;
	close(said[0]);
	last[3] = '\0';
	assert_non_null(strstr(look().names, last));
	assert_non_null(strstr(look().names, "k10 "));
}

static void test_second_agent(void **state)
{
	struct store *first = open_store(true), *second = NULL;
	struct error e;

	(void)state;
	assert_true(store_open(&second, path, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFLICT);
	assert_null(second);
	store_free(first);
}

static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void refused(enum error_code code, const char *says)
{
	struct store *s = NULL;
	struct error e = { .code = ERROR_NONE };

	assert_true(store_open(&s, path, &e) < 0);
	assert_int_equal(e.code, code);
	if (!strstr(e.message, says))
		fail_msg("says: %s", e.message);
}

static void test_newer_schema(void **state)
{
	(void)state;
	store_free(open_store(false));
	run_sql("PRAGMA user_version = 3");
	refused(ERROR_UNSUPPORTED, "newer croftd: its schema is 3, this one knows up to 2");
}

static int see_number(void *data, uint64_t number, const void *bytes, size_t n, struct error *err)
{
	uint64_t *numbers = data;

	(void)err;
	assert_int_equal(n, 3);
	assert_memory_equal(bytes, "abc", 3);
	*numbers = *numbers * 100 + number;
	return 0;
}

static uint64_t numbers_of(struct store *s, const char *kind)
{
	uint64_t numbers = 0;
	struct error e;

	assert_int_equal(store_load_entries(s, kind, see_number, &numbers, &e), 0);
	return numbers;
}

/* The file of an agent that knew no entries: its events were records. */
static void test_schema_1(void **state)
{
	struct store *s;
	struct seen none = { .names = "" };
	uint64_t value;
	struct error e;

	(void)state;
	run_sql("CREATE TABLE record(kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, "
		"PRIMARY KEY(kind, name)) WITHOUT ROWID;"
		"CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
		"PRAGMA application_id = 1131570804;"
		"PRAGMA user_version = 1;"
		"INSERT INTO record VALUES('image', 'a', x'0a0161');"
		"INSERT INTO record VALUES('event', '00000000000000000009', x'616263');"
		"INSERT INTO record VALUES('event', '00000000000000000010', x'616263');"
		"INSERT INTO counter VALUES('n', 7);");
	for (int round = 0; round < 2; round++) {
		assert_string_equal(look().names, "a ");
		s = open_store(false);
		assert_true(numbers_of(s, "event") == 910);
		assert_int_equal(store_load(s, "event", see, &none, &e), 0);
		assert_int_equal(store_load_counter(s, "n", &value, &e), 0);
		assert_true(value == 7);
		store_free(s);
	}
	assert_string_equal(none.names, "");
	/* Not half of a migration is kept. */
	run_sql("DROP TABLE record; PRAGMA user_version = 1");
	refused(ERROR_INTERNAL, "schema 1 to 2: store: table entry already exists");
}

static void test_entries(void **state)
{
	struct store *s = open_store(true);

	(void)state;
	for (uint64_t n = 5; n < 9; n++)
		assert_int_equal(store_append(s, "e", n, "abc", 3), 0);
	assert_int_equal(store_append(s, "f", 1, "abc", 3), 0);
	assert_int_equal(store_trim(s, "e", 6), 0);
	assert_null(store_free(s));
	s = open_store(false);
	assert_true(numbers_of(s, "e") == 708);
	assert_true(numbers_of(s, "f") == 1);
	store_free(s);
}

static void test_foreign_files(void **state)
{
	FILE *f;

	(void)state;
	run_sql("CREATE TABLE t(x)");
	refused(ERROR_DATA_LOSS, "not a store of croftd");
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		fputs("not a database ", f);
	fclose(f);
	refused(ERROR_DATA_LOSS, "not a database");
	unlink(path);
	rmdir(dir);
	refused(ERROR_INTERNAL, "unable to open");
}

/* What cannot be written is said, is kept, and is written when that is possible again. */
static void test_write_failure(void **state)
{
	struct store *s = open_store(true);
	struct error e = { .code = ERROR_NONE };
	struct rlimit whole, none;
	uint64_t ticket;

	(void)state;
	/* No file may grow: what a full disk is like. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
	none = whole;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	put(s, "late", 1);
	ticket = store_submit(s);
	while (e.code == ERROR_NONE) {
		assert_true(store_committed(s, &e) < ticket);
		usleep(1000);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
	put(s, "later", 2);
	ticket = store_submit(s);
	while (store_committed(s, NULL) < ticket)
		usleep(1000);
	store_free(s);
	assert_string_equal(look().names, "late later ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_schema, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schema_1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_failure, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
