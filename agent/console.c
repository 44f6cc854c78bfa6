// SPDX-License-Identifier: Apache-2.0
// A VM's console recording: a ring in a mapped file of fixed size.

#include "agent/console.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC 0x3174666f7263u /* "croft1" */

/* The file. `end` is written after the bytes, so a process that dies in between loses only what was not counted. */
struct ring {
	uint64_t magic;
	uint64_t end; /* bytes since the VM's creation; byte n is at bytes[n % RECORDING_KEPT] */
	unsigned char pad[4080];
	unsigned char bytes[RECORDING_KEPT];
};
static_assert(sizeof(struct ring) == 4096 + RECORDING_KEPT, "the ring begins at the second page");

struct recording {
	pthread_mutex_t lock;
	struct ring *ring;
	bool watched;
	recording_notify notify;
	void *data;
};

static void recording_freep(struct recording **recording)
{
	recording_free(*recording);
}

static int map(struct recording *c, const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *p;
	int r;

	if (fd < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "open %s", path);
	/* All blocks now: a full disk must be an error here and not a SIGBUS later. */
	r = posix_fallocate(fd, 0, (off_t)sizeof(struct ring));
	if (r != 0)
		return error_raise_errno(err,
					 r == ENOSPC ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL, r,
					 "allocate %s", path);
	p = mmap(NULL, sizeof(struct ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "map %s", path);
	c->ring = p;
	if (c->ring->magic != MAGIC) {
		memset(c->ring->bytes, 0, sizeof(c->ring->bytes));
		c->ring->end = 0;
		c->ring->magic = MAGIC;
	}
	return 0;
}

int recording_open(struct recording **out, const char *path, recording_notify notify, void *data,
		   struct error *err)
{
	_cleanup_(recording_freep) struct recording *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	pthread_mutex_init(&c->lock, NULL);
	c->notify = notify;
	c->data = data;
	r = map(c, path, err);
	if (r < 0)
		return r;
	*out = TAKE_PTR(c);
	return 0;
}

struct recording *recording_free(struct recording *c)
{
	if (!c)
		return NULL;
	if (c->ring)
		munmap(c->ring, sizeof(*c->ring));
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

/* Bytes of one stretch that does not wrap. */
static size_t stretch(uint64_t offset, size_t n)
{
	size_t left = RECORDING_KEPT - (size_t)(offset % RECORDING_KEPT);

	return n < left ? n : left;
}

void recording_append(struct recording *c, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;
	struct ring *r = c->ring;
	bool notify;

	pthread_mutex_lock(&c->lock);
	notify = c->watched && n > 0;
	c->watched = c->watched && !notify;
	while (n > 0) {
		size_t part = stretch(r->end, n);

		memcpy(r->bytes + r->end % RECORDING_KEPT, from, part);
		__atomic_store_n(&r->end, r->end + part, __ATOMIC_RELEASE);
		from += part;
		n -= part;
	}
	pthread_mutex_unlock(&c->lock);
	if (notify)
		c->notify(c->data);
}

size_t recording_read(struct recording *c, uint64_t *offset, void *bytes, size_t n)
{
	const struct ring *r = c->ring;
	unsigned char *to = bytes;
	size_t done = 0;

	pthread_mutex_lock(&c->lock);
	if (r->end > RECORDING_KEPT && *offset < r->end - RECORDING_KEPT)
		*offset = r->end - RECORDING_KEPT;
	while (done < n && *offset + done < r->end) {
		uint64_t at = *offset + done;
		uint64_t kept = r->end - at;
		size_t part = stretch(at, n - done < kept ? n - done : (size_t)kept);

		memcpy(to + done, r->bytes + at % RECORDING_KEPT, part);
		done += part;
	}
	pthread_mutex_unlock(&c->lock);
	return done;
}

uint64_t recording_end(struct recording *c)
{
	uint64_t end;

	pthread_mutex_lock(&c->lock);
	end = c->ring->end;
	pthread_mutex_unlock(&c->lock);
	return end;
}

bool recording_watch(struct recording *c, uint64_t offset)
{
	bool there;

	pthread_mutex_lock(&c->lock);
	there = c->ring->end > offset;
	c->watched = c->watched || !there;
	pthread_mutex_unlock(&c->lock);
	return there;
}
