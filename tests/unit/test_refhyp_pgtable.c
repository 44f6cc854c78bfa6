/* SPDX-License-Identifier: Apache-2.0 */
/* Translation tables against a plain array: blocks, splits, merges, holes, and running out of pages anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The file itself, since it belongs to the processor that the host is not. */
#include "arch/aarch64/pgtable.c"

#define SPACE_PAGES (1u << 16) /* 256 MiB are looked at page by page */
#define BASE	    0x40000000ull
#define MIB2	    0x200000ull
#define GIB	    0x40000000ull
#define RW	    (1ull << 6 | 1ull << 7)
#define RO	    (1ull << 6)

static long pages, pages_left;
static uint64_t flushed;

static void *alloc(void)
{
	void *page;

	if (!pages_left)
		return NULL;
	pages_left--;
	pages++;
	page = aligned_alloc(HYP_PAGE, HYP_PAGE);
	memset(page, 0, HYP_PAGE);
	return page;
}

static void release(void *page)
{
	pages--;
	pages_left++;
	free(page);
}

static void note_flush(const struct pgtable *t, uint64_t addr, uint64_t size)
{
	(void)t;
	(void)addr;
	flushed += size;
}

static struct pgtable table;

static int begin(void **state)
{
	(void)state;
	pages = 0;
	pages_left = 100000;
	table = (struct pgtable){
		.root = alloc(), .alloc = alloc, .release = release, .flush = note_flush
	};
	return 0;
}

static int end(void **state)
{
	(void)state;
	pgtable_free(&table);
	return pages ? -1 : 0;
}

static uint64_t size_at(uint64_t addr)
{
	struct walk w;

	walk(&table, addr, &w);
	return *w.path[w.level] & DESC_VALID ? level_size(w.level) : 0;
}

static void large_is_one_block(void **state)
{
	(void)state;
	assert_int_equal(pgtable_map(&table, BASE, BASE, GIB, RW), GH_ERROR_OK);
	assert_int_equal(pages, 1);
	assert_int_equal(size_at(BASE + 12345), GIB);
}

static void a_hole_splits_and_its_end_merges(void **state)
{
	(void)state;
	pgtable_map(&table, BASE, BASE, GIB, RW);
	assert_int_equal(pgtable_unmap(&table, BASE + MIB2 + HYP_PAGE, HYP_PAGE), GH_ERROR_OK);
	assert_int_equal(size_at(BASE), MIB2);
	assert_int_equal(size_at(BASE + MIB2), HYP_PAGE);
	assert_int_equal(size_at(BASE + MIB2 + HYP_PAGE), 0);
	assert_int_equal(size_at(BASE + 2 * MIB2), MIB2);
	assert_int_equal(pages, 3);
	assert_true(flushed > 0);
	assert_int_equal(pgtable_map(&table, BASE + MIB2 + HYP_PAGE, BASE + MIB2 + HYP_PAGE,
				     HYP_PAGE, RW),
			 GH_ERROR_OK);
	assert_int_equal(size_at(BASE + MIB2), GIB);
	assert_int_equal(pages, 1);
}

static void other_rights_or_places_do_not_merge(void **state)
{
	(void)state;
	pgtable_map(&table, BASE, BASE, MIB2, RW);
	pgtable_unmap(&table, BASE, HYP_PAGE);
	assert_int_equal(pgtable_map(&table, BASE, BASE, HYP_PAGE, RO), GH_ERROR_OK);
	assert_int_equal(size_at(BASE), HYP_PAGE);
	pgtable_unmap(&table, BASE, HYP_PAGE);
	assert_int_equal(pgtable_map(&table, BASE, BASE + MIB2, HYP_PAGE, RW), GH_ERROR_OK);
	assert_int_equal(size_at(BASE), HYP_PAGE);
	/* Contiguous, but not aligned as a block must be. */
	assert_int_equal(pgtable_map(&table, BASE + 4 * MIB2, BASE + HYP_PAGE, MIB2, RW),
			 GH_ERROR_OK);
	assert_int_equal(size_at(BASE + 4 * MIB2), HYP_PAGE);
}

static void occupied_is_refused_whole(void **state)
{
	uint64_t attr, left;
	pa_t pa;

	(void)state;
	pgtable_map(&table, BASE + 8 * HYP_PAGE, BASE, HYP_PAGE, RW);
	assert_int_equal(pgtable_map(&table, BASE, BASE, 9 * HYP_PAGE, RW),
			 GH_ERROR_EXISTING_MAPPING);
	assert_false(pgtable_walk(&table, BASE, &pa, &attr, &left));
	assert_int_equal(pgtable_map(&table, BASE, BASE, 8 * HYP_PAGE, RW), GH_ERROR_OK);
}

