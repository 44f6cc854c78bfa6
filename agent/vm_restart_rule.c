// SPDX-License-Identifier: Apache-2.0
// The rule of restart policies: what follows when a guest ends, or does not start, and nobody has asked for that.

#include "agent/vm_restart_rule.h"

#include <string.h>

#include "agent/message.h"

#define WHEN(name)   CROFT__V1__RESTART_POLICY__WHEN__##name
#define REASON(name) CROFT__V1__VM_STATUS__EXIT_REASON__##name

static uint32_t count_recent(const Croft__State__V1__KeptRestarts *kept, int64_t now)
{
	uint32_t recent = 0;

	for (size_t i = 0; i < kept->n_restarts; i++)
		recent += kept->restarts[i] > now - RESTART_WINDOW_NS;
	return recent;
}

/* Doubled for each restart of the last hour. */
static uint64_t pause_of(const Croft__V1__RestartPolicy *policy, uint32_t recent)
{
	uint64_t ns = policy->backoff ? message_duration_ns(policy->backoff, RESTART_BACKOFF_MAX_NS)
				      : RESTART_BACKOFF_NS;

	for (uint32_t i = 0; i < recent && ns && ns < RESTART_BACKOFF_MAX_NS; i++)
		ns *= 2;
	return ns < RESTART_BACKOFF_MAX_NS ? ns : RESTART_BACKOFF_MAX_NS;
}

bool restart_counts(Croft__V1__VmStatus__ExitReason reason)
{
	return reason != REASON(host_shutdown);
}

struct restart_decision restart_decide(const Croft__V1__RestartPolicy *policy,
				       Croft__V1__VmStatus__ExitReason reason,
				       const Croft__State__V1__KeptRestarts *kept, int64_t now)
{
	struct restart_decision d = { .answer = RESTART_DONE };

	if (!policy || (policy->when != WHEN(on_failure) && policy->when != WHEN(always)) ||
	    (policy->when == WHEN(on_failure) && reason == REASON(guest_poweroff)))
		return d;
	d.recent = count_recent(kept, now);
	d.limit = policy->limit ? policy->limit : RESTART_LIMIT;
	d.answer = RESTART_DUE;
	if (!restart_counts(reason))
		return d;
	if (d.recent >= d.limit)
		d.answer = RESTART_SPENT;
	else if (reason != REASON(guest_reset))
		d.pause_ns = pause_of(policy, d.recent);
	return d;
}

int restart_note(Croft__State__V1__KeptRestarts *kept, int64_t now)
{
	size_t left = 0;
	int64_t *more;

	for (size_t i = 0; i < kept->n_restarts; i++)
		if (kept->restarts[i] > now - RESTART_WINDOW_NS)
			kept->restarts[left++] = kept->restarts[i];
	kept->n_restarts = left;
	more = reallocarray(kept->restarts, left + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	kept->restarts = more;
	more[kept->n_restarts++] = now;
	return 0;
}

bool restart_rebase(Croft__State__V1__KeptRestarts *kept, const char *boot_id)
{
	if (strcmp(kept->boot_id, boot_id) == 0)
		return true;
	for (size_t i = 0; i < kept->n_restarts; i++)
		kept->restarts[i] -= kept->time;
	kept->due -= kept->time;
	kept->time = 0;
	message_set_string(&kept->boot_id, boot_id);
	return kept->boot_id[0];
}

int restart_validate(const Croft__V1__RestartPolicy *policy, struct error *err)
{
	const Google__Protobuf__Duration *d = policy ? policy->backoff : NULL;

	if (!policy)
		return 0;
	if (!protobuf_c_enum_descriptor_get_value(&croft__v1__restart_policy__when__descriptor,
						  (int)policy->when))
		return error_raise_field(err, "/spec/restart/when",
					 "%d is none of never, on_failure, always",
					 (int)policy->when);
	if (policy->limit > RESTART_LIMIT_MAX)
		return error_raise_field(err, "/spec/restart/limit",
					 "%u restarts in an hour: at most %u are allowed",
					 policy->limit, RESTART_LIMIT_MAX);
	if (d && (d->seconds < 0 || d->nanos < 0 || d->nanos > 999999999 ||
		  message_duration_ns(d, UINT64_MAX) > RESTART_BACKOFF_MAX_NS))
		return error_raise_field(err, "/spec/restart/backoff", "must be from 0s to 300s");
	return 0;
}
