// SPDX-License-Identifier: Apache-2.0
// Images as records, and the pulls that fill them.

#include "agent/image.h"

#include <string.h>

#include "agent/blob.h"
#include "agent/config.h"
#include "agent/event.h"
#include "agent/image_fetch.h"
#include "agent/log.h"
#include "agent/mask.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/trash.h"
#include "agent/tuning.h"
#include "agent/validate.h"
#include "agent/vm.h"

/* One pull: the job, and copies of what its thread needs. */
struct image_pull {
	struct job job;
	struct image_record *image; /* service thread; stays while the pull runs */
	struct operation *op;	    /* service thread */
	struct image_fetch fetch;   /* its strings are the next ones */
	char *url, *sha256;
	atomic_bool suspended; /* the agent ends: the next one goes on with it */
	Croft__V1__ImageStatus *result;
	struct error error;
};

static struct image_pull *pull_free(struct image_pull *pull)
{
	if (!pull)
		return NULL;
	free(pull->url);
	free(pull->sha256);
	message_free(pull->result);
	free(pull);
	return NULL;
}

static struct image_record *image_record_free(struct image_record *image)
{
	if (!image)
		return NULL;
	message_free(image->msg);
	free(image);
	return NULL;
}

/* Takes the message, also when it fails; NULL without memory. */
static struct image_record *add(struct service *service, Croft__V1__Image *msg)
{
	struct image_record *image = calloc(1, sizeof(*image));

	if (!image) {
		message_free(msg);
		return NULL;
	}
	image->msg = msg;
	image->record = (struct record){ .kind = "image",
					 .name = msg->name,
					 .message = &msg->base,
					 .revision = &msg->revision };
	if (table_add(&service->images, msg->name, image) < 0)
		return image_record_free(image);
	return image;
}

bool image_record_ready(const struct image_record *image)
{
	return image->msg->status->state == CROFT__V1__IMAGE_STATUS__STATE__READY;
}

const char *image_record_operation(const struct image_record *image)
{
	return image->pull ? image->pull->op->msg->name : NULL;
}

static void set_state(struct service *service, struct image_record *image,
		      Croft__V1__ImageStatus__State state, const char *message)
{
	const ProtobufCEnumValue *value =
		protobuf_c_enum_descriptor_get_value(&croft__v1__image_status__state__descriptor,
						     (int)state);

	image->msg->status->state = state;
	message_set_string(&image->msg->status->message, message);
	record_touch(service, &image->record);
	event_emit(service, &(struct event_news){ .type = "image.state",
						  .collection = "images",
						  .object = image->msg->name,
						  .state = value->name,
						  .message = message,
						  .actor = image->pull ? image->pull->op->msg->actor
								       : NULL });
}

/* --- The blob store --- */

static bool blob_used(void *data, const char *sha256)
{
	const struct service *service = data;
	struct image_part parts[IMAGE_PARTS_MAX];

	for (size_t i = 0; i < service->images.count; i++) {
		const struct image_record *image = service->images.entries[i].record;
		size_t n = image_parts(image->msg->status, parts);

		for (size_t j = 0; j < n; j++)
			if (strcmp(parts[j].file->sha256, sha256) == 0)
				return true;
	}
	return false;
}

void image_sweep(struct service *service)
{
	/* A pull may have found a blob here that no record names yet, and writes drafts. */
	service->sweep_wanted = service->pulls > 0;
	if (service->sweep_wanted)
		return;
	blob_discard(service->blob_dir, blob_used, service);
	service_empty_trash(service);
}

static void sweep_deferred(struct service *service, struct deferred *deferred)
{
	free(deferred);
	image_sweep(service);
}

/* --- Pulls --- */

static void pull_work(struct job *job)
{
	struct image_pull *pull = CONTAINER_OF(job, struct image_pull, job);

	image_fetch(job, &pull->fetch, &pull->result, &pull->error);
}

static void pull_finish(struct service *service, struct job *job)
{
	struct image_pull *pull = CONTAINER_OF(job, struct image_pull, job);
	struct image_record *image = pull->image;
	bool failed = pull->error.code != ERROR_NONE;

	service->pulls--;
	if (failed && pull->error.code == ERROR_CANCELLED && atomic_load(&pull->suspended)) {
		/* The records stay as they are, for image_records_resume(). */
		image->pull = NULL;
		pull->op->job = NULL;
		pull_free(pull);
		return;
	}
	if (failed) {
		error_widen(&pull->error, "image \"%s\"", image->msg->name);
		set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED,
			  pull->error.message);
	} else {
		message_free(image->msg->status);
		image->msg->status = TAKE_PTR(pull->result);
		set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__READY, "");
	}
	image->pull = NULL;
	operation_end(service, pull->op, failed ? &pull->error : NULL);
	pull_free(pull);
	/* What a failed pull has brought before it failed is kept until no other pull could want it. */
	if (service->sweep_wanted || failed)
		image_sweep(service);
}

