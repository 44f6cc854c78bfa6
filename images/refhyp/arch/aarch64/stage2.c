/* SPDX-License-Identifier: GPL-2.0-only */
/* Stage-2 tables of the VMs, their TLB maintenance, and addresses as a guest uses them. */
#include "arch/aarch64/a64.h"

#define S2_AF	    (1ull << 10)
#define S2_SHARED   (3ull << 8)
#define S2_READ	    (1ull << 6)
#define S2_WRITE    (1ull << 7)
#define S2_NORMAL   (0xfull << 2)
#define S2_DEVICE   (0x1ull << 2) /* nGnRE */
#define S2_NO_EXEC  (1ull << 54)
#define FLUSH_PAGES 64u /* above this, a whole VM is forgotten at once */
#define PAR_FAULT   1ull
#define PAR_ADDR    0x000ffffffffff000ull

static void flush(const struct pgtable *table, uint64_t addr, uint64_t size)
{
	const struct arch_space *space = table->owner;
	uint64_t mine = SYS_READ(vttbr_el2);
	uint64_t theirs = (uint64_t)space->vmid << 48 | (uintptr_t)space->root;

	DSB(ishst);
	if (mine != theirs) {
		SYS_WRITE(vttbr_el2, theirs);
		ISB();
	}
	if (size / HYP_PAGE > FLUSH_PAGES) {
		TLBI(vmalls12e1is);
	} else {
		for (uint64_t at = addr; at < addr + size; at += HYP_PAGE)
			TLBI_ADDR(ipas2e1is, at >> 12);
		DSB(ish);
		TLBI(vmalle1is);
	}
	DSB(ish);
	ISB();
	if (mine != theirs) {
		SYS_WRITE(vttbr_el2, mine);
		ISB();
	}
}

static struct pgtable tables(const struct arch_space *space)
{
	return (struct pgtable){
		.root = space->root,
		.alloc = hyp_alloc_page,
		.release = hyp_free_page,
		.flush = flush,
		.owner = space,
	};
}

bool arch_space_init(struct arch_space *space, uint16_t vmid)
{
	struct pgtable t;

	*space = (struct arch_space){ .root = hyp_alloc_page(), .vmid = vmid };
	if (!space->root)
		return false;
	/* The number may have been another VM's. */
	t = tables(space);
	flush(&t, 0, UINT32_MAX);
	return true;
}

void arch_space_free(struct arch_space *space)
{
	struct pgtable t = tables(space);

	if (!space->root)
		return;
	flush(&t, 0, UINT32_MAX);
	pgtable_free(&t);
	space->root = NULL;
}

enum gh_error arch_space_map(struct arch_space *space, ipa_t ipa, pa_t pa, uint64_t size,
			     unsigned int kind)
{
	struct pgtable t = tables(space);
	uint64_t attr = S2_AF | (kind & SPACE_DEVICE ? S2_DEVICE : S2_NORMAL | S2_SHARED);
	enum gh_error error;

	if (kind & GH_RM_ACL_R)
		attr |= S2_READ;
	if (kind & GH_RM_ACL_W)
		attr |= S2_WRITE;
	if (!(kind & GH_RM_ACL_X))
		attr |= S2_NO_EXEC;
	error = pgtable_map(&t, ipa, pa, size, attr);
	DSB(ishst);
	return error;
}

enum gh_error arch_space_unmap(struct arch_space *space, ipa_t ipa, uint64_t size)
{
	struct pgtable t = tables(space);

	return pgtable_unmap(&t, ipa, size);
}

bool arch_space_translate(struct arch_space *space, ipa_t ipa, pa_t *pa, unsigned int *kind,
			  uint64_t *left)
{
	struct pgtable t = tables(space);
	uint64_t attr;

	if (!pgtable_walk(&t, ipa, pa, &attr, left))
		return false;
	*kind = (attr & S2_READ ? GH_RM_ACL_R : 0u) | (attr & S2_WRITE ? GH_RM_ACL_W : 0u) |
		(attr & S2_NO_EXEC ? 0u : GH_RM_ACL_X) |
		((attr & S2_NORMAL) == S2_NORMAL ? 0u : SPACE_DEVICE);
	return true;
}

bool arch_guest_va(uint64_t va, bool write, pa_t *pa)
{
	uint64_t saved = SYS_READ(par_el1), par;

	if (write)
		AT(s12e1w, va);
	else
		AT(s12e1r, va);
	ISB();
	par = SYS_READ(par_el1);
	SYS_WRITE(par_el1, saved);
	if (par & PAR_FAULT)
		return false;
	*pa = (par & PAR_ADDR) | (va & (HYP_PAGE - 1));
	return true;
}
