// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Images.

#include "agent/method.h"

#include "agent/image.h"
#include "agent/message.h"

static struct image_record *find(struct service *service, const char *name, struct error *err)
{
	struct image_record *image = table_find(&service->images, name);

	if (!image)
		error_raise(err, ERROR_NOT_FOUND, "there is no image \"%.80s\"", name);
	return image;
}

void method_pull_image(struct service *service, struct call *call)
{
	const Croft__V1__PullImageRequest *request = (const void *)call->request;
	struct operation *op;
	struct error error;
	int r;

	if (!request->image)
		r = error_raise(&error, ERROR_INVALID_ARGUMENT, "an image is required");
	else
		r = image_record_pull(service, request->image, call->actor, &op, &error);
	if (r < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&op->msg->base));
}

void method_get_image(struct service *service, struct call *call)
{
	const Croft__V1__GetImageRequest *request = (const void *)call->request;
	struct error error;
	struct image_record *image = find(service, request->name, &error);

	if (!image)
		call_fail(service, call, &error);
	else
		call_reply(service, call, message_copy(&image->msg->base));
}

static Croft__V1__ListImagesResponse *list(struct service *service, const struct page *page)
{
	Croft__V1__ListImagesResponse *reply =
		message_new(&croft__v1__list_images_response__descriptor);

	if (!reply)
		return NULL;
	reply->images = calloc(page->count ? page->count : 1, sizeof(*reply->images));
	if (!reply->images)
		return message_free(reply);
	for (size_t i = 0; i < page->count; i++) {
		const struct image_record *image = service->images.entries[page->first + i].record;

		reply->images[i] = message_copy(&image->msg->base);
		if (!reply->images[i])
			return message_free(reply);
		reply->n_images++;
	}
	if (page->more)
		message_set_string(&reply->next_page_token, reply->images[page->count - 1]->name);
	return reply;
}

void method_list_images(struct service *service, struct call *call)
{
	const Croft__V1__ListImagesRequest *request = (const void *)call->request;
	struct error error;
	struct page page;

	if (page_of(&page, &service->images, request->page_size, request->page_token, &error) < 0)
		call_fail(service, call, &error);
	else
		call_reply(service, call, list(service, &page));
}

void method_delete_image(struct service *service, struct call *call)
{
	const Croft__V1__DeleteImageRequest *request = (const void *)call->request;
	struct error error;
	struct image_record *image = find(service, request->name, &error);
	void *reply = NULL;
	int r = image ? record_match(&image->record, call->if_match, &error) : -ENOENT;

	if (r == 0) {
		reply = message_copy(&image->msg->base);
		r = reply ? image_record_delete(service, image, call->actor, &error)
			  : error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (r < 0) {
		message_free(reply);
		call_fail(service, call, &error);
	} else {
		call_reply(service, call, reply);
	}
}
