// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs: the fd, the run page, and the loop that lets the hypervisor run the vCPU on the caller's
 * time.
 *
 * Locking: vcpu->run_lock (mutex) is held by the one thread inside GH_VCPU_RUN and protects the
 * resource, the pending exit and the run page; vm->lock is outside it. `gone` and `woken` are
 * written without it. A round trip takes no other lock and allocates nothing. vcpu->node is on
 * vm->vcpus by vm->state_lock.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "hypercall.h"
#include "trace.h"
#include "vm.h"

/* How long after a vCPU's end the RM may take to say how the VM ended. */
#define GH_VCPU_END_WAIT (2 * HZ)
/* A vCPU that reports a reset must be run on until the RM has acted; no interrupt tells when. */
#define GH_VCPU_RESET_WAIT (HZ / 50)
/* How often a vCPU that is off looks whether it still is, or the RM has said something. */
#define GH_VCPU_OFF_LOOK (HZ / 2)
/* All vCPUs off for so long, the RM has had its time to say that the VM has ended. */
#define GH_VCPU_ALL_OFF (2 * HZ)

enum gh_vcpu_pending {
	GH_PENDING_NONE,
	GH_PENDING_READ, /* user space owes the data of a read */
	GH_PENDING_DOWN, /* STATUS was told and stays true */
};

struct gh_vcpu {
	struct kref ref;  /* the function and the file */
	struct gh_vm *vm; /* valid while the file is open, or the function bound */
	u32 id;
	bool v8; /* RUN starts the VM, and immediate_exit is no error */
	struct gh_ticket ticket;
	struct list_head node;

	struct mutex run_lock; /* held in GH_VCPU_RUN; protects all down to `gone` */
	struct gh_resource *resource;
	char irq_name[32];
	struct gh_vcpu_run *run; /* the page that user space maps */
	enum gh_vcpu_pending pending;
	u32 read_len; /* ours, whatever the page says */
	u64 resume[2];
	u32 down_status;
	struct gh_vm_exit_info down_info;

	/* Written by the running thread, read by its siblings under vm->state_lock. */
	u16 off;		 /* how the last result said that the vCPU is off; 0: not */
	unsigned long off_since; /* jiffies, of the first such result and of the last */
	unsigned long off_seen;

	bool gone;  /* the function was removed */
	bool woken; /* latch: wake-up interrupt, or something to look at */
	wait_queue_head_t wait;
	struct gh_vcpu_stats stats; /* written by the running thread, read by anyone */
	atomic64_t wakeup_irqs;
};

static void gh_vcpu_free(struct kref *ref)
{
	struct gh_vcpu *vcpu = container_of(ref, struct gh_vcpu, ref);

	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
}

static void gh_vcpu_put(struct gh_vcpu *vcpu)
{
	kref_put(&vcpu->ref, gh_vcpu_free);
}

static void gh_vcpu_wake(struct gh_vcpu *vcpu)
{
	/* What the vCPU is woken for was written before; see the order in gh_vcpu_step. */
	smp_store_release(&vcpu->woken, true);
	wake_up(&vcpu->wait);
}

void gh_vcpus_wake(struct gh_vm *vm)
{
	struct gh_vcpu *vcpu;

	lockdep_assert_held(&vm->state_lock);
	list_for_each_entry(vcpu, &vm->vcpus, node)
		gh_vcpu_wake(vcpu);
}

static irqreturn_t gh_vcpu_irq(int irq, void *data)
{
	struct gh_vcpu *vcpu = data;

	atomic64_inc(&vcpu->wakeup_irqs);
	gh_vcpu_wake(vcpu);
	return IRQ_HANDLED;
}

/* One writer: a plain addition, made in one store for those who look on. */
static void gh_count(u64 *counter, u64 add)
{
	WRITE_ONCE(*counter, *counter + add);
}

/* --- The run loop. Its steps return 0 to go on, 1 to tell user space, or an error. --- */

