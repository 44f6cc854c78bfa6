/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The resource manager (RM) as the driver sees it: requests with their replies, and notifications
 * to the VMs.
 */
#ifndef GH_RM_H
#define GH_RM_H

#include <linux/irqdomain.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "msgq.h"
#include "rm_codec.h"

struct gh_rm_call;

/* What not every RM has. */
enum gh_rm_optional {
	GH_RM_HAS_CONTEXT,  /* VM_SET_CONTEXT */
	GH_RM_HAS_FIRMWARE, /* VM_SET_FIRMWARE_MEM */
	GH_RM_OPTIONAL_COUNT,
};

struct gh_rm {
	struct device *dev;
	struct gh_msgq msgq;
	struct workqueue_struct *wq; /* the life cycles of VMs, and what late replies ask for */
	struct fwnode_handle *gic;   /* domain of the interrupts that RM hands out */

	struct mutex call_lock; /* one request at a time; protects the next two */
	u8 *tx_buffer;		/* GH_RM_MSG_SIZE bytes */
	u16 seq;

	/* Learned once and then the same for ever. */
	u16 host_vmid;			    /* 0: not asked yet */
	int provides[GH_RM_OPTIONAL_COUNT]; /* 0: not asked yet, 1: yes, or an errno */

	spinlock_t lock;	 /* protects the next three */
	struct gh_rm_call *call; /* the request that waits for its reply, or NULL */
	struct list_head lost;	 /* requests given up, whose replies may still come */
	unsigned int lost_count;

	struct gh_rm_assembly rx; /* only the receive thread */
	struct xarray vms;	  /* VMID to struct gh_vm; its lock is held around notifications */
};

/* Binds to the device's node. All goes with the device. Errors: those of gh_msgq_init, ENOMEM. */
struct gh_rm *gh_rm_create(struct device *dev);

enum gh_rm_outcome {
	GH_RM_REFUSED, /* not sent, or answered with an error */
	GH_RM_GRANTED, /* done, though the reply may be of no use */
	GH_RM_UNKNOWN, /* sent and not answered */
};

struct gh_rm_request {
	u32 id;
	const void *data;
	size_t size; /* at most GH_RM_REQUEST_MAX */
	u16 vmid;    /* of LEND, SHARE, RECLAIM: for a late reply */
	u16 seq;     /* this and what follows is set by gh_rm_call */
	enum gh_rm_outcome outcome;
	u32 error; /* RM's word for it, if it refused */
};

/*
 * Sends a request and waits for the reply, not interrupted by signals but no longer than the
 * module's rpc_timeout_ms. On success *reply (if asked for) is the payload after the error word, to
 * be freed with kfree, and *reply_size its bytes. A reply that comes later is still recognised, and
 * what it granted is given back. Errors: E2BIG, ENOMEM, ETIMEDOUT, EPROTO (a reply too short to
 * tell), or RM's error as errno (ABI, RM error codes).
 */
int gh_rm_call(struct gh_rm *rm, struct gh_rm_request *request, void **reply, size_t *reply_size);

/* Typed requests; each sleeps like gh_rm_call and returns its errors. */

/*
 * 0 if RM has it, EOPNOTSUPP if not, or gh_rm_call's errors. Asked with a message of no length,
 * which an RM that knows the id refuses for its length.
 */
int gh_rm_provides(struct gh_rm *rm, enum gh_rm_optional what);

struct gh_rm_resources {
	const struct gh_rm_hyp_resource *records;
	u32 count;
};

int gh_rm_get_host_vmid(struct gh_rm *rm, u16 *vmid);
int gh_rm_vm_allocate(struct gh_rm *rm, u16 *vmid);
/* ENOENT when RM has no VM of this number. */
int gh_rm_vm_deallocate(struct gh_rm *rm, u16 vmid);
/* INIT, START and RESET: the requests that carry a VMID and nothing else. */
int gh_rm_vm_request(struct gh_rm *rm, u32 id, u16 vmid);
/* enum gh_rm_vm_state, as the RM has it now. */
int gh_rm_vm_get_state(struct gh_rm *rm, u16 vmid, u32 *state);
/* Forced: an unforced stop ends a resource manager whose guest has no link to it. */
int gh_rm_vm_stop(struct gh_rm *rm, u16 vmid);

/* A part of a parcel. */
struct gh_rm_slice {
	u32 handle;
	u64 offset;
	u64 size;
};

int gh_rm_vm_configure(struct gh_rm *rm, u16 vmid, u16 auth, const struct gh_rm_slice *dtb);
int gh_rm_vm_set_firmware(struct gh_rm *rm, u16 vmid, const struct gh_rm_slice *firmware);
/* `reg` is a register set in bits 15:8 (GH_RM_CONTEXT_*) and an index in bits 7:0. */
int gh_rm_vm_set_context(struct gh_rm *rm, u16 vmid, u32 reg, u64 value);
/* *records points into *reply, which is freed with kfree. */
int gh_rm_vm_get_resources(struct gh_rm *rm, u16 vmid, void **reply,
			   struct gh_rm_resources *resources);
/*
 * Lends or shares the parcel and sets its handle as soon as RM has given one: an error with a
 * handle set means that the parcel has to be reclaimed. Without a handle `lost` may be set: then
 * nobody knows whose the memory is.
 */
int gh_rm_mem_give(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel);
/*
 * Settles whose the memory of a lost or doubtful parcel is, by asking for it: the RM answers in the
 * order in which it was asked, so what it says now holds for the request that was given up. Nobody
 * may have accepted the parcel: its VM was never configured, or is reset. 0 when it is known.
 */
int gh_rm_mem_settle(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel);
int gh_rm_mem_reclaim(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel);

#endif
