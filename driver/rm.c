// SPDX-License-Identifier: GPL-2.0-only
/*
 * RPC with the resource manager: framing, fragments in both directions, replies matched to
 * requests, notifications.
 *
 * Locking: call_lock (mutex) is held from the first fragment of a request until its reply or its
 * deadline; the RM works on one request at a time and may drop a second reply, so nothing is lost
 * by sending one at a time. lock (spinlock, inside call_lock) protects the pointer to the waiting
 * call, which the receive thread completes. The receive thread takes neither mutex nor call_lock:
 * notifications come while a request waits.
 */
#include <linux/moduleparam.h>
#include <linux/of.h>
#include <linux/of_irq.h>

#include "compat.h"
#include "rm.h"
#include "trace.h"
#include "vm.h"

static unsigned int rpc_timeout_ms = 60000;
module_param(rpc_timeout_ms, uint, 0644);
MODULE_PARM_DESC(rpc_timeout_ms, "how long to wait for an answer of the resource manager");

/* While a reply is missing, the queue is looked at this often, in case an interrupt was lost. */
#define GH_RM_KICK_MS 500

/* So many requests that were given up are remembered; the oldest is forgotten first. */
#define GH_RM_LOST_MAX 64

struct gh_rm_call {
	u32 id;
	u16 seq;
	struct completion done;
	void *reply; /* whole payload, error word first; NULL if memory was short */
	size_t size;
	/* Once its caller has given up: */
	struct list_head lost; /* in rm->lost, by rm->lock */
	struct gh_rm *rm;
	u16 vmid;     /* as in the request */
	bool granted; /* by the late reply */
	u32 value;    /* the word after its error word */
	struct work_struct work;
};

/*
 * The caller of this request gave up; what RM did for it must not be lost: a VMID goes back, and
 * what became of memory is told to the VM that it belongs to.
 */
static void gh_rm_late_work(struct work_struct *work)
{
	struct gh_rm_call *call = container_of(work, struct gh_rm_call, work);

	dev_warn(call->rm->dev, "message %#x: the answer came late\n", call->id);
	if (call->vmid)
		gh_vm_late_reply(call->rm, call->vmid, call->seq,
				 call->granted ? &call->value : NULL);
	else if (call->id == GH_RM_VM_ALLOCATE && call->granted)
		gh_rm_vm_deallocate(call->rm, (u16)call->value);
	kfree(call);
}

/* A reply that nobody waits for: of a request that was given up, or of none. */
static void gh_rm_late_reply(struct gh_rm *rm)
{
	const struct gh_rm_assembly *rx = &rm->rx;
	struct gh_rm_call *call, *next;
	bool found = false;
	__le32 words[2] = {};

	memcpy(words, rx->data, min(rx->size, sizeof(words)));
	spin_lock(&rm->lock);
	list_for_each_entry_safe(call, next, &rm->lost, lost) {
		found = call->id == rx->id && call->seq == rx->seq;
		if (found) {
			list_del(&call->lost);
			rm->lost_count--;
			break;
		}
	}
	spin_unlock(&rm->lock);
	if (!found)
		return;
	/* A reply that is cut short leaves things as they are: not known. */
	if (rx->size < sizeof(words[0])) {
		kfree(call);
		return;
	}
	call->granted = words[0] == cpu_to_le32(GH_RM_OK);
	call->value = rx->size < sizeof(words) ? GH_PARCEL_NONE : le32_to_cpu(words[1]);
	INIT_WORK(&call->work, gh_rm_late_work);
	queue_work(rm->wq, &call->work);
}

static void gh_rm_reply(struct gh_rm *rm)
{
	const struct gh_rm_assembly *rx = &rm->rx;
	void *reply = kmemdup(rx->data, rx->size, GFP_KERNEL);
	struct gh_rm_call *call;

	spin_lock(&rm->lock);
	call = rm->call;
	if (call && call->id == rx->id && call->seq == rx->seq) {
		rm->call = NULL;
		call->reply = reply;
		call->size = rx->size;
		reply = NULL;
		complete(&call->done);
		spin_unlock(&rm->lock);
		return;
	}
	spin_unlock(&rm->lock);
	kfree(reply);
	gh_rm_late_reply(rm);
}

