// SPDX-License-Identifier: Apache-2.0
// What the records' code needs of protobuf-c: copies, strings, and times.

#include "agent/message.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "agent/fault.h"
#include "agent/transcode_text.h"

void *message_new(const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *m = malloc(descriptor->sizeof_message);

	if (m)
		protobuf_c_message_init(descriptor, m);
	return m;
}

void *message_copy(const ProtobufCMessage *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = malloc(n ? n : 1);

	if (!bytes)
		return NULL;
	protobuf_c_message_pack(message, bytes);
	return protobuf_c_message_unpack(message->descriptor, NULL, n, bytes);
}

void *message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
	return NULL;
}

void message_set_string(char **field, const char *value)
{
	char *copy = value[0] ? strdup(value) : NULL;

	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = copy ? copy : (char *)protobuf_c_empty_string;
}

void message_set_time(Google__Protobuf__Timestamp **field, int64_t seconds, int32_t nanos)
{
	if (!*field)
		*field = message_new(&google__protobuf__timestamp__descriptor);
	if (!*field)
		return;
	(*field)->seconds = seconds;
	(*field)->nanos = nanos;
}

void message_set_now(Google__Protobuf__Timestamp **field)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	message_set_time(field, now.tv_sec, (int32_t)now.tv_nsec);
}

void message_set_problem(Croft__V1__Problem **field, const struct error *error)
{
	*field = message_free(*field);
	*field = fault_problem(error, 0);
}

int message_append(void *array, size_t *count, void *item)
{
	void **items;

	memcpy(&items, array, sizeof(items));
	items = reallocarray(items, *count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	items[(*count)++] = item;
	memcpy(array, &items, sizeof(items));
	return 0;
}

static bool messages_differ(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	const ProtobufCMessageDescriptor *type;

	if (!a || !b)
		return a != b;
	type = a->descriptor;
	for (unsigned int i = 0; i < type->n_fields; i++)
		if (message_field_differs(a, b, &type->fields[i]))
			return true;
	return false;
}

static bool values_differ(const void *a, const void *b, ProtobufCType type)
{
	const void *const *left = a, *const *right = b;
	const ProtobufCBinaryData *bytes = a, *others = b;

	if (type == PROTOBUF_C_TYPE_BYTES)
		return bytes->len != others->len ||
		       (bytes->len && memcmp(bytes->data, others->data, bytes->len) != 0);
	if (type == PROTOBUF_C_TYPE_STRING)
		return strcmp(*left, *right) != 0;
	if (type == PROTOBUF_C_TYPE_MESSAGE)
		return messages_differ(*left, *right);
	return memcmp(a, b, transcode_element_size(type)) != 0;
}

bool message_field_differs(const ProtobufCMessage *a, const ProtobufCMessage *b,
			   const ProtobufCFieldDescriptor *field)
{
	const char *left = (const char *)a + field->offset,
		   *right = (const char *)b + field->offset;
	size_t size = transcode_element_size(field->type), n, m;

	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return values_differ(left, right, field->type);
	memcpy(&n, (const char *)a + field->quantifier_offset, sizeof(n));
	memcpy(&m, (const char *)b + field->quantifier_offset, sizeof(m));
	left = *(const char *const *)(const void *)left;
	right = *(const char *const *)(const void *)right;
	for (size_t i = 0; n == m && i < n; i++)
		if (values_differ(left + i * size, right + i * size, field->type))
			return true;
	return n != m;
}

uint64_t message_duration_ns(const Google__Protobuf__Duration *d, uint64_t max_ns)
{
	uint64_t ns;

	if (!d || d->seconds < 0 || d->nanos < 0)
		return 0;
	if ((uint64_t)d->seconds > max_ns / 1000000000u)
		return max_ns;
	ns = (uint64_t)d->seconds * 1000000000u + (uint64_t)d->nanos;
	return ns < max_ns ? ns : max_ns;
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
