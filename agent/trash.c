// SPDX-License-Identifier: Apache-2.0
// Removing files in two steps: a rename, which is quick, and the unlinking, which is not.

#include "agent/trash.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX ".trash-"

void trash_put(const char *dir, const char *name)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char to[NAME_MAX + 1];

	if (fd < 0 || (size_t)snprintf(to, sizeof(to), PREFIX "%s", name) >= sizeof(to))
		return;
	/* A leftover of that name makes no harm: files replace files, and a directory waits for the next time. */
	if (renameat(fd, name, fd, to) < 0)
		return;
}

void trash_take(const char *dir, const char *path, const char *name)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char to[NAME_MAX + 1];

	if (fd < 0 || (size_t)snprintf(to, sizeof(to), PREFIX "%s", name) >= sizeof(to))
		return;
	if (renameat(AT_FDCWD, path, fd, to) < 0)
		return;
}

static void remove_directory(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		base_close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	unlinkat(parent, name, AT_REMOVEDIR);
}

void trash_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0 && errno == EISDIR)
			remove_directory(dirfd(d), e->d_name);
	}
	closedir(d);
}
