// SPDX-License-Identifier: Apache-2.0
// The desired state: the document that is kept, and the agent's own steps towards it.

#include "agent/desired.h"

#include <string.h>
#include <time.h>

#include "agent/desired_plan.h"
#include "agent/desired_step.h"
#include "agent/fault.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/operation.h"
#include "agent/state.h"

#define SECOND	      1000000000ull
#define GATHER_NS     10000000ull  /* changes that come at once are looked at together */
#define LOOK_AGAIN_NS (5 * SECOND) /* at the latest, while something is not in sync */

#define STATE_IS(name) CROFT__V1__DESIRED_OBJECT__STATE__##name

struct desired_object {
	Croft__V1__DesiredObject *msg;
	unsigned int look;   /* the last that has seen it */
	bool calling;	     /* a step has been asked for, and not been answered */
	char operation[32];  /* of the last step, until it has ended; "": none */
	uint64_t retry_ns;   /* CLOCK_MONOTONIC; no step before */
	uint64_t started_ns; /* the last start of a VM; 0: none that is still looked at */
	struct service *service;
};

/* One look at everything. */
struct look {
	struct service *service;
	bool act;	   /* take steps */
	bool in_sync;	   /* so far */
	unsigned int busy; /* objects that something of ours works on */
	uint64_t now, next_ns;
};

static void plan_look(struct service *service, uint64_t ns);

/* --- Objects --- */

static struct desired_object *object_free(struct desired_object *object)
{
	if (object)
		message_free(object->msg);
	free(object);
	return NULL;
}

static struct desired_object *object_of(struct service *service, const char *target)
{
	struct desired_object *object = table_find(&service->desired.objects, target);

	if (object)
		return object;
	object = calloc(1, sizeof(*object));
	if (!object)
		return NULL;
	object->service = service;
	object->msg = message_new(&croft__v1__desired_object__descriptor);
	if (object->msg)
		message_set_string(&object->msg->target, target);
	if (!object->msg || !object->msg->target[0] ||
	    table_add(&service->desired.objects, object->msg->target, object) < 0)
		return object_free(object);
	return object;
}

static void set_state(struct desired_object *object, Croft__V1__DesiredObject__State state,
		      const char *message)
{
	Croft__V1__DesiredObject *msg = object->msg;

	msg->state = state;
	if (strcmp(msg->message, message) != 0)
		message_set_string(&msg->message, message);
	if (state != STATE_IS(FAILED))
		msg->retry_time = message_free(msg->retry_time);
	if (state != STATE_IS(PROGRESSING))
		message_set_string(&msg->operation, "");
}

static void set_progress(struct desired_object *object, const char *operation, const char *message)
{
	set_state(object, STATE_IS(PROGRESSING), message);
	if (strcmp(object->msg->operation, operation) != 0)
		message_set_string(&object->msg->operation, operation);
}

static void fail(struct desired_object *object, const char *message)
{
	uint64_t pause = DESIRED_RETRY_NS;

	for (uint32_t i = 0; i < object->msg->failures && pause < DESIRED_RETRY_MAX_NS; i++)
		pause *= 2;
	if (pause > DESIRED_RETRY_MAX_NS)
		pause = DESIRED_RETRY_MAX_NS;
	object->msg->failures++;
	object->retry_ns = clock_ns() + pause;
	set_state(object, STATE_IS(FAILED), message);
	message_set_time(&object->msg->retry_time, time(NULL) + (time_t)(pause / SECOND), 0);
	log_warning("desired: %s: %s; again in %llu s", object->msg->target, message,
		    (unsigned long long)(pause / SECOND));
}

/* --- Steps --- */

static void on_answer(struct call *call)
{
	struct desired_object *object = call->data;
	char detail[FAULT_DETAIL_MAX];

	object->calling = false;
	if (call->error.code != ERROR_NONE) {
		fault_detail(detail, sizeof(detail), &call->error);
		fail(object, detail);
	} else if (call->reply->descriptor == &croft__v1__operation__descriptor) {
		snprintf(object->operation, sizeof(object->operation), "%s",
			 ((const Croft__V1__Operation *)(const void *)call->reply)->name);
	}
	plan_look(object->service, GATHER_NS);
	call_free(call);
}

static void take_step(struct look *look, struct desired_object *object,
		      const struct desired_plan *plan)
{
	struct call *call = desired_step_call(look->service->desired.doc, plan);

	if (!call) {
		fail(object, "out of memory");
		return;
	}
	if (strcmp(plan->steps[0].verb, "start") == 0)
		object->started_ns = look->now;
	call->done = on_answer;
	call->data = object;
	object->calling = true;
	service_call(look->service, call);
}

