// SPDX-License-Identifier: Apache-2.0
/*
 * Walks an initrd from its first to its last byte, to find out that it was cut before a guest
 * panics on it. Formats: cpio newc (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst), RFC 1952, RFC 8878, xz file format
 * 1.0.4, lz4 legacy frames.
 */
#include "vmm/boot.h"

#include <string.h>
#include <zlib.h>

struct cursor {
	const uint8_t *data;
	size_t n, at;
	uint64_t limit; /* bytes that may still be unpacked */
};

static size_t left(const struct cursor *c)
{
	return c->n - c->at;
}

static bool starts(const struct cursor *c, const char *magic, size_t n)
{
	return left(c) >= n && memcmp(c->data + c->at, magic, n) == 0;
}

static int truncated(struct error *err, const char *format)
{
	return error_raise(err, ERROR_DATA_LOSS, "truncated %s archive", format);
}

/* Moves on by n bytes; false when there are fewer. */
static bool skip(struct cursor *c, uint64_t n)
{
	if (n > left(c))
		return false;
	c->at += (size_t)n;
	return true;
}

static uint32_t le(const uint8_t *p, unsigned int bytes)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < bytes; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

/* --- cpio --- */

#define CPIO_HEADER    110u
#define CPIO_FIELDS    6u /* where the eight-digit fields begin */
#define CPIO_FILE_SIZE 6u /* number of the field */
#define CPIO_NAME_SIZE 11u

