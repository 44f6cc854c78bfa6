/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tap's interface has counted.
 */
#ifndef CROFT_VMM_NET_TAP_H
#define CROFT_VMM_NET_TAP_H

#include "vmm/vmm.h"

/*
 * Replaces packets, bytes and drops of stats by those of the interface, as long as this process
 * sees it in its network namespace.
 */
void net_tap_counters(int fd, struct vmm_net_stats *stats);

#endif
