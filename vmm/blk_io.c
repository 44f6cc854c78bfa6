// SPDX-License-Identifier: Apache-2.0
/* A disk's I/O by liburing, and its fall-back. */
#include "vmm/blk_io.h"

#include <assert.h>
#include <liburing.h>
#include <sched.h>

#include "vmm/virtqueue.h"

struct blk_io {
	struct blk_io_config config;
	struct io_uring ring;
	bool is_uring;
	struct loop_source completed;
	unsigned int under_way;		 /* with the kernel */
	unsigned int unsubmitted;	 /* of those, not told to it yet */
	struct blk_job *waiting, **tail; /* for room in the ring */
};

/* --- One after the other --- */

/* n bytes are done: whether that was all. */
static bool advance(struct blk_job *job, size_t n)
{
	job->off += n;
	job->left -= n;
	job->iov = iov_drop(job->iov, &job->pieces, n);
	return job->left == 0;
}

static int do_now(const struct blk_io *io, struct blk_job *job)
{
	int fd = io->config.fd, pieces;
	ssize_t n;

	if (job->op == BLK_FLUSH)
		return fdatasync(fd) < 0 ? errno : 0;
	do {
		pieces = (int)job->pieces;
		if (job->op == BLK_READ)
			n = preadv(fd, job->iov, pieces, (off_t)job->off);
		else
			n = pwritev2(fd, job->iov, pieces, (off_t)job->off,
				     job->durable ? RWF_DSYNC : 0);
		if (n < 0 && errno != EINTR)
			return errno;
		/* The file has become shorter. */
		if (n == 0)
			return EIO;
	} while (n < 0 || !advance(job, (size_t)n));
	return 0;
}

/* --- io_uring --- */

static void prepare(struct blk_io *io, struct blk_job *job)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	/* There are as many as may be under way. */
	assert(sqe);
	switch (job->op) {
	case BLK_READ:
		io_uring_prep_readv(sqe, io->config.fd, job->iov, job->pieces, job->off);
		break;
	case BLK_WRITE:
		io_uring_prep_writev2(sqe, io->config.fd, job->iov, job->pieces, job->off,
				      job->durable ? RWF_DSYNC : 0);
		break;
	case BLK_FLUSH:
		io_uring_prep_fsync(sqe, io->config.fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, job);
	io->under_way++;
	io->unsubmitted++;
}

static void enter(struct blk_io *io)
{
	while (io->unsubmitted > 0) {
		int n = io_uring_submit(&io->ring);

		/* No room for completions, or no memory now: they wait for the next time. */
		if (n <= 0 && n != -EINTR)
			return;
		if (n > 0)
			io->unsubmitted -= (unsigned int)n;
	}
}

static void complete(struct blk_io *io, struct blk_job *job, int result)
{
	int error = result < 0 ? -result : 0;

	io->under_way--;
	if (result == -EINTR || result == -EAGAIN) {
		prepare(io, job);
		return;
	}
	if (error == 0 && job->op != BLK_FLUSH) {
		if (result == 0)
			error = EIO;
		else if (!advance(job, (size_t)result)) {
			prepare(io, job);
			return;
		}
	}
	io->config.done(io->config.owner, job, error);
}

static bool reap_some(struct blk_io *io)
{
	struct io_uring_cqe *cqe;
	bool any = false;

	while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
		struct blk_job *job = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&io->ring, cqe);
		complete(io, job, result);
		any = true;
	}
	while (io->waiting && io->under_way < BLK_IO_DEPTH) {
		struct blk_job *job = io->waiting;

		io->waiting = job->next;
		if (!io->waiting)
			io->tail = &io->waiting;
		prepare(io, job);
	}
	return any;
}

/*
 * The kernel signals only while nobody looks: what completes during a look is seen by it, and the
 * last look comes after the signal is on again.
 */
static void look(struct blk_io *io)
{
	(void)io_uring_cq_eventfd_toggle(&io->ring, false);
	do
		enter(io);
	while (reap_some(io));
	(void)io_uring_cq_eventfd_toggle(&io->ring, true);
	while (reap_some(io))
		enter(io);
	/* With nothing under way, nothing would wake us for the next time. */
	if (io->unsubmitted > 0 && io->unsubmitted == io->under_way)
		eventfd_signal(io->completed.fd);
}

static void completed(struct loop_source *source)
{
	struct blk_io *io = CONTAINER_OF(source, struct blk_io, completed);

	io->config.ready(io->config.owner);
}

static int set_up_ring(struct blk_io *io, struct error *err)
{
	int fd, r;

	/* Not an error where the kernel has none, or forbids it. */
	if (io->config.synchronous || io_uring_queue_init(BLK_IO_DEPTH, &io->ring, 0) < 0)
		return 0;
	io->is_uring = true;
	fd = eventfd_new();
	if (fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -fd, "io_uring");
	io->completed = (struct loop_source){ .fd = fd, .ready = completed };
	r = io_uring_register_eventfd(&io->ring, fd);
	if (r < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -r, "io_uring");
	return loop_add(io->config.loop, &io->completed, err);
}

/* --- Either --- */

int blk_io_new(struct blk_io **out, const struct blk_io_config *config, struct error *err)
{
	struct blk_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "disk I/O");
	io->config = *config;
	io->completed.fd = -1;
	io->tail = &io->waiting;
	r = set_up_ring(io, err);
	if (r < 0) {
		blk_io_free(io);
		return r;
	}
	*out = io;
	return 0;
}

struct blk_io *blk_io_free(struct blk_io *io)
{
	if (!io)
		return NULL;
	blk_io_drain(io);
	if (io->is_uring)
		io_uring_queue_exit(&io->ring);
	base_close(io->completed.fd);
	free(io);
	return NULL;
}

bool blk_io_is_uring(const struct blk_io *io)
{
	return io->is_uring;
}

void blk_io_add(struct blk_io *io, struct blk_job *job)
{
	if (!io->is_uring) {
		io->config.done(io->config.owner, job, do_now(io, job));
		return;
	}
	job->next = NULL;
	if (io->under_way < BLK_IO_DEPTH && !io->waiting) {
		prepare(io, job);
		return;
	}
	*io->tail = job;
	io->tail = &job->next;
}

void blk_io_submit(struct blk_io *io)
{
	if (io->is_uring && io->under_way > 0)
		look(io);
}

void blk_io_reap(struct blk_io *io)
{
	blk_io_submit(io);
}

void blk_io_drain(struct blk_io *io)
{
	struct io_uring_cqe *cqe;

	while (io->is_uring && io->under_way > 0) {
		enter(io);
		/* Not even one could be handed over: the kernel has no memory at the moment. */
		if (io->unsubmitted == io->under_way)
			sched_yield();
		else
			(void)io_uring_wait_cqe(&io->ring, &cqe);
		reap_some(io);
	}
}
