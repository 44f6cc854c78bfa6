// SPDX-License-Identifier: Apache-2.0
// Filters of lists: parsed once for a request, and held against each object by protobuf-c's descriptors.

#include "agent/filter.h"

#include <assert.h>
#include <string.h>

#define LABELS "labels"

static_assert(FILTER_TEXT_MAX <= UINT16_MAX, "places in the text fit");

/* --- Parsing --- */

static bool is_listed(const char *const *fields, const char *name)
{
	for (; *fields; fields++)
		if (strcmp(*fields, name) == 0)
			return true;
	return false;
}

static int raise_field(const char *name, const char *const *fields, struct error *err)
{
	char known[160] = "";
	size_t n = 0;

	for (; *fields && n < sizeof(known); fields++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s%s", n ? ", " : "",
				      *fields, strcmp(*fields, LABELS) == 0 ? ".KEY" : "");
	return error_raise_field(err, "/filter", "\"%.40s\" is none of %s", name, known);
}

/* One term, which ends with a NUL; it is cut into name and value. */
static int parse_term(struct filter *f, char *term, const char *const *fields, struct error *err)
{
	struct filter_term t = { .test = FILTER_PRESENT };
	char *equals = strchr(term, '=');

	if (equals) {
		t.test = FILTER_EQUAL;
		t.value = (uint16_t)(equals + 1 - f->text);
		*equals = '\0';
		if (equals > term && equals[-1] == '!') {
			t.test = FILTER_UNEQUAL;
			equals[-1] = '\0';
		}
	}
	if (strncmp(term, LABELS ".", sizeof(LABELS)) == 0 && is_listed(fields, LABELS)) {
		t.label = true;
		term += sizeof(LABELS);
	}
	if (!term[0])
		return error_raise_field(err, "/filter", "a term has no name: FIELD=VALUE is one");
	if (!t.label && (!is_listed(fields, term) || strcmp(term, LABELS) == 0))
		return raise_field(term, fields, err);
	if (!t.label && t.test == FILTER_PRESENT)
		return error_raise_field(err, "/filter", "\"%.40s\" needs =VALUE or !=VALUE", term);
	if (f->count == FILTER_TERMS_MAX)
		return error_raise_field(err, "/filter", "at most %u terms are allowed",
					 FILTER_TERMS_MAX);
	t.name = (uint16_t)(term - f->text);
	f->terms[f->count++] = t;
	return 0;
}

int filter_parse(struct filter *out, const char *text, const char *const *fields, struct error *err)
{
	struct filter f = { .count = 0 };
	size_t n = strlen(text);
	char *term = f.text;
	int r = 0;

	if (n > FILTER_TEXT_MAX)
		return error_raise_field(err, "/filter", "%zu bytes: at most %u are allowed", n,
					 FILTER_TEXT_MAX);
	memcpy(f.text, text, n);
	while (n > 0 && term && r == 0) {
		char *comma = strchr(term, ',');

		if (comma)
			*comma++ = '\0';
		r = parse_term(&f, term, fields, err);
		term = comma;
	}
	if (r == 0)
		*out = f;
	return r;
}

/* --- Matching --- */

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessage *m, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
}

static const void *member(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	return (const char *)m + field->offset;
}

static const char *text_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	const ProtobufCEnumValue *value;
	char *const *string = member(m, field);
	const int *number = member(m, field);

	assert(field->label != PROTOBUF_C_LABEL_REPEATED);
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return *string ? *string : "";
	assert(field->type == PROTOBUF_C_TYPE_ENUM);
	value = protobuf_c_enum_descriptor_get_value(field->descriptor, *number);
	return value && *number ? value->name : "";
}

/* "" when no part has it. */
static const char *find_text(const ProtobufCMessage *m, const char *name)
{
	static const char *const parts[] = { "status", "spec" };
	const ProtobufCFieldDescriptor *field = field_of(m, name);

	if (field)
		return text_of(m, field);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const ProtobufCFieldDescriptor *part = field_of(m, parts[i]);
		const ProtobufCMessage *const *inner;

		if (!part || part->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		inner = member(m, part);
		field = protobuf_c_message_descriptor_get_field_by_name(part->descriptor, name);
		if (field)
			return *inner ? text_of(*inner, field) : "";
	}
	return "";
}

/* NULL when it is not there. */
static const char *find_label(const ProtobufCMessage *m, const char *key)
{
	const ProtobufCFieldDescriptor *field = field_of(m, LABELS);
	const ProtobufCMessage *const *entries;
	size_t count;

	if (!field)
		return NULL;
	memcpy(&entries, member(m, field), sizeof(entries));
	memcpy(&count, (const char *)m + field->quantifier_offset, sizeof(count));
	for (size_t i = 0; i < count; i++) {
		const ProtobufCMessageDescriptor *entry = entries[i]->descriptor;

		if (strcmp(text_of(entries[i], &entry->fields[0]), key) == 0)
			return text_of(entries[i], &entry->fields[1]);
	}
	return NULL;
}

static bool term_holds(const struct filter *f, const struct filter_term *t,
		       const ProtobufCMessage *m)
{
	const char *name = f->text + t->name;
	const char *text = t->label ? find_label(m, name) : find_text(m, name);

	if (t->test == FILTER_PRESENT)
		return text != NULL;
	return (text && strcmp(text, f->text + t->value) == 0) == (t->test == FILTER_EQUAL);
}

bool filter_match(const struct filter *filter, const ProtobufCMessage *message)
{
	for (size_t i = 0; i < filter->count; i++)
		if (!term_holds(filter, &filter->terms[i], message))
			return false;
	return true;
}
