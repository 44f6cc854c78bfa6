// SPDX-License-Identifier: Apache-2.0
// The service thread: takes calls and messages from its inbox, and lets answers go when their changes are on the disk.

#include "agent/state.h"

#include <string.h>
#include <time.h>

#include "agent/audit.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/service_life.h"
#include "agent/vm.h"

#define IDLE_NS 5000000000ull /* at the latest the loop runs, so that the watchdog sees it */

/* --- The inbox: any thread --- */

/* A call of a stream comes again with what it had; one whose client has gone stays so. */
static void make_ready(struct call *call)
{
	call->next = NULL;
	call->deadline_ns = 0;
	call->abandoned = false;
	call->more = false;
	call->reply = message_free(call->reply);
	call->error = (struct error){ .code = ERROR_NONE };
}

/* Who finds the inbox empty wakes the thread; who comes then is taken out with that. */
static void put_call(struct service *service, struct call *call)
{
	bool first;

	call->next = NULL;
	pthread_mutex_lock(&service->lock);
	first = !service->calls;
	*service->last_call = call;
	service->last_call = &call->next;
	pthread_mutex_unlock(&service->lock);
	if (first)
		pthread_cond_signal(&service->news);
}

void service_post(struct service *service, struct call *call)
{
	make_ready(call);
	put_call(service, call);
}

void service_abandon(struct service *service, struct call *call)
{
	call->abandoned = true;
	put_call(service, call);
}

void service_cancel(struct service *service, struct call *call)
{
	atomic_store(&call->cancelled, true);
	pthread_mutex_lock(&service->lock);
	service->cancels = true;
	pthread_cond_signal(&service->news);
	pthread_mutex_unlock(&service->lock);
}

void service_tell(struct service *service, struct message *message)
{
	message->next = NULL;
	pthread_mutex_lock(&service->lock);
	*service->last_message = message;
	service->last_message = &message->next;
	pthread_cond_signal(&service->news);
	pthread_mutex_unlock(&service->lock);
}

void service_nudge(struct service *service)
{
	pthread_mutex_lock(&service->lock);
	service->nudged = true;
	pthread_cond_signal(&service->news);
	pthread_mutex_unlock(&service->lock);
}

static void look_after_children(struct service *service, struct message *message)
{
	free(message);
	vm_records_child_ended(service);
}

void service_child_ended(struct service *service)
{
	struct message *message = calloc(1, sizeof(*message));

	/* Without memory its VM waits for it at its own end. */
	if (!message)
		return;
	message->handle = look_after_children;
	service_tell(service, message);
}

uint64_t service_heartbeat_ns(struct service *service)
{
	return atomic_load(&service->heartbeat);
}

void service_count_rest(struct service *service, unsigned int status)
{
	if (status / 100 < METRICS_STATUS_CLASSES)
		atomic_fetch_add(&service->metrics.rest_responses[status / 100], 1);
}

struct call *call_free(struct call *call)
{
	if (!call)
		return NULL;
	message_free(call->request);
	message_free(call->reply);
	free(call);
	return NULL;
}

/* --- Answers --- */

/* The request says that it changes nothing. */
static bool is_dry(const struct call *call)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(call->request->descriptor,
								"dry_run");

	return field && *(const protobuf_c_boolean *)((const char *)call->request + field->offset);
}

/* What is to be kept of the answer is committed with the change. */
static void answer(struct service *service, struct call *call)
{
	if (call->key)
		idempotency_end(service, call);
	if ((call->method->flags & METHOD_CHANGES) && !call->replayed && !is_dry(call))
		audit_note_call(service, call);
	call->next = NULL;
	*service->last_answer = call;
	service->last_answer = &call->next;
	call->ticket = UINT64_MAX; /* until the changes of this pass are queued */
}

