/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a build for tests breaks into the hypervisor: inject/ has the functions that do so, core/inject.c weak ones that do
 * nothing. Which of them act is decided by what is linked, so the code around them is the same in both builds.
 */
#ifndef REFHYP_CORE_INJECT_H
#define REFHYP_CORE_INJECT_H

#include "core/rm_rpc.h"
#include "core/vm.h"

/* Hypercall n of the caller, before it is done. True: it is over, and its results are in the registers. */
bool inject_call(struct vcpu *caller, unsigned int n, unsigned int first);

/* The results of a hypercall of the primary are in its registers: x[0] and up. */
void inject_result(unsigned int n, uint64_t *x);

/* A whole request came. True: it is not done, and *error is the answer. */
bool inject_request(uint32_t id, enum gh_rm_error *error);

/* The request was done. May turn its error into another. */
void inject_answer(uint32_t id, enum gh_rm_error *error);

/* A message is about to be queued for the primary; it may be changed. False: it is not to be. */
bool inject_outgoing(struct rm_outgoing *m);

/* A message that was kept back and now may go; false: none. */
bool inject_released(struct rm_outgoing *m);

/* On the way out of each trap. */
void inject_poll(void);

#endif
