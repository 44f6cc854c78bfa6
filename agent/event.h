/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: what has changed, numbered without gaps, in a ring of the newest ones. Service thread only.
 */
#ifndef CROFT_AGENT_EVENT_H
#define CROFT_AGENT_EVENT_H

#include "croft/v1/event.pb-c.h"
#include "vmm/base.h"

#define EVENTS_KEPT 10000u

struct service;

/* The fields that a filter of events may name; ends with NULL. */
extern const char *const event_filter_fields[];

/* NULL for a text is "". The texts are copied, and what is not UTF-8 in them becomes '?'. */
struct event_news {
	const char *type;		 /* "vm.state" */
	const char *collection, *object; /* the target: "vms", "web1" */
	const char *state, *reason, *message, *actor;
};

/*
 * Gives it the next number. It is stored in the same commit as all else that this pass of the service changes, and nobody is
 * answered with it before that. Without memory there is no event, no number is used up, and the log says so.
 */
void event_emit(struct service *service, const struct event_news *news);

/* A copy of the one of that number, which the caller frees; NULL when it is not kept, and without memory. */
Croft__V1__Event *event_copy(const struct service *service, uint64_t number);

/* The oldest number that is kept, or that the next event gets when there is none. */
uint64_t event_oldest(const struct service *service);
uint64_t event_newest(const struct service *service); /* 0: there was none yet */

/* OUT_OF_RANGE, with the numbers that can be had, when one cannot read on behind `after` without a gap. */
int event_check_cursor(const struct service *service, uint64_t after, struct error *err);

/* Brings the events back; before the other records, whose return may be news. */
int events_load(struct service *service, struct error *err);
void events_free(struct service *service);

#endif
