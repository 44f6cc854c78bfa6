/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VMs, images and operations have in common: a message that is kept in the store under its kind and name.
 */
#ifndef CROFT_AGENT_RECORD_H
#define CROFT_AGENT_RECORD_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

struct service;

struct record {
	const char *kind; /* "vm", "image", "operation", ... */
	const char *name; /* the message's own */
	const ProtobufCMessage *message;
	uint64_t *revision; /* the message's, or NULL */
	bool dirty;
	struct record *next_dirty;
};

#define RECORD_UID 37 /* 36 characters and the NUL */

/* A random UUID. */
void record_uid(char out[RECORD_UID]);

/* The message has changed: gives it a new revision and lets it be stored with the other changes of this pass. */
void record_touch(struct service *service, struct record *record);

/* Takes it out of the store; it must not be touched any more. RESOURCE_EXHAUSTED leaves it there. */
int record_forget(struct service *service, struct record *record, struct error *err);

/* Puts what was touched into the store's queue; -ENOMEM when something had to stay for the next time. */
int records_queue(struct service *service);

/* ERROR_PRECONDITION when if_match is neither 0 nor the record's revision. */
int record_match(const struct record *record, uint64_t if_match, struct error *err);

#endif
