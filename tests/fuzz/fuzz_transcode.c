// SPDX-License-Identifier: Apache-2.0
// Fuzzes JSON to message to JSON: what is taken comes back as the same text, and so does its binary form.

#include <assert.h>
#include <string.h>

#include "agent/message.h"
#include "agent/transcode.h"
#include "agent/transcode_text.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&croft__v1__vm__descriptor,
	&croft__v1__image__descriptor,
	&croft__v1__vm_stats__descriptor,
	&croft__v1__operation__descriptor,
	&croft__v1__node__descriptor,
	&croft__v1__read_console_request__descriptor,
	&croft__v1__write_console_request__descriptor,
	&croft__v1__list_vms_response__descriptor,
};

/* A message has one text: printing, parsing and printing again gives the same. */
static void check_stable(const ProtobufCMessage *message)
{
	ProtobufCMessage *again = NULL;
	char *first, *second;
	size_t n, m;

	assert(transcode_print(&first, &n, message, NULL) == 0);
	assert(n == strlen(first) && first[n - 1] == '\n' && text_is_utf8(first, n));
	assert(transcode_parse(&again, message->descriptor, first, n, NULL) == 0);
	assert(transcode_print(&second, &m, again, NULL) == 0);
	assert(n == m && memcmp(first, second, n) == 0);
	message_free(again);
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = { 0 };
	ProtobufCMessage *message = NULL, *copy;

	if (!size)
		return 0;
	if (transcode_parse(&message, types[data[0] % ARRAY_SIZE(types)], (const char *)data + 1,
			    size - 1, &error)) {
		assert(!message && error.code && error.message[0]);
		assert(error.field[0] == '\0' || error.field[0] == '/');
		return 0;
	}
	assert(transcode_check(message, &error) == 0);
	check_stable(message);
	copy = message_copy(message);
	assert(copy);
	check_stable(copy);
	message_free(copy);
	message_free(message);

	/* A string with a NUL is blamed, whatever is around it. */
	if (transcode_check_wire(types[data[0] % ARRAY_SIZE(types)], data + 1, size - 1, &error))
		assert(error.field[0] == '/');

	/* The other way: bytes of the wire that are a message have a text, if perhaps one that is refused. */
	message = protobuf_c_message_unpack(types[data[0] % ARRAY_SIZE(types)], NULL, size - 1,
					    data + 1);
	if (message) {
		char *text;
		size_t n;

		transcode_check(message, &error);
		assert(transcode_print(&text, &n, message, NULL) == 0);
		assert(text_is_utf8(text, n));
		free(text);
		message_free(message);
	}
	return 0;
}
