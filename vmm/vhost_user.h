/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of vhost-user: another process reads a device's rings, woken by the eventfds of
 * QueueNotify, and has us ring the guest's interrupt line.
 *
 * The other process is not trusted: each of its answers is checked, and all of a call's together
 * have their time. One that breaks the protocol, is silent or dies is cut off for good, and the
 * device needs a reset. An eventfd that it has is neither read nor written here, since whoever has
 * one can make both block: the guest's notifications go past us, and what it signals is an event
 * of the loop. For the same reason it does not have the interrupt line's.
 * Source: "Vhost-user Protocol" in QEMU's documentation.
 */
#ifndef CROFT_VMM_VHOST_USER_H
#define CROFT_VMM_VHOST_USER_H

#include "vmm/virtio_mmio.h"

#define VHOST_USER_LIMIT_MS 20000u

struct vhost_user {
	struct loop_source source; /* the socket; fd -1: cut off */
	struct loop_source called; /* it has given something back to the guest */
	struct loop *loop;
	struct virtio_mmio *dev;
	uint64_t features;     /* that it knows, of those of the device type and the transport */
	unsigned int limit_ms; /* for the answers to one call of ours */
	uint64_t until_ns;     /* of the call that goes on */
	bool told;	       /* features and memory, since it had no queue at all */
	bool running[VIRTIO_QUEUES_MAX]; /* the queues that it has */
};

#define VHOST_USER_NONE \
	((struct vhost_user){ .source.fd = -1, .called.fd = -1, .limit_ms = VHOST_USER_LIMIT_MS })

/*
 * vhost holds dev, which has no handle() and outlives it, and limit_ms. Duplicates the socket and
 * greets the other process; `queues` is how many it must have. On failure vhost_user_close() is
 * still due. Errors: INVALID_ARGUMENT (no such socket), UNAVAILABLE (it does not answer),
 * UNSUPPORTED (it cannot do what is needed), RESOURCE_EXHAUSTED.
 */
int vhost_user_open(struct vhost_user *vhost, int fd, unsigned int queues, struct loop *loop,
		    struct error *err);
void vhost_user_close(struct vhost_user *vhost);

/*
 * Gives it the queues that are live and that it has not yet: 0, or -errno, and then it is cut off.
 * Locked; waits for the answers.
 */
int vhost_user_start(struct vhost_user *vhost);

/* Takes one queue back, or all: nothing of them is read or written after that. The same. */
void vhost_user_stop_queue(struct vhost_user *vhost, unsigned int queue);
void vhost_user_stop(struct vhost_user *vhost);

#endif
