/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing files in two steps: a rename, which is quick, and the unlinking, which is not.
 */
#ifndef CROFT_AGENT_TRASH_H
#define CROFT_AGENT_TRASH_H

#include "vmm/base.h"

/* Moves dir/name to dir/.trash-name. What is not there, or cannot be moved, is left as it is. */
void trash_put(const char *dir, const char *name);

/* Moves the file `path`, which may be deeper below dir, to dir/.trash-name. */
void trash_take(const char *dir, const char *path, const char *name);

/* Unlinks what is in the trash of dir: files, and directories of files. What cannot be removed is left for the next time. */
void trash_empty(const char *dir);

#endif
