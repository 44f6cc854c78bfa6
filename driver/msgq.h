/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The message-queue transport: one queue to send on and one to receive from, each with its
 * interrupt.
 */
#ifndef GH_MSGQ_H
#define GH_MSGQ_H

#include <linux/device.h>
#include <linux/jiffies.h>
#include <linux/wait.h>

/* A received message; runs in the thread of the receive interrupt, one message at a time. */
typedef void (*gh_msgq_recv_fn)(void *ctx, const void *data, size_t size);

struct gh_msgq {
	struct device *dev;
	u64 tx_capid, rx_capid;
	int rx_irq;
	wait_queue_head_t tx_wait;
	bool tx_room; /* set by the transmit interrupt, cleared before each try */
	gh_msgq_recv_fn recv;
	void *ctx;
	void *rx_buffer; /* only the receive thread */
};

/*
 * Takes the capability ids and interrupts of the device's node, in the order transmit, receive.
 * From here on `recv` is called. The interrupts go with the device. Errors: EPROBE_DEFER, ENODEV
 * (node without them), ENOMEM.
 */
int gh_msgq_init(struct gh_msgq *msgq, struct device *dev, gh_msgq_recv_fn recv, void *ctx);

/*
 * Sends one message of at most GH_RM_MSG_SIZE bytes; `push` makes the receiver see it at once.
 * Sleeps while the queue is full, until `deadline` (jiffies). The caller serialises. `data` must be
 * in the kernel's linear map. Errors: ETIMEDOUT, or the hypervisor's.
 */
int gh_msgq_send(struct gh_msgq *msgq, const void *data, size_t size, bool push,
		 unsigned long deadline);

/* Has the receive thread look at the queue, in case its interrupt was lost. */
void gh_msgq_kick(struct gh_msgq *msgq);

#endif
