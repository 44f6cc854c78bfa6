// SPDX-License-Identifier: Apache-2.0
/* The device thread's loop: each signal is one event, and none is another's. */
#include "tests/unit/vmm_help.h"

#include <sys/socket.h>
#include <sys/timerfd.h>

#include "vmm/loop.h"

struct counted {
	struct loop_source source;
	unsigned int times;
	struct counted *other; /* which gets another fd when this one is ready */
	int next_fd;
};

static void count(struct loop_source *source)
{
	struct counted *c = CONTAINER_OF(source, struct counted, source);

	c->times++;
	if (c->other)
		c->other->source =
			(struct loop_source){ .fd = c->next_fd, .ready = count, .stream = true };
}

static unsigned int turns(struct loop *loop)
{
	bool quit = false;
	unsigned int n = 0;

	while (loop_turn(loop, 0, &quit))
		n++;
	assert_false(quit);
	return n;
}

static void test_signals(void **state)
{
	struct counted c = { .source = { .fd = eventfd_new(), .ready = count } };
	struct loop loop = LOOP_NONE;

	(void)state;
	assert_int_equal(loop_init(&loop, NULL), 0);
	assert_int_equal(loop_add(&loop, &c.source, NULL), 0);
	assert_int_equal(turns(&loop), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		eventfd_signal(c.source.fd);
		eventfd_signal(c.source.fd);
		assert_int_equal(turns(&loop), 1);
		assert_int_equal(c.times, i);
	}
	/* Nobody is told while nobody listens; what came meanwhile is told then. */
	loop_listen(&loop, &c.source, 0);
	eventfd_signal(c.source.fd);
	assert_int_equal(turns(&loop), 0);
	loop_listen(&loop, &c.source, LOOP_IN);
	assert_int_equal(turns(&loop), 1);
	assert_int_equal(turns(&loop), 0);
	loop_free(&loop);
	close(c.source.fd);
}

static void test_timer(void **state)
{
	struct counted c = { .source = { .ready = count } };
	const struct itimerspec soon = { .it_value.tv_nsec = 1 };
	struct loop loop = LOOP_NONE;
	bool quit = false;

	(void)state;
	c.source.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	assert_true(c.source.fd >= 0);
	assert_int_equal(loop_init(&loop, NULL), 0);
	assert_int_equal(loop_add(&loop, &c.source, NULL), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(timerfd_settime(c.source.fd, 0, &soon, NULL), 0);
		assert_true(loop_turn(&loop, 60000, &quit));
		assert_int_equal(turns(&loop), 0);
		assert_int_equal(c.times, i);
	}
	loop_free(&loop);
	close(c.source.fd);
}

/* The end of one fd is not the end of the next one in its place, though both are told in one turn. */
static void test_end_of_an_earlier_fd(void **state)
{
	struct counted first = { .source = { .fd = eventfd_new(), .ready = count } };
	struct counted second = { .source = { .ready = count, .stream = true } };
	struct loop loop = LOOP_NONE;
	int pair[2], next[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, next), 0);
	first.other = &second;
	first.next_fd = next[0];
	second.source.fd = pair[0];
	assert_int_equal(loop_init(&loop, NULL), 0);
	assert_int_equal(loop_add(&loop, &first.source, NULL), 0);
	assert_int_equal(loop_add(&loop, &second.source, NULL), 0);
	eventfd_signal(first.source.fd);
	close(pair[1]);
	assert_true(loop_turn(&loop, 60000, &(bool){ false }));
	assert_int_equal(first.times, 1);
	assert_int_equal(second.times, 1);
	assert_false(second.source.hung_up);
	/* That of its own is. */
	loop_free(&loop);
	assert_int_equal(loop_init(&loop, NULL), 0);
	assert_int_equal(loop_add(&loop, &second.source, NULL), 0);
	close(next[1]);
	assert_true(loop_turn(&loop, 60000, &(bool){ false }));
	assert_true(second.source.hung_up);
	loop_free(&loop);
	close(first.source.fd);
	close(pair[0]);
	close(next[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_end_of_an_earlier_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
