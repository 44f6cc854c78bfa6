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
};

int probe_open(void);
void probe_close(void);

/* Runs it at the address; true: no exception. Else *esr is its syndrome, 0 if not known. */
bool probe(enum probe what, void *address, u64 *esr);

/* Calls with a number; the value is x0, or 1 after an exception. */
u64 probe_hvc_1(u64 function), probe_hvc_5fff(u64 function), probe_hvc_6069(u64 function);
u64 probe_hvc_61ff(u64 function), probe_hvc_6200(u64 function), probe_hvc_ffff(u64 function);
u64 probe_smc_1(u64 function);

#endif
