/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's file: opening and reading it; private to store*.c.
 */
#ifndef CROFT_AGENT_STORE_FILE_H
#define CROFT_AGENT_STORE_FILE_H

#include <sqlite3.h>

#include "agent/store.h"

/* As store_open(): checks whose file it is, and brings its schema up to date in one transaction. Close it with sqlite3_close(). */
int store_file_open(sqlite3 **out, const char *path, struct error *err);

/* As the functions of store.h. */
int store_file_records(sqlite3 *db, const char *kind, store_each each, void *data,
		       struct error *err);
int store_file_entries(sqlite3 *db, const char *kind, store_each_entry each, void *data,
		       struct error *err);
int store_file_counter(sqlite3 *db, const char *name, uint64_t *value, struct error *err);

/* The last error of the library as one of ours. */
int store_file_raise(sqlite3 *db, struct error *err);

int store_file_execute(sqlite3 *db, const char *sql, struct error *err);

#endif
