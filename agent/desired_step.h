/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps towards the desired state as calls of the agent's own methods.
 */
#ifndef CROFT_AGENT_DESIRED_STEP_H
#define CROFT_AGENT_DESIRED_STEP_H

#include "agent/desired_plan.h"
#include "agent/service.h"

/* The call that takes the plan's first step, without `done` and `data`. NULL without memory. */
struct call *desired_step_call(const struct desired_doc *doc, const struct desired_plan *plan);

#endif
