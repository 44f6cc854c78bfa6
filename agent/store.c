// SPDX-License-Identifier: Apache-2.0
// The store: records as packed messages in one SQLite file, written in groups by a thread of its own.

#include "agent/store.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "agent/store_file.h"

enum change_verb {
	CHANGE_PUT,
	CHANGE_DELETE,
	CHANGE_COUNTER, /* from here on `value` counts */
	CHANGE_APPEND,
	CHANGE_TRIM,
	CHANGE_VERBS
};

struct change {
	struct change *next;
	enum change_verb verb;
	const char *kind; /* static; of a counter NULL */
	char *name;	  /* of a record or counter; else NULL */
	uint64_t value;	  /* of a counter; the number of an entry */
	size_t n;
	uint8_t bytes[];
};

struct group {
	struct group *next;
	uint64_t ticket;
	struct change *first, **last;
};

struct store {
	sqlite3 *db; /* until store_start() the owner's, then the thread's */
	sqlite3_stmt *statements[CHANGE_VERBS];

	struct group *open; /* owner thread: what was queued since the last submit */
	uint64_t submitted; /* owner thread: the newest ticket */

	pthread_t thread;
	bool running;
	void (*notify)(void *data);
	void *data;

	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t news;
	struct group *first, **last; /* submitted, not committed */
	uint64_t committed;
	struct error error;
	bool stop;
};

static const char *const statement_text[CHANGE_VERBS] = {
	[CHANGE_PUT] = "INSERT OR REPLACE INTO record(kind, name, body) VALUES(?1, ?2, ?3)",
	[CHANGE_DELETE] = "DELETE FROM record WHERE kind = ?1 AND name = ?2",
	[CHANGE_COUNTER] = "INSERT OR REPLACE INTO counter(name, value) VALUES(?2, ?4)",
	[CHANGE_APPEND] = "INSERT OR REPLACE INTO entry(kind, number, body) VALUES(?1, ?4, ?3)",
	[CHANGE_TRIM] = "DELETE FROM entry WHERE kind = ?1 AND number <= ?4",
};

static void store_freep(struct store **store)
{
	store_free(*store);
}

int store_open(struct store **out, const char *path, struct error *err)
{
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->news, NULL);
	s->last = &s->first;
	r = store_file_open(&s->db, path, err);
	for (size_t i = 0; r == 0 && i < CHANGE_VERBS; i++)
		if (sqlite3_prepare_v2(s->db, statement_text[i], -1, &s->statements[i], NULL) !=
		    SQLITE_OK)
			r = store_file_raise(s->db, err);
	if (r < 0)
		return error_widen(err, "%s", path);
	*out = TAKE_PTR(s);
	return 0;
}

/* --- Loading --- */

int store_load(struct store *s, const char *kind, store_each each, void *data, struct error *err)
{
	return store_file_records(s->db, kind, each, data, err);
}

int store_load_entries(struct store *s, const char *kind, store_each_entry each, void *data,
		       struct error *err)
{
	return store_file_entries(s->db, kind, each, data, err);
}

int store_load_counter(struct store *s, const char *name, uint64_t *value, struct error *err)
{
	return store_file_counter(s->db, name, value, err);
}

/* --- Queueing, on the owner's thread --- */

static struct change *change_free(struct change *c)
{
	if (c)
		free(c->name);
	free(c);
	return NULL;
}

static struct group *group_free(struct group *g)
{
	while (g && g->first) {
		struct change *c = g->first;

		g->first = c->next;
		change_free(c);
	}
	free(g);
	return NULL;
}

/* A change with room for n bytes, at the end of the open group; NULL without memory. */
static struct change *queue(struct store *s, enum change_verb verb, const char *name, size_t n)
{
	struct change *c = calloc(1, sizeof(*c) + n);

	if (!c)
		return NULL;
	if (name) {
		c->name = strdup(name);
		if (!c->name)
			return change_free(c);
	}
	if (!s->open) {
		s->open = calloc(1, sizeof(*s->open));
		if (!s->open)
			return change_free(c);
		s->open->last = &s->open->first;
	}
	c->verb = verb;
	c->n = n;
	*s->open->last = c;
	s->open->last = &c->next;
	return c;
}

int store_put(struct store *s, const char *kind, const char *name, const ProtobufCMessage *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	struct change *c = queue(s, CHANGE_PUT, name, n);

	if (!c)
		return -ENOMEM;
	c->kind = kind;
	protobuf_c_message_pack(message, c->bytes);
	return 0;
}

int store_delete(struct store *s, const char *kind, const char *name)
{
	struct change *c = queue(s, CHANGE_DELETE, name, 0);

	if (!c)
		return -ENOMEM;
	c->kind = kind;
	return 0;
}

