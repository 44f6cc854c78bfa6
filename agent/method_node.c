// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.NodeService.

#include "agent/method.h"

#include <string.h>

#include "agent/health.h"
#include "agent/message.h"
#include "agent/metrics.h"
#include "agent/node.h"
#include "agent/openapi.h"
#include "agent/version.h"

void method_get_node(struct service *service, struct call *call)
{
	call_reply_now(call, node_message(service));
}

void method_update_node(struct service *service, struct call *call)
{
	const Croft__V1__UpdateNodeRequest *request = (const void *)call->request;
	const struct node_update change = { .wish = request->node,
					    .mask = request->update_mask,
					    .actor = call->who.actor,
					    .dry_run = request->dry_run };
	Croft__V1__Node *reply = NULL;
	struct error error;
	int r = record_match(&service->node->record, call->if_match, &error);

	if (r == 0 && !request->node)
		r = error_raise_field(&error, "/node", "a node is required");
	if (r == 0)
		r = node_update(service, &change, &reply, &error);
	method_answer(service, call, r, reply, &error);
}

static void cordon(struct service *service, struct call *call, const char *reason, bool dry_run)
{
	bool cordoned = reason != NULL;
	Croft__V1__Node *reply = NULL;
	struct error error;
	int r = record_match(&service->node->record, call->if_match, &error);

	if (r == 0 && cordoned)
		r = node_check_reason(reason, &error);
	if (r == 0 && !dry_run)
		node_cordon(service, cordoned, cordoned ? reason : "", call->who.actor);
	if (r == 0)
		reply = node_message(service);
	if (reply && dry_run) {
		reply->cordoned = cordoned;
		message_set_string(&reply->cordon_reason, cordoned ? reason : "");
		message_set_string(&reply->cordon_actor, cordoned ? call->who.actor : "");
	}
	method_answer(service, call, r, reply, &error);
}

void method_cordon_node(struct service *service, struct call *call)
{
	const Croft__V1__CordonNodeRequest *request = (const void *)call->request;

	cordon(service, call, request->reason, request->dry_run);
}

void method_uncordon_node(struct service *service, struct call *call)
{
	const Croft__V1__UncordonNodeRequest *request = (const void *)call->request;

	cordon(service, call, NULL, request->dry_run);
}

void method_drain_node(struct service *service, struct call *call)
{
	const Croft__V1__DrainNodeRequest *request = (const void *)call->request;
	struct node_drain how = { .reason = request->reason, .actor = call->who.actor };
	struct operation *op = NULL;
	struct error error;
	int r = record_match(&service->node->record, call->if_match, &error);

	if (r == 0)
		r = node_check_reason(request->reason, &error);
	if (r == 0)
		r = method_take_duration(&method_patience, request->deadline, &how.patience_ns,
					 &error);
	if (r == 0)
		r = request->dry_run ? node_check_drain(service, &error)
				     : node_begin_drain(service, &how, &op, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call,
			   op ? message_copy(&op->msg->base)
			      : method_preview("drain", "node", "", call->who.actor));
}

void method_get_version(struct service *service, struct call *call)
{
	Croft__V1__Version *version = message_new(&croft__v1__version__descriptor);

	(void)service;
	if (version) {
		message_set_string(&version->version, version_string());
		message_set_string(&version->api_version, version_api());
		message_set_string(&version->build, version_build());
	}
	call_reply_now(call, version);
}

void method_check_health(struct service *service, struct call *call)
{
	const Croft__V1__CheckHealthRequest *request = (const void *)call->request;
	bool ready = strcmp(request->kind, "ready") == 0;
	struct error error;

	if (!ready && strcmp(request->kind, "live") != 0) {
		error_raise_field(&error, "/kind", "\"%.20s\" is neither live nor ready",
				  request->kind);
		call_fail(service, call, &error);
		return;
	}
	call_reply_now(call, health_check(service, ready));
}

/* Takes the text, NULL being out of memory. */
static void reply_text(struct call *call, char *text)
{
	Croft__V1__Text *reply = text ? message_new(&croft__v1__text__descriptor) : NULL;

	if (reply)
		reply->text = text;
	else
		free(text);
	call_reply_now(call, reply);
}

void method_get_metrics(struct service *service, struct call *call)
{
	reply_text(call, metrics_text(service));
}

void method_get_openapi(struct service *service, struct call *call)
{
	(void)service;
	reply_text(call, strdup(openapi_text));
}
