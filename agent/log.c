// SPDX-License-Identifier: Apache-2.0
// Log lines on stderr; one write(2) a line, so that lines of different threads do not mix.

#include "agent/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base.h"

static bool journal;
static _Atomic enum log_level threshold = LOG_LEVEL_INFO;

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{ "error", LOG_LEVEL_ERROR },	{ "warning", LOG_LEVEL_WARNING },
	{ "notice", LOG_LEVEL_NOTICE }, { "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

bool log_level_of(enum log_level *out, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, word) != 0)
			continue;
		*out = levels[i].level;
		return true;
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "";
}

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, level);
}

enum log_level log_get_level(void)
{
	return atomic_load(&threshold);
}

/* JOURNAL_STREAM names the device and inode of the journal's socket, and is inherited; stderr may be another file. */
void log_init(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return;
	snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	journal = strcmp(stream, mine) == 0;
}

static const char *level_word(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error: ";
	case LOG_LEVEL_WARNING:
		return "warning: ";
	case LOG_LEVEL_NOTICE:
	case LOG_LEVEL_INFO:
	case LOG_LEVEL_DEBUG:
		break;
	}
	return "";
}

void log_print(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	size_t start, n;
	va_list ap;

	if (level > atomic_load(&threshold))
		return;
	if (journal)
		snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		snprintf(line, sizeof(line), "croftd: %s", level_word(level));
	start = strlen(line);

	va_start(ap, fmt);
	vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
	va_end(ap);

	n = strlen(line);
	for (size_t i = start; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';

	/* Nobody is left to tell when stderr is gone. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
