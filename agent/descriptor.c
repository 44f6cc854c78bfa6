// SPDX-License-Identifier: Apache-2.0
// Walks the embedded descriptors as they lie there: nothing is unpacked, so that they cost nothing until somebody asks.

#include "agent/descriptor.h"

#include <assert.h>
#include <string.h>

/* protoc's FileDescriptorSet; the makefile makes the file, and has the object depend on it. */
extern const uint8_t descriptor_set[], descriptor_set_end[];
asm(".pushsection .rodata\n"
    ".global descriptor_set, descriptor_set_end\n"
    ".hidden descriptor_set, descriptor_set_end\n"
    "descriptor_set:\n"
    ".incbin \"out/gen/api.pb\"\n"
    "descriptor_set_end:\n"
    ".popsection\n");

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
	SET_FILE = 1,
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_DEPENDENCY = 3,
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	NAME = 1, /* of messages, fields, enums, values, services, methods, oneofs */
	MESSAGE_FIELD = 2,
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	ENUM_VALUE = 2,
	SERVICE_METHOD = 2,
};

/* --- The wire --- */

/* What is left of a message, and the field that next() has found last. */
struct walk {
	const uint8_t *at, *end;
	unsigned int field;
	ProtobufCBinaryData bytes; /* of a field with a length; else empty */
};

static uint64_t varint(struct walk *w)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; w->at < w->end && shift < 64; shift += 7) {
		uint8_t byte = *w->at++;

		value |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			break;
	}
	return value;
}

static struct walk walk(ProtobufCBinaryData bytes)
{
	return (struct walk){ .at = bytes.data, .end = bytes.data + bytes.len };
}

/* protoc has made the bytes: what is asserted here holds since the build. */
static bool next(struct walk *w)
{
	uint64_t tag, size;

	if (w->at == w->end)
		return false;
	tag = varint(w);
	w->field = (unsigned int)(tag >> 3);
	w->bytes = (ProtobufCBinaryData){ .len = 0 };
	switch (tag & 7) {
	case 0:
		varint(w);
		return true;
	case 1:
		size = 8;
		break;
	case 5:
		size = 4;
		break;
	default:
		assert((tag & 7) == 2);
		size = varint(w);
		w->bytes =
			(ProtobufCBinaryData){ .len = size, .data = (uint8_t *)(uintptr_t)w->at };
	}
	assert(size <= (uint64_t)(w->end - w->at));
	w->at += size;
	return true;
}

/* The first field of that number; empty when there is none. */
static ProtobufCBinaryData get(ProtobufCBinaryData message, unsigned int field)
{
	struct walk w = walk(message);

	while (next(&w))
		if (w.field == field)
			return w.bytes;
	return (ProtobufCBinaryData){ .len = 0 };
}

static bool is(ProtobufCBinaryData text, const char *other)
{
	return strlen(other) == text.len && memcmp(text.data, other, text.len) == 0;
}

/* --- Files --- */

static struct walk all_files(void)
{
	return (struct walk){ .at = descriptor_set, .end = descriptor_set_end };
}

size_t descriptor_files(void)
{
	struct walk w = all_files();
	size_t n = 0;

	while (next(&w))
		n++;
	assert(n <= DESCRIPTOR_FILES_MAX);
	return n;
}

ProtobufCBinaryData descriptor_file(size_t file)
{
	struct walk w = all_files();

	for (size_t i = 0; next(&w); i++)
		if (i == file)
			return w.bytes;
	return (ProtobufCBinaryData){ .len = 0 };
}

int descriptor_find_file(const char *name)
{
	struct walk w = all_files();

	for (int i = 0; next(&w); i++)
		if (is(get(w.bytes, FILE_NAME), name))
			return i;
	return -ENOENT;
}

