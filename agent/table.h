/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted table of records by name: found in O(log n), walked in order from any name on.
 */
#ifndef CROFT_AGENT_TABLE_H
#define CROFT_AGENT_TABLE_H

#include "vmm/base.h"

struct table_entry {
	const char *name; /* the record's own; stays as it is while the record is in the table */
	void *record;
};

/* Zeroed is empty. The table does not own the records. */
struct table {
	struct table_entry *entries;
	size_t count, size;
	int (*compare)(const char *a, const char *b); /* NULL: strcmp */
};

/* Compares "op-9" < "op-10": the shorter name is the smaller number. */
int table_compare_numbered(const char *a, const char *b);

void *table_find(const struct table *t, const char *name); /* NULL when there is none */
/* The index of the first entry behind `name`, which need not exist; count when there is none. */
size_t table_after(const struct table *t, const char *name);
/* 0, -EEXIST or -ENOMEM. */
int table_add(struct table *t, const char *name, void *record);
/* Takes it out and returns it; NULL when there is none. */
void *table_remove(struct table *t, const char *name);
/* Frees the table's own memory. */
void table_clear(struct table *t);

#endif
