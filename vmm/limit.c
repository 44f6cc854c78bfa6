// SPDX-License-Identifier: Apache-2.0
/* Token buckets with a timer. */
#include "vmm/limit.h"

#include <sys/timerfd.h>

#define MILLION	    1000000ll
#define LONGEST_US  MILLION /* of a refill, which bounds the products below */
#define BUCKET_PART 10	    /* of a second */

void limit_init(struct limit *limit, struct loop *loop, void (*again)(struct loop_source *timer))
{
	*limit = (struct limit){ .loop = loop, .timer = { .fd = -1, .ready = again } };
}

void limit_free(struct limit *limit)
{
	limit->timer.fd = base_close(limit->timer.fd);
}

bool limit_is_set(const struct limit *limit)
{
	return limit->rates.bytes_per_s || limit->rates.ops_per_s;
}

static int64_t bucket(uint64_t rate)
{
	int64_t size = (int64_t)(rate * (MILLION / BUCKET_PART));

	return size < MILLION ? MILLION : size;
}

int limit_set(struct limit *limit, const struct vmm_limit *rates, struct error *err)
{
	bool any = rates->bytes_per_s || rates->ops_per_s;

	if (rates->bytes_per_s > VMM_LIMIT_MAX || rates->ops_per_s > VMM_LIMIT_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "a rate limit is at most %llu a second", VMM_LIMIT_MAX);
	if (any && limit->timer.fd < 0) {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), r;

		if (fd < 0)
			return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno,
						 "rate limit");
		limit->timer.fd = fd;
		r = loop_add(limit->loop, &limit->timer, err);
		if (r < 0) {
			limit_free(limit);
			return r;
		}
	}
	limit->rates = *rates;
	limit->bytes = bucket(rates->bytes_per_s);
	limit->ops = bucket(rates->ops_per_s);
	limit->refilled_ns = loop_now_ns();
	return 0;
}

static void refill_one(int64_t *tokens, uint64_t rate, uint64_t us)
{
	*tokens += (int64_t)(us * rate);
	if (*tokens > bucket(rate))
		*tokens = bucket(rate);
}

static void refill(struct limit *limit)
{
	uint64_t us = (loop_now_ns() - limit->refilled_ns) / 1000;

	limit->refilled_ns += us * 1000;
	if (us > LONGEST_US)
		us = LONGEST_US;
	refill_one(&limit->bytes, limit->rates.bytes_per_s, us);
	refill_one(&limit->ops, limit->rates.ops_per_s, us);
}

/* Microseconds until there are so many. */
static uint64_t wait_of(int64_t tokens, int64_t wanted, uint64_t rate)
{
	return rate && tokens < wanted ? (uint64_t)(wanted - tokens) / rate + 1 : 0;
}

bool limit_take(struct limit *limit, uint64_t bytes)
{
	struct itimerspec when = { 0 };
	uint64_t us, other;

	if (!limit_is_set(limit))
		return true;
	refill(limit);
	us = wait_of(limit->bytes, 1, limit->rates.bytes_per_s);
	other = wait_of(limit->ops, MILLION, limit->rates.ops_per_s);
	us = us > other ? us : other;
	if (us == 0) {
		limit->bytes -= (int64_t)bytes * MILLION;
		limit->ops -= MILLION;
		return true;
	}
	__atomic_fetch_add(&limit->throttled, 1, __ATOMIC_RELAXED);
	when.it_value.tv_sec = (time_t)(us / MILLION);
	when.it_value.tv_nsec = (long)(us % MILLION) * 1000;
	/* Can only fail for times that are none. */
	(void)timerfd_settime(limit->timer.fd, 0, &when, NULL);
	return false;
}
