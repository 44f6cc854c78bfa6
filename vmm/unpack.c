// SPDX-License-Identifier: Apache-2.0
/* Unpacks gzip and zstd files into guest memory, without trusting what they say of their size. */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/boot.h"

#define CHUNK (64u << 10)

/* At least one byte, or an error. */
static ssize_t read_chunk(int fd, void *chunk, uint64_t *off, const char *what, struct error *err)
{
	ssize_t n;

	do
		n = pread(fd, chunk, CHUNK, (off_t)*off);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "read");
	if (n == 0)
		return error_raise(err, ERROR_DATA_LOSS, "truncated %s file", what);
	*off += (uint64_t)n;
	return n;
}

static void inflate_endp(z_stream *z)
{
	inflateEnd(z);
}

/*
 * Unpacks a gzip file into at most room bytes at `to`, without trusting what it says of its own
 * size.
 */
static int inflate_file(int fd, uint8_t *to, uint64_t room, uint64_t *unpacked, struct error *err)
{
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK);
	_cleanup_(inflate_endp) z_stream z = { 0 };
	uint64_t off = 0, done = 0;
	int r = Z_OK;

	if (!chunk || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "unpack");
	while (r != Z_STREAM_END) {
		uint64_t left = room - done;

		if (z.avail_in == 0) {
			ssize_t n = read_chunk(fd, chunk, &off, "gzip", err);

			if (n < 0)
				return (int)n;
			z.next_in = chunk;
			z.avail_in = (unsigned int)n;
		}
		if (left == 0)
			return -E2BIG;
		z.next_out = to + done;
		z.avail_out = left > CHUNK ? CHUNK : (unsigned int)left;
		left = z.avail_out;
		r = inflate(&z, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			return error_raise(err, ERROR_DATA_LOSS, "damaged gzip file: %s",
					   z.msg ? z.msg : "unknown");
		done += left - z.avail_out;
	}
	*unpacked = done;
	return 0;
}

static void zstd_freep(ZSTD_DCtx **ctx)
{
	ZSTD_freeDCtx(*ctx);
}

static int unzstd_file(int fd, uint8_t *to, uint64_t room, uint64_t *unpacked, struct error *err)
{
	_cleanup_(zstd_freep) ZSTD_DCtx *ctx = ZSTD_createDCtx();
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK);
	ZSTD_outBuffer out = { .dst = to, .size = room };
	ZSTD_inBuffer in = { .src = chunk };
	uint64_t off = 0;
	size_t r = 1;

	if (!chunk || !ctx)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "unpack");
	while (r != 0) {
		size_t before = out.pos;

		if (in.pos == in.size) {
			ssize_t n = read_chunk(fd, chunk, &off, "zstd", err);

			if (n < 0)
				return (int)n;
			in.size = (size_t)n;
			in.pos = 0;
		}
		r = ZSTD_decompressStream(ctx, &out, &in);
		if (ZSTD_isError(r))
			return error_raise(err, ERROR_DATA_LOSS, "damaged zstd file: %s",
					   ZSTD_getErrorName(r));
		if (r != 0 && out.pos == out.size && (before == out.pos || in.pos < in.size))
			return -E2BIG;
	}
	*unpacked = out.pos;
	return 0;
}

boot_unpack_fn *boot_unpacker(const uint8_t *magic)
{
	if (memcmp(magic, "\x1f\x8b", 2) == 0)
		return inflate_file;
	if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return unzstd_file;
	return NULL;
}
