/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the host is at the other end of a run's devices: processes, interfaces, sockets and block devices, from before its
 * start until after its end.
 */
#ifndef CROFT_AGENT_VM_PEER_H
#define CROFT_AGENT_VM_PEER_H

#include "agent/vm_net.h"
#include "vmm/vmm.h"

struct service;
struct config;
struct vm_plan;
struct vm_record;

struct vm_share {
	int fd;	 /* for the VMM, which duplicates it; -1: closed */
	int pid; /* of virtiofsd; 0: none, or it was waited for */
};

struct vm_peers {
	struct vm_net nets[VMM_NETS_MAX];
	unsigned int net_count;
	struct vm_share shares[VMM_SHARES_MAX];
	unsigned int share_count;
};

/* --- Service thread --- */

/*
 * What of the host a start needs is there, as far as it can be told without waiting: passt, block devices that no other VM
 * uses, a context id, vhost. Errors: UNAVAILABLE and CONFLICT with the field, NOT_FOUND never.
 */
int vm_peers_check(struct service *service, const struct vm_record *vm, struct error *err);

/* A context id that no VM of this node runs with or asks for; 0 without a vsock in the spec. */
uint32_t vm_peers_choose_cid(struct service *service, const struct vm_record *vm);

/* Whether the vsock of the spec goes by the host's kernel. */
bool vm_peers_by_kernel(const Croft__V1__VsockSpec *vsock);

/* Looks after processes that have ended while their VM runs; true when there was one. The run has no job. */
bool vm_peers_reap(struct vm_peers *peers);

/* --- The run's jobs --- */

/*
 * Makes what the plan names, which allow.h allows. On failure vm_peers_close() is still due. Errors: those of vm_net_open(),
 * vmm_fs_start() and allow_open_share(), with the field.
 */
int vm_peers_open(struct vm_peers *peers, const struct vm_plan *plan, struct error *err);

/* The VMM has duplicates of all fds: lets go of ours, so that its end is that of the other side. */
void vm_peers_hand_over(struct vm_peers *peers);

/* The VMM is freed: waits for the processes, which end by that, and kills those that do not. Takes the half-open. */
void vm_peers_close(struct vm_peers *peers);

#endif
