/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own virtio devices (vhost): it reads a device's rings, woken by the eventfds of
 * QueueNotify, and rings the guest's interrupt line itself. Queues go over and come back while the
 * guest runs.
 */
#ifndef CROFT_VMM_VHOST_H
#define CROFT_VMM_VHOST_H

#include "vmm/virtio_mmio.h"

struct vhost {
	int fd;	     /* -1: the host has none */
	bool active; /* the kernel has the queues */
	struct loop *loop;
	struct virtio_mmio *dev;
	unsigned int queues;	   /* how many of dev's, the first ones */
	struct loop_source failed; /* signalled when a ring breaks the rules */
	/* Has the kernel begin, or end, its work on the queues: 0 or -errno. */
	int (*run)(struct vhost *vhost, bool on);
};

#define VHOST_NONE ((struct vhost){ .fd = -1, .failed.fd = -1 })

/*
 * vhost holds queues, run and dev, which outlives it. 1, 0 when the host has no such device or does
 * not let us, or a negative error. Either way vhost_close() is due. When a ring breaks the rules,
 * vhost takes the queues back and says that dev needs a reset.
 */
int vhost_open(struct vhost *vhost, const char *path, struct loop *loop, struct error *err);
void vhost_close(struct vhost *vhost);

/* Features that it knows, of those of the device type and the transport. */
uint64_t vhost_features(const struct vhost *vhost);

/* Gives the queues, all ready, to the kernel: 0, or -errno and they are still ours. Locked. */
int vhost_start(struct vhost *vhost);

/*
 * Takes them back, if it has them, to go on where the kernel was. -EPROTO when the rings have left
 * RAM. Locked.
 */
int vhost_stop(struct vhost *vhost);

#endif
