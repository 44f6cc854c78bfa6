// SPDX-License-Identifier: Apache-2.0
// The store: records as packed messages in one SQLite file, written in groups by a thread of its own.

#include "agent/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <time.h>

#define APPLICATION_ID 0x43726674 /* "Crft" in the file's header */

enum change_verb { CHANGE_PUT, CHANGE_DELETE, CHANGE_COUNTER, CHANGE_VERBS };

struct change {
	struct change *next;
	enum change_verb verb;
	const char *kind; /* static */
	char *name;
	uint64_t value;
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

static const char *const schema =
	"CREATE TABLE record(kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, "
	"PRIMARY KEY(kind, name)) WITHOUT ROWID;"
	"CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"PRAGMA application_id = 1131570804;"
	"PRAGMA user_version = 1;";

static const char *const statement_text[CHANGE_VERBS] = {
	[CHANGE_PUT] = "INSERT OR REPLACE INTO record(kind, name, body) VALUES(?1, ?2, ?3)",
	[CHANGE_DELETE] = "DELETE FROM record WHERE kind = ?1 AND name = ?2",
	[CHANGE_COUNTER] = "INSERT OR REPLACE INTO counter(name, value) VALUES(?2, ?4)",
};

/* --- Errors and small statements --- */

static int raise_sqlite(struct store *s, struct error *err, const char *what)
{
	int code = sqlite3_errcode(s->db) & 0xff;
	enum error_code as = ERROR_INTERNAL;

	if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
		as = ERROR_DATA_LOSS;
	else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		as = ERROR_CONFLICT;
	else if (code == SQLITE_FULL || code == SQLITE_NOMEM)
		as = ERROR_RESOURCE_EXHAUSTED;
	return error_raise(err, as, "%s: %s", what,
			   as == ERROR_CONFLICT ? "another process has it open"
						: sqlite3_errmsg(s->db));
}

static int execute(struct store *s, const char *sql, struct error *err)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return raise_sqlite(s, err, "store");
	return 0;
}

static void finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

static int read_pragma(struct store *s, const char *sql, int *value, struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		return raise_sqlite(s, err, "store");
	*value = sqlite3_column_int(stmt, 0);
	return 0;
}

/* --- Opening --- */

/* A fresh file has neither id nor version; any other must be ours. */
static int check_schema(struct store *s, struct error *err)
{
	int id, version, tables, r;

	r = read_pragma(s, "PRAGMA application_id", &id, err);
	if (r == 0)
		r = read_pragma(s, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = read_pragma(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r < 0)
		return r;
	if (id == 0 && version == 0 && tables == 0)
		return execute(s, schema, err);
	if (id != APPLICATION_ID)
		return error_raise(err, ERROR_DATA_LOSS, "the file is not a store of croftd");
	if (version > STORE_SCHEMA)
		return error_raise(
			err, ERROR_UNSUPPORTED,
			"the store was written by a newer croftd: its schema is %d, this one "
			"knows up to %d",
			version, STORE_SCHEMA);
	if (version < 1)
		return error_raise(err, ERROR_DATA_LOSS, "the store has no schema version");
	return 0;
}

static int prepare(struct store *s, struct error *err)
{
	/*
	 * FULL, because an answer promises that a power cut loses nothing. Exclusive, because a second agent on the same
	 * state would ruin it; WAL then needs no shared memory either.
	 */
	int r = execute(s,
			"PRAGMA locking_mode = EXCLUSIVE;"
			"PRAGMA journal_mode = WAL;"
			"PRAGMA synchronous = FULL;"
			"PRAGMA trusted_schema = OFF;"
			"BEGIN IMMEDIATE;",
			err);

	if (r == 0)
		r = check_schema(s, err);
	if (r == 0)
		r = execute(s, "COMMIT;", err);
	for (size_t i = 0; r == 0 && i < CHANGE_VERBS; i++)
		if (sqlite3_prepare_v2(s->db, statement_text[i], -1, &s->statements[i], NULL) !=
		    SQLITE_OK)
			r = raise_sqlite(s, err, "store");
	return r;
}

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
	if (sqlite3_open_v2(path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
				    SQLITE_OPEN_PRIVATECACHE,
			    NULL) != SQLITE_OK)
		r = raise_sqlite(s, err, "store");
	else
		r = prepare(s, err);
	if (r < 0)
		return error_widen(err, "%s", path);
	*out = TAKE_PTR(s);
	return 0;
}

/* --- Loading --- */

int store_load(struct store *s, const char *kind, store_each each, void *data, struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;
	int row;

	if (sqlite3_prepare_v2(s->db, "SELECT name, body FROM record WHERE kind = ?1 ORDER BY name",
			       -1, &stmt, NULL) != SQLITE_OK)
		return raise_sqlite(s, err, "store");
	sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
	while ((row = sqlite3_step(stmt)) == SQLITE_ROW) {
		int r = each(data, (const char *)sqlite3_column_text(stmt, 0),
			     sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1),
			     err);

		if (r < 0)
			return r;
	}
	return row == SQLITE_DONE ? 0 : raise_sqlite(s, err, "store");
}

int store_load_counter(struct store *s, const char *name, uint64_t *value, struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;
	int row;

	if (sqlite3_prepare_v2(s->db, "SELECT value FROM counter WHERE name = ?1", -1, &stmt,
			       NULL) != SQLITE_OK)
		return raise_sqlite(s, err, "store");
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	row = sqlite3_step(stmt);
	if (row != SQLITE_ROW && row != SQLITE_DONE)
		return raise_sqlite(s, err, "store");
	*value = row == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
	return 0;
}

/* --- Queueing, on the owner's thread --- */

static struct group *group_free(struct group *g)
{
	while (g && g->first) {
		struct change *c = g->first;

		g->first = c->next;
		free(c->name);
		free(c);
	}
	free(g);
	return NULL;
}

static struct change *queue(struct store *s, enum change_verb verb, const char *name, size_t n)
{
	struct change *c = calloc(1, sizeof(*c) + n);

	if (c)
		c->name = strdup(name);
	if (c && c->name && !s->open) {
		s->open = calloc(1, sizeof(*s->open));
		if (s->open)
			s->open->last = &s->open->first;
	}
	if (!c || !c->name || !s->open) {
		if (c)
			free(c->name);
		free(c);
		return NULL;
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
	if (c->verb != CHANGE_COUNTER)
		sqlite3_bind_text(stmt, 1, c->kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, c->name, -1, SQLITE_STATIC);
	if (c->verb == CHANGE_PUT)
		sqlite3_bind_blob64(stmt, 3, c->bytes, c->n, SQLITE_STATIC);
	if (c->verb == CHANGE_COUNTER)
		sqlite3_bind_int64(stmt, 4, (sqlite3_int64)c->value);
	r = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r == SQLITE_DONE ? 0 : -1;
}

/* All groups in one transaction: one wait for the disk, however many clients ask at once. */
static int write_groups(struct store *s, const struct group *first, struct error *err)
{
	int r = execute(s, "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	for (const struct group *g = first; g; g = g->next)
		for (const struct change *c = g->first; c; c = c->next)
			if (write_change(s, c) < 0) {
				r = raise_sqlite(s, err, "store");
				sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
				return r;
			}
	r = execute(s, "COMMIT", err);
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
