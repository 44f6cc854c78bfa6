// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.DesiredService.

#include <string.h>

#include "agent/desired.h"
#include "agent/desired_plan.h"
#include "agent/message.h"
#include "agent/method.h"
#include "agent/vm_update.h"

static void reply_report(struct service *service, struct call *call)
{
	call_reply(service, call, desired_report(service));
}

/* That the document has the revision that the client knows; NOT_FOUND when there must be one and is none. */
static int check_document(const struct service *service, const struct call *call, bool must_be,
			  struct error *err)
{
	if (service->desired.doc)
		return record_match(&service->desired.record, call->if_match, err);
	if (must_be)
		return error_raise(err, ERROR_NOT_FOUND, "nothing is desired");
	if (call->if_match || call->must_exist)
		return error_raise(err, ERROR_PRECONDITION,
				   "nothing is desired yet, and If-Match asks for what is there");
	return 0;
}

void method_get_desired(struct service *service, struct call *call)
{
	reply_report(service, call);
}

void method_put_desired(struct service *service, struct call *call)
{
	const Croft__V1__PutDesiredRequest *request = (const void *)call->request;
	struct desired_doc *doc = NULL;
	struct error error;
	int r = check_document(service, call, false, &error);

	if (r == 0)
		r = desired_doc_new(&doc, service, request->desired, &error);
	if (r < 0) {
		call_fail(service, call, &error);
	} else if (request->dry_run) {
		call_reply(service, call, message_copy(&doc->msg->base));
		desired_doc_free(doc);
	} else {
		desired_put(service, doc);
		reply_report(service, call);
	}
}

void method_apply_desired(struct service *service, struct call *call)
{
	const Croft__V1__ApplyDesiredRequest *request = (const void *)call->request;
	struct error error;

	if (check_document(service, call, true, &error) < 0) {
		call_fail(service, call, &error);
		return;
	}
	if (!request->dry_run)
		desired_apply(service);
	reply_report(service, call);
}

void method_delete_desired(struct service *service, struct call *call)
{
	struct error error;
	Croft__V1__Desired *was = NULL;
	int r = check_document(service, call, true, &error);

	if (r == 0) {
		was = desired_report(service);
		r = was ? desired_forget(service, &error)
			: error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r < 0) {
		message_free(was);
		call_fail(service, call, &error);
	} else {
		call_reply(service, call, was);
	}
}

/* --- The difference --- */

struct diff {
	Croft__V1__DiffDesiredResponse *reply;
	bool failed; /* without memory */
};

static int add_fields(Croft__V1__DesiredChange *change, unsigned int changes)
{
	const char *pointer;

	while ((pointer = vm_change_next(&changes))) {
		char *copy = strdup(pointer);

		if (!copy || message_append(&change->fields, &change->n_fields, copy) < 0) {
			free(copy);
			return -ENOMEM;
		}
	}
	return 0;
}

static int add_change(Croft__V1__DiffDesiredResponse *reply, const char *target,
		      const struct desired_step *step)
{
	Croft__V1__DesiredChange *change = message_new(&croft__v1__desired_change__descriptor);
	int r = -ENOMEM;

	if (change) {
		message_set_string(&change->target, target);
		message_set_string(&change->verb, step->verb);
		r = add_fields(change, step->changes);
	}
	if (r == 0)
		r = message_append(&reply->changes, &reply->n_changes, change);
	if (r < 0)
		message_free(change);
	return r;
}

static void add_changes(void *data, const struct desired_plan *plan)
{
	struct diff *diff = data;

	for (unsigned int i = 0; i < plan->step_count && !diff->failed; i++)
		diff->failed = add_change(diff->reply, plan->target, &plan->steps[i]) < 0;
}

void method_diff_desired(struct service *service, struct call *call)
{
	const Croft__V1__DiffDesiredRequest *request = (const void *)call->request;
	const struct desired_doc *doc = service->desired.doc;
	struct desired_doc *other = NULL;
	struct diff diff;
	struct error error;
	int r = 0;

	if (request->desired) {
		r = desired_doc_new(&other, service, request->desired, &error);
		doc = other;
	}
	if (r < 0) {
		call_fail(service, call, &error);
		return;
	}
	diff = (struct diff){ .reply = message_new(&croft__v1__diff_desired_response__descriptor) };
	if (diff.reply && doc)
		desired_plan_all(service, doc, add_changes, &diff);
	if (diff.failed)
		diff.reply = message_free(diff.reply);
	desired_doc_free(other);
	call_reply(service, call, diff.reply);
}