static void gh_rm_message(struct gh_rm *rm)
{
	const struct gh_rm_assembly *rx = &rm->rx;

	trace_gunyah_rm_receive(rx);
	if (rx->type == GH_RM_TYPE_REPLY)
		gh_rm_reply(rm);
	else if (rx->type == GH_RM_TYPE_NOTIFICATION)
		gh_vm_notification(rm, rx->id, rx->data, rx->size);
}

static void gh_rm_receive(void *ctx, const void *data, size_t size)
{
	struct gh_rm *rm = ctx;

	if (gh_rm_assemble(&rm->rx, data, size))
		gh_rm_message(rm);
}

static int gh_rm_send(struct gh_rm *rm, const struct gh_rm_frame *frame)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(rpc_timeout_ms);
	unsigned int packets = gh_rm_packet_count(frame->size);
	unsigned int i;
	size_t size;
	int ret = 0;

	lockdep_assert_held(&rm->call_lock);
	for (i = 0; i < packets && !ret; i++) {
		size = gh_rm_packet(frame, i, rm->tx_buffer);
		ret = gh_msgq_send(&rm->msgq, rm->tx_buffer, size, i == packets - 1, deadline);
	}
	trace_gunyah_rm_send(frame, packets, ret);
	return ret;
}

static int gh_rm_wait(struct gh_rm *rm, struct gh_rm_call *call)
{
	unsigned long left = msecs_to_jiffies(rpc_timeout_ms);

	while (left) {
		unsigned long part = min(left, msecs_to_jiffies(GH_RM_KICK_MS));

		if (wait_for_completion_timeout(&call->done, part))
			return 0;
		gh_msgq_kick(&rm->msgq);
		left -= part;
	}
	return -ETIMEDOUT;
}

/*
 * Takes the call away from the receive thread; a reply that has come in the meantime is as good as
 * one in time. A call without one is kept on the list of the lost, so that its reply is known when
 * it comes; false then, and no longer ours.
 */
static bool gh_rm_finish(struct gh_rm *rm, struct gh_rm_call *call)
{
	struct gh_rm_call *oldest = NULL;

	scoped_guard(spinlock, &rm->lock) {
		if (!rm->call)
			return true;
		rm->call = NULL;
		call->rm = rm;
		list_add_tail(&call->lost, &rm->lost);
		if (++rm->lost_count > GH_RM_LOST_MAX) {
			oldest = list_first_entry(&rm->lost, struct gh_rm_call, lost);
			list_del(&oldest->lost);
			rm->lost_count--;
		}
	}
	kfree(oldest);
	return false;
}

static int gh_rm_check_reply(struct gh_rm_request *request, struct gh_rm_call *call, void **reply,
			     size_t *reply_size)
{
	__le32 error;
	int ret;

	if (!call->reply)
		return -ENOMEM;
	if (call->size < sizeof(error))
		return -EPROTO;
	memcpy(&error, call->reply, sizeof(error));
	request->error = le32_to_cpu(error);
	ret = gh_rm_error_to_errno(request->error);
	request->outcome = ret ? GH_RM_REFUSED : GH_RM_GRANTED;
	if (ret || !reply)
		return ret;
	*reply_size = call->size - sizeof(error);
	memmove(call->reply, call->reply + sizeof(error), *reply_size);
	*reply = no_free_ptr(call->reply);
	return 0;
}

