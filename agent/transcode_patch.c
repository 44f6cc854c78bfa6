// SPDX-License-Identifier: Apache-2.0
// JSON merge patches (RFC 7396) to a message and a field mask: null clears, objects merge, all else replaces.

#include <ctype.h>
#include <string.h>

#include "agent/message.h"
#include "agent/transcode_read.h"
#include "google/protobuf/field_mask.pb-c.h"

struct patcher {
	struct reader reader;
	Google__Protobuf__FieldMask *mask;
};

static int patch_message(struct patcher *p, ProtobufCMessage *message, const char *path,
			 json_t *json);

static int no_memory(struct patcher *p)
{
	return error_raise(p->reader.err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

static int add_path(struct patcher *p, const char *path)
{
	char *copy;

	if (p->mask->n_paths >= TRANSCODE_PATHS_MAX)
		return error_raise_field(p->reader.err, p->reader.at.text,
					 "a patch changes at most %d fields", TRANSCODE_PATHS_MAX);
	copy = strdup(path);
	if (!copy || message_append(&p->mask->paths, &p->mask->n_paths, copy)) {
		free(copy);
		return no_memory(p);
	}
	return 0;
}

/* An empty object makes what is not there, and changes nothing of what is: see mask.h. */
static int add_presence(struct patcher *p, const char *path)
{
	_cleanup_free_ char *made = NULL;

	return asprintf(&made, "%s.", path) < 0 ? no_memory(p) : add_path(p, made);
}

static bool plain_word(const char *key)
{
	if (!isalpha((unsigned char)key[0]) && key[0] != '_')
		return false;
	while (isalnum((unsigned char)*key) || *key == '_')
		key++;
	return !*key;
}

static int patch_entry(struct patcher *p, const ProtobufCFieldDescriptor *field,
		       ProtobufCMessage *message, const char *key, json_t *json)
{
	size_t *count = (size_t *)((char *)message + field->quantifier_offset);
	ProtobufCMessage *entry;
	int rc;

	if (json_is_null(json))
		return 0;
	rc = reader_entry(&p->reader, field->descriptor, key, json, &entry);
	if (rc)
		return rc;
	if (message_append((char *)message + field->offset, count, entry)) {
		message_free(entry);
		return no_memory(p);
	}
	return 0;
}

static int patch_map(struct patcher *p, const ProtobufCFieldDescriptor *field,
		     ProtobufCMessage *message, const char *path, json_t *json)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return reader_refuse(&p->reader, "must be an object");
	json_object_foreach(json, key, value) {
		const char *quote = plain_word(key) ? "" : "`";
		size_t back = pointer_key(&p->reader.at, key, strlen(key));
		_cleanup_free_ char *inner = NULL;
		int rc;

		if (!key[0] || strchr(key, '`'))
			return reader_refuse(&p->reader, "an empty key, or one with a backtick, "
							 "cannot be patched");
		if (asprintf(&inner, "%s.%s%s%s", path, quote, key, quote) < 0)
			return no_memory(p);
		rc = patch_entry(p, field, message, key, value);
		if (!rc)
			rc = add_path(p, inner);
		if (rc)
			return rc;
		pointer_back(&p->reader.at, back);
	}
	return 0;
}

/* Messages that are objects in JSON merge; times and durations are strings there. */
static bool merges(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_MESSAGE &&
	       field->label != PROTOBUF_C_LABEL_REPEATED &&
	       field->descriptor != &google__protobuf__timestamp__descriptor &&
	       field->descriptor != &google__protobuf__duration__descriptor;
}

static int patch_field(struct patcher *p, ProtobufCMessage *message, const char *key,
		       const char *path, json_t *json)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, key);
	ProtobufCMessage **slot;
	int rc;

	if (!field)
		return reader_refuse(&p->reader, "unknown key");
	if (json_is_null(json))
		return add_path(p, path);
	if (transcode_is_map(message->descriptor, field))
		return patch_map(p, field, message, path, json);
	if (merges(field)) {
		if (json_is_object(json) && json_object_size(json) == 0)
			return add_presence(p, path);
		slot = (ProtobufCMessage **)(void *)((char *)message + field->offset);
		*slot = message_new(field->descriptor);
		return *slot ? patch_message(p, *slot, path, json) : no_memory(p);
	}
	rc = reader_field(&p->reader, message, key, json);
	return rc ? rc : add_path(p, path);
}

static int patch_message(struct patcher *p, ProtobufCMessage *message, const char *path,
			 json_t *json)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return reader_refuse(&p->reader, "must be an object");
	json_object_foreach(json, key, value) {
		size_t back = pointer_key(&p->reader.at, key, strlen(key));
		_cleanup_free_ char *inner = NULL;
		int rc;

		if (asprintf(&inner, "%s%s%s", path, path[0] ? "." : "", key) < 0)
			return no_memory(p);
		rc = patch_field(p, message, key, inner, value);
		if (rc)
			return rc;
		pointer_back(&p->reader.at, back);
	}
	return 0;
}

int transcode_patch(struct transcode_patch *out, const ProtobufCMessageDescriptor *type,
		    const char *text, size_t size, struct error *err)
{
	struct patcher p = { .reader = { .err = err } };
	ProtobufCMessage *message;
	json_t *json;
	int rc = reader_load(&json, text, size, err);

	if (rc)
		return rc;
	message = message_new(type);
	p.mask = message_new(&google__protobuf__field_mask__descriptor);
	rc = message && p.mask ? patch_message(&p, message, "", json) : no_memory(&p);
	json_decref(json);
	if (rc) {
		message_free(message);
		message_free(p.mask);
		return rc;
	}
	*out = (struct transcode_patch){ .message = message, .mask = &p.mask->base };
	return 0;
}
