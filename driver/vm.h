/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual machine: its state, memory regions, functions, resources and handlers, shared by the
 * files of the driver.
 */
#ifndef GH_VM_H
#define GH_VM_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "api/gunyah/abi.h"
#include "api/gunyah/ioctl.h"
#include "platform.h"
#include "rm.h"

/*
 * Locking, outermost first:
 *
 *   vm->lock	 (mutex) set-up, START and teardown of one VM; the lists of a VM
 *   mmap lock	 of the process, while regions are pinned and sealed
 *   a page's lock, and inside it
 *   gh_claim_lock (mutex) which memory is whose, over all VMs
 *   gh_hold_lock (mutex) the files behind lent memory; an inode's lock inside it
 *   run_lock	 (mutex) of one vCPU: held by the thread inside GH_VCPU_RUN
 *   call_lock	 (mutex) of the resource manager: one request at a time
 *   rm->vms	 (xarray's spinlock) held around a notification
 *   state_lock	 (spinlock) the state of one VM, the list of vCPUs to wake
 *   rm->lock	 (spinlock) the call that waits for its reply, and those given up
 *   the lock of an eventfd's wait queue, in which a doorbell is rung
 *
 * The receive thread takes none of the mutexes: replies and notifications come while a request
 * waits. A running vCPU takes no lock but its own run_lock, and reads vm->state and vm->io without
 * one; one that is off takes state_lock before it sleeps. Nothing is called in user space with a
 * lock held but copy_from_user under vm->lock.
 */

/* The RM lets one owner have so many parcels; more regions could never be given. */
#define GH_VM_REGIONS_MAX 64

/* Memory that user space gave to the VM: pinned from the ioctl on, lent or shared from START on. */
struct gh_region {
	struct list_head node; /* vm->regions */
	u64 gpa;
	struct mm_struct *mm; /* the VM's */
	u64 uaddr;	      /* where it was mapped there */
	u64 pages;
	bool writable; /* pinned for writing: pages are dirty when they go back */
	u64 hidden;    /* lent pages that are out of the host's reach, from the first; see seal.c */
	struct gh_claim *claims;		/* one for each range */
	struct list_head files;			/* behind it, while they are held; see hold.c */
	const struct gh_platform_ops *platform; /* who has to hear of its way back, or NULL */
	struct gh_parcel parcel;
};

/* Part of the guest's memory, as in the requests that tell of one. */
struct gh_guest_range {
	u64 gpa;
	u64 size;
};

/* Registers that the boot vCPU starts with: what GH_VM_SET_BOOT_CONTEXT stored. */
#define GH_VM_BOOT_REGS_MAX 36
struct gh_boot_context {
	unsigned int count;
	struct gh_vm_boot_context regs[GH_VM_BOOT_REGS_MAX];
};

struct gh_claim;
struct gh_io_table;

struct gh_vm {
	struct gh_rm *rm;
	refcount_t users;     /* files and the start work; the last one begins the teardown */
	refcount_t life;      /* who may still look at this structure */
	struct mm_struct *mm; /* its creator's; regions come from it alone */

	struct mutex lock; /* set-up and START; protects all down to `state_lock` */
	struct list_head regions;
	unsigned int region_count;
	struct gh_guest_range dtb;
	struct gh_guest_range firmware; /* size 0: none */
	struct gh_boot_context boot;
	struct list_head functions;
	struct list_head tickets;
	struct list_head resources;   /* received, and not taken by a ticket */
	struct gh_io_table __rcu *io; /* written under lock, read under RCU by running vCPUs */
	u16 vmid;		      /* 0 until RM gave one */
	bool configured;	      /* RM accepted CONFIG_IMAGE: the VM needs a RESET to end */
	bool inited;		      /* INIT was asked: RM can RESET the VM */
	bool config_unknown;	      /* CONFIG_IMAGE was not answered */
	bool start_unknown;	      /* START was not answered: the guest may be running */
	unsigned int retries;	      /* of the teardown, by the clock */
	bool start_called;
	int start_result;