static int gh_vcpu_exit_down(struct gh_vcpu *vcpu)
{
	if (vcpu->pending != GH_PENDING_DOWN) {
		vcpu->pending = GH_PENDING_DOWN;
		gh_vm_read_exit(vcpu->vm, &vcpu->down_status, &vcpu->down_info);
		gh_count(&vcpu->stats.status, 1);
	}
	vcpu->run->exit_reason = GH_VCPU_EXIT_STATUS;
	vcpu->run->status.status = vcpu->down_status;
	vcpu->run->status.exit_info = vcpu->down_info;
	return 1;
}

static int gh_vcpu_sleep(struct gh_vcpu *vcpu, long timeout)
{
	long ret = wait_event_interruptible_timeout(vcpu->wait, READ_ONCE(vcpu->woken), timeout);

	return ret < 0 ? -ERESTARTSYS : 0;
}

/*
 * Whether every vCPU has been seen off again since the last of them went: then none of them was
 * switched on by that one, and none ever will be. Gives the type of the exit.
 */
static u16 gh_vcpus_all_off(struct gh_vm *vm)
{
	u16 type = GH_RM_EXIT_PSCI_SYSTEM_OFF;
	struct gh_vcpu *vcpu, *other;

	guard(spinlock)(&vm->state_lock);
	list_for_each_entry(vcpu, &vm->vcpus, node) {
		if (!READ_ONCE(vcpu->off))
			return 0;
		list_for_each_entry(other, &vm->vcpus, node)
			if (time_before(other->off_seen,
					READ_ONCE(vcpu->off_since) + GH_VCPU_ALL_OFF))
				return 0;
		type = max(type, vcpu->off);
	}
	return type;
}

static void gh_vcpu_set_off(struct gh_vcpu *vcpu, u16 type)
{
	struct gh_vm *vm = vcpu->vm;

	scoped_guard(spinlock, &vm->state_lock) {
		vcpu->off_seen = jiffies;
		if (!vcpu->off)
			vcpu->off_since = vcpu->off_seen;
		vcpu->off = max(vcpu->off, type);
	}
	type = gh_vcpus_all_off(vm);
	if (type)
		gh_vm_off(vm, type);
}

/*
 * A vCPU that is off waits for a sibling to switch it on, or for the RM to say that the VM has
 * ended. Either word may have come without an interrupt: the queue is looked at now and then, and
 * the vCPU run again, which leaves it as it is if it is still off.
 */
static int gh_vcpu_sleep_off(struct gh_vcpu *vcpu)
{
	long ret;

	gh_vcpu_set_off(vcpu, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	ret = wait_event_interruptible_timeout(vcpu->wait, READ_ONCE(vcpu->woken),
					       GH_VCPU_OFF_LOOK);
	if (!ret)
		gh_msgq_kick(&vcpu->vm->rm->msgq);
	else if (ret > 0)
		WRITE_ONCE(vcpu->off_since, jiffies); /* perhaps it was switched on */
	return ret < 0 ? -ERESTARTSYS : 0;
}

/* Told again and again until the RM has ended the VM; no interrupt says when. */
static int gh_vcpu_sleep_reset(struct gh_vcpu *vcpu, const struct gh_vcpu_result *result)
{
	gh_vcpu_set_off(vcpu, result->data[0] >> 63 ? GH_RM_EXIT_PSCI_SYSTEM_RESET
						    : GH_RM_EXIT_PSCI_SYSTEM_RESET2);
	return gh_vcpu_sleep(vcpu, GH_VCPU_RESET_WAIT);
}

/*
 * A fault is the end, but why the VM ended is the RM's to say; if it does not, the state reads as a
 * crash.
 */
static int gh_vcpu_fault(struct gh_vcpu *vcpu)
{
	long ret = wait_event_interruptible_timeout(vcpu->wait,
						    gh_vm_state(vcpu->vm) != GH_RM_VM_STATE_RUNNING,
						    GH_VCPU_END_WAIT);

	return ret < 0 ? -ERESTARTSYS : gh_vcpu_exit_down(vcpu);
}

static int gh_vcpu_mmio(struct gh_vcpu *vcpu, const struct gh_vcpu_result *result, bool write)
{
	struct gh_vcpu_run *run = vcpu->run;
	u64 len = result->data[1];

	if (len != 1 && len != 2 && len != 4 && len != 8)
		return -EIO;
	gh_count(write ? &vcpu->stats.mmio_write : &vcpu->stats.mmio_read, 1);
	if (write && gh_io_write(vcpu->vm, result->data[0], (u32)len, result->data[2])) {
		gh_count(&vcpu->stats.mmio_kernel, 1);
		return 0;
	}
	run->exit_reason = GH_VCPU_EXIT_MMIO;
	run->mmio.phys_addr = result->data[0];
	run->mmio.len = (u32)len;
	run->mmio.is_write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write) {
		memcpy(run->mmio.data, &result->data[2], len);
	} else {
		vcpu->pending = GH_PENDING_READ;
		vcpu->read_len = (u32)len;
	}
	return 1;
}

