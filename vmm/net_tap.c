// SPDX-License-Identifier: Apache-2.0
/* Where a VM's network comes from: a tap interface, or a passt of its own. */
#include "vmm/net_tap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TUN	 "/dev/net/tun"
#define PASST_FD 3

extern char **environ;

int vmm_net_tap(const char *name, int *out, struct error *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	_cleanup_close_ int fd = -1;

	if (strlen(name) >= sizeof(ifr.ifr_name))
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "tap \"%s\": at most %zu characters", name,
				   sizeof(ifr.ifr_name) - 1);
	memcpy(ifr.ifr_name, name, strlen(name));
	fd = open(TUN, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_raise_errno(err,
					 errno == EACCES ? ERROR_PERMISSION_DENIED
							 : ERROR_UNAVAILABLE,
					 errno, "tap \"%s\": open %s", name, TUN);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return error_raise_errno(err,
					 errno == EPERM	   ? ERROR_PERMISSION_DENIED
					 : errno == EINVAL ? ERROR_INVALID_ARGUMENT
							   : ERROR_INTERNAL,
					 errno, "tap \"%s\"", name);
	*out = TAKE_FD(fd);
	return 0;
}

int vmm_net_passt(int *out, int *pid_out, struct error *err)
{
	/*
	 * In the foreground it is our child, and ends with its socket. Its map of the gateway's
	 * address would lead to the host's loopback. Root is told nobody's numbers, since the
	 * profile that Debian gives passt for AppArmor lets it look up no names.
	 */
	const char *const argv[] = {
		"passt",
		"--foreground",
		"--quiet",
		"--no-map-gw",
		"--fd",
		"3",
		geteuid() == 0 ? "--runas" : NULL,
		"65534:65534",
		NULL,
	};
	_cleanup_close_ int ours = -1, theirs = -1;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "passt");
	ours = pair[0];
	theirs = pair[1];
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* To itself it also takes close-on-exec off. Not every library of this process has that on. */
	r = posix_spawn_file_actions_adddup2(&actions, theirs, PASST_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, PASST_FD + 1);
	/* What it has to say it also says in the system's log. */
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (r == 0)
		r = posix_spawnp(&pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv,
				 environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return error_raise_errno(err,
					 r == ENOENT ? ERROR_UNAVAILABLE : ERROR_RESOURCE_EXHAUSTED,
					 r, "start passt, which is the network without set-up");
	*out = TAKE_FD(ours);
	*pid_out = pid;
	return 0;
}

static bool read_counter(const char *interface, const char *name, uint64_t *value)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", interface, name);
	f = fopen(path, "re");
	return f && fscanf(f, "%" SCNu64, value) == 1;
}

void net_tap_counters(int fd, struct vmm_net_stats *stats)
{
	/* The interface's transmit is the guest's receive. */
	const struct {
		const char *name;
		uint64_t *value;
	} counters[] = {
		{ "tx_packets", &stats->rx_packets }, { "tx_bytes", &stats->rx_bytes },
		{ "tx_dropped", &stats->rx_dropped }, { "rx_packets", &stats->tx_packets },
		{ "rx_bytes", &stats->tx_bytes },     { "rx_dropped", &stats->tx_dropped },
	};
	struct ifreq ifr = { 0 };

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return;
	ifr.ifr_name[sizeof(ifr.ifr_name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		uint64_t value;

		if (read_counter(ifr.ifr_name, counters[i].name, &value))
			*counters[i].value = value;
	}
}
