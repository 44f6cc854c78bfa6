// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM's file and the references to the VM: GH_CREATE_VM, the ioctls of a VM fd, and the way to
 * the teardown.
 *
 * Locking: vm->lock serialises every ioctl of the VM and START; it is taken interruptibly here and
 * by the work items unconditionally. See vm.h.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "vm.h"

/* How long a close waits for the teardown; the work goes on without it. */
#define GH_CLOSE_WAIT (120 * HZ)

struct gh_vm *gh_vm_get(struct gh_vm *vm)
{
	refcount_inc(&vm->users);
	return vm;
}

void gh_vm_free(struct gh_vm *vm)
{
	if (!refcount_dec_and_test(&vm->life))
		return;
	WARN_ON(!list_empty(&vm->regions) || !list_empty(&vm->functions));
	mmdrop(vm->mm);
	kfree(vm);
}

void gh_vm_put(struct gh_vm *vm)
{
	if (!refcount_dec_and_test(&vm->users))
		return;
	refcount_inc(&vm->life);
	queue_delayed_work(vm->rm->wq, &vm->teardown_work, 0);
	/*
	 * When close returns, the memory is back. A dying task is let go at once: nobody waits for
	 * what it leaves.
	 */
	if (!(current->flags & (PF_EXITING | PF_KTHREAD)))
		wait_for_completion_killable_timeout(&vm->gone, GH_CLOSE_WAIT);
	gh_vm_free(vm);
}

static int gh_vm_release(struct inode *inode, struct file *file)
{
	gh_vm_put(file->private_data);
	return 0;
}

static int gh_vm_set_region(struct gh_vm *vm, const void __user *user, bool lend)
{
	struct gh_userspace_memory_region arg;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (current->mm != vm->mm)
		return -EPERM;
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vm->lock);
	if (vm->start_called)
		return -EBUSY;
	if (!arg.memory_size)
		return gh_region_remove(vm, arg.label);
	return gh_region_add(vm, &arg, lend);
}

static_assert(sizeof(struct gh_guest_range) == sizeof(struct gh_vm_dtb_config));
static_assert(sizeof(struct gh_guest_range) == sizeof(struct gh_vm_firmware_config));
static_assert(sizeof(struct gh_guest_range) == sizeof(struct gh_vm_reclaim_region));

static int gh_copy_range(struct gh_guest_range *range, const void __user *user)
{
	u64 end;

	if (copy_from_user(range, user, sizeof(*range)))
		return -EFAULT;
	return check_add_overflow(range->gpa, range->size, &end) ? -EOVERFLOW : 0;
}

static int gh_vm_store_range(struct gh_vm *vm, struct gh_guest_range *where,
			     const struct gh_guest_range *range)
{
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vm->lock);
	if (vm->start_called)
		return -EBUSY;
	*where = *range;
	return 0;
}

static int gh_vm_set_dtb(struct gh_vm *vm, const void __user *user)
{
	struct gh_guest_range range;

	return gh_copy_range(&range, user) ?: gh_vm_store_range(vm, &vm->dtb, &range);
}

static int gh_vm_set_firmware(struct gh_vm *vm, const void __user *user)
{
	struct gh_guest_range range;
	int ret = gh_copy_range(&range, user);

	if (ret)
		return ret;
	if (!range.size)
		return -EINVAL;
	return gh_rm_provides(vm->rm, GH_RM_HAS_FIRMWARE)
		       ?: gh_vm_store_range(vm, &vm->firmware, &range);
}

static bool gh_boot_reg_known(u32 reg)
{
	u32 index = reg & 0xff;

	switch (reg >> 8) {
	case GH_BOOT_REG_SET_X:
		return index <= 31;
	case GH_BOOT_REG_SET_PC:
		return index == 0;
	case GH_BOOT_REG_SET_SP:
		return index <= 2;
	default:
		return false;
	}
}

/* A register that is set twice keeps the last value, so the array never overflows. */
static void gh_boot_context_set(struct gh_boot_context *boot, const struct gh_vm_boot_context *arg)
{
	unsigned int i = 0;

	while (i < boot->count && boot->regs[i].reg != arg->reg)
		i++;
	boot->regs[i] = *arg;
	boot->count = max(boot->count, i + 1);
}

