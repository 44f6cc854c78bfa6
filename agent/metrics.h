/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's figures as OpenMetrics text (version 1.0.0 of its specification), for /metrics.
 */
#ifndef CROFT_AGENT_METRICS_H
#define CROFT_AGENT_METRICS_H

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "vmm/base.h"

struct service;

#define METRICS_STATUS_CLASSES 6u /* of HTTP; 0 stays empty */

/* What no record holds: when the service came up, and what a transport counts on its own threads. */
struct metrics {
	struct timespec start; /* CLOCK_REALTIME */
	_Atomic uint64_t rest_responses[METRICS_STATUS_CLASSES];
};

/*
 * All figures, with "# EOF" behind them; the caller frees the text. A figure that was not measured is left out. Service
 * thread; waits for nothing. NULL without memory.
 */
char *metrics_text(struct service *service);

/* Writes `value` as a label's value, in its quotes: backslash, quote and line feed are escaped. */
void metrics_write_value(FILE *out, const char *value);

#endif
