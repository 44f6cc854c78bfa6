/* SPDX-License-Identifier: GPL-2.0-only */
/* The storm's parts in the primary: one thread a CPU that makes hypercalls and runs the hostile guest, and one for messages. */
#ifndef CONFORMANCE_STORM_HOST_H
#define CONFORMANCE_STORM_HOST_H

#include "storm.h"
#include "vm.h"

#define STORM_EXITS 9u
/*
 * Operations from one look at the isolation to the next. Callers stop after STORM_BATCH, each in the midst of a burst; each
 * vCPU of the guest after STORM_PART. Together with STORM_MESSAGES it is less than a thousand, whoever is quick or slow.
 */
#define STORM_BATCH    500u
#define STORM_PART     100u
#define STORM_BURST    16u
#define STORM_THREADS  8u
#define STORM_MESSAGES 50u
static_assert(STORM_BATCH + STORM_CPUS * STORM_PART + STORM_THREADS * STORM_BURST + STORM_MESSAGES <
	      1000);
#define STORM_SHARE 5u /* of so many operations one is the guest's, at least */

struct storm {
	u64 seed;
	struct vm victim, hostile;
	u64 caps[STORM_CPUS]; /* of the hostile guest, by all threads */
	bool quiet;	      /* threads pause */
	atomic64_t calls, runs, messages;
	atomic64_t registers, accesses;		  /* among the calls */
	atomic64_t registers_done, accesses_done; /* without an exception */
	atomic64_t leaks;			  /* accesses that reached what they must not */
	atomic64_t exits[STORM_EXITS];		  /* of the runs, by state; errors at the end */
	u64 done;				  /* guests' operations, of those that are gone */
	u64 looked;				  /* operations at the last look */
};
extern struct storm storm;
extern char *storm_seed;
extern unsigned int storm_ops;

static inline struct storm_control *storm_control(void)
{
	return (struct storm_control *)(storm.hostile.memory + STORM_CONTROL);
}

/* All operations so far, of all who make them; a run of the guest is none, but what the guest does then. */
u64 storm_total(void);
/* The guest has had less than its share: nobody else goes on. */
bool storm_guest_behind(void);

/* --- storm_call.c --- */
int storm_calls_begin(void); /* errno */
void storm_calls_end(void);
void storm_calls_pause(bool on); /* on return none is in the hostile guest when on */

/* --- storm_pages.c: parcels of pages of our own, and what the primary must see of each --- */
bool storm_pages_open(void);
void storm_pages_close(void);
void storm_pages_turn(u64 *random); /* one message about memory */
/* How many pages are not as the answers say: lent ones that can be read, own ones that cannot. */
unsigned int storm_pages_wrong(u64 *random);
u64 storm_page_address(u64 *random); /* physical, one of them */
void *storm_pages_at(u64 *random);   /* virtual, and one more page lies behind it */

/* --- storm_wild.c --- */
bool storm_wild_open(void);
void storm_wild_close(void);
void storm_wild_register(u64 *random); /* some system register, written */
void storm_wild_access(u64 *random);   /* some access to some place */

/* --- storm_message.c --- */
void storm_message_turn(
	u64 *random); /* one message that is not about memory, or no message at all */

#endif
