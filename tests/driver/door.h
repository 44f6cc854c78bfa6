/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of refhyp's build for tests (images/refhyp/inject/door.h), through driver_probe, which passes the calls on.
 */
#ifndef CROFT_TESTS_DRIVER_DOOR_H
#define CROFT_TESTS_DRIVER_DOOR_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "images/refhyp/inject/door.h"

#define DOOR_HVC "/sys/kernel/debug/driver_probe/hvc"

struct answer {
	uint64_t error, x[4];
};

static inline struct answer door(uint64_t function, const uint64_t args[6])
{
	struct answer answer = { .error = ~0ull };
	uint64_t regs[7] = { function };
	int fd = open(DOOR_HVC, O_RDWR | O_CLOEXEC);

	if (args)
		memcpy(regs + 1, args, 6 * sizeof(regs[0]));
	if (fd < 0 || write(fd, regs, sizeof(regs)) != sizeof(regs) ||
	    read(fd, &answer, sizeof(answer)) != sizeof(answer))
		answer.error = ~0ull;
	if (fd >= 0)
		close(fd);
	return answer;
}

/* Whether it is refhyp below us, and that build of it. */
static inline bool has_door(void)
{
	return !door(INJECT_HELLO, NULL).error;
}

#endif
