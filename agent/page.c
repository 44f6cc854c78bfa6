// SPDX-License-Identifier: Apache-2.0
// Lists: one page of a table's records, for every kind of list at once by protobuf-c's descriptors.

#include "agent/page.h"

#include <assert.h>
#include <string.h>

#include "agent/filter.h"
#include "agent/message.h"
#include "agent/record.h"
#include "croft/v1/vm.pb-c.h"

#define PAGE_TOKEN_MAX 128u

/* The structs of all list requests, and of all replies, are laid out alike; protos are read as this one. */
typedef Croft__V1__ListVmsRequest list_request;
typedef Croft__V1__ListVmsResponse list_reply;

static bool fields_are(const ProtobufCMessageDescriptor *type,
		       const ProtobufCMessageDescriptor *like)
{
	for (unsigned int i = 0; i < like->n_fields; i++)
		if (i >= type->n_fields || type->fields[i].type != like->fields[i].type ||
		    type->fields[i].label != like->fields[i].label ||
		    type->fields[i].offset != like->fields[i].offset)
			return false;
	return true;
}

static const ProtobufCMessage *message_of(const struct page_source *source, size_t i)
{
	struct record *record = source->table->entries[i].record;

	if (source->refresh)
		source->refresh(record);
	return record->message;
}

/* Takes the reply, also when it fails. */
static int fill(list_reply *reply, const struct page_source *source, const struct filter *filter,
		size_t first, size_t size)
{
	const struct table *table = source->table;
	const char *last = "";

	for (size_t i = first; i < table->count; i++) {
		const ProtobufCMessage *message = message_of(source, i);
		void *copy;

		if (!filter_match(filter, message))
			continue;
		if (reply->n_vms == size) {
			message_set_string(&reply->next_page_token, last);
			return reply->next_page_token[0] ? 0 : -ENOMEM;
		}
		copy = message_copy(message);
		if (!copy)
			return -ENOMEM;
		reply->vms[reply->n_vms++] = copy;
		last = table->entries[i].name;
	}
	return 0;
}

int page_reply(ProtobufCMessage **out, const struct page_source *source,
	       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
	       struct error *err)
{
	const list_request *asked = (const void *)request;
	size_t size = asked->page_size ? asked->page_size : PAGE_SIZE_DEFAULT;
	struct filter filter;
	list_reply *reply;
	int r;

	assert(fields_are(request->descriptor, &croft__v1__list_vms_request__descriptor));
	assert(fields_are(type, &croft__v1__list_vms_response__descriptor));
	if (size > PAGE_SIZE_MAX)
		return error_raise_field(err, "/page_size", "%u: 1 to %u are allowed",
					 asked->page_size, PAGE_SIZE_MAX);
	if (strlen(asked->page_token) > PAGE_TOKEN_MAX)
		return error_raise_field(err, "/page_token",
					 "not a token that a list has answered");
	r = filter_parse(&filter, asked->filter, source->fields, err);
	if (r < 0)
		return r;
	reply = message_new(type);
	if (reply)
		reply->vms = calloc(size, sizeof(*reply->vms));
	if (!reply || !reply->vms ||
	    fill(reply, source, &filter,
		 asked->page_token[0] ? table_after(source->table, asked->page_token) : 0,
		 size) < 0) {
		message_free(reply);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	*out = &reply->base;
	return 0;
}
