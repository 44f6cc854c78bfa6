// SPDX-License-Identifier: Apache-2.0
// Field masks of updates, for every message at once by protobuf-c's descriptors.

#include "agent/mask.h"

#include <assert.h>
#include <string.h>

#include "agent/message.h"
#include "agent/transcode_text.h"

static int no_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

static void *slot(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	return (char *)m + field->offset;
}

static size_t *count_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	return (void *)((char *)m + field->quantifier_offset);
}

static bool is_pointer(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING;
}

/* A string or a message of its own; NULL without memory. */
static void *copy_item(const ProtobufCFieldDescriptor *field, const void *item)
{
	return field->type == PROTOBUF_C_TYPE_STRING ? strdup(item) : message_copy(item);
}

static void free_item(const ProtobufCFieldDescriptor *field, void *item)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		message_free(item);
	else if (item != protobuf_c_empty_string)
		free(item);
}

/* --- Whole fields --- */

static void clear_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	void **items = *(void ***)slot(m, field);

	for (size_t i = 0; i < *count_of(m, field); i++)
		free_item(field, items[i]);
	free(items);
	*(void ***)slot(m, field) = NULL;
	*count_of(m, field) = 0;
}

static int add_copy(ProtobufCMessage *onto, const ProtobufCFieldDescriptor *field, const void *item,
		    struct error *err)
{
	void *copy = copy_item(field, item);

	if (copy && message_append(slot(onto, field), count_of(onto, field), copy) == 0)
		return 0;
	if (copy)
		free_item(field, copy);
	return no_memory(err);
}

static int replace_list(ProtobufCMessage *onto, const ProtobufCMessage *from,
			const ProtobufCFieldDescriptor *field, struct error *err)
{
	int r = 0;

	assert(is_pointer(field));
	clear_list(onto, field);
	for (size_t i = 0; r == 0 && from && i < *count_of(from, field); i++)
		r = add_copy(onto, field, (*(void ***)slot(from, field))[i], err);
	return r;
}

static int replace_bytes(ProtobufCBinaryData *onto, const ProtobufCBinaryData *from,
			 struct error *err)
{
	size_t n = from ? from->len : 0;
	uint8_t *copy = n ? malloc(n) : NULL;

	if (n && !copy)
		return no_memory(err);
	if (n)
		memcpy(copy, from->data, n);
	free(onto->data);
	*onto = (ProtobufCBinaryData){ .len = n, .data = copy };
	return 0;
}

/* `from` NULL: the default. */
static int replace(ProtobufCMessage *onto, const ProtobufCMessage *from,
		   const ProtobufCFieldDescriptor *field, struct error *err)
{
	const void *item;
	void *copy = NULL;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return replace_list(onto, from, field, err);
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return replace_bytes(slot(onto, field), from ? slot(from, field) : NULL, err);
	if (!is_pointer(field)) {
		size_t n = transcode_element_size(field->type);

		if (from)
			memcpy(slot(onto, field), slot(from, field), n);
		else
			memset(slot(onto, field), 0, n);
		return 0;
	}
	item = from ? *(void **)slot(from, field) : NULL;
	if (item && item != protobuf_c_empty_string) {
		copy = copy_item(field, item);
		if (!copy)
			return no_memory(err);
	}
	free_item(field, *(void **)slot(onto, field));
	if (!copy && field->type == PROTOBUF_C_TYPE_STRING)
		copy = (void *)protobuf_c_empty_string;
	*(void **)slot(onto, field) = copy;
	return 0;
}

/* --- Map entries --- */

static const char *key_of(const ProtobufCMessage *entry)
{
	return *(char **)slot(entry, &entry->descriptor->fields[0]);
}

/* The entry of that key, and its index; NULL when there is none. */
static const ProtobufCMessage *find_entry(const ProtobufCMessage *m,
					  const ProtobufCFieldDescriptor *field, const char *key,
					  size_t *index)
{
	ProtobufCMessage **entries = m ? *(ProtobufCMessage ***)slot(m, field) : NULL;

	for (size_t i = 0; entries && i < *count_of(m, field); i++) {
		if (strcmp(key_of(entries[i]), key) == 0) {
			*index = i;
			return entries[i];
		}
	}
	return NULL;
}

/* A key that stays keeps its place, so that what is set to what it was does not differ. */
static int replace_entry(ProtobufCMessage *onto, const ProtobufCMessage *from,
			 const ProtobufCFieldDescriptor *field, const char *key, struct error *err)
{
	size_t at = 0, ignored, *count = count_of(onto, field);
	ProtobufCMessage **entries, *copy;
	const ProtobufCMessage *new;

	if (from && *count_of(from, field) > MASK_PATHS_MAX)
		return error_raise_field(err, "/update_mask", "\"%s\" has more than %u keys",
					 field->name, MASK_PATHS_MAX);
	new = find_entry(from, field, key, &ignored);
	if (!find_entry(onto, field, key, &at))
		return new ? add_copy(onto, field, new, err) : 0;
	copy = new ? message_copy(new) : NULL;
	if (new && !copy)
		return no_memory(err);
	entries = *(ProtobufCMessage ***)slot(onto, field);
	message_free(entries[at]);
	if (copy)
		entries[at] = copy;
	else
		memmove(entries + at, entries + at + 1, (--*count - at) * sizeof(*entries));
	return 0;
}

