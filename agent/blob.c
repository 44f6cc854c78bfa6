// SPDX-License-Identifier: Apache-2.0
// The blob store: drafts become blobs by a rename, so what has a digest for a name is whole.

#include "agent/blob.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/trash.h"

#define DRAFT_PREFIX ".draft-"

static enum error_code code_of(int err)
{
	return err == ENOSPC || err == EDQUOT ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL;
}

/* Opens it for this draft alone; false when another has it, or had it until just now. */
static bool open_alone(struct blob_draft *draft)
{
	struct stat mine, named;

	draft->fd = open(draft->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (draft->fd < 0)
		return false;
	/* The lock may be had because its file has become a blob meanwhile: then the name is gone, or another file's. */
	if (flock(draft->fd, LOCK_EX | LOCK_NB) == 0 && fstat(draft->fd, &mine) == 0 &&
	    stat(draft->path, &named) == 0 && mine.st_ino == named.st_ino) {
		draft->size = (uint64_t)mine.st_size;
		return true;
	}
	draft->fd = base_close(draft->fd);
	return false;
}

int blob_draft_open(struct blob_draft *draft, const char *dir, const char *sha256,
		    struct error *err)
{
	draft->size = 0;
	snprintf(draft->dir, sizeof(draft->dir), "%s", dir);
	if ((size_t)snprintf(draft->path, sizeof(draft->path), "%s/" DRAFT_PREFIX "%s", dir,
			     sha256) >= sizeof(draft->path))
		return error_raise(err, ERROR_INTERNAL, "the path of %s is too long", dir);
	if (open_alone(draft))
		return 0;
	/* Another pull fetches the same file: a second draft is simpler than waiting for it. */
	snprintf(draft->path, sizeof(draft->path), "%s/" DRAFT_PREFIX "XXXXXX", dir);
	draft->fd = mkostemp(draft->path, O_CLOEXEC);
	if (draft->fd < 0)
		return error_raise_errno(err, code_of(errno), errno, "create a file in %s", dir);
	return 0;
}

int blob_draft_clear(struct blob_draft *draft, struct error *err)
{
	draft->size = 0;
	if (ftruncate(draft->fd, 0) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "empty %s", draft->path);
	return 0;
}

static int sync_dir(const char *dir)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int blob_draft_keep(struct blob_draft *draft, const char *sha256, struct error *err)
{
	char path[BLOB_PATH_MAX + 80];
	int r;

	snprintf(path, sizeof(path), "%s/%s", draft->dir, sha256);
	if (fsync(draft->fd) < 0)
		return error_raise_errno(err, code_of(errno), errno, "flush %s", draft->path);
	if (rename(draft->path, path) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "rename to %s", path);
	draft->fd = base_close(draft->fd);
	r = sync_dir(draft->dir);
	if (r < 0)
		return error_raise_errno(err, ERROR_INTERNAL, -r, "flush %s", draft->dir);
	return 0;
}

void blob_draft_drop(struct blob_draft *draft)
{
	if (draft->fd < 0)
		return;
	unlink(draft->path);
	draft->fd = base_close(draft->fd);
}

void blob_draft_leave(struct blob_draft *draft)
{
	draft->fd = base_close(draft->fd);
}

bool blob_exists(const char *dir, const char *sha256, uint64_t size)
{
	char path[BLOB_PATH_MAX + 80];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, sha256);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

size_t image_parts(const Croft__V1__ImageStatus *status, struct image_part parts[IMAGE_PARTS_MAX])
{
	size_t n = 0;

	if (status->kernel)
		parts[n++] = (struct image_part){ .file = status->kernel, .what = "kernel" };
	if (status->initrd)
		parts[n++] = (struct image_part){ .file = status->initrd, .what = "initrd" };
	for (size_t i = 0; i < status->n_disks && n < IMAGE_PARTS_MAX; i++) {
		parts[n].file = status->disks[i]->file;
		snprintf(parts[n].what, sizeof(parts[n].what), "disk \"%s\"",
			 status->disks[i]->name);
		n++;
	}
	return n;
}

void blob_discard(const char *dir, bool (*used)(void *data, const char *sha256), void *data)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		bool draft = strncmp(e->d_name, DRAFT_PREFIX, strlen(DRAFT_PREFIX)) == 0;

		if (draft || (sha256_valid(e->d_name) && !used(data, e->d_name)))
			trash_put(dir, e->d_name);
	}
	closedir(d);
}