static void walk_tells_how_far(void **state)
{
	uint64_t attr, left;
	pa_t pa;

	(void)state;
	pgtable_map(&table, BASE, BASE + MIB2, 3 * MIB2, RW);
	assert_true(pgtable_walk(&table, BASE + 5, &pa, &attr, &left));
	assert_int_equal(pa, BASE + MIB2 + 5);
	assert_int_equal(left, 3 * MIB2 - 5);
	assert_int_equal(attr, RW);
	/* The last entry of the table's whole reach. */
	pgtable_map(&table, 511 * GIB, 0, GIB, RW);
	assert_true(pgtable_walk(&table, 511 * GIB, &pa, &attr, &left));
	assert_int_equal(left, GIB);
}

/* Each possible number of free pages: the call does all or nothing, and leaks none. */
static void without_pages(void **state)
{
	(void)state;
	pgtable_map(&table, BASE, BASE, GIB, RW);
	for (long n = 0;; n++) {
		enum gh_error error;

		pages_left = n;
		error = pgtable_unmap(&table, BASE + HYP_PAGE, 5 * MIB2);
		if (!error)
			break;
		assert_int_equal(error, GH_ERROR_NOMEM);
		assert_true(size_at(BASE + HYP_PAGE) && size_at(BASE + MIB2));
		assert_true(n < 10);
	}
	assert_int_equal(size_at(BASE + HYP_PAGE), 0);
	for (long n = 0;; n++) {
		long before = pages;
		enum gh_error error;

		pages_left = n;
		/* From another place, so that nothing becomes a block. */
		error = pgtable_map(&table, BASE + HYP_PAGE, BASE + GIB, 5 * MIB2, RO);
		if (!error)
			break;
		assert_int_equal(error, GH_ERROR_NOMEM);
		assert_int_equal(pages, before);
		assert_int_equal(size_at(BASE + HYP_PAGE), 0);
		assert_true(n < 20);
	}
	pages_left = 1000;
}

static uint64_t seed = 42;

static uint64_t any(uint64_t limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % limit;
}

/* shadow[i]: what page i is mapped to, with the rights in the low bits; 0: nothing. */
static uint64_t *shadow;

static void random_step(void)
{
	uint64_t first = any(SPACE_PAGES), n = 1 + any(any(4) ? 40 : 3000);
	uint64_t pa = any(4) ? BASE + first * HYP_PAGE : BASE + any(SPACE_PAGES) * HYP_PAGE;
	uint64_t attr = any(2) ? RW : RO;
	bool taken = false;

	if (!any(3)) {
		first &= ~511ull;
		n = 512 * (1 + any(4));
	}
	if (first + n > SPACE_PAGES)
		n = SPACE_PAGES - first;
	for (uint64_t i = 0; i < n; i++)
		taken |= shadow[first + i] != 0;
	if (any(2)) {
		assert_int_equal(pgtable_unmap(&table, BASE + first * HYP_PAGE, n * HYP_PAGE),
				 GH_ERROR_OK);
		memset(&shadow[first], 0, n * sizeof(*shadow));
		return;
	}
	assert_int_equal(pgtable_map(&table, BASE + first * HYP_PAGE, pa, n * HYP_PAGE, attr),
			 taken ? GH_ERROR_EXISTING_MAPPING : GH_ERROR_OK);
	for (uint64_t i = 0; !taken && i < n; i++)
		shadow[first + i] = (pa + i * HYP_PAGE) | attr;
}

static void random_against_an_array(void **state)
{
	(void)state;
	shadow = calloc(SPACE_PAGES, sizeof(*shadow));
	for (unsigned int round = 0; round < 3000; round++) {
		random_step();
		if (round % 100)
			continue;
		for (uint64_t i = 0; i < SPACE_PAGES; i++) {
			uint64_t attr = 0, left;
			pa_t pa = 0;
			bool found = pgtable_walk(&table, BASE + i * HYP_PAGE, &pa, &attr, &left);

			assert_int_equal(found, shadow[i] != 0);
			assert_int_equal(found ? pa | attr : 0, shadow[i]);
		}
	}
	assert_int_equal(pgtable_unmap(&table, BASE, SPACE_PAGES * HYP_PAGE), GH_ERROR_OK);
	/* With the last leaf went the last table. */
	assert_int_equal(pages, 1);
	free(shadow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(large_is_one_block, begin, end),
		cmocka_unit_test_setup_teardown(a_hole_splits_and_its_end_merges, begin, end),
		cmocka_unit_test_setup_teardown(other_rights_or_places_do_not_merge, begin, end),
		cmocka_unit_test_setup_teardown(occupied_is_refused_whole, begin, end),
		cmocka_unit_test_setup_teardown(walk_tells_how_far, begin, end),
		cmocka_unit_test_setup_teardown(without_pages, begin, end),
		cmocka_unit_test_setup_teardown(random_against_an_array, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
