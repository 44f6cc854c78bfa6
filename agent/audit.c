// SPDX-License-Identifier: Apache-2.0
// The audit: who asked for a change, from where, of what, and what came of it.

#include "agent/audit.h"

#include <string.h>
#include <time.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/state.h"
#include "agent/transcode_text.h"
#include "croft/v1/operation.pb-c.h"

#define TARGET_MAX 128

/* A protobuf string must be UTF-8, and what a client has sent need not be. */
static char *clean(char *copy, size_t size, const char *text)
{
	snprintf(copy, size, "%s", text ? text : "");
	text_make_utf8(copy);
	return copy;
}

void audit_note(struct service *service, const struct audit_news *news)
{
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Croft__V1__AuditRecord msg = CROFT__V1__AUDIT_RECORD__INIT;
	char actor[AUTH_ACTOR_MAX], peer[AUTH_PEER_MAX], target[TARGET_MAX];
	char message[FAULT_DETAIL_MAX] = "";
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	time.seconds = now.tv_sec;
	time.nanos = (int32_t)now.tv_nsec;
	if (news->error)
		fault_detail(message, sizeof(message), news->error);
	msg.number = service->audit.newest + 1;
	msg.time = &time;
	msg.actor = clean(actor, sizeof(actor), news->actor);
	msg.peer = clean(peer, sizeof(peer), news->peer);
	msg.target = clean(target, sizeof(target), news->target);
	/* Names that are ours; protobuf-c has no const strings. */
	msg.method = (char *)(uintptr_t)news->method;
	msg.code = (char *)(uintptr_t)(news->error ? error_code_name(news->error->code) : "OK");
	msg.operation = (char *)(uintptr_t)(news->operation ? news->operation : "");
	msg.message = message;
	if (ring_add(&service->audit, service->store, &msg.base) < 0)
		log_error("%s by %s: out of memory for its audit record", news->method,
			  news->actor);
}

/* --- The target of a call --- */

/* Of each service what its methods work on: a collection ("vms/"), whose object the request names, or the one thing. */
static const struct {
	const char *prefix; /* of the method's name */
	const char *target;
} targets[] = {
	{ "croft.v1.Vms/", "vms/" },
	{ "croft.v1.Images/", "images/" },
	{ "croft.v1.Operations/", "operations/" },
	{ "croft.v1.NodeService/", "node" },
	{ "croft.v1.DesiredService/", "desired" },
	{ "croft.v1.ConfigService/", "config" },
};

/* The message's string `name`; NULL when it has none. */
static const char *name_in(const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "name");

	if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
	    field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return *(const char *const *)(const void *)((const char *)message + field->offset);
}

/* Of the request itself, or of the object in it. */
static const char *name_of(const ProtobufCMessage *request)
{
	const char *name = name_in(request);

	for (unsigned int i = 0; !name && i < request->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &request->descriptor->fields[i];
		const ProtobufCMessage *object;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE ||
		    field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		object = *(const ProtobufCMessage *const *)(const void *)((const char *)request +
									  field->offset);
		name = object ? name_in(object) : NULL;
	}
	return name ? name : "";
}

static void target_of(char out[TARGET_MAX], const struct call *call)
{
	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		const char *target = targets[i].target;
		bool collection = target[strlen(target) - 1] == '/';

		if (strncmp(call->method->name, targets[i].prefix, strlen(targets[i].prefix)) == 0)
			snprintf(out, TARGET_MAX, "%s%s", target,
				 collection ? name_of(call->request) : "");
	}
}

void audit_note_call(struct service *service, const struct call *call)
{
	bool failed = call->error.code != ERROR_NONE;
	char target[TARGET_MAX];
	struct audit_news news = { .actor = call->who.actor,
				   .peer = call->who.peer,
				   .method = call->method->name,
				   .target = target,
				   .error = failed ? &call->error : NULL };

	target_of(target, call);
	if (call->reply && call->reply->descriptor == &croft__v1__operation__descriptor)
		news.operation = ((const Croft__V1__Operation *)(const void *)call->reply)->name;
	audit_note(service, &news);
}

/* --- Loading --- */

int audit_load(struct service *service, struct error *err)
{
	service->audit = (struct ring){ .kind = "audit", .kept = AUDIT_KEPT };
	return ring_load(&service->audit, service->store, err);
}

void audit_free(struct service *service)
{
	ring_clear(&service->audit);
}
