/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: slow verbs as records. Service thread only.
 */
#ifndef CROFT_AGENT_OPERATION_H
#define CROFT_AGENT_OPERATION_H

#include "agent/record.h"
#include "agent/job.h"
#include "croft/v1/operation.pb-c.h"

struct operation {
	struct record record;
	Croft__V1__Operation *msg;
	struct job *job; /* that does it, for progress and cancelling; or NULL */
	/* How to cancel one without a job: ends it, with ERROR_CANCELLED. NULL: it cannot be cancelled. */
	void (*cancel)(struct service *service, struct operation *op);
	void *owner; /* for cancel */
};

/* A pending one of `verb` on `target`, recorded. NULL without memory. The table owns it. */
struct operation *operation_new(struct service *service, const char *verb, const char *target,
				const char *actor);

/* RUNNING, by that job; or NULL for one that can be cancelled only while it has a `cancel`. */
void operation_run(struct service *service, struct operation *op, struct job *job);

/* SUCCEEDED for a NULL error; CANCELLED for ERROR_CANCELLED; else FAILED. Takes NULL for op. */
void operation_end(struct service *service, struct operation *op, const struct error *error);

/* What it does now, for people; of one without a job. */
void operation_step(struct service *service, struct operation *op, const char *step);

bool operation_ended(const struct operation *op);

/* Brings the progress of its job into the message. */
void operation_refresh(struct operation *op);

/* Asks its job to end, or calls cancel. CONFLICT when it has ended or cannot be cancelled. */
int operation_cancel(struct service *service, struct operation *op, struct error *err);

/* Brings the records back. */
int operations_load(struct service *service, struct error *err);
/* Those that had not ended, and that nobody has gone on with, fail, because their work ended with the agent before. */
void operations_settle(struct service *service);
void operations_free(struct service *service);

#endif
