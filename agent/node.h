/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node as a record: labels, cordon, conditions and drain. Service thread only.
 */
#ifndef CROFT_AGENT_NODE_H
#define CROFT_AGENT_NODE_H

#include <time.h>

#include "agent/operation.h"
#include "agent/record.h"
#include "agent/state.h"
#include "croft/v1/node.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"

#define NODE_REASON_MAX	  256u /* bytes of a cordon's reason */
#define NODE_CONDITIONS	  7u
#define NODE_CONDITION_NS 5000000000ull /* at the latest they are looked at again */

struct drain;

/* One condition as it was last seen. */
struct node_condition {
	bool status;
	const char *reason; /* one word */
	char message[ERROR_MESSAGE_MAX];
	struct timespec since; /* CLOCK_REALTIME; of the status */
};

struct node {
	struct record record;
	Croft__V1__Node *msg; /* what is kept: labels, cordon, revision */
	struct node_condition conditions[NODE_CONDITIONS];
	struct timer look;
	struct drain *drain; /* while it runs */
};

/* Brings the record back, or makes it. */
int node_load(struct service *service, struct error *err);
void node_free(struct service *service);

/* On the service thread, before anything else: looks at the conditions for the first time, and from then on. */
void node_begin(struct service *service);

/* All of it, as clients see it; NULL without memory. */
Croft__V1__Node *node_message(struct service *service);

struct node_update {
	const Croft__V1__Node *wish;
	const Google__Protobuf__FieldMask *mask; /* of labels */
	const char *actor;
	bool dry_run;
};
/* Changes the labels. *out, which the caller frees, is the node as it then is, or would be. INVALID_ARGUMENT. */
int node_update(struct service *service, const struct node_update *update, Croft__V1__Node **out,
		struct error *err);

/* INVALID_ARGUMENT when the reason is too long. */
int node_check_reason(const char *reason, struct error *err);
/* Nothing happens when it is so already, with that reason. */
void node_cordon(struct service *service, bool cordoned, const char *reason, const char *actor);

/* CONFLICT while the node is cordoned. */
int node_check_start(const struct service *service, struct error *err);

/* Cordons the node, and stops one VM after the other, each with that much time. CONFLICT while another drain runs. */
struct node_drain {
	const char *reason, *actor;
	uint64_t patience_ns;
};
int node_check_drain(const struct service *service, struct error *err);
int node_begin_drain(struct service *service, const struct node_drain *how, struct operation **out,
		     struct error *err);
/* A VM's state has changed. */
void node_drain_look(struct service *service);
void node_drain_free(struct service *service);

/* node_status.c: looks at all conditions, and tells of those that have changed. */
void node_look(struct service *service);
/* The name of conditions[index]. */
const char *node_condition_type(size_t index);
/* Looks at all, too, and fills in what is not kept. -ENOMEM. */
int node_fill(struct service *service, Croft__V1__Node *node);

#endif
