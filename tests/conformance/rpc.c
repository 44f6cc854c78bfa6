// SPDX-License-Identifier: GPL-2.0-only
/* The message queue by polling, fragments put together, replies and notifications kept in two rings. */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/of_irq.h>
#include <linux/slab.h>
#include <asm/unaligned.h>

#include "rpc.h"

#define REPLIES 16
#define NOTICES 128

struct rm rm;

static struct reply replies[REPLIES];
static unsigned int reply_count;
static struct notice notice_ring[NOTICES];
static unsigned int notice_count;

/* The message whose fragments are coming. */
static struct {
	struct gh_rm_header header;
	unsigned int left;
	size_t size;
	u8 data[REPLY_MAX];
} in;

/* In the kernel's image buffers would be outside the linear map's plain pages: these are kmalloced. */
static u8 *out_packet, *in_packet;

u32 get32(const void *data)
{
	return get_unaligned_le32(data);
}

u16 get16(const void *data)
{
	return get_unaligned_le16(data);
}

/* --- Interrupts --- */

static irqreturn_t count_irq(int irq, void *counter)
{
	atomic_inc(counter);
	return IRQ_HANDLED;
}

bool irq_came(const atomic_t *count, int before)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);

	while (atomic_read(count) == before) {
		if (time_after(jiffies, end))
			return false;
		usleep_range(100, 300);
	}
	return true;
}

int rpc_open(struct device_node *node)
{
	struct of_phandle_args parent;
	int ret;

	out_packet = kmalloc(1024, GFP_KERNEL);
	in_packet = kmalloc(1024, GFP_KERNEL);
	if (!out_packet || !in_packet)
		return -ENOMEM;
	if (of_property_read_u64_index(node, "reg", 0, &rm.tx_cap) ||
	    of_property_read_u64_index(node, "reg", 1, &rm.rx_cap))
		return -ENODEV;
	rm.tx_irq = of_irq_get(node, 0);
	rm.rx_irq = of_irq_get(node, 1);
	if (rm.tx_irq <= 0 || rm.rx_irq <= 0 || of_irq_parse_one(node, 0, &parent))
		return -ENODEV;
	rm.gic = of_node_to_fwnode(parent.np);
	ret = request_irq(rm.tx_irq, count_irq, IRQF_TRIGGER_RISING, "rm-tx", &rm.tx_irqs);
	if (ret)
		return ret;
	ret = request_irq(rm.rx_irq, count_irq, IRQF_TRIGGER_RISING, "rm-rx", &rm.rx_irqs);
	if (ret)
		free_irq(rm.tx_irq, &rm.tx_irqs);
	return ret;
}

void rpc_close(void)
{
	free_irq(rm.rx_irq, &rm.rx_irqs);
	free_irq(rm.tx_irq, &rm.tx_irqs);
	kfree(out_packet);
	kfree(in_packet);
}

/* --- In --- */

static void keep(void)
{
	if ((in.header.type & GH_RM_TYPE_MASK) == GH_RM_TYPE_NOTIFICATION) {
		struct notice *n = &notice_ring[notice_count++ % NOTICES];

		n->id = le32_to_cpu(in.header.id);
		n->size = min(in.size, sizeof(n->data));
		memcpy(n->data, in.data, n->size);
	} else if (in.size >= sizeof(u32)) {
		struct reply *r = &replies[reply_count++ % REPLIES];

		r->seq = le16_to_cpu(in.header.seq);
		r->id = le32_to_cpu(in.header.id);
		r->error = get32(in.data);
		r->size = in.size - sizeof(u32);
		memcpy(r->data, in.data + sizeof(u32), r->size);
	}
}

static void take_packet(const u8 *packet, size_t size)
{
	struct gh_rm_header h;

	if (size < sizeof(h))
		return;
	memcpy(&h, packet, sizeof(h));
	size -= sizeof(h);
	if ((h.type & GH_RM_TYPE_MASK) != GH_RM_TYPE_CONTINUATION) {
		in.header = h;
		in.left = h.type >> GH_RM_FRAGMENTS_SHIFT;
		in.size = 0;
	} else if (in.left) {
		in.left--;
	} else {
		return;
	}
	size = min(size, sizeof(in.data) - in.size);
	memcpy(in.data + in.size, packet + sizeof(h), size);
	in.size += size;
	if (!in.left)
		keep();
}

void pump(void)
{
	u64 more = 1;
	size_t size;

	while (more && hyp_msgq_receive(rm.rx_cap, in_packet, GH_RM_MSG_SIZE, &size, &more) == 0)
		take_packet(in_packet, min_t(size_t, size, GH_RM_MSG_SIZE));
}

