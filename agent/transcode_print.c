// SPDX-License-Identifier: Apache-2.0
// Messages to JSON.

#include "agent/transcode.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "agent/transcode_text.h"

/* 15 digits are what a double holds in any case; more would print 0.1 as 0.10000000000000001. */
#define PRINT_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))
#define ROOM_FIRST  2048u

static json_t *print_message(const ProtobufCMessage *message);

/* Strings that came from a file, a guest or another library may be anything. */
static json_t *print_string(const char *text)
{
	_cleanup_free_ char *copy = text_utf8_copy(text);

	return copy ? json_string_nocheck(copy) : NULL;
}

static json_t *print_u64(uint64_t value)
{
	/* jansson's integers are signed; what they don't hold keeps its magnitude. */
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

static json_t *print_real(double value)
{
	/* Only an array has such a member; its place must be kept. */
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *print_enum(const ProtobufCEnumDescriptor *type, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);

	return value ? json_string(value->name) : json_integer(number);
}

static json_t *print_bytes(const ProtobufCBinaryData *bytes)
{
	char *text = text_print_base64(bytes->data, bytes->len);
	json_t *json = text ? json_string_nocheck(text) : NULL;

	free(text);
	return json;
}

static json_t *print_submessage(const ProtobufCMessage *message)
{
	char text[TEXT_MAX];

	if (message->descriptor == &google__protobuf__timestamp__descriptor)
		return text_print_time(text, (const void *)message) ? json_string_nocheck(text)
								    : json_null();
	if (message->descriptor == &google__protobuf__duration__descriptor)
		return text_print_duration(text, (const void *)message) ? json_string_nocheck(text)
									: json_null();
	return print_message(message);
}

static json_t *print_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return print_u64(*(const uint64_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_integer(*(const int64_t *)value);
	case PROTOBUF_C_TYPE_FLOAT:
		return print_real((double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return print_real(*(const double *)value);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_ENUM:
		return print_enum(field->descriptor, *(const int *)value);
	case PROTOBUF_C_TYPE_STRING:
		return print_string(*(char *const *)value);
	case PROTOBUF_C_TYPE_BYTES:
		return print_bytes(value);
	case PROTOBUF_C_TYPE_MESSAGE:
		return print_submessage(*(ProtobufCMessage *const *)value);
	default:
		return json_integer(*(const int32_t *)value);
	}
}

static const void *element(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			   size_t i)
{
	return *(char *const *)((const char *)message + field->offset) +
	       i * transcode_element_size(field->type);
}

static json_t *print_array(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			   size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		/* json_array_append_new() refuses NULL and frees the value when it fails. */
		if (json_array_append_new(array, print_value(field, element(field, message, i)))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *print_map(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			 size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < n; i++) {
		const ProtobufCMessage *entry =
			*(ProtobufCMessage *const *)element(field, message, i);
		const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
		_cleanup_free_ char *key =
			text_utf8_copy(*(char *const *)((const char *)entry + fields[0].offset));
		json_t *value = print_value(&fields[1], (const char *)entry + fields[1].offset);

		/* json_object_set_new() refuses NULL as key and as value, and frees the value when it fails. */
		if (json_object_set_new_nocheck(object, key, value)) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Readers look for these even when they have their default value. */
static bool always_there(const ProtobufCFieldDescriptor *field)
{
	static const char *const answers[] = { "ok", "status", "in_sync", "cordoned" };

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (field->type == PROTOBUF_C_TYPE_BOOL && strcmp(field->name, answers[i]) == 0)
			return true;
	return strcmp(field->name, "revision") == 0 ||
	       (field->type == PROTOBUF_C_TYPE_ENUM && strcmp(field->name, "state") == 0);
}

/* JSON has neither infinity nor NaN, so these are left out like 0. */
static bool is_nothing(double value)
{
	return !isfinite(value) || fpclassify(value) == FP_ZERO;
}

static bool is_default(const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return !*(char *const *)value || !**(char *const *)value;
	case PROTOBUF_C_TYPE_BYTES:
		return !((const ProtobufCBinaryData *)value)->len;
	case PROTOBUF_C_TYPE_MESSAGE:
		return !*(ProtobufCMessage *const *)value;
	case PROTOBUF_C_TYPE_FLOAT:
		return is_nothing((double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return is_nothing(*(const double *)value);
	default:
		if (transcode_element_size(field->type) == sizeof(uint64_t))
			return !*(const uint64_t *)value;
		return !*(const uint32_t *)value;
	}
}

/* NULL with *ok true: left out. */
static json_t *print_field(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message,
			   bool *ok)
{
	const void *value = (const char *)message + field->offset;
	json_t *json;

	assert(!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF));
	*ok = true;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n = *(const size_t *)(const void *)((const char *)message +
							   field->quantifier_offset);

		if (!n)
			return NULL;
		json = transcode_is_map(message->descriptor, field)
			       ? print_map(field, message, n)
			       : print_array(field, message, n);
	} else {
		if (is_default(field, value) && !always_there(field))
			return NULL;
		json = print_value(field, value);
	}
	*ok = json != NULL;
	return json;
}

static json_t *print_message(const ProtobufCMessage *message)
{
	json_t *object = json_object();
	bool ok = object != NULL;

	for (unsigned int i = 0; ok && i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		json_t *json = print_field(field, message, &ok);

		if (json && json_object_set_new_nocheck(object, field->name, json))
			ok = false;
	}
	if (ok)
		return object;
	json_decref(object);
	return NULL;
}

/* Its text, with room for two bytes behind it; NULL without memory. One that is longer than most is written twice. */
static char *dump(json_t *json, size_t *n)
{
	size_t room = ROOM_FIRST, written;
	char *text = malloc(room + 2), *more;

	*n = text ? json_dumpb(json, text, room, PRINT_FLAGS) : 0;
	written = *n <= room ? *n : 0;
	if (*n > room && (more = realloc(text, *n + 2))) {
		text = more;
		written = json_dumpb(json, text, *n, PRINT_FLAGS);
	}
	if (*n && written == *n)
		return text;
	free(text);
	return NULL;
}

int transcode_print(char **out, size_t *size, const ProtobufCMessage *message, struct error *err)
{
	json_t *json = print_message(message);
	size_t n = 0;
	char *text = json ? dump(json, &n) : NULL;

	json_decref(json);
	if (!text)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				   "out of memory for an answer in JSON");
	text[n] = '\n';
	text[n + 1] = '\0';
	*out = text;
	*size = n + 1;
	return 0;
}
