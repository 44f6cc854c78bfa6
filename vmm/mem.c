// SPDX-License-Identifier: Apache-2.0
/*
 * Guest memory: a sealed memfd, mapped shared, so that a vhost back end or the driver can map the
 * same pages.
 */
#include "vmm/mem.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

int mem_init(struct mem *mem, gpa_t base, uint64_t size, struct error *err)
{
	_cleanup_close_ int fd = -1;
	void *host;

	assert(!mem->host && size > 0 && base.v + size > base.v);
	fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "create guest memory");
	/* The size is sealed: a file that shrinks would end the process with SIGBUS. */
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno,
					 "reserve %llu bytes of guest memory",
					 (unsigned long long)size);
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (host == MAP_FAILED)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno,
					 "map %llu bytes of guest memory",
					 (unsigned long long)size);
	/* Both are wishes: fewer and larger pieces to share, and no guest RAM in a core file. */
	(void)madvise(host, size, MADV_HUGEPAGE);
	(void)madvise(host, size, MADV_DONTDUMP);
	*mem = (struct mem){ .fd = TAKE_FD(fd), .host = host, .base = base, .size = size };
	return 0;
}

void mem_free(struct mem *mem)
{
	if (mem->host)
		munmap(mem->host, mem->size);
	base_close(mem->fd);
	*mem = MEM_NONE;
}

void *mem_at(const struct mem *mem, gpa_t at, uint64_t n)
{
	uint64_t off = at.v - mem->base.v;

	if (mem->lent || n == 0 || at.v < mem->base.v || off >= mem->size || n > mem->size - off)
		return NULL;
	return mem->host + off;
}

uint64_t mem_give_back(const struct mem *mem, const void *at, uint64_t n)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t off = (uint64_t)((const uint8_t *)at - mem->host);
	uint64_t start = (off + page - 1) & ~(page - 1), end = (off + n) & ~(page - 1);

	assert(off <= mem->size && n <= mem->size - off);
	if (mem->pinned || mem->lent || start >= end)
		return 0;
	if (fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
		      (off_t)(end - start)) < 0)
		return 0;
	return end - start;
}

uint64_t mem_resident(const struct mem *mem)
{
	unsigned char pages[4096];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), resident = 0;

	for (uint64_t off = 0; off < mem->size; off += page * sizeof(pages)) {
		uint64_t n = mem->size - off;

		if (n > page * sizeof(pages))
			n = page * sizeof(pages);
		if (mincore(mem->host + off, n, pages) < 0)
			return 0;
		for (uint64_t i = 0; i < (n + page - 1) / page; i++)
			resident += (pages[i] & 1) ? page : 0;
	}
	return resident;
}
