/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of vhost-user: another process reads a device's rings, woken by the eventfds of
 * QueueNotify, and rings the guest's interrupt line itself. No thread of ours is on the way.
 *
 * The other process is not trusted: each of its answers is checked, and has its time. One that
 * breaks the protocol, is silent or dies is cut off for good, and the device needs a reset.
 * Source: "Vhost-user Protocol" in QEMU's documentation.
 */
#ifndef CROFT_VMM_VHOST_USER_H
#define CROFT_VMM_VHOST_USER_H

#include "vmm/virtio_mmio.h"

#define VHOST_USER_LIMIT_MS 20000u

struct vhost_user {
	struct loop_source source; /* the socket; fd -1: cut off */
	struct loop *loop;
	struct virtio_mmio *dev;
	uint64_t features;     /* that it knows, of those of the device type and the transport */
	unsigned int limit_ms; /* for an answer */
	bool told;	       /* features and memory, since it had no queue at all */
	bool running[VIRTIO_QUEUES_MAX]; /* the queues that it has */
};

#define VHOST_USER_NONE ((struct vhost_user){ .source.fd = -1, .limit_ms = VHOST_USER_LIMIT_MS })

/*
 * vhost holds dev, which outlives it, and limit_ms. Duplicates the socket and greets the other
 * process; `queues` is how many it must have. On failure vhost_user_close() is still due. Errors:
 * INVALID_ARGUMENT (no such socket), UNAVAILABLE (it does not answer), UNSUPPORTED (it cannot do
 * what is needed), RESOURCE_EXHAUSTED.
 */
int vhost_user_open(struct vhost_user *vhost, int fd, unsigned int queues, struct loop *loop,
		    struct error *err);
void vhost_user_close(struct vhost_user *vhost);

/* Whether it has this queue. Locked. */
bool vhost_user_runs(const struct vhost_user *vhost, unsigned int queue);

/*
 * Gives it the queues that are live and that it has not yet: 0, or -errno, and then it is cut off.
 * Locked; waits for the answers.
 */
int vhost_user_start(struct vhost_user *vhost);

/* Takes one queue back, or all: nothing of them is read or written after that. The same. */
void vhost_user_stop_queue(struct vhost_user *vhost, unsigned int queue);
void vhost_user_stop(struct vhost_user *vhost);

#endif
