// SPDX-License-Identifier: Apache-2.0
/*
 * Split virtqueues. The driver may change its memory while we read it, so each descriptor and index
 * is read once, and what bounds a walk is the queue's size, which the driver cannot change while
 * the queue is ready.
 */
#include "vmm/virtqueue.h"

#include <assert.h>
#include <string.h>

#define DESC_F_NEXT	     1u
#define DESC_F_WRITE	     2u
#define DESC_F_INDIRECT	     4u
#define AVAIL_F_NO_INTERRUPT 1u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct desc) == 16, "virtq_desc");

struct used_elem {
	uint32_t id;
	uint32_t len;
};
static_assert(sizeof(struct used_elem) == 8, "virtq_used_elem");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian host");

/* Offsets in the available and the used ring; the event fields are after the ring. */
#define RING_FLAGS   0u
#define RING_IDX     2u
#define RING_ENTRIES 4u

static uint64_t avail_entry(uint16_t i)
{
	return RING_ENTRIES + 2ull * i;
}

static uint64_t used_entry(uint16_t i)
{
	return RING_ENTRIES + sizeof(struct used_elem) * i;
}

void virtqueue_reset(struct virtqueue *q)
{
	const struct mem *mem = q->mem;

	*q = (struct virtqueue){ .mem = mem, .epoch = q->epoch + 1 };
}

static void *ring(const struct virtqueue *q, gpa_t base, uint64_t off, uint64_t n)
{
	return mem_at(q->mem, gpa(base.v + off), n);
}

static bool ring_read16(const struct virtqueue *q, gpa_t base, uint64_t off, uint16_t *value)
{
	uint16_t *p = ring(q, base, off, sizeof(*p));

	if (!p)
		return false;
	*value = __atomic_load_n(p, __ATOMIC_ACQUIRE);
	return true;
}

static bool ring_write16(const struct virtqueue *q, gpa_t base, uint64_t off, uint16_t value)
{
	uint16_t *p = ring(q, base, off, sizeof(*p));

	if (!p)
		return false;
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
	return true;
}

/* Whole rings, event fields included, so that nothing wraps later. */
static bool ring_fits(const struct virtqueue *q, gpa_t base, uint64_t n, uint64_t align)
{
	return base.v % align == 0 && mem_at(q->mem, base, n);
}

int virtqueue_enable(struct virtqueue *q)
{
	if (q->size == 0 || q->size > VIRTQUEUE_SIZE_MAX || (q->size & (q->size - 1)) != 0)
		return -EINVAL;
	if (!ring_fits(q, q->desc, sizeof(struct desc) * q->size, 16) ||
	    !ring_fits(q, q->avail, avail_entry(q->size) + 2, 2) ||
	    !ring_fits(q, q->used, used_entry(q->size) + 2, 4))
		return -EINVAL;
	q->next_avail = 0;
	q->next_used = 0;
	q->told_used = 0;
	q->epoch++;
	q->ready = true;
	return 0;
}

/* A table of indirect descriptors may lie anywhere, so this is a copy and no atomic load. */
static bool read_desc(const struct virtqueue *q, gpa_t table, uint16_t i, struct desc *d)
{
	const void *p = mem_at(q->mem, gpa(table.v + sizeof(*d) * i), sizeof(*d));

	if (!p)
		return false;
	memcpy(d, p, sizeof(*d));
	/*
	 * The compiler must believe that *d differs from guest memory now, and not come back for a
	 * field.
	 */
	__asm__ volatile("" : "+m"(*d) : : "memory");
	return true;
}

/*
 * Adds one buffer. In parts come after all out parts; an empty buffer says nothing and is left out.
 */
