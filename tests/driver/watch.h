/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test sees of the driver from outside: its tracepoints, its files in sysfs, the kernel's
 * interrupts and memory.
 */
#ifndef CROFT_TESTS_DRIVER_WATCH_H
#define CROFT_TESTS_DRIVER_WATCH_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/driver/runner.h"

#define TRACING "/sys/kernel/tracing/"
#define SYSFS	"/sys/class/misc/gunyah/"

/* The whole of a small file, "" if it cannot be read; for the caller to free. */
static inline char *slurp(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t size = 0, capacity = 1 << 16, got;
	char *text = calloc(1, capacity);

	while (file && text && (got = fread(text + size, 1, capacity - size - 1, file)) > 0) {
		size += got;
		text[size] = '\0';
		if (capacity - size < 4096)
			text = realloc(text, capacity *= 2);
	}
	if (file)
		fclose(file);
	return text;
}

static inline bool spill(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	bool ok = file && fputs(text, file) >= 0;

	if (file && fclose(file))
		ok = false;
	return ok;
}

static inline void sysfs_is(const char *name, const char *want)
{
	char path[128], *got;

	snprintf(path, sizeof(path), SYSFS "%s", name);
	got = slurp(path);
	got[strcspn(got, "\n")] = '\0';
	if (strcmp(got, want))
		wrong("%s: \"%s\", expected \"%s\"", path, got, want);
	free(got);
}

static inline long number_of(const char *path)
{
	char *text = slurp(path);
	long value = strtol(text, NULL, 0);

	free(text);
	return value;
}

/* Of hugetlbfs, for two guests. */
static inline void need_huge_pages(void)
{
	if (!spill("/proc/sys/vm/nr_hugepages", "4\n") ||
	    number_of("/proc/sys/vm/nr_hugepages") < 2)
		skip("no huge pages on this board");
}

/* The number behind a word at the beginning of a line, as in /proc/meminfo; -1 if it is not there. */
static inline long figure(const char *path, const char *word)
{
	char *text = slurp(path), *line, *rest = NULL;
	long value = -1;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (!strncmp(line, word, strlen(word)))
			sscanf(line + strlen(word), " %ld", &value);
	free(text);
	return value;
}

#define SLACK_KIB 16384 /* caches that come and go */

static inline long available_kib(void)
{
	spill("/proc/sys/vm/drop_caches", "3\n");
	return figure("/proc/meminfo", "MemAvailable:");
}

/* How often an interrupt of this name has come, over all CPUs; -1 without one. */
static inline long interrupts(const char *name)
{
	char *text = slurp("/proc/interrupts"), *line, *rest = NULL, *at;
	long sum = -1, value;
	int used;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strstr(line, name) || !(at = strchr(line, ':')))
			continue;
		sum = sum < 0 ? 0 : sum;
		for (at++; sscanf(at, " %ld%n", &value, &used) == 1; at += used)
			sum += value;
	}
	free(text);
	return sum;
}

/* --- Tracepoints --- */

static inline void trace_begin(void)
{
	/* Other cases' leftovers go; a large buffer, so that nothing is lost. */
	if (!spill(TRACING "buffer_size_kb", "4096\n") || !spill(TRACING "trace", "\n") ||
	    !spill(TRACING "events/gunyah/enable", "1\n"))
		wrong("no tracepoints in " TRACING);
}

/* The trace up to now; for the caller to free. */
static inline char *trace_end(void)
{
	spill(TRACING "events/gunyah/enable", "0\n");
	return slurp(TRACING "trace");
}

/* How many lines of the trace hold both words. */
static inline int traced(const char *trace, const char *event, const char *word)
{
	const char *line = trace, *next;
	int count = 0;

	for (; line && *line; line = next) {
		size_t length;
		char text[512];

		next = strchr(line, '\n');
		length = next ? (size_t)(next - line) : strlen(line);
		if (length >= sizeof(text))
			length = sizeof(text) - 1;
		memcpy(text, line, length);
		text[length] = '\0';
		count += strstr(text, event) && strstr(text, word);
		next = next ? next + 1 : NULL;
	}
	return count;
}

/* Where these words come one after the other; NULL and a complaint when they do not. */
static inline void in_order(const char *trace, const char *const *words, size_t count)
{
	const char *at = trace;
	size_t i;

	for (i = 0; i < count; i++) {
		at = strstr(at, words[i]);
		if (!at) {
			wrong("\"%s\" is not in the trace, or too early", words[i]);
			return;
		}
	}
}

#endif
