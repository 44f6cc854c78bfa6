// SPDX-License-Identifier: GPL-2.0-only
/*
 * The message-queue transport to the resource manager: hypercalls, flow control and the receive
 * thread.
 *
 * No lock: one sender at a time (rm.c serialises), one receiver (the interrupt thread). tx_room is
 * a latch between the transmit interrupt and the sender.
 */
#include <linux/interrupt.h>
#include <linux/of.h>
#include <linux/of_irq.h>
#include <linux/sched.h>

#include "hypercall.h"
#include "msgq.h"
#include "trace.h"

/*
 * The transmit interrupt is a hint: it was seen not to fire, so a full queue is also tried again by
 * the clock.
 */
#define GH_MSGQ_RETRY_MS 5

static irqreturn_t gh_msgq_tx_irq(int irq, void *data)
{
	struct gh_msgq *msgq = data;

	WRITE_ONCE(msgq->tx_room, true);
	wake_up(&msgq->tx_wait);
	return IRQ_HANDLED;
}

static irqreturn_t gh_msgq_rx_thread(int irq, void *data)
{
	struct gh_msgq *msgq = data;
	bool more = true;
	size_t size;
	s64 error;

	while (more) {
		error = gh_hyp_msgq_recv(msgq->rx_capid, msgq->rx_buffer, GH_RM_MSG_SIZE, &size,
					 &more);
		if (error == GH_ERROR_MSGQ_EMPTY)
			break;
		if (error != GH_ERROR_OK) {
			dev_err_ratelimited(msgq->dev, "message queue: receive: error %lld\n",
					    error);
			break;
		}
		trace_gunyah_msgq_receive(size, more);
		if (size <= GH_RM_MSG_SIZE)
			msgq->recv(msgq->ctx, msgq->rx_buffer, size);
		cond_resched();
	}
	return IRQ_HANDLED;
}

int gh_msgq_send(struct gh_msgq *msgq, const void *data, size_t size, bool push,
		 unsigned long deadline)
{
	s64 error;

	for (;;) {
		/* Before the try: an interrupt that comes from here on is not missed. */
		smp_store_mb(msgq->tx_room, false);
		error = gh_hyp_msgq_send(msgq->tx_capid, size, data, push ? GH_MSGQ_PUSH : 0);
		trace_gunyah_msgq_send(size, push, error);
		if (error != GH_ERROR_MSGQ_FULL)
			return gh_error_to_errno(error);
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		wait_event_timeout(msgq->tx_wait, READ_ONCE(msgq->tx_room),
				   msecs_to_jiffies(GH_MSGQ_RETRY_MS));
	}
}

void gh_msgq_kick(struct gh_msgq *msgq)
{
	irq_wake_thread(msgq->rx_irq, msgq);
}

/* The node's platform device has no resources: cells of `reg` are capability ids, not addresses. */
static int gh_msgq_read_node(struct gh_msgq *msgq, int irq[2])
{
	struct device_node *node = msgq->dev->of_node;
	int i;

	if (of_property_read_u64_index(node, "reg", 0, &msgq->tx_capid) ||
	    of_property_read_u64_index(node, "reg", 1, &msgq->rx_capid))
		return dev_err_probe(msgq->dev, -ENODEV,
				     "reg: two 64-bit capability ids expected\n");

	for (i = 0; i < 2; i++) {
		irq[i] = of_irq_get(node, i);
		if (irq[i] <= 0)
			return dev_err_probe(msgq->dev, irq[i] ?: -ENODEV, "interrupt %d\n", i);
	}
	return 0;
}

int gh_msgq_init(struct gh_msgq *msgq, struct device *dev, gh_msgq_recv_fn recv, void *ctx)
{
	int irq[2], ret;

	msgq->dev = dev;
	msgq->recv = recv;
	msgq->ctx = ctx;
	init_waitqueue_head(&msgq->tx_wait);
	ret = gh_msgq_read_node(msgq, irq);
	if (ret)
		return ret;
	msgq->rx_irq = irq[1];
	msgq->rx_buffer = devm_kzalloc(dev, GH_RM_MSG_SIZE, GFP_KERNEL);
	if (!msgq->rx_buffer)
		return -ENOMEM;

	ret = devm_request_irq(dev, irq[0], gh_msgq_tx_irq, IRQF_TRIGGER_RISING, "gunyah-rm-tx",
			       msgq);
	if (ret)
		return dev_err_probe(dev, ret, "transmit interrupt\n");
	ret = devm_request_threaded_irq(dev, irq[1], NULL, gh_msgq_rx_thread,
					IRQF_TRIGGER_RISING | IRQF_ONESHOT, "gunyah-rm-rx", msgq);
	if (ret)
		return dev_err_probe(dev, ret, "receive interrupt\n");
	/* What came before the interrupt was ours has no edge left to tell of it. */
	gh_msgq_kick(msgq);
	return 0;
}
