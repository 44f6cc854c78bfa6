/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine behind struct vmm: parts, and the order in which they are made and unmade.
 */
#ifndef CROFT_VMM_VM_H
#define CROFT_VMM_VM_H

#include <pthread.h>

#include "vmm/backend.h"
#include "vmm/bus.h"
#include "vmm/console.h"
#include "vmm/loop.h"
#include "vmm/pl031.h"
#include "vmm/pl061.h"
#include "vmm/uart.h"
#include "vmm/virtio_balloon.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_console.h"
#include "vmm/virtio_fs.h"
#include "vmm/virtio_net.h"
#include "vmm/virtio_ports.h"
#include "vmm/virtio_rng.h"
#include "vmm/virtio_vsock.h"

/*
 * Where the guest finds its virtio devices. Below 1 GiB, which is what the hypervisor hands to the
 * VMM.
 */
#define VM_VIRTIO_BASE 0x0a000000ull
#define VM_VIRTIO_SPI  48u

struct vcpu {
	struct vmm *vmm;
	unsigned int index;
	pthread_t thread;
	bool created; /* there is a thread to join */
	/* Atomic, from here on. */
	int tid;		  /* 0 when the thread does not run */
	uint64_t run_ns, wait_ns; /* what the thread had used when it ended */
	uint64_t mmio_reads, mmio_writes, interrupted, errors;
	uint64_t handling[VMM_HANDLING_BUCKETS], handling_ns;
};

enum vmm_state { VMM_CREATED, VMM_STARTED, VMM_START_FAILED };

struct vmm {
	char *name;
	struct vmm_events events;
	enum vmm_state state;

	struct mem mem;
	struct bus bus;
	struct loop loop;
	struct console console;
	bool console_ready;
	struct uart *uart;
	struct pl061 *gpio;
	struct pl031 *rtc;
	struct virtio_console *virtio_console;
	struct virtio_blk *disks[VMM_DISKS_MAX];
	unsigned int disk_count;
	struct virtio_net *nets[VMM_NETS_MAX];
	unsigned int net_count;
	struct virtio_vsock *vsock; /* or NULL */
	struct virtio_ports *ports; /* or NULL */
	struct virtio_fs *shares[VMM_SHARES_MAX];
	unsigned int share_count;
	struct virtio_rng *rng;
	struct virtio_balloon *balloon; /* or NULL */
	struct virtio_mmio *virtio[BUS_DEVICES_MAX];
	unsigned int virtio_count;
	uint64_t broken_times, broken_told_ns; /* atomic */

	const struct backend_ops *ops;
	struct backend *backend;
	struct vcpu vcpus[VMM_VCPUS_MAX];
	unsigned int vcpu_count;
	unsigned int vcpus_running; /* atomic */
	bool stopping;		    /* atomic */

	pthread_t device_thread;
	int device_tid;				/* atomic, as is all of this line and the next */
	uint64_t device_run_ns, device_wait_ns; /* when it had ended */
	bool device_thread_created;

	pthread_mutex_t end_lock;
	bool ended; /* the first vCPU that leaves says why */
	struct vmm_exit end;
};

/*
 * vm is zeroed. Makes every part; on failure vm_free() is still due. The configuration has been
 * checked.
 */
int vm_init(struct vmm *vm, const struct vmm_config *config, struct error *err);

/* Joins the threads, and takes the parts apart in the reverse order. Takes the half-built. */
void vm_free(struct vmm *vm);

/* Starts the device thread and a thread a vCPU. On failure none of them is left running. */
int vcpu_start_all(struct vmm *vm, struct error *err);

/* Ends all vCPU threads: whatever they do in the guest, they come back. Any thread. */
void vcpu_stop_all(struct vmm *vm);
void vcpu_join_all(struct vmm *vm);

void vcpu_stats(struct vcpu *vcpu, struct vmm_vcpu_stats *stats);
void device_thread_stats(struct vmm *vm, struct vmm_stats *stats);

#endif
