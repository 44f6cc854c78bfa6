/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs cases on the board: each in a process of its own, and after each no page may be left pinned.
 *
 * Prints PASS, FAIL or SKIP for each case, then a line that counts.
 */
#ifndef CROFT_TESTS_DRIVER_RUNNER_H
#define CROFT_TESTS_DRIVER_RUNNER_H

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE 600 /* seconds a case may take, on a board that is emulated on a busy machine */
#define SETTLE	 200 /* seconds until the memory of processes that died is back */

struct test_case {
	const char *name;
	void (*run)(void);
};

/* --- Results --- */

static unsigned int passed, failed, skipped;
static const char *case_name;
static bool case_ok;

/* What a case ends with that cannot run here. */
#define CASE_SKIPPED 77

static inline void __attribute__((format(printf, 1, 2))) wrong(const char *format, ...)
{
	va_list args;

	case_ok = false;
	printf("    %s: ", case_name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

/* Ends the case, in its own process. */
static inline void __attribute__((noreturn)) skip(const char *why)
{
	printf("SKIP driver %s: %s\n", case_name, why);
	fflush(stdout);
	_exit(CASE_SKIPPED);
}

static inline void expect(const char *what, long got, long want)
{
	if (got != want)
		wrong("%s: %ld, expected %ld", what, got, want);
}

/* Pages that are pinned in the whole system, -1 if the kernel does not tell. */
static inline long pinned(void)
{
	char line[128];
	long acquired = -1, released = 0, value;
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "we");

	/* The CPUs' own counts are added up first. */
	if (file) {
		fputs("1", file);
		fclose(file);
	}
	file = fopen("/proc/vmstat", "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "nr_foll_pin_acquired %ld", &value) == 1)
			acquired = value;
		if (sscanf(line, "nr_foll_pin_released %ld", &value) == 1)
			released = value;
	}
	if (file)
		fclose(file);
	return acquired < 0 ? -1 : acquired - released;
}

static inline int wait_for(pid_t child)
{
	int status, tenths;

	for (tenths = 0; tenths < DEADLINE * 10; tenths++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(100000);
	}
	printf("    %s: no end after %d s\n", case_name, DEADLINE);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return status;
}

/* Waits until so many pages are pinned; how many there are then. */
static inline long settle(long wanted)
{
	long now = pinned();
	int tenths;

	for (tenths = 0; now != wanted && tenths < SETTLE * 10; tenths++) {
		usleep(100000);
		now = pinned();
	}
	return now;
}

static inline void run_case(const struct test_case *c)
{
	struct timespec begin, end;
	long before = pinned(), after;
	bool skips;
	int status;
	pid_t child;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	case_name = c->name;
	case_ok = true;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		c->run();
		fflush(stdout);
		_exit(!case_ok);
	}
	status = wait_for(child);
	skips = WIFEXITED(status) && WEXITSTATUS(status) == CASE_SKIPPED;
	if (status && !skips)
		wrong("status %#x", (unsigned int)status);
	/* A process that dies leaves its VM to the driver, which takes its time. */
	after = settle(before);
	if (after != before)
		wrong("%ld pages stay pinned", after - before);
	if (skips && case_ok) {
		skipped++;
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s driver %s (%.1f s)\n", case_ok ? "PASS" : "FAIL", case_name,
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	case_ok ? passed++ : failed++;
}

static inline bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

/* The main of a program of cases. */
static inline int run_cases(const struct test_case *cases, size_t count, int argc, char **argv)
{
	bool device = access("/dev/gunyah", R_OK | W_OK) == 0;
	size_t i;

	/* The program that ran before may have left a VM to the driver, too. */
	if (pinned() > 0)
		settle(0);
	for (i = 0; i < count; i++) {
		if (!wanted(cases[i].name, argc, argv))
			continue;
		if (device) {
			run_case(&cases[i]);
		} else {
			printf("SKIP driver %s: no /dev/gunyah\n", cases[i].name);
			skipped++;
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}

#endif
