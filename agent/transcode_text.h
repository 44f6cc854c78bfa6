/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text forms inside transcode: times, durations, base64, and JSON pointers; private to transcode*.c and its tests.
 */
#ifndef CROFT_AGENT_TRANSCODE_TEXT_H
#define CROFT_AGENT_TRANSCODE_TEXT_H

#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "vmm/base.h"

/* Seconds of a Duration and years of a Timestamp are limited as in google/protobuf/{duration,timestamp}.proto. */
#define TEXT_DURATION_SECONDS_MAX 315576000000LL
#define TEXT_TIME_SECONDS_MIN	  (-62135596800LL) /* 0001-01-01T00:00:00Z */
#define TEXT_TIME_SECONDS_MAX	  253402300799LL   /* 9999-12-31T23:59:59Z */

#define TEXT_MAX 96 /* more than the longest text of the printers, with its NUL */

/* "30s", "1.5s", "-0.25s". False when the text is anything else or out of range; *out is then as it was. */
bool text_parse_duration(Google__Protobuf__Duration *out, const char *text);
/* False when the value has no text: out of range, or seconds and nanos of different sign. */
bool text_print_duration(char out[TEXT_MAX], const Google__Protobuf__Duration *value);

/* RFC 3339, with an offset or Z, and up to nine digits of fraction. Leap seconds are refused. */
bool text_parse_time(Google__Protobuf__Timestamp *out, const char *text);
/* In UTC with Z; 0, 3, 6 or 9 digits of fraction. */
bool text_print_time(char out[TEXT_MAX], const Google__Protobuf__Timestamp *value);

/* RFC 4648 section 4, with padding. Both give malloc'ed memory, or NULL: bad text, or memory is out (errno ENOMEM). */
uint8_t *text_parse_base64(const char *text, size_t size, size_t *out_size);
char *text_print_base64(const uint8_t *data, size_t size);

/* Length in bytes of the UTF-8 character at `text`, 1 to 4; 0 when it is not one. */
size_t text_utf8_length(const char *text, size_t size);
bool text_is_utf8(const char *text, size_t size);
/* Puts '?' for each byte that is not UTF-8; in place, or in a copy, which is NULL when memory is out. */
void text_make_utf8(char *text);
char *text_utf8_copy(const char *text);

/* A JSON pointer (RFC 6901) that grows and shrinks during a walk; one that gets too long is cut. */
struct pointer {
	size_t len;
	char text[ERROR_FIELD_MAX];
};

/* Both append one reference token and return the length to go back to. */
size_t pointer_key(struct pointer *pointer, const char *key, size_t size);
size_t pointer_index(struct pointer *pointer, size_t index);
void pointer_back(struct pointer *pointer, size_t len);

/* Walks a JSON text, which may be wrong in any way, up to byte `stop`. What it finds is in the arguments. */
struct scan {
	struct pointer pointer; /* of the value that `stop` is in or behind */
	size_t depth_max;	/* deepest nesting seen */
	size_t values;		/* values seen, about */
};
/* Ends early, with depth_max or values beyond the limit, when a limit of transcode.h is passed. */
void scan_json(struct scan *scan, const char *text, size_t stop);

/* --- Descriptors --- */

/* Bytes of one value in memory. */
size_t transcode_element_size(ProtobufCType type);
/* Whether a repeated field of entry messages is a map, which is an object in JSON. */
bool transcode_is_map(const ProtobufCMessageDescriptor *parent,
		      const ProtobufCFieldDescriptor *field);
/* Frees what a string or message field holds, and makes it empty; for other types it does nothing. */
void transcode_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

#endif
