/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the host a VM may have: the bridges, directories and block devices that the configuration allows, and no others.
 */
#ifndef CROFT_AGENT_ALLOW_H
#define CROFT_AGENT_ALLOW_H

#include <sys/types.h>

#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

struct config;

#define ALLOW_PATH_MAX 1023u /* bytes of a path in a spec */

/* The settings [vms] bridges, shares and block_devices: words with blanks between. INVALID_ARGUMENT with the word. */
int allow_check_bridges(const char *words, struct error *err);
int allow_check_shares(const char *words, struct error *err);
int allow_check_block_devices(const char *words, struct error *err);

/* An absolute path without "//", "." and ".." in it and without "/" at its end, whatever is there: in the form of allow. */
bool allow_path_plain(const char *path);

/*
 * What can be said of a spec before a start, without waiting for a file system: INVALID_ARGUMENT with the field and the
 * setting. The spec was validated. What a path leads to is asked at the start.
 */
int allow_check_spec(const struct config *config, const Croft__V1__VmSpec *spec, struct error *err);

/*
 * The block device that the path leads to, below /dev, when the configuration allows that one. Errors: NOT_FOUND (nothing is
 * there), CONFLICT (not allowed, or no block device).
 */
int allow_find_device(const struct config *config, const char *path, dev_t *device,
		      struct error *err);

/*
 * Opens it; `device` is what allow_find_device() gave. One that is to be written must be used by nobody else of the host: not
 * mounted, and no part of another device. Errors: as before, CONFLICT (in use), INTERNAL.
 */
struct allow_device {
	const char *path;
	dev_t device;
	bool read_only;
};
int allow_open_device(const struct config *config, const struct allow_device *device, int *fd,
		      struct error *err);

/*
 * Opens a shared directory, with O_PATH, when the configuration allows the place that the path leads to, too. What is open stays
 * what was checked, whatever becomes of the path. May wait for the file system. Errors: NOT_FOUND, CONFLICT (not allowed, or no
 * directory), INTERNAL.
 */
int allow_open_share(const struct config *config, const char *path, int *fd, struct error *err);

#endif
