/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of the primary's RAM are in a memparcel: a page is in at most one.
 */
#ifndef REFHYP_CORE_MEM_PAGES_H
#define REFHYP_CORE_MEM_PAGES_H

#include "core/hyp.h"

/* Forgets everything, without giving anything back: for the start only. */
void mem_pages_reset(void);

/*
 * Claims each page of the range, all or none. The range must be RAM of the primary.
 * GH_ERROR_MEMDB_NOT_OWNER when a page is claimed already, GH_ERROR_NOMEM when there is no page for
 * the record.
 */
enum gh_error mem_claim(pa_t pa, uint64_t size);

/* The opposite; every page of the range must be claimed. */
void mem_release(pa_t pa, uint64_t size);

#endif
