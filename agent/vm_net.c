// SPDX-License-Identifier: Apache-2.0
// The host's end of a VM's network interfaces.

#include "agent/vm_net.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/digest.h"
#include "vmm/vmm.h"

#define TAP_NAME "croft%d" /* the kernel puts the lowest free number in */

/* --- Addresses --- */

int vm_net_make_mac(uint8_t mac[6], const char *uid, const char *name)
{
	struct digest *digest = digest_new();
	char hex[DIGEST_HEX];
	unsigned int bytes[6];
	int r;

	if (!digest)
		return -ENOMEM;
	digest_add(digest, uid, strlen(uid) + 1);
	digest_add(digest, name, strlen(name));
	r = digest_finish(digest, hex);
	digest_free(digest);
	if (r < 0 || sscanf(hex, "%2x%2x%2x%2x%2x%2x", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
			    &bytes[4], &bytes[5]) != 6)
		return -EIO;
	for (size_t i = 0; i < 6; i++)
		mac[i] = (uint8_t)bytes[i];
	/* IEEE 802: bit 0 is a group's, bit 1 one of nobody's make. */
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
	return 0;
}

void vm_net_print_mac(char out[VM_NET_MAC], const uint8_t mac[6])
{
	snprintf(out, VM_NET_MAC, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
}

/* --- passt --- */

bool vm_net_has_passt(void)
{
	const char *path = getenv("PATH");

	for (const char *p = path ? path : "/bin:/usr/bin"; *p;) {
		size_t n = strcspn(p, ":");
		char file[512];

		if (n &&
		    snprintf(file, sizeof(file), "%.*s/passt", (int)n, p) < (int)sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

/* --- Taps --- */

static int raise_interface(const char *verb, const char *name, int e, struct error *err)
{
	return error_raise_errno(err,
				 e == EPERM			 ? ERROR_PERMISSION_DENIED
				 : e == ENODEV			 ? ERROR_UNAVAILABLE
				 : e == EOPNOTSUPP || e == EBUSY ? ERROR_CONFLICT
								 : ERROR_INTERNAL,
				 e, "%s interface %s", verb, name);
}

/* A guest is no router of the host: what it advertises (RFC 4861) must not become the host's routes. */
static int distrust(const char *interface, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", interface);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || write(fd, "0", 1) != 1)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "write %s", path);
	return 0;
}

static int join(int fd, const char *interface, const char *bridge, struct error *err)
{
	struct ifreq ifr = { .ifr_ifindex = (int)if_nametoindex(interface) };

	memcpy(ifr.ifr_name, bridge, strnlen(bridge, IFNAMSIZ - 1));
	return ioctl(fd, SIOCBRADDIF, &ifr) < 0 ? raise_interface("join", bridge, errno, err) : 0;
}

static int set_up(int fd, const char *interface, struct error *err)
{
	struct ifreq ifr = { .ifr_flags = 0 };

	memcpy(ifr.ifr_name, interface, strnlen(interface, IFNAMSIZ - 1));
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return raise_interface("look at", interface, errno, err);
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? raise_interface("set up", interface, errno, err)
						 : 0;
}

static int open_tap(struct vm_net *net, const char *bridge, struct error *err)
{
	_cleanup_close_ int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int fd = -1;
	struct ifreq ifr = { .ifr_flags = 0 };
	int r;

	if (control < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "socket");
	r = vmm_net_tap(TAP_NAME, &fd, err);
	if (r < 0)
		return r;
	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "tap");
	ifr.ifr_name[IFNAMSIZ - 1] = '\0';
	r = distrust(ifr.ifr_name, err);
	if (r == 0 && bridge[0])
		r = join(control, ifr.ifr_name, bridge, err);
	if (r == 0)
		r = set_up(control, ifr.ifr_name, err);
	if (r < 0)
		return r;
	memcpy(net->interface, ifr.ifr_name, sizeof(net->interface));
	net->fd = TAKE_FD(fd);
	return 0;
}

int vm_net_open(struct vm_net *net, const Croft__V1__NetworkSpec *spec, struct error *err)
{
	int r;

	*net = (struct vm_net){ .fd = -1 };
	if (spec->kind == CROFT__V1__NETWORK_SPEC__KIND__tap)
		r = open_tap(net, spec->bridge, err);
	else
		r = vmm_net_passt(&net->fd, &net->pid, err);
	return r < 0 ? error_widen(err, "network \"%s\"", spec->name) : 0;
}
