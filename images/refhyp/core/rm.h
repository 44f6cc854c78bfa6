/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the resource manager (RM) share: a call, the table of VMs, and the handlers of
 * the messages.
 *
 * rm.c has the table of messages; rm_rpc.c the framing; rm_vm.c states; rm_start.c INIT, START and
 * their reverse; rm_config.c and rm_patch.c the guest's device tree; rm_id.c names; rm_mem.c
 * memparcel messages; rm_vdev.c doorbells, queues and links. All of it runs under the one lock of rm.c.
 */
#ifndef REFHYP_CORE_RM_H
#define REFHYP_CORE_RM_H

#include "core/hyp.h"
#include "core/memparcel.h"
#include "core/rm_config.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "messages are used as they lie in memory");

#define RM_REPLY_MAX 4096u /* payload after the error word */
#define RM_CRASH_MAX 1024u /* bytes of a crash message */

/* One request while it is handled. */
struct rm_call {
	uint32_t id;
	uint16_t from;	     /* VMID of the caller */
	const uint8_t *data; /* payload; its length obeys the table in rm.c */
	size_t size;
	struct rm_vm *vm; /* the target, when the table names a rule for it */
	bool long_error;  /* send the payload even with an error */
	size_t reply_size;
	uint8_t reply[RM_REPLY_MAX];
	void (*after)(struct rm_vm *vm); /* work that follows the reply */
};

typedef enum gh_rm_error rm_handler(struct rm_call *call);

/* Appends to the reply's payload; false (and nothing appended) when it is full. */
bool rm_put(struct rm_call *call, const void *data, size_t size);
bool rm_put_u32(struct rm_call *call, uint32_t value);

/* Queues a notification; nothing happens when the VM has no link. At most RM_NOTIFY_MAX bytes. */
#define RM_NOTIFY_MAX GH_RM_PAYLOAD
void rm_notify(uint16_t to, uint32_t id, const void *payload, size_t size);

/* --- VMs --- */

/* Registers that VM_SET_CONTEXT set; they replace the defaults at START. */
struct rm_context {
	uint64_t x[31], pc, sp[2];
	uint32_t x_set; /* bit n: x[n] */
	bool pc_set;
	uint8_t sp_set;
};

struct rm_vm {
	uint16_t vmid; /* 0: the slot is free */
	uint16_t owner;
	uint8_t state;	/* enum gh_rm_vm_state */
	uint32_t image; /* handle of the parcel that holds image and tree */
	uint64_t image_offset, dtb_offset, dtb_size;
	struct rm_context context;
	bool configured; /* config and tree hold the guest's device tree */
	struct rm_config config;
	struct vm *hyp;		 /* the VM itself, from INIT to RESET, else NULL */
	struct hyp_rm_link link; /* of a VM that rm_rpc_has() */
	uint16_t crash_size;
	uint8_t crash[RM_CRASH_MAX]; /* what it left with VM_SET_CRASH_MSG */
	ipa_t private_end;	     /* end of its private memory so far */
	struct {
		uint64_t cap;
		uint32_t virq;
	} vcpu[HYP_CPUS_MAX];
	unsigned int vcpus;		      /* that exist */
	_Alignas(8) uint8_t tree[RM_DTB_MAX]; /* private copy, made at INIT */
};

void rm_vm_reset_all(void);
struct rm_vm *rm_vm_find(uint16_t vmid);	  /* secondary VMs only; NULL: unknown */
struct rm_vm *rm_vm_next(const struct rm_vm *vm); /* walks all; NULL starts and ends */

/* Changes the state and tells the owner. The caller has checked that the change is allowed. */
void rm_vm_enter(struct rm_vm *vm, enum gh_rm_vm_state state);

/* The rules of section 5.1: may a VM in this state go there? */
bool rm_vm_may_enter(const struct rm_vm *vm, enum gh_rm_vm_state state);

/* Whether the VM of that VMID may know of this one: its owner and its peers may. */
bool rm_vm_sees(uint16_t from, const struct rm_vm *vm);

/* Reverse of INIT and START: gives back everything that the VM holds. Takes a VM in any state. */
void rm_vm_release(struct rm_vm *vm);

/* The VM of that VMID may have gone down by itself. */
void rm_vm_died(uint16_t vmid);

/*
 * Lets a VM between INIT and RESET accept a parcel that names it: `ipa` tells where, `role` what
 * for. GH_ERROR_ADDR_INVALID when the range leaves the VM's address space or meets its interrupt
 * controller.
 */
enum gh_error rm_vm_accept(struct rm_vm *vm, struct memparcel *p, ipa_t ipa, enum mem_role role);

/* The same where memparcel_place() put it, which is forgotten with an error. */
enum gh_error rm_vm_accept_placed(struct rm_vm *vm, struct memparcel *p, enum mem_role role);

/* Where a buffer goes: where a shm vdevice of its label wants it, else where `size` bytes have room. */
ipa_t rm_vm_buffer_place(struct rm_vm *vm, const struct memparcel *p, uint64_t size);

/* Accepts it there, whole. */
enum gh_error rm_vm_accept_buffer(struct rm_vm *vm, struct memparcel *p);

/*
 * Accepts, as buffers, all parcels that name the VM and that nothing else has accepted (rule 5 of
 * section 5.4).
 */
enum gh_error rm_vm_accept_rest(struct rm_vm *vm);

/* --- rm_vdev.c --- */

/* Makes the vdevices of a VM that has its interrupt controller; NULL, or what is wrong. */
const char *rm_vdev_init(struct rm_vm *vm);
void rm_vdev_release(struct rm_vm *vm); /* the reverse, also of what is half done */
/* The VM that a vdevice names as its peer; NULL: none has that name. */
struct rm_vm *rm_vdev_peer(const struct rm_vdev *v);
bool rm_vdev_are_peers(const struct rm_vm *a, const struct rm_vm *b); /* a names b */
/* Appends the owner's ends to GET_HYP_RESOURCES; false when the reply is full. */
bool rm_vdev_put_resources(struct rm_call *call, const struct rm_vm *vm, uint32_t *count);

/*
 * Writes the guest's device tree with what RM adds (section 2.2) behind the image, at the place
 * that CONFIG_IMAGE named; accepts the parcels that reserved-memory nodes ask for.
 */
const char *rm_patch_tree(struct rm_vm *vm,
			  const struct memparcel *image); /* NULL, or what is wrong */

/*
 * Adds the RM link to the tree of the primary VM; false when there is no room or the tree is not
 * one.
 */
bool rm_patch_primary(void *dtb, size_t capacity);

/* --- Handlers; the table in rm.c tells which message each answers --- */

rm_handler rm_vm_allocate, rm_vm_deallocate, rm_vm_config_image, rm_vm_auth_image, rm_vm_init,
	rm_vm_start;
rm_handler rm_vm_stop, rm_vm_reset, rm_vm_get_state, rm_vm_set_context, rm_vm_set_time_base;
rm_handler rm_vm_get_hyp_resources, rm_vm_get_crash_msg, rm_vm_set_crash_msg, rm_vm_exit;
rm_handler rm_vm_set_firmware_mem;
rm_handler rm_get_id, rm_lookup_uri, rm_lookup_guid, rm_lookup_name, rm_get_owner, rm_get_vmid,
	rm_get_peers;
rm_handler rm_host_get_type;
rm_handler rm_mem_donate, rm_mem_lend, rm_mem_share, rm_mem_append, rm_mem_accept, rm_mem_release,
	rm_mem_reclaim;
rm_handler rm_mem_notify, rm_mem_lookup;

#endif
