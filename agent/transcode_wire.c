// SPDX-License-Identifier: Apache-2.0
// Packed messages before they are unpacked: strings with a NUL, which C would end there without a word.

#include <string.h>

#include "agent/transcode.h"
#include "agent/transcode_text.h"

/* A stretch of the packed bytes; `at` is NULL where there is none. */
struct wire {
	const uint8_t *at, *end;
};

static bool take_varint(struct wire *w, uint64_t *out)
{
	*out = 0;
	for (unsigned int shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		uint8_t byte = *w->at++;

		*out |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* The next field, with its bytes where it is such a one; false at the end, and at what is no field. */
static bool take_field(struct wire *w, uint64_t *number, struct wire *bytes)
{
	uint64_t key, n = 0;

	*bytes = (struct wire){ NULL, NULL };
	if (!take_varint(w, &key))
		return false;
	*number = key >> 3;
	switch (key & 7) {
	case 0:
		return take_varint(w, &n);
	case 1:
		n = 8;
		break;
	case 2:
		if (!take_varint(w, &n))
			return false;
		break;
	case 5:
		n = 4;
		break;
	default:
		return false;
	}
	if (n > (uint64_t)(w->end - w->at))
		return false;
	if ((key & 7) == 2)
		*bytes = (struct wire){ w->at, w->at + n };
	w->at += n;
	return true;
}

static int check(const ProtobufCMessageDescriptor *type, struct wire w, struct pointer *at,
		 struct error *err)
{
	uint64_t number, before = 0;
	struct wire bytes;
	size_t index = 0;
	int r = 0;

	while (r == 0 && take_field(&w, &number, &bytes)) {
		const ProtobufCFieldDescriptor *field =
			number > UINT32_MAX
				? NULL
				: protobuf_c_message_descriptor_get_field(type,
									  (unsigned int)number);
		size_t back = at->len;

		/* The items of a list stand one behind the other. */
		index = number == before ? index + 1 : 0;
		before = number;
		if (!field || !bytes.at)
			continue;
		pointer_key(at, field->name, strlen(field->name));
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			pointer_index(at, index);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			r = check(field->descriptor, bytes, at, err);
		else if (field->type == PROTOBUF_C_TYPE_STRING &&
			 memchr(bytes.at, '\0', (size_t)(bytes.end - bytes.at)))
			r = error_raise_field(err, at->text, "has a NUL character in it");
		pointer_back(at, back);
	}
	return r;
}

int transcode_check_wire(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
			 struct error *err)
{
	const struct wire all = { bytes, (const uint8_t *)bytes + size };
	struct pointer at = { 0 };

	/* Most have none at all. */
	return size && memchr(bytes, '\0', size) ? check(type, all, &at, err) : 0;
}
