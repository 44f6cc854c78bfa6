// SPDX-License-Identifier: Apache-2.0
// Events: the ring's bound, numbers without gaps over restarts and kills, and the commit that they share with the change.

#include "tests/unit/store_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/event.h"
#include "agent/message.h"
#include "agent/state.h"

/* Of a service only what events need. */
static int try_open(struct service *s, struct error *e)
{
	int r;

	*s = (struct service){ 0 };
	r = store_open(&s->store, path, e);
	return r < 0 ? r : events_load(s, e);
}

static void end(struct service *s)
{
	s->store = store_free(s->store);
	events_free(s);
}

static void begin(struct service *s)
{
	struct error e;

	if (try_open(s, &e) < 0 || store_start(s->store, quiet, NULL, &e) < 0)
		fail_msg("%s", e.message);
}

static void emit(struct service *s, const char *object)
{
	event_emit(s, &(struct event_news){ .type = "vm.state",
					    .collection = "vms",
					    .object = object,
					    .state = "RUNNING",
					    .message = "caf\xff" });
}

static void commit(struct service *s)
{
	struct error e = { .code = ERROR_NONE };
	uint64_t ticket;

	assert_int_equal(records_queue(s), 0);
	ticket = store_submit(s->store);
	while (store_committed(s->store, &e) < ticket)
		usleep(500);
	assert_int_equal(e.code, ERROR_NONE);
}

static void check_ring(const struct service *s, uint64_t oldest, uint64_t newest)
{
	assert_true(event_oldest(s) == oldest);
	assert_true(event_newest(s) == newest);
	assert_null(event_copy(s, oldest - 1));
	assert_null(event_copy(s, newest + 1));
	for (uint64_t n = oldest; n <= newest; n++) {
		Croft__V1__Event *event = event_copy(s, n);

		assert_non_null(event);
		assert_true(event->number == n);
		message_free(event);
	}
}

static void refused(const struct service *s, uint64_t after, const char *says)
{
	struct error e = { .code = ERROR_NONE };

	assert_true(event_check_cursor(s, after, &e) < 0);
	assert_int_equal(e.code, ERROR_OUT_OF_RANGE);
	if (!strstr(e.message, says))
		fail_msg("says: %s", e.message);
}

/* A store that has never heard of events is the first case. */
static void test_numbers(void **state)
{
	Croft__V1__Event *event;
	struct service s;

	(void)state;
	begin(&s);
	check_ring(&s, 1, 0);
	assert_int_equal(event_check_cursor(&s, 0, NULL), 0);
	refused(&s, 1, "there is no event 1");
	emit(&s, "a");
	emit(&s, "b");
	commit(&s);
	check_ring(&s, 1, 2);
	end(&s);
	begin(&s);
	check_ring(&s, 1, 2);
	event = event_copy(&s, 2);
	assert_string_equal(event->target, "vms/b");
	assert_string_equal(event->message, "caf?");
	message_free(event);
	assert_int_equal(event_check_cursor(&s, 2, NULL), 0);
	refused(&s, 3, "the newest is 2");
	emit(&s, "c");
	check_ring(&s, 1, 3);
	end(&s);
}

static void test_bound(void **state)
{
	const uint64_t more = 50;
	struct service s;

	(void)state;
	begin(&s);
	for (uint64_t i = 0; i < EVENTS_KEPT + more; i++) {
		emit(&s, "a");
		if (i % 500 == 0)
			commit(&s);
	}
	commit(&s);
	check_ring(&s, more + 1, EVENTS_KEPT + more);
	end(&s);
	begin(&s);
	check_ring(&s, more + 1, EVENTS_KEPT + more);
	refused(&s, 1, "the oldest is 51");
	refused(&s, more - 1, "the oldest is 51");
	assert_int_equal(event_check_cursor(&s, more, NULL), 0);
	assert_int_equal(event_check_cursor(&s, EVENTS_KEPT + more, NULL), 0);
	/* More than the ring holds before anything is stored: the oldest of these are never written. */
	for (uint64_t i = 0; i < EVENTS_KEPT + more; i++)
		emit(&s, "b");
	commit(&s);
	end(&s);
	begin(&s);
	check_ring(&s, EVENTS_KEPT + 2 * more + 1, 2 * (EVENTS_KEPT + more));
	end(&s);
}

/* One turn of a stream: its next event's number, 0 when it waits or has nothing yet, or the error's code below 0. */
static int turn(struct service *s, struct call *call)
{
	int number = 0;

	call->more = false;
	s->waiting = NULL;
	s->last_answer = &s->answers;
	call->method->handle(s, call);
	if (call->error.code != ERROR_NONE)
		return -(int)call->error.code;
	assert_true(call->more == (s->waiting == NULL));
	if (call->reply)
		number = (int)((Croft__V1__Event *)(void *)call->reply)->number;
	call->reply = message_free(call->reply);
	return number;
}

