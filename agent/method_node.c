// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.NodeService.

#include "agent/method.h"

#include <string.h>

#include "agent/health.h"
#include "agent/message.h"
#include "agent/metrics.h"
#include "agent/openapi.h"
#include "agent/version.h"

void method_get_node(struct service *service, struct call *call)
{
	call_reply_now(call, health_node(service));
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
