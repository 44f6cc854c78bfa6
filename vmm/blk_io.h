/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and flushes of a disk: through io_uring, a batch of them with one system call, or
 * where the host has none, one after the other.
 */
#ifndef CROFT_VMM_BLK_IO_H
#define CROFT_VMM_BLK_IO_H

#include <sys/uio.h>

#include "vmm/loop.h"

#define BLK_IO_DEPTH 128u /* that the kernel has at once; more wait here */

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH };

/* First member of a request, which is the owner's. */
struct blk_job {
	struct blk_job *next;
	enum blk_op op;
	bool durable; /* a write that is on the medium when it is done */
	uint64_t off; /* bytes, as is left; these three change while it goes on */
	uint64_t left;
	struct iovec *iov;
	unsigned int pieces;
};

struct blk_io;

/* Called with the owner's lock held; error is 0 or an errno. */
typedef void blk_done_fn(void *owner, struct blk_job *job, int error);

struct blk_io_config {
	int fd; /* stays the caller's, and open */
	struct loop *loop;
	bool synchronous; /* without io_uring, whether there is or not */
	blk_done_fn *done;
	/* On the device thread when something is done: takes the lock, and calls blk_io_reap(). */
	void (*ready)(void *owner);
	void *owner;
};

/* On failure *out is untouched. The other functions are called with the owner's lock held. */
int blk_io_new(struct blk_io **out, const struct blk_io_config *config, struct error *err);
struct blk_io *blk_io_free(struct blk_io *io);

/* Whether io_uring is used. */
bool blk_io_is_uring(const struct blk_io *io);

/* Begins a job; done() may be called before it returns. */
void blk_io_add(struct blk_io *io, struct blk_job *job);

/* Hands over what was added, and calls done() for all that is done already. */
void blk_io_submit(struct blk_io *io);

/* Calls done() for all that is done. */
void blk_io_reap(struct blk_io *io);

/* Waits until nothing is under way; done() has been called for all. */
void blk_io_drain(struct blk_io *io);

#endif
