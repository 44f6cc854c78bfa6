// SPDX-License-Identifier: Apache-2.0
// Operations: slow verbs as records.

#include "agent/operation.h"

#include <inttypes.h>
#include <string.h>

#include "agent/event.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"

static struct operation *operation_free(struct operation *op)
{
	if (!op)
		return NULL;
	message_free(op->msg);
	free(op);
	return NULL;
}

/* Takes the message, also when it fails; NULL without memory. */
static struct operation *add(struct service *service, Croft__V1__Operation *msg)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (!op) {
		message_free(msg);
		return NULL;
	}
	op->msg = msg;
	op->record =
		(struct record){ .kind = "operation", .name = msg->name, .message = &msg->base };
	if (table_add(&service->operations, msg->name, op) < 0)
		return operation_free(op);
	return op;
}

/* Forgets the oldest that have ended, when there are too many. */
static void prune(struct service *service)
{
	size_t i = 0;

	while (service->operations.count > OPERATIONS_KEPT && i < service->operations.count) {
		struct operation *op = service->operations.entries[i].record;

		if (!operation_ended(op)) {
			i++;
			continue;
		}
		if (record_forget(service, &op->record, NULL) < 0)
			return;
		table_remove(&service->operations, op->msg->name);
		operation_free(op);
	}
}

/* It has changed: lets it be stored, and told of. */
static void note_state(struct service *service, struct operation *op)
{
	const Croft__V1__Operation *msg = op->msg;
	const ProtobufCEnumValue *state =
		protobuf_c_enum_descriptor_get_value(&croft__v1__operation__state__descriptor,
						     (int)msg->state);
	char message[ERROR_MESSAGE_MAX];

	snprintf(message, sizeof(message), "%s %s%s%s", msg->verb, msg->target,
		 msg->error ? ": " : "", msg->error ? msg->error->detail : "");
	event_emit(service, &(struct event_news){ .type = "operation.state",
						  .collection = "operations",
						  .object = msg->name,
						  .state = state->name,
						  .reason = msg->error ? msg->error->code : NULL,
						  .message = message,
						  .actor = msg->actor });
	record_touch(service, &op->record);
}

struct operation *operation_new(struct service *service, const char *verb, const char *target,
				const char *actor)
{
	Croft__V1__Operation *msg = message_new(&croft__v1__operation__descriptor);
	struct operation *op;
	char name[32];

	if (!msg)
		return NULL;
	prune(service);
	snprintf(name, sizeof(name), "op-%" PRIu64, service->operation_number + 1);
	message_set_string(&msg->name, name);
	message_set_string(&msg->verb, verb);
	message_set_string(&msg->target, target);
	message_set_string(&msg->actor, actor);
	message_set_now(&msg->create_time);
	msg->state = CROFT__V1__OPERATION__STATE__PENDING;
	if (!msg->name[0]) {
		message_free(msg);
		return NULL;
	}
	op = add(service, msg);
	if (!op)
		return NULL;
	service->operation_number++;
	note_state(service, op);
	log_info("%s: %s %s, asked by %s", op->msg->name, verb, target, actor);
	return op;
}

void operation_run(struct service *service, struct operation *op, struct job *job)
{
	op->job = job;
	op->msg->state = CROFT__V1__OPERATION__STATE__RUNNING;
	note_state(service, op);
}

void operation_step(struct service *service, struct operation *op, const char *step)
{
	message_set_string(&op->msg->step, step);
	record_touch(service, &op->record);
}

bool operation_ended(const struct operation *op)
{
	return op->msg->state >= CROFT__V1__OPERATION__STATE__SUCCEEDED;
}

void operation_refresh(struct operation *op)
{
	char step[sizeof(op->job->step)];

	if (!op->job)
		return;
	job_step_read(op->job, step, sizeof(step));
	if (strcmp(step, op->msg->step) != 0)
		message_set_string(&op->msg->step, step);
	op->msg->total_bytes = atomic_load(&op->job->total_bytes);
	op->msg->done_bytes = atomic_load(&op->job->done_bytes);
}

void operation_end(struct service *service, struct operation *op, const struct error *error)
{
	if (!op || operation_ended(op))
		return;
	operation_refresh(op);
	op->job = NULL;
	op->cancel = NULL;
	message_set_now(&op->msg->end_time);
	if (!error) {
		op->msg->state = CROFT__V1__OPERATION__STATE__SUCCEEDED;
		message_set_string(&op->msg->step, "");
	} else {
		op->msg->state = error->code == ERROR_CANCELLED
					 ? CROFT__V1__OPERATION__STATE__CANCELLED
					 : CROFT__V1__OPERATION__STATE__FAILED;
		message_set_problem(&op->msg->error, error);
	}
	note_state(service, op);
	log_info("%s: %s %s %s%s", op->msg->name, op->msg->verb, op->msg->target,
		 error ? "failed: " : "succeeded", error ? error->message : "");
}

int operation_cancel(struct service *service, struct operation *op, struct error *err)
{
	if (operation_ended(op))
		return error_raise(err, ERROR_CONFLICT, "operation \"%s\" has ended",
				   op->msg->name);
	if (op->cancel) {
		op->cancel(service, op);
		return 0;
	}
	if (!op->job)
		return error_raise(err, ERROR_CONFLICT, "operation \"%s\": %s cannot be cancelled",
				   op->msg->name, op->msg->verb);
	atomic_store(&op->job->cancel, true);
	message_set_string(&op->msg->step, "cancelling");
	job_step(op->job, "cancelling");
	record_touch(service, &op->record);
	return 0;
}

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	Croft__V1__Operation *msg = croft__v1__operation__unpack(NULL, n, bytes);

	if (!msg || strcmp(msg->name, name) != 0) {
		message_free(msg);
		return error_raise(err, ERROR_DATA_LOSS, "operation \"%s\" in the store is damaged",
				   name);
	}
	if (!add(service, msg))
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return 0;
}

int operations_load(struct service *service, struct error *err)
{
	service->operations.compare = table_compare_numbered;
	return store_load(service->store, "operation", load, service, err);
}

void operations_settle(struct service *service)
{
	static const struct error gone = { .code = ERROR_UNAVAILABLE,
					   .message = "the agent ended while the operation ran" };

	for (size_t i = 0; i < service->operations.count; i++) {
		struct operation *op = service->operations.entries[i].record;

		if (!op->job)
			operation_end(service, op, &gone);
	}
	prune(service);
}

void operations_free(struct service *service)
{
	for (size_t i = 0; i < service->operations.count; i++)
		operation_free(service->operations.entries[i].record);
	table_clear(&service->operations);
}