static struct image_pull *pull_new(struct service *service, const Croft__V1__ImageSpec *spec)
{
	struct image_pull *pull = calloc(1, sizeof(*pull));

	if (!pull)
		return NULL;
	pull->job.work = pull_work;
	pull->job.finish = pull_finish;
	pull->url = strdup(spec->manifest_url);
	pull->sha256 = strdup(spec->manifest_sha256);
	if (!pull->url || !pull->sha256)
		return pull_free(pull);
	pull->fetch = (struct image_fetch){ .manifest_url = pull->url,
					    .manifest_sha256 = pull->sha256,
					    .blob_dir = service->blob_dir,
					    .timeout = service->tuning->fetch_timeout,
					    .size_max = service->tuning->image_bytes_max,
					    .suspend = &pull->suspended };
	return pull;
}

/* The record of a first pull, or that of a failed one with the new spec and labels. */
static struct image_record *renew(struct service *service, struct image_record *old,
				  Croft__V1__Image *msg)
{
	char uid[RECORD_UID];

	if (!old) {
		record_uid(uid);
		message_set_string(&msg->uid, uid);
		message_set_now(&msg->create_time);
		return add(service, msg);
	}
	message_set_string(&msg->uid, old->msg->uid);
	message_free(msg->create_time);
	msg->create_time = TAKE_PTR(old->msg->create_time);
	msg->revision = old->msg->revision;
	table_remove(&service->images, old->msg->name);
	message_free(old->msg);
	old->msg = msg;
	old->record.name = msg->name;
	old->record.message = &msg->base;
	old->record.revision = &msg->revision;
	/* Cannot fail: the table has the room that the old name had. */
	table_add(&service->images, msg->name, old);
	return old;
}

int image_check_pull(struct service *service, const Croft__V1__Image *wish, struct error *err)
{
	const struct image_record *old;
	int r = validate_image(wish, err);

	if (r == 0)
		r = image_fetch_check_url("/spec/manifest_url", wish->spec->manifest_url, err);
	if (r < 0)
		return r;
	old = table_find(&service->images, wish->name);
	if (old && old->msg->status->state != CROFT__V1__IMAGE_STATUS__STATE__FAILED)
		return error_raise(err, ERROR_ALREADY_EXISTS, "image \"%s\" exists", wish->name);
	if (service->pulls >= IMAGE_PULLS_MAX)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				   "%u images are being pulled, which is the most at once",
				   service->pulls);
	return 0;
}

int image_record_pull(struct service *service, const Croft__V1__Image *wish, const char *actor,
		      struct operation **out, struct error *err)
{
	struct image_record *image;
	struct image_pull *pull;
	Croft__V1__Image *msg;
	struct operation *op;
	char target[NAME_MAX_LENGTH + 8];
	int r = image_check_pull(service, wish, err);

	if (r < 0)
		return r;
	msg = message_copy(&wish->base);
	if (!msg)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	message_free(msg->status);
	msg->status = message_new(&croft__v1__image_status__descriptor);
	pull = pull_new(service, msg->spec);
	snprintf(target, sizeof(target), "images/%s", msg->name);
	op = msg->status && pull ? operation_new(service, "pull", target, actor) : NULL;
	if (!op) {
		message_free(msg);
		pull_free(pull);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	image = renew(service, table_find(&service->images, msg->name), msg);
	r = image ? job_start(service, &pull->job, "pull", err)
		  : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (r < 0) {
		operation_end(service, op, err);
		if (image)
			set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED,
				  err->message);
		pull_free(pull);
		return r;
	}
	pull->image = image;
	pull->op = op;
	image->pull = pull;
	service->pulls++;
	set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__PULLING, "");
	operation_run(service, op, &pull->job);
	*out = op;
	return 0;
}

void image_records_stop(struct service *service)
{
	for (size_t i = 0; i < service->images.count; i++) {
		struct image_record *image = service->images.entries[i].record;

		if (!image->pull || atomic_load(&image->pull->job.cancel))
			continue;
		atomic_store(&image->pull->suspended, true);
		atomic_store(&image->pull->job.cancel, true);
	}
}

/* The operation of the pull that ran when the agent ended. */
static struct operation *operation_of(struct service *service, const char *image)
{
	char target[NAME_MAX_LENGTH + 8];

	snprintf(target, sizeof(target), "images/%s", image);
	for (size_t i = 0; i < service->operations.count; i++) {
		struct operation *op = service->operations.entries[i].record;

		if (!operation_ended(op) && strcmp(op->msg->verb, "pull") == 0 &&
		    strcmp(op->msg->target, target) == 0)
			return op;
	}
	return NULL;
}

static int resume(struct service *service, struct image_record *image, struct operation *op,
		  struct error *err)
{
	struct image_pull *pull = pull_new(service, image->msg->spec);
	int r = pull ? job_start(service, &pull->job, "pull", err)
		     : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");

