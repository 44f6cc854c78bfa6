// SPDX-License-Identifier: Apache-2.0
// JSON for people.

#include "agent/ctl/show.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS_MAX 12
#define TEXT_MAX    256

json_t *show_find(json_t *object, const char *path)
{
	char key[64];

	while (object && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		object = json_object_get(object, key);
		path += n + (path[n] == '.');
	}
	return object;
}

json_t *show_find_named(json_t *list, const char *name)
{
	const char *text;
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		text = json_string_value(json_object_get(item, "name"));
		if (text && strcmp(text, name) == 0)
			return item;
	}
	return NULL;
}

/* "256 MiB", "1.5 GiB", "512 B". */
static void print_bytes(char *out, size_t size, json_int_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, size, "%.4g %s", value, units[unit]);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* A guest or an image may have put control characters into a text; a terminal must not obey them. */
static void print_text(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text[n] && n + 1 < size; n++)
		out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
	out[n] = '\0';
}

/* "a,b": of texts these, of anything else how many. */
static void print_list(char *out, size_t size, json_t *list)
{
	json_t *item;
	size_t i, n = 0;

	snprintf(out, size, "%zu", json_array_size(list));
	json_array_foreach(list, i, item) {
		if (!json_is_string(item) || n + 2 >= size)
			return;
		if (i)
			out[n++] = ',';
		print_text(out + n, size - n, json_string_value(item));
		n += strlen(out + n);
	}
}

static void print_value(char *out, size_t size, const char *path, json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		print_text(out, size, json_string_value(value));
		break;
	case JSON_INTEGER:
		if (ends_with(path, "_bytes"))
			print_bytes(out, size, json_integer_value(value));
		else
			snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(out, size, "%.6g", json_real_value(value));
		break;
	case JSON_ARRAY:
		print_list(out, size, value);
		break;
	default:
		snprintf(out, size, "%s",
			 json_is_true(value)	? "true"
			 : json_is_false(value) ? "false"
						: "-");
		break;
	}
}

struct column {
	char title[32];
	char path[64];
	size_t width;
};

static size_t parse_columns(struct column *columns, const char *text)
{
	size_t n = 0;

	while (*text && n < COLUMNS_MAX) {
		size_t len = strcspn(text, " "), title = strcspn(text, "=");

		snprintf(columns[n].title, sizeof(columns[n].title), "%.*s", (int)title, text);
		snprintf(columns[n].path, sizeof(columns[n].path), "%.*s", (int)(len - title - 1),
			 text + title + 1);
		columns[n].width = title;
		n++;
		text += len + (text[len] == ' ');
	}
	return n;
}

static void cell(char out[TEXT_MAX], const struct column *column, json_t *object)
{
	json_t *value = show_find(object, column->path);

	snprintf(out, TEXT_MAX, "-");
	if (value)
		print_value(out, TEXT_MAX, column->path, value);
}

void show_table(json_t *list, const char *text)
{
	struct column columns[COLUMNS_MAX];
	size_t n = parse_columns(columns, text), row;
	char value[TEXT_MAX];
	json_t *object;

	json_array_foreach(list, row, object) {
		for (size_t i = 0; i < n; i++) {
			cell(value, &columns[i], object);
			if (strlen(value) > columns[i].width)
				columns[i].width = strlen(value);
		}
	}
	for (size_t i = 0; i < n; i++)
		printf("%-*s%s", i + 1 < n ? (int)columns[i].width : 0, columns[i].title,
		       i + 1 < n ? "  " : "\n");
	json_array_foreach(list, row, object) {
		for (size_t i = 0; i < n; i++) {
			cell(value, &columns[i], object);
			printf("%-*s%s", i + 1 < n ? (int)columns[i].width : 0, value,
			       i + 1 < n ? "  " : "\n");
		}
	}
}

void show_line(json_t *object, const char *text)
{
	struct column columns[COLUMNS_MAX];
	size_t n = text ? parse_columns(columns, text) : 0;
	char value[TEXT_MAX];

	if (!text)
		json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
	for (size_t i = 0; i < n; i++) {
		cell(value, &columns[i], object);
		printf("%s%s", i ? "  " : "", value);
	}
	putchar('\n');
}

static void show_at(json_t *value, const char *path)
{
	char text[TEXT_MAX], next[TEXT_MAX];
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach(value, key, member) {
			snprintf(next, sizeof(next), "%s%s%s", path, *path ? "." : "", key);
			show_at(member, next);
		}
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, member) {
			snprintf(next, sizeof(next), "%s[%zu]", path, i);
			show_at(member, next);
		}
	} else {
		print_value(text, sizeof(text), path, value);
		printf("%s: %s\n", path, text);
	}
}

void show_object(json_t *object)
{
	show_at(object, "");
}

void show_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	putchar('\n');
}
