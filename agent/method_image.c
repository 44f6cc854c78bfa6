// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Images.

#include "agent/method.h"

#include "agent/image.h"
#include "agent/message.h"
#include "agent/page.h"

/* With the revision that the client asks for; 0 for one that only reads. */
static int find(struct service *service, const char *name, uint64_t if_match,
		struct image_record **out, struct error *err)
{
	*out = table_find(&service->images, name);
	if (!*out)
		return error_raise(err, ERROR_NOT_FOUND, "there is no image \"%.80s\"", name);
	return record_match(&(*out)->record, if_match, err);
}

void method_pull_image(struct service *service, struct call *call)
{
	const Croft__V1__PullImageRequest *request = (const void *)call->request;
	const Croft__V1__Image *image = request->image;
	struct operation *op;
	struct error error;
	int r;

	if (!image)
		r = error_raise_field(&error, "/image", "an image is required");
	else if (request->dry_run)
		r = image_check_pull(service, image, &error);
	else
		r = image_record_pull(service, image, call->who.actor, &op, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call,
			   request->dry_run
				   ? method_preview("pull", "images", image->name, call->who.actor)
				   : message_copy(&op->msg->base));
}

void method_get_image(struct service *service, struct call *call)
{
	const Croft__V1__GetImageRequest *request = (const void *)call->request;
	struct image_record *image = NULL;
	struct error error;
	int r = find(service, request->name, 0, &image, &error);

	method_answer(service, call, r, r == 0 ? message_copy(&image->msg->base) : NULL, &error);
}

void method_list_images(struct service *service, struct call *call)
{
	static const char *const fields[] = { "name", "state", "labels", NULL };

	method_list(service, call,
		    &(struct page_source){ .table = &service->images, .fields = fields });
}

void method_update_image(struct service *service, struct call *call)
{
	const Croft__V1__UpdateImageRequest *request = (const void *)call->request;
	const struct image_update change = { .wish = request->image,
					     .mask = request->update_mask,
					     .actor = call->who.actor,
					     .dry_run = request->dry_run };
	struct image_record *image = NULL;
	Croft__V1__Image *reply = NULL;
	struct error error;
	int r = request->image ? find(service, request->image->name, call->if_match, &image, &error)
			       : error_raise_field(&error, "/image", "an image is required");

	if (r == 0)
		r = image_record_update(service, image, &change, &reply, &error);
	method_answer(service, call, r, reply, &error);
}

void method_delete_image(struct service *service, struct call *call)
{
	const Croft__V1__DeleteImageRequest *request = (const void *)call->request;
	struct image_record *image = NULL;
	struct error error;
	void *reply = NULL;
	int r = find(service, request->name, call->if_match, &image, &error);

	if (r == 0)
		r = image_check_delete(service, image, &error);
	if (r == 0) {
		reply = message_copy(&image->msg->base);
		if (!reply)
			r = error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r == 0 && !request->dry_run)
		r = image_record_delete(service, image, call->who.actor, &error);
	method_answer(service, call, r, reply, &error);
}