int store_set_counter(struct store *s, const char *name, uint64_t value)
{
	struct change *c = s->open ? s->open->first : NULL;

	while (c && (c->verb != CHANGE_COUNTER || strcmp(c->name, name) != 0))
		c = c->next;
	if (!c)
		c = queue(s, CHANGE_COUNTER, name, 0);
	if (!c)
		return -ENOMEM;
	c->value = value;
	return 0;
}

int store_append(struct store *s, const char *kind, uint64_t number, const void *bytes, size_t n)
{
	struct change *c = queue(s, CHANGE_APPEND, NULL, n);

	if (!c)
		return -ENOMEM;
	c->kind = kind;
	c->value = number;
	memcpy(c->bytes, bytes, n);
	return 0;
}

int store_trim(struct store *s, const char *kind, uint64_t number)
{
	struct change *c = queue(s, CHANGE_TRIM, NULL, 0);

	if (!c)
		return -ENOMEM;
	c->kind = kind;
	c->value = number;
	return 0;
}

uint64_t store_submit(struct store *s)
{
	struct group *g = TAKE_PTR(s->open);

	if (!g)
		return s->submitted;
	g->ticket = ++s->submitted;
	pthread_mutex_lock(&s->lock);
	*s->last = g;
	s->last = &g->next;
	pthread_cond_signal(&s->news);
	pthread_mutex_unlock(&s->lock);
	return s->submitted;
}

/* --- The thread --- */

static int write_change(struct store *s, const struct change *c)
{
	sqlite3_stmt *stmt = s->statements[c->verb];
	int r;

	sqlite3_reset(stmt);
	if (c->kind)
		sqlite3_bind_text(stmt, 1, c->kind, -1, SQLITE_STATIC);
	if (c->name)
		sqlite3_bind_text(stmt, 2, c->name, -1, SQLITE_STATIC);
	if (c->verb == CHANGE_PUT || c->verb == CHANGE_APPEND)
		sqlite3_bind_blob64(stmt, 3, c->bytes, c->n, SQLITE_STATIC);
	if (c->verb >= CHANGE_COUNTER)
		sqlite3_bind_int64(stmt, 4, (sqlite3_int64)c->value);
	r = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r == SQLITE_DONE ? 0 : -1;
}

/* All groups in one transaction: one wait for the disk, however many clients ask at once. */
static int write_groups(struct store *s, const struct group *first, struct error *err)
{
	int r = store_file_execute(s->db, "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	for (const struct group *g = first; g; g = g->next)
		for (const struct change *c = g->first; c; c = c->next)
			if (write_change(s, c) < 0) {
				r = store_file_raise(s->db, err);
				sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
				return r;
			}
	r = store_file_execute(s->db, "COMMIT", err);
	if (r < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* Waits until there is something to write, or a second after a failure. The lock is held. */
static void wait_for_work(struct store *s)
{
	while (!s->first && !s->stop)
		pthread_cond_wait(&s->news, &s->lock);
	if (s->error.code != ERROR_NONE && !s->stop) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&s->news, &s->lock, &until);
	}
}

static void *run(void *arg)
{
	struct store *s = arg;
	bool stop = false;

	pthread_setname_np(pthread_self(), "store");
	while (!stop) {
		struct error error = { .code = ERROR_NONE };
		struct group *first, *last = NULL;

		pthread_mutex_lock(&s->lock);
		wait_for_work(s);
		stop = s->stop;
		first = TAKE_PTR(s->first);
		s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		if (!first)
			continue;

		write_groups(s, first, &error);
		for (last = first; last->next; last = last->next)
			;

		pthread_mutex_lock(&s->lock);
		s->error = error;
		if (error.code == ERROR_NONE) {
			s->committed = last->ticket;
		} else {
			/* Back to the front of the queue, before what was submitted meanwhile. */
			last->next = s->first;
			if (!s->first)
				s->last = &last->next;
			s->first = TAKE_PTR(first);
		}
		pthread_mutex_unlock(&s->lock);

		while (first) {
			struct group *g = first;

			first = g->next;
			group_free(g);
		}
		s->notify(s->data);
	}
	return NULL;
}

int store_start(struct store *s, void (*notify)(void *data), void *data, struct error *err)
{
	int r;

	s->notify = notify;
	s->data = data;
	r = pthread_create(&s->thread, NULL, run, s);
	if (r != 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, r,
					 "start the store's thread");
	s->running = true;
	return 0;
}

uint64_t store_committed(struct store *s, struct error *err)
{
	uint64_t committed;

	pthread_mutex_lock(&s->lock);
	committed = s->committed;
	if (err)
		*err = s->error;
	pthread_mutex_unlock(&s->lock);
	return committed;
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	if (s->running) {
		store_submit(s);
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->news);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	group_free(s->open);
	while (s->first) {
		struct group *g = s->first;

		s->first = g->next;
		group_free(g);
	}
	for (size_t i = 0; i < CHANGE_VERBS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	pthread_cond_destroy(&s->news);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}
