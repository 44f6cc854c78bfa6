// SPDX-License-Identifier: Apache-2.0
// The node as a record: labels and cordon.

#include "agent/node.h"

#include <string.h>

#include "agent/event.h"
#include "agent/log.h"
#include "agent/mask.h"
#include "agent/message.h"
#include "agent/validate.h"
#include "agent/vm_restart.h"

static int no_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

/* --- Loading --- */

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct node *node = data;

	(void)name;
	node->msg = croft__v1__node__unpack(NULL, n, bytes);
	return node->msg ? 0
			 : error_raise(err, ERROR_DATA_LOSS, "the node in the store is damaged");
}

static void look(struct service *service, struct timer *timer)
{
	node_look(service);
	timer_arm(service, timer, NODE_CONDITION_NS);
}

int node_load(struct service *service, struct error *err)
{
	struct node *node = service->node = calloc(1, sizeof(*node));
	int r = node ? store_load(service->store, "node", load, node, err) : no_memory(err);

	if (r < 0)
		return r;
	if (!node->msg)
		node->msg = message_new(&croft__v1__node__descriptor);
	if (!node->msg)
		return no_memory(err);
	node->record = (struct record){ .kind = "node",
					.name = "node",
					.message = &node->msg->base,
					.revision = &node->msg->revision };
	node->look.fire = look;
	if (!node->msg->revision)
		record_touch(service, &node->record);
	return 0;
}

void node_free(struct service *service)
{
	struct node *node = service->node;

	if (!node)
		return;
	node_drain_free(service);
	message_free(node->msg);
	free(node);
	service->node = NULL;
}

void node_begin(struct service *service)
{
	look(service, &service->node->look);
}

/* --- What clients see and change --- */

Croft__V1__Node *node_message(struct service *service)
{
	Croft__V1__Node *node = message_copy(&service->node->msg->base);

	return node && node_fill(service, node) == 0 ? node : message_free(node);
}

static void take_labels(struct service *service, Croft__V1__Node *from, const char *actor)
{
	struct node *node = service->node;

	if (!message_field_differs(&node->msg->base, &from->base,
				   protobuf_c_message_descriptor_get_field_by_name(
					   &croft__v1__node__descriptor, "labels")))
		return;
	MESSAGE_SWAP(node->msg->labels, from->labels);
	MESSAGE_SWAP(node->msg->n_labels, from->n_labels);
	record_touch(service, &node->record);
	event_emit(service, &(struct event_news){ .type = "node.updated",
						  .collection = "node",
						  .object = "labels",
						  .message = "/labels",
						  .actor = actor });
}

int node_update(struct service *service, const struct node_update *update, Croft__V1__Node **out,
		struct error *err)
{
	static const char *const parts[] = { "labels", NULL };
	Croft__V1__Node *merged = message_copy(&service->node->msg->base);
	int r = merged ? mask_apply(&merged->base, &update->wish->base, update->mask, parts, err)
		       : no_memory(err);

	if (r == 0)
		r = validate_labels(&merged->base, err);
	if (r == 0 && !update->dry_run) {
		take_labels(service, merged, update->actor);
		message_free(merged);
		merged = message_copy(&service->node->msg->base);
	}
	if (r == 0 && (!merged || node_fill(service, merged) < 0))
		r = no_memory(err);
	if (r < 0) {
		message_free(merged);
		return r;
	}
	*out = merged;
	return 0;
}

int node_check_reason(const char *reason, struct error *err)
{
	if (strlen(reason) <= NODE_REASON_MAX)
		return 0;
	return error_raise_field(err, "/reason", "%zu bytes: at most %u are allowed",
				 strlen(reason), NODE_REASON_MAX);
}

void node_cordon(struct service *service, bool cordoned, const char *reason, const char *actor)
{
	struct node *node = service->node;

	if (!cordoned)
		actor = "";
	/* Whose it is counts: what a person has cordoned is not the desired state's to lift. */
	if (!cordoned == !node->msg->cordoned && strcmp(node->msg->cordon_reason, reason) == 0 &&
	    strcmp(node->msg->cordon_actor, actor) == 0)
		return;
	node->msg->cordoned = cordoned;
	message_set_string(&node->msg->cordon_reason, reason);
	message_set_string(&node->msg->cordon_actor, actor);
	record_touch(service, &node->record);
	log_notice("node: %s%s%s", cordoned ? "cordoned" : "uncordoned", reason[0] ? ": " : "",
		   reason);
	node_look(service);
	if (!cordoned)
		vm_restart_look_all(service);
}

int node_check_start(const struct service *service, struct error *err)
{
	const Croft__V1__Node *msg = service->node->msg;

	if (!msg->cordoned)
		return 0;
	return error_raise(err, ERROR_CONFLICT, "the node is cordoned, and starts no VM%s%s",
			   msg->cordon_reason[0] ? ": " : "", msg->cordon_reason);
}
