/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: packed messages in one SQLite file, written in groups by a thread of its own. A record has a name and is replaced
 * when it changes; an entry has a number, never changes, and goes when it is old.
 *
 * One owner thread queues changes and submits them; what was submitted together is committed together, in order. Each
 * change has the ticket of its group, and when that ticket is committed it is on the disk.
 */
#ifndef CROFT_AGENT_STORE_H
#define CROFT_AGENT_STORE_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

#define STORE_SCHEMA 2

struct store;

/*
 * Opens or makes the file, and brings an older schema up to date. Errors: UNSUPPORTED for a schema of a newer agent,
 * DATA_LOSS for a file that is damaged or not ours, CONFLICT while another agent has it open, INTERNAL.
 */
int store_open(struct store **out, const char *path, struct error *err);

/* Ends the thread after what was submitted has been tried once more. Takes NULL, returns NULL. */
struct store *store_free(struct store *store);

/* Calls `each` for the records of a kind, by name, before store_start(). A negative return of it ends the walk. */
typedef int (*store_each)(void *data, const char *name, const void *bytes, size_t n,
			  struct error *err);
int store_load(struct store *store, const char *kind, store_each each, void *data,
	       struct error *err);

/* The same for entries, by number. */
typedef int (*store_each_entry)(void *data, uint64_t number, const void *bytes, size_t n,
				struct error *err);
int store_load_entries(struct store *store, const char *kind, store_each_entry each, void *data,
		       struct error *err);

/* The counter's value, 0 when it was never set. Before store_start(). */
int store_load_counter(struct store *store, const char *name, uint64_t *value, struct error *err);

/* Starts the thread, which calls notify when a commit has been made or has failed. */
int store_start(struct store *store, void (*notify)(void *data), void *data, struct error *err);

/* Owner thread. -ENOMEM leaves the queue as it was. `kind` is static. A counter cannot fail once it was set in this group. */
int store_put(struct store *store, const char *kind, const char *name,
	      const ProtobufCMessage *message);
int store_delete(struct store *store, const char *kind, const char *name);
int store_set_counter(struct store *store, const char *name, uint64_t value);
int store_append(struct store *store, const char *kind, uint64_t number, const void *bytes,
		 size_t n);
/* Deletes the entries up to that number. */
int store_trim(struct store *store, const char *kind, uint64_t number);

/* Owner thread: hands over what was queued, and returns the ticket that covers all changes up to now. */
uint64_t store_submit(struct store *store);

/*
 * Any thread: the newest ticket that is committed. *err is raised when the group behind it could not be written; it is tried
 * again every second.
 */
uint64_t store_committed(struct store *store, struct error *err);

#endif