static int gh_vcpu_handle(struct gh_vcpu *vcpu, const struct gh_vcpu_result *result)
{
	struct gh_vcpu_stats *stats = &vcpu->stats;

	switch (result->state) {
	case GH_VCPU_READY:
		gh_count(&stats->ready, 1);
		cond_resched();
		return 0;
	case GH_VCPU_EXPECTS_WAKEUP:
		gh_count(&stats->wakeup, 1);
		return gh_vcpu_sleep(vcpu, MAX_SCHEDULE_TIMEOUT);
	case GH_VCPU_POWERED_OFF:
		gh_count(&stats->powered_off, 1);
		return gh_vcpu_sleep_off(vcpu);
	case GH_VCPU_BLOCKED:
		gh_count(&stats->blocked, 1);
		schedule();
		return 0;
	case GH_VCPU_ADDRSPACE_VMMIO_READ:
		return gh_vcpu_mmio(vcpu, result, false);
	case GH_VCPU_ADDRSPACE_VMMIO_WRITE:
		return gh_vcpu_mmio(vcpu, result, true);
	case GH_VCPU_ADDRSPACE_PAGE_FAULT:
		/*
		 * Nothing is there and nothing will be: the guest gets the abort that bare metal
		 * would give it.
		 */
		gh_count(&stats->page_fault, 1);
		vcpu->resume[0] = GH_RESUME_FAULT;
		return 0;
	case GH_VCPU_PSCI_SYSTEM_RESET:
		gh_count(&stats->status, 1);
		return gh_vcpu_sleep_reset(vcpu, result);
	case GH_VCPU_FAULT:
		return gh_vcpu_fault(vcpu);
	default:
		pr_warn_ratelimited("gunyah: vCPU %u: unknown state %llu\n", vcpu->id,
				    result->state);
		schedule();
		return 0;
	}
}

static int gh_vcpu_step(struct gh_vcpu *vcpu)
{
	struct gh_vcpu_result result = {};
	u64 begin;
	s64 error;

	lockdep_assert_held(&vcpu->run_lock);
	/*
	 * Before the call: a wake-up that comes from here on, even while the call returns, is not
	 * missed.
	 */
	smp_store_mb(vcpu->woken, false);
	if (READ_ONCE(vcpu->gone))
		return -ENODEV;
	if (gh_vm_state(vcpu->vm) != GH_RM_VM_STATE_RUNNING)
		return gh_vcpu_exit_down(vcpu);
	if (READ_ONCE(vcpu->run->immediate_exit))
		return vcpu->v8 ? 1 : -EINTR;
	if (signal_pending(current))
		return -ERESTARTSYS;

	trace_gunyah_vcpu_run(vcpu->vm->vmid, vcpu->id, vcpu->resume[0], vcpu->resume[1]);
	begin = ktime_get_ns();
	error = gh_hyp_vcpu_run(vcpu->resource->capid, vcpu->resume, &result);
	gh_count(&vcpu->stats.run_ns, ktime_get_ns() - begin);
	gh_count(&vcpu->stats.runs, 1);
	trace_gunyah_vcpu_exit(vcpu->vm->vmid, vcpu->id, error, result.state, result.data);
	if (error == GH_ERROR_RETRY || error == GH_ERROR_BUSY) {
		/*
		 * BUSY: the RM is inside, unwinding a vCPU of a VM that ends. The resume words
		 * still hold.
		 */
		gh_count(&vcpu->stats.retry, 1);
		schedule();
		return 0;
	}
	vcpu->resume[0] = 0;
	vcpu->resume[1] = 0;
	if (error == GH_ERROR_OK) {
		if (result.state != GH_VCPU_POWERED_OFF &&
		    result.state != GH_VCPU_PSCI_SYSTEM_RESET)
			WRITE_ONCE(vcpu->off, 0);
		return gh_vcpu_handle(vcpu, &result);
	}
	/*
	 * The VM's objects may be going away; then the state says so soon and is the better answer.
	 */
	gh_vcpu_sleep(vcpu, GH_VCPU_RESET_WAIT);
	if (gh_vm_state(vcpu->vm) != GH_RM_VM_STATE_RUNNING)
		return gh_vcpu_exit_down(vcpu);
	return gh_error_to_errno(error);
}

