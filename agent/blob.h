/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blob store: a directory of files that are named by their SHA-256, and the parts of an image that are such files.
 */
#ifndef CROFT_AGENT_BLOB_H
#define CROFT_AGENT_BLOB_H

#include "agent/manifest.h"
#include "agent/validate.h"
#include "croft/v1/image.pb-c.h"
#include "vmm/base.h"

#define BLOB_PATH_MAX 4200 /* state_dir has at most 4,000 bytes */

/* A file that is being written: it has no name that anyone would take for a blob. Nobody else writes it. */
struct blob_draft {
	int fd;	       /* for reading and writing */
	uint64_t size; /* bytes that an earlier try has left in it; they are not trusted */
	char dir[BLOB_PATH_MAX], path[BLOB_PATH_MAX];
};
#define BLOB_DRAFT_NONE  \
	{                \
		.fd = -1 \
	}

/* That of a blob: what was left of it is found again. Errors: RESOURCE_EXHAUSTED, INTERNAL. */
int blob_draft_open(struct blob_draft *draft, const char *dir, const char *sha256,
		    struct error *err);

/* Makes it empty. */
int blob_draft_clear(struct blob_draft *draft, struct error *err);

/* Flushes it and gives it its name, which lasts when this returns 0. The draft is then empty. */
int blob_draft_keep(struct blob_draft *draft, const char *sha256, struct error *err);

/* Closes it, if it is open: removed, or left for a later try. */
void blob_draft_drop(struct blob_draft *draft);
void blob_draft_leave(struct blob_draft *draft);

/* That a blob of that digest and size is there. */
bool blob_exists(const char *dir, const char *sha256, uint64_t size);

/* A part of an image. */
struct image_part {
	const Croft__V1__ImageFile *file;
	char what[NAME_MAX_LENGTH + 8]; /* "kernel", "initrd", "disk \"root\"" */
};
#define IMAGE_PARTS_MAX (2 + MANIFEST_DISKS_MAX)

/* Lists the parts; returns how many. A status has no more, because the manifest may not have more. */
size_t image_parts(const Croft__V1__ImageStatus *status, struct image_part parts[IMAGE_PARTS_MAX]);

/*
 * Moves every blob for which `used` is false to the trash, and every draft: nobody may be writing one. Quick.
 */
void blob_discard(const char *dir, bool (*used)(void *data, const char *sha256), void *data);

#endif
