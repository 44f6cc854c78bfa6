// SPDX-License-Identifier: Apache-2.0
// What VMs, images and operations have in common: revisions and storing.

#include "agent/record.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "agent/state.h"

void record_uid(char out[RECORD_UID])
{
	unsigned char b[16] = { 0 };

	/* Cannot fail or be short for so few bytes, once the kernel's generator is seeded. */
	while (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, RECORD_UID,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

void record_touch(struct service *service, struct record *record)
{
	if (record->revision)
		*record->revision = ++service->revision;
	service->changes++;
	service->changed = true;
	if (record->dirty)
		return;
	record->dirty = true;
	record->next_dirty = service->dirty;
	service->dirty = record;
}

static void unlist(struct service *service, struct record *record)
{
	struct record **p = &service->dirty;

	if (!record->dirty)
		return;
	while (*p && *p != record)
		p = &(*p)->next_dirty;
	if (*p)
		*p = record->next_dirty;
	record->dirty = false;
}

int record_forget(struct service *service, struct record *record, struct error *err)
{
	if (store_delete(service->store, record->kind, record->name) < 0)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	unlist(service, record);
	service->changes++;
	service->changed = true;
	return 0;
}

int records_queue(struct service *service)
{
	struct record *r;

	if (!service->dirty)
		return 0;
	if (store_set_counter(service->store, "revision", service->revision) < 0 ||
	    store_set_counter(service->store, "operation", service->operation_number) < 0)
		return -ENOMEM;
	while ((r = service->dirty)) {
		if (store_put(service->store, r->kind, r->name, r->message) < 0)
			return -ENOMEM;
		service->dirty = r->next_dirty;
		r->dirty = false;
	}
	return 0;
}

int record_match(const struct record *record, uint64_t if_match, struct error *err)
{
	if (if_match == 0 || if_match == *record->revision)
		return 0;
	return error_raise(err, ERROR_PRECONDITION,
			   "%s \"%s\" has revision %" PRIu64 ", not %" PRIu64, record->kind,
			   record->name, *record->revision, if_match);
}
