// SPDX-License-Identifier: Apache-2.0
// Events: what has changed, numbered without gaps, in a ring of the newest ones.

#include "agent/event.h"

#include <inttypes.h>
#include <time.h>

#include "agent/log.h"
#include "agent/state.h"
#include "agent/transcode_text.h"

const char *const event_filter_fields[] = { "type", "target", "state", "reason", "actor", NULL };

/* Text of an event: what it quotes of a request or a guest may be no UTF-8, which a protobuf string must be. */
struct text {
	char bytes[ERROR_MESSAGE_MAX];
};

static char *clean(struct text *copy, const char *text)
{
	snprintf(copy->bytes, sizeof(copy->bytes), "%s", text ? text : "");
	text_make_utf8(copy->bytes);
	return copy->bytes;
}

void event_emit(struct service *service, const struct event_news *news)
{
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Croft__V1__Event msg = CROFT__V1__EVENT__INIT;
	struct text type, target, state, reason, message, actor;
	struct timespec now;
	char path[128];

	clock_gettime(CLOCK_REALTIME, &now);
	time.seconds = now.tv_sec;
	time.nanos = (int32_t)now.tv_nsec;
	snprintf(path, sizeof(path), "%s/%s", news->collection, news->object);
	msg.number = event_newest(service) + 1;
	msg.time = &time;
	msg.type = clean(&type, news->type);
	msg.target = clean(&target, path);
	msg.state = clean(&state, news->state);
	msg.reason = clean(&reason, news->reason);
	msg.message = clean(&message, news->message);
	msg.actor = clean(&actor, news->actor);
	if (ring_add(&service->events, service->store, &msg.base) < 0)
		log_error("%s: out of memory for its event %s", path, news->type);
	service->changed = true;
}

uint64_t event_oldest(const struct service *service)
{
	return ring_oldest(&service->events);
}

uint64_t event_newest(const struct service *service)
{
	return service->events.newest;
}

Croft__V1__Event *event_copy(const struct service *service, uint64_t number)
{
	return ring_copy(&service->events, number, &croft__v1__event__descriptor);
}

int event_check_cursor(const struct service *service, uint64_t after, struct error *err)
{
	uint64_t oldest = event_oldest(service);

	if (after == 0)
		return 0;
	if (after > event_newest(service))
		return error_raise(err, ERROR_OUT_OF_RANGE,
				   "there is no event %" PRIu64 ": the newest is %" PRIu64
				   ", the oldest that is kept %" PRIu64,
				   after, event_newest(service), oldest);
	if (after + 1 < oldest)
		return error_raise(err, ERROR_OUT_OF_RANGE,
				   "events behind %" PRIu64
				   " are not kept any more: the oldest is %" PRIu64,
				   after, oldest);
	return 0;
}

int events_load(struct service *service, struct error *err)
{
	service->events = (struct ring){ .kind = "event", .kept = EVENTS_KEPT };
	return ring_load(&service->events, service->store, err);
}

void events_free(struct service *service)
{
	ring_clear(&service->events);
}
