// SPDX-License-Identifier: Apache-2.0
/*
 * Tries sockets to the host: sends a line to its port 1234 and says what comes back, then echoes
 * one connection to port 5678.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define HOST_PORT  1234u
#define GUEST_PORT 5678u

static int try_connect(void)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = HOST_PORT };
	static const char line[] = "hello host\n";
	char answer[64];
	ssize_t n = -1;
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    write(fd, line, sizeof(line) - 1) == sizeof(line) - 1)
		n = read(fd, answer, sizeof(answer) - 1);
	if (n <= 0) {
		perror("croft-guest: vsock: host");
		return 1;
	}
	answer[n] = '\0';
	printf("croft-guest: vsock: the host says %s", answer);
	close(fd);
	return 0;
}

static int echo_once(void)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = GUEST_PORT };
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	static char buf[16384];
	size_t sum = 0;
	ssize_t n;

	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener, 1) < 0) {
		perror("croft-guest: vsock: listen");
		return 1;
	}
	printf("croft-guest: vsock: listening\n");
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(fd, buf + done, (size_t)(n - done));
			if (w <= 0)
				return 1;
		}
		sum += (size_t)n;
	}
	printf("croft-guest: vsock: echoed %zu bytes\n", sum);
	return 0;
}

int main(void)
{
	return try_connect() | echo_once();
}
