// SPDX-License-Identifier: Apache-2.0
// Fuzzes merge patches: message and mask, applied to an object, give what RFC 7396 gives on its JSON text.

#include <assert.h>
#include <string.h>

#include <jansson.h>

#include "agent/mask.h"
#include "agent/message.h"
#include "agent/transcode.h"
#include "croft/v1/config.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/vm.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	const ProtobufCMessageDescriptor *type;
	const char *base;
	const char *parts[3];
} kinds[] = {
	{ &croft__v1__vm__descriptor,
	  "{\"labels\":{\"tier\":\"test\",\"a.b\":\"c\",\"e\":\"\"},\"spec\":{\"vcpus\":2,\"cmdline\":\"x\","
	  "\"memory_bytes\":67108864,\"disks\":[{\"name\":\"root\",\"read_only\":true},{\"name\":\"b\"}]}}",
	  { "labels", "spec", NULL } },
	{ &croft__v1__node__descriptor, "{\"labels\":{\"site\":\"a\"}}", { "labels", NULL } },
	{ &croft__v1__config__descriptor,
	  "{\"spec\":{\"log_level\":\"info\",\"start_timeout\":\"60s\",\"image_bytes_max\":1048576}}",
	  { "spec", NULL } },
};

/* RFC 7396, section 2; a new reference. */
static json_t *merge(json_t *target, json_t *patch)
{
	json_t *out, *value;
	const char *key;

	if (!json_is_object(patch))
		return json_incref(patch);
	out = json_is_object(target) ? json_copy(target) : json_object();
	json_object_foreach(patch, key, value) {
		if (json_is_null(value))
			json_object_del(out, key);
		else
			json_object_set_new_nocheck(out, key,
						    merge(json_object_get(out, key), value));
	}
	return out;
}

static json_t *json_of(const ProtobufCMessage *message)
{
	json_t *json;
	char *text;
	size_t n;

	assert(transcode_print(&text, &n, message, NULL) == 0);
	json = json_loads(text, JSON_DECODE_ANY, NULL);
	assert(json);
	free(text);
	return json;
}

static void *message_of(const ProtobufCMessageDescriptor *type, const char *text)
{
	ProtobufCMessage *message = NULL;

	assert(transcode_parse(&message, type, text, strlen(text), NULL) == 0);
	return message;
}

/* The same by text: what a client would expect that has the object's JSON and the patch. */
static void check_by_text(const ProtobufCMessageDescriptor *type, const char *base, json_t *patch,
			  const ProtobufCMessage *result)
{
	json_t *before = json_loads(base, 0, NULL), *merged = merge(before, patch), *want, *got;
	char *text = json_dumps(merged, 0);
	ProtobufCMessage *message = message_of(type, text);

	want = json_of(message);
	got = json_of(result);
	assert(json_equal(want, got));
	message_free(message);
	free(text);
	json_decref(got);
	json_decref(want);
	json_decref(merged);
	json_decref(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t kind = size ? data[0] % ARRAY_SIZE(kinds) : 0;
	const ProtobufCMessageDescriptor *type = kinds[kind].type;
	struct transcode_patch patch = { 0 };
	struct error error = { 0 };
	ProtobufCMessage *object;
	json_t *json;

	if (!size)
		return 0;
	if (transcode_patch(&patch, type, (const char *)data + 1, size - 1, &error)) {
		assert(!patch.message && !patch.mask && error.code && error.message[0]);
		assert(error.field[0] == '\0' || error.field[0] == '/');
		return 0;
	}
	assert(transcode_check(patch.message, &error) == 0);
	assert(transcode_check(patch.mask, &error) == 0);
	object = message_of(type, kinds[kind].base);
	json = json_loadb((const char *)data + 1, size - 1, JSON_DECODE_ANY, NULL);
	assert(json);
	/* A name in a patch says which object is meant; the mask lets it pass. */
	json_object_del(json, "name");
	if (mask_apply(object, patch.message, (const void *)patch.mask, kinds[kind].parts,
		       &error) == 0)
		check_by_text(type, kinds[kind].base, json, object);
	json_decref(json);
	message_free(object);
	message_free(patch.message);
	message_free(patch.mask);
	return 0;
}
