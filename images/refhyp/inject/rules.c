/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of rules: one counter each, under one lock that nothing else is taken under. */
#include "inject/rules.h"

#include "inject/door.h"

static hyp_spinlock_t lock;
static struct inject_rule rules[INJECT_RULES];

void inject_clear(void)
{
	hyp_lock(&lock);
	for (unsigned int i = 0; i < INJECT_RULES; i++)
		rules[i].used = false;
	hyp_unlock(&lock);
}

unsigned int inject_arm(const struct inject_rule *model)
{
	unsigned int i = 0;

	hyp_lock(&lock);
	while (i < INJECT_RULES && rules[i].used)
		i++;
	if (i < INJECT_RULES) {
		rules[i] = *model;
		rules[i].used = true;
	}
	hyp_unlock(&lock);
	return i;
}

bool inject_query(uint64_t number, struct inject_rule *rule)
{
	if (number >= INJECT_RULES)
		return false;
	hyp_lock(&lock);
	*rule = rules[number];
	hyp_unlock(&lock);
	return rule->used;
}

static bool fits(const struct inject_rule *r, uint32_t kind, uint32_t which)
{
	return r->used && r->kind == kind && (r->which == which || r->which == INJECT_ANY);
}

static bool has_turn(const struct inject_rule *r)
{
	return r->seen >= r->first && (!r->times || r->seen - r->first < r->times);
}

bool inject_match(uint32_t kind, uint32_t which, struct inject_rule *rule)
{
	bool found = false;

	hyp_lock(&lock);
	for (unsigned int i = 0; i < INJECT_RULES; i++) {
		struct inject_rule *r = &rules[i];

		if (!fits(r, kind, which))
			continue;
		r->seen++;
		if (found || !has_turn(r))
			continue;
		found = true;
		r->fired++;
		r->last = which;
		*rule = *r;
	}
	hyp_unlock(&lock);
	return found;
}

void inject_note_seq(uint32_t kind, uint32_t which, uint16_t seq)
{
	hyp_lock(&lock);
	for (unsigned int i = 0; i < INJECT_RULES; i++)
		if (rules[i].used && rules[i].kind == kind && rules[i].fired &&
		    rules[i].last == which)
			rules[i].last_seq = seq;
	hyp_unlock(&lock);
}
