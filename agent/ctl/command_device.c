// SPDX-License-Identifier: Apache-2.0
// The devices of a VM for croftctl: as options of a new spec, and changes of one device of a VM that is there.

#include <string.h>

#include "agent/ctl/command.h"
#include "agent/ctl/show.h"

#define OVERLAY_MAX (1u << 20) /* bytes of a file that is read; the agent's limit is lower */

static int bad_value(const char *argument, struct error *err)
{
	return error_raise(err, ERROR_INVALID_ARGUMENT, "wrong value: %s", argument);
}

/* The list of that name in the spec, made when it is not there. */
static json_t *list_of(json_t *spec, const char *name)
{
	json_t *list = json_object_get(spec, name);

	if (!list) {
		list = json_array();
		json_object_set_new(spec, name, list);
	}
	return list;
}

/* --- Words: "image=DISK", "size=1G", "ro" --- */

enum word_kind {
	WORD_TEXT,
	WORD_NUMBER,
	WORD_FLAG,    /* without a value: true */
	WORD_NO_FLAG, /* without a value: false */
	WORD_VALUE,   /* without a value: the text is the field's value */
	WORD_BYTES,   /* a rate limit's bytes a second; the field is the limit */
	WORD_OPERATIONS,
};

struct word {
	const char *word;
	const char *field;
	enum word_kind kind;
};

static const struct word disk_words[] = {
	{ "image", "image_disk", WORD_TEXT },
	{ "size", "size_bytes", WORD_NUMBER },
	{ "ro", "read_only", WORD_FLAG },
	{ "serial", "serial", WORD_TEXT },
	{ "queues", "queues", WORD_NUMBER },
	{ "device", "block_device", WORD_TEXT },
	{ "limit", "limit", WORD_BYTES },
	{ "iops", "limit", WORD_OPERATIONS },
	{ 0 },
};
static const struct word network_words[] = {
	{ "user", "kind", WORD_VALUE },
	{ "tap", "kind", WORD_VALUE },
	{ "bridge", "bridge", WORD_TEXT },
	{ "mac", "mac", WORD_TEXT },
	{ "any-source", "any_source", WORD_FLAG },
	{ "down", "link_down", WORD_FLAG },
	{ "up", "link_down", WORD_NO_FLAG },
	{ "receive", "receive", WORD_BYTES },
	{ "transmit", "transmit", WORD_BYTES },
	{ 0 },
};
static const struct word share_words[] = {
	{ "path", "path", WORD_TEXT },
	{ "ro", "read_only", WORD_FLAG },
	{ 0 },
};
static const struct word vsock_words[] = {
	{ "cid", "cid", WORD_NUMBER },
	{ "kernel", "transport", WORD_VALUE },
	{ "socket", "transport", WORD_VALUE },
	{ 0 },
};

static void set_limit(json_t *item, const struct word *w, json_int_t number)
{
	json_t *limit = json_object_get(item, w->field);

	if (!limit) {
		limit = json_object();
		json_object_set_new(item, w->field, limit);
	}
	json_object_set_new(limit,
			    w->kind == WORD_BYTES ? "bytes_per_second" : "operations_per_second",
			    json_integer(number));
}

static int set_word(json_t *item, const struct word *w, const char *value, const char *text,
		    struct error *err)
{
	bool valued = w->kind == WORD_TEXT || w->kind == WORD_NUMBER || w->kind == WORD_BYTES ||
		      w->kind == WORD_OPERATIONS;
	json_int_t number = 0;

	if (valued != (value != NULL) ||
	    (valued && w->kind != WORD_TEXT && !command_parse_size(value, &number)))
		return bad_value(text, err);
	switch (w->kind) {
	case WORD_TEXT:
		json_object_set_new(item, w->field, json_string(value));
		break;
	case WORD_NUMBER:
		json_object_set_new(item, w->field, json_integer(number));
		break;
	case WORD_FLAG:
	case WORD_NO_FLAG:
		json_object_set_new(item, w->field, json_boolean(w->kind == WORD_FLAG));
		break;
	case WORD_VALUE:
		json_object_set_new(item, w->field, json_string(w->word));
		break;
	case WORD_BYTES:
	case WORD_OPERATIONS:
		set_limit(item, w, number);
		break;
	}
	return 0;
}

static int take_word(json_t *item, const struct word *words, const char *text, struct error *err)
{
	size_t n = strcspn(text, "=");

	for (const struct word *w = words; w->word; w++)
		if (strlen(w->word) == n && strncmp(w->word, text, n) == 0)
			return set_word(item, w, text[n] ? text + n + 1 : NULL, text, err);
	return bad_value(text, err);
}

static int take_words(json_t *item, const struct word *words, char *text, struct error *err)
{
	char *save = NULL;
	int r = 0;

	for (char *word = strtok_r(text, ",", &save); r == 0 && word;
	     word = strtok_r(NULL, ",", &save))
		r = take_word(item, words, word, err);
	return r;
}

/* --- Options --- */

/* NAME[,WORD]... is a new item of the list. */
static int add_item(json_t *spec, const char *list, const struct word *words, char *text,
		    struct error *err)
{
	json_t *item = json_object();
	char *rest = strchr(text, ',');