static void end_stream(struct service *s, struct call *call)
{
	call->method->close(s, call);
	message_free(call->request);
	*call = (struct call){ .method = call->method };
}

static void test_stream(void **state)
{
	struct call call = { .method = service_method_find("croft.v1.Events/WatchEvents") };
	Croft__V1__WatchEventsRequest *request;
	struct service s;

	(void)state;
	begin(&s);
	emit(&s, "a");
	emit(&s, "b");
	emit(&s, "a");
	call.request = message_new(&croft__v1__watch_events_request__descriptor);
	assert_int_equal(turn(&s, &call), 1);
	assert_int_equal(turn(&s, &call), 2);
	assert_true(call.cursor == 2);
	assert_int_equal(turn(&s, &call), 3);
	assert_int_equal(turn(&s, &call), 0);
	emit(&s, "c");
	assert_int_equal(turn(&s, &call), 4);

	/* It reads so slowly that what it has not got is dropped. */
	for (unsigned int i = 0; i < EVENTS_KEPT; i++)
		emit(&s, "d");
	assert_int_equal(turn(&s, &call), 5);
	emit(&s, "d");
	emit(&s, "d");
	assert_int_equal(turn(&s, &call), -ERROR_OUT_OF_RANGE);
	assert_non_null(strstr(call.error.message, "too slow: events behind 5"));
	end_stream(&s, &call);

	/* What the filter leaves out is looked at in turns. */
	request = message_new(&croft__v1__watch_events_request__descriptor);
	message_set_string(&request->filter, "target=vms/z");
	call.request = &request->base;
	emit(&s, "z");
	for (int i = 0; i < 9; i++)
		assert_int_equal(turn(&s, &call), 0);
	assert_int_equal(turn(&s, &call), (int)event_newest(&s));
	assert_int_equal(turn(&s, &call), 0);
	assert_ptr_equal(s.waiting, &call);
	end_stream(&s, &call);

	request = message_new(&croft__v1__watch_events_request__descriptor);
	request->after = 1;
	call.request = &request->base;
	assert_int_equal(turn(&s, &call), -ERROR_OUT_OF_RANGE);
	end_stream(&s, &call);
	end(&s);
}

/* A child commits an event and the change that it tells of again and again, until it is killed. */
static void child(int said)
{
	Croft__V1__Event change = CROFT__V1__EVENT__INIT;
	struct record record = { .kind = "change", .name = "it", .message = &change.base };
	struct service s;
	struct error e;

	if (try_open(&s, &e) < 0 || store_start(s.store, quiet, NULL, &e) < 0)
		_exit(1);
	for (;;) {
		uint64_t ticket;

		change.number = event_newest(&s) + 1;
		record_touch(&s, &record);
		emit(&s, "a");
		if (records_queue(&s) < 0)
			_exit(1);
		ticket = store_submit(s.store);
		/* Not always waited for, so that the kill meets groups on their way. */
		while (event_newest(&s) % 8 == 0 && store_committed(s.store, NULL) < ticket)
			usleep(100);
		if (change.number % 8 == 0 &&
		    write(said, &change.number, sizeof(uint64_t)) != sizeof(uint64_t))
			_exit(1);
	}
}

static int see_change(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	Croft__V1__Event *change = croft__v1__event__unpack(NULL, n, bytes);

	(void)name;
	(void)err;
	assert_non_null(change);
	*(uint64_t *)data = change->number;
	croft__v1__event__free_unpacked(change, NULL);
	return 0;
}

static void test_killed(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		uint64_t last = 0, change = 0;
		struct service s;
		struct error e;
		int said[2];
		pid_t pid;

		assert_int_equal(pipe(said), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child(said[1]);
		close(said[1]);
		for (int i = 0; i < 5; i++)
			assert_int_equal(read(said[0], &last, sizeof(last)), sizeof(last));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(said[0], &last, sizeof(last)) == sizeof(last))
			;
		close(said[0]);
		if (try_open(&s, &e) < 0)
			fail_msg("%s", e.message);
		assert_int_equal(store_load(s.store, "change", see_change, &change, &e), 0);
		/* What was said to be stored is; the change and its event are there together or not at all. */
		assert_true(event_newest(&s) >= last);
		assert_true(change == event_newest(&s));
		check_ring(&s, 1, event_newest(&s));
		end(&s);
	}
}

static void test_damage(void **state)
{
	struct service s;
	struct error e;
	sqlite3 *db;

	(void)state;
	begin(&s);
	for (int i = 0; i < 3; i++)
		emit(&s, "a");
	commit(&s);
	end(&s);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "DELETE FROM entry WHERE number = 2", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	assert_true(try_open(&s, &e) < 0);
	assert_int_equal(e.code, ERROR_DATA_LOSS);
	assert_non_null(strstr(e.message, "event 2 is missing in the store"));
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
