/* SPDX-License-Identifier: GPL-2.0-only */
/* What a board is: addresses only. Each directory under platform/ defines one `platform`. */
#ifndef REFHYP_CORE_PLATFORM_H
#define REFHYP_CORE_PLATFORM_H

#include "core/hyp.h"

#define PLATFORM_DEVICES_MAX 4u

struct platform_range {
	pa_t base;
	uint64_t size;
};

struct platform {
	struct platform_range primary_ram; /* mapped 1:1 into the primary */
	struct platform_range hyp_ram;	   /* image, page pool */
	struct platform_range
		devices[PLATFORM_DEVICES_MAX]; /* of the primary, 1:1; size 0 ends the list */
	pa_t uart;			       /* PL011, shared with the primary */
	pa_t gicd, gicr;		       /* GICv3; redistributors of 128 KiB, one a CPU */
	pa_t dtb; /* the primary's tree, and the room it may grow into */
	uint64_t dtb_capacity;
	pa_t kernel; /* where the primary starts */
};

extern const struct platform platform;

#endif
