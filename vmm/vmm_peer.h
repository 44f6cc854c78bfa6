/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the host is at the other end of a VM's devices: made here, before the VM, and handed to vmm_create() as fds.
 */
#ifndef CROFT_VMM_VMM_PEER_H
#define CROFT_VMM_VMM_PEER_H

#include "vmm/base.h"

/*
 * A tap interface of this name ("" or "tap%d": the kernel chooses), made when it does not exist;
 * *fd is for struct vmm_net, and the interface ends with the last duplicate of it unless it was
 * there before. Addresses, routes and bridges are the caller's. Errors: INVALID_ARGUMENT,
 * PERMISSION_DENIED, UNAVAILABLE (no /dev/net/tun), INTERNAL.
 */
int vmm_net_tap(const char *name, int *fd, struct error *err);

/*
 * A network that needs no privilege and no set-up: starts a passt of its own, which gives the guest
 * an address by DHCP and carries its connections as if they were the host's. *fd is for struct
 * vmm_net; passt ends when the last duplicate is closed, and *pid is then the caller's to wait for.
 * Errors: UNAVAILABLE (passt is not installed), RESOURCE_EXHAUSTED.
 */
int vmm_net_passt(int *fd, int *pid, struct error *err);

/*
 * Starts a virtiofsd of its own for a directory, which the caller has open (O_PATH will do) and
 * keeps: whatever comes to lie at its path meanwhile is not what the guest gets. *fd is for struct
 * vmm_fs; it ends when the last duplicate is closed, and *pid is then the caller's to wait for. It
 * sees the directory by a mount in a namespace of its own, which is what read_only is held by;
 * without CAP_SYS_ADMIN that is in a user namespace, where the guest's root is the caller. Errors:
 * INVALID_ARGUMENT (no directory), UNAVAILABLE (virtiofsd is not installed, or no namespace may be
 * made), RESOURCE_EXHAUSTED.
 */
int vmm_fs_start(int directory, bool read_only, int *fd, int *pid, struct error *err);

#endif