	bool counted; /* among the quarantined, and holds the module */

	spinlock_t state_lock;	   /* protects the next seven */
	enum gh_rm_vm_state state; /* only moves forward, see gh_vm_advance */
	struct gh_vm_exit_info exit_info;
	struct list_head vcpus; /* bound vCPUs, woken when the VM ends */
	bool quarantined;	/* the teardown failed; an answer of the RM starts it again */
	bool retry_wanted;	/* that answer came before the teardown had failed */
	u16 off_type;		/* how the vCPUs saw the VM end, GH_RM_EXIT_*; 0: not yet */
	bool off_queued;	/* the RM is being told of that */

	atomic64_t irqs_injected; /* doorbells rung by irqfds */

	wait_queue_head_t state_wait;
	struct work_struct start_work;
	struct completion start_done;
	struct work_struct off_work;
	struct delayed_work teardown_work;
	struct completion gone; /* everything was given back, or the VM is quarantined */
};

/* vm.c: files and references. */
int gh_vm_create(struct gh_rm *rm);
struct gh_vm *gh_vm_get(struct gh_vm *vm);
/*
 * The last put begins the teardown on a work item and waits for it to end, unless the task is dying
 * or gets killed; may therefore sleep for as long as the resource manager takes.
 */
void gh_vm_put(struct gh_vm *vm);
void gh_vm_free(struct gh_vm *vm); /* one `life` less */

/* vm_life.c: START, teardown, and the state mirrored from the RM. */
int gh_vm_start(struct gh_vm *vm);
void gh_vm_start_work(struct work_struct *work);
void gh_vm_teardown_work(struct work_struct *work);
enum gh_rm_vm_state gh_vm_state(struct gh_vm *vm);
/* What a vCPU of a VM that is not running tells user space. */
void gh_vm_read_exit(struct gh_vm *vm, u32 *status, struct gh_vm_exit_info *info);
/* From the receive thread. */
void gh_vm_notification(struct gh_rm *rm, u32 id, const void *data, size_t size);
/*
 * The reply to a LEND, SHARE or RECLAIM that had been given up: NULL if RM refused, else the word
 * that it granted. May sleep.
 */
void gh_vm_late_reply(struct gh_rm *rm, u16 vmid, u16 seq, const u32 *granted);
/* Every vCPU is off for good, and the RM did not say that the VM has ended: it is told. */
void gh_vm_off(struct gh_vm *vm, u16 type);
void gh_vm_off_work(struct work_struct *work);
unsigned int gh_vm_quarantine_count(void);

/* mem.c: regions. All with vm->lock held. */
int gh_region_add(struct gh_vm *vm, const struct gh_userspace_memory_region *arg, bool lend);
int gh_region_remove(struct gh_vm *vm, u32 label);
/* The region that holds the whole range, or NULL. */
struct gh_region *gh_region_find(struct gh_vm *vm, const struct gh_guest_range *range);
/* Opens, unpins and frees; the RM must not know the region's memory any more. */
void gh_region_free(struct gh_vm *vm, struct gh_region *region);

/*
 * seal.c: lent memory is out of the host's reach. All with vm->lock held; what is shared is left
 * alone.
 */
/* Changes nothing. EBUSY when somebody else holds one of the pages, and goes on to. */
int gh_region_check_held(struct gh_vm *vm, struct gh_region *region);
/*
 * Before it is lent. EBUSY also when a page is mapped where it cannot be taken from, EINVAL for a
 * part of a huge page, EHWPOISON when it is broken, ENOMEM. In any case gh_region_unseal, or
 * gh_region_free, undoes it, and it may be tried again; but private mappings stay empty.
 */
int gh_region_seal(struct gh_vm *vm, struct gh_region *region);
void gh_region_unseal(struct gh_vm *vm, struct gh_region *region);

