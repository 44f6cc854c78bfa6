/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The desired state: the document that is kept, and the agent's own steps towards it. Service thread only.
 *
 * It makes the same calls as a client would, as the actor "agent", so they are checked, recorded and audited like any other.
 * It looks when records have changed and when a retry is due; each object takes one step at a time.
 */
#ifndef CROFT_AGENT_DESIRED_H
#define CROFT_AGENT_DESIRED_H

#include "agent/desired_doc.h"
#include "agent/record.h"
#include "agent/table.h"
#include "agent/timer.h"

#define DESIRED_BUSY_MAX 16u /* objects that a step works on at a time */
#define DESIRED_RETRY_NS \
	1000000000ull /* after the first failure; twice as much after each next one, up to */
#define DESIRED_RETRY_MAX_NS 300000000000ull /* this */
#define DESIRED_STABLE_NS    60000000000ull  /* a VM that ends sooner after a start has failed */

/* {0} is none. */
struct desired {
	struct desired_doc *doc; /* NULL: nothing is desired */
	struct record record;	 /* of the document */
	struct table objects;	 /* of struct desired_object */
	struct timer timer;	 /* the next look */
	uint64_t changes_seen;	 /* as service->changes at the last look */
	unsigned int look;	 /* number of the last one */
	bool in_sync;
	int64_t in_sync_time; /* seconds; 0: it was not since the start */
};

/* Replaces the document, and takes it. RESOURCE_EXHAUSTED. */
void desired_put(struct service *service, struct desired_doc *doc);

/* Forgets it. RESOURCE_EXHAUSTED leaves it. */
int desired_forget(struct service *service, struct error *err);

/* What failed is tried at once. */
void desired_apply(struct service *service);

/* The document and its status as of now; an empty one when there is none. NULL without memory. */
Croft__V1__Desired *desired_report(struct service *service);

/* At the end of each pass of the service: plans a look when records have changed. */
void desired_note_changes(struct service *service);

int desired_load(struct service *service, struct error *err);
void desired_free(struct service *service);

#endif
