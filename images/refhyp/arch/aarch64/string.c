/* SPDX-License-Identifier: GPL-2.0-only */
/* What the compiler and libfdt expect of a C library. */
/* Else the compiler would make these loops into calls of themselves. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arch.h"

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *s, int c, size_t size);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t size);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
int strcmp(const char *a, const char *b);
unsigned long strtoul(const char *s, char **end, int base);
_Noreturn void __stack_chk_fail(void);

/* Debian's libfdt is built with stack protection; its canary need not be secret from the hypervisor itself. */
uintptr_t __stack_chk_guard = 0x5bd1e995f00dull;

_Noreturn void __stack_chk_fail(void)
{
	arch_panic("stack smashed");
}

static bool aligned(const void *a, const void *b)
{
	return !(((uintptr_t)a | (uintptr_t)b) & 7);
}

void *memcpy(void *to, const void *from, size_t size)
{
	uint8_t *d = to;
	const uint8_t *s = from;

	if (aligned(d, s)) {
		for (; size >= 8; size -= 8, d += 8, s += 8)
			*(uint64_t *)(void *)d = *(const uint64_t *)(const void *)s;
	}
	while (size--)
		*d++ = *s++;
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *d = to;
	const uint8_t *s = from;

	if (d <= s || d >= s + size) {
		while (size--)
			*d++ = *s++;
	} else {
		while (size--)
			d[size] = s[size];
	}
	return to;
}

void *memset(void *to, int value, size_t size)
{
	uint8_t *d = to;
	uint64_t word = (uint8_t)value * 0x0101010101010101ull;

	for (; size && (uintptr_t)d & 7; size--)
		*d++ = (uint8_t)value;
	for (; size >= 8; size -= 8, d += 8)
		*(uint64_t *)(void *)d = word;
	while (size--)
		*d++ = (uint8_t)value;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (; size--; x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *s, int c, size_t size)
{
	const uint8_t *p = s;

	for (; size--; p++)
		if (*p == (uint8_t)c)
			return (void *)(uintptr_t)p;
	return NULL;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t size)
{
	size_t n = 0;

	while (n < size && s[n])
		n++;
	return n;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;

	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (!*s)
			return (char *)(uintptr_t)last;
	}
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (uint8_t)*a - (uint8_t)*b;
}

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'z' ? (unsigned int)(c - 'a') + 10 : UINT_MAX;
}

/* Without white space and signs, which no device tree has. */
unsigned long strtoul(const char *s, char **end, int base)
{
	unsigned long value = 0;

	if (s[0] == '0' && (s[1] | 0x20) == 'x' && (base == 0 || base == 16) && digit(s[2]) < 16) {
		s += 2;
		base = 16;
	} else if (base == 0) {
		base = s[0] == '0' ? 8 : 10;
	}
	for (; digit(*s) < (unsigned int)base; s++)
		if (__builtin_mul_overflow(value, (unsigned long)base, &value) ||
		    __builtin_add_overflow(value, digit(*s), &value))
			value = ULONG_MAX;
	if (end)
		*end = (char *)(uintptr_t)s;
	return value;
}
