/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idempotency keys: a request that is sent again with the same key gets the answer that it had, and changes nothing.
 * Service thread only.
 */
#ifndef CROFT_AGENT_IDEMPOTENCY_H
#define CROFT_AGENT_IDEMPOTENCY_H

#include "agent/ring.h"
#include "agent/table.h"
#include "vmm/base.h"

#define IDEMPOTENCY_KEPT    10000u	   /* answers; the oldest go */
#define IDEMPOTENCY_BYTES   (16u << 20)	   /* of all answers together */
#define IDEMPOTENCY_SECONDS (24 * 60 * 60) /* that an answer is kept */
#define IDEMPOTENCY_PATIENCE_NS \
	60000000000ull /* for a first request that is still being answered */

struct service;
struct call;

/* The answers that are kept, and the keys of these and of the requests that are being answered. */
struct idempotency {
	struct ring answers;
	struct table keys;
};

/*
 * What becomes of a call with a key, before its handler: ANSWERED when it is the second of its kind, and has got the first
 * one's answer, or a refusal, or waits for that; GO_ON when its handler is to run, and then idempotency_end() follows.
 */
enum idempotency_verdict { IDEMPOTENCY_GO_ON, IDEMPOTENCY_ANSWERED };
enum idempotency_verdict idempotency_begin(struct service *service, struct call *call);

/* The call has its answer: a success is kept, in the same commit; after a failure the key is free again. */
void idempotency_end(struct service *service, struct call *call);

int idempotency_load(struct service *service, struct error *err);
void idempotency_free(struct service *service);

#endif
