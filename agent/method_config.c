// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.ConfigService.

#include "agent/method.h"

#include "agent/tuning.h"

void method_get_config(struct service *service, struct call *call)
{
	call_reply(service, call, tuning_message(service));
}

void method_update_config(struct service *service, struct call *call)
{
	const Croft__V1__UpdateConfigRequest *request = (const void *)call->request;
	const struct tuning_update change = { .wish = request->config,
					      .mask = request->update_mask,
					      .actor = call->who.actor,
					      .dry_run = request->dry_run };
	Croft__V1__Config *reply = NULL;
	struct error error;
	int r = record_match(&service->tuning->record, call->if_match, &error);

	if (r == 0 && !request->config)
		r = error_raise_field(&error, "/config", "a configuration is required");
	if (r == 0)
		r = tuning_change(service, &change, &reply, &error);
	method_answer(service, call, r, reply, &error);
}
