/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions of the primary that the hypervisor may answer with an exception, without harm.
 *
 * A lent page answers with an external abort, which the kernel never takes from its exception
 * table; a notifier takes it in the moment before the kernel would call it an oops.
 */
#ifndef CONFORMANCE_PROBE_H
#define CONFORMANCE_PROBE_H

#include <linux/types.h>

enum probe {
	PROBE_LOAD,
	PROBE_STORE, /* of zero */
	PROBE_HVC_BELOW,
	PROBE_HVC_ABOVE,
	PROBE_HVC_ONE,
};

int probe_open(void);
void probe_close(void);

/* Runs it at the address; true: no exception. Else *esr is its syndrome, 0 if not known. */
bool probe(enum probe what, void *address, u64 *esr);

#endif
