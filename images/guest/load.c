// SPDX-License-Identifier: Apache-2.0
/* A disk under load: reads of a page all over it, DEPTH of them at once, past the page cache. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH  64u
#define ROUNDS 200u
#define PAGE   4096u

static struct iocb requests[DEPTH];

/* Which pages is nobody's choice, but the same each time. */
static uint64_t next_page(uint64_t pages)
{
	static uint64_t seed = 0x2545f4914f6cdd1d;

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 32) % pages;
}

static int one_round(aio_context_t context, uint64_t pages)
{
	struct iocb *list[DEPTH];
	struct io_event events[DEPTH];

	for (unsigned int i = 0; i < DEPTH; i++) {
		requests[i].aio_offset = (int64_t)(next_page(pages) * PAGE);
		list[i] = &requests[i];
	}
	if (syscall(SYS_io_submit, context, DEPTH, list) != DEPTH ||
	    syscall(SYS_io_getevents, context, DEPTH, DEPTH, events, NULL) != DEPTH)
		return -1;
	for (unsigned int i = 0; i < DEPTH; i++)
		if (events[i].res != PAGE)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC) : -1;
	char *pages = mmap(NULL, DEPTH * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	aio_context_t context = 0;
	uint64_t size;

	if (fd < 0 || pages == MAP_FAILED || ioctl(fd, BLKGETSIZE64, &size) < 0 || size < PAGE ||
	    syscall(SYS_io_setup, DEPTH, &context) < 0) {
		perror("croft-guest: load");
		return 1;
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		requests[i] = (struct iocb){ .aio_fildes = (uint32_t)fd,
					     .aio_lio_opcode = IOCB_CMD_PREAD,
					     .aio_buf = (uintptr_t)(pages + i * PAGE),
					     .aio_nbytes = PAGE };
	for (unsigned int i = 0; i < ROUNDS; i++)
		if (one_round(context, size / PAGE) < 0) {
			perror("croft-guest: load");
			return 1;
		}
	printf("croft-guest: load: %u reads, %u at once\n", DEPTH * ROUNDS, DEPTH);
	return 0;
}
