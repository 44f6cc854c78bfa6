// SPDX-License-Identifier: Apache-2.0
// A ring of numbered messages, of which the newest are kept.

#include "agent/ring.h"

#include <inttypes.h>
#include <string.h>

#include "agent/store.h"

#define SLOTS_MIN 64u

struct ring_entry {
	size_t n;
	uint8_t bytes[];
};

uint64_t ring_oldest(const struct ring *ring)
{
	return ring->newest - ring->count + 1;
}

static struct ring_entry **slot(const struct ring *ring, uint64_t number)
{
	return &ring->slots[number % ring->size];
}

/* Makes room for one more, which the caller has seen to be allowed. */
static int grow(struct ring *ring)
{
	size_t size = ring->size ? ring->size * 2 : SLOTS_MIN;
	struct ring_entry **slots;

	if (ring->count < ring->size)
		return 0;
	if (size > ring->kept)
		size = ring->kept;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint64_t n = ring_oldest(ring); n <= ring->newest; n++)
		slots[n % size] = *slot(ring, n);
	free(ring->slots);
	ring->slots = slots;
	ring->size = size;
	return 0;
}

static struct ring_entry *entry_new(size_t n)
{
	struct ring_entry *e = malloc(sizeof(*e) + n);

	if (e)
		e->n = n;
	return e;
}

/* Behind the newest; there is room. */
static void put(struct ring *ring, struct ring_entry *e)
{
	*slot(ring, ++ring->newest) = e;
	ring->count++;
	ring->bytes += e->n;
}

static void drop(struct ring *ring)
{
	struct ring_entry **oldest = slot(ring, ring_oldest(ring));

	ring->bytes -= (*oldest)->n;
	free(*oldest);
	*oldest = NULL;
	ring->count--;
}

int ring_drop(struct ring *ring, struct store *store)
{
	if (store_trim(store, ring->kind, ring_oldest(ring)) < 0)
		return -ENOMEM;
	drop(ring);
	return 0;
}

int ring_add(struct ring *ring, struct store *store, const ProtobufCMessage *message)
{
	struct ring_entry *e;

	if (ring->count == ring->kept && ring_drop(ring, store) < 0)
		return -ENOMEM;
	e = grow(ring) < 0 ? NULL : entry_new(protobuf_c_message_get_packed_size(message));
	if (!e)
		return -ENOMEM;
	protobuf_c_message_pack(message, e->bytes);
	if (store_append(store, ring->kind, ring->newest + 1, e->bytes, e->n) < 0) {
		free(e);
		return -ENOMEM;
	}
	put(ring, e);
	return 0;
}

void *ring_copy(const struct ring *ring, uint64_t number,
		const ProtobufCMessageDescriptor *descriptor)
{
	const struct ring_entry *e;

	if (number < ring_oldest(ring) || number > ring->newest)
		return NULL;
	e = *slot(ring, number);
	return protobuf_c_message_unpack(descriptor, NULL, e->n, e->bytes);
}

static int load(void *data, uint64_t number, const void *bytes, size_t n, struct error *err)
{
	struct ring *ring = data;
	struct ring_entry *e;

	if (ring->count && number != ring->newest + 1)
		return error_raise(err, ERROR_DATA_LOSS, "%s %" PRIu64 " is missing in the store",
				   ring->kind, ring->newest + 1);
	/* A file of an agent that kept more. */
	if (ring->count == ring->kept)
		drop(ring);
	e = grow(ring) < 0 ? NULL : entry_new(n);
	if (!e)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (n)
		memcpy(e->bytes, bytes, n);
	ring->newest = number - 1;
	put(ring, e);
	return 0;
}

int ring_load(struct ring *ring, struct store *store, struct error *err)
{
	return store_load_entries(store, ring->kind, load, ring, err);
}

void ring_clear(struct ring *ring)
{
	while (ring->count)
		drop(ring);
	free(ring->slots);
	ring->slots = NULL;
	ring->size = 0;
}
