// SPDX-License-Identifier: Apache-2.0
// The handler of croft.v1.Audit.

#include <inttypes.h>

#include "agent/audit.h"
#include "agent/filter.h"
#include "agent/message.h"
#include "agent/method.h"
#include "agent/page.h"

#define LOOK_MAX \
	2000u /* records at which one page looks in search of those that the filter lets through */

/* The number in a page's token, which is that of the page's last record; the first page begins behind the newest. */
static int parse_token(const struct service *service, const char *token, uint64_t *before,
		       struct error *err)
{
	char *end;

	*before = service->audit.newest + 1;
	if (!token[0])
		return 0;
	errno = 0;
	*before = strtoull(token, &end, 10);
	if (token[0] < '0' || token[0] > '9' || *end || errno)
		return error_raise_field(err, "/page_token",
					 "not a token that a list has answered");
	return 0;
}

/* Goes back from `before`; a page that the filter has left short still has a token when there is more to look at. */
static int fill(struct service *service, uint64_t before, size_t size, const struct filter *filter,
		Croft__V1__ListAuditRecordsResponse *reply)
{
	const struct ring *ring = &service->audit;
	uint64_t oldest = ring_oldest(ring), number = before;
	char token[24];

	if (number > ring->newest + 1)
		number = ring->newest + 1;
	for (unsigned int looks = 0; number > oldest && reply->n_records < size && looks < LOOK_MAX;
	     looks++) {
		Croft__V1__AuditRecord *record =
			ring_copy(ring, number - 1, &croft__v1__audit_record__descriptor);

		if (!record)
			return -ENOMEM;
		number--;
		if (filter_match(filter, &record->base))
			reply->records[reply->n_records++] = record;
		else
			message_free(record);
	}
	if (number <= oldest)
		return 0;
	snprintf(token, sizeof(token), "%" PRIu64, number);
	message_set_string(&reply->next_page_token, token);
	return reply->next_page_token[0] ? 0 : -ENOMEM;
}

static int list(struct service *service, const Croft__V1__ListAuditRecordsRequest *request,
		Croft__V1__ListAuditRecordsResponse *reply, struct error *err)
{
	static const char *const fields[] = { "actor", "method", "target", "code", NULL };
	size_t size = request->page_size ? request->page_size : PAGE_SIZE_DEFAULT;
	struct filter filter;
	uint64_t before = 0;
	int r = 0;

	if (size > PAGE_SIZE_MAX)
		r = error_raise_field(err, "/page_size", "%u: 1 to %u are allowed",
				      request->page_size, PAGE_SIZE_MAX);
	if (r == 0)
		r = parse_token(service, request->page_token, &before, err);
	if (r == 0)
		r = filter_parse(&filter, request->filter, fields, err);
	if (r < 0)
		return r;
	reply->records = calloc(size, sizeof(*reply->records));
	if (!reply->records || fill(service, before, size, &filter, reply) < 0)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	return 0;
}

void method_list_audit_records(struct service *service, struct call *call)
{
	Croft__V1__ListAuditRecordsResponse *reply =
		message_new(&croft__v1__list_audit_records_response__descriptor);
	struct error error;
	int r = reply ? list(service, (const void *)call->request, reply, &error)
		      : error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");

	if (r < 0) {
		message_free(reply);
		call_fail(service, call, &error);
	} else {
		call_reply(service, call, reply);
	}
}
