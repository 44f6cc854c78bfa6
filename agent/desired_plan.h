/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The comparison of a document of the desired state with what is: which steps an object lacks, and why it may have to wait.
 * Changes nothing. Service thread only.
 */
#ifndef CROFT_AGENT_DESIRED_PLAN_H
#define CROFT_AGENT_DESIRED_PLAN_H

#include "agent/desired_doc.h"
#include "agent/validate.h"

#define DESIRED_TARGET_MAX (NAME_MAX_LENGTH + 8)
#define DESIRED_STEPS_MAX  4 /* of one object */

struct desired_step {
	const char *verb;     /* as DesiredChange.verb */
	unsigned int changes; /* of an update: as vm_changes() */
};

/* What one object lacks. */
struct desired_plan {
	char target[DESIRED_TARGET_MAX]; /* "vms/web1", "node" */
	const char *name;		 /* of the object; as long as the document and the record */
	const Croft__V1__DesiredVm *vm;	 /* that is wanted; NULL: none */
	const Croft__V1__DesiredImage *image; /* that is wanted; NULL: none */
	struct desired_step steps[DESIRED_STEPS_MAX];
	unsigned int step_count;
	char wait[192]; /* why the first step cannot be taken yet, or what else has to come; "": nothing */
	const char *operation; /* that works on it already; NULL: none */
	const char *ended;     /* why a VM that is to run does not; NULL: it never has, or runs */
};

/* Calls `each` for every object of the document, and for those that it prunes, in the order in which they are brought about. */
typedef void (*desired_each)(void *data, const struct desired_plan *plan);
void desired_plan_all(struct service *service, const struct desired_doc *doc, desired_each each,
		      void *data);

#endif
