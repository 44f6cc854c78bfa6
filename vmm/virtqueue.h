/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (virtio 1.2, section 2.7): the only reader and writer of a guest's rings.
 */
#ifndef CROFT_VMM_VIRTQUEUE_H
#define CROFT_VMM_VIRTQUEUE_H

#include <sys/uio.h>

#include "vmm/mem.h"

#define VIRTQUEUE_SIZE_MAX 256u

struct virtqueue {
	const struct mem *mem;
	gpa_t desc, avail, used; /* what the driver wrote */
	uint16_t size;		 /* entries, a power of two once the queue is ready */
	bool ready;
	bool event_idx;	     /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;	     /* VIRTIO_F_INDIRECT_DESC was negotiated */
	uint16_t next_avail; /* the next entry that we look at */
	uint16_t next_used;  /* the next entry that we fill */
	uint16_t told_used;  /* next_used when the driver was last told */
	uint32_t epoch;	     /* another each time that the queue is made ready or reset */
};

/*
 * One request: descriptors that were read once and checked. The bytes they point at may still
 * change.
 */
struct virtq_chain {
	uint16_t head;
	unsigned int out_count, in_count; /* the device reads the former, writes the latter */
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTQUEUE_SIZE_MAX]; /* first all out, then all in; none is empty */
};

static inline struct iovec *virtq_in(struct virtq_chain *chain)
{
	return chain->iov + chain->out_count;
}

/* Forgets everything but mem and the count of epochs. */
void virtqueue_reset(struct virtqueue *q);

/*
 * Makes the queue ready; -EINVAL, and nothing changed, when a ring is misaligned or not all in RAM.
 */
int virtqueue_enable(struct virtqueue *q);

/*
 * Takes the next request: 1 with *chain filled, 0 when there is none, -EPROTO when the driver broke
 * the rules (an index that jumps, a chain that loops or points outside RAM, ...): the device then
 * needs a reset.
 */
int virtqueue_pop(struct virtqueue *q, struct virtq_chain *chain);

/* Puts back the last n requests that were taken: they are the next ones again. */
void virtqueue_unpop(struct virtqueue *q, uint16_t n);

/*
 * The same as virtqueue_push() in two steps, for several requests that the driver must see at once:
 * fill numbers them from 0, publish tells how many they are.
 */
int virtqueue_fill(struct virtqueue *q, uint16_t n, uint16_t head, uint32_t written);
int virtqueue_publish(struct virtqueue *q, uint16_t n);

/* Goes on where another device has left a ready queue: at the request next_avail. */
int virtqueue_resume(struct virtqueue *q, uint16_t next_avail);

/*
 * Gives a request back, with the number of bytes written into its in part. -EPROTO when the ring
 * left RAM.
 */
int virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written);

/* Asks for a notification of the next request. 1 when one came meanwhile, 0, or -EPROTO. */
int virtqueue_listen(struct virtqueue *q);

/*
 * The same for a request beyond those that are there: *offered is the number of requests that the
 * driver had offered when the caller last looked (a running 16-bit count), and is brought up to
 * date.
 */
int virtqueue_listen_beyond(struct virtqueue *q, uint16_t *offered);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_interrupt(struct virtqueue *q);

/*
 * Copy between a flat buffer and count pieces, from offset off of them; returns the bytes copied,
 * at most n.
 */
size_t iov_read(const struct iovec *iov, unsigned int count, uint64_t off, void *to, size_t n);
size_t iov_write(const struct iovec *iov, unsigned int count, uint64_t off, const void *from,
		 size_t n);

/* Takes n bytes, which there are, off the front; returns the first piece that is left. */
struct iovec *iov_drop(struct iovec *iov, unsigned int *count, size_t n);

#endif