	if (r < 0) {
		pull_free(pull);
		return r;
	}
	pull->image = image;
	pull->op = op;
	image->pull = pull;
	service->pulls++;
	operation_run(service, op, &pull->job);
	return 0;
}

void image_records_resume(struct service *service)
{
	for (size_t i = 0; i < service->images.count; i++) {
		struct image_record *image = service->images.entries[i].record;
		struct operation *op;
		struct error error;

		if (image->msg->status->state != CROFT__V1__IMAGE_STATUS__STATE__PULLING)
			continue;
		op = operation_of(service, image->msg->name);
		if (!op)
			error_raise(&error, ERROR_UNAVAILABLE,
				    "the agent ended while the image was pulled");
		else if (resume(service, image, op, &error) == 0)
			continue;
		set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED, error.message);
		operation_end(service, op, &error);
	}
}

/* --- Labels --- */

static bool differ(const Croft__V1__Image *a, const Croft__V1__Image *b, const char *field)
{
	return message_field_differs(&a->base, &b->base,
				     protobuf_c_message_descriptor_get_field_by_name(
					     &croft__v1__image__descriptor, field));
}

/* Puts labels of `merged` into the record, and takes the old ones out. */
static void take_labels(struct service *service, struct image_record *image,
			Croft__V1__Image *merged, const char *actor)
{
	Croft__V1__Image *msg = image->msg;
	Croft__V1__Image__LabelsEntry **labels = msg->labels;
	size_t n = msg->n_labels;

	if (!differ(msg, merged, "labels"))
		return;
	msg->labels = merged->labels;
	msg->n_labels = merged->n_labels;
	merged->labels = labels;
	merged->n_labels = n;
	record_touch(service, &image->record);
	event_emit(service, &(struct event_news){ .type = "image.updated",
						  .collection = "images",
						  .object = msg->name,
						  .message = "/labels",
						  .actor = actor });
}

int image_record_update(struct service *service, struct image_record *image,
			const struct image_update *update, Croft__V1__Image **out,
			struct error *err)
{
	/* The spec is let in to be compared: a whole image, as a PUT has it, carries it. */
	static const char *const parts[] = { "labels", "spec", NULL };
	Croft__V1__Image *merged = message_copy(&image->msg->base);
	int r = merged ? mask_apply(&merged->base, &update->wish->base, update->mask, parts, err)
		       : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");

	if (r == 0)
		r = validate_labels(&merged->base, err);
	if (r == 0 && differ(image->msg, merged, "spec"))
		r = error_raise_field(err, "/spec",
				      "an image's spec never changes: pull another name");
	if (r == 0 && !update->dry_run) {
		take_labels(service, image, merged, update->actor);
		message_free(merged);
		merged = message_copy(&image->msg->base);
		if (!merged)
			r = error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r < 0) {
		message_free(merged);
		return r;
	}
	*out = merged;
	return 0;
}

/* --- Deleting --- */

static const char *user_of(const struct service *service, const char *image)
{
	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;

		if (strcmp(vm_record_image(vm), image) == 0)
			return service->vms.entries[i].name;
	}
	return NULL;
}

int image_check_delete(const struct service *service, const struct image_record *image,
		       struct error *err)
{
	const char *user = user_of(service, image->msg->name);

	if (image->pull)
		return error_raise(err, ERROR_CONFLICT, "image \"%s\" is being pulled",
				   image->msg->name);
	if (user)
		return error_raise(err, ERROR_CONFLICT, "image \"%s\" is used by VM \"%s\"",
				   image->msg->name, user);
	return 0;
}

int image_record_delete(struct service *service, struct image_record *image, const char *actor,
			struct error *err)
{
	struct deferred *sweep;
	int r = image_check_delete(service, image, err);

	if (r < 0)
		return r;
	sweep = calloc(1, sizeof(*sweep));
	if (!sweep)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (record_forget(service, &image->record, err) < 0) {
		free(sweep);
		return -ENOMEM;
	}
	sweep->run = sweep_deferred;
	service_defer(service, sweep);
	table_remove(&service->images, image->msg->name);
	event_emit(service, &(struct event_news){ .type = "image.deleted",
						  .collection = "images",
						  .object = image->msg->name,
						  .actor = actor });
	log_info("images/%s: deleted", image->msg->name);
	image_record_free(image);
	return 0;
}

/* --- Loading --- */

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	Croft__V1__Image *msg = croft__v1__image__unpack(NULL, n, bytes);
	struct image_record *image;

	if (!msg || strcmp(msg->name, name) != 0 || !msg->status || !msg->spec) {
		message_free(msg);
		return error_raise(err, ERROR_DATA_LOSS, "image \"%s\" in the store is damaged",
				   name);
	}
	image = add(service, msg);
	if (!image)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return 0;
}

int image_records_load(struct service *service, struct error *err)
{
	return store_load(service->store, "image", load, service, err);
}

void image_records_free(struct service *service)
{
	for (size_t i = 0; i < service->images.count; i++)
		image_record_free(service->images.entries[i].record);
	table_clear(&service->images);
}
