// SPDX-License-Identifier: Apache-2.0
/*
 * Starts a virtiofsd for a directory: QEMU's, or the later one that is a project of its own. Both
 * take a listening socket, enter namespaces of their own with the directory as their root, and end
 * with their only connection.
 *
 * Not all of them know a read-only share, so they are shown the directory by a mount that is: in a
 * namespace of their own, which is made between fork() and exec.
 */
#include "vmm/vmm_peer.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Where the daemon finds the directory: there on each system, and of no use to the daemon. */
#define VIEW	  "/tmp"
#define DAEMON_FD 3
#define ABOVE	  10 /* of the fds that must not be in the daemon's way */

struct daemon {
	const char *path;
	const char *const *argv;
};

static const char *const argv_of_qemu[] = { "virtiofsd", "--fd=3",
					    "-f",	 "--rlimit-nofile=0",
					    "-o",	 "source=" VIEW ",log_level=err",
					    NULL };
static const char *const argv_of_project[] = { "virtiofsd",
					       "--fd=3",
					       "--shared-dir=" VIEW,
					       "--rlimit-nofile=0",
					       "--sandbox=namespace",
					       "--log-level=error",
					       NULL };
static const struct daemon daemons[] = {
	{ "/usr/libexec/virtiofsd", argv_of_project },
	{ "/usr/lib/qemu/virtiofsd", argv_of_qemu },
};

/* --- The child, before it is the daemon: only system calls, since other threads were cut off --- */

enum step { STEP_NAMESPACE, STEP_VIEW, STEP_EXEC };

struct failure {
	enum step step;
	int err;
};

struct child {
	const struct daemon *daemon;
	bool read_only;
	bool privileged; /* may make a mount namespace without a user namespace around it */
	int directory, listener, status;
	char uid_map[32], gid_map[32];
};

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	return n < 0 ? -errno : 0;
}

static int enter_namespaces(const struct child *child)
{
	int flags = CLONE_NEWNS | (child->privileged ? 0 : CLONE_NEWUSER), r;

	/* The working directory comes along into the new namespace, an open one does not. */
	if (fchdir(child->directory) < 0 || unshare(flags) < 0)
		return -errno;
	if (child->privileged)
		return 0;
	r = write_file("/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_file("/proc/self/uid_map", child->uid_map);
	return r < 0 ? r : write_file("/proc/self/gid_map", child->gid_map);
}

/* Nothing that the host mounts below it later shows up, or it would not be read-only there. */
static int show_directory(const struct child *child)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			    (child->read_only ? MOUNT_ATTR_RDONLY : 0u),
		.propagation = MS_PRIVATE,
	};
	_cleanup_close_ int tree = -1;

	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return -errno;
	tree = open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | AT_RECURSIVE | OPEN_TREE_CLOEXEC);
	if (tree < 0 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", AT_FDCWD, VIEW, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

/* Its files are not ours: as many as we may have at all. Signals are as a daemon expects them. */
static int become_daemon(const struct child *child)
{
	struct rlimit files;
	sigset_t none;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(child->listener, DAEMON_FD) < 0 ||
	    close_range(DAEMON_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	execv(child->daemon->path, (char *const *)(uintptr_t)child->daemon->argv);
	return -errno;
}

static _Noreturn void run_child(const struct child *child)
{
	struct failure failure = { .step = STEP_NAMESPACE, .err = -enter_namespaces(child) };

	if (failure.err == 0)
		failure = (struct failure){ STEP_VIEW, -show_directory(child) };
	if (failure.err == 0)
		failure = (struct failure){ STEP_EXEC, -become_daemon(child) };
	(void)!write(child->status, &failure, sizeof(failure));
	_exit(1);
}

/* --- Its parent --- */

static bool may_mount(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 &&
	       (data[0].effective & (1u << CAP_SYS_ADMIN));
}

static int find_daemon(const struct daemon **daemon, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++)
		if (access(daemons[i].path, X_OK) == 0) {
			*daemon = &daemons[i];
			return 0;
		}
	return error_raise(err, ERROR_UNAVAILABLE,
			   "virtiofsd is not installed: neither %s nor %s is there",
			   daemons[0].path, daemons[1].path);
}

/* Away from the fds that the daemon has by number. */
static int move_up(int *fd, struct error *err)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, ABOVE);

	if (up < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "virtiofsd");
	close(*fd);
	*fd = up;
	return 0;
}

/*
 * A listening socket with one connection in its queue. It has room for no other, and the daemon
 * accepts just one, so nobody can be there before us although the address is open to all.
 */
static int make_connection(int *listener_out, int *ours_out, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int listener = -1, ours = -1;
	socklen_t size = sizeof(address);

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The kernel chooses an abstract address. */
	if (listener < 0 || ours < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
	    listen(listener, 0) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
	    connect(ours, (struct sockaddr *)&address, size) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno,
					 "socket of virtiofsd");
	*listener_out = TAKE_FD(listener);
	*ours_out = TAKE_FD(ours);
	return 0;
}

static int explain(const struct failure *failure, const struct daemon *daemon, struct error *err)
{
	static const char *const steps[] = {
		[STEP_NAMESPACE] = "a mount namespace for",
		[STEP_VIEW] = "a view of the directory for",
		[STEP_EXEC] = "start",
	};

	return error_raise_errno(err, ERROR_UNAVAILABLE, failure->err, "%s %s",
				 steps[failure->step], daemon->path);
}

/* The child is the daemon when its end of the pipe has closed without a word. */
static int start(struct child *child, int *pid_out, struct error *err)
{
	_cleanup_close_ int read_end = -1, write_end = -1;
	struct failure failure;
	int pipe_fds[2], r;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "virtiofsd");
	read_end = pipe_fds[0];
	write_end = pipe_fds[1];
	r = move_up(&write_end, err);
	if (r < 0)
		return r;
	child->status = write_end;
	pid = fork();
	if (pid < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "virtiofsd");
	if (pid == 0)
		run_child(child);
	write_end = base_close(write_end);
	do
		n = read(read_end, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(failure)) {
		*pid_out = pid;
		return 0;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return explain(&failure, child->daemon, err);
}

int vmm_fs_start(int directory, bool read_only, int *fd, int *pid, struct error *err)
{
	struct child child = { .read_only = read_only,
			       .privileged = may_mount(),
			       .directory = directory };
	_cleanup_close_ int listener = -1, ours = -1;
	struct stat st;
	int r;

	if (fstat(directory, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not an open directory");
	r = find_daemon(&child.daemon, err);
	if (r == 0)
		r = make_connection(&listener, &ours, err);
	if (r == 0)
		r = move_up(&listener, err);
	if (r < 0)
		return r;
	child.listener = listener;
	snprintf(child.uid_map, sizeof(child.uid_map), "0 %u 1", geteuid());
	snprintf(child.gid_map, sizeof(child.gid_map), "0 %u 1", getegid());
	r = start(&child, pid, err);
	if (r == 0)
		*fd = TAKE_FD(ours);
	return r;
}
