/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is measured by: plain data, filled in by vmm_stats(). Counters start at 0 with the VM.
 */
#ifndef CROFT_VMM_VMM_STATS_H
#define CROFT_VMM_VMM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#define VMM_VCPUS_MAX  8u
#define VMM_DISKS_MAX  8u
#define VMM_NETS_MAX   4u
#define VMM_PORTS_MAX  4u
#define VMM_SHARES_MAX 4u

#define VMM_DISK_QUEUES_MAX  4u
#define VMM_HANDLING_BUCKETS 16u

struct vmm_vcpu_stats {
	uint64_t run_ns;  /* CPU time of the vCPU's thread, guest included */
	uint64_t wait_ns; /* runnable but not running (steal) */
	uint64_t mmio_reads, mmio_writes, wakeups, interrupted, errors; /* exits by reason */
	uint64_t handled; /* writes that the kernel turned into ioeventfds */
	/* How long the VMM took to answer accesses: [i] of those took less than 1 << i us. */
	uint64_t handling[VMM_HANDLING_BUCKETS]; /* each in one bucket; the last takes the rest */
	uint64_t handling_ns;			 /* sum */
	bool running;				 /* thread is alive */
	bool handled_measured; /* handled, wakeups: whether the driver counts them */
};

struct vmm_disk_stats {
	uint64_t read_ops, write_ops, flush_ops, read_bytes, write_bytes, errors;
	uint64_t discard_ops, zero_ops;
	uint64_t read_ns, write_ns, flush_ns, discard_ns; /* sums, from seen to done */
	uint64_t throttled;				  /* times that the rate limit stopped it */
	uint64_t size;					  /* bytes */
	unsigned int queue_count;
	uint64_t queue_requests[VMM_DISK_QUEUES_MAX];
	bool uring;
};

/* As the guest sees it: it receives what the network sends. */
struct vmm_net_stats {
	uint64_t rx_packets, rx_bytes, rx_dropped;
	uint64_t tx_packets, tx_bytes, tx_dropped;
	uint64_t tx_spoofed; /* dropped, since they came from another address */
	uint64_t throttled;  /* times that a rate limit stopped a direction */
	bool link_up, vhost; /* vhost: the kernel's device counts packets, bytes and drops */
	bool peer_gone;	     /* nothing will come or go any more */
};

/* Bytes as the guest sees them; what vhost carries is not counted. */
struct vmm_vsock_stats {
	bool present, vhost;
	uint64_t connections, rx_bytes, tx_bytes;
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
	unsigned int vcpu_count, disk_count, net_count;
	struct vmm_vcpu_stats vcpus[VMM_VCPUS_MAX];
	struct vmm_disk_stats disks[VMM_DISKS_MAX];
	struct vmm_net_stats nets[VMM_NETS_MAX];
	uint64_t memory_configured; /* bytes */
	uint64_t memory_resident;   /* bytes of guest memory that the host holds, by mincore */
	uint64_t memory_pinned;	    /* bytes that the host cannot take, until the VM's end */
	/* What the VMM itself uses beside the vCPUs' threads: its device thread. */
	uint64_t device_run_ns, device_wait_ns;
	struct vmm_balloon_stats balloon;
	struct vmm_vsock_stats vsock;
	uint64_t devices_broken; /* times that the guest broke a device's rules */
	uint64_t console_bytes;	 /* written by the guest */
};

#endif
