// SPDX-License-Identifier: Apache-2.0
/*
 * Guest memory: sealed memfds, mapped shared, so that a vhost back end or the driver can map the
 * same pages.
 */
#include "vmm/mem.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define HUGE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static int too_few(struct error *err, uint64_t size)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
			   "the host has not %" PRIu64
			   " free huge pages of 2 MiB (vm.nr_hugepages says how many there are)",
			   size / MEM_HUGE_PAGE);
}

static int no_memory(struct error *err, const char *step, uint64_t size)
{
	return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno,
				 "%s %" PRIu64 " bytes of guest memory", step, size);
}

/*
 * Mapping promises the pages to us, and fallocate() then takes them: it fails where a limit of
 * a control group would end the process at the first touch.
 */
static int map_huge(struct mem_range *range, struct error *err)
{
	range->host = mmap(NULL, range->size, PROT_READ | PROT_WRITE, MAP_SHARED, range->fd, 0);
	if (range->host == MAP_FAILED) {
		range->host = NULL;
		return too_few(err, range->size);
	}
	if (fallocate(range->fd, 0, 0, (off_t)range->size) < 0)
		return too_few(err, range->size);
	return 0;
}

static int map_pages(struct mem_range *range, struct error *err)
{
	range->host = mmap(NULL, range->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			   range->fd, 0);
	if (range->host == MAP_FAILED) {
		range->host = NULL;
		return no_memory(err, "map", range->size);
	}
	/* A wish: fewer and larger pieces to give to the guest. */
	(void)madvise(range->host, range->size, MADV_HUGEPAGE);
	return 0;
}

static void range_free(struct mem_range *range)
{
	if (range->host)
		munmap(range->host, range->size);
	base_close(range->fd);
	*range = (struct mem_range){ .fd = -1 };
}

/* The name shows in /proc/PID/maps. On failure *range is as it was. */
static int range_init(struct mem_range *range, const char *name, bool huge, struct error *err)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	struct mem_range made = *range;
	int r;

	assert(made.size > 0 && made.base.v + made.size > made.base.v);
	made.fd = memfd_create(name, flags | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (made.fd < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "create guest memory");
	/* The size is sealed: a file that shrinks would end the process with SIGBUS. */
	if (ftruncate(made.fd, (off_t)made.size) < 0 ||
	    fcntl(made.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = no_memory(err, "reserve", made.size);
	else
		r = huge ? map_huge(&made, err) : map_pages(&made, err);
	if (r < 0) {
		range_free(&made);
		return r;
	}
	/* No guest memory in a core file. */
	(void)madvise(made.host, made.size, MADV_DONTDUMP);
	*range = made;
	return 0;
}

static int ram_init(struct mem *mem, struct mem_range ram, bool huge, struct error *err)
{
	int r;

	assert(!mem->host);
	r = range_init(&ram, "guest", huge, err);
	if (r < 0)
		return r;
	*mem = (struct mem){ .fd = ram.fd,
			     .host = ram.host,
			     .base = ram.base,
			     .size = ram.size,
			     .bounce.fd = -1,
			     .huge = huge };
	return 0;
}

int mem_init(struct mem *mem, gpa_t base, uint64_t size, struct error *err)
{
	return ram_init(mem, (struct mem_range){ .fd = -1, .base = base, .size = size }, false,
			err);
}

int mem_init_huge(struct mem *mem, gpa_t base, uint64_t size, struct error *err)
{
	return ram_init(mem, (struct mem_range){ .fd = -1, .base = base, .size = size }, true, err);
}

int mem_add_bounce(struct mem *mem, gpa_t base, uint64_t size, struct error *err)
{
	struct mem_range bounce = { .fd = -1, .base = base, .size = size };
	int r;

	assert(mem->host && !mem->bounce.host);
	assert(base.v + size <= mem->base.v || mem->base.v + mem->size <= base.v);
	/* A mapping of its own: that of lent memory is sealed as a whole. */
	r = range_init(&bounce, "guest-bounce", mem->huge, err);
	if (r == 0)
		mem->bounce = bounce;
	return r;
}

static struct mem_range ram_of(const struct mem *mem)
{
	return (struct mem_range){
		.fd = mem->fd, .host = mem->host, .base = mem->base, .size = mem->size
	};
}

void mem_free(struct mem *mem)
{
	struct mem_range ram = ram_of(mem);

	range_free(&mem->bounce);
	range_free(&ram);
	*mem = MEM_NONE;
}

static void *within(uint8_t *host, gpa_t base, uint64_t size, struct mem_range asked)
{
	uint64_t off = asked.base.v - base.v;

	if (asked.size == 0 || asked.base.v < base.v || off >= size || asked.size > size - off)
		return NULL;
	return host + off;
}

void *mem_at(const struct mem *mem, gpa_t at, uint64_t n)
{
	struct mem_range asked = { .base = at, .size = n };
	void *p = mem->lent ? NULL : within(mem->host, mem->base, mem->size, asked);

	return p ? p : within(mem->bounce.host, mem->bounce.base, mem->bounce.size, asked);
}

struct mem_range mem_of_devices(const struct mem *mem)
{
	return mem->bounce.host ? mem->bounce : ram_of(mem);
}

bool mem_gives_back(const struct mem *mem)
{
	return !mem->pinned && !mem->lent && !mem->huge && !mem->bounce.host;
}

uint64_t mem_give_back(const struct mem *mem, const void *at, uint64_t n)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t off = (uint64_t)((const uint8_t *)at - mem->host);
	uint64_t start = (off + page - 1) & ~(page - 1), end = (off + n) & ~(page - 1);

	if (!mem_gives_back(mem))
		return 0;
	assert(off <= mem->size && n <= mem->size - off);
	if (start >= end)
		return 0;
	if (fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
		      (off_t)(end - start)) < 0)
		return 0;
	return end - start;
}

