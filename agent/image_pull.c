// SPDX-License-Identifier: Apache-2.0
// Pulls of images: the job, the operation, and how the next agent goes on with them.

#include "agent/image.h"

#include <string.h>

#include "agent/image_fetch.h"
#include "agent/image_state.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/tuning.h"
#include "agent/validate.h"

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

const char *image_record_operation(const struct image_record *image)
{
	return image->pull ? image->pull->op->msg->name : NULL;
}

const char *image_pull_actor(const struct image_record *image)
{
	return image->pull ? image->pull->op->msg->actor : NULL;
}

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
		image_set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED,
				pull->error.message);
	} else {
		message_free(image->msg->status);
		image->msg->status = TAKE_PTR(pull->result);
		image_set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__READY, "");
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

/* The job of a pull, which is the caller's to free when that fails; one that goes on is PULLING already. */
static int begin(struct service *service, struct image_pull *pull, struct image_record *image,
		 struct operation *op, struct error *err)
{
	int r = job_start(service, &pull->job, "pull", err);

	if (r < 0)
		return r;
	pull->image = image;
	pull->op = op;
	image->pull = pull;
	service->pulls++;
	if (image->msg->status->state != CROFT__V1__IMAGE_STATUS__STATE__PULLING)
		image_set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__PULLING, "");
	operation_run(service, op, &pull->job);
	return 0;
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
		return image_record_add(service, msg);
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
	r = image ? begin(service, pull, image, op, err)
		  : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (r < 0) {
		operation_end(service, op, err);
		if (image)
			image_set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED,
					err->message);
		pull_free(pull);
		return r;
	}
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
	int r = pull ? begin(service, pull, image, op, err)
		     : error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");

	if (r < 0)
		pull_free(pull);
	return r;
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
		image_set_state(service, image, CROFT__V1__IMAGE_STATUS__STATE__FAILED,
				error.message);
		operation_end(service, op, &error);
	}
}
