// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Events.

#include <inttypes.h>

#include "agent/event.h"
#include "agent/filter.h"
#include "agent/message.h"
#include "agent/method.h"

#define READ_DEFAULT 100u
#define READ_MAX     1000u
#define LOOK_MAX \
	1000u /* events at which one turn looks in search of one that the filter lets through */

/* Begins to read behind `after`; 0: at the oldest. */
static int begin(struct service *service, struct call *call, uint64_t after, const char *filter,
		 struct error *err)
{
	struct filter *parsed = NULL;
	int r = event_check_cursor(service, after, err);

	if (r == 0 && filter[0]) {
		parsed = malloc(sizeof(*parsed));
		r = parsed ? filter_parse(parsed, filter, event_filter_fields, err)
			   : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r < 0) {
		free(parsed);
		return r;
	}
	call->begun = true;
	call->place = parsed;
	call->cursor = after ? after : event_oldest(service) - 1;
	return 0;
}

void method_events_close(struct service *service, struct call *call)
{
	(void)service;
	free(call->place);
	call->place = NULL;
}

/*
 * The next event behind the call's cursor, which goes with it; NULL without an error when there is none, or none among the
 * next *looks, which it counts down.
 */
static int next(struct service *service, struct call *call, uint32_t *looks, Croft__V1__Event **out,
		struct error *err)
{
	uint64_t oldest = event_oldest(service);

	*out = NULL;
	if (call->cursor + 1 < oldest)
		return error_raise(err, ERROR_OUT_OF_RANGE,
				   "too slow: events behind %" PRIu64
				   " are not kept any more: the oldest is %" PRIu64,
				   call->cursor, oldest);
	while (call->cursor < event_newest(service) && *looks) {
		Croft__V1__Event *event = event_copy(service, call->cursor + 1);

		if (!event)
			return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		(*looks)--;
		call->cursor++;
		if (!call->place || filter_match(call->place, &event->base)) {
			*out = event;
			return 0;
		}
		message_free(event);
	}
	return 0;
}

/* --- One read --- */

static int read_on(struct service *service, struct call *call, uint32_t count,
		   Croft__V1__ReadEventsResponse *reply, struct error *err)
{
	uint32_t looks = LOOK_MAX;

	reply->oldest = event_oldest(service);
	reply->newest = event_newest(service);
	reply->events = calloc(count, sizeof(*reply->events));
	if (!reply->events)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	while (reply->n_events < count) {
		Croft__V1__Event *event;
		int r = next(service, call, &looks, &event, err);

		if (r < 0)
			return r;
		if (!event)
			break;
		reply->events[reply->n_events++] = event;
	}
	reply->next = call->cursor;
	return 0;
}

static int check_read(struct service *service, struct call *call, uint64_t *wait, struct error *err)
{
	const Croft__V1__ReadEventsRequest *request = (const void *)call->request;
	int r = method_take_duration(&method_follow, request->wait, wait, err);

	if (r < 0)
		return r;
	if (request->max_events > READ_MAX)
		return error_raise_field(err, "/max_events", "%u: 1 to %u are allowed",
					 request->max_events, READ_MAX);
	return call->begun ? 0 : begin(service, call, request->after, request->filter, err);
}

void method_read_events(struct service *service, struct call *call)
{
	const Croft__V1__ReadEventsRequest *request = (const void *)call->request;
	uint64_t wait = 0;
	uint32_t count = request->max_events ? request->max_events : READ_DEFAULT;
	Croft__V1__ReadEventsResponse *reply;
	struct error error;
	int r = check_read(service, call, &wait, &error);

	if (r < 0) {
		call_fail(service, call, &error);
		return;
	}
	reply = message_new(&croft__v1__read_events_response__descriptor);
	r = reply ? read_on(service, call, count, reply, &error)
		  : error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (r < 0) {
		message_free(reply);
		call_fail(service, call, &error);
	} else if (!reply->n_events && reply->next == reply->newest && wait &&
		   !call_expired(call)) {
		message_free(reply);
		call_wait(service, call, wait);
	} else {
		call_reply(service, call, reply);
	}
}

/* --- The stream --- */

void method_watch_events(struct service *service, struct call *call)
{
	const Croft__V1__WatchEventsRequest *request = (const void *)call->request;
	uint32_t looks = LOOK_MAX;
	Croft__V1__Event *event = NULL;
	struct error error;
	int r = 0;

	if (!call->begun)
		r = begin(service, call, request->after, request->filter, &error);
	if (r == 0)
		r = next(service, call, &looks, &event, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else if (event || !looks || call_expired(call))
		call_reply_more(service, call, event);
	else
		call_wait(service, call, STREAM_IDLE_NS);
}
