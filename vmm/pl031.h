/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PL031 real-time clock at a fixed place, which tells the host's time. It has no alarm, and so no
 * interrupt.
 */
#ifndef CROFT_VMM_PL031_H
#define CROFT_VMM_PL031_H

#include "vmm/bus.h"

#define PL031_BASE 0x09010000ull
#define PL031_SIZE 0x1000ull

struct pl031;

/* On failure *out is untouched. */
int pl031_new(struct pl031 **out, struct error *err);
struct pl031 *pl031_free(struct pl031 *rtc);

struct mmio_device *pl031_device(struct pl031 *rtc);

#endif
