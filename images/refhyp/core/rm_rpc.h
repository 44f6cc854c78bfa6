/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Framing of the resource manager's messages (section 4.1) and what waits while a client's queue
 * is full. A client is a VM with a link: the primary, always, and guests that have one.
 */
#ifndef REFHYP_CORE_RM_RPC_H
#define REFHYP_CORE_RM_RPC_H

#include "core/rm.h"

#define RM_REQUEST_MAX ((GH_RM_FRAGMENTS_MAX + 1u) * GH_RM_PAYLOAD)
#define RM_PENDING_MAX 256u /* notifications that wait; then the oldest is dropped */

struct rm_request {
	uint16_t from; /* VMID */
	uint32_t id;
	uint16_t seq;
	const uint8_t *data; /* valid until the next message is fed */
	size_t size;
};

/* A message on its way to the client, with what its header says of it. */
struct rm_outgoing {
	bool reply; /* else a notification, whose sequence number is chosen when it leaves */
	struct gh_rm_header header;
	uint32_t extra_parts; /* fragments that are announced but do not exist: only tests want that */
	size_t size;
	uint8_t data[sizeof(uint32_t) + RM_REPLY_MAX];
};

void rm_rpc_reset(void);

/* A VM has a link from now on; false: too many. Nothing waits for it, and nothing is half received. */
bool rm_rpc_open(uint16_t vmid, struct vm *hyp);
void rm_rpc_close(uint16_t vmid); /* also when it has none */
bool rm_rpc_has(uint16_t vmid);

/*
 * Feeds one message of the VM; true when it completes a request. Everything that breaks the
 * framing is dropped.
 */
bool rm_rpc_feed(uint16_t vmid, const void *msg, size_t size, struct rm_request *request);

/* Takes one message from any guest's queue and feeds it. False: none waits. *complete: as above. */
bool rm_rpc_take(struct rm_request *request, bool *complete);

/* Queues the reply; one that still waits is dropped. */
void rm_rpc_reply(const struct rm_request *request, enum gh_rm_error error, const void *payload,
		  size_t size);

/* Sends what waits, as far as there is room; to the primary, to all guests. */
void rm_rpc_send(void);
void rm_rpc_send_guests(void);

#endif
