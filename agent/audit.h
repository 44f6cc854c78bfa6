/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: who asked for a change, from where, of what, and what came of it; the newest are kept. Service thread only.
 */
#ifndef CROFT_AGENT_AUDIT_H
#define CROFT_AGENT_AUDIT_H

#include "croft/v1/audit.pb-c.h"
#include "vmm/base.h"

#define AUDIT_KEPT 10000u

struct service;
struct call;

#define AUDIT_ACTOR_AGENT "agent" /* who does what the agent does by itself */

/* What is told of one change; NULL for a text is "". */
struct audit_news {
	const char *actor, *peer;
	const char *method;	   /* "croft.v1.Vms/StartVm" */
	const char *target;	   /* "vms/web1" */
	const char *operation;	   /* that it began */
	const struct error *error; /* why it was refused; NULL: it was not */
};

/* Recorded in the same commit as the change. Without memory there is no record, and the log says so. */
void audit_note(struct service *service, const struct audit_news *news);

/* The same for a call that has just been answered: its target is read out of the request. */
void audit_note_call(struct service *service, const struct call *call);

int audit_load(struct service *service, struct error *err);
void audit_free(struct service *service);

#endif
