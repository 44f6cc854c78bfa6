// SPDX-License-Identifier: Apache-2.0
// Single fields of messages by name, and what descriptors say about them.

#include "agent/transcode.h"

#include <assert.h>
#include <string.h>

#include "agent/transcode_text.h"

size_t transcode_element_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return sizeof(uint32_t);
	}
}

/* protoc names the entries of map field `some_labels` "SomeLabelsEntry" inside the message; nothing else may be. */
bool transcode_is_map(const ProtobufCMessageDescriptor *parent,
		      const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = field->descriptor;
	size_t n = strlen(parent->name);
	bool upper = true;
	const char *s;

	if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
		return false;
	if (strncmp(entry->name, parent->name, n) != 0 || entry->name[n] != '.')
		return false;
	s = entry->name + n + 1;
	for (const char *p = field->name; *p; p++) {
		char c = upper && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;

		upper = *p == '_';
		if (!upper && *s++ != c)
			return false;
	}
	if (strcmp(s, "Entry") != 0)
		return false;
	assert(entry->n_fields == 2 && entry->fields[0].type == PROTOBUF_C_TYPE_STRING);
	return true;
}

void transcode_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	void **slot = (void **)((char *)message + field->offset);

	if (field->type == PROTOBUF_C_TYPE_STRING) {
		if (*slot != field->default_value)
			free(*slot);
		*slot = (void *)(uintptr_t)field->default_value;
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		protobuf_c_message_free_unpacked(*slot, NULL);
		*slot = NULL;
	}
}

static const ProtobufCFieldDescriptor *find(const ProtobufCMessage *message, const char *name,
					    ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

	return field && field->type == type && field->label != PROTOBUF_C_LABEL_REPEATED ? field
											 : NULL;
}

void transcode_attach(ProtobufCMessage *message, const char *name, ProtobufCMessage *value)
{
	const ProtobufCFieldDescriptor *field = find(message, name, PROTOBUF_C_TYPE_MESSAGE);
	ProtobufCMessage **slot;

	assert(field && field->descriptor == value->descriptor);
	slot = (ProtobufCMessage **)(void *)((char *)message + field->offset);
	assert(!*slot);
	*slot = value;
}

int transcode_set_bytes(ProtobufCMessage *message, const char *name, const void *data, size_t size,
			struct error *err)
{
	const ProtobufCFieldDescriptor *field = find(message, name, PROTOBUF_C_TYPE_BYTES);
	ProtobufCBinaryData *bytes;
	uint8_t *copy;

	assert(field);
	copy = malloc(size ? size : 1);
	if (!copy)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (size)
		memcpy(copy, data, size);
	bytes = (ProtobufCBinaryData *)(void *)((char *)message + field->offset);
	free(bytes->data);
	bytes->data = copy;
	bytes->len = size;
	return 0;
}

const char *transcode_string(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field = find(message, name, PROTOBUF_C_TYPE_STRING);

	return field ? *(char *const *)((const char *)message + field->offset) : NULL;
}

uint64_t transcode_u64(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field = find(message, name, PROTOBUF_C_TYPE_UINT64);

	return field ? *(const uint64_t *)(const void *)((const char *)message + field->offset) : 0;
}

static int check_message(const ProtobufCMessage *message, struct pointer *at, struct error *err);

static int check_value(const ProtobufCFieldDescriptor *field, const void *value, struct pointer *at,
		       struct error *err)
{
	const void *p = *(void *const *)value;

	if (!p)
		return 0;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return check_message(p, at, err);
	if (text_is_utf8(p, strlen(p)))
		return 0;
	return error_raise_field(err, at->text, "is not UTF-8");
}

static int check_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
		       struct pointer *at, struct error *err)
{
	const char *value = (const char *)message + field->offset;
	size_t n;

	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return check_value(field, value, at, err);
	n = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
	value = n ? *(char *const *)(const void *)value : NULL;
	for (size_t i = 0; i < n; i++) {
		size_t back = pointer_index(at, i);
		int rc = check_value(field, value + i * sizeof(void *), at, err);

		if (rc)
			return rc;
		pointer_back(at, back);
	}
	return 0;
}

/* Whether the field has a value: the members of a oneof share one place. */
static bool is_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
	       *(const uint32_t *)(const void *)((const char *)message +
						 field->quantifier_offset) == field->id;
}

static int check_message(const ProtobufCMessage *message, struct pointer *at, struct error *err)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		size_t back;
		int rc;

		if ((field->type != PROTOBUF_C_TYPE_STRING &&
		     field->type != PROTOBUF_C_TYPE_MESSAGE) ||
		    !is_member(message, field))
			continue;
		back = pointer_key(at, field->name, strlen(field->name));
		rc = check_field(message, field, at, err);
		if (rc)
			return rc;
		pointer_back(at, back);
	}
	return 0;
}

int transcode_check(const ProtobufCMessage *message, struct error *err)
{
	struct pointer at = { 0 };

	return check_message(message, &at, err);
}
