/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest with the servant asks of the hypervisor and, by its own link, of the resource manager. Its image is shared. */
#ifndef CONFORMANCE_GUEST_H
#define CONFORMANCE_GUEST_H

#include "vm.h"

#define GUEST_RM "hypervisor/rm" /* where the trees of these tests have the link */

/* The tree as the guest sees it; the capability in `reg` of one of its nodes. */
const void *guest_tree(const struct vm *vm);
u64 guest_cap(const struct vm *vm, const char *path, unsigned int index);

/* Hypercall n by vCPU 0; the value is its error, results are in cpu[0].out. */
s64 guest_hyp(struct vm *vm, unsigned int n, u64 a, u64 b, u64 c);

/* A request, and its reply's error word; *reply is what follows. RM_SILENT: none came. */
u32 guest_rm(struct vm *vm, u32 id, const void *data, size_t size, const u8 **reply);

/* MEM_ACCEPT of what the primary shares; SGL entries are in the order of the machine. */
struct guest_accept {
	u32 handle, label;
	u8 flags;
	u16 map_vmid;
	struct gh_rm_sgl sgl[3];
	u16 sgls;
};
u32 guest_accept(struct vm *vm, const struct guest_accept *what, const u8 **reply);
/* MEM_RELEASE. */
u32 guest_release(struct vm *vm, u32 handle, u8 flags);

/* The next notification for the guest with this id, as it lies in its memory; NULL: none. */
const u8 *guest_told(struct vm *vm, u32 id);

#endif