/* What user space owes from the last exit. */
static void gh_vcpu_resume(struct gh_vcpu *vcpu)
{
	lockdep_assert_held(&vcpu->run_lock);
	if (vcpu->pending != GH_PENDING_READ)
		return;
	vcpu->resume[0] = 0;
	memcpy(&vcpu->resume[0], vcpu->run->mmio.data, vcpu->read_len);
	vcpu->pending = GH_PENDING_NONE;
}

static int gh_vcpu_do_run(struct gh_vcpu *vcpu)
{
	int ret;

	/* In v8, the first to run a vCPU starts the VM. */
	if (vcpu->v8 && gh_vm_state(vcpu->vm) == GH_RM_VM_NONE) {
		ret = gh_vm_start(vcpu->vm);
		if (ret)
			return ret;
	}
	/* A START that is under way is waited for. */
	if (gh_vm_state(vcpu->vm) != GH_RM_VM_STATE_RUNNING) {
		if (mutex_lock_interruptible(&vcpu->vm->lock))
			return -ERESTARTSYS;
		mutex_unlock(&vcpu->vm->lock);
	}
	if (mutex_lock_interruptible(&vcpu->run_lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vcpu->run_lock);
	if (READ_ONCE(vcpu->gone) || !vcpu->resource)
		return -ENODEV;
	if (vcpu->pending == GH_PENDING_DOWN) {
		gh_vcpu_exit_down(vcpu);
		return 0;
	}
	gh_vcpu_resume(vcpu);
	vcpu->run->exit_reason = GH_VCPU_EXIT_UNKNOWN;
	do {
		ret = gh_vcpu_step(vcpu);
	} while (!ret);
	gh_count(&vcpu->stats.user_exits, 1);
	return min(ret, 0);
}

/* --- The file --- */

static int gh_vcpu_get_stats(struct gh_vcpu *vcpu, void __user *user)
{
	struct gh_vcpu_stats stats = vcpu->stats;

	stats.wakeup_irqs = atomic64_read(&vcpu->wakeup_irqs);
	stats.vm_injected = atomic64_read(&vcpu->vm->irqs_injected);
	return copy_to_user(user, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static long gh_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct gh_vcpu *vcpu = file->private_data;

	switch (cmd) {
	case GH_VCPU_RUN:
		return gh_vcpu_do_run(vcpu);
	case GH_VCPU_MMAP_SIZE:
		return PAGE_SIZE;
	case GH_VCPU_GET_STATS:
		return gh_vcpu_get_stats(vcpu, (void __user *)arg);
	default:
		return -EINVAL;
	}
}

static int gh_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct gh_vcpu *vcpu = file->private_data;

	if (vma->vm_pgoff || vma_pages(vma) != 1 || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return vm_insert_page(vma, vma->vm_start, virt_to_page(vcpu->run));
}

static int gh_vcpu_release(struct inode *inode, struct file *file)
{
	struct gh_vcpu *vcpu = file->private_data;
	struct gh_vm *vm = vcpu->vm;

	gh_vcpu_put(vcpu);
	gh_vm_put(vm);
	return 0;
}

static const struct file_operations gh_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = gh_vcpu_release,
	.unlocked_ioctl = gh_vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = gh_vcpu_mmap,
	.llseek = noop_llseek,
};

/* --- The function --- */

static bool gh_vcpu_populate(struct gh_ticket *ticket, struct gh_resource *resource)
{
	struct gh_vcpu *vcpu = container_of(ticket, struct gh_vcpu, ticket);

	guard(mutex)(&vcpu->run_lock);
	if (vcpu->resource || !resource->irq)
		return false;
	if (request_irq(resource->irq, gh_vcpu_irq, IRQF_TRIGGER_RISING, vcpu->irq_name, vcpu)) {
		pr_err("gunyah: vCPU %u: no interrupt %u\n", vcpu->id, resource->irq);
		return false;
	}
	vcpu->resource = resource;
	scoped_guard(spinlock, &vcpu->vm->state_lock)
		list_add_tail(&vcpu->node, &vcpu->vm->vcpus);
	return true;
}

static void gh_vcpu_unpopulate(struct gh_ticket *ticket, struct gh_resource *resource)
{
	struct gh_vcpu *vcpu = container_of(ticket, struct gh_vcpu, ticket);

	/*
	 * The running thread comes out at its next step, at the latest when the host's timer ticks.
	 */
	WRITE_ONCE(vcpu->gone, true);
	gh_vcpu_wake(vcpu);
	guard(mutex)(&vcpu->run_lock);
	scoped_guard(spinlock, &vcpu->vm->state_lock)
		list_del(&vcpu->node);
	free_irq(resource->irq, vcpu);
	vcpu->resource = NULL;
}

static int gh_vcpu_open(struct gh_vcpu *vcpu)
{
	char name[32];
	struct file *file;
	int fd;

	snprintf(name, sizeof(name), "gh-vcpu:%u", vcpu->id);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, &gh_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	kref_get(&vcpu->ref);
	gh_vm_get(vcpu->vm);
	fd_install(fd, file);
	return fd;
}

static int gh_vcpu_bind(struct gh_function *fn)
{
	struct gh_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!vcpu)
		return -ENOMEM;
	kref_init(&vcpu->ref);
	vcpu->vm = fn->vm;
	vcpu->id = fn->arg.vcpu.id;
	vcpu->v8 = fn->v8;
	mutex_init(&vcpu->run_lock);
	init_waitqueue_head(&vcpu->wait);
	snprintf(vcpu->irq_name, sizeof(vcpu->irq_name), "gh-vcpu:%u", vcpu->id);
	vcpu->run = (struct gh_vcpu_run *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run) {
		ret = -ENOMEM;
		goto put;
	}
	vcpu->ticket.type = GH_RM_RES_VCPU;
	vcpu->ticket.label = vcpu->id;
	vcpu->ticket.populate = gh_vcpu_populate;
	vcpu->ticket.unpopulate = gh_vcpu_unpopulate;
	ret = gh_ticket_add(fn->vm, &vcpu->ticket);
	if (ret)
		goto put;
	ret = gh_vcpu_open(vcpu);
	if (ret < 0)
		goto remove;
	fn->data = vcpu;
	return ret;

remove:
	gh_ticket_remove(fn->vm, &vcpu->ticket);
put:
	gh_vcpu_put(vcpu);
	return ret;
}

static void gh_vcpu_unbind(struct gh_function *fn)
{
	struct gh_vcpu *vcpu = fn->data;

	WRITE_ONCE(vcpu->gone, true);
	gh_ticket_remove(fn->vm, &vcpu->ticket);
	gh_vcpu_put(vcpu);
}

static bool gh_vcpu_same(const union gh_fn_arg *a, const union gh_fn_arg *b)
{
	return a->vcpu.id == b->vcpu.id;
}

const struct gh_function_ops gh_vcpu_ops = {
	.name = "vcpu",
	.type = GH_FN_VCPU,
	.arg_size = sizeof(struct gh_fn_vcpu_arg),
	.bind = gh_vcpu_bind,
	.unbind = gh_vcpu_unbind,
	.same = gh_vcpu_same,
};
