/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primary's side of the resource manager's queue, for tests: requests in bytes, replies,
 * notifications, trees.
 */
#ifndef TESTS_UNIT_RM_CLIENT_H
#define TESTS_UNIT_RM_CLIENT_H

#include "tests/unit/hyp_fake.h"

#define RM_NOTES 512u /* kept; later ones are not */

/* What came back from the last call. */
struct rm_client {
	bool replied;
	uint32_t error; /* first word of the reply */
	size_t size;	/* payload behind it */
	uint8_t reply[16384];
	unsigned int notes; /* notifications since the last rm_client_forget() */
	struct {
		uint32_t id;
		size_t size;
		uint8_t payload[GH_RM_PAYLOAD];
		bool before_reply;
	} note[RM_NOTES];
};

extern struct rm_client client;

/* A fresh machine with its resource manager. */
void rm_client_boot(void);

/* Takes everything that waits in the queue. */
void rm_client_drain(void);
void rm_client_forget(void);

/*
 * Sends a request, in fragments where needed, drains, and returns the error word (~1u when none
 * came).
 */
uint32_t rm_ask(uint32_t id, const void *payload, size_t size);
uint32_t rm_ask_vmid(uint32_t id, uint16_t vmid);
/* From here on rm_ask() speaks for this guest, by its link; 0: for the primary again. */
void rm_client_as(uint16_t vmid);
uint32_t rm_reply_u32(size_t offset);

/* Number of the states in which VM_STATUS named the VM, in order. */
unsigned int rm_states(uint16_t vmid, uint8_t *states, unsigned int max);

/* --- Steps of a VM's life --- */

uint16_t rm_new_vm(void); /* 0: refused */
/* LEND or SHARE of one range with RWX for the VM; the error word, and the handle. */
uint32_t rm_give(uint32_t id, uint16_t vmid, pa_t pa, uint64_t size, uint32_t *handle);
uint32_t rm_give_labelled(uint32_t id, uint16_t vmid, struct gh_rm_sgl range, uint32_t label,
			  uint32_t *handle);
uint32_t rm_config(uint16_t vmid, uint32_t handle, uint64_t dtb_offset, uint64_t dtb_size);
uint32_t rm_stop(uint16_t vmid, uint8_t flags);
uint32_t rm_reclaim(uint32_t handle);

/* --- A guest's tree --- */

/* What can be wrong or special in it. */
struct tree_options {
	unsigned int cpus;  /* 0: 2 */
	uint64_t base;	    /* 0: 0x80000000 */
	uint64_t gicr_size; /* 0: fits */
	uint64_t size_max;  /* 0: absent */
	bool no_image_name, no_chosen, no_psci, gic_phandle, gic_no_reg, static_affinity;
	bool hypervisor, reserved, memory_unit, trusted, rm_rpc, shm, same_spi;
	const char *attrs; /* vm-attrs, or NULL */
	uint64_t reserved_base, reserved_size;
	uint32_t reserved_label; /* 0: none */
	bool source, sink, pair; /* vdevices of labels 200, 200, 201 */
	const char *name, *peer; /* image-name; peer of the three. NULL: "demo-vm"; the owner */
	unsigned int bells;
	unsigned int clocks; /* vrtc-pl031 */
	uint64_t clock_base; /* 0: RM chooses */
};

#define TREE_MAX 0x8000u
/* Writes a tree into RAM at pa; returns its size. */
size_t rm_write_tree(pa_t pa, const struct tree_options *o);

/* The tree that the guest would see. */
const void *rm_guest_tree(pa_t pa);

/*
 * One VM with image and tree in `size` bytes at pa, up to INIT; the error of the step that failed,
 * else 0.
 */
struct rm_test_vm {
	uint16_t vmid;
	uint32_t handle;
	pa_t pa;
	uint64_t size;
};
#define TREE_OFFSET 0x100000u
uint32_t rm_make(struct rm_test_vm *vm, uint32_t how, const struct tree_options *o);
/* RESET, RECLAIM, DEALLOCATE; asserts nothing, returns the first error. */
uint32_t rm_unmake(struct rm_test_vm *vm);

#endif
