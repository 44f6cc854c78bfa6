/* SPDX-License-Identifier: GPL-2.0-only */
/* Plain services: locks, pages, and the log on the console. */
#include <stdarg.h>

#include "core/arch.h"

/*
 * --- Locks ---
 * Whoever comes first gets it: an order of arrival would stall every CPU when the next in line is one that the machine
 * beneath an emulated board does not run just then.
 */

void hyp_lock(hyp_spinlock_t *lock)
{
	while (__atomic_exchange_n(&lock->value, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->value, __ATOMIC_RELAXED))
			arch_relax();
}

void hyp_unlock(hyp_spinlock_t *lock)
{
	__atomic_store_n(&lock->value, 0, __ATOMIC_RELEASE);
}

/* --- Pages: a heap that only grows, and a list of what came back --- */

struct free_page {
	struct free_page *next;
};

static struct {
	hyp_spinlock_t lock;
	struct free_page *free;
	pa_t at, end;
} pool;

void pool_init(void)
{
	pool.free = NULL;
	arch_pool(&pool.at, &pool.end);
}

void *hyp_alloc_page(void)
{
	void *page = NULL;

	hyp_lock(&pool.lock);
	if (pool.free) {
		page = pool.free;
		pool.free = pool.free->next;
	} else if (pool.end - pool.at >= HYP_PAGE) {
		page = arch_ptr(pool.at);
		pool.at += HYP_PAGE;
	}
	hyp_unlock(&pool.lock);
	if (page)
		arch_zero_page(page);
	return page;
}

void hyp_free_page(void *page)
{
	struct free_page *p = page;

	if (!p)
		return;
	hyp_lock(&pool.lock);
	p->next = pool.free;
	pool.free = p;
	hyp_unlock(&pool.lock);
}

/* --- Seeds --- */

uint64_t hyp_random(void)
{
	uint64_t value = arch_counter();

	for (unsigned int i = 0; i < 4; i++) {
		uint32_t word = 0;

		/* Without a generator the counter alone stirs it. */
		if (!arch_entropy(&word))
			word = (uint32_t)arch_counter();
		value = (value ^ word) * 0x9e3779b97f4a7c15ull;
		value ^= value >> 29;
	}
	return value;
}

/* --- Log --- */

static hyp_spinlock_t log_lock;
static bool log_alone;

void log_panic(void)
{
	log_alone = true;
}

static void put_text(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			arch_putc('\r');
		arch_putc(*s);
	}
}

static void put_number(uint64_t value, unsigned int base)
{
	char digits[21];
	unsigned int i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_text(&digits[i]);
}

void hyp_log(const char *fmt, ...)
{
	va_list args;

	if (!log_alone)
		hyp_lock(&log_lock);
	put_text("refhyp: ");
	va_start(args, fmt);
	for (; *fmt; fmt++) {
		char text[2] = { *fmt, '\0' };
		unsigned int longs = 0;

		if (*fmt != '%') {
			put_text(text);
			continue;
		}
		while (*++fmt == 'l')
			longs++;
		switch (*fmt) {
		case 's':
			put_text(va_arg(args, const char *));
			break;
		case 'c':
			text[0] = (char)va_arg(args, int);
			put_text(text);
			break;
		case 'p':
			put_number((uintptr_t)va_arg(args, void *), 16);
			break;
		case 'u':
		case 'x':
			put_number(longs ? va_arg(args, unsigned long) : va_arg(args, unsigned int),
				   *fmt == 'x' ? 16 : 10);
			break;
		case '\0':
			fmt--;
			break;
		default:
			text[0] = *fmt;
			put_text(text);
		}
	}
	va_end(args);
	if (!log_alone)
		hyp_unlock(&log_lock);
}
