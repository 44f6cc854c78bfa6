/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page ownership as a bitmap in pieces that exist while one of their pages is claimed.
 */
#include <string.h>

#include "core/mem_pages.h"

/* A piece is one page: a bit for each page of 128 MiB. The table reaches 64 GiB. */
#define PIECE_PAGES (HYP_PAGE * 8ull)
#define PIECES	    512u

struct piece {
	uint64_t *bits;
	uint64_t claimed;
};

static struct piece pieces[PIECES];

void mem_pages_reset(void)
{
	memset(pieces, 0, sizeof(pieces));
}

static bool bit_get(uint64_t page)
{
	const struct piece *piece = &pieces[page / PIECE_PAGES];
	uint64_t bit = page % PIECE_PAGES;

	return piece->bits && (piece->bits[bit / 64] >> (bit % 64) & 1);
}

static bool bit_set(uint64_t page)
{
	struct piece *piece = &pieces[page / PIECE_PAGES];
	uint64_t bit = page % PIECE_PAGES;

	if (!piece->bits)
		piece->bits = hyp_alloc_page();
	if (!piece->bits)
		return false;
	piece->bits[bit / 64] |= 1ull << (bit % 64);
	piece->claimed++;
	return true;
}

static void bit_clear(uint64_t page)
{
	struct piece *piece = &pieces[page / PIECE_PAGES];
	uint64_t bit = page % PIECE_PAGES;

	piece->bits[bit / 64] &= ~(1ull << (bit % 64));
	if (--piece->claimed == 0) {
		hyp_free_page(piece->bits);
		piece->bits = NULL;
	}
}

enum gh_error mem_claim(pa_t pa, uint64_t size)
{
	uint64_t first = pa / HYP_PAGE, end = first + size / HYP_PAGE;

	if (end > PIECES * PIECE_PAGES)
		return GH_ERROR_NOMEM;
	for (uint64_t page = first; page < end; page++)
		if (bit_get(page))
			return GH_ERROR_MEMDB_NOT_OWNER;
	for (uint64_t page = first; page < end; page++) {
		if (!bit_set(page)) {
			mem_release(pa, (page - first) * HYP_PAGE);
			return GH_ERROR_NOMEM;
		}
	}
	return GH_ERROR_OK;
}

void mem_release(pa_t pa, uint64_t size)
{
	uint64_t first = pa / HYP_PAGE, end = first + size / HYP_PAGE;

	for (uint64_t page = first; page < end; page++)
		bit_clear(page);
}
