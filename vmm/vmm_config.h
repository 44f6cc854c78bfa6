/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is made of: plain data and file descriptors, for vmm_create().
 */
#ifndef CROFT_VMM_VMM_CONFIG_H
#define CROFT_VMM_VMM_CONFIG_H

#include "vmm/base.h"

#define VMM_CMDLINE_MAX	 2048u /* bytes, with the NUL */
#define VMM_OVERLAY_MAX	 65536u
#define VMM_MEMORY_MIN	 (64ull << 20) /* bytes */
#define VMM_MEMORY_ALIGN (2ull << 20)
#define VMM_BOUNCE_MAX	 (1ull << 30)

/* What bounce memory takes of the command line, in bytes. */
#define VMM_BOUNCE_CMDLINE 96u

enum vmm_backend { VMM_BACKEND_GUNYAH, VMM_BACKEND_FAKE };

/* Rate limits; 0: none. They may be exceeded for a tenth of a second. */
#define VMM_LIMIT_MAX 1000000000000ull
struct vmm_limit {
	uint64_t bytes_per_s, ops_per_s;
};

struct vmm_disk {
	const char *name;   /* for messages */
	const char *serial; /* of which the guest reads 20 bytes; NULL: the name */
	int fd;		    /* a raw image or block device, open for what read_only says */
	bool read_only;
	bool synchronous;	/* without io_uring even where there is one */
	unsigned int queues;	/* 0: as many as vCPUs; at most VMM_DISK_QUEUES_MAX are made */
	struct vmm_limit limit; /* zeroes that the guest has written count as their bytes */
};

enum vmm_net_kind {
	VMM_NET_TAP,	/* of vmm_net_tap(), or opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR */
	VMM_NET_STREAM, /* frames behind their length on a stream socket: passt, vmm_net_passt() */
};

/*
 * Frames of a tap go through vhost-net where the host has /dev/vhost-net; then the VMM sees none of
 * them, so any_source must be set and no limit.
 */
struct vmm_net {
	const char *name; /* for messages */
	enum vmm_net_kind kind;
	int fd;
	uint8_t mac[6];
	bool any_source; /* the guest may send from other addresses than mac */
	bool down;	 /* the link, at first */
	struct vmm_limit receive, transmit;
};

struct vmm_vsock {
	uint32_t cid; /* of the guest, at least 3 */
	/*
	 * NULL: by /dev/vhost-vsock, where cid is unique on the host. Else by unix sockets: a
	 * program of the host connects to path, writes "CONNECT port\n" and reads "OK port\n"; a
	 * guest that connects to port P of the host reaches who listens at path_P. "@..." is an
	 * abstract address.
	 */
	const char *path;
};

#define VMM_FS_TAG_MAX 36u /* bytes */
struct vmm_fs {
	const char *tag;
	int fd; /* of vmm_fs_start(): speaks vhost-user to a virtiofsd */
};

/*
 * The form of an overlay, as far as it can be told without the guest's tree; what does not fit that is refused by
 * vmm_create(). Errors: INVALID_ARGUMENT with the field.
 */
int vmm_overlay_check(const void *overlay, size_t size, struct error *err);

/* Everything is copied or duplicated by vmm_create(); the caller keeps its fds and strings. */
struct vmm_config {
	enum vmm_backend backend;
	const char *name;   /* of the VM: for threads and messages */
	unsigned int vcpus; /* 1..VMM_VCPUS_MAX */
	uint64_t memory;    /* bytes, >= VMM_MEMORY_MIN, a multiple of VMM_MEMORY_ALIGN */
	/*
	 * Lend the memory instead of sharing it: gone from the host, but for `bounce` bytes (a multiple
	 * of VMM_MEMORY_ALIGN, less than memory) through which the guest's devices go. 0: no devices.
	 */
	bool lend;
	uint64_t bounce;
	bool huge_pages;     /* of hugetlbfs, or not at all */
	int kernel_fd;	     /* arm64 Image, raw, gzip or zstd */
	int initrd_fd;	     /* or -1 */
	const char *cmdline; /* or NULL */
	/*
	 * A compiled device-tree overlay (dtbo) that is merged into the guest's tree, or NULL. It
	 * may not change what the hypervisor is told: memory, CPUs, PSCI and gunyah-vm-config.
	 */
	const void *overlay;
	size_t overlay_size; /* bytes, at most VMM_OVERLAY_MAX */
	const struct vmm_disk *disks;
	unsigned int disk_count;
	const struct vmm_net *nets;
	unsigned int net_count;
	const struct vmm_vsock *vsock; /* or NULL */
	const struct vmm_fs *shares;   /* not with lend */
	unsigned int share_count;
	/* Names of byte streams, as /dev/virtio-ports/NAME in a Linux guest. */
	const char *const *ports;
	unsigned int port_count;
	/* VMM_BACKEND_FAKE: what the guest does, see fake_script.h; NULL: a banner and an echo. */
	const char *fake_script;
};

#endif