/* --- Paths --- */

/* One path; `text` is what is left of it, and is cut. */
struct path {
	const char *whole;
	char *text;
	struct error *err;
};

static int refuse(const struct path *p, const char *why)
{
	return error_raise_field(p->err, "/update_mask", "\"%.80s\": %s", p->whole, why);
}

/* The next word, up to a dot or the end; NULL when there is none. */
static char *next_word(struct path *p)
{
	char *word = p->text, *dot;

	if (!word)
		return NULL;
	dot = strchr(word, '.');
	p->text = dot ? dot + 1 : NULL;
	if (dot)
		*dot = '\0';
	return word;
}

/* The rest of the path as a map's key; NULL when it is none. */
static char *take_key(struct path *p)
{
	char *key = TAKE_PTR(p->text);
	size_t n = strlen(key);

	if (n > 2 && key[0] == '`' && key[n - 1] == '`') {
		key[n - 1] = '\0';
		key++;
	} else if (n == 0 || strchr(key, '.')) {
		return NULL;
	}
	return strchr(key, '`') ? NULL : key;
}

/* Goes down the path from two messages; `from` is NULL where the client's has no more. */
static int apply_path(struct path *p, ProtobufCMessage *onto, const ProtobufCMessage *from)
{
	for (;;) {
		const char *word = next_word(p), *key;
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field_by_name(onto->descriptor, word);
		ProtobufCMessage **inner;

		if (!field)
			return refuse(p, "there is no such field");
		if (!p->text)
			return replace(onto, from, field, p->err);
		if (transcode_is_map(onto->descriptor, field)) {
			key = take_key(p);
			return key ? replace_entry(onto, from, field, key, p->err)
				   : refuse(p, "not a key; one that has dots stands in backticks");
		}
		if (field->type != PROTOBUF_C_TYPE_MESSAGE ||
		    field->label == PROTOBUF_C_LABEL_REPEATED ||
		    field->descriptor == &google__protobuf__duration__descriptor)
			return refuse(p, "the field has no parts that can be named");
		inner = slot(onto, field);
		if (!*inner)
			*inner = message_new(field->descriptor);
		if (!*inner)
			return no_memory(p->err);
		if (!p->text[0])
			return 0;
		onto = *inner;
		from = from ? *(const ProtobufCMessage **)slot(from, field) : NULL;
	}
}

static bool may_change(const char *path, const char *const *parts)
{
	size_t n = strcspn(path, ".");

	for (; *parts; parts++)
		if (strlen(*parts) == n && strncmp(*parts, path, n) == 0)
			return true;
	return false;
}

static int apply_one(ProtobufCMessage *onto, const ProtobufCMessage *from, const char *whole,
		     const char *const *parts, struct error *err)
{
	char text[MASK_PATH_MAX + 1];
	struct path p = { .whole = whole, .text = text, .err = err };
	int n = snprintf(text, sizeof(text), "%s", whole);

	if (n >= (int)sizeof(text))
		return refuse(&p, "too long");
	if (strcmp(whole, "name") == 0)
		return 0;
	if (!may_change(whole, parts)) {
		char field[ERROR_FIELD_MAX];

		text[strcspn(text, ".")] = '\0';
		if (!protobuf_c_message_descriptor_get_field_by_name(onto->descriptor, text))
			return refuse(&p, "there is no such field");
		snprintf(field, sizeof(field), "/%.80s", text);
		return error_raise_field(err, field, "the field is output only");
	}
	return apply_path(&p, onto, from);
}

int mask_apply(ProtobufCMessage *onto, const ProtobufCMessage *from,
	       const Google__Protobuf__FieldMask *mask, const char *const *parts, struct error *err)
{
	int r = 0;

	assert(onto->descriptor == from->descriptor);
	if (!mask || mask->n_paths == 0)
		return error_raise_field(err, "/update_mask",
					 "a mask is required: the paths that change, or \"*\"");
	if (mask->n_paths > MASK_PATHS_MAX)
		return error_raise_field(err, "/update_mask", "%zu paths: at most %u are allowed",
					 mask->n_paths, MASK_PATHS_MAX);
	for (size_t i = 0; r == 0 && i < mask->n_paths; i++) {
		if (strcmp(mask->paths[i], "*") != 0)
			r = apply_one(onto, from, mask->paths[i], parts, err);
		for (size_t j = 0; r == 0 && parts[j] && strcmp(mask->paths[i], "*") == 0; j++)
			r = apply_one(onto, from, parts[j], parts, err);
	}
	return r;
}