static int gh_vm_set_boot_context(struct gh_vm *vm, const void __user *user)
{
	struct gh_vm_boot_context arg;
	int ret;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (!gh_boot_reg_known(arg.reg) || arg.reserved)
		return -EINVAL;
	ret = gh_rm_provides(vm->rm, GH_RM_HAS_CONTEXT);
	/* What a kernel without this ioctl would say: VMMs know how to go on then. */
	if (ret == -EOPNOTSUPP)
		return -ENOTTY;
	if (ret)
		return ret;
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vm->lock);
	if (vm->start_called)
		return -EINVAL;
	gh_boot_context_set(&vm->boot, &arg);
	return 0;
}

/* No resource manager gives back the memory of a running guest; what may be asked is checked. */
static int gh_vm_reclaim_region(struct gh_vm *vm, const void __user *user)
{
	struct gh_guest_range range;

	if (copy_from_user(&range, user, sizeof(range)))
		return -EFAULT;
	if (current->mm != vm->mm)
		return -EPERM;
	if (!range.size || !PAGE_ALIGNED(range.size) || !PAGE_ALIGNED(range.gpa))
		return -EINVAL;
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vm->lock);
	return gh_region_find(vm, &range) ? -EOPNOTSUPP : -EINVAL;
}

static int gh_vm_function(struct gh_vm *vm, unsigned int cmd, const void __user *user)
{
	struct gh_fn_desc desc;

	if (cmd != GH_VM_ADD_FUNCTION_V8 && copy_from_user(&desc, user, sizeof(desc)))
		return -EFAULT;
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	guard(gh_locked)(&vm->lock);
	switch (cmd) {
	case GH_VM_ADD_FUNCTION:
		return gh_function_add(vm, &desc);
	case GH_VM_REMOVE_FUNCTION:
		return gh_function_remove(vm, &desc);
	default:
		return gh_function_add_v8(vm, user);
	}
}

static long gh_vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct gh_vm *vm = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case GH_VM_SET_USER_MEM_REGION:
		return gh_vm_set_region(vm, user, false);
	case GH_VM_ANDROID_LEND_USER_MEM:
		return gh_vm_set_region(vm, user, true);
	case GH_VM_SET_DTB_CONFIG:
		return gh_vm_set_dtb(vm, user);
	case GH_VM_ANDROID_SET_FW_CONFIG:
		return gh_vm_set_firmware(vm, user);
	case GH_VM_SET_BOOT_CONTEXT:
		return gh_vm_set_boot_context(vm, user);
	case GH_VM_RECLAIM_REGION:
		return gh_vm_reclaim_region(vm, user);
	case GH_VM_START:
		return gh_vm_start(vm);
	case GH_VM_ADD_FUNCTION:
	case GH_VM_ADD_FUNCTION_V8:
	case GH_VM_REMOVE_FUNCTION:
		return gh_vm_function(vm, cmd, user);
	case GH_VM_CHECK_EXTENSION:
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations gh_vm_fops = {
	.owner = THIS_MODULE,
	.release = gh_vm_release,
	.unlocked_ioctl = gh_vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

int gh_vm_create(struct gh_rm *rm)
{
	struct gh_vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!vm)
		return -ENOMEM;
	vm->rm = rm;
	refcount_set(&vm->users, 1);
	refcount_set(&vm->life, 1);
	mmgrab(current->mm);
	vm->mm = current->mm;
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->regions);
	INIT_LIST_HEAD(&vm->functions);
	INIT_LIST_HEAD(&vm->tickets);
	INIT_LIST_HEAD(&vm->resources);
	spin_lock_init(&vm->state_lock);
	INIT_LIST_HEAD(&vm->vcpus);
	init_waitqueue_head(&vm->state_wait);
	INIT_WORK(&vm->start_work, gh_vm_start_work);
	INIT_WORK(&vm->off_work, gh_vm_off_work);
	INIT_DELAYED_WORK(&vm->teardown_work, gh_vm_teardown_work);
	init_completion(&vm->start_done);
	init_completion(&vm->gone);

	fd = anon_inode_getfd("gunyah-vm", &gh_vm_fops, vm, O_CLOEXEC | O_RDWR);
	if (fd < 0)
		gh_vm_free(vm);
	return fd;
}
