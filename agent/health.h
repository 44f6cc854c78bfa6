/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the node is and how it does: memory, CPUs, times, and the checks of /livez and /readyz.
 */
#ifndef CROFT_AGENT_HEALTH_H
#define CROFT_AGENT_HEALTH_H

#include "croft/v1/node.pb-c.h"
#include "vmm/base.h"

struct service;

uint64_t health_memory_total(void); /* bytes of the host's RAM */

/* Both on the service thread; NULL without memory. */
Croft__V1__Node *health_node(struct service *service);
Croft__V1__Health *health_check(struct service *service, bool ready);

#endif
