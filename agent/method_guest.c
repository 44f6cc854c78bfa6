// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that look into a VM: statistics.

#include "agent/method.h"

#include <string.h>

#include "agent/message.h"
#include "agent/vm_stats.h"

#define INTERVAL_DEFAULT_NS 1000000000ull
#define INTERVAL_MIN_NS	    100000000ull
#define INTERVAL_MAX_NS	    3600000000000ull

/* --- Statistics --- */

void method_get_vm_stats(struct service *service, struct call *call)
{
	const Croft__V1__GetVmStatsRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = vm_record_find(service, request->name, &error);

	if (!vm || !vm_record_running(vm, &error))
		call_fail(service, call, &error);
	else
		call_reply(service, call, vm_stats_message(vm));
}

/* --- The stream --- */

/* Whose figures, and when the next ones are due. */
struct watch {
	char uid[RECORD_UID];
	uint64_t interval_ns, due_ns; /* the first at once */
};

static int interval_of(const Google__Protobuf__Duration *d, uint64_t *ns, struct error *err)
{
	*ns = d ? message_duration_ns(d, INTERVAL_MAX_NS + 1) : INTERVAL_DEFAULT_NS;
	if (*ns < INTERVAL_MIN_NS || *ns > INTERVAL_MAX_NS)
		return error_raise_field(err, "/interval", "must be from 0.1s to 3600s");
	return 0;
}

static int begin_watch(struct service *service, struct call *call, struct error *err)
{
	const Croft__V1__WatchVmStatsRequest *request = (const void *)call->request;
	const struct vm_record *vm = vm_record_find(service, request->name, err);
	struct watch *watch;
	uint64_t interval_ns;

	if (!vm || interval_of(request->interval, &interval_ns, err) < 0 ||
	    !vm_record_running(vm, err))
		return -EINVAL;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	snprintf(watch->uid, sizeof(watch->uid), "%s", vm->msg->uid);
	watch->interval_ns = interval_ns;
	call->place = watch;
	call->begun = true;
	return 0;
}

void method_watch_vm_stats(struct service *service, struct call *call)
{
	const Croft__V1__WatchVmStatsRequest *request = (const void *)call->request;
	struct error error;
	const struct vm_record *vm;
	struct watch *watch;
	uint64_t now = clock_ns();

	if (!call->begun && begin_watch(service, call, &error) < 0) {
		call_fail(service, call, &error);
		return;
	}
	watch = call->place;
	vm = table_find(&service->vms, request->name);
	if (!vm || strcmp(vm->msg->uid, watch->uid) != 0 || !vm_record_vmm(vm)) {
		call_end(service, call);
	} else if (now >= watch->due_ns) {
		/* Who comes late gets the newest, and not all that was missed. */
		watch->due_ns += watch->interval_ns;
		if (watch->due_ns <= now)
			watch->due_ns = now + watch->interval_ns;
		call_reply_more(service, call, vm_stats_message(vm));
	} else if (call_expired(call)) {
		call_reply_more(service, call, NULL);
	} else {
		uint64_t left = watch->due_ns - now;

		call_wait(service, call, left < STREAM_IDLE_NS ? left : STREAM_IDLE_NS);
	}
}

void method_watch_vm_stats_close(struct service *service, struct call *call)
{
	(void)service;
	free(TAKE_PTR(call->place));
}