const struct reply *seen(u16 seq)
{
	unsigned int i;

	for (i = reply_count; i && reply_count - i < REPLIES; i--)
		if (replies[(i - 1) % REPLIES].seq == seq)
			return &replies[(i - 1) % REPLIES];
	return NULL;
}

const struct reply *await(u16 seq, unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	const struct reply *r;
	bool over;

	do {
		over = time_after(jiffies, end);
		pump();
		r = seen(seq);
		if (r)
			return r;
		usleep_range(100, 300);
	} while (!over);
	return NULL;
}

/* --- Out --- */

u16 next_seq(void)
{
	static u16 seq = 0x100;

	return seq++;
}

s64 packet_send(const void *packet, size_t size)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);
	s64 error;

	memcpy(out_packet, packet, size);
	for (;;) {
		error = hyp_msgq_send(rm.tx_cap, size, out_packet, GH_MSGQ_PUSH, NULL);
		if (error != GH_ERROR_MSGQ_FULL || time_after(jiffies, end))
			return error;
		usleep_range(100, 300);
	}
}

s64 packet(u8 api, u8 type, u16 seq, u32 id, const void *data, size_t size)
{
	u8 buffer[GH_RM_MSG_SIZE];
	struct gh_rm_header h = {
		.api = api,
		.type = type,
		.seq = cpu_to_le16(seq),
		.id = cpu_to_le32(id),
	};

	memcpy(buffer, &h, sizeof(h));
	memcpy(buffer + sizeof(h), data, size);
	return packet_send(buffer, sizeof(h) + size);
}

u16 request(u32 id, const void *data, size_t size)
{
	unsigned int fragments = size ? (size - 1) / GH_RM_PAYLOAD : 0;
	u8 count = fragments << GH_RM_FRAGMENTS_SHIFT;
	u16 seq = next_seq();
	unsigned int i;

	for (i = 0; i <= fragments; i++) {
		size_t part = min_t(size_t, size, GH_RM_PAYLOAD);

		packet(GH_RM_API, count | (i ? GH_RM_TYPE_CONTINUATION : GH_RM_TYPE_REQUEST), seq,
		       id, data, part);
		data += part;
		size -= part;
	}
	return seq;
}

u32 rm_call(u32 id, const void *data, size_t size, const struct reply **reply)
{
	const struct reply *r;

	if (reply)
		*reply = NULL;
	if (rm.dead)
		return RM_SILENT;
	r = await(request(id, data, size), WAIT_MS);
	if (!r) {
		rm.dead = true;
		return RM_SILENT;
	}
	if (reply)
		*reply = r;
	return r->error;
}

u32 rm_vm_call(u32 id, u16 vmid)
{
	struct gh_rm_vmid request = { .vmid = cpu_to_le16(vmid) };

	return rm_call(id, &request, sizeof(request), NULL);
}

u32 rm_state(u16 vmid)
{
	struct gh_rm_vmid request = { .vmid = cpu_to_le16(vmid) };
	const struct reply *r;
	u32 error = rm_call(GH_RM_VM_GET_STATE, &request, sizeof(request), &r);

	if (error)
		return error + 0x100;
	return r->size == sizeof(u32) ? r->data[0] : 0xff;
}

/* --- Notifications --- */

unsigned int notices(void)
{
	pump();
	return notice_count;
}

const struct notice *notice(unsigned int number)
{
	if (number >= notice_count || notice_count - number > NOTICES)
		return NULL;
	return &notice_ring[number % NOTICES];
}

static const struct notice *find_notice(unsigned int from, u32 id, u16 vmid, int state)
{
	const struct notice *n;

	for (; (n = notice(from)); from++)
		if (n->id == id && n->size >= 5 && get16(n->data) == vmid &&
		    (state < 0 || n->data[4] == state))
			return n;
	return NULL;
}

static const struct notice *wait_notice(unsigned int from, u32 id, u16 vmid, int state,
					unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);
	const struct notice *n;
	bool over;

	do {
		over = time_after(jiffies, end);
		pump();
		n = find_notice(from, id, vmid, state);
		if (n)
			return n;
		usleep_range(200, 500);
	} while (!over);
	return NULL;
}

const struct notice *await_notice(unsigned int from, u32 id, u16 vmid, unsigned int ms)
{
	return wait_notice(from, id, vmid, -1, ms);
}

bool await_state(unsigned int from, u16 vmid, u8 state, unsigned int ms)
{
	return wait_notice(from, GH_RM_NOTIFY_VM_STATUS, vmid, state, ms);
}
