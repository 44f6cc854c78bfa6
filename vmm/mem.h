/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory, and the only way from a guest address to a pointer.
 */
#ifndef CROFT_VMM_MEM_H
#define CROFT_VMM_MEM_H

#include "vmm/base.h"

/*
 * A guest physical address. A structure, so that none is taken for a number or a pointer by
 * mistake.
 */
typedef struct {
	uint64_t v;
} gpa_t;

static inline gpa_t gpa(uint64_t v)
{
	return (gpa_t){ v };
}

/* A memfd that is mapped shared, as a range of the guest's memory. */
struct mem_range {
	int fd;
	uint8_t *host; /* NULL: there is none */
	gpa_t base;
	uint64_t size; /* bytes */
};

/* RAM, and beside it maybe a range that stays with the host when RAM is lent. */
struct mem {
	int fd;
	uint8_t *host; /* NULL until mem_init() */
	gpa_t base;
	uint64_t size; /* bytes */
	struct mem_range bounce;
	bool lent;   /* the hypervisor has taken RAM: nothing may touch it */
	bool pinned; /* the hypervisor holds each page until the VM's end */
	bool huge;   /* of hugetlbfs */
};

/* What a struct mem must hold before mem_init() or mem_free(). */
#define MEM_NONE ((struct mem){ .fd = -1, .bounce.fd = -1 })

#define MEM_HUGE_PAGE ((uint64_t)2 << 20)

/* size is page aligned and base + size does not wrap. Errors: RESOURCE_EXHAUSTED, INTERNAL. */
int mem_init(struct mem *mem, gpa_t base, uint64_t size, struct error *err);

/*
 * The same of huge pages, all of which it takes at once, so that no touch can find them gone. base
 * and size are multiples of MEM_HUGE_PAGE.
 */
int mem_init_huge(struct mem *mem, gpa_t base, uint64_t size, struct error *err);

/*
 * Huge pages that nobody has taken or been promised, in bytes. Errors: UNAVAILABLE when the host
 * has none of MEM_HUGE_PAGE.
 */
int mem_huge_available(uint64_t *bytes, struct error *err);

/* After one of the former, and of the same kind of pages; it does not overlap RAM. Errors: as they. */
int mem_add_bounce(struct mem *mem, gpa_t base, uint64_t size, struct error *err);

/* Takes MEM_NONE, and a mem that was freed. */
void mem_free(struct mem *mem);

/*
 * The n bytes at guest address at, or NULL when n is 0, they are not all in one range, or that is
 * lent. Their content may change at any moment: read what is decided upon once.
 */
void *mem_at(const struct mem *mem, gpa_t at, uint64_t n);

/* The range that a guest's devices may work in: the bounce range where there is one, else RAM. */
struct mem_range mem_of_devices(const struct mem *mem);

/*
 * Gives the whole pages among n bytes at `at`, which came of mem_at(), back to the host; the guest
 * finds zeros there when it uses them again. Returns how many bytes that was: 0 when the memory is
 * pinned, since a page taken off under the hypervisor would be another than the guest's, and 0 for
 * huge pages, which might not be there when the guest wants them again.
 */
uint64_t mem_give_back(const struct mem *mem, const void *at, uint64_t n);

/* Whether mem_give_back() does anything. */
bool mem_gives_back(const struct mem *mem);

/* Bytes of all ranges. */
uint64_t mem_size(const struct mem *mem);

/* Of those, bytes that the host has given pages to, by mincore(2); 0 when it cannot be told. */
uint64_t mem_resident(const struct mem *mem);

#endif
