/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wire format of the resource manager (RM): packets, the messages made of them, and what is in
 * the messages.
 *
 * Bytes in, values out, and back; no state of the kernel, no allocation, no locks. So the same file
 * is also built for the host, where tests and a fuzzer give it what no resource manager would send.
 */
#ifndef GH_RM_CODEC_H
#define GH_RM_CODEC_H

#include <linux/types.h>

#include "api/gunyah/abi.h"
#include "api/gunyah/ioctl.h"

#define GH_RM_REQUEST_MAX (GH_RM_FRAGMENTS_MAX * GH_RM_PAYLOAD)
#define GH_RM_MESSAGE_MAX ((GH_RM_FRAGMENTS_MAX + 1) * GH_RM_PAYLOAD)

/* --- Packets --- */

/* The message being put together from its fragments. */
struct gh_rm_assembly {
	bool active;
	u8 type;      /* GH_RM_TYPE_* */
	u8 fragments; /* continuations announced */
	u8 got;	      /* continuations seen */
	u16 seq;
	u32 id;
	size_t size;
	u8 *data; /* GH_RM_MESSAGE_MAX bytes, the owner's */
};

/*
 * Takes one packet of the queue; true when it completes a message, which is in rx until the next
 * call. What does not follow the protocol (ABI, header and framing) is dropped: this packet, not
 * what came before it.
 */
bool gh_rm_assemble(struct gh_rm_assembly *rx, const void *packet, size_t size);

/* A request to send. */
struct gh_rm_frame {
	u32 id;
	u16 seq;
	const void *payload;
	size_t size; /* at most GH_RM_REQUEST_MAX */
};

/* How many packets it takes; 1 for an empty one. */
unsigned int gh_rm_packet_count(size_t size);
/* Writes the packet number `index` into GH_RM_MSG_SIZE bytes; returns its size. */
size_t gh_rm_packet(const struct gh_rm_frame *frame, unsigned int index, void *packet);

/* --- Replies and notifications --- */

/* RM's error word as an errno, 0 for none (ABI, RM error codes); EBADMSG for a word unknown. */
int gh_rm_error_to_errno(u32 error);

/* The payload after the error word, when it is one word; EBADMSG when it is not. */
int gh_rm_decode_word(const void *payload, size_t size, u32 *word);

/*
 * The records of a reply to GET_HYP_RESOURCES, inside the payload; EBADMSG when count and size do
 * not agree.
 */
int gh_rm_decode_resources(const void *payload, size_t size,
			   const struct gh_rm_hyp_resource **records, u32 *count);

/* What a notification tells about a VM. */
struct gh_rm_event {
	u16 vmid;
	bool exited; /* VM_EXITED, else VM_STATUS */
	u8 state;    /* of VM_STATUS, enum gh_rm_vm_state */
	struct gh_vm_exit_info exit_info;
};

/* False for a notification that tells the driver nothing, or is too short. */
bool gh_rm_decode_event(u32 id, const void *payload, size_t size, struct gh_rm_event *event);

/* --- Memory --- */

/* Physically contiguous memory, in bytes. */
struct gh_mem_range {
	u64 addr;
	u64 size;
};

/* Memory that RM knows as one thing. */
struct gh_parcel {
	u32 label;
	u32 handle;    /* GH_PARCEL_NONE unless given away */
	bool lost;     /* whether RM took it is not known: the reply did not come */
	u16 lost_seq;  /* of the request whose reply it is */
	bool doubtful; /* RM refused, which leaves it as it was if RM means what it says */
	bool lend;
	u8 guest_rights; /* GH_RM_ACL_* */
	size_t range_count;
	struct gh_mem_range *ranges;
};

#define GH_PARCEL_NONE 0xffffffffu

#define GH_RM_RANGES_SIZE (sizeof(struct gh_rm_list) + GH_RM_LIST_MAX * sizeof(struct gh_rm_sgl))
/* Room for any of the two requests below; it fits in a request. */
#define GH_RM_MEM_SIZE                                                \
	(sizeof(struct gh_rm_mem_share) + sizeof(struct gh_rm_list) + \
	 2 * sizeof(struct gh_rm_acl) + GH_RM_RANGES_SIZE + sizeof(struct gh_rm_list))

/*
 * The request to LEND or SHARE the parcel with its first ranges, in GH_RM_MEM_SIZE bytes; returns
 * its size. With SHARE the host keeps every right.
 */
size_t gh_rm_encode_give(const struct gh_parcel *parcel, u16 guest, u16 host, void *buffer);
/* The question for the handle of a parcel of at most GH_RM_LIST_MAX ranges, likewise. */
size_t gh_rm_encode_lookup(const struct gh_parcel *parcel, u16 guest, u16 host, void *buffer);
/*
 * The APPEND of the ranges from number `first` on, as many as one message takes; *next is the first
 * that is left. Returns its size.
 */
size_t gh_rm_encode_append(const struct gh_parcel *parcel, size_t first, size_t *next,
			   void *buffer);
/* How many ranges the first message takes; the rest is left for APPEND. */
size_t gh_rm_given_first(const struct gh_parcel *parcel);

#endif
