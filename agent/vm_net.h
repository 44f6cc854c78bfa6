/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is at the other end of a VM's network interfaces: a passt of its own, or a tap interface of the host.
 */
#ifndef CROFT_AGENT_VM_NET_H
#define CROFT_AGENT_VM_NET_H

#include <net/if.h>

#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

#define VM_NET_DEFAULT "net0" /* of a VM that has no networks in its spec */

struct vm_net {
	int fd;			  /* for the VMM, which duplicates it; -1: closed */
	int pid;		  /* of passt; 0: none, or it was waited for */
	bool gone;		  /* passt has ended */
	char interface[IFNAMSIZ]; /* of the host; "": none */
};

/* Whether passt is installed, so that networks of kind user are possible. */
bool vm_net_has_passt(void);

/*
 * Makes the other end. A tap is up, part of its bridge, and ends with the last duplicate of the fd. On failure nothing is left.
 * Errors: UNAVAILABLE (no passt, no tun device, no such bridge), PERMISSION_DENIED, CONFLICT (no bridge), RESOURCE_EXHAUSTED,
 * INTERNAL.
 */
int vm_net_open(struct vm_net *net, const Croft__V1__NetworkSpec *spec, struct error *err);

/* An address of that VM's interface that is always the same: one station, locally administered. -EIO without the library. */
int vm_net_make_mac(uint8_t mac[6], const char *uid, const char *name);
#define VM_NET_MAC 18
void vm_net_print_mac(char out[VM_NET_MAC], const uint8_t mac[6]);

#endif
