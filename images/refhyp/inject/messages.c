/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What rules do to the resource manager's messages. All of it runs under the resource manager's lock, except what the door
 * and the timer ask.
 */
#include <string.h>

#include "core/arch.h"
#include "inject/door.h"
#include "inject/rules.h"

#define KEPT_MAX   4u
#define NOT_BEFORE 0ull /* any time: at once */
#define PAD_BYTE   0xa5

struct kept {
	bool used, go;
	uint64_t until;
	struct rm_outgoing message;
};

static hyp_spinlock_t lock; /* of the table */
static struct kept kept[KEPT_MAX];

/* The rule that acts upon the request that is being handled. */
static struct inject_rule acting;
static bool acts;

/* --- Kept messages --- */

void inject_keep(const struct rm_outgoing *m, uint64_t until)
{
	hyp_lock(&lock);
	for (unsigned int i = 0; i < KEPT_MAX; i++) {
		if (kept[i].used)
			continue;
		kept[i] = (struct kept){ .used = true, .until = until, .message = *m };
		break;
	}
	hyp_unlock(&lock);
}

void inject_let_go(bool send)
{
	hyp_lock(&lock);
	for (unsigned int i = 0; i < KEPT_MAX; i++) {
		kept[i].go = true;
		kept[i].used &= send;
	}
	hyp_unlock(&lock);
	rm_room();
}

static bool due(const struct kept *k)
{
	return k->used && (k->go || (k->until != TIME_NEVER && arch_counter() >= k->until));
}

bool inject_released(struct rm_outgoing *m)
{
	bool found = false;

	hyp_lock(&lock);
	for (unsigned int i = 0; i < KEPT_MAX && !found; i++) {
		if (!due(&kept[i]))
			continue;
		*m = kept[i].message;
		kept[i].used = false;
		found = true;
	}
	hyp_unlock(&lock);
	return found;
}

void inject_poll(void)
{
	bool any = false;

	/* Only a hint; who sends looks again under the lock. */
	for (unsigned int i = 0; i < KEPT_MAX; i++)
		any |= due(&kept[i]);
	if (any)
		rm_room();
}

/* --- Hooks --- */

bool inject_request(uint32_t id, enum gh_rm_error *error)
{
	acts = inject_match(INJECT_KIND_REQUEST, id, &acting);
	if (!acts || acting.action != INJECT_FAIL)
		return false;
	*error = (enum gh_rm_error)acting.value;
	return true;
}

void inject_answer(uint32_t id, enum gh_rm_error *error)
{
	(void)id;
	if (acts && acting.action == INJECT_LIE)
		*error = (enum gh_rm_error)acting.value;
}

static void patch(struct rm_outgoing *m, uint64_t value)
{
	uint32_t word = (uint32_t)value;
	size_t offset = value >> 32;

	if (offset + sizeof(word) <= m->size)
		memcpy(m->data + offset, &word, sizeof(word));
}

static void pad(struct rm_outgoing *m, uint64_t bytes)
{
	size_t room = (m->reply ? sizeof(m->data) : RM_NOTIFY_MAX) - m->size;

	if (bytes > room)
		bytes = room;
	memset(m->data + m->size, PAD_BYTE, bytes);
	m->size += bytes;
}

static uint64_t after_ms(uint64_t ms)
{
	return arch_counter() + arch_counter_hz() / 1000 * ms;
}

/* False: it is not sent now. */
static bool act(const struct inject_rule *rule, struct rm_outgoing *m)
{
	switch (rule->action) {
	case INJECT_DROP:
		return false;
	case INJECT_HOLD:
		inject_keep(m, TIME_NEVER);
		return false;
	case INJECT_DELAY:
		inject_keep(m, after_ms(rule->value));
		return false;
	case INJECT_TWICE:
		inject_keep(m, NOT_BEFORE);
		return true;
	case INJECT_SEQ:
		m->header.seq = (uint16_t)(m->header.seq + rule->value);
		return true;
	case INJECT_ID:
		m->header.id = (uint32_t)rule->value;
		return true;
	case INJECT_CUT:
		if (m->size > rule->value)
			m->size = rule->value;
		return true;
	case INJECT_PAD:
		pad(m, rule->value);
		return true;
	case INJECT_PATCH:
		patch(m, rule->value);
		return true;
	case INJECT_PARTS:
		m->extra_parts = (uint32_t)rule->value;
		return true;
	case INJECT_API:
		m->header.api = (uint8_t)rule->value;
		return true;
	default:
		return true;
	}
}

bool inject_outgoing(struct rm_outgoing *m)
{
	struct inject_rule rule;

	if (m->reply) {
		inject_note_seq(INJECT_KIND_REQUEST, m->header.id, m->header.seq);
		return !acts || act(&acting, m);
	}
	return !inject_match(INJECT_KIND_NOTIFICATION, m->header.id, &rule) || act(&rule, m);
}
