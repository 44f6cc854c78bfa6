// SPDX-License-Identifier: Apache-2.0
/* Keeps every CPU busy for ever: reading a device register, which traps each time, or (no argument) just counting. */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void spin(const volatile uint32_t *reg, volatile uint64_t *count)
{
	for (;;) {
		if (reg)
			(void)*reg;
		*count += 1;
	}
}

int main(int argc, char **argv)
{
	const volatile uint32_t *reg = NULL;
	volatile uint64_t count = 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (argc > 1) {
		off_t address = (off_t)strtoull(argv[1], NULL, 16);
		off_t in_page = address & 4095;
		int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
		char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, address - in_page);

		if (page == MAP_FAILED) {
			perror("croft-guest: /dev/mem");
			return 1;
		}
		reg = (const volatile uint32_t *)(page + in_page);
	}
	printf("croft-guest: spinning on %ld CPUs\n", cpus);
	fflush(stdout);
	for (long i = 1; i < cpus; i++) {
		if (fork() == 0)
			spin(reg, &count);
	}
	spin(reg, &count);
}
