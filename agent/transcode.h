/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as JSON and back, for every message at once, by protobuf-c's descriptors. The mapping is the one that
 * api/proto/croft/v1/common.proto states.
 */
#ifndef CROFT_AGENT_TRANSCODE_H
#define CROFT_AGENT_TRANSCODE_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

/* Limits of a JSON text; one that is beyond them is refused before anything is built of it. */
#define TRANSCODE_DEPTH_MAX  32	   /* objects and arrays inside each other */
#define TRANSCODE_VALUES_MAX 65536 /* values in the whole text */

/*
 * Parses `size` bytes of JSON into a new message of `type`, to be freed with protobuf_c_message_free_unpacked(m, NULL).
 * Refused with INVALID_ARGUMENT, and the JSON pointer of the culprit in err->field: what is not JSON or not UTF-8, unknown
 * and duplicate keys, null, wrong types, integers that are negative for an unsigned field, have a fraction or do not fit
 * (64-bit: beyond 2^63 - 1), unknown enum names, bad base64, times and durations.
 */
int transcode_parse(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
		    const char *text, size_t size, struct error *err);

/* What a merge patch says: the values in a message, and the paths of all that changes in a google.protobuf.FieldMask. */
struct transcode_patch {
	ProtobufCMessage *message, *mask; /* each for protobuf_c_message_free_unpacked(m, NULL) */
};
#define TRANSCODE_PATHS_MAX 1024 /* fields that one patch may change */

/*
 * Parses a merge patch (RFC 7396) of a message of `type`. A path is "spec.vcpus", "labels.tier", or "labels.`a.b`" for a key
 * that is no plain word; one that is not in the message, because it was null, gets its default; "spec.vsock." is an empty
 * object. Arrays are replaced whole, and a patch that changes nothing has no path.
 * What transcode_parse() refuses is refused here, too, and a map's key with a backtick.
 */
int transcode_patch(struct transcode_patch *out, const ProtobufCMessageDescriptor *type,
		    const char *text, size_t size, struct error *err);

/*
 * Writes the message as one line of JSON, with a newline and a NUL that *size does not count; free() it. Strings that are
 * not UTF-8 get '?' for each bad byte. Errors: RESOURCE_EXHAUSTED when memory is out.
 */
int transcode_print(char **out, size_t *size, const ProtobufCMessage *message, struct error *err);

/*
 * Sets a field from text, as path and query parameters come: a string as it is, a number in decimal digits, true or
 * false, an enum name, a duration such as "30s". `field` must be a field of the message that is none of repeated, bytes
 * and another message. err->field is "/" and the field's name.
 */
int transcode_set(ProtobufCMessage *message, const char *field, const char *text,
		  struct error *err);

/* Puts `value` into a message field, which must be empty so far and of that type; the message owns it from now on. */
void transcode_attach(ProtobufCMessage *message, const char *field, ProtobufCMessage *value);

/* Sets a bytes field to a copy of `size` bytes. RESOURCE_EXHAUSTED when memory is out. */
int transcode_set_bytes(ProtobufCMessage *message, const char *field, const void *data, size_t size,
			struct error *err);

/* The text of a string field or the value of a uint64 field of that name; NULL and 0 when the message has none. */
const char *transcode_string(const ProtobufCMessage *message, const char *field);
uint64_t transcode_u64(const ProtobufCMessage *message, const char *field);

/* What protobuf-c does not check in a message that it unpacked: every string is UTF-8. Names the field. */
int transcode_check(const ProtobufCMessage *message, struct error *err);
/*
 * What is lost when it unpacks: no string has a NUL. Names the field. The bytes may be anything; what of them is no field of a
 * message is for protobuf-c to refuse. No message type is inside itself.
 */
int transcode_check_wire(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
			 struct error *err);

#endif
