/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service thread owns: the tables of records, the calls that wait, the timers. Only its handlers include this.
 *
 * No lock protects any of it, because one thread touches it. What others send comes through the inbox.
 */
#ifndef CROFT_AGENT_STATE_H
#define CROFT_AGENT_STATE_H

#include <stdatomic.h>

#include "agent/desired.h"
#include "agent/idempotency.h"
#include "agent/job.h"
#include "agent/metrics.h"
#include "agent/record.h"
#include "agent/ring.h"
#include "agent/service.h"
#include "agent/store.h"
#include "agent/table.h"
#include "agent/timer.h"

#define OPERATIONS_KEPT 1000u /* that have ended; older ones are forgotten */

/* Something to do when all changes up to now are on the disk; `run` may free it. */
struct deferred {
	uint64_t ticket;
	void (*run)(struct service *service, struct deferred *deferred);
	struct deferred *next;
};

struct service {
	const struct config *config;
	char *blob_dir, *vm_dir; /* below the state directory */
	pthread_t thread;
	bool running;
	_Atomic uint64_t heartbeat; /* ns */

	pthread_mutex_t lock; /* of the inbox, which is these: */
	pthread_cond_t news;  /* there is something in it */
	struct call *calls, **last_call;
	struct message *messages, **last_message;
	bool cancels, nudged, stop;

	/* The service thread's own. */
	struct store *store;
	struct table vms, images, operations;
	struct node *node;
	struct tuning *tuning;
	struct ring events, audit;
	struct idempotency idempotency;
	struct desired desired;
	struct record *dirty; /* to be put into the store */
	uint64_t changes;     /* of records, counted */
	uint64_t revision, operation_number;
	uint64_t session_number; /* of the newest console attachment that writes */
	struct call *waiting;
	struct call *answers, **last_answer; /* by ticket */
	struct deferred *deferred, **last_deferred;
	struct timer *timers;	     /* the earliest first */
	unsigned int vcpus_max;	     /* that the hypervisor gives a VM; 0: not known yet */
	unsigned int jobs;	     /* threads that have not ended */
	unsigned int runs;	     /* VMs that have a vmm, or are getting or losing one */
	unsigned int pulls;	     /* of images, that run */
	bool sweep_wanted;	     /* of the blob store */
	bool emptying, empty_wanted; /* of the trash, by a job */
	bool store_failed;	     /* as of the last look; it is logged when that changes */
	bool changed;		     /* calls that wait look again */
	bool stopping;
	struct timer patience; /* while stopping: with what cannot be stored */
	bool given_up;

	struct metrics metrics;
};

/* --- Answers: exactly one of these, or call_wait(), at the end of a handler --- */

/* Takes the reply, NULL being out of memory; of a stream its last. It leaves when all changes made so far are on the disk. */
void call_reply(struct service *service, struct call *call, void *reply);
void call_fail(struct service *service, struct call *call, const struct error *error);
/*
 * One message of a stream: the call is posted again for the next. NULL is a sign of life; a handler that has nothing to
 * send says call_wait(service, call, STREAM_IDLE_NS), and when the call has expired gives that.
 */
#define STREAM_IDLE_NS 15000000000ull
void call_reply_more(struct service *service, struct call *call, void *reply);
/* The end of a stream that has nothing more to say: done() has neither a reply nor an error, and `more` is not set. */
void call_end(struct service *service, struct call *call);
/* The same for what no store knows of: health must be told when the disk is stuck. */
void call_reply_now(struct call *call, void *reply);
/*
 * Runs the handler again when something has changed, and at the latest after `ns`; then call_expired() is true. The time
 * counts from the first call_wait() of this call.
 */
void call_wait(struct service *service, struct call *call, uint64_t ns);
bool call_expired(const struct call *call);

/* --- Deferred work --- */

void service_defer(struct service *service, struct deferred *deferred);

/* Service thread: runs a call that the agent itself makes. Its done() comes as for any other. */
void service_call(struct service *service, struct call *call);

/* Any thread: calls that wait look again. */
void service_nudge(struct service *service);

#endif
