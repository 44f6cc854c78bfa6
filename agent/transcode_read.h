/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a JSON tree along descriptors, one step at a time: private to transcode.c and transcode_patch.c.
 */
#ifndef CROFT_AGENT_TRANSCODE_READ_H
#define CROFT_AGENT_TRANSCODE_READ_H

#include <jansson.h>

#include "agent/transcode.h"
#include "agent/transcode_text.h"

struct reader {
	struct pointer at; /* the value that is looked at */
	struct error *err;
};

/* Parses a text within the limits of transcode.h; json_decref(*out). */
int reader_load(json_t **out, const char *text, size_t size, struct error *err);

/* Raises INVALID_ARGUMENT on the place: "must be a string". */
int reader_refuse(struct reader *r, const char *what);

/* Puts a value into the field `key` of the message, which must be empty so far; r->at is the field's place. */
int reader_field(struct reader *r, ProtobufCMessage *message, const char *key, json_t *json);

/* One "key": value of a map as an entry message of that type, for message_free(). */
int reader_entry(struct reader *r, const ProtobufCMessageDescriptor *type, const char *key,
		 json_t *json, ProtobufCMessage **out);

#endif