static void set_reply(struct call *call, void *reply)
{
	call->reply = reply;
	if (!reply)
		error_raise(&call->error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

void call_reply(struct service *service, struct call *call, void *reply)
{
	set_reply(call, reply);
	answer(service, call);
}

void call_reply_more(struct service *service, struct call *call, void *reply)
{
	call->more = true;
	call->heard = true;
	call->reply = reply;
	answer(service, call);
}

void call_end(struct service *service, struct call *call)
{
	answer(service, call);
}

void call_reply_now(struct call *call, void *reply)
{
	set_reply(call, reply);
	call->done(call);
}

void call_fail(struct service *service, struct call *call, const struct error *error)
{
	call->error = *error;
	answer(service, call);
}

void call_wait(struct service *service, struct call *call, uint64_t ns)
{
	/* The client of a stream that has nothing to say yet learns at once that it was accepted. */
	if ((call->method->flags & METHOD_STREAM) && call->begun && !call->heard) {
		call_reply_more(service, call, NULL);
		return;
	}
	if (!call->deadline_ns)
		call->deadline_ns = clock_ns() + ns;
	call->next = service->waiting;
	service->waiting = call;
}

bool call_expired(const struct call *call)
{
	return call->deadline_ns && clock_ns() >= call->deadline_ns;
}

void service_close_stream(struct service *service, struct call *call)
{
	if (call->begun && call->method->close)
		call->method->close(service, call);
	call->begun = false;
}

/* The changes cannot be kept now; they are in memory and will be tried again. */
static void fail_unstored(struct call *call, const struct error *why)
{
	call->reply = message_free(call->reply);
	error_raise(&call->error, ERROR_UNAVAILABLE, "the change cannot be stored yet: %s",
		    why->message);
}

static void note_store(struct service *service, const struct error *error)
{
	bool failed = error->code != ERROR_NONE;

	if (failed && !service->store_failed)
		log_error("the store cannot be written: %s", error->message);
	else if (!failed && service->store_failed)
		log_notice("the store can be written again");
	service->store_failed = failed;
}

static void release_deferred(struct service *service, uint64_t committed)
{
	struct deferred *d;

	while ((d = service->deferred) && d->ticket <= committed) {
		service->deferred = d->next;
		if (!service->deferred)
			service->last_deferred = &service->deferred;
		d->run(service, d);
	}
}

/* Queues what this pass has changed, and lets go what is on the disk. */
static void flush(struct service *service)
{
	struct error error = { .code = ERROR_NONE };
	bool queued = records_queue(service) == 0;
	/* What could not be queued whole stays open: changes and their events are committed together or not at all. */
	uint64_t ticket = queued ? store_submit(service->store) : 0;
	uint64_t committed = store_committed(service->store, &error);
	struct call *call;

	note_store(service, &error);
	if (queued) {
		for (call = service->answers; call; call = call->next)
			if (call->ticket == UINT64_MAX)
				call->ticket = ticket;
		for (struct deferred *d = service->deferred; d; d = d->next)
			if (d->ticket == UINT64_MAX)
				d->ticket = ticket;
	}
	while ((call = service->answers) &&
	       (call->ticket <= committed || error.code != ERROR_NONE)) {
		service->answers = call->next;
		if (!service->answers)
			service->last_answer = &service->answers;
		if (call->ticket > committed && call->reply)
			fail_unstored(call, &error);
		call->more = call->more && call->error.code == ERROR_NONE;
		if (!call->more)
			service_close_stream(service, call);
		call->done(call);
	}
	release_deferred(service, committed);
}

/* --- Timers and deferred work --- */

void timer_arm(struct service *service, struct timer *timer, uint64_t ns)
{
	struct timer **p = &service->timers;

	timer_disarm(service, timer);
	timer->at = clock_ns() + ns;
	while (*p && (*p)->at <= timer->at)
		p = &(*p)->next;
	timer->next = *p;
	timer->armed = true;
	*p = timer;
}

void timer_disarm(struct service *service, struct timer *timer)
{
	struct timer **p = &service->timers;

	if (!timer->armed)
		return;
	while (*p != timer)
		p = &(*p)->next;
	*p = timer->next;
	timer->armed = false;
}

static void fire_timers(struct service *service)
{
	uint64_t now = clock_ns();
	struct timer *t;

	while ((t = service->timers) && t->at <= now) {
		timer_disarm(service, t);
		t->fire(service, t);
	}
}

void service_defer(struct service *service, struct deferred *deferred)
{
	deferred->ticket = UINT64_MAX;
	deferred->next = NULL;
	*service->last_deferred = deferred;
	service->last_deferred = &deferred->next;
}

/* --- The loop --- */

/* That the client has one of the roles that the method asks for. */
static int check_roles(const struct call *call, struct error *err)
{
	unsigned int wanted = call->method->roles;
	char has[AUTH_ROLES_MAX], needs[AUTH_ROLES_MAX];

	if (!wanted || (call->who.roles & wanted))
		return 0;
	auth_role_names(has, call->who.roles);
	auth_role_names(needs, wanted);
	return error_raise(err, ERROR_PERMISSION_DENIED,
			   "actor \"%s\" has %s%s; %s needs one of %s", call->who.actor,
			   call->who.roles ? "roles " : "no role", has, call->method->name, needs);
}

/* That the client still waits: what nobody wants any more is not begun. */
static int check_wanted(const struct call *call, struct error *err)
{
	if (atomic_load(&call->cancelled))
		return error_raise(err, ERROR_CANCELLED, "the client has gone");
	if (call->expires_ns && clock_ns() >= call->expires_ns)
		return error_raise(err, ERROR_DEADLINE, "the deadline passed before it was begun");
	return 0;
}

static void dispatch(struct service *service, struct call *call)
{
	struct error error;

	if (call->abandoned) {
		service_close_stream(service, call);
		call_free(call);
		return;
	}
	if (service->stopping) {
		error_raise(&error, ERROR_UNAVAILABLE, "the agent is stopping");
		call_fail(service, call, &error);
		return;
	}
	if (check_wanted(call, &error) < 0 || check_roles(call, &error) < 0) {
		call_fail(service, call, &error);
		return;
	}
	if (call->idempotency_key[0] && !call->key && (call->method->flags & METHOD_CHANGES) &&
	    !is_dry(call) && idempotency_begin(service, call) == IDEMPOTENCY_ANSWERED)
		return;
	log_debug("%s by %s", call->method->name, call->who.actor);
	call->method->handle(service, call);
}

void service_call(struct service *service, struct call *call)
{
	make_ready(call);
	dispatch(service, call);
}

/* What had to wait looks again: at something that changed, or at its deadline. */
static void retry(struct service *service, bool cancels)
{
	struct call *list = TAKE_PTR(service->waiting);
	uint64_t now = clock_ns();
	bool changed = service->changed;

	service->changed = false;
	while (list) {
		struct call *call = list;

		list = call->next;
		if (cancels && atomic_load(&call->cancelled)) {
			struct error error;

			error_raise(&error, ERROR_CANCELLED, "the client has gone");
			call_fail(service, call, &error);
		} else if (changed || service->stopping || now >= call->deadline_ns) {
			dispatch(service, call);
		} else {
			call->next = service->waiting;
			service->waiting = call;
		}
	}
}

/* What came in while the last pass ran. */
struct inbox {
	struct call *calls;
	struct message *messages;
	bool cancels, stop;
};

static struct inbox take_inbox(struct service *service)
{
	struct inbox in;

	pthread_mutex_lock(&service->lock);
	in = (struct inbox){ .calls = TAKE_PTR(service->calls),
			     .messages = TAKE_PTR(service->messages),
			     .cancels = service->cancels,
			     .stop = service->stop };
	service->last_call = &service->calls;
	service->last_message = &service->messages;
	service->changed = service->changed || service->nudged;
	service->cancels = false;
	service->nudged = false;
	pthread_mutex_unlock(&service->lock);
	return in;
}

static void pass(struct service *service)
{
	struct inbox in = take_inbox(service);

	if (in.stop && !service->stopping)
		service_begin_stop(service);
	while (in.messages) {
		struct message *message = in.messages;

		in.messages = message->next;
		message->handle(service, message);
	}
	while (in.calls) {
		struct call *call = in.calls;

		in.calls = call->next;
		dispatch(service, call);
	}
	fire_timers(service);
	retry(service, in.cancels);
	desired_note_changes(service);
	flush(service);
}

static bool has_news(const struct service *service)
{
	return service->calls || service->messages || service->cancels || service->nudged ||
	       service->stop;
}

static void sleep_until_news(struct service *service)
{
	uint64_t now = clock_ns(), until = now + IDLE_NS;
	struct timespec end;

	/* Out of memory for the store's queue: soon again. */
	if (service->dirty)
		until = now + 100000000;
	if (service->timers && service->timers->at < until)
		until = service->timers->at;
	for (const struct call *call = service->waiting; call; call = call->next)
		if (call->deadline_ns < until)
			until = call->deadline_ns;
	if (service->changed)
		until = now;
	end = (struct timespec){ .tv_sec = (time_t)(until / 1000000000),
				 .tv_nsec = (long)(until % 1000000000) };
	pthread_mutex_lock(&service->lock);
	while (!has_news(service) &&
	       !pthread_cond_clockwait(&service->news, &service->lock, CLOCK_MONOTONIC, &end))
		;
	pthread_mutex_unlock(&service->lock);
}

void *service_run(void *arg)
{
	struct service *service = arg;

	pthread_setname_np(pthread_self(), "service");
	service_begin(service);
	for (;;) {
		atomic_store(&service->heartbeat, clock_ns());
		pass(service);
		if (service_may_end(service))
			break;
		sleep_until_news(service);
	}
	return NULL;
}
