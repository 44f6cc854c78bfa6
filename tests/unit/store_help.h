/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of the store's file share: a scratch directory with the file's path, and who is told of a commit.
 */
#ifndef CROFT_TESTS_UNIT_STORE_HELP_H
#define CROFT_TESTS_UNIT_STORE_HELP_H

#include "tests/unit/agent_help.h"

static char *dir;
static char path[300];

static inline int setup(void **state)
{
	(void)state;
	dir = help_mkdir();
	snprintf(path, sizeof(path), "%s/db", dir);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	help_rmdir(dir);
	return 0;
}

static inline void quiet(void *data)
{
	(void)data;
}

#endif
