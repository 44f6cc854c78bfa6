// SPDX-License-Identifier: Apache-2.0
// Tells from a connection who asks, from where, and which roles that gives.

#include "agent/auth.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/config.h"

#define GROUPS_MAX 65536u /* NGROUPS_MAX of Linux */

/* --- Roles --- */

static const struct {
	const char *name;
	enum role role;
} roles[] = {
	{ "viewer", ROLE_VIEWER },
	{ "operator", ROLE_OPERATOR },
	{ "admin", ROLE_ADMIN },
	{ "console", ROLE_CONSOLE },
};

unsigned int auth_role_named(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (strlen(roles[i].name) == n && strncmp(roles[i].name, name, n) == 0)
			return roles[i].role;
	return 0;
}

void auth_role_names(char out[AUTH_ROLES_MAX], unsigned int set)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (set & roles[i].role)
			n += (size_t)snprintf(out + n, AUTH_ROLES_MAX - n, "%s%s", n ? ", " : "",
					      roles[i].name);
}

int auth_parse_roles(unsigned int *out, const char *text, struct error *err)
{
	static const char between[] = " ,";
	unsigned int all = 0;

	for (const char *p = text + strspn(text, between); *p;) {
		size_t n = strcspn(p, between);
		unsigned int role = auth_role_named(p, n);

		if (!role)
			return error_raise(err, ERROR_INVALID_ARGUMENT,
					   "\"%.*s\" is none of viewer, operator, admin and console",
					   n > 80 ? 80 : (int)n, p);
		all |= role;
		p += n;
		p += strspn(p, between);
	}
	*out = all;
	return 0;
}

/* --- The unix socket --- */

static bool is_member(int fd, const struct ucred *cred, gid_t group)
{
	socklen_t size = 0;
	_cleanup_free_ gid_t *list = NULL;

	if (cred->gid == group)
		return true;
	/* With too little room the call says how much it takes. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE ||
	    size > GROUPS_MAX * sizeof(*list))
		return false;
	list = malloc(size);
	if (!list || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &size))
		return false;
	for (size_t i = 0; i < size / sizeof(*list); i++)
		if (list[i] == group)
			return true;
	return false;
}

/*
 * The socket's mode has let the peer in, but a mode is soon changed: that it is in the group is looked up again, by
 * name, because an administrator may make the group while the agent runs.
 */
static unsigned int roles_of_peer(const struct config *config, int fd, const struct ucred *cred)
{
	char text[4096];
	struct group group, *found = NULL;

	if (cred->uid == 0 || cred->uid == geteuid())
		return ROLE_ADMIN;
	if (!config->socket_group[0] ||
	    getgrnam_r(config->socket_group, &group, text, sizeof(text), &found) || !found)
		return 0;
	return is_member(fd, cred, found->gr_gid) ? config->socket_roles : 0;
}

static void of_unix(struct principal *out, const struct config *config, int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
		return;
	snprintf(out->actor, sizeof(out->actor), "uid:%u", cred.uid);
	snprintf(out->peer, sizeof(out->peer), "unix:pid=%d", cred.pid);
	out->roles = roles_of_peer(config, fd, &cred);
}

/* --- TCP --- */

static void of_tcp(struct principal *out, const struct config *config)
{
	snprintf(out->actor, sizeof(out->actor), "tcp");
	out->roles = config->tcp_roles;
}

static void unknown(struct principal *out)
{
	*out = (struct principal){ .actor = "unknown", .peer = "unknown" };
}

void auth_of_socket(struct principal *out, const struct config *config, int fd)
{
	struct sockaddr_storage peer = { 0 };
	const struct sockaddr_in *in = (const void *)&peer;
	const struct sockaddr_in6 *in6 = (const void *)&peer;
	socklen_t n = sizeof(peer);
	char text[INET6_ADDRSTRLEN];

	unknown(out);
	if (getpeername(fd, (struct sockaddr *)&peer, &n))
		return;
	if (peer.ss_family == AF_UNIX)
		return of_unix(out, config, fd);
	if (peer.ss_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)))
		snprintf(out->peer, sizeof(out->peer), "%s:%u", text, ntohs(in->sin_port));
	else if (peer.ss_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)))
		snprintf(out->peer, sizeof(out->peer), "[%s]:%u", text, ntohs(in6->sin6_port));
	else
		return;
	of_tcp(out, config);
}

/* Host and port of a URI's path; the brackets of IPv6 may be percent-encoded. */
static bool split_uri(const char *uri, int *host_n, const char **host, const char **port)
{
	const char *colon;
	size_t n;

	if (strncmp(uri, "ipv4:", 5) != 0 && strncmp(uri, "ipv6:", 5) != 0)
		return false;
	*host = uri + 5;
	colon = strrchr(*host, ':');
	if (!colon)
		return false;
	*port = colon + 1;
	n = (size_t)(colon - *host);
	if (n > 6 && strncmp(*host, "%5B", 3) == 0) {
		*host += 3;
		n -= 6;
	} else if (n > 2 && **host == '[') {
		*host += 1;
		n -= 2;
	}
	*host_n = (int)n;
	return n > 0 && n < INET6_ADDRSTRLEN && strlen(*port) <= 5;
}

void auth_of_uri(struct principal *out, const struct config *config, const char *uri)
{
	const char *host, *port;
	int n;

	unknown(out);
	if (!split_uri(uri, &n, &host, &port))
		return;
	snprintf(out->peer, sizeof(out->peer), uri[3] == '4' ? "%.*s:%s" : "[%.*s]:%s", n, host,
		 port);
	of_tcp(out, config);
}
