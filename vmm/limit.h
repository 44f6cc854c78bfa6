/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits of a device: bytes and operations a second, by token buckets that hold a tenth of a
 * second. A request passes while there is a byte left, and the next ones pay for what it took too
 * much, so a request may be larger than the bucket.
 */
#ifndef CROFT_VMM_LIMIT_H
#define CROFT_VMM_LIMIT_H

#include "vmm/loop.h"
#include "vmm/vmm.h"

struct limit {
	struct loop_source timer; /* its ready() is the owner's: what waited may go on */
	struct loop *loop;
	struct vmm_limit rates;
	int64_t bytes, ops; /* tokens, in millionths */
	uint64_t refilled_ns;
	uint64_t throttled; /* times that a request had to wait; atomic */
};

/* Without limits. It has no timer, and costs nothing, until the first is set. */
void limit_init(struct limit *limit, struct loop *loop, void (*again)(struct loop_source *timer));
void limit_free(struct limit *limit);

/* Errors: RESOURCE_EXHAUSTED, and the limits are as before. The owner's lock is held. */
int limit_set(struct limit *limit, const struct vmm_limit *rates, struct error *err);
bool limit_is_set(const struct limit *limit);

/*
 * Whether a request of so many bytes may go now, which is then paid for. If not, the timer's
 * ready() is called when one may. The owner's lock is held.
 */
bool limit_take(struct limit *limit, uint64_t bytes);

#endif
