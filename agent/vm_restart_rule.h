/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule of restart policies: what follows when a guest ends, or does not start, and nobody has asked for that. It knows the
 * time only as it is told.
 */
#ifndef CROFT_AGENT_VM_RESTART_RULE_H
#define CROFT_AGENT_VM_RESTART_RULE_H

#include "croft/state/v1/kept.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

#define RESTART_LIMIT	       10u /* where the policy has none */
#define RESTART_LIMIT_MAX      1000u
#define RESTART_BACKOFF_NS     1000000000ull
#define RESTART_BACKOFF_MAX_NS 300000000000ull
#define RESTART_WINDOW_NS      3600000000000ll /* in which restarts are counted */

enum restart_answer {
	RESTART_DONE, /* it stays as it is */
	RESTART_DUE,  /* after the pause */
	RESTART_SPENT /* it would be due, but the limit is reached */
};

struct restart_decision {
	enum restart_answer answer;
	uint64_t pause_ns;
	uint32_t recent; /* restarts in the last hour */
	uint32_t limit;
};

/* `policy` may be NULL, which is never. `now` as KeptRestarts.time. */
struct restart_decision restart_decide(const Croft__V1__RestartPolicy *policy,
				       Croft__V1__VmStatus__ExitReason reason,
				       const Croft__State__V1__KeptRestarts *kept, int64_t now);

/* Whether a restart after that end counts: the end of the agent or of the host is not the guest's failure. */
bool restart_counts(Croft__V1__VmStatus__ExitReason reason);

/* Counts one at that time, and forgets those that do not matter any more. -ENOMEM. */
int restart_note(Croft__State__V1__KeptRestarts *kept, int64_t now);

/*
 * What was kept is looked at again. In another boot of the host its clock has begun anew, and how long the host was down is not
 * known: then no time has passed. Returns false without memory.
 */
bool restart_rebase(Croft__State__V1__KeptRestarts *kept, const char *boot_id);

/* INVALID_ARGUMENT with the field. Takes NULL. */
int restart_validate(const Croft__V1__RestartPolicy *policy, struct error *err);

#endif
