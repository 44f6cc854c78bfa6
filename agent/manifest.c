// SPDX-License-Identifier: Apache-2.0
// An image's manifest, read strictly: a key that is not known, or of another type, is an error with its JSON pointer.

#include "agent/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "agent/message.h"
#include "agent/validate.h"

/* One object of the manifest while it is read: where it is, and which keys it may have. */
struct reader {
	const json_t *object;
	char at[64]; /* JSON pointer, "" for the whole */
	struct error *err;
};

static int bad(const struct reader *r, const char *key, const char *what)
{
	return error_raise(r->err, ERROR_INVALID_ARGUMENT, "manifest: %s/%.64s: %s", r->at, key,
			   what);
}

static int raise_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

static void status_freep(Croft__V1__ImageStatus **status)
{
	message_free(*status);
}

/* That it is an object, and has none but these keys; `keys` ends with NULL. */
static int check_keys(const struct reader *r, const char *const *keys)
{
	const char *key;
	json_t *value;

	if (!json_is_object(r->object))
		return error_raise(r->err, ERROR_INVALID_ARGUMENT, "manifest: %s: not an object",
				   r->at[0] ? r->at : "the whole text");
	json_object_foreach((json_t *)r->object, key, value) {
		size_t i = 0;

		while (keys[i] && strcmp(keys[i], key) != 0)
			i++;
		if (!keys[i])
			return bad(r, key, "unknown key");
	}
	return 0;
}

/* A string of at most max bytes without control characters; *out points into the JSON, "" when it may be absent. */
static int get_string(const struct reader *r, const char *key, bool required, size_t max,
		      const char **out)
{
	const json_t *value = json_object_get(r->object, key);
	const char *text;

	*out = "";
	if (!value)
		return required ? bad(r, key, "missing") : 0;
	if (!json_is_string(value))
		return bad(r, key, "not a string");
	text = json_string_value(value);
	if (strlen(text) > max) {
		char what[48];

		snprintf(what, sizeof(what), "longer than %zu bytes", max);
		return bad(r, key, what);
	}
	if (required && !text[0])
		return bad(r, key, "empty");
	if (!text_printable(text))
		return bad(r, key, "has other than printable ASCII characters");
	*out = text;
	return 0;
}

static int get_size(const struct reader *r, uint64_t *out)
{
	const json_t *value = json_object_get(r->object, "size");

	if (!value)
		return bad(r, "size", "missing");
	if (!json_is_integer(value))
		return bad(r, "size", "not an integer");
	if (json_integer_value(value) < 1)
		return bad(r, "size", "less than 1 byte");
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

/* The three keys that every file has. */
static int get_file(const struct reader *r, Croft__V1__ImageFile **out)
{
	const char *url, *sha256;
	Croft__V1__ImageFile *file;
	uint64_t size = 0;
	int e = get_string(r, "url", true, URL_MAX_LENGTH, &url);

	if (e == 0)
		e = get_string(r, "sha256", true, 64, &sha256);
	if (e == 0 && !sha256_valid(sha256))
		e = bad(r, "sha256", "not 64 lower-case hexadecimal digits");
	if (e == 0)
		e = get_size(r, &size);
	if (e < 0)
		return e;
	file = message_new(&croft__v1__image_file__descriptor);
	if (!file)
		return raise_memory(r->err);
	message_set_string(&file->url, url);
	message_set_string(&file->sha256, sha256);
	file->size = size;
	*out = file;
	return 0;
}

static int read_file(const json_t *object, const char *key, Croft__V1__ImageFile **out,
		     struct error *err)
{
	static const char *const keys[] = { "url", "sha256", "size", NULL };
	struct reader r = { .object = object, .err = err };
	int e;

	snprintf(r.at, sizeof(r.at), "/%s", key);
	e = check_keys(&r, keys);
	return e < 0 ? e : get_file(&r, out);
}

static bool disk_known(const Croft__V1__ImageStatus *status, const char *name)
{
	for (size_t i = 0; i < status->n_disks; i++)
		if (strcmp(status->disks[i]->name, name) == 0)
			return true;
	return false;
}

static int read_disk(const json_t *object, size_t i, Croft__V1__ImageStatus *status,
		     struct error *err)
{
	static const char *const keys[] = { "url", "sha256", "size", "name", "read_only", NULL };
	struct reader r = { .object = object, .err = err };
	const json_t *read_only;
	Croft__V1__ImageDisk *disk;
	const char *name;
	int e;

	snprintf(r.at, sizeof(r.at), "/disks/%zu", i);
	e = check_keys(&r, keys);
	if (e == 0)
		e = get_string(&r, "name", true, NAME_MAX_LENGTH, &name);
	if (e == 0 && !name_valid(name))
		e = bad(&r, "name",
			"not 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends");
	if (e == 0 && disk_known(status, name))
		e = bad(&r, "name", "there twice");
	if (e < 0)
		return e;
	read_only = json_object_get(object, "read_only");
	if (read_only && !json_is_boolean(read_only))
		return bad(&r, "read_only", "not true or false");

	disk = message_new(&croft__v1__image_disk__descriptor);
	if (!disk || message_append(&status->disks, &status->n_disks, disk) < 0) {
		message_free(disk);
		return raise_memory(err);
	}
	message_set_string(&disk->name, name);
	disk->read_only = json_is_true(read_only);
	return get_file(&r, &disk->file);
}

static int read_disks(const json_t *disks, Croft__V1__ImageStatus *status, struct error *err)
{
	if (!json_is_array(disks))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "manifest: /disks: not an array");
	if (json_array_size(disks) > MANIFEST_DISKS_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "manifest: /disks: more than %u",
				   MANIFEST_DISKS_MAX);
	for (size_t i = 0; i < json_array_size(disks); i++) {
		int e = read_disk(json_array_get(disks, i), i, status, err);

		if (e < 0)
			return e;
	}
	return 0;
}

