/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the service comes up and goes down: private to service*.c.
 */
#ifndef CROFT_AGENT_SERVICE_LIFE_H
#define CROFT_AGENT_SERVICE_LIFE_H

#include "agent/state.h"

/* service.c: the thread. */
void *service_run(void *service);

/* service_life.c: goes on with what ran when the agent ended, and removes files that no record has; before the first call. */
void service_begin(struct service *service);

/* Asks everything that runs to end; and whether it has, so that the thread may. */
void service_begin_stop(struct service *service);
bool service_may_end(struct service *service);

/* service.c: a stream that ends gives back what it holds. */
void service_close_stream(struct service *service, struct call *call);

#endif
