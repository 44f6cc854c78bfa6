/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON for people: tables of objects, and single objects as lines.
 */
#ifndef CROFT_AGENT_CTL_SHOW_H
#define CROFT_AGENT_CTL_SHOW_H

#include <jansson.h>

#include "vmm/base.h"

/* Where `path` ("status.state") leads; NULL when it leads nowhere. Borrowed. */
json_t *show_find(json_t *object, const char *path);

/* The member of `list` that has this name; NULL when none has it. Borrowed. */
json_t *show_find_named(json_t *list, const char *name);

/*
 * A line a member of `list`. `columns` is "NAME=name STATE=status.state": headings and paths. A path that ends in _bytes is
 * shown in units.
 */
void show_table(json_t *list, const char *columns);

/* One member without headings, two spaces between its values; compact JSON when `columns` is NULL. */
void show_line(json_t *object, const char *columns);

/* "spec.vcpus: 2": a line a value, arrays by index. */
void show_object(json_t *object);

/* The JSON itself, indented. */
void show_json(json_t *json);

#endif