static int add_size(Croft__V1__ImageStatus *status, const Croft__V1__ImageFile *file,
		    uint64_t size_max, struct error *err)
{
	if (!file)
		return 0;
	if (file->size > size_max || status->size_bytes > size_max - file->size)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "manifest: the files have more than %" PRIu64 " bytes together",
				   size_max);
	status->size_bytes += file->size;
	return 0;
}

static int read_manifest(const json_t *root, Croft__V1__ImageStatus *status, struct error *err)
{
	static const char *const keys[] = { "name",  "version", "kernel", "initrd",
					    "disks", "cmdline", NULL };
	struct reader r = { .object = root, .err = err };
	const char *name, *version, *cmdline;
	const json_t *value;
	int e = check_keys(&r, keys);

	if (e == 0)
		e = get_string(&r, "name", true, NAME_MAX_LENGTH, &name);
	if (e == 0)
		e = get_string(&r, "version", true, 128, &version);
	if (e == 0)
		e = get_string(&r, "cmdline", false, CMDLINE_MAX_LENGTH, &cmdline);
	if (e < 0)
		return e;
	message_set_string(&status->version, version);
	message_set_string(&status->cmdline, cmdline);

	value = json_object_get(root, "kernel");
	e = value ? read_file(value, "kernel", &status->kernel, err) : bad(&r, "kernel", "missing");
	value = json_object_get(root, "initrd");
	if (e == 0 && value)
		e = read_file(value, "initrd", &status->initrd, err);
	value = json_object_get(root, "disks");
	if (e == 0 && value)
		e = read_disks(value, status, err);
	return e;
}

int manifest_parse(Croft__V1__ImageStatus **out, const char *text, size_t n, uint64_t size_max,
		   struct error *err)
{
	_cleanup_(json_decrefp) json_t *root = NULL;
	_cleanup_(status_freep) Croft__V1__ImageStatus *status = NULL;
	json_error_t why;
	int e;

	if (n > MANIFEST_SIZE_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "manifest: more than %u bytes",
				   MANIFEST_SIZE_MAX);
	root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "manifest: line %d: %s", why.line,
				   why.text);
	status = message_new(&croft__v1__image_status__descriptor);
	if (!status)
		return raise_memory(err);
	e = read_manifest(root, status, err);
	if (e == 0)
		e = add_size(status, status->kernel, size_max, err);
	if (e == 0)
		e = add_size(status, status->initrd, size_max, err);
	for (size_t i = 0; e == 0 && i < status->n_disks; i++)
		e = add_size(status, status->disks[i]->file, size_max, err);
	if (e < 0)
		return e;
	*out = TAKE_PTR(status);
	return 0;
}
