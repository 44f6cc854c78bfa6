/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the node does: the checks of /livez and /readyz.
 */
#ifndef CROFT_AGENT_HEALTH_H
#define CROFT_AGENT_HEALTH_H

#include "croft/v1/node.pb-c.h"
#include "vmm/base.h"

struct service;

uint64_t health_memory_total(void); /* bytes of the host's RAM */

/* On the service thread; NULL without memory. */
Croft__V1__Health *health_check(struct service *service, bool ready);

#endif
