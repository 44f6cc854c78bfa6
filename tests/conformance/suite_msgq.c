// SPDX-License-Identifier: GPL-2.0-only
/* Section 1.7: sending and receiving with wrong arguments, thresholds, and full queues. */
#include <linux/delay.h>
#include <linux/slab.h>

#include "rpc.h"
#include "suite.h"

#define NO_ADDRESS 0x1000ull /* nothing is mapped so low */

static const char swallowed[] = "an error of the copy is lost";

/* A request whose reply stays in the queue until somebody takes it. */
static u16 ask(void)
{
	return request(GH_RM_VM_GET_VMID, NULL, 0);
}

static void send_errors(void)
{
	struct regs r;
	u8 *buffer = kzalloc(1024, GFP_KERNEL);
	u64 not_full = 2;

	expect_hyp_but("send: size 0", GH_ERROR_ARG_SIZE,
		       hyp_msgq_send(rm.tx_cap, 0, buffer, 0, NULL), GH_ERROR_OK, swallowed);
	expect_hyp_but("send: size 241", GH_ERROR_ARG_SIZE,
		       hyp_msgq_send(rm.tx_cap, GH_RM_MSG_SIZE + 1, buffer, 0, NULL), GH_ERROR_OK,
		       swallowed);
	expect_hyp_but("send: size of all ones", GH_ERROR_ARG_SIZE,
		       hyp_msgq_send(rm.tx_cap, ~0ull, buffer, 0, NULL), GH_ERROR_OK, swallowed);
	expect_no_cap("send: no capability", hyp_msgq_send(NO_CAP, 8, buffer, 0, NULL));
	expect_no_cap("send: the invalid capability",
		      hyp_msgq_send(GH_CAPID_INVALID, 8, buffer, 0, NULL));
	expect_hyp("send: a capability to receive", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   hyp_msgq_send(rm.rx_cap, 8, buffer, 0, NULL));
	expect_either("send: a buffer that is not mapped", GH_ERROR_OK, GH_ERROR_ADDR_INVALID,
		      hyp_msgq_send(rm.tx_cap, 8, (void *)NO_ADDRESS, 0, NULL));
	expect_hyp("send: a packet that is dropped", GH_ERROR_OK,
		   hyp_msgq_send(rm.tx_cap, 4, buffer, GH_MSGQ_PUSH, &not_full));
	expect_either("send: not_full is 0 or 1", 0, 1, not_full);
	expect_hyp("doorbell send: a message queue's capability", GH_ERROR_CSPACE_WRONG_OBJ_TYPE,
		   HYPERCALL(&r, GH_CALL_DOORBELL_SEND, rm.tx_cap, 1));
	expect_hyp("vcpu_run: a message queue's capability", GH_ERROR_CSPACE_WRONG_OBJ_TYPE,
		   HYPERCALL(&r, GH_CALL_VCPU_RUN, rm.tx_cap));
	kfree(buffer);
}

static void receive_errors(void)
{
	u8 *buffer = kzalloc(1024, GFP_KERNEL);
	u64 more = 2;
	size_t size = 0;
	int irqs;

	pump();
	expect_hyp("receive: an empty queue", GH_ERROR_MSGQ_EMPTY,
		   hyp_msgq_receive(rm.rx_cap, buffer, 240, &size, &more));
	expect_no_cap("receive: no capability",
		      hyp_msgq_receive(NO_CAP, buffer, 240, &size, &more));
	expect_hyp("receive: a capability to send", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   hyp_msgq_receive(rm.tx_cap, buffer, 240, &size, &more));

	irqs = atomic_read(&rm.rx_irqs);
	ask();
	expect("receive: the interrupt of a message", 1, irq_came(&rm.rx_irqs, irqs));
	expect_hyp_but("receive: a buffer smaller than the message", GH_ERROR_ARG_SIZE,
		       hyp_msgq_receive(rm.rx_cap, buffer, 8, &size, &more), GH_ERROR_OK,
		       swallowed);
	expect_hyp("receive: the message is still there", GH_ERROR_OK,
		   hyp_msgq_receive(rm.rx_cap, buffer, 240, &size, &more));
	expect("receive: its size", 16, size);
	expect("receive: not_empty after the last", 0, more);

	irqs = atomic_read(&rm.rx_irqs);
	ask();
	irq_came(&rm.rx_irqs, irqs);
	expect_either("receive: a buffer that is not mapped", GH_ERROR_OK, GH_ERROR_ADDR_INVALID,
		      hyp_msgq_receive(rm.rx_cap, (void *)NO_ADDRESS, 240, &size, &more));
	pump();
	kfree(buffer);
}

/* 8 in the queue, one reply held back: more than those may be lost, but never the last. */
static void full_queue(void)
{
	const struct reply *r = NULL;
	unsigned int i, got = 0;
	u16 seq[10];

	pump();
	for (i = 0; i < ARRAY_SIZE(seq); i++) {
		seq[i] = ask();
		msleep(30);
	}
	for (i = 0; i < ARRAY_SIZE(seq); i++) {
		/* Only the ninth may be lost. */
		r = await(seq[i], i == 8 ? 300 : WAIT_MS);
		got += r != NULL;
	}
	expect("replies to 10 requests, nothing received: the 10th", 1, r != NULL);
	expect_either("replies to 10 requests, nothing received: count", 9, 10, got);
}

#define CONFIGURE(n, cap, threshold, delay, last) HYPERCALL(&r, n, cap, threshold, delay, last)

static void thresholds(void)
{
	const u64 same = ~0ull;
	struct regs r;
	s64 error;

	error = CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.tx_cap, same, same, same);
	if (error == GH_ERROR_CSPACE_INSUF_RIGHTS) {
		skip("thresholds", "the primary may not configure its queues");
		return;
	}
	expect_hyp("configure send: all unchanged", GH_ERROR_OK, error);
	expect_hyp("configure send: threshold 7", GH_ERROR_OK,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.tx_cap, 7, same, same));
	expect_hyp("configure send: threshold 8", GH_ERROR_ARG_INVALID,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.tx_cap, 8, same, same));
	expect_hyp("configure send: a delay", GH_ERROR_UNIMPLEMENTED,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.tx_cap, 7, 1, same));
	expect_either("configure send: reserved argument 0", GH_ERROR_ARG_INVALID, GH_ERROR_OK,
		      CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.tx_cap, 7, same, 0));
	expect_hyp("configure receive: all unchanged", GH_ERROR_OK,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, same, same, same));
	expect_hyp("configure receive: threshold 0", GH_ERROR_ARG_INVALID,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, 0, same, same));
	expect_hyp("configure receive: threshold 9", GH_ERROR_ARG_INVALID,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, 9, same, same));
	expect_hyp("configure receive: a delay", GH_ERROR_UNIMPLEMENTED,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, same, 1, same));
	expect_hyp("configure receive: threshold -2, the depth", GH_ERROR_OK,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, ~1ull, same, same));
	expect_hyp("configure receive: threshold 1 again", GH_ERROR_OK,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_RECV, rm.rx_cap, 1, same, same));
	expect_hyp("configure send: a capability to receive", GH_ERROR_CSPACE_INSUF_RIGHTS,
		   CONFIGURE(GH_CALL_MSGQ_CONFIGURE_SEND, rm.rx_cap, 7, same, same));
}

void suite_msgq(void)
{
	send_errors();
	receive_errors();
	full_queue();
	thresholds();
}
