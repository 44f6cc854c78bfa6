/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every user-space part stands on: the error value, scope cleanup, and a few checked helpers.
 */
#ifndef CROFT_VMM_BASE_H
#define CROFT_VMM_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- Errors --- */

/* Stable codes; agent/fault.c maps each to a status of HTTP and gRPC. */
enum error_code {
	ERROR_NONE = 0,
	ERROR_INVALID_ARGUMENT, /* a value that the caller can correct; names the field */
	ERROR_NOT_FOUND,
	ERROR_ALREADY_EXISTS,
	ERROR_CONFLICT,	    /* the object's state forbids it now */
	ERROR_PRECONDITION, /* If-Match does not hold */
	ERROR_RESOURCE_EXHAUSTED,
	ERROR_CANCELLED,
	ERROR_DEADLINE,
	ERROR_UNAVAILABLE, /* try again later */
	ERROR_UNSUPPORTED,
	ERROR_PERMISSION_DENIED,
	ERROR_UNAUTHENTICATED,
	ERROR_OUT_OF_RANGE, /* a place in a sequence that is not there any more */
	ERROR_DATA_LOSS,    /* a digest that does not match, a damaged file */
	ERROR_INTERNAL,
	ERROR_CODE_COUNT
};

#define ERROR_MESSAGE_MAX 384
#define ERROR_FIELD_MAX	  96

/* A value: copy it freely. code is ERROR_NONE until raised. */
struct error {
	enum error_code code;
	int err;		     /* errno, or 0 */
	char field[ERROR_FIELD_MAX]; /* JSON pointer of the field at fault, or "" */
	char message[ERROR_MESSAGE_MAX];
};

/*
 * Fill *e (which may be NULL) and return a negative errno: -err, or for err 0 a fitting errno of
 * the code. error_raise_errno() appends ": " and the text of err. A message that does not fit is
 * cut at a character.
 */
int error_raise(struct error *e, enum error_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int error_raise_errno(struct error *e, enum error_code code, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * The same for a field at fault, always ERROR_INVALID_ARGUMENT; `field` is a JSON pointer such as
 * "/spec/vcpus".
 */
int error_raise_field(struct error *e, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * Put "text: " before the message; e must have been raised. Returns -errno of e as the raisers do.
 */
int error_widen(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *error_code_name(enum error_code code); /* "INVALID_ARGUMENT", ... never NULL */

/* --- Scope cleanup --- */

#define _cleanup_(f)	 __attribute__((cleanup(f)))
#define _cleanup_free_	 _cleanup_(base_freep)
#define _cleanup_close_	 _cleanup_(base_closep)
#define _cleanup_fclose_ _cleanup_(base_fclosep)

#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})
#define TAKE_FD(fd)               \
	({                        \
		int take_ = (fd); \
		(fd) = -1;        \
		take_;            \
	})

static inline void base_freep(void *p)
{
	free(*(void **)p);
}

static inline int base_close(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

static inline void base_closep(int *fd)
{
	*fd = base_close(*fd);
}

static inline void base_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* --- Helpers --- */

#define ARRAY_SIZE(a)		      (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/*
 * Reads or writes all of n bytes at off, restarting after EINTR; -errno, and -EIO for an early end
 * of file.
 */
int pread_all(int fd, void *buf, size_t n, uint64_t off);
int pwrite_all(int fd, const void *buf, size_t n, uint64_t off);

#endif
