// SPDX-License-Identifier: Apache-2.0
// The store's file: opened, brought to this agent's schema, and read. Nobody writes to it yet.

#include "agent/store_file.h"

#include "agent/store.h"

#define APPLICATION_ID 1131570804 /* "Crft" in the file's header */

/* Each brings the schema from the version that is its index to the next; an empty file has version 0. */
static const char *const migrations[STORE_SCHEMA] = {
	[0] = "CREATE TABLE record(kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, "
	      "PRIMARY KEY(kind, name)) WITHOUT ROWID;"
	      "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	      "PRAGMA application_id = 1131570804;"
	      "PRAGMA user_version = 1;",
	/* Events were records whose names were their numbers. */
	[1] = "CREATE TABLE entry(kind TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, "
	      "PRIMARY KEY(kind, number)) WITHOUT ROWID;"
	      "INSERT INTO entry SELECT kind, CAST(name AS INTEGER), body FROM record "
	      "WHERE kind = 'event';"
	      "DELETE FROM record WHERE kind = 'event';"
	      "PRAGMA user_version = 2;",
};

/* --- Errors and small statements --- */

int store_file_raise(sqlite3 *db, struct error *err)
{
	int code = sqlite3_errcode(db) & 0xff;
	enum error_code as = ERROR_INTERNAL;

	if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
		as = ERROR_DATA_LOSS;
	else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		as = ERROR_CONFLICT;
	else if (code == SQLITE_FULL || code == SQLITE_NOMEM)
		as = ERROR_RESOURCE_EXHAUSTED;
	return error_raise(err, as, "store: %s",
			   as == ERROR_CONFLICT ? "another process has it open"
						: sqlite3_errmsg(db));
}

int store_file_execute(sqlite3 *db, const char *sql, struct error *err)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_file_raise(db, err);
	return 0;
}

static void finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

static void closep(sqlite3 **db)
{
	sqlite3_close(*db);
}

static int read_pragma(sqlite3 *db, const char *sql, int *value, struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		return store_file_raise(db, err);
	*value = sqlite3_column_int(stmt, 0);
	return 0;
}

/* --- Opening --- */

/* Brings the schema of a file that is ours from `version` to this agent's. */
static int migrate(sqlite3 *db, int version, struct error *err)
{
	int r = 0;

	for (int v = version; r == 0 && v < STORE_SCHEMA; v++) {
		r = store_file_execute(db, migrations[v], err);
		if (r < 0)
			error_widen(err, "schema %d to %d", v, v + 1);
	}
	return r;
}

/* A fresh file has neither id nor version; any other must be ours. */
static int check_schema(sqlite3 *db, struct error *err)
{
	int id, version, tables, r;

	r = read_pragma(db, "PRAGMA application_id", &id, err);
	if (r == 0)
		r = read_pragma(db, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = read_pragma(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (r < 0)
		return r;
	if (id == 0 && version == 0 && tables == 0)
		return migrate(db, 0, err);
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
	return migrate(db, version, err);
}

int store_file_open(sqlite3 **out, const char *path, struct error *err)
{
	_cleanup_(closep) sqlite3 *db = NULL;
	int r;

	if (sqlite3_open_v2(path, &db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
				    SQLITE_OPEN_PRIVATECACHE,
			    NULL) != SQLITE_OK)
		return store_file_raise(db, err);
	/*
	 * FULL, because an answer promises that a power cut loses nothing. Exclusive, because a second agent on the same
	 * state would ruin it; WAL then needs no shared memory either.
	 */
	r = store_file_execute(db,
			       "PRAGMA locking_mode = EXCLUSIVE;"
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA synchronous = FULL;"
			       "PRAGMA trusted_schema = OFF;"
			       "BEGIN IMMEDIATE;",
			       err);
	if (r == 0)
		r = check_schema(db, err);
	if (r == 0)
		r = store_file_execute(db, "COMMIT;", err);
	if (r == 0)
		*out = TAKE_PTR(db);
	return r;
}

/* --- Reading --- */

/* Prepares a statement, whose ?1 is the text. */
static int prepare(sqlite3_stmt **out, sqlite3 *db, const char *sql, const char *text,
		   struct error *err)
{
	if (sqlite3_prepare_v2(db, sql, -1, out, NULL) != SQLITE_OK ||
	    sqlite3_bind_text(*out, 1, text, -1, SQLITE_STATIC) != SQLITE_OK)
		return store_file_raise(db, err);
	return 0;
}

int store_file_records(sqlite3 *db, const char *kind, store_each each, void *data,
		       struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;
	int row = SQLITE_DONE;
	int r = prepare(&stmt, db, "SELECT name, body FROM record WHERE kind = ?1 ORDER BY name",
			kind, err);

	while (r == 0 && (row = sqlite3_step(stmt)) == SQLITE_ROW)
		r = each(data, (const char *)sqlite3_column_text(stmt, 0),
			 sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), err);
	if (r < 0)
		return r;
	return row == SQLITE_DONE ? 0 : store_file_raise(db, err);
}

int store_file_entries(sqlite3 *db, const char *kind, store_each_entry each, void *data,
		       struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;
	int row = SQLITE_DONE;
	int r = prepare(&stmt, db, "SELECT number, body FROM entry WHERE kind = ?1 ORDER BY number",
			kind, err);

	while (r == 0 && (row = sqlite3_step(stmt)) == SQLITE_ROW)
		r = each(data, (uint64_t)sqlite3_column_int64(stmt, 0),
			 sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), err);
	if (r < 0)
		return r;
	return row == SQLITE_DONE ? 0 : store_file_raise(db, err);
}

int store_file_counter(sqlite3 *db, const char *name, uint64_t *value, struct error *err)
{
	_cleanup_(finalizep) sqlite3_stmt *stmt = NULL;
	int row;
	int r = prepare(&stmt, db, "SELECT value FROM counter WHERE name = ?1", name, err);

	if (r < 0)
		return r;
	row = sqlite3_step(stmt);
	if (row != SQLITE_ROW && row != SQLITE_DONE)
		return store_file_raise(db, err);
	*value = row == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
	return 0;
}