uint64_t mem_size(const struct mem *mem)
{
	return mem->size + mem->bounce.size;
}

/* To look at each page costs far more than all other figures of a VM together. */
static uint64_t count_resident(const struct mem_range *range)
{
	unsigned char pages[4096];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), resident = 0;

	for (uint64_t off = 0; off < range->size; off += page * sizeof(pages)) {
		uint64_t n = range->size - off;

		if (n > page * sizeof(pages))
			n = page * sizeof(pages);
		if (mincore(range->host + off, n, pages) < 0)
			return 0;
		for (uint64_t i = 0; i < (n + page - 1) / page; i++)
			resident += (pages[i] & 1) ? page : 0;
	}
	return resident;
}

static uint64_t range_resident(const struct mem_range *range)
{
	struct sysinfo host;
	struct stat st;

	/* What the file has is in RAM or in the host's swap, and of that nothing is used. */
	if (range->host && sysinfo(&host) == 0 && host.freeswap == host.totalswap &&
	    fstat(range->fd, &st) == 0 && (uint64_t)st.st_blocks <= range->size / 512)
		return (uint64_t)st.st_blocks * 512;
	return count_resident(range);
}

uint64_t mem_resident(const struct mem *mem)
{
	struct mem_range ram = ram_of(mem);

	return mem->pinned ? mem_size(mem) : range_resident(&ram) + range_resident(&mem->bounce);
}

/* --- Huge pages of the host --- */

static bool read_count(const char *path, uint64_t *count)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	return f && fscanf(f, "%" SCNu64, count) == 1;
}

int mem_huge_available(uint64_t *bytes, struct error *err)
{
	uint64_t unused, promised;

	if (!read_count(HUGE_PAGES "free_hugepages", &unused) ||
	    !read_count(HUGE_PAGES "resv_hugepages", &promised))
		return error_raise(err, ERROR_UNAVAILABLE,
				   "the host's kernel has no huge pages of 2 MiB");
	*bytes = unused > promised ? (unused - promised) * MEM_HUGE_PAGE : 0;
	return 0;
}