int gh_rm_call(struct gh_rm *rm, struct gh_rm_request *request, void **reply, size_t *reply_size)
{
	struct gh_rm_frame frame = {
		.id = request->id,
		.payload = request->data,
		.size = request->size,
	};
	struct gh_rm_call *call;
	int ret;

	request->outcome = GH_RM_REFUSED;
	request->error = GH_RM_OK;
	if (request->size > GH_RM_REQUEST_MAX)
		return -E2BIG;
	call = kzalloc(sizeof(*call), GFP_KERNEL);
	if (!call)
		return -ENOMEM;
	call->id = request->id;
	call->vmid = request->vmid;
	init_completion(&call->done);

	guard(mutex)(&rm->call_lock);
	frame.seq = rm->seq++;
	request->seq = frame.seq;
	call->seq = frame.seq;
	scoped_guard(spinlock, &rm->lock)
		rm->call = call;
	ret = gh_rm_send(rm, &frame);
	if (ret) {
		/* RM forgets a message whose last fragment did not come. */
		scoped_guard(spinlock, &rm->lock)
			rm->call = NULL;
		dev_err_ratelimited(rm->dev, "message %#x: not sent (%d)\n", request->id, ret);
		goto free;
	}
	request->outcome = GH_RM_UNKNOWN;
	ret = gh_rm_wait(rm, call);
	if (!gh_rm_finish(rm, call)) {
		dev_err_ratelimited(rm->dev, "message %#x: no answer (%d)\n", request->id, ret);
		return ret;
	}
	ret = gh_rm_check_reply(request, call, reply, reply_size);
free:
	kfree(call->reply);
	kfree(call);
	return ret;
}

static void gh_rm_destroy(void *data)
{
	struct gh_rm *rm = data;
	struct gh_rm_call *call, *next;

	list_for_each_entry_safe(call, next, &rm->lost, lost)
		kfree(call);
	xa_destroy(&rm->vms);
}

static void gh_rm_destroy_wq(void *data)
{
	destroy_workqueue(data);
}

/*
 * The interrupts that RM hands out belong to the interrupt controller that the node's own
 * interrupts go to.
 */
static int gh_rm_find_gic(struct gh_rm *rm)
{
	struct of_phandle_args irq;
	int ret = of_irq_parse_one(rm->dev->of_node, 0, &irq);

	if (ret)
		return dev_err_probe(rm->dev, ret, "no interrupt controller\n");
	rm->gic = of_node_to_fwnode(irq.np);
	of_node_put(irq.np);
	return 0;
}

struct gh_rm *gh_rm_create(struct device *dev)
{
	struct gh_rm *rm = devm_kzalloc(dev, sizeof(*rm), GFP_KERNEL);
	int ret;

	if (!rm)
		return ERR_PTR(-ENOMEM);
	rm->dev = dev;
	rm->tx_buffer = devm_kzalloc(dev, GH_RM_MSG_SIZE, GFP_KERNEL);
	rm->rx.data = devm_kzalloc(dev, GH_RM_MESSAGE_MAX, GFP_KERNEL);
	if (!rm->tx_buffer || !rm->rx.data)
		return ERR_PTR(-ENOMEM);
	mutex_init(&rm->call_lock);
	spin_lock_init(&rm->lock);
	INIT_LIST_HEAD(&rm->lost);
	xa_init(&rm->vms);
	ret = devm_add_action_or_reset(dev, gh_rm_destroy, rm);
	if (ret)
		return ERR_PTR(ret);
	ret = gh_rm_find_gic(rm);
	if (ret)
		return ERR_PTR(ret);
	/*
	 * Works use the queues and the receive thread uses the works: the workqueue is made first
	 * and goes last.
	 */
	rm->wq = alloc_workqueue("gunyah", WQ_UNBOUND, 0);
	if (!rm->wq)
		return ERR_PTR(-ENOMEM);
	ret = devm_add_action_or_reset(dev, gh_rm_destroy_wq, rm->wq);
	if (ret)
		return ERR_PTR(ret);
	ret = gh_msgq_init(&rm->msgq, dev, gh_rm_receive, rm);
	return ret ? ERR_PTR(ret) : rm;
}
