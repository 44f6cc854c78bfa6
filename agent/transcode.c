// SPDX-License-Identifier: Apache-2.0
// JSON to messages: walks a JSON tree along protobuf-c's descriptors.

#include "agent/transcode.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "agent/message.h"
#include "agent/transcode_read.h"

static int read_message(struct reader *r, ProtobufCMessage *message, json_t *json);

int reader_refuse(struct reader *r, const char *what)
{
	return error_raise_field(r->err, r->at.text, "%s%s", r->at.len ? "" : "the body ", what);
}

static int no_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

static int read_integer(struct reader *r, json_t *json, int64_t min, int64_t max, int64_t *out)
{
	json_int_t value;

	if (!json_is_integer(json))
		return reader_refuse(r, json_is_real(json)
						? "must be an integer, without fraction or exponent"
						: "must be an integer");
	value = json_integer_value(json);
	if (value < min || value > max)
		return error_raise_field(r->err, r->at.text,
					 "%" PRId64 " is not between %" PRId64 " and %" PRId64,
					 (int64_t)value, min, max);
	*out = value;
	return 0;
}

static int read_number(struct reader *r, ProtobufCType type, json_t *json, void *out)
{
	int64_t value;
	int rc;

	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		rc = read_integer(r, json, 0, UINT32_MAX, &value);
		if (!rc)
			*(uint32_t *)out = (uint32_t)value;
		return rc;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		rc = read_integer(r, json, 0, INT64_MAX, &value);
		if (!rc)
			*(uint64_t *)out = (uint64_t)value;
		return rc;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return read_integer(r, json, INT64_MIN, INT64_MAX, out);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!json_is_number(json))
			return reader_refuse(r, "must be a number");
		if (type == PROTOBUF_C_TYPE_DOUBLE)
			*(double *)out = json_number_value(json);
		else
			*(float *)out = (float)json_number_value(json);
		return 0;
	default:
		rc = read_integer(r, json, INT32_MIN, INT32_MAX, &value);
		if (!rc)
			*(int32_t *)out = (int32_t)value;
		return rc;
	}
}

static int read_enum(struct reader *r, const ProtobufCEnumDescriptor *type, const char *name,
		     int *out)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(type, name);
	char all[256] = "";

	if (value) {
		*out = value->value;
		return 0;
	}
	for (unsigned int i = 0; i < type->n_values; i++)
		/* The value that stands for none is said by leaving the key out. */
		if (!strstr(type->values[i].name, "_UNSPECIFIED"))
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
				 all[0] ? ", " : "", type->values[i].name);
	return error_raise_field(r->err, r->at.text, "unknown value \"%.64s\": one of %s", name,
				 all);
}

static int read_string(struct reader *r, json_t *json, char **out)
{
	if (!json_is_string(json))
		return reader_refuse(r, "must be a string");
	*out = strdup(json_string_value(json));
	return *out ? 0 : no_memory(r->err);
}

static int read_bytes(struct reader *r, json_t *json, ProtobufCBinaryData *out)
{
	if (!json_is_string(json))
		return reader_refuse(r, "must be a string of base64");
	out->data = text_parse_base64(json_string_value(json), json_string_length(json), &out->len);
	if (out->data)
		return 0;
	return errno == ENOMEM ? no_memory(r->err)
			       : reader_refuse(r, "is not base64 (RFC 4648, with padding)");
}

/* Times and durations are strings, all other messages objects. */
static int read_submessage(struct reader *r, const ProtobufCMessageDescriptor *type, json_t *json,
			   void **out)
{
	ProtobufCMessage *m = message_new(type);
	int rc = 0;

	if (!m)
		return no_memory(r->err);
	if (type == &google__protobuf__timestamp__descriptor) {
		if (!json_is_string(json) || !text_parse_time((void *)m, json_string_value(json)))
			rc = reader_refuse(r, "must be a time such as \"2024-01-31T12:00:00Z\"");
	} else if (type == &google__protobuf__duration__descriptor) {
		if (!json_is_string(json) ||
		    !text_parse_duration((void *)m, json_string_value(json)))
			rc = reader_refuse(r, "must be a duration such as \"30s\" or \"1.5s\"");
	} else {
		rc = read_message(r, m, json);
	}
	if (rc) {
		protobuf_c_message_free_unpacked(m, NULL);
		return rc;
	}
	*out = m;
	return 0;
}

/* One value at `out`, which is empty. */
static int read_value(struct reader *r, const ProtobufCFieldDescriptor *field, json_t *json,
		      void *out)
{
	if (json_is_null(json))
		return reader_refuse(r, "must not be null");
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(json))
			return reader_refuse(r, "must be true or false");
		*(protobuf_c_boolean *)out = json_is_true(json);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		if (!json_is_string(json))
			return reader_refuse(r, "must be a string");
		return read_enum(r, field->descriptor, json_string_value(json), out);
	case PROTOBUF_C_TYPE_STRING:
		return read_string(r, json, out);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(r, json, out);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_submessage(r, field->descriptor, json, out);
	default:
		return read_number(r, field->type, json, out);
	}
}

/* The message grows by one element at a time, so that half of an array can be freed. */
static int read_array(struct reader *r, const ProtobufCFieldDescriptor *field, json_t *json,
		      ProtobufCMessage *message)
{
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	char **elements = (char **)((char *)message + field->offset);
	size_t n = json_array_size(json), size = transcode_element_size(field->type);

	if (!json_is_array(json))
		return reader_refuse(r, "must be an array");
	if (!n)
		return 0;
	*elements = calloc(n, size);
	if (!*elements)
		return no_memory(r->err);
	while (*count < n) {
		size_t back = pointer_index(&r->at, *count);
		int rc = read_value(r, field, json_array_get(json, *count),
				    *elements + *count * size);

		if (rc)
			return rc;
		pointer_back(&r->at, back);
		++*count;
	}
	return 0;
}

