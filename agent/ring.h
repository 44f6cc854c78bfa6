/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of numbered messages, of which the newest are kept: packed, because most are never looked at. Service thread only.
 */
#ifndef CROFT_AGENT_RING_H
#define CROFT_AGENT_RING_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

struct store;
struct ring_entry;

/* {.kind, .kept} and else zeroes is empty. Its numbers have no gaps. */
struct ring {
	const char *kind; /* in the store; static */
	size_t kept;	  /* at most */

	struct ring_entry **slots; /* that of number n is n % size */
	size_t size, count;
	uint64_t newest; /* number; 0: there was none yet */
	size_t bytes;	 /* of all messages */
};

/* Brings it back. DATA_LOSS for a gap, RESOURCE_EXHAUSTED. Before store_start(). */
int ring_load(struct ring *ring, struct store *store, struct error *err);

/* Frees its memory; what the store has stays. */
void ring_clear(struct ring *ring);

/*
 * Adds the message as number ring->newest + 1, here and in the store's queue, and drops the oldest of a full ring. -ENOMEM
 * leaves all as it was, but that the oldest may be gone.
 */
int ring_add(struct ring *ring, struct store *store, const ProtobufCMessage *message);

/* Drops the oldest; there must be one. -ENOMEM leaves it. */
int ring_drop(struct ring *ring, struct store *store);

/* The oldest number that is kept, or that the next one gets when there is none. */
uint64_t ring_oldest(const struct ring *ring);

/* A copy of the message of that number, which the caller frees; NULL when it is not kept, and without memory. */
void *ring_copy(const struct ring *ring, uint64_t number,
		const ProtobufCMessageDescriptor *descriptor);

#endif
