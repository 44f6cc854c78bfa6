// SPDX-License-Identifier: Apache-2.0
// What of the host a VM may have, by the configuration's lists.

#include "agent/allow.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/config.h"

#define DEVICES "/dev/"

/* --- The lists --- */

/* The next word behind *p, of *n bytes; NULL behind the last. */
static const char *next_word(const char **p, size_t *n)
{
	const char *word = *p + strspn(*p, " \t");

	*n = strcspn(word, " \t");
	*p = word + *n;
	return *n ? word : NULL;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool allow_path_plain(const char *path)
{
	size_t n = strlen(path);

	if (n < 2 || path[0] != '/' || path[n - 1] == '/')
		return false;
	for (const char *p = path; *p; p += 1 + strcspn(p + 1, "/")) {
		size_t part = strcspn(p + 1, "/");

		if (part == 0 || (part <= 2 && strspn(p + 1, ".") >= part))
			return false;
	}
	return true;
}

static bool is_interface(const char *word)
{
	return strlen(word) < IFNAMSIZ && !strchr(word, '/') && strcmp(word, ".") != 0 &&
	       strcmp(word, "..") != 0;
}

static bool is_bridge(const char *word)
{
	return strcmp(word, "*") == 0 || is_interface(word);
}

static bool is_device_pattern(const char *word)
{
	return starts_with(word, DEVICES) && allow_path_plain(word);
}

static int check_words(const char *words, bool (*good)(const char *word), const char *what,
		       struct error *err)
{
	const char *word;
	size_t n;

	while ((word = next_word(&words, &n))) {
		_cleanup_free_ char *copy = strndup(word, n);

		if (!copy)
			return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		if (!good(copy))
			return error_raise(err, ERROR_INVALID_ARGUMENT, "\"%.80s\" is not %s", copy,
					   what);
	}
	return 0;
}

int allow_check_bridges(const char *words, struct error *err)
{
	return check_words(words, is_bridge, "the name of an interface, and not *", err);
}

int allow_check_shares(const char *words, struct error *err)
{
	return check_words(words, allow_path_plain,
			   "an absolute path without //, . and .. in it and / at its end", err);
}

int allow_check_block_devices(const char *words, struct error *err)
{
	return check_words(words, is_device_pattern, "a pattern below " DEVICES, err);
}

/* --- What they allow --- */

/* One of the words fits. */
static bool allowed(const char *words, const char *name,
		    bool (*fits)(const char *word, const char *name))
{
	const char *word;
	size_t n;

	while ((word = next_word(&words, &n))) {
		_cleanup_free_ char *copy = strndup(word, n);

		if (copy && fits(copy, name))
			return true;
	}
	return false;
}

static bool bridge_fits(const char *word, const char *name)
{
	return strcmp(word, "*") == 0 || strcmp(word, name) == 0;
}

static bool directory_fits(const char *word, const char *name)
{
	size_t n = strlen(word);

	return strncmp(word, name, n) == 0 && (name[n] == '/' || name[n] == '\0');
}

static bool device_fits(const char *word, const char *name)
{
	return fnmatch(word, name, FNM_PATHNAME | FNM_PERIOD) == 0;
}

static int raise_not_allowed(const char *name, const char *setting, const char *words,
			     struct error *err)
{
	return error_raise(err, ERROR_CONFLICT,
			   "%.150s is not allowed: the setting [vms] %s %s%.100s", name, setting,
			   words[0] ? "has only " : "is empty", words);
}

/* --- At the edge --- */

/* The refusal `why`, of a field of the spec. */
static int refuse(const struct error *why, const char *list, size_t i, const char *part,
		  struct error *err)
{
	char field[ERROR_FIELD_MAX];

	snprintf(field, sizeof(field), "/spec/%s/%zu/%s", list, i, part);
	return error_raise_field(err, field, "%s", why->message);
}

static int check_networks(const struct config *config, const Croft__V1__VmSpec *spec,
			  struct error *err)
{
	struct error why;

	for (size_t i = 0; i < spec->n_networks; i++) {
		const char *bridge = spec->networks[i]->bridge;

		if (!bridge[0] || allowed(config->bridges, bridge, bridge_fits))
			continue;
		raise_not_allowed(bridge, "bridges", config->bridges, &why);
		return refuse(&why, "networks", i, "bridge", err);
	}
	return 0;
}

static int check_shares(const struct config *config, const Croft__V1__VmSpec *spec,
			struct error *err)
{
	struct error why;

	for (size_t i = 0; i < spec->n_shares; i++) {
		const char *path = spec->shares[i]->path;

		if (allowed(config->shares, path, directory_fits))
			continue;
		raise_not_allowed(path, "shares", config->shares, &why);
		return refuse(&why, "shares", i, "path", err);
	}
	return 0;
}

static int check_disks(const struct config *config, const Croft__V1__VmSpec *spec,
		       struct error *err)
{
	struct error why;
	dev_t device;
	int r = 0;

	for (size_t i = 0; i < spec->n_disks; i++) {
		const char *path = spec->disks[i]->block_device;

		if (path[0] && !config->block_devices[0])
			r = raise_not_allowed(path, "block_devices", "", &why);
		else if (path[0])
			r = allow_find_device(config, path, &device, &why);
		/* One that is not there may be plugged in before the start. */
		if (r < 0 && why.code != ERROR_NOT_FOUND)
			return refuse(&why, "disks", i, "block_device", err);
		r = 0;
	}
	return 0;
}

int allow_check_spec(const struct config *config, const Croft__V1__VmSpec *spec, struct error *err)
{
	int r = check_networks(config, spec, err);

	if (r == 0)
		r = check_shares(config, spec, err);
	return r < 0 ? r : check_disks(config, spec, err);
}

/* --- At the start --- */

static int raise_path(const char *path, int e, struct error *err)
{
	return error_raise_errno(err,
				 e == ENOENT || e == ENOTDIR || e == ENXIO || e == ENOMEDIUM
					 ? ERROR_NOT_FOUND
				 : e == EBUSY ? ERROR_CONFLICT
					      : ERROR_INTERNAL,
				 e, "%.150s", path);
}

/* The path without symbolic links. */
static int resolve(const char *path, char **out, struct error *err)
{
	*out = realpath(path, NULL);
	return *out ? 0 : raise_path(path, errno, err);
}

/* Symbolic links that have come into the path since are not followed. */
static int open_resolved(const char *path, uint64_t flags)
{
	const struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int find_device(const struct config *config, const char *path, char **resolved,
		       struct stat *st, struct error *err)
{
	int r = resolve(path, resolved, err);

	if (r < 0)
		return r;
	if (!allowed(config->block_devices, *resolved, device_fits))
		return raise_not_allowed(*resolved, "block_devices", config->block_devices, err);
	if (stat(*resolved, st) < 0)
		return raise_path(path, errno, err);
	if (!S_ISBLK(st->st_mode))
		return error_raise(err, ERROR_CONFLICT, "%.150s is no block device", path);
	return 0;
}

int allow_find_device(const struct config *config, const char *path, dev_t *device,
		      struct error *err)
{
	_cleanup_free_ char *resolved = NULL;
	struct stat st;
	int r = find_device(config, path, &resolved, &st, err);

	if (r == 0)
		*device = st.st_rdev;
	return r;
}

int allow_open_device(const struct config *config, const struct allow_device *device, int *out,
		      struct error *err)
{
	_cleanup_free_ char *resolved = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = find_device(config, device->path, &resolved, &st, err);

	if (r < 0)
		return r;
	fd = open_resolved(resolved, device->read_only ? O_RDONLY : O_RDWR | O_EXCL);
	if (fd < 0 || fstat(fd, &st) < 0)
		return raise_path(device->path, errno, err);
	if (!S_ISBLK(st.st_mode) || st.st_rdev != device->device)
		return error_raise(err, ERROR_CONFLICT, "%.150s is another device than before",
				   device->path);
	*out = TAKE_FD(fd);
	return 0;
}

int allow_open_share(const struct config *config, const char *path, int *out, struct error *err)
{
	_cleanup_free_ char *resolved = NULL;
	_cleanup_close_ int fd = -1;
	int r = resolve(path, &resolved, err);

	if (r < 0)
		return r;
	if (!allowed(config->shares, resolved, directory_fits))
		return raise_not_allowed(resolved, "shares", config->shares, err);
	fd = open_resolved(resolved, O_PATH | O_DIRECTORY);
	if (fd < 0 && errno == ENOTDIR)
		return error_raise(err, ERROR_CONFLICT, "%.150s is no directory", path);
	if (fd < 0)
		return raise_path(path, errno, err);
	*out = TAKE_FD(fd);
	return 0;
}
