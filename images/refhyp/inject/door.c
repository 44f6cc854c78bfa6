/* SPDX-License-Identifier: GPL-2.0-only */
/* The hypercalls by which a test drives fault injection, and what rules do to hypercalls. */
#include "inject/door.h"

#include "core/arch.h"
#include "inject/rules.h"

#define RESULT_SHIFT 56
#define RESULT_LAST  7u
#define DELAY_MAX_US 1000000u
#define KIND(k)	     (1u << (INJECT_KIND_##k))

/* What an action may be for. */
static const uint8_t kinds[] = {
	[INJECT_COUNT] = KIND(CALL) | KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_FAIL] = KIND(CALL) | KIND(REQUEST),
	[INJECT_LIE] = KIND(CALL) | KIND(REQUEST),
	[INJECT_DELAY] = KIND(CALL) | KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_RESULT] = KIND(CALL),
	[INJECT_DROP] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_HOLD] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_TWICE] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_SEQ] = KIND(REQUEST),
	[INJECT_ID] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_CUT] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_PAD] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_PATCH] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_PARTS] = KIND(REQUEST) | KIND(NOTIFICATION),
	[INJECT_API] = KIND(REQUEST) | KIND(NOTIFICATION),
};

/* The rule that acts upon the hypercall that a CPU is in. */
static struct {
	bool acts;
	struct inject_rule rule;
} now[HYP_CPUS_MAX];

/* --- The door --- */

static enum gh_error hello(struct vcpu *v, uint64_t *x)
{
	(void)v;
	x[1] = INJECT_VERSION;
	x[2] = INJECT_RULES;
	return GH_ERROR_OK;
}

static enum gh_error arm(struct vcpu *v, uint64_t *x)
{
	struct inject_rule rule = {
		.kind = (uint32_t)x[1],
		.which = (uint32_t)x[2],
		.first = x[3],
		.times = x[4],
		.action = (uint32_t)x[5],
		.value = x[6],
	};
	unsigned int number;

	(void)v;
	if (x[5] >= sizeof(kinds) || x[1] > INJECT_KIND_NOTIFICATION || !x[3] ||
	    !(kinds[rule.action] >> rule.kind & 1))
		return GH_ERROR_ARG_INVALID;
	if (rule.action == INJECT_RESULT && (x[6] >> RESULT_SHIFT) > RESULT_LAST)
		return GH_ERROR_ARG_INVALID;
	number = inject_arm(&rule);
	x[1] = number;
	return number < INJECT_RULES ? GH_ERROR_OK : GH_ERROR_NORESOURCES;
}

static enum gh_error query(struct vcpu *v, uint64_t *x)
{
	struct inject_rule rule;

	(void)v;
	if (!inject_query(x[1], &rule))
		return GH_ERROR_ARG_INVALID;
	x[1] = rule.seen;
	x[2] = rule.fired;
	x[3] = rule.last;
	x[4] = rule.last_seq;
	return GH_ERROR_OK;
}

static enum gh_error clear(struct vcpu *v, uint64_t *x)
{
	(void)v;
	inject_clear();
	inject_let_go(!x[1]);
	return GH_ERROR_OK;
}

static enum gh_error release(struct vcpu *v, uint64_t *x)
{
	(void)v;
	(void)x;
	inject_let_go(true);
	return GH_ERROR_OK;
}

/* Byte by byte: a test may put its packet across any page boundary. */
static enum gh_error send(struct vcpu *v, uint64_t *x)
{
	uint8_t packet[GH_RM_MSG_SIZE];
	enum gh_error error = GH_ERROR_OK;
	uint64_t size = x[2];
	pa_t pa;

	if (!size || size > sizeof(packet))
		return GH_ERROR_ARG_SIZE;
	hyp_lock(&v->vm->stage_lock);
	for (uint64_t i = 0; !error && i < size; i++) {
		if (!arch_guest_va(x[1] + i, false, &pa) || !hyp_is_primary_ram(pa, 1))
			error = GH_ERROR_ADDR_INVALID;
		else
			packet[i] = *(const uint8_t *)hyp_ptr(pa);
	}
	hyp_unlock(&v->vm->stage_lock);
	if (!error && !hyp_rm_send(v->vm, packet, size))
		error = GH_ERROR_MSGQ_FULL;
	return error;
}

static enum gh_error panic(struct vcpu *v, uint64_t *x)
{
	(void)v;
	if (x[1])
		*(volatile uint32_t *)(uintptr_t)x[1] = 0;
	arch_panic("a test asked for it");
}

static enum gh_error (*const doors[])(struct vcpu *v, uint64_t *x) = {
	hello, arm, query, clear, release, send, panic,
};

/* --- Hypercalls --- */

static void wait_us(uint64_t us)
{
	uint64_t end;

	if (us > DELAY_MAX_US)
		us = DELAY_MAX_US;
	end = arch_counter() + arch_counter_hz() * us / 1000000;
	while (arch_counter() < end)
		arch_relax();
}

bool inject_call(struct vcpu *caller, unsigned int n, unsigned int first)
{
	struct inject_rule *rule = &now[arch_cpu()->id].rule;
	bool *acts = &now[arch_cpu()->id].acts;
	uint64_t *x = caller->regs.x;

	if (!vcpu_is_primary(caller))
		return false;
	if (n >= INJECT_CALL_FIRST && n - INJECT_CALL_FIRST < sizeof(doors) / sizeof(doors[0]) &&
	    first == 1) {
		x[0] = (uint64_t)doors[n - INJECT_CALL_FIRST](caller, x);
		return true;
	}
	*acts = inject_match(INJECT_KIND_CALL, n, rule);
	if (!*acts)
		return false;
	if (rule->action == INJECT_DELAY)
		wait_us(rule->value);
	if (rule->action != INJECT_FAIL)
		return false;
	x[0] = rule->value;
	return true;
}

void inject_result(unsigned int n, uint64_t *x)
{
	const struct inject_rule *rule = &now[arch_cpu()->id].rule;

	(void)n;
	if (!now[arch_cpu()->id].acts)
		return;
	now[arch_cpu()->id].acts = false;
	if (rule->action == INJECT_LIE)
		x[0] = rule->value;
	else if (rule->action == INJECT_RESULT)
		x[rule->value >> RESULT_SHIFT] = rule->value << 8 >> 8;
}
