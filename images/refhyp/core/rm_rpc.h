/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Framing of the resource manager's messages (section 4.1) and what waits while the client's queue
 * is full.
 */
#ifndef REFHYP_CORE_RM_RPC_H
#define REFHYP_CORE_RM_RPC_H

#include "core/rm.h"

#define RM_REQUEST_MAX ((GH_RM_FRAGMENTS_MAX + 1u) * GH_RM_PAYLOAD)
#define RM_PENDING_MAX 256u /* notifications that wait; then the oldest is dropped */

struct rm_request {
	uint32_t id;
	uint16_t seq;
	const uint8_t *data; /* valid until the next message is fed */
	size_t size;
};

void rm_rpc_reset(void);

/*
 * Feeds one message; true when it completes a request. Everything that breaks the framing is
 * dropped.
 */
bool rm_rpc_feed(const void *msg, size_t size, struct rm_request *request);

/* Queues the reply; one that still waits is dropped. */
void rm_rpc_reply(const struct rm_request *request, enum gh_rm_error error, const void *payload,
		  size_t size);

/* Sends what waits, as far as there is room. */
void rm_rpc_send(void);

#endif
