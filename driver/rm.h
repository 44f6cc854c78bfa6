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

#include "api/gunyah/abi.h"
#include "msgq.h"

#define GH_RM_REQUEST_MAX (GH_RM_FRAGMENTS_MAX * GH_RM_PAYLOAD)
#define GH_RM_MESSAGE_MAX ((GH_RM_FRAGMENTS_MAX + 1) * GH_RM_PAYLOAD)

struct gh_rm_call;

/* The message being put together from its fragments; only the receive thread. */
struct gh_rm_assembly {
	bool active;
	u8 type;
	u8 fragments; /* continuations announced */
	u8 got;	      /* continuations seen */
	u16 seq;
	u32 id;
	size_t size;
	u8 *data; /* GH_RM_MESSAGE_MAX bytes */
};

struct gh_rm {
	struct device *dev;
	struct gh_msgq msgq;
	struct workqueue_struct *wq; /* the life cycles of VMs, and what late replies ask for */
	struct fwnode_handle *gic;   /* domain of the interrupts that RM hands out */

	struct mutex call_lock; /* one request at a time; protects the next two */
	u8 *tx_buffer;		/* GH_RM_MSG_SIZE bytes */
	u16 seq;
	u16 host_vmid; /* 0: not asked yet */

	spinlock_t lock;	 /* protects the next three */
	struct gh_rm_call *call; /* the request that waits for its reply, or NULL */
	struct list_head lost;	 /* requests given up, whose replies may still come */
	unsigned int lost_count;

	struct gh_rm_assembly rx;
	struct xarray vms; /* VMID to struct gh_vm; its lock is held around notifications */
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
	u16 seq;     /* this and the next are set by gh_rm_call */
	enum gh_rm_outcome outcome;
};

/*
 * Sends a request and waits for the reply, not interrupted by signals but no longer than the
 * module's rpc_timeout_ms. On success *reply (if asked for) is the payload after the error word, to
 * be freed with kfree, and *reply_size its bytes. A reply that comes later is still recognised, and
 * what it granted is given back. Errors: E2BIG, ENOMEM, ETIMEDOUT, EBADMSG (a reply too short), or
 * RM's error as errno (ABI, RM error codes).
 */
int gh_rm_call(struct gh_rm *rm, struct gh_rm_request *request, void **reply, size_t *reply_size);

/* Typed requests; each sleeps like gh_rm_call and returns its errors. */

struct gh_mem_range {
	u64 pfn;
	u64 pages;
};

/* Memory that RM knows as one thing. */
struct gh_parcel {
	u32 label;
	u32 handle;   /* GH_PARCEL_NONE unless given away */
	bool lost;    /* whether RM took it is not known: the reply did not come */
	u16 lost_seq; /* of the request whose reply it is */
	bool lend;
	u8 guest_rights; /* GH_RM_ACL_* */
	size_t range_count;
	struct gh_mem_range *ranges; /* physically contiguous runs */
};
#define GH_PARCEL_NONE 0xffffffffu

struct gh_rm_hyp_resources {
	u32 count;
	struct gh_rm_hyp_resource records[];
};

int gh_rm_get_host_vmid(struct gh_rm *rm, u16 *vmid);
int gh_rm_vm_allocate(struct gh_rm *rm, u16 *vmid);
/* DEALLOCATE, INIT, START and RESET: the requests that carry a VMID and nothing else. */
int gh_rm_vm_request(struct gh_rm *rm, u32 id, u16 vmid);
/* Forced: an unforced stop ends a resource manager whose guest has no link to it. */
int gh_rm_vm_stop(struct gh_rm *rm, u16 vmid);
int gh_rm_vm_configure(struct gh_rm *rm, u16 vmid, u32 handle, u64 dtb_offset, u64 dtb_size);
/* *resources is freed with kfree. */
int gh_rm_vm_get_resources(struct gh_rm *rm, u16 vmid, struct gh_rm_hyp_resources **resources);
/*
 * Lends or shares the parcel and sets its handle as soon as RM has given one: an error with a
 * handle set means that the parcel has to be reclaimed. Without a handle `lost` may be set: then
 * nobody knows whose the memory is.
 */
int gh_rm_mem_give(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel);
int gh_rm_mem_reclaim(struct gh_rm *rm, u16 vmid, struct gh_parcel *parcel);

#endif
