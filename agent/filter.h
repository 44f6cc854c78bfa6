/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of lists: "state=RUNNING,labels.tier!=test,labels.owner", terms that must all hold.
 */
#ifndef CROFT_AGENT_FILTER_H
#define CROFT_AGENT_FILTER_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

#define FILTER_TEXT_MAX	 1024u /* bytes */
#define FILTER_TERMS_MAX 16u

enum filter_test { FILTER_EQUAL, FILTER_UNEQUAL, FILTER_PRESENT };

/* Places in the filter's text, so that a filter can be copied. */
struct filter_term {
	enum filter_test test;
	bool label; /* `name` is a label's key, else a field */
	uint16_t name, value;
};

struct filter {
	char text[FILTER_TEXT_MAX + 1];
	struct filter_term terms[FILTER_TERMS_MAX];
	size_t count; /* 0: everything matches */
};

/*
 * `fields` are the names that may be used, up to a NULL; "labels" allows labels.KEY. Terms are FIELD=VALUE, FIELD!=VALUE,
 * and labels.KEY alone for one that is there. A value has no comma. Errors: INVALID_ARGUMENT on /filter, which names the
 * term, and the field that is unknown.
 */
int filter_parse(struct filter *out, const char *text, const char *const *fields,
		 struct error *err);

/*
 * Looks for each field in the message, then in its `status`, then in its `spec`; an enum is compared by name, an absent part
 * is "". A label that is not there differs from every value. The fields that filter_parse() allowed must be strings or enums.
 */
bool filter_match(const struct filter *filter, const ProtobufCMessage *message);

#endif
