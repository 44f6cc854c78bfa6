/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a VM: what its worker does to bring it up and to take it down, with plain copies of what it needs.
 *
 * At most one job of a run exists at a time. The service thread and the job hand the run to each other: while a job runs,
 * the fields below `plan` are the job's.
 */
#ifndef CROFT_AGENT_VM_RUN_H
#define CROFT_AGENT_VM_RUN_H

#include "agent/console.h"
#include "agent/job.h"
#include "agent/state.h"
#include "agent/vm_peer.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "vmm/vmm.h"

struct vm_record;

struct vm_run_disk {
	char *name;
	char *path;   /* of the VM's own file, or of the blob */
	char *source; /* the blob to copy; NULL: none */
	uint64_t size;
	bool own;     /* to be made if it is not there */
	bool block;   /* a device of the host: */
	dev_t device; /* which one, as the start was planned */
	bool read_only;
};

/* What is to be run; all strings are the run's. */
struct vm_plan {
	enum vmm_backend backend;
	char *name, *dir, *kernel, *initrd, *cmdline,
		*fake_script; /* initrd and fake_script may be NULL */
	unsigned int vcpus;
	uint64_t memory;
	uint64_t balloon; /* bytes that the guest is to give up from the start */
	struct vm_run_disk disks[VMM_DISKS_MAX];
	unsigned int disk_count;
	const struct config *config;
	Croft__V1__VmSpec *spec; /* with the network that a VM without any has */
	uint8_t macs[VMM_NETS_MAX][6];
	uint32_t cid;	  /* 0: no vsock */
	bool cid_chosen;  /* and not asked for */
	char *vsock_path; /* NULL: by the host's kernel */
};

struct vm_run {
	struct job job;
	struct vm_record *vm; /* service thread; stays as long as the run */
	struct recording *console, *ports[VMM_PORTS_MAX]; /* as long as the run */
	struct timer timer;  /* service thread: the deadline of its start or stop */
	struct message made; /* disks are made: the VMM's part begins */
	struct message exited;
	struct vmm_exit exit;
	bool up;	/* service thread: the start has ended well */
	bool asked;	/* service thread: the power key was pressed, and the guest has time left */
	bool over;	/* service thread: exited has come */
	bool abandoned; /* service thread: the start took too long, nobody waits for it */

	struct vm_plan plan;
	/* Service thread: what it runs with: as it was started, and what was changed live since. */
	Croft__V1__VmSpec *spec;
	struct vm_peers peers;
	struct vmm *vmm;
	struct error error; /* why the start failed */
};

/* `image` must be ready, and have the disks that the VM names; the consoles must be open. NULL without memory. */
struct vm_run *vm_run_new(struct service *service, struct vm_record *vm,
			  const Croft__V1__Image *image);

/* The plan's part of that; false without memory. vm_plan_clear() is due in any case. */
bool vm_plan_make(struct vm_plan *plan, struct service *service, const struct vm_record *vm,
		  const Croft__V1__Image *image);
void vm_plan_clear(struct vm_plan *plan);

/* What a guest with so much memory gives up for that target; 0 is no target. */
uint64_t vm_run_balloon(uint64_t memory, uint64_t target);

/* NULL is no limit. */
struct vmm_limit vm_run_limit(const Croft__V1__RateLimit *limit);

/* Its vmm must have been freed. Takes NULL, returns NULL. */
struct vm_run *vm_run_free(struct vm_run *run);

/* Works of the job: makes disks, creates and starts the VM; and frees it. */
void vm_run_start_work(struct job *job);
void vm_run_end_work(struct job *job);

#endif
