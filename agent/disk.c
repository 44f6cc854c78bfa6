// SPDX-License-Identifier: Apache-2.0
// A VM's own disk files: reflinked where the file system can, else copied without the blocks that are zero.

#include "agent/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define CHUNK (256u << 10) /* bytes of one read */
#define BLOCK 4096u	   /* what is left out when it is zero */

struct copy {
	struct job *job;
	const char *path;
	int from, to;
	uint64_t size; /* of the source */
	unsigned char *chunk;
};

static int raise_write(const char *verb, const char *path, int e, struct error *err)
{
	return error_raise_errno(err,
				 e == ENOSPC || e == EDQUOT || e == EFBIG ? ERROR_RESOURCE_EXHAUSTED
									  : ERROR_INTERNAL,
				 e, "%s %s", verb, path);
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* Writes the blocks of the chunk that are not zero; what is left out reads as zero. */
static int write_chunk(const struct copy *c, size_t n, uint64_t at, struct error *err)
{
	for (size_t i = 0; i < n; i += BLOCK) {
		size_t part = n - i < BLOCK ? n - i : BLOCK;
		int r;

		if (is_zero(c->chunk + i, part))
			continue;
		r = pwrite_all(c->to, c->chunk + i, part, at + i);
		if (r < 0)
			return raise_write("write", c->path, -r, err);
	}
	return 0;
}

static int copy_data(const struct copy *c, uint64_t at, uint64_t end, struct error *err)
{
	while (at < end) {
		size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		int r = job_check(c->job, err);

		if (r < 0)
			return r;
		r = pread_all(c->from, c->chunk, n, at);
		if (r < 0)
			return error_raise_errno(err, ERROR_INTERNAL, -r, "read the disk's image");
		r = write_chunk(c, n, at, err);
		if (r < 0)
			return r;
		at += n;
		atomic_fetch_add(&c->job->done_bytes, n);
	}
	return 0;
}

/* Goes from one stretch of data to the next; a file system without holes has one stretch. */
static int copy_all(const struct copy *c, struct error *err)
{
	uint64_t at = 0;

	while (at < c->size) {
		off_t data = lseek(c->from, (off_t)at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(c->from, data, SEEK_HOLE);
		uint64_t start, end;
		int r;

		if (data < 0 && errno == ENXIO)
			return 0;
		start = data < 0 ? at : (uint64_t)data;
		end = hole <= data ? c->size : (uint64_t)hole;
		if (end > c->size)
			end = c->size;
		r = copy_data(c, start, end, err);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

static int fill(struct copy *c, const char *source, struct error *err)
{
	_cleanup_close_ int from = open(source, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ unsigned char *chunk = malloc(CHUNK);
	struct stat st;

	if (!chunk)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	if (from < 0 || fstat(from, &st) < 0)
		return error_raise_errno(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_INTERNAL,
					 errno, "open %s", source);
	c->size = (uint64_t)st.st_size;
	if (ioctl(c->to, FICLONE, from) == 0)
		return 0;
	c->from = from;
	c->chunk = chunk;
	atomic_fetch_add(&c->job->total_bytes, c->size);
	return copy_all(c, err);
}

static int make(struct copy *c, const char *source, uint64_t size, struct error *err)
{
	int r = source ? fill(c, source, err) : 0;

	if (r < 0)
		return r;
	if (c->size > size)
		size = c->size;
	size = (size + 511) / 512 * 512;
	if (ftruncate(c->to, (off_t)size) < 0)
		return raise_write("enlarge", c->path, errno, err);
	if (fdatasync(c->to) < 0)
		return raise_write("flush", c->path, errno, err);
	return 0;
}

/* The file that is there gets `size` when it has less; -ENOENT, without an error, when there is none. */
static int enlarge(const char *path, uint64_t size, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT
			       ? -ENOENT
			       : error_raise_errno(err, ERROR_INTERNAL, errno, "stat %s", path);
	size = (size + 511) / 512 * 512;
	if ((uint64_t)st.st_size < size && truncate(path, (off_t)size) < 0)
		return raise_write("enlarge", path, errno, err);
	return 0;
}

int disk_make(struct job *job, const char *path, const char *source, uint64_t size,
	      struct error *err)
{
	_cleanup_free_ char *draft = NULL;
	_cleanup_close_ int fd = -1;
	struct copy c = { .job = job, .path = path };
	int r;

	r = enlarge(path, size, err);
	if (r != -ENOENT)
		return r;
	if (asprintf(&draft, "%s.draft", path) < 0) {
		draft = NULL;
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	/* A draft of a process that died is begun anew. */
	fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return raise_write("create", draft, errno, err);
	c.to = fd;
	r = make(&c, source, size, err);
	if (r == 0 && rename(draft, path) < 0)
		r = error_raise_errno(err, ERROR_INTERNAL, errno, "rename %s", draft);
	if (r < 0)
		unlink(draft);
	return r;
}
