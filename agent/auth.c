// SPDX-License-Identifier: Apache-2.0
// Names the actor of a connection.

#include "agent/auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void auth_actor_of_socket(char out[AUTH_ACTOR_MAX], int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t n = sizeof(peer);
	char text[INET6_ADDRSTRLEN];
	struct ucred cred;
	const void *addr = NULL;

	snprintf(out, AUTH_ACTOR_MAX, "unknown");
	if (getpeername(fd, (struct sockaddr *)&peer, &n))
		return;
	if (peer.ss_family == AF_UNIX) {
		n = sizeof(cred);
		if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
			snprintf(out, AUTH_ACTOR_MAX, "uid:%u", cred.uid);
		return;
	}
	if (peer.ss_family == AF_INET)
		addr = &((struct sockaddr_in *)(void *)&peer)->sin_addr;
	else if (peer.ss_family == AF_INET6)
		addr = &((struct sockaddr_in6 *)(void *)&peer)->sin6_addr;
	if (addr && inet_ntop(peer.ss_family, addr, text, sizeof(text)))
		snprintf(out, AUTH_ACTOR_MAX, "tcp:%s", text);
}

void auth_actor_of_uri(char out[AUTH_ACTOR_MAX], const char *uri)
{
	const char *host = strchr(uri, ':'), *port = strrchr(uri, ':');
	int n;

	snprintf(out, AUTH_ACTOR_MAX, "unknown");
	if ((strncmp(uri, "ipv4:", 5) != 0 && strncmp(uri, "ipv6:", 5) != 0) || port == host)
		return;
	host++;
	n = (int)(port - host);
	if (n > 6 && strncmp(host, "%5B", 3) == 0) {
		host += 3;
		n -= 6;
	} else if (n > 2 && *host == '[') {
		host++;
		n -= 2;
	}
	snprintf(out, AUTH_ACTOR_MAX, "tcp:%.*s", n > 45 ? 45 : n, host);
}
