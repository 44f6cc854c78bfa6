/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the service thread.
 */
#ifndef CROFT_AGENT_TIMER_H
#define CROFT_AGENT_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct service;

/* Fires once, not before `at`; armed while it is in the list. */
struct timer {
	uint64_t at; /* CLOCK_MONOTONIC, ns */
	void (*fire)(struct service *service, struct timer *timer);
	struct timer *next;
	bool armed;
};

void timer_arm(struct service *service, struct timer *timer, uint64_t ns);
void timer_disarm(struct service *service, struct timer *timer);

#endif
