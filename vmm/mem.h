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

/* One range of RAM, made of a memfd that is mapped shared. */
struct mem {
	int fd;
	uint8_t *host; /* NULL until mem_init() */
	gpa_t base;
	uint64_t size; /* bytes */
	bool lent;     /* the hypervisor has taken it: nothing may touch it */
	bool pinned;   /* the hypervisor holds each page until the VM's end */
};

/* What a struct mem must hold before mem_init() or mem_free(). */
#define MEM_NONE ((struct mem){ .fd = -1 })

/* size is page aligned and base + size does not wrap. Errors: RESOURCE_EXHAUSTED, INTERNAL. */
int mem_init(struct mem *mem, gpa_t base, uint64_t size, struct error *err);

/* Takes MEM_NONE, and a mem that was freed. */
void mem_free(struct mem *mem);

/*
 * The n bytes at guest address at, or NULL when n is 0, they are not all RAM, or the memory is
 * lent. Their content may change at any moment: read what is decided upon once.
 */
void *mem_at(const struct mem *mem, gpa_t at, uint64_t n);

/*
 * Gives the whole pages among n bytes at `at`, which came of mem_at(), back to the host; the guest
 * finds zeros there when it uses them again. Returns how many bytes that was: 0 when the memory is
 * pinned, since a page taken off under the hypervisor would be another than the guest's.
 */
uint64_t mem_give_back(const struct mem *mem, const void *at, uint64_t n);

/* Bytes that the host holds, by mincore(2); 0 when it cannot be told. */
uint64_t mem_resident(const struct mem *mem);

#endif
