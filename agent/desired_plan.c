// SPDX-License-Identifier: Apache-2.0
// The comparison of a document of the desired state with what is.

#include "agent/desired_plan.h"

#include <string.h>

#include "agent/audit.h"
#include "agent/image.h"
#include "agent/node.h"
#include "agent/state.h"
#include "agent/vm_restart.h"
#include "agent/vm_state.h"
#include "agent/vm_update.h"

#define POWER(name)	  CROFT__V1__DESIRED_VM__POWER__##name
#define IMAGE_STATE(name) CROFT__V1__IMAGE_STATUS__STATE__##name

struct walk {
	struct service *service;
	const struct desired_doc *doc;
	desired_each each;
	void *data;
};

static struct desired_step *add_step(struct desired_plan *plan, const char *verb)
{
	struct desired_step *step = &plan->steps[plan->step_count++];

	*step = (struct desired_step){ .verb = verb };
	return step;
}

static void say_wait(struct desired_plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say_wait(struct desired_plan *plan, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(plan->wait, sizeof(plan->wait), fmt, ap);
	va_end(ap);
}

/* --- The node --- */

static void plan_node(struct walk *walk)
{
	const Croft__V1__Node want = desired_node_view(walk->doc->msg->spec);
	const Croft__V1__Node *node = walk->service->node->msg;
	struct desired_plan plan = { .target = "node", .name = "" };

	if (!LABELS_EQUAL(node, &want))
		add_step(&plan, "label");
	/* What a person has cordoned, a person uncordons. */
	if (want.cordoned && !node->cordoned)
		add_step(&plan, "cordon");
	else if (!want.cordoned && node->cordoned &&
		 strcmp(node->cordon_actor, AUDIT_ACTOR_AGENT) == 0)
		add_step(&plan, "uncordon");
	if (walk->service->node->drain)
		say_wait(&plan, "it is being drained");
	walk->each(walk->data, &plan);
}

/* --- Images --- */

static bool specs_equal(const Croft__V1__ImageSpec *a, const Croft__V1__ImageSpec *b)
{
	return strcmp(a->manifest_url, b->manifest_url) == 0 &&
	       strcmp(a->manifest_sha256, b->manifest_sha256) == 0;
}

static void plan_image(struct walk *walk, const Croft__V1__DesiredImage *want)
{
	const struct image_record *image = table_find(&walk->service->images, want->name);
	struct desired_plan plan = { .name = want->name, .image = want };

	snprintf(plan.target, sizeof(plan.target), "images/%s", want->name);
	if (!image) {
		add_step(&plan, "pull");
	} else if (image->pull) {
		plan.operation = image_record_operation(image);
	} else if (image->msg->status->state != IMAGE_STATE(READY)) {
		add_step(&plan, "pull");
	} else {
		if (!LABELS_EQUAL(image->msg, want))
			add_step(&plan, "label");
		else if (!specs_equal(image->msg->spec, want->spec))
			say_wait(&plan,
				 "it was pulled from %.100s; an image's spec never changes: give "
				 "the new one another name, or delete it",
				 image->msg->spec->manifest_url);
	}
	if (plan.step_count && strcmp(plan.steps[0].verb, "pull") == 0 &&
	    walk->service->pulls >= IMAGE_PULLS_MAX)
		say_wait(&plan, "%u images are being pulled, which is the most at once",
			 walk->service->pulls);
	walk->each(walk->data, &plan);
}

/* A VM that is there, or is to be there, names it. */
static bool image_named(const struct walk *walk, const char *name)
{
	const Croft__V1__DesiredSpec *spec = walk->doc->msg->spec;

	for (size_t i = 0; i < spec->n_vms; i++)
		if (strcmp(spec->vms[i]->spec->image, name) == 0)
			return true;
	return false;
}

static void prune_image(struct walk *walk, const struct image_record *image)
{
	struct desired_plan plan = { .name = image->msg->name };

	if (table_find(&walk->doc->images, image->msg->name) || image_named(walk, image->msg->name))
		return;
	snprintf(plan.target, sizeof(plan.target), "images/%s", image->msg->name);
	add_step(&plan, "delete");
	for (size_t i = 0; i < walk->service->vms.count && !plan.wait[0]; i++) {
		const struct vm_record *vm = walk->service->vms.entries[i].record;

		if (strcmp(vm_record_image(vm), image->msg->name) == 0)
			say_wait(&plan, "VM \"%s\" has to be deleted first", vm->msg->name);
	}
	if (image->pull)
		plan.operation = image_record_operation(image);
	walk->each(walk->data, &plan);
}

/* --- VMs --- */

/* Something works on it already, on behalf of whoever: then it takes no step. */
static bool busy(const struct vm_record *vm)
{
	return vm->op ||
	       ((vm->run || vm_record_live(vm)) && vm->msg->status->state != STATE(RUNNING));
}

/* What it needs besides to be started, as the last step. */
static void plan_start(struct walk *walk, struct desired_plan *plan)
{
	const char *name = plan->vm->spec->image;
	const struct image_record *image = table_find(&walk->service->images, name);

	add_step(plan, "start");
	if (plan->step_count > 1)
		return;
	if (walk->service->node->msg->cordoned)
		say_wait(plan, "the node is cordoned by %s",
			 walk->service->node->msg->cordon_actor);
	else if (!image || !image_record_ready(image))
		say_wait(plan, "image \"%s\" is not READY", name);
}

static void say_pending(struct desired_plan *plan, const Croft__V1__VmStatus *status)
{
	size_t n = 0;

	for (size_t i = 0; i < status->n_pending && n < sizeof(plan->wait) / 2; i++)
		n += (size_t)snprintf(plan->wait + n, sizeof(plan->wait) - n, "%s%.60s",
				      i ? ", " : "", status->pending[i]);
	if (n && n < sizeof(plan->wait))
		snprintf(plan->wait + n, sizeof(plan->wait) - n, " wait%s for its next start",
			 status->n_pending > 1 ? "" : "s");
}

/* What changes of a VM that is there; true when a change waits, or would wait, for a restart. */
static bool plan_update(struct desired_plan *plan, const struct vm_record *vm)
{
	const Croft__V1__Vm want = desired_vm_view(plan->vm);
	unsigned int changes = vm_changes(vm->msg, &want);

	if (changes)
		add_step(plan, "update")->changes = changes;
	return vm_changes_waiting(vm->msg->spec, want.spec) || vm->msg->status->n_pending;
}

/* Its own restart policy says what follows when it has ended by itself: there are no two masters. */
static bool left_to_policy(struct desired_plan *plan, const struct vm_record *vm)
{
	const Croft__V1__RestartPolicy *policy = vm->msg->spec->restart;

	if (!policy || !policy->when)
		return false;
	switch (vm_restart_phase(vm)) {
	case RESTART_PHASE(WAITING):
		if (!plan->step_count)
			say_wait(plan, "its restart policy will start it again");
		return true;
	case RESTART_PHASE(LEFT_ALONE):
		if (!plan->step_count)
			say_wait(plan, "%.180s", vm->msg->status->message);
		return true;
	case RESTART_PHASE(DONE):
		return true;
	default:
		return false;
	}
}

static void plan_power(struct walk *walk, struct desired_plan *plan, const struct vm_record *vm,
		       bool stale)
{
	bool runs = vm->msg->status->state == STATE(RUNNING);

	if (plan->vm->power == POWER(OFF)) {
		if (runs || vm_restart_phase(vm) == RESTART_PHASE(WAITING))
			add_step(plan, "stop");
	} else if (runs && stale && plan->vm->restart_to_apply) {
		add_step(plan, "restart");
	} else if (!runs && plan->vm->power == POWER(ON) && !left_to_policy(plan, vm)) {
		if (vm->msg->status->exit_reason)
			plan->ended = vm_reason_name(vm);
		plan_start(walk, plan);
	} else if (runs && !plan->step_count) {
		say_pending(plan, vm->msg->status);
	}
}

static void plan_vm(struct walk *walk, const Croft__V1__DesiredVm *want)
{
	const struct vm_record *vm = table_find(&walk->service->vms, want->name);
	struct desired_plan plan = { .name = want->name, .vm = want };

	snprintf(plan.target, sizeof(plan.target), "vms/%s", want->name);
	if (!vm) {
		add_step(&plan, "create");
		if (!table_find(&walk->service->images, want->spec->image))
			say_wait(&plan, "there is no image \"%s\"", want->spec->image);
		if (want->power == POWER(ON))
			plan_start(walk, &plan);
	} else if (busy(vm)) {
		plan.operation = vm->msg->status->operation;
	} else {
		plan_power(walk, &plan, vm, plan_update(&plan, vm));
	}
	walk->each(walk->data, &plan);
}

static void prune_vm(struct walk *walk, const struct vm_record *vm)
{
	struct desired_plan plan = { .name = vm->msg->name };

	if (table_find(&walk->doc->vms, vm->msg->name))
		return;
	snprintf(plan.target, sizeof(plan.target), "vms/%s", vm->msg->name);
	if (busy(vm))
		plan.operation = vm->msg->status->operation;
	else if (vm->run)
		add_step(&plan, "stop");
	add_step(&plan, "delete");
	walk->each(walk->data, &plan);
}

/* --- All --- */

/*
 * `each` may change the tables of records; it does so once for an object at most, and what is skipped or seen twice because of
 * that is seen rightly at the next look.
 */
static void prune(struct walk *walk)
{
	struct table *vms = &walk->service->vms, *images = &walk->service->images;

	for (size_t i = vms->count; i > 0; i--)
		if (i <= vms->count)
			prune_vm(walk, vms->entries[i - 1].record);
	for (size_t i = images->count; i > 0; i--)
		if (i <= images->count)
			prune_image(walk, images->entries[i - 1].record);
}

void desired_plan_all(struct service *service, const struct desired_doc *doc, desired_each each,
		      void *data)
{
	struct walk walk = { .service = service, .doc = doc, .each = each, .data = data };
	const Croft__V1__DesiredSpec *spec = doc->msg->spec;

	plan_node(&walk);
	for (size_t i = 0; i < spec->n_images; i++)
		plan_image(&walk, spec->images[i]);
	if (spec->prune)
		prune(&walk);
	for (size_t i = 0; i < spec->n_vms; i++)
		plan_vm(&walk, spec->vms[i]);
}
