/* SPDX-License-Identifier: GPL-2.0-only */
/* The storm's parts in the primary: one thread a CPU that makes hypercalls and runs the hostile guest, and one for messages. */
#ifndef CONFORMANCE_STORM_HOST_H
#define CONFORMANCE_STORM_HOST_H

#include "storm.h"
#include "vm.h"

#define STORM_EXITS 9u
#define STORM_BATCH \
	500 /* operations before the next look at the isolation; some more come until it is done */

struct storm {
	u64 seed;
	struct vm victim, hostile;
	u64 caps[STORM_CPUS]; /* of the hostile guest, by all threads */
	bool quiet;	      /* threads pause */
	atomic64_t calls, runs, messages;
	atomic64_t exits[STORM_EXITS]; /* of the runs, by state; errors at the end */
	u64 done;		       /* guests' operations of those that are gone */
	u64 looked;		       /* operations at the last look */
};
extern struct storm storm;
extern char *storm_seed;
extern unsigned int storm_ops;

static inline struct storm_control *storm_control(void)
{
	return (struct storm_control *)(storm.hostile.memory + STORM_CONTROL);
}

/* All operations so far, of all who make them. */
u64 storm_total(void);

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

/* --- storm_message.c --- */
void storm_message_turn(
	u64 *random); /* one message that is not about memory, or no message at all */

#endif