/* Looks after the operation of the last step; true while it runs. */
static bool operation_runs(struct look *look, struct desired_object *object)
{
	struct operation *op;

	if (!object->operation[0])
		return false;
	op = table_find(&look->service->operations, object->operation);
	if (op && !operation_ended(op)) {
		operation_refresh(op);
		set_progress(object, object->operation, op->msg->step);
		return true;
	}
	object->operation[0] = '\0';
	if (op && op->msg->error)
		fail(object, op->msg->error->detail);
	return false;
}

/* A VM that is to be started again: soon after its last start is a failure, and later it has nothing to do with that. */
static void judge_end(struct look *look, struct desired_object *object,
		      const struct desired_plan *plan)
{
	char message[128];

	if (!plan->step_count || strcmp(plan->steps[0].verb, "start") != 0 || !object->started_ns ||
	    !plan->ended)
		return;
	if (object->retry_ns > look->now) {
		/* The start itself has failed, and was judged. */
	} else if (look->now - object->started_ns < DESIRED_STABLE_NS) {
		snprintf(message, sizeof(message), "it ended %.0f s after its start: %s",
			 (double)(look->now - object->started_ns) / SECOND, plan->ended);
		fail(object, message);
	} else {
		object->msg->failures = 0;
	}
	object->started_ns = 0;
}

static void settled(struct look *look, struct desired_object *object)
{
	set_state(object, STATE_IS(IN_SYNC), "");
	if (!object->started_ns || look->now - object->started_ns >= DESIRED_STABLE_NS)
		object->msg->failures = 0;
}

static void consider(void *data, const struct desired_plan *plan)
{
	struct look *look = data;
	struct desired_object *object = object_of(look->service, plan->target);

	if (!object) {
		look->in_sync = false;
		return;
	}
	object->look = look->service->desired.look;
	if (object->calling || operation_runs(look, object)) {
		if (object->calling)
			set_progress(object, "", "");
		look->busy++;
		look->in_sync = false;
		return;
	}
	judge_end(look, object, plan);
	if (plan->operation)
		set_progress(object, plan->operation, "");
	else if (plan->wait[0])
		set_state(object, STATE_IS(WAITING), plan->wait);
	else if (!plan->step_count)
		settled(look, object);
	else if (object->retry_ns > look->now)
		set_state(object, STATE_IS(FAILED), object->msg->message);
	else if (look->busy >= DESIRED_BUSY_MAX)
		set_state(object, STATE_IS(WAITING), "for its turn: other objects go first");
	else
		set_progress(object, "", plan->steps[0].verb);
	if (object->msg->state == STATE_IS(IN_SYNC))
		return;
	look->in_sync = false;
	if (object->msg->state == STATE_IS(FAILED) && object->retry_ns < look->next_ns)
		look->next_ns = object->retry_ns;
	if (object->msg->state != STATE_IS(PROGRESSING) || plan->operation)
		return;
	look->busy++;
	/* The last thing here: the step may change the record that the plan tells of. */
	if (look->act)
		take_step(look, object, plan);
}

/* --- Looks --- */

/* Forgets the objects that this look has not seen. */
static void sweep(struct desired *desired)
{
	for (size_t i = desired->objects.count; i > 0; i--) {
		struct desired_object *object = desired->objects.entries[i - 1].record;

		if (object->look == desired->look || object->calling)
			continue;
		table_remove(&desired->objects, object->msg->target);
		object_free(object);
	}
}

static void look_at_all(struct service *service, bool act)
{
	struct desired *desired = &service->desired;
	struct look look = { .service = service,
			     .act = act,
			     .in_sync = true,
			     .now = clock_ns(),
			     .next_ns = UINT64_MAX };

	desired->look++;
	if (desired->doc)
		desired_plan_all(service, desired->doc, consider, &look);
	sweep(desired);
	if (desired->doc && look.in_sync && !desired->in_sync) {
		desired->in_sync_time = time(NULL);
		log_info("desired: all is in sync");
	}
	desired->in_sync = look.in_sync;
	if (look.in_sync)
		return;
	if (look.next_ns > look.now + LOOK_AGAIN_NS)
		look.next_ns = look.now + LOOK_AGAIN_NS;
	plan_look(service, look.next_ns > look.now ? look.next_ns - look.now : 0);
}