static int add_buffer(struct virtqueue *q, struct virtq_chain *chain, const struct desc *d)
{
	unsigned int n = chain->out_count + chain->in_count;
	bool in = d->flags & DESC_F_WRITE;
	void *p;

	if (!in && chain->in_count > 0)
		return -EPROTO;
	if (d->len == 0)
		return 0;
	p = mem_at(q->mem, gpa(d->addr), d->len);
	if (!p || n >= ARRAY_SIZE(chain->iov))
		return -EPROTO;
	chain->iov[n] = (struct iovec){ .iov_base = p, .iov_len = d->len };
	if (in) {
		chain->in_count++;
		chain->in_bytes += d->len;
	} else {
		chain->out_count++;
		chain->out_bytes += d->len;
	}
	return 0;
}

/*
 * Follows a chain through a table of `entries` descriptors: the ring's, from the chain's head, or
 * with indirect NULL an indirect one, from its start. An indirect descriptor ends the walk of the
 * ring's table, and is handed to the caller.
 */
static int walk(struct virtqueue *q, struct virtq_chain *chain, gpa_t table, uint32_t entries,
		struct desc *indirect)
{
	uint16_t i = indirect ? chain->head : 0;

	for (uint32_t seen = 0; seen < entries; seen++) {
		struct desc d;
		int r;

		if (i >= entries || !read_desc(q, table, i, &d))
			return -EPROTO;
		if (d.flags & DESC_F_INDIRECT) {
			/*
			 * Not in a table of its own kind, not with a successor, not unless
			 * negotiated.
			 */
			if (!indirect || (d.flags & DESC_F_NEXT) || !q->indirect)
				return -EPROTO;
			*indirect = d;
			return 0;
		}
		r = add_buffer(q, chain, &d);
		if (r < 0)
			return r;
		if (!(d.flags & DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	/* More steps than entries: it loops. */
	return -EPROTO;
}

static int read_chain(struct virtqueue *q, struct virtq_chain *chain)
{
	struct desc indirect = { 0 };
	int r = walk(q, chain, q->desc, q->size, &indirect);

	if (r < 0 || !(indirect.flags & DESC_F_INDIRECT))
		return r;
	/*
	 * A table may have no more entries than the queue, and its length is a whole number of
	 * them.
	 */
	if (indirect.len == 0 || indirect.len % sizeof(struct desc) != 0 ||
	    indirect.len / sizeof(struct desc) > VIRTQUEUE_SIZE_MAX)
		return -EPROTO;
	if (!mem_at(q->mem, gpa(indirect.addr), indirect.len))
		return -EPROTO;
	return walk(q, chain, gpa(indirect.addr), indirect.len / (uint32_t)sizeof(struct desc),
		    NULL);
}

int virtqueue_pop(struct virtqueue *q, struct virtq_chain *chain)
{
	uint16_t idx, head;

	assert(q->ready);
	if (!ring_read16(q, q->avail, RING_IDX, &idx))
		return -EPROTO;
	if (idx == q->next_avail)
		return 0;
	if ((uint16_t)(idx - q->next_avail) > q->size)
		return -EPROTO;
	if (!ring_read16(q, q->avail, avail_entry(q->next_avail & (uint16_t)(q->size - 1)),
			 &head) ||
	    head >= q->size)
		return -EPROTO;
	chain->head = head;
	chain->out_count = 0;
	chain->in_count = 0;
	chain->out_bytes = 0;
	chain->in_bytes = 0;
	if (read_chain(q, chain) < 0)
		return -EPROTO;
	q->next_avail++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *q, uint16_t n)
{
	q->next_avail = (uint16_t)(q->next_avail - n);
}

int virtqueue_fill(struct virtqueue *q, uint16_t n, uint16_t head, uint32_t written)
{
	struct used_elem elem = { .id = head, .len = written };
	uint16_t at = (uint16_t)(q->next_used + n) & (uint16_t)(q->size - 1);
	void *p;

	assert(q->ready && head < q->size);
	p = ring(q, q->used, used_entry(at), sizeof(elem));
	if (!p)
		return -EPROTO;
	memcpy(p, &elem, sizeof(elem));
	return 0;
}

int virtqueue_publish(struct virtqueue *q, uint16_t n)
{
	q->next_used = (uint16_t)(q->next_used + n);
	return ring_write16(q, q->used, RING_IDX, q->next_used) ? 0 : -EPROTO;
}

int virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written)
{
	int r = virtqueue_fill(q, 0, head, written);

	return r < 0 ? r : virtqueue_publish(q, 1);
}

int virtqueue_resume(struct virtqueue *q, uint16_t next_avail)
{
	q->next_avail = next_avail;
	if (!ring_read16(q, q->used, RING_IDX, &q->next_used))
		return -EPROTO;
	q->told_used = q->next_used;
	return 0;
}

int virtqueue_listen_beyond(struct virtqueue *q, uint16_t *offered)
{
	uint16_t idx;

	/* Without event indices the flag stays 0: we always listen. */
	if (q->event_idx && !ring_write16(q, q->used, used_entry(q->size), *offered))
		return -EPROTO;
	/* Either the driver sees the new event index, or we see its new entry. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring_read16(q, q->avail, RING_IDX, &idx))
		return -EPROTO;
	if (idx == *offered)
		return 0;
	*offered = idx;
	return 1;
}

int virtqueue_listen(struct virtqueue *q)
{
	uint16_t offered = q->next_avail;

	return virtqueue_listen_beyond(q, &offered);
}

bool virtqueue_should_interrupt(struct virtqueue *q)
{
	uint16_t told = q->told_used, now = q->next_used, value;

	if (told == now)
		return false;
	q->told_used = now;
	/* Either the driver sees the new used index, or we see that it wants to know. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->event_idx) {
		if (!ring_read16(q, q->avail, avail_entry(q->size), &value))
			return false;
		/* value is one of told .. now - 1 (virtio 1.2, section 2.7.7.2). */
		return (uint16_t)(now - value - 1) < (uint16_t)(now - told);
	}
	if (!ring_read16(q, q->avail, RING_FLAGS, &value))
		return false;
	return !(value & AVAIL_F_NO_INTERRUPT);
}

/* What is left of a copy: n bytes from offset off of the pieces. */
struct rest {
	const struct iovec *iov;
	unsigned int count;
	uint64_t off;
	size_t n;
};

/* Moves on by one part that lies in one piece; its size, or 0 at the end. */
static size_t next_part(struct rest *rest, char **part)
{
	size_t n;

	for (; rest->count > 0 && rest->off >= rest->iov->iov_len; rest->iov++, rest->count--)
		rest->off -= rest->iov->iov_len;
	if (rest->count == 0 || rest->n == 0)
		return 0;
	n = rest->iov->iov_len - (size_t)rest->off;
	if (n > rest->n)
		n = rest->n;
	*part = (char *)rest->iov->iov_base + rest->off;
	rest->off += n;
	rest->n -= n;
	return n;
}

size_t iov_read(const struct iovec *iov, unsigned int count, uint64_t off, void *to, size_t n)
{
	struct rest rest = { iov, count, off, n };
	char *p = to, *part;
	size_t size;

	for (; (size = next_part(&rest, &part)) > 0; p += size)
		memcpy(p, part, size);
	return n - rest.n;
}

size_t iov_write(const struct iovec *iov, unsigned int count, uint64_t off, const void *from,
		 size_t n)
{
	struct rest rest = { iov, count, off, n };
	const char *p = from;
	size_t size;
	char *part;

	for (; (size = next_part(&rest, &part)) > 0; p += size)
		memcpy(part, p, size);
	return n - rest.n;
}

struct iovec *iov_drop(struct iovec *iov, unsigned int *count, size_t n)
{
	while (n > 0 && n >= iov->iov_len) {
		n -= iov->iov_len;
		iov++;
		(*count)--;
	}
	if (n > 0) {
		iov->iov_base = (char *)iov->iov_base + n;
		iov->iov_len -= n;
	}
	return iov;
}
