// SPDX-License-Identifier: Apache-2.0
// Images as records: their states, labels and files; image_pull.c fills them.

#include "agent/image.h"

#include <string.h>

#include "agent/blob.h"
#include "agent/event.h"
#include "agent/image_state.h"
#include "agent/log.h"
#include "agent/mask.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/validate.h"
#include "agent/vm.h"

static struct image_record *image_record_free(struct image_record *image)
{
	if (!image)
		return NULL;
	message_free(image->msg);
	free(image);
	return NULL;
}

struct image_record *image_record_add(struct service *service, Croft__V1__Image *msg)
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

void image_set_state(struct service *service, struct image_record *image,
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
						  .actor = image_pull_actor(image) });
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
	image = image_record_add(service, msg);
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
