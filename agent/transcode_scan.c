// SPDX-License-Identifier: Apache-2.0
// JSON pointers and UTF-8: finds the place in a JSON text that a parser stopped at, and the limits that it passes.

#include "agent/transcode_text.h"

#include <string.h>

#include "agent/transcode.h"

size_t text_utf8_length(const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80	 ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	if (n > size)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for what they say, a surrogate, or beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool text_is_utf8(const char *text, size_t size)
{
	for (size_t i = 0, n; i < size; i += n) {
		n = text_utf8_length(text + i, size - i);
		if (!n)
			return false;
	}
	return true;
}

void text_make_utf8(char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0, n; i < size; i += n) {
		n = text_utf8_length(text + i, size - i);
		if (!n) {
			text[i] = '?';
			n = 1;
		}
	}
}

char *text_utf8_copy(const char *text)
{
	char *copy = strdup(text);

	if (copy)
		text_make_utf8(copy);
	return copy;
}

static void pointer_put(struct pointer *pointer, const char *text, size_t size)
{
	size_t room = sizeof(pointer->text) - 1 - pointer->len;
	size_t n = size < room ? size : room;

	memcpy(pointer->text + pointer->len, text, n);
	pointer->len += n;
	pointer->text[pointer->len] = '\0';
}

size_t pointer_key(struct pointer *pointer, const char *key, size_t size)
{
	size_t back = pointer->len;

	pointer_put(pointer, "/", 1);
	for (size_t i = 0, n; i < size; i += n) {
		n = text_utf8_length(key + i, size - i);
		if (!n) {
			n = 1;
			pointer_put(pointer, "?", 1);
		} else if (key[i] == '~') {
			pointer_put(pointer, "~0", 2);
		} else if (key[i] == '/') {
			pointer_put(pointer, "~1", 2);
		} else if (n > sizeof(pointer->text) - 1 - pointer->len) {
			break;
		} else {
			pointer_put(pointer, key + i, n);
		}
	}
	return back;
}

size_t pointer_index(struct pointer *pointer, size_t index)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%zu", index);

	return pointer_key(pointer, text, (size_t)n);
}

void pointer_back(struct pointer *pointer, size_t len)
{
	pointer->len = len;
	pointer->text[len] = '\0';
}

struct level {
	bool array;
	bool key_next; /* in an object: the next string is a key */
	size_t index;
	size_t base; /* length of the container's own pointer */
};

/* From behind the opening quote: the text without its escapes, cut to `room`, into key; returns behind the close. */
static size_t scan_string(const char *text, size_t at, size_t stop, char *key, size_t *size)
{
	size_t n = 0;

	for (; at < stop && text[at] != '"'; at++) {
		if (text[at] == '\\' && at + 1 < stop)
			at++;
		if (n < ERROR_FIELD_MAX)
			key[n++] = text[at];
	}
	*size = n;
	return at;
}

static void scan_open(struct scan *scan, struct level *level, bool array)
{
	*level = (struct level){ .array = array, .key_next = !array, .base = scan->pointer.len };
	if (array)
		pointer_index(&scan->pointer, 0);
}

static void scan_comma(struct scan *scan, struct level *level)
{
	scan->values++;
	pointer_back(&scan->pointer, level->base);
	if (level->array)
		pointer_index(&scan->pointer, ++level->index);
	else
		level->key_next = true;
}

void scan_json(struct scan *scan, const char *text, size_t stop)
{
	struct level levels[TRANSCODE_DEPTH_MAX + 1] = { 0 };
	struct level *level = levels; /* levels[0] stands for the text itself */
	char key[ERROR_FIELD_MAX];
	size_t n;

	*scan = (struct scan){ 0 };
	for (size_t at = 0; at < stop && scan->values <= TRANSCODE_VALUES_MAX; at++) {
		switch (text[at]) {
		case '"':
			at = scan_string(text, at + 1, stop, key, &n);
			if (level > levels && level->key_next) {
				level->key_next = false;
				pointer_key(&scan->pointer, key, n);
			}
			break;
		case '{':
		case '[':
			scan->values++;
			n = (size_t)(level - levels) + 1;
			if (n > scan->depth_max)
				scan->depth_max = n;
			if (n > TRANSCODE_DEPTH_MAX)
				return;
			scan_open(scan, ++level, text[at] == '[');
			break;
		case '}':
		case ']':
			if (level > levels) {
				pointer_back(&scan->pointer, level->base);
				level--;
			}
			break;
		case ',':
			if (level > levels)
				scan_comma(scan, level);
			break;
		default:
			break;
		}
	}
}
