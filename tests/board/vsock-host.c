// SPDX-License-Identifier: Apache-2.0
/*
 * The host's program of the vsock test: vsock-host PATH|vhost CID. Returns when it listens, and goes
 * on behind: answers the guest's line on port 1234, then sends a megabyte to the guest's port 5678
 * and expects it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define BYTES 1000000

static int unix_fd(const char *path, const char *suffix, int listens)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s%s", path, suffix);
	if (listens)
		unlink(un.sun_path);
	if ((listens ? bind(fd, (struct sockaddr *)&un, sizeof(un)) || listen(fd, 1)
		     : connect(fd, (struct sockaddr *)&un, sizeof(un))) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int vm_fd(unsigned int cid, unsigned int port, int listens)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = listens ? VMADDR_CID_ANY : cid,
				  .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if ((listens ? bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1)
		     : connect(fd, (struct sockaddr *)&at, sizeof(at))) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int greet(int fd)
{
	char line[64];
	ssize_t n;

	if (write(fd, "CONNECT 5678\n", 13) != 13)
		return -1;
	n = read(fd, line, sizeof(line) - 1);
	if (n < 4 || memcmp(line, "OK ", 3) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void answer(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char line[64];
	ssize_t n = read(fd, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	printf("vsock-host: heard %s", line);
	(void)!write(fd, "hello guest\n", 12);
	close(fd);
}

static void echo(int fd)
{
	static char out[BYTES], in[16384];
	size_t came = 0;
	ssize_t n;

	memset(out, 'e', sizeof(out));
	if (fork() == 0) {
		for (size_t done = 0; done < sizeof(out); done += (size_t)n) {
			n = write(fd, out + done, sizeof(out) - done);
			if (n <= 0)
				_exit(1);
		}
		_exit(0);
	}
	while (came < BYTES && (n = read(fd, in, sizeof(in))) > 0)
		came += (size_t)n;
	printf("vsock-host: %zu bytes came back\n", came);
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned int cid = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;
	int is_unix, listener, fd = -1;
	pid_t pid;

	if (argc != 3)
		return 2;
	is_unix = strcmp(argv[1], "vhost") != 0;
	listener = is_unix ? unix_fd(argv[1], "_1234", 1) : vm_fd(cid, 1234, 1);
	if (listener < 0) {
		perror("vsock-host: listen");
		return 1;
	}
	pid = fork();
	if (pid)
		return pid < 0;
	answer(listener);
	fflush(stdout);
	/* The guest listens a moment later. */
	for (int i = 0; i < 600 && fd < 0; i++) {
		usleep(100000);
		fd = is_unix ? unix_fd(argv[1], "", 0) : vm_fd(cid, 5678, 0);
		if (fd >= 0 && is_unix)
			fd = greet(fd);
	}
	if (fd < 0) {
		perror("vsock-host: connect");
		return 1;
	}
	echo(fd);
	return 0;
}
