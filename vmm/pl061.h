/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PL061 GPIO at a fixed place, whose only input is the machine's power key.
 */
#ifndef CROFT_VMM_PL061_H
#define CROFT_VMM_PL061_H

#include "vmm/bus.h"

#define PL061_BASE	0x09030000ull
#define PL061_SIZE	0x1000ull
#define PL061_SPI	33u
#define PL061_POWER_PIN 3u

/* Registers that a script of the fake backend touches as a driver would. */
#define PL061_IEV 0x40cull
#define PL061_IE  0x410ull
#define PL061_IC  0x41cull

struct pl061;

/* On failure *out is untouched. */
int pl061_new(struct pl061 **out, struct error *err);
struct pl061 *pl061_free(struct pl061 *gpio);

struct mmio_device *pl061_device(struct pl061 *gpio);

/*
 * Presses the power key and releases it. The edge stays pending until the guest clears it, so it
 * does not matter how soon the guest looks. Any thread.
 */
void pl061_press(struct pl061 *gpio);

#endif
