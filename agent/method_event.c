// SPDX-License-Identifier: Apache-2.0
// The handler of croft.v1.Events.

#include "agent/event.h"
#include "agent/message.h"
#include "agent/method.h"

#define READ_DEFAULT 100u
#define READ_MAX     1000u

static Croft__V1__ReadEventsResponse *read_from(struct service *service, uint64_t first,
						uint32_t count)
{
	Croft__V1__ReadEventsResponse *reply =
		message_new(&croft__v1__read_events_response__descriptor);

	if (!reply)
		return NULL;
	reply->oldest = event_oldest(service);
	reply->newest = service->event_number;
	reply->next = first - 1;
	reply->events = calloc(count, sizeof(*reply->events));
	if (!reply->events)
		return message_free(reply);
	while (reply->n_events < count && reply->next < reply->newest) {
		Croft__V1__Event *copy = message_copy(&event_find(service, reply->next + 1)->base);

		if (!copy)
			return message_free(reply);
		reply->events[reply->n_events++] = copy;
		reply->next++;
	}
	return reply;
}

void method_read_events(struct service *service, struct call *call)
{
	const Croft__V1__ReadEventsRequest *request = (const void *)call->request;
	uint64_t wait = message_duration_ns(request->wait, METHOD_FOLLOW_MAX_NS);
	uint64_t first = request->after ? request->after + 1 : event_oldest(service);
	struct error error;
	int r = 0;

	if (request->max_events > READ_MAX)
		r = error_raise_field(&error, "/max_events", "%u: 1 to %u are allowed",
				      request->max_events, READ_MAX);
	if (r == 0)
		r = event_check_cursor(service, request->after, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else if (first > service->event_number && wait && !call_expired(call))
		call_wait(service, call, wait);
	else
		call_reply(service, call,
			   read_from(service, first,
				     request->max_events ? request->max_events : READ_DEFAULT));
}
