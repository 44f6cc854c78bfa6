/* SPDX-License-Identifier: GPL-2.0-only */
/* Talking with the resource manager: packets as one likes them, requests, and what comes back. */
#ifndef CONFORMANCE_RPC_H
#define CONFORMANCE_RPC_H

#include <linux/of.h>
#include <linux/irqdomain.h>

#include "call.h"
#include "report.h"

#define REPLY_MAX 4096
#define WAIT_MS	  30000 /* for what must come: what is missing then has not come at all */

struct reply {
	u16 seq;
	u32 id;
	u32 error;
	size_t size; /* of the data, without the error word */
	u8 data[REPLY_MAX];
};

struct notice {
	u32 id;
	size_t size;
	u8 data[64];
};

struct rm {
	u64 tx_cap, rx_cap;
	int tx_irq, rx_irq;
	atomic_t tx_irqs, rx_irqs; /* how often each came */
	struct fwnode_handle *gic;
	bool dead;     /* it did not answer in time */
	bool survives; /* what ends upstream's resource manager may be tried */
};
extern struct rm rm;

/* Both interrupts counted from here on. Errors: errno. */
int rpc_open(struct device_node *node);
void rpc_close(void);

/* One packet as it is; sleeps while the queue is full. The value is the hypervisor's error. */
s64 packet_send(const void *packet, size_t size);
/* A packet of the given first two bytes. */
s64 packet(u8 api, u8 type, u16 seq, u32 id, const void *data, size_t size);

u16 next_seq(void);

/* Takes everything that has come from the queue, replies and notifications. */
void pump(void);

/* A request in as many fragments as it needs; its sequence number. */
u16 request(u32 id, const void *data, size_t size);
/* The reply with this number, or NULL; it lives until some more have come. */
const struct reply *await(u16 seq, unsigned int ms);
/* The same without waiting. */
const struct reply *seen(u16 seq);

/* A request and its reply's error word; RM_SILENT when there is none. */
u32 rm_call(u32 id, const void *data, size_t size, const struct reply **reply);
u32 rm_vm_call(u32 id, u16 vmid); /* the requests that name a VM and nothing else */
u32 rm_state(u16 vmid);		  /* of a VM; RM_SILENT and others: the error, plus 0x100 */

/* Notifications are kept in order; the number of those so far is a place to look from. */
unsigned int notices(void);
const struct notice *notice(unsigned int number); /* NULL: none yet, or too old */
/* The first one since `from` with this id whose first half-word is the VMID. NULL: not in time. */
const struct notice *await_notice(unsigned int from, u32 id, u16 vmid, unsigned int ms);
/* Waits for VM_STATUS with this state. */
bool await_state(unsigned int from, u16 vmid, u8 state, unsigned int ms);

/* Waits until a counter of interrupts is no longer what it was; false: it never was. */
bool irq_came(const atomic_t *count, int before);

u32 get32(const void *data);
u16 get16(const void *data);

#endif