	if (rest)
		*rest++ = '\0';
	json_array_append_new(list_of(spec, list), item);
	json_object_set_new(item, "name", json_string(text));
	return rest ? take_words(item, words, rest, err) : 0;
}

static int set_vsock(json_t *spec, char *text, struct error *err)
{
	json_t *vsock = json_object();

	json_object_set_new(spec, "vsock", vsock);
	return take_words(vsock, vsock_words, text, err);
}

/* RFC 4648, as JSON carries bytes. */
static char *encode(const unsigned char *bytes, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc((n + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; text && i < n; i += 3) {
		unsigned int word = (unsigned int)bytes[i] << 16 |
				    (i + 1 < n ? (unsigned int)bytes[i + 1] << 8 : 0) |
				    (i + 2 < n ? bytes[i + 2] : 0);

		for (unsigned int j = 0; j < 4; j++)
			*out++ = i + j > n ? '=' : digits[word >> (18 - 6 * j) & 63];
	}
	if (text)
		*out = '\0';
	return text;
}

static int set_overlay(json_t *spec, const char *path, struct error *err)
{
	_cleanup_free_ unsigned char *bytes = malloc(OVERLAY_MAX);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (!f || !bytes)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, f ? ENOMEM : errno, "open %s",
					 path);
	n = fread(bytes, 1, OVERLAY_MAX, f);
	if (ferror(f))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "%s cannot be read", path);
	text = encode(bytes, n);
	return json_object_set_new(spec, "device_tree_overlay", json_string(text ? text : ""))
		       ? bad_value(path, err)
		       : 0;
}

static int set_flag(json_t *spec, const char *option)
{
	if (strcmp(option, "--no-network") == 0)
		return json_object_set_new(spec, "no_network", json_true());
	if (strcmp(option, "--huge-pages") == 0)
		return json_object_set_new(spec, "huge_pages", json_true());
	if (strcmp(option, "--protected") == 0)
		return json_object_set_new(spec, "protection", json_string("protected"));
	if (strcmp(option, "--vsock") == 0)
		return json_object_set_new(spec, "vsock", json_object());
	return -1;
}

int command_device_option(json_t *spec, char *argument, struct error *err)
{
	char *value = strchr(argument, '=');

	if (!value)
		return set_flag(spec, argument) ? 1 : 0;
	*value++ = '\0';
	if (strcmp(argument, "--disk") == 0)
		return add_item(spec, "disks", disk_words, value, err);
	if (strcmp(argument, "--net") == 0)
		return add_item(spec, "networks", network_words, value, err);
	if (strcmp(argument, "--share") == 0)
		return add_item(spec, "shares", share_words, value, err);
	if (strcmp(argument, "--port") == 0)
		return json_array_append_new(list_of(spec, "ports"), json_string(value))
			       ? bad_value(value, err)
			       : 0;
	if (strcmp(argument, "--vsock") == 0)
		return set_vsock(spec, value, err);
	if (strcmp(argument, "--overlay") == 0)
		return set_overlay(spec, value, err);
	value[-1] = '=';
	return 1;
}

/* --- One device of a VM that is there --- */

static int change(json_t *item, const struct word *words, int argc, char **argv, struct error *err)
{
	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0)
			return bad_value(argv[i], err);
		if (take_word(item, words, argv[i] + 2, err) < 0)
			return -EINVAL;
	}
	return 0;
}

/*
 * NAME DEVICE --WORD...: sends the list as it was, with that one changed; the agent knows what of it has changed, and refuses it
 * when somebody else has changed the VM meanwhile.
 */
int command_set_device(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool disk = strcmp(ctl->command->verb, "disk") == 0;
	const char *list = disk ? "disks" : "networks";
	_cleanup_free_ char *path = NULL;
	struct command_request request = { .name = argc ? argv[0] : NULL };
	struct http_request get = { .method = "GET" };
	json_t *vm = NULL, *items, *item;
	long status = 0;
	int rc = CTL_REFUSED;

	if (argc < 3 || argv[0][0] == '-' || argv[1][0] == '-')
		return command_usage(ctl, err);
	path = command_path(ctl, ctl->command->path, argv[0], NULL, err);
	get.path = path;
	if (!path || http_json(ctl->http, &get, &vm, &status, err))
		return path && !status ? CTL_UNREACHED : CTL_REFUSED;
	items = json_object_get(json_object_get(vm, "spec"), list);
	item = show_find_named(items, argv[1]);
	if (!item)
		error_raise(err, ERROR_NOT_FOUND, "VM %s has none named %s among its %s", argv[0],
			    argv[1], list);
	else if (change(item, disk ? disk_words : network_words, argc - 2, argv + 2, err) < 0)
		rc = CTL_USAGE;
	else
		request.body = json_pack("{s:{s:O}}", "spec", list, items);
	request.revision = json_integer_value(json_object_get(vm, "revision"));
	if (request.body)
		rc = command_send(ctl, &request, err);
	json_decref(request.body);
	json_decref(vm);
	return rc;
}
