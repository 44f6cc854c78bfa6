/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr, with the <N> prefix that the journal reads when the journal listens.
 */
#ifndef CROFT_AGENT_LOG_H
#define CROFT_AGENT_LOG_H

#include <stdbool.h>

/* The levels of syslog(3), by their numbers. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};
#define LOG_LEVELS "error, warning, notice, info, debug"

/* "warning" and the like; false for any other word. */
bool log_level_of(enum log_level *out, const char *word);
const char *log_level_name(enum log_level level);

/* Lines that matter less are not written; at first LOG_LEVEL_INFO. Any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Before the first line and before other threads exist: finds out whether the journal listens. */
void log_init(void);

/* One line, cut at 1,000 bytes; control characters in it are shown as '?'. Any thread. */
void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_print(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_print(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_print(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_print(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_print(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
