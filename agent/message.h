/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the records' code needs of protobuf-c: copies, strings, and times.
 */
#ifndef CROFT_AGENT_MESSAGE_H
#define CROFT_AGENT_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "croft/v1/common.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "vmm/base.h"

/* A zeroed message of that kind, for protobuf_c_message_free_unpacked(); NULL without memory. */
void *message_new(const ProtobufCMessageDescriptor *descriptor);

/* A deep copy; NULL without memory. */
void *message_copy(const ProtobufCMessage *message);

/* Takes NULL; returns NULL. */
void *message_free(void *message);

/*
 * Replaces a string field of a message that owns its fields. Without memory the field becomes "": the strings that are
 * set through here are texts for people and names that can be found elsewhere.
 */
void message_set_string(char **field, const char *value);

/* Two fields of one type change places: how a record takes in what was merged beside it. */
#define MESSAGE_SWAP(a, b)                 \
	do {                               \
		__typeof__(a) swap_ = (a); \
		(a) = (b);                 \
		(b) = swap_;               \
	} while (0)

/* Puts the wall-clock time into the field; NULL in the field without memory. */
void message_set_now(Google__Protobuf__Timestamp **field);
void message_set_time(Google__Protobuf__Timestamp **field, int64_t seconds, int32_t nanos);

/* Replaces the field by the error as a Problem. */
void message_set_problem(Croft__V1__Problem **field, const struct error *error);

/*
 * Appends to a repeated field of messages or strings, whose array grows by one. -ENOMEM leaves it as it was; the caller
 * keeps the item then.
 */
int message_append(void *array, size_t *count, void *item);

/* Whether the two messages of one type differ in that field; lists also by their order. */
bool message_field_differs(const ProtobufCMessage *a, const ProtobufCMessage *b,
			   const ProtobufCFieldDescriptor *field);

/* Nanoseconds of a duration, from 0 to max_ns; 0 for NULL and for negative ones. */
uint64_t message_duration_ns(const Google__Protobuf__Duration *d, uint64_t max_ns);

uint64_t clock_ns(void); /* CLOCK_MONOTONIC */

#endif
