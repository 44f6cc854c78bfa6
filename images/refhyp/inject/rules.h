/* SPDX-License-Identifier: GPL-2.0-only */
/* The rules of fault injection: what is counted, and what happens to which of them. */
#ifndef REFHYP_INJECT_RULES_H
#define REFHYP_INJECT_RULES_H

#include "core/inject.h"

struct inject_rule {
	bool used;
	uint32_t kind, which; /* INJECT_KIND_*; INJECT_ANY fits all */
	uint64_t first, times;
	uint32_t action; /* INJECT_* */
	uint64_t value;
	uint64_t seen, fired;
	uint32_t last; /* which one it acted upon last */
	uint16_t last_seq;
};

/* The number of the new rule; INJECT_RULES when there is no place. */
unsigned int inject_arm(const struct inject_rule *model);
bool inject_query(uint64_t number, struct inject_rule *rule);
void inject_clear(void);

/* Counts one event at all rules that fit; *rule is a copy of the one that acts. False: none does. */
bool inject_match(uint32_t kind, uint32_t which, struct inject_rule *rule);
/* The rules that acted last upon this one learn its sequence number. */
void inject_note_seq(uint32_t kind, uint32_t which, uint16_t seq);

/* --- messages.c: what is kept back --- */
void inject_keep(const struct rm_outgoing *m, uint64_t until);
void inject_let_go(bool send);

#endif