static void on_timer(struct service *service, struct timer *timer)
{
	(void)timer;
	if (service->stopping)
		return;
	service->desired.changes_seen = service->changes;
	look_at_all(service, true);
}

/* The next look comes after `ns` at the latest. */
static void plan_look(struct service *service, uint64_t ns)
{
	struct timer *timer = &service->desired.timer;

	if (service->stopping || (timer->armed && timer->at <= clock_ns() + ns))
		return;
	timer->fire = on_timer;
	timer_arm(service, timer, ns);
}

void desired_note_changes(struct service *service)
{
	struct desired *desired = &service->desired;

	if (!desired->doc || desired->changes_seen == service->changes)
		return;
	desired->changes_seen = service->changes;
	plan_look(service, GATHER_NS);
}

/* --- The document --- */

static void set_document(struct desired *desired, struct desired_doc *doc)
{
	desired_doc_free(desired->doc);
	desired->doc = doc;
	desired->in_sync = false;
	desired->in_sync_time = 0;
	if (!doc)
		return;
	desired->record.kind = "desired";
	desired->record.name = "desired";
	desired->record.message = &doc->msg->base;
	desired->record.revision = &doc->msg->revision;
}

static void retry_at_once(struct desired *desired)
{
	for (size_t i = 0; i < desired->objects.count; i++) {
		struct desired_object *object = desired->objects.entries[i].record;

		object->retry_ns = 0;
		object->started_ns = 0;
		object->msg->failures = 0;
	}
}

void desired_put(struct service *service, struct desired_doc *doc)
{
	set_document(&service->desired, doc);
	record_touch(service, &service->desired.record);
	desired_apply(service);
}

int desired_forget(struct service *service, struct error *err)
{
	if (record_forget(service, &service->desired.record, err) < 0)
		return -ENOMEM;
	set_document(&service->desired, NULL);
	plan_look(service, 0);
	return 0;
}

void desired_apply(struct service *service)
{
	retry_at_once(&service->desired);
	plan_look(service, 0);
}

/* Objects that are in sync, or those that are not. */
static int report_objects(const struct desired *desired, bool in_sync,
			  Croft__V1__DesiredStatus *status)
{
	for (size_t i = 0; i < desired->objects.count; i++) {
		const struct desired_object *object = desired->objects.entries[i].record;

		if ((object->msg->state == STATE_IS(IN_SYNC)) != in_sync)
			continue;
		status->objects[status->n_objects] = message_copy(&object->msg->base);
		if (!status->objects[status->n_objects])
			return -ENOMEM;
		status->n_objects++;
	}
	return 0;
}

static Croft__V1__DesiredStatus *report_status(const struct desired *desired)
{
	Croft__V1__DesiredStatus *status = message_new(&croft__v1__desired_status__descriptor);

	if (!status)
		return NULL;
	status->in_sync = desired->in_sync;
	if (desired->in_sync_time)
		message_set_time(&status->in_sync_time, desired->in_sync_time, 0);
	status->objects = calloc(desired->objects.count + 1, sizeof(*status->objects));
	if (!status->objects || report_objects(desired, false, status) < 0 ||
	    report_objects(desired, true, status) < 0)
		return message_free(status);
	return status;
}

Croft__V1__Desired *desired_report(struct service *service)
{
	struct desired *desired = &service->desired;
	Croft__V1__Desired *reply;

	if (!desired->doc)
		return message_new(&croft__v1__desired__descriptor);
	look_at_all(service, false);
	reply = message_copy(&desired->doc->msg->base);
	if (reply)
		reply->status = report_status(desired);
	return reply && reply->status ? reply : message_free(reply);
}

/* --- Loading --- */

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	Croft__V1__Desired *msg = croft__v1__desired__unpack(NULL, n, bytes);
	struct desired_doc *doc;
	int r;

	(void)name;
	if (!msg || !msg->spec) {
		message_free(msg);
		return error_raise(err, ERROR_DATA_LOSS,
				   "the desired state in the store is damaged");
	}
	r = desired_doc_adopt(&doc, msg, err);
	if (r == 0)
		set_document(&service->desired, doc);
	return r;
}

int desired_load(struct service *service, struct error *err)
{
	return store_load(service->store, "desired", load, service, err);
}

void desired_free(struct service *service)
{
	struct desired *desired = &service->desired;

	for (size_t i = 0; i < desired->objects.count; i++)
		object_free(desired->objects.entries[i].record);
	table_clear(&desired->objects);
	desired->doc = desired_doc_free(desired->doc);
}
