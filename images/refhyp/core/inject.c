/* SPDX-License-Identifier: GPL-2.0-only */
/* The hooks for tests as the product has them: nothing happens. A build for tests links stronger ones. */
#include "core/inject.h"

#define HOOK __attribute__((weak))

HOOK bool inject_call(struct vcpu *caller, unsigned int n, unsigned int first)
{
	(void)caller;
	(void)n;
	(void)first;
	return false;
}

HOOK void inject_result(unsigned int n, uint64_t *x)
{
	(void)n;
	(void)x;
}

HOOK bool inject_request(uint32_t id, enum gh_rm_error *error)
{
	(void)id;
	(void)error;
	return false;
}

HOOK void inject_answer(uint32_t id, enum gh_rm_error *error)
{
	(void)id;
	(void)error;
}

HOOK bool inject_outgoing(struct rm_outgoing *m)
{
	(void)m;
	return true;
}

HOOK bool inject_released(struct rm_outgoing *m)
{
	(void)m;
	return false;
}

HOOK void inject_poll(void)
{
}
