/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of a running VM: those of the VMM, with what only the host's kernel counts put into them. Service thread only.
 */
#ifndef CROFT_AGENT_VM_STATS_H
#define CROFT_AGENT_VM_STATS_H

#include "agent/vm.h"

struct vm_figures {
	const Croft__V1__Vm *vm;
	const Croft__V1__VmSpec
		*spec; /* that it was started with; as long as the run, as are the names */
	struct vmm_stats vmm;
	const char *networks[VMM_NETS_MAX]; /* names; NULL for one whose figures are not known */
	bool vcpu_times;		    /* known of all vCPUs */
};

/* The VM runs. Waits for nothing but the kernel. */
void vm_figures_take(const struct vm_record *vm, struct vm_figures *out);

/* The name of a disk; NULL for one that is not the spec's. */
const char *vm_figures_disk(const struct vm_figures *figures, unsigned int disk);

/* The same as a client gets it; NULL without memory. */
Croft__V1__VmStats *vm_stats_message(const struct vm_record *vm);

/*
 * Fills in packets, bytes and drops from the statistics that the kernel has of the interface, of which it is the other end:
 * what the interface transmits, the guest receives. `root` is "/sys/class/net". False when they cannot be read.
 */
bool vm_stats_read_interface(const char *root, const char *interface, struct vmm_net_stats *out);

#endif
