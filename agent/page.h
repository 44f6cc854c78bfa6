/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: one page of a table's records that a filter lets through, as the reply of the list's method.
 */
#ifndef CROFT_AGENT_PAGE_H
#define CROFT_AGENT_PAGE_H

#include <protobuf-c/protobuf-c.h>

#include "agent/table.h"
#include "vmm/base.h"

#define PAGE_SIZE_DEFAULT 100u
#define PAGE_SIZE_MAX	  1000u

/* What is listed. Each entry of the table must begin with a struct record. */
struct page_source {
	const struct table *table;
	const char *const *fields;    /* of the filter, up to a NULL */
	void (*refresh)(void *entry); /* brings an entry's message up to date; or NULL */
};

/*
 * The reply of `type`, whose fields 1 and 2 are the objects and next_page_token, to a request whose fields 1 to 3 are
 * page_size, page_token and filter. Copies what is answered and nothing else; walks to the first object behind the page.
 * A token is the name of the last object, so a list may change between pages, and no object that stays is missed.
 * Errors: INVALID_ARGUMENT on /page_size, /page_token or /filter, RESOURCE_EXHAUSTED.
 */
int page_reply(ProtobufCMessage **out, const struct page_source *source,
	       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
	       struct error *err);

#endif
