// SPDX-License-Identifier: Apache-2.0
// Events: what has changed, numbered without gaps, in a ring of the newest ones.

#include "agent/event.h"

#include <inttypes.h>
#include <string.h>

#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/transcode_text.h"

#define NAME_SIZE 24

/* In the ring's slot number % EVENTS_KEPT. */
struct event {
	struct record record;
	Croft__V1__Event *msg;
	char name[NAME_SIZE]; /* the number with zeros before it: the store's order is by name */
};

static struct event *event_free(struct event *e)
{
	if (!e)
		return NULL;
	message_free(e->msg);
	free(e);
	return NULL;
}

static void name_of(char name[NAME_SIZE], uint64_t number)
{
	snprintf(name, NAME_SIZE, "%020" PRIu64, number);
}

/* Takes the message, also when it fails; NULL without memory. */
static struct event *event_new(Croft__V1__Event *msg)
{
	struct event *e = calloc(1, sizeof(*e));

	if (!e) {
		message_free(msg);
		return NULL;
	}
	e->msg = msg;
	name_of(e->name, msg->number);
	e->record = (struct record){ .kind = "event", .name = e->name, .message = &e->msg->base };
	return e;
}

/* Puts it behind the newest, in the place of the oldest when the ring is full; negative without memory. */
static int add(struct service *service, struct event *e, struct error *err)
{
	struct event **slot = &service->events[e->msg->number % EVENTS_KEPT];

	if (*slot && record_forget(service, &(*slot)->record, err) < 0)
		return -ENOMEM;
	event_free(*slot);
	*slot = e;
	service->event_number = e->msg->number;
	if (service->event_count < EVENTS_KEPT)
		service->event_count++;
	return 0;
}

static void set_text(char **field, const char *text)
{
	char copy[ERROR_MESSAGE_MAX];

	snprintf(copy, sizeof(copy), "%s", text ? text : "");
	/* It may quote bytes of a request or a guest; a protobuf string must be UTF-8. */
	text_make_utf8(copy);
	message_set_string(field, copy);
}

void event_emit(struct service *service, const struct event_news *news)
{
	Croft__V1__Event *msg = message_new(&croft__v1__event__descriptor);
	char target[128];
	struct event *e;

	if (msg) {
		msg->number = service->event_number + 1;
		message_set_now(&msg->time);
		set_text(&msg->type, news->type);
		snprintf(target, sizeof(target), "%s/%s", news->collection, news->object);
		set_text(&msg->target, target);
		set_text(&msg->state, news->state);
		set_text(&msg->reason, news->reason);
		set_text(&msg->message, news->message);
		set_text(&msg->actor, news->actor);
	}
	e = msg ? event_new(msg) : NULL;
	if (!e || add(service, e, NULL) < 0) {
		log_error("%s/%s: out of memory for its event %s", news->collection, news->object,
			  news->type);
		event_free(e);
		return;
	}
	record_touch(service, &e->record);
}

uint64_t event_oldest(const struct service *service)
{
	return service->event_number - service->event_count + 1;
}

const Croft__V1__Event *event_find(const struct service *service, uint64_t number)
{
	if (number < event_oldest(service) || number > service->event_number)
		return NULL;
	return service->events[number % EVENTS_KEPT]->msg;
}

int event_check_cursor(const struct service *service, uint64_t after, struct error *err)
{
	uint64_t oldest = event_oldest(service);

	if (after == 0)
		return 0;
	if (after > service->event_number)
		return error_raise(err, ERROR_OUT_OF_RANGE,
				   "there is no event %" PRIu64 ": the newest is %" PRIu64
				   ", the oldest that is kept %" PRIu64,
				   after, service->event_number, oldest);
	if (after + 1 < oldest)
		return error_raise(err, ERROR_OUT_OF_RANGE,
				   "events behind %" PRIu64
				   " are not kept any more: the oldest is %" PRIu64,
				   after, oldest);
	return 0;
}

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	Croft__V1__Event *msg = croft__v1__event__unpack(NULL, n, bytes);
	char expected[NAME_SIZE] = "";
	struct event *e;

	if (msg)
		name_of(expected, msg->number);
	if (!msg || strcmp(expected, name) != 0 ||
	    (service->event_count && msg->number != service->event_number + 1)) {
		message_free(msg);
		return error_raise(err, ERROR_DATA_LOSS, "event \"%s\" in the store is damaged",
				   name);
	}
	e = event_new(msg);
	if (!e)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (add(service, e, err) < 0) {
		event_free(e);
		return -ENOMEM;
	}
	return 0;
}

int events_load(struct service *service, struct error *err)
{
	service->events = calloc(EVENTS_KEPT, sizeof(struct event *));
	if (!service->events)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return store_load(service->store, "event", load, service, err);
}

void events_free(struct service *service)
{
	for (size_t i = 0; service->events && i < EVENTS_KEPT; i++)
		event_free(service->events[i]);
	free(service->events);
	service->events = NULL;
}