/* One "key": value of an object as an entry message, whose fields are key (1) and value (2). */
int reader_entry(struct reader *r, const ProtobufCMessageDescriptor *type, const char *key,
		 json_t *json, ProtobufCMessage **out)
{
	const ProtobufCFieldDescriptor *value = &type->fields[1];
	ProtobufCMessage *entry = message_new(type);
	char **slot;
	int rc;

	if (!entry)
		return no_memory(r->err);
	slot = (char **)((char *)entry + type->fields[0].offset);
	*slot = strdup(key);
	rc = *slot ? read_value(r, value, json, (char *)entry + value->offset) : no_memory(r->err);
	if (rc) {
		protobuf_c_message_free_unpacked(entry, NULL);
		return rc;
	}
	*out = entry;
	return 0;
}

static int read_map(struct reader *r, const ProtobufCFieldDescriptor *field, json_t *json,
		    ProtobufCMessage *message)
{
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	ProtobufCMessage ***entries =
		(ProtobufCMessage ***)(void *)((char *)message + field->offset);
	size_t n = json_object_size(json);
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return reader_refuse(r, "must be an object");
	if (!n)
		return 0;
	*entries = calloc(n, sizeof(**entries));
	if (!*entries)
		return no_memory(r->err);
	json_object_foreach(json, key, value) {
		size_t back = pointer_key(&r->at, key, strlen(key));
		int rc = reader_entry(r, field->descriptor, key, value, &(*entries)[*count]);

		if (rc)
			return rc;
		pointer_back(&r->at, back);
		++*count;
	}
	return 0;
}

int reader_field(struct reader *r, ProtobufCMessage *message, const char *key, json_t *json)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, key);

	if (!field)
		return reader_refuse(r, "unknown key");
	assert(!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF));
	if (json_is_null(json))
		return reader_refuse(r, "must not be null");
	if (transcode_is_map(message->descriptor, field))
		return read_map(r, field, json, message);
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_array(r, field, json, message);
	return read_value(r, field, json, (char *)message + field->offset);
}

static int read_message(struct reader *r, ProtobufCMessage *message, json_t *json)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return reader_refuse(r, "must be an object");
	json_object_foreach(json, key, value) {
		size_t back = pointer_key(&r->at, key, strlen(key));
		int rc = reader_field(r, message, key, value);

		if (rc)
			return rc;
		pointer_back(&r->at, back);
	}
	return 0;
}

/* What the parser says, with the pointer of the place that it stopped at. */
static int refuse_text(const char *text, size_t size, const json_error_t *e, struct error *err)
{
	size_t stop = e->position >= 0 && (size_t)e->position < size ? (size_t)e->position : size;
	struct scan scan;

	scan_json(&scan, text, stop);
	if (json_error_code(e) == json_error_out_of_memory)
		return no_memory(err);
	if (json_error_code(e) == json_error_duplicate_key)
		return error_raise_field(err, scan.pointer.text, "this key was there before");
	if (json_error_code(e) == json_error_numeric_overflow)
		return error_raise_field(err, scan.pointer.text, "the number is too large");
	return error_raise_field(err, scan.pointer.text, "not valid JSON: line %d, column %d: %s",
				 e->line, e->column, e->text);
}

int reader_load(json_t **out, const char *text, size_t size, struct error *err)
{
	struct scan scan;
	json_error_t e;

	scan_json(&scan, text, size);
	if (scan.depth_max > TRANSCODE_DEPTH_MAX)
		return error_raise_field(err, scan.pointer.text, "JSON nests deeper than %d",
					 TRANSCODE_DEPTH_MAX);
	if (scan.values > TRANSCODE_VALUES_MAX)
		return error_raise_field(err, scan.pointer.text, "JSON has more than %d values",
					 TRANSCODE_VALUES_MAX);
	*out = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	return *out ? 0 : refuse_text(text, size, &e, err);
}

int transcode_parse(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
		    const char *text, size_t size, struct error *err)
{
	struct reader r = { .err = err };
	ProtobufCMessage *m;
	json_t *json;
	int rc = reader_load(&json, text, size, err);

	if (rc)
		return rc;
	m = message_new(type);
	rc = m ? read_message(&r, m, json) : no_memory(err);
	json_decref(json);
	if (rc) {
		message_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* The JSON value that `text` stands for in a field of this type. */
static int value_of_text(struct reader *r, ProtobufCType type, const char *text, json_t **out)
{
	long long value;
	char *end;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!text_is_utf8(text, strlen(text)))
			return reader_refuse(r, "is not UTF-8");
		*out = json_string_nocheck(text);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return reader_refuse(r, "must be true or false");
		*out = json_boolean(text[0] == 't');
		break;
	default:
		errno = 0;
		value = strtoll(text, &end, 10);
		if (!*text || *end || strspn(text, "-0123456789") != strlen(text))
			return reader_refuse(r, "must be an integer");
		if (errno)
			return reader_refuse(r, "the number is too large");
		*out = json_integer(value);
		break;
	}
	return *out ? 0 : no_memory(r->err);
}

int transcode_set(ProtobufCMessage *message, const char *name, const char *text, struct error *err)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	struct reader r = { .err = err };
	json_t *json = NULL;
	int rc;

	assert(field && field->label != PROTOBUF_C_LABEL_REPEATED &&
	       field->type != PROTOBUF_C_TYPE_BYTES);
	pointer_key(&r.at, name, strlen(name));
	rc = value_of_text(&r, field->type, text, &json);
	if (rc)
		return rc;
	transcode_clear(message, field);
	rc = read_value(&r, field, json, (char *)message + field->offset);
	json_decref(json);
	return rc;
}
