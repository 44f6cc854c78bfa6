/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of the kernel's own events by thread and call stack, as its histogram triggers keep them:
 * which of them the driver caused, and which an interrupt or the scheduler that came in between.
 */
#ifndef CROFT_TESTS_DRIVER_HIST_H
#define CROFT_TESTS_DRIVER_HIST_H

#include <errno.h>
#include <sys/stat.h>

#include "tests/driver/watch.h"

/* An instance of its own, so that nobody else's settings change what is counted. */
#define HIST_INSTANCE TRACING "instances/croft_hist/"

static inline void hist_path(char path[256], const char *event, const char *file)
{
	snprintf(path, 256, HIST_INSTANCE "events/%s/%s", event, file);
}

/* Whether this kernel has the event. */
static inline bool hist_has(const char *event)
{
	char path[256];

	hist_path(path, event, "trigger");
	return access(path, W_OK) == 0;
}

/*
 * Counts the event in two threads from here on, by `keys`: fields of the event, a caller's address
 * as symbol among them, or "stacktrace".
 */
static inline void hist_begin(const char *event, const char *keys, const int tids[2])
{
	char path[256], text[256];

	hist_path(path, event, "trigger");
	snprintf(text, sizeof(text), "hist:keys=common_pid,%s if common_pid==%d||common_pid==%d\n",
		 keys, tids[0], tids[1]);
	if (!spill(path, text))
		wrong("%s does not take %s", path, text);
}

struct hist_entry {
	int tid;
	unsigned long long key; /* the second key, when it is a number */
	bool by_driver;
	long hits;
	char stack[512]; /* its innermost functions */
};

/*
 * Of a stack, innermost first: the driver's if one of its functions comes before an interrupt's
 * entry or the scheduler.
 */
static inline void hist_frame(struct hist_entry *entry, const char *frame, bool *settled)
{
	size_t used = strlen(entry->stack);

	snprintf(entry->stack + used, sizeof(entry->stack) - used, " %.*s",
		 (int)strcspn(frame, "+"), frame);
	if (*settled)
		return;
	entry->by_driver = strstr(frame, "[gunyah]") != NULL;
	*settled = entry->by_driver || !strncmp(frame, "el1", 3) ||
		   !strncmp(frame, "call_on_irq_stack+", 18) || !strncmp(frame, "schedule", 8) ||
		   !strncmp(frame, "__schedule+", 11);
}

/* The next entry of a histogram's text; false at its end. */
static inline bool hist_next(char **rest, struct hist_entry *entry)
{
	bool settled = false;
	const char *at;
	char *line;

	*entry = (struct hist_entry){ .tid = -1 };
	while ((line = strtok_r(NULL, "\n", rest))) {
		line += strspn(line, " \t");
		if (!strncmp(line, "{ common_pid:", 13)) {
			sscanf(line + 13, "%d", &entry->tid);
			at = strchr(line + 13, ':');
			if (at)
				entry->key = strtoull(at + 1, NULL, 0);
			/* Where the caller is a key, and not the whole stack. */
			entry->by_driver = strstr(line, "[gunyah]") != NULL;
		}
		at = strstr(line, "} hitcount:");
		if (entry->tid >= 0 && at) {
			sscanf(at + 11, "%ld", &entry->hits);
			return true;
		}
		if (entry->tid >= 0 && strchr(line, '+'))
			hist_frame(entry, line, &settled);
	}
	return false;
}

/* Calls `see` for each entry of the event's histogram as it is now. */
static inline void hist_each(const char *event,
			     void (*see)(void *context, const struct hist_entry *entry),
			     void *context)
{
	struct hist_entry entry;
	char path[256], *text, *rest;

	hist_path(path, event, "hist");
	text = slurp(path);
	if (!strstr(text, "Dropped: 0"))
		wrong("%s is not whole", path);
	rest = NULL;
	/* The first line is a comment. */
	strtok_r(text, "\n", &rest);
	while (hist_next(&rest, &entry))
		see(context, &entry);
	free(text);
}

static inline void hist_open(void)
{
	if (mkdir(HIST_INSTANCE, 0700) && errno != EEXIST)
		skip("this kernel counts no events");
}

/* Triggers, and the instance, go. */
static inline void hist_close(void)
{
	rmdir(HIST_INSTANCE);
}

#endif
