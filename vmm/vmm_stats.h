/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is measured by: plain data, filled in by vmm_stats(). Counters start at 0 with the VM.
 */
#ifndef CROFT_VMM_VMM_STATS_H
#define CROFT_VMM_VMM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#define VMM_VCPUS_MAX 8u
#define VMM_DISKS_MAX 8u

struct vmm_vcpu_stats {
	uint64_t run_ns;  /* CPU time of the vCPU's thread, guest included */
	uint64_t wait_ns; /* runnable but not running (steal) */
	uint64_t mmio_reads, mmio_writes, wakeups, interrupted, errors; /* exits by reason */
	uint64_t handled;      /* writes that the kernel turned into ioeventfds */
	bool running;	       /* thread is alive */
	bool handled_measured; /* handled, wakeups: whether the driver counts them */
};

struct vmm_disk_stats {
	uint64_t read_ops, write_ops, flush_ops, read_bytes, write_bytes, errors;
};

/* What a guest's balloon driver tells of its memory (virtio 1.2, section 5.5.6.3). */
enum vmm_guest_memory_item {
	VMM_GUEST_SWAP_IN, /* bytes, as the others but for the counts */
	VMM_GUEST_SWAP_OUT,
	VMM_GUEST_MAJOR_FAULTS, /* a count */
	VMM_GUEST_MINOR_FAULTS, /* a count */
	VMM_GUEST_FREE,
	VMM_GUEST_TOTAL,
	VMM_GUEST_AVAILABLE,
	VMM_GUEST_CACHES,
	VMM_GUEST_HUGE_ALLOCATIONS, /* a count */
	VMM_GUEST_HUGE_FAILURES,    /* a count */
	VMM_GUEST_OOM_KILLS,	    /* a count */
	VMM_GUEST_MEMORY_ITEMS
};

struct vmm_guest_memory {
	uint32_t told;	 /* bit 1 << item for each that the guest has told; 0: nothing yet */
	uint64_t age_ns; /* since it was told */
	uint64_t values[VMM_GUEST_MEMORY_ITEMS];
};

struct vmm_balloon_stats {
	bool present;	   /* the VM has the device */
	bool driver_up;	   /* and its guest a driver for it */
	bool gives_back;   /* the host gets what the guest gives up; else the VM keeps it pinned */
	uint64_t target;   /* bytes, of vmm_set_balloon() */
	uint64_t actual;   /* bytes that the guest says it has given up */
	uint64_t released; /* bytes that went back to the host so far, by balloon and reports */
	uint64_t inflated, deflated, reported; /* bytes that passed through the queues so far */
	struct vmm_guest_memory guest;
};

struct vmm_stats {
	unsigned int vcpu_count, disk_count;
	struct vmm_vcpu_stats vcpus[VMM_VCPUS_MAX];
	struct vmm_disk_stats disks[VMM_DISKS_MAX];
	uint64_t memory_configured; /* bytes */
	uint64_t memory_resident;   /* bytes of guest memory that the host holds, by mincore */
	struct vmm_balloon_stats balloon;
	uint64_t console_bytes; /* written by the guest */
};

#endif