/*
 * claim.c: EADDRINUSE when the region lends what any VM has, or has what any VM lends. All ranges
 * are in place when it is called.
 */
int gh_region_claim(struct gh_region *region);
void gh_region_unclaim(struct gh_region *region);
/* How many pins of these pages are the driver's own, over all VMs. */
u64 gh_claims_pins(u64 pfn, u64 pages);
int gh_claims_init(void);
void gh_claims_exit(void);

/* hold.c: the file of a folio that is to be lent stays as it is, until it is dropped. ENOMEM. */
int gh_region_hold_file(struct gh_region *region, struct folio *folio);
void gh_region_drop_files(struct gh_region *region);

/*
 * resource.c: what the RM hands out, and the tickets of those who want it. All with vm->lock held.
 */
struct gh_resource {
	struct list_head node; /* vm->resources or a ticket's */
	u8 type;	       /* GH_RM_RES_* */
	u32 label;
	u64 capid;
	unsigned int irq; /* Linux interrupt, 0: none */
};

struct gh_ticket {
	struct list_head node; /* vm->tickets */
	struct list_head resources;
	u8 type;
	u32 label;
	bool (*populate)(struct gh_ticket *ticket,
			 struct gh_resource *resource); /* false: refused */
	void (*unpopulate)(struct gh_ticket *ticket, struct gh_resource *resource);
};

/*
 * EEXIST when somebody has a ticket of this type and label. Resources that came before are offered
 * at once.
 */
int gh_ticket_add(struct gh_vm *vm, struct gh_ticket *ticket);
void gh_ticket_remove(struct gh_vm *vm, struct gh_ticket *ticket);
int gh_resources_add(struct gh_vm *vm, const struct gh_rm_hyp_resource *records, u32 count);
void gh_resources_drop(struct gh_vm *vm);

/* function.c: behaviour that user space adds. */
union gh_fn_arg {
	struct gh_fn_vcpu_arg vcpu;
	struct gh_fn_irqfd_arg irqfd;
	struct gh_fn_ioeventfd_arg ioeventfd;
};

struct gh_function;

struct gh_function_ops {
	const char *name; /* in the v8 form */
	u32 type;	  /* enum gh_fn_type */
	size_t arg_size;
	/*
	 * Returns what the ioctl returns, or an error with nothing left behind. With vm->lock held.
	 */
	int (*bind)(struct gh_function *fn);
	/* With vm->lock held. */
	void (*unbind)(struct gh_function *fn);
	bool (*same)(const union gh_fn_arg *a, const union gh_fn_arg *b);
};

struct gh_function {
	struct list_head node; /* vm->functions */
	const struct gh_function_ops *ops;
	struct gh_vm *vm;
	bool v8; /* added by the v8 form, whose rules hold for it */
	union gh_fn_arg arg;
	void *data; /* of ops */
};

extern const struct gh_function_ops gh_vcpu_ops;
extern const struct gh_function_ops gh_irqfd_ops;
extern const struct gh_function_ops gh_ioeventfd_ops;

int gh_function_add(struct gh_vm *vm, const struct gh_fn_desc *desc);
int gh_function_add_v8(struct gh_vm *vm, const struct gh_vm_function __user *user);
int gh_function_remove(struct gh_vm *vm, const struct gh_fn_desc *desc);
void gh_functions_drop(struct gh_vm *vm);

/*
 * ioeventfd.c: takes a guest's write if a handler wants it. From a running vCPU; no locks, no
 * allocation.
 */
bool gh_io_write(struct gh_vm *vm, u64 addr, u32 len, u64 data);
/* Before the functions go: from here on no write is taken. With vm->lock held. */
void gh_io_drop(struct gh_vm *vm);

/*
 * vcpu.c: the VM is no longer running; wakes the vCPU so that it tells user space. With
 * vm->state_lock held.
 */
void gh_vcpus_wake(struct gh_vm *vm);

#endif
