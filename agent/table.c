// SPDX-License-Identifier: Apache-2.0
// A sorted table of records by name: an array that is searched by halves.

#include "agent/table.h"

#include <string.h>

int table_compare_numbered(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);

	if (na != nb)
		return na < nb ? -1 : 1;
	return strcmp(a, b);
}

static int compare(const struct table *t, const char *a, const char *b)
{
	return t->compare ? t->compare(a, b) : strcmp(a, b);
}

/* The index of the first entry that is not before `name`. */
static size_t lower_bound(const struct table *t, const char *name)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(t, t->entries[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct table *t, size_t i, const char *name)
{
	return i < t->count && strcmp(t->entries[i].name, name) == 0;
}

void *table_find(const struct table *t, const char *name)
{
	size_t i = lower_bound(t, name);

	return is_at(t, i, name) ? t->entries[i].record : NULL;
}

size_t table_after(const struct table *t, const char *name)
{
	size_t i = lower_bound(t, name);

	return is_at(t, i, name) ? i + 1 : i;
}

int table_add(struct table *t, const char *name, void *record)
{
	size_t i = lower_bound(t, name);

	if (is_at(t, i, name))
		return -EEXIST;
	if (t->count == t->size) {
		size_t size = t->size ? t->size * 2 : 16;
		void *entries = reallocarray(t->entries, size, sizeof(*t->entries));

		if (!entries)
			return -ENOMEM;
		t->entries = entries;
		t->size = size;
	}
	memmove(t->entries + i + 1, t->entries + i, (t->count - i) * sizeof(*t->entries));
	t->entries[i] = (struct table_entry){ .name = name, .record = record };
	t->count++;
	return 0;
}

void *table_remove(struct table *t, const char *name)
{
	size_t i = lower_bound(t, name);
	void *record;

	if (!is_at(t, i, name))
		return NULL;
	record = t->entries[i].record;
	t->count--;
	memmove(t->entries + i, t->entries + i + 1, (t->count - i) * sizeof(*t->entries));
	return record;
}

void table_clear(struct table *t)
{
	free(t->entries);
	*t = (struct table){ .compare = t->compare };
}
