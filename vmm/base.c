// SPDX-License-Identifier: Apache-2.0
/* The error value's functions, and file access that restarts. */
#include "vmm/base.h"

#include <assert.h>
#include <string.h>

static const struct {
	const char *name;
	int err;
} codes[ERROR_CODE_COUNT] = {
	[ERROR_NONE] = { "NONE", 0 },
	[ERROR_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", EINVAL },
	[ERROR_NOT_FOUND] = { "NOT_FOUND", ENOENT },
	[ERROR_ALREADY_EXISTS] = { "ALREADY_EXISTS", EEXIST },
	[ERROR_CONFLICT] = { "CONFLICT", EBUSY },
	[ERROR_PRECONDITION] = { "PRECONDITION", ESTALE },
	[ERROR_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", ENOMEM },
	[ERROR_CANCELLED] = { "CANCELLED", ECANCELED },
	[ERROR_DEADLINE] = { "DEADLINE", ETIMEDOUT },
	[ERROR_UNAVAILABLE] = { "UNAVAILABLE", EAGAIN },
	[ERROR_UNSUPPORTED] = { "UNSUPPORTED", EOPNOTSUPP },
	[ERROR_PERMISSION_DENIED] = { "PERMISSION_DENIED", EPERM },
	[ERROR_UNAUTHENTICATED] = { "UNAUTHENTICATED", EACCES },
	[ERROR_OUT_OF_RANGE] = { "OUT_OF_RANGE", ERANGE },
	[ERROR_DATA_LOSS] = { "DATA_LOSS", EBADMSG },
	[ERROR_INTERNAL] = { "INTERNAL", EIO },
};

static bool known(enum error_code code)
{
	return (unsigned int)code < ERROR_CODE_COUNT;
}

const char *error_code_name(enum error_code code)
{
	return known(code) ? codes[code].name : "INTERNAL";
}

/* Ends s before a character that snprintf() cut in the middle. */
static void cut_at_character(char *s, size_t n)
{
	size_t at = n, tail;

	while (at > 0 && ((unsigned char)s[at - 1] & 0xc0) == 0x80)
		at--;
	if (at == 0 || ((unsigned char)s[at - 1] & 0xc0) != 0xc0)
		return;
	tail = n - (at - 1);
	if (tail < (((unsigned char)s[at - 1] & 0xf0) == 0xf0	? 4u
		    : ((unsigned char)s[at - 1] & 0xe0) == 0xe0 ? 3u
								: 2u))
		s[at - 1] = '\0';
}

static void set_message(struct error *e, const char *text, int full)
{
	size_t n = strnlen(text, ERROR_MESSAGE_MAX - 1);

	memcpy(e->message, text, n);
	e->message[n] = '\0';
	if (full >= ERROR_MESSAGE_MAX)
		cut_at_character(e->message, n);
}

static int raise(struct error *e, enum error_code code, int err, const char *fmt, va_list ap)
{
	char text[ERROR_MESSAGE_MAX];
	int n;

	assert(known(code) && code != ERROR_NONE);
	if (!e)
		return err ? -err : -codes[code].err;
	/* The arguments may point into *e, so it is changed last. */
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (err && n >= 0 && (size_t)n < sizeof(text)) {
		char why[128];

		n += snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
			      strerror_r(err, why, sizeof(why)));
	}
	*e = (struct error){ .code = code, .err = err };
	set_message(e, text, n);
	return err ? -err : -codes[code].err;
}

int error_raise(struct error *e, enum error_code code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = raise(e, code, 0, fmt, ap);
	va_end(ap);
	return r;
}

int error_raise_errno(struct error *e, enum error_code code, int err, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = raise(e, code, err, fmt, ap);
	va_end(ap);
	return r;
}

int error_raise_field(struct error *e, const char *field, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = raise(e, ERROR_INVALID_ARGUMENT, 0, fmt, ap);
	va_end(ap);
	if (e)
		snprintf(e->field, sizeof(e->field), "%s", field);
	return r;
}

int error_widen(struct error *e, const char *fmt, ...)
{
	char before[ERROR_MESSAGE_MAX], text[2 * ERROR_MESSAGE_MAX + 2];
	va_list ap;
	int n;

	if (!e)
		return -EIO;
	assert(e->code != ERROR_NONE);
	va_start(ap, fmt);
	vsnprintf(before, sizeof(before), fmt, ap);
	va_end(ap);
	n = snprintf(text, sizeof(text), "%s: %s", before, e->message);
	set_message(e, text, n);
	return e->err ? -e->err : -codes[e->code].err;
}

static int transfer(bool in, int fd, char *p, size_t n, uint64_t off)
{
	while (n > 0) {
		ssize_t r = in ? pread(fd, p, n, (off_t)off) : pwrite(fd, p, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO;
		p += r;
		off += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int pread_all(int fd, void *buf, size_t n, uint64_t off)
{
	return transfer(true, fd, buf, n, off);
}

/* What is written from is not written to, so that the cast hurts nobody. */
int pwrite_all(int fd, const void *buf, size_t n, uint64_t off)
{
	return transfer(false, fd, (char *)(uintptr_t)buf, n, off);
}