static bool cpio_field(const uint8_t *header, unsigned int field, uint32_t *value)
{
	const uint8_t *p = header + CPIO_FIELDS + 8 * field;

	*value = 0;
	for (unsigned int i = 0; i < 8; i++) {
		uint8_t c = p[i] | 0x20;
		uint32_t digit;

		if (p[i] >= '0' && p[i] <= '9')
			digit = (uint32_t)p[i] - '0';
		else if (c >= 'a' && c <= 'f')
			digit = (uint32_t)c - 'a' + 10;
		else
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

static uint64_t pad4(uint64_t n)
{
	return (n + 3) & ~3ull;
}

static int check_cpio(struct cursor *c, struct error *err)
{
	static const char trailer[] = "TRAILER!!!";

	for (;;) {
		const uint8_t *header = c->data + c->at;
		uint32_t name_size, file_size;
		bool last;

		if (left(c) < CPIO_HEADER)
			return truncated(err, "cpio");
		if (!starts(c, "070701", 6) && !starts(c, "070702", 6))
			return error_raise(err, ERROR_DATA_LOSS, "damaged cpio archive at byte %zu",
					   c->at);
		if (!cpio_field(header, CPIO_NAME_SIZE, &name_size) ||
		    !cpio_field(header, CPIO_FILE_SIZE, &file_size))
			return error_raise(err, ERROR_DATA_LOSS, "damaged cpio archive at byte %zu",
					   c->at);
		last = name_size == sizeof(trailer) && left(c) >= CPIO_HEADER + sizeof(trailer) &&
		       memcmp(header + CPIO_HEADER, trailer, sizeof(trailer)) == 0;
		/* The very last entry needs no padding. */
		if (last)
			return skip(c, CPIO_HEADER + name_size) ? 0 : truncated(err, "cpio");
		if (!skip(c, pad4(CPIO_HEADER + (uint64_t)name_size)) || !skip(c, pad4(file_size)))
			return truncated(err, "cpio");
	}
}

/* --- gzip --- */

static void inflate_endp(z_stream *z)
{
	inflateEnd(z);
}

/* Unpacks to nowhere: the checksum at the end says whether all was there. */
static int check_gzip(struct cursor *c, struct error *err)
{
	_cleanup_(inflate_endp) z_stream z = { 0 };
	uint8_t nowhere[16384];
	int r = Z_OK;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "unpack");
	while (r != Z_STREAM_END) {
		size_t in = left(c) > (1u << 30) ? (1u << 30) : left(c), out;

		/* zlib's type lacks const; it does not write there. */
		z.next_in = (uint8_t *)(uintptr_t)(c->data + c->at);
		z.avail_in = (unsigned int)in;
		z.next_out = nowhere;
		z.avail_out = sizeof(nowhere);
		r = inflate(&z, Z_NO_FLUSH);
		c->at += in - z.avail_in;
		out = sizeof(nowhere) - z.avail_out;
		if (r == Z_BUF_ERROR || (r == Z_OK && left(c) == 0 && out == 0))
			return truncated(err, "gzip");
		if (r != Z_OK && r != Z_STREAM_END)
			return error_raise(err, ERROR_DATA_LOSS, "damaged gzip archive: %s",
					   z.msg ? z.msg : "unknown");
		if (out > c->limit)
			return error_raise_field(err, "/spec/memory_bytes",
						 "unpacked, it is larger than the VM's memory");
		c->limit -= out;
	}
	return 0;
}

/* --- zstd: the frame's blocks can be walked without unpacking them --- */

static int check_zstd(struct cursor *c, struct error *err)
{
	static const uint8_t dictionary_bytes[4] = { 0, 1, 2, 4 };
	static const uint8_t content_bytes[4] = { 0, 2, 4, 8 };
	uint8_t descriptor;
	uint32_t block = 0;
	bool single;

	if (left(c) < 5)
		return truncated(err, "zstd");
	descriptor = c->data[c->at + 4];
	single = descriptor & 0x20;
	if (!skip(c, 5u + !single + dictionary_bytes[descriptor & 3] +
			     content_bytes[descriptor >> 6] +
			     (single && descriptor >> 6 == 0 ? 1u : 0u)))
		return truncated(err, "zstd");
	while (!(block & 1)) {
		uint32_t size;

		if (left(c) < 3)
			return truncated(err, "zstd");
		block = le(c->data + c->at, 3);
		if ((block >> 1 & 3) == 3)
			return error_raise(err, ERROR_DATA_LOSS, "damaged zstd archive");
		/* A block of type 1 is one byte, repeated. */
		size = (block >> 1 & 3) == 1 ? 1 : block >> 3;
		if (!skip(c, 3) || !skip(c, size))
			return truncated(err, "zstd");
	}
	if ((descriptor & 4) && !skip(c, 4))
		return truncated(err, "zstd");
	return 0;
}

/* --- xz: its last bytes are a footer --- */

static int check_xz(struct cursor *c, struct error *err)
{
	size_t end = c->n;

	/* What may follow a stream is zeros, four at a time. */
	while (end >= c->at + 4 && le(c->data + end - 4, 4) == 0)
		end -= 4;
	if ((end - c->at) % 4 != 0 || end - c->at < 32 || memcmp(c->data + end - 2, "YZ", 2) != 0)
		return truncated(err, "xz");
	c->at = c->n;
	return 0;
}

/* --- lz4, the legacy frame that Linux reads: chunks until the end or another magic number --- */

#define LZ4_CHUNK_MAX ((8u << 20) + (8u << 20) / 255 + 16)

static int check_lz4(struct cursor *c, struct error *err)
{
	if (!skip(c, 4))
		return truncated(err, "lz4");
	while (left(c) >= 4) {
		uint32_t size = le(c->data + c->at, 4);

		if (size == 0 || size > LZ4_CHUNK_MAX)
			return 0;
		if (!skip(c, 4) || !skip(c, size))
			return truncated(err, "lz4");
	}
	return left(c) == 0 ? 0 : truncated(err, "lz4");
}

static const struct {
	const char *magic;
	size_t size;
	int (*check)(struct cursor *c, struct error *err);
} formats[] = {
	{ "070701", 6, check_cpio },
	{ "070702", 6, check_cpio },
	{ "\x1f\x8b", 2, check_gzip },
	{ "\x28\xb5\x2f\xfd", 4, check_zstd },
	{ "\xfd"
	  "7zXZ",
	  6, check_xz },
	{ "\x02\x21\x4c\x18", 4, check_lz4 },
};

int initrd_check(const uint8_t *data, size_t n, uint64_t limit, struct error *err)
{
	struct cursor c = { .data = data, .n = n, .limit = limit };
	bool any = false;

	for (;;) {
		size_t i;
		int r;

		while (left(&c) > 0 && c.data[c.at] == 0)
			c.at++;
		if (left(&c) == 0 && any)
			return 0;
		for (i = 0; i < ARRAY_SIZE(formats); i++)
			if (starts(&c, formats[i].magic, formats[i].size))
				break;
		if (i == ARRAY_SIZE(formats))
			return error_raise(err, ERROR_DATA_LOSS,
					   "no cpio, gzip, zstd, xz or lz4 archive at byte %zu",
					   c.at);
		r = formats[i].check(&c, err);
		if (r < 0)
			return r;
		any = true;
	}
}
