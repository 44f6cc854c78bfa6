/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service thread owns: the tables of records, the calls that wait, the timers. Only its handlers include this.
 *
 * No lock protects any of it, because one thread touches it. What others send comes through the inbox.
 */
#ifndef CROFT_AGENT_STATE_H
#define CROFT_AGENT_STATE_H

#include <stdatomic.h>

#include "agent/job.h"
#include "agent/metrics.h"
#include "agent/record.h"
#include "agent/service.h"
#include "agent/store.h"
#include "agent/table.h"

#define OPERATIONS_KEPT 1000u /* that have ended; older ones are forgotten */

/* Fires once, not before `at`; armed while it is in the list. */
struct timer {
	uint64_t at; /* CLOCK_MONOTONIC, ns */
	void (*fire)(struct service *service, struct timer *timer);
	struct timer *next;
	bool armed;
};

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
	int wake;		    /* eventfd */
	_Atomic uint64_t heartbeat; /* ns */

	pthread_mutex_t lock; /* of the inbox, which is these: */
	struct call *calls, **last_call;
	struct message *messages, **last_message;
	bool cancels, nudged, stop;

	/* The service thread's own. */
	struct store *store;
	struct table vms, images, operations;
	struct event **events; /* the ring of EVENTS_KEPT */
	size_t event_count;    /* in it: the numbers up to event_number */
	uint64_t event_number; /* of the newest */
	struct record *dirty;  /* to be put into the store */
	uint64_t revision, operation_number;
	struct call *waiting;
	struct call *answers, **last_answer; /* by ticket */
	struct deferred *deferred, **last_deferred;
	struct timer *timers;	     /* the earliest first */
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

/* Takes the reply, NULL being out of memory. It leaves when all changes made so far are on the disk. */
void call_reply(struct service *service, struct call *call, void *reply);
void call_fail(struct service *service, struct call *call, const struct error *error);
/* The same for what no store knows of: health must be told when the disk is stuck. */
void call_reply_now(struct call *call, void *reply);
/*
 * Runs the handler again when something has changed, and at the latest after `ns`; then call_expired() is true. The time
 * counts from the first call_wait() of this call.
 */
void call_wait(struct service *service, struct call *call, uint64_t ns);
bool call_expired(const struct call *call);

/* --- Timers and deferred work --- */

void timer_arm(struct service *service, struct timer *timer, uint64_t ns);
void timer_disarm(struct service *service, struct timer *timer);
void service_defer(struct service *service, struct deferred *deferred);

/* Any thread: calls that wait look again. */
void service_nudge(struct service *service);

#endif