uint64_t descriptor_closure(size_t file)
{
	uint64_t files = UINT64_C(1) << file;

	/* Each file stands behind what it imports, so one walk from the back sees all. */
	for (size_t i = file + 1; i-- > 0;) {
		struct walk w = walk(descriptor_file(i));

		while ((files >> i & 1) && next(&w)) {
			char name[256];
			int other;

			if (w.field != FILE_DEPENDENCY)
				continue;
			snprintf(name, sizeof(name), "%.*s", (int)w.bytes.len,
				 (const char *)w.bytes.data);
			other = descriptor_find_file(name);
			assert(other >= 0 && (size_t)other < i);
			files |= UINT64_C(1) << other;
		}
	}
	return files;
}

/* --- Symbols --- */

/* Steps over "name." or, at the end, "name"; NULL when the symbol does not begin so. */
static const char *step(const char *symbol, ProtobufCBinaryData name)
{
	if (strncmp(symbol, (const char *)name.data, name.len) != 0)
		return NULL;
	symbol += name.len;
	if (*symbol == '.' && symbol[1])
		return symbol + 1;
	return *symbol ? NULL : symbol;
}

/* Whether one of the fields of that number has the name. */
static bool has_named(ProtobufCBinaryData message, unsigned int field, const char *name)
{
	struct walk w = walk(message);

	while (next(&w))
		if (w.field == field && is(get(w.bytes, NAME), name))
			return true;
	return false;
}

/* `symbol` is what is left behind the enum's scope; values belong to that scope, and to the enum in the eyes of many. */
static bool in_enum(ProtobufCBinaryData message, const char *symbol)
{
	const char *rest = step(symbol, get(message, NAME));

	return (rest && (!*rest || has_named(message, ENUM_VALUE, rest))) ||
	       has_named(message, ENUM_VALUE, symbol);
}

/* Depth is that of nested messages in the protos. */
static bool in_message(ProtobufCBinaryData message, const char *symbol, bool messages_only)
{
	const char *rest = step(symbol, get(message, NAME));
	struct walk w = walk(message);

	if (!rest || !*rest)
		return rest != NULL;
	while (next(&w)) {
		if (w.field == MESSAGE_NESTED && in_message(w.bytes, rest, messages_only))
			return true;
		if (w.field == MESSAGE_ENUM && !messages_only && in_enum(w.bytes, rest))
			return true;
	}
	return !messages_only && has_named(message, MESSAGE_FIELD, rest);
}

static bool in_service(ProtobufCBinaryData message, const char *symbol)
{
	const char *rest = step(symbol, get(message, NAME));

	return rest && (!*rest || has_named(message, SERVICE_METHOD, rest));
}

static bool in_file(ProtobufCBinaryData file, const char *symbol, bool messages_only)
{
	const char *rest = step(symbol, get(file, FILE_PACKAGE));
	struct walk w = walk(file);

	while (rest && *rest && next(&w)) {
		if (w.field == FILE_MESSAGE && in_message(w.bytes, rest, messages_only))
			return true;
		if (messages_only)
			continue;
		if ((w.field == FILE_ENUM && in_enum(w.bytes, rest)) ||
		    (w.field == FILE_SERVICE && in_service(w.bytes, rest)))
			return true;
	}
	return false;
}

int descriptor_find_symbol(const char *symbol)
{
	struct walk w = all_files();

	for (int i = 0; next(&w); i++)
		if (in_file(w.bytes, symbol, false))
			return i;
	return -ENOENT;
}

bool descriptor_is_message(const char *symbol)
{
	struct walk w = all_files();

	while (next(&w))
		if (in_file(w.bytes, symbol, true))
			return true;
	return false;
}

int descriptor_services(int (*each)(void *data, const char *name), void *data)
{
	struct walk files = all_files();

	while (next(&files)) {
		ProtobufCBinaryData package = get(files.bytes, FILE_PACKAGE);
		struct walk w = walk(files.bytes);

		while (next(&w)) {
			ProtobufCBinaryData name;
			char full[256];
			int r;

			if (w.field != FILE_SERVICE)
				continue;
			name = get(w.bytes, NAME);
			snprintf(full, sizeof(full), "%.*s.%.*s", (int)package.len,
				 (const char *)package.data, (int)name.len,
				 (const char *)name.data);
			r = each(data, full);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
