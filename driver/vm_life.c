// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's life with the resource manager: START, the state mirrored from notifications, teardown,
 * quarantine.
 *
 * START and teardown run on work items, so that a signal never abandons a request half way: the
 * caller of START may be killed while it waits, the work goes on and the teardown comes after it.
 *
 * Locking: both works hold vm->lock throughout. vm->state_lock protects the state; the receive
 * thread takes it inside the lock of rm->vms and never takes vm->lock.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "compat.h"
#include "trace.h"
#include "vm.h"

static unsigned int state_timeout_ms = 60000;
module_param(state_timeout_ms, uint, 0644);
MODULE_PARM_DESC(state_timeout_ms, "how long to wait for a VM to stop or to be reset");

static unsigned int retry_ms = 10000;
module_param(retry_ms, uint, 0644);
MODULE_PARM_DESC(retry_ms,
		 "how long after it a failed teardown is tried again, each time twice as long");

/* So often by the clock; an answer of the resource manager always makes it try. */
#define GH_RETRIES	      6
#define GH_RETRIES_DEALLOCATE 3

static atomic_t gh_quarantined = ATOMIC_INIT(0);

/*
 * The order in which a VM goes through its states; it never goes back, whatever order the messages
 * come in.
 */
static unsigned int gh_state_rank(enum gh_rm_vm_state state)
{
	switch (state) {
	case GH_RM_VM_STATE_LOAD:
		return 1;
	case GH_RM_VM_STATE_AUTH:
		return 2;
	case GH_RM_VM_STATE_INIT:
		return 3;
	case GH_RM_VM_STATE_READY:
		return 4;
	case GH_RM_VM_STATE_RUNNING:
	case GH_RM_VM_STATE_PAUSED:
		return 5;
	case GH_RM_VM_STATE_INIT_FAILED:
	case GH_RM_VM_STATE_EXITED:
		return 6;
	case GH_RM_VM_STATE_RESETTING:
		return 7;
	case GH_RM_VM_STATE_RESET:
		return 8;
	default:
		return 0;
	}
}

static void gh_vm_advance_locked(struct gh_vm *vm, enum gh_rm_vm_state state)
{
	lockdep_assert_held(&vm->state_lock);
	if (gh_state_rank(state) <= gh_state_rank(vm->state))
		return;
	WRITE_ONCE(vm->state, state);
	trace_gunyah_vm_state(vm->vmid, state);
	if (state != GH_RM_VM_STATE_RUNNING)
		gh_vcpus_wake(vm);
	wake_up_all(&vm->state_wait);
}

static void gh_vm_advance(struct gh_vm *vm, enum gh_rm_vm_state state)
{
	guard(spinlock)(&vm->state_lock);
	gh_vm_advance_locked(vm, state);
}

enum gh_rm_vm_state gh_vm_state(struct gh_vm *vm)
{
	return READ_ONCE(vm->state);
}

void gh_vm_read_exit(struct gh_vm *vm, u32 *status, struct gh_vm_exit_info *info)
{
	guard(spinlock)(&vm->state_lock);
	*info = vm->exit_info;
	switch (vm->state) {
	case GH_RM_VM_STATE_INIT_FAILED:
		*status = GH_VM_STATUS_LOAD_FAILED;
		break;
	case GH_RM_VM_STATE_EXITED:
		*status = GH_VM_STATUS_EXITED;
		break;
	default:
		*status = GH_VM_STATUS_CRASHED;
	}
}

/* --- Notifications, in the receive thread --- */

/* The RM was slow after all: take back what was written off. */
static void gh_vm_retry(struct gh_vm *vm)
{
	lockdep_assert_held(&vm->state_lock);
	if (vm->quarantined) {
		vm->quarantined = false;
		mod_delayed_work(vm->rm->wq, &vm->teardown_work, 0);
	} else {
		vm->retry_wanted = true;
	}
}

static void gh_vm_exited(struct gh_vm *vm, const struct gh_vm_exit_info *info)
{
	guard(spinlock)(&vm->state_lock);
	if (gh_state_rank(vm->state) >= gh_state_rank(GH_RM_VM_STATE_EXITED))
		return;
	vm->exit_info = *info;
	/* The stop was ours, and why is known. */
	if (vm->off_type && info->type == GH_RM_EXIT_FORCE_STOPPED)
		vm->exit_info.type = vm->off_type;
	gh_vm_advance_locked(vm, GH_RM_VM_STATE_EXITED);
	gh_vm_retry(vm);
}

static void gh_vm_status_changed(struct gh_vm *vm, u8 state)
{
	/* VM_EXITED tells of the exit, with its reason; INIT_FAILED is known from the reply. */
	if (state != GH_RM_VM_STATE_RESET)
		return;
	guard(spinlock)(&vm->state_lock);
	if (vm->state == GH_RM_VM_STATE_RESET)
		return;
	gh_vm_advance_locked(vm, GH_RM_VM_STATE_RESET);
	gh_vm_retry(vm);
}

void gh_vm_notification(struct gh_rm *rm, u32 id, const void *data, size_t size)
{
	struct gh_rm_event event;
	struct gh_vm *vm;

	if (!gh_rm_decode_event(id, data, size, &event))
		return;
	xa_lock(&rm->vms);
	vm = xa_load(&rm->vms, event.vmid);
	if (vm && event.exited)
		gh_vm_exited(vm, &event.exit_info);
	else if (vm)
		gh_vm_status_changed(vm, event.state);
	xa_unlock(&rm->vms);
}

/* --- START --- */

static int gh_vm_allocate(struct gh_vm *vm)
{
	u16 vmid;
	int ret;

	ret = gh_rm_vm_allocate(vm->rm, &vmid);
	if (ret)
		return ret;
	ret = xa_insert(&vm->rm->vms, vmid, vm, GFP_KERNEL);
	if (ret) {
		gh_rm_vm_deallocate(vm->rm, vmid);
		return ret;
	}
	vm->vmid = vmid;
	gh_vm_advance(vm, GH_RM_VM_STATE_LOAD);
	return 0;
}

/* What the platform's hooks are told of a region; the host's number only where it has a part. */
static int gh_vm_platform_mem(struct gh_vm *vm, struct gh_region *region,
			      struct gh_platform_mem *mem)
{
	mem->parcel = &region->parcel;
	mem->guest = vm->vmid;
	mem->host = 0;
	return region->parcel.lend ? 0 : gh_rm_get_host_vmid(vm->rm, &mem->host);
}

static int gh_vm_give_region(struct gh_vm *vm, struct gh_region *region)
{
	struct gh_platform_mem mem;
	int ret;

	ret = gh_vm_platform_mem(vm, region, &mem);
	if (ret)
		return ret;
	ret = gh_platform_pre(&mem, &region->platform);
	if (ret)
		return ret;
	return gh_rm_mem_give(vm->rm, vm->vmid, &region->parcel);
}

/*
 * All of the memory, before any of it is lent: after an error it is as it was, but for private
 * mappings. They are left alone as long as it is not known that nobody holds a page.
 */
static int gh_vm_seal_memory(struct gh_vm *vm)
{
	struct gh_region *region;
	int ret = 0;

	list_for_each_entry(region, &vm->regions, node)
		ret = ret ?: gh_region_check_held(vm, region);
	if (ret)
		return ret;
	list_for_each_entry(region, &vm->regions, node)
		ret = ret ?: gh_region_seal(vm, region);
	if (ret)
		list_for_each_entry(region, &vm->regions, node)
			gh_region_unseal(vm, region);
	return ret;
}

static int gh_vm_give_memory(struct gh_vm *vm)
{
	struct gh_region *region;
	int ret;

	list_for_each_entry(region, &vm->regions, node) {
		ret = gh_vm_give_region(vm, region);
		if (ret) {
			dev_err(vm->rm->dev, "VM %u: memory region %u: %s: error %d\n", vm->vmid,
				region->parcel.label, region->parcel.lend ? "lend" : "share", ret);
			return ret;
		}
	}
	return 0;
}

static int gh_vm_bind_resources(struct gh_vm *vm)
{
	void *reply __free(kfree) = NULL;
	struct gh_rm_resources resources;
	int ret;

	ret = gh_rm_vm_get_resources(vm->rm, vm->vmid, &reply, &resources);
	if (ret)
		return ret;
	return gh_resources_add(vm, resources.records, resources.count);
}

static struct gh_rm_slice gh_region_slice(const struct gh_region *region,
					  const struct gh_guest_range *range)
{
	return (struct gh_rm_slice){
		.handle = region->parcel.handle,
		.offset = range->gpa - region->gpa,
		.size = range->size,
	};
}

/* Done or not? Not answered, or with an answer that cannot be read. */
static bool gh_unknown(int ret)
{
	return ret == -ETIMEDOUT || ret == -EPROTO;
}

static int gh_vm_configure(struct gh_vm *vm, const struct gh_region *image)
{
	struct gh_rm_slice dtb = gh_region_slice(image, &vm->dtb);
	u16 auth = vm->firmware.size ? GH_RM_AUTH_ANDROID : GH_RM_AUTH_NONE;
	int ret;

	/*
	 * The rest of the tree's last page is the resource manager's too, as in v8: the room that
	 * it needs for its nodes.
	 */
	dtb.size = PAGE_ALIGN(vm->dtb.gpa + vm->dtb.size) - vm->dtb.gpa;
	ret = gh_rm_vm_configure(vm->rm, vm->vmid, auth, &dtb);
	if (!ret) {
		vm->configured = true;
		gh_vm_advance(vm, GH_RM_VM_STATE_INIT);
	} else {
		vm->config_unknown = gh_unknown(ret);
		gh_vm_advance(vm, GH_RM_VM_STATE_INIT_FAILED);
	}
	return ret;
}

static int gh_vm_give_firmware(struct gh_vm *vm)
{
	struct gh_region *region;
	struct gh_rm_slice firmware;

	if (!vm->firmware.size)
		return 0;
	/* It was there when START began. */
	region = gh_region_find(vm, &vm->firmware);
	firmware = gh_region_slice(region, &vm->firmware);
	return gh_rm_vm_set_firmware(vm->rm, vm->vmid, &firmware);
}

static int gh_vm_init(struct gh_vm *vm)
{
	int ret;

	vm->inited = true;
	ret = gh_rm_vm_request(vm->rm, GH_RM_VM_INIT, vm->vmid);
	gh_vm_advance(vm, ret ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_READY);
	return ret;
}

static int gh_vm_give_context(struct gh_vm *vm)
{
	const struct gh_vm_boot_context *reg = vm->boot.regs;
	const struct gh_vm_boot_context *end = reg + vm->boot.count;
	int ret = 0;

	for (; reg < end && !ret; reg++)
		ret = gh_rm_vm_set_context(vm->rm, vm->vmid, reg->reg, reg->value);
	return ret;
}

static int gh_vm_run(struct gh_vm *vm)
{
	int ret = gh_rm_vm_request(vm->rm, GH_RM_VM_START, vm->vmid);

	vm->start_unknown = gh_unknown(ret);
	gh_vm_advance(vm, ret ? GH_RM_VM_STATE_INIT_FAILED : GH_RM_VM_STATE_RUNNING);
	return ret;
}

/* Each step leaves in vm what the teardown has to undo. */
static int gh_vm_do_start(struct gh_vm *vm)
{
	struct gh_region *image;
	int ret;

	lockdep_assert_held(&vm->lock);
	image = gh_region_find(vm, &vm->dtb);
	if (!image)
		return -EINVAL;
	if (vm->firmware.size && !gh_region_find(vm, &vm->firmware))
		return -EINVAL;
	ret = gh_vm_seal_memory(vm);
	if (ret)
		return ret;
	vm->start_called = true;

	return gh_vm_allocate(vm) ?: gh_vm_give_memory(vm) ?: gh_vm_configure(vm, image) ?:
	       gh_vm_give_firmware(vm) ?: gh_vm_init(vm) ?: gh_vm_give_context(vm) ?:
	       gh_vm_bind_resources(vm) ?: gh_vm_run(vm);
}

void gh_vm_start_work(struct work_struct *work)
{
	struct gh_vm *vm = container_of(work, struct gh_vm, start_work);

	mutex_lock(&vm->lock);
	if (!vm->start_called)
		vm->start_result = gh_vm_do_start(vm);
	/* Before START returns: the close that comes after it is the last, and waits. */
	gh_vm_put(vm);
	complete_all(&vm->start_done);
	mutex_unlock(&vm->lock);
	gh_vm_free(vm);
}

int gh_vm_start(struct gh_vm *vm)
{
	if (mutex_lock_interruptible(&vm->lock))
		return -ERESTARTSYS;
	if (vm->start_called) {
		mutex_unlock(&vm->lock);
		return gh_vm_state(vm) == GH_RM_VM_STATE_RUNNING ? 0 : -ENODEV;
	}
	/* Twice before the work took the lock: the second caller waits for the same work. */
	reinit_completion(&vm->start_done);
	gh_vm_get(vm);
	refcount_inc(&vm->life);
	if (!queue_work(vm->rm->wq, &vm->start_work)) {
		refcount_dec(&vm->users);
		refcount_dec(&vm->life);
	}
	mutex_unlock(&vm->lock);

	if (wait_for_completion_killable(&vm->start_done))
		return -EINTR;
	return READ_ONCE(vm->start_result);
}

/* --- Teardown --- */

/* The word of the end or of the reset was lost on its way: the RM is asked. */
static void gh_vm_ask_state(struct gh_vm *vm)
{
	u32 state;

	if (!gh_rm_vm_get_state(vm->rm, vm->vmid, &state) &&
	    (state == GH_RM_VM_STATE_EXITED || state == GH_RM_VM_STATE_RESET))
		gh_vm_advance(vm, state);
}

/* While the RM's word is missing, the queue is looked at this often: its interrupt may be lost. */
#define GH_STATE_KICK_MS 250

/* Waits for this state or a later one; false when it does not come in time. */
static bool gh_vm_wait(struct gh_vm *vm, enum gh_rm_vm_state state)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(state_timeout_ms);

	while (!wait_event_timeout(vm->state_wait,
				   gh_state_rank(gh_vm_state(vm)) >= gh_state_rank(state),
				   msecs_to_jiffies(GH_STATE_KICK_MS))) {
		if (time_after(jiffies, deadline)) {
			gh_vm_ask_state(vm);
			return gh_state_rank(gh_vm_state(vm)) >= gh_state_rank(state);
		}
		gh_msgq_kick(&vm->rm->msgq);
	}
	return true;
}

/*
 * --- The end that nobody told of. A hypervisor was seen to take the CPU from a vCPU between its
 * power-off and the word to the RM, which then never comes; a notification may be lost too. A VM
 * whose vCPUs are all off has nobody left to switch one on, so to stop it costs nothing. ---
 */
void gh_vm_off_work(struct work_struct *work)
{
	struct gh_vm *vm = container_of(work, struct gh_vm, off_work);

	mutex_lock(&vm->lock);
	/* With the lock held and the VM not torn down, the number is still this VM's. */
	if (gh_vm_state(vm) == GH_RM_VM_STATE_RUNNING) {
		dev_info(vm->rm->dev,
			 "VM %u: its vCPUs are off, and RM does not say that it ended\n", vm->vmid);
		if (gh_rm_vm_stop(vm->rm, vm->vmid)) {
			scoped_guard(spinlock, &vm->state_lock)
				vm->exit_info.type = vm->off_type;
			gh_vm_ask_state(vm);
		}
	}
	mutex_unlock(&vm->lock);
	/* If it did not help, the vCPUs call again. */
	WRITE_ONCE(vm->off_queued, false);
	gh_vm_free(vm);
}

void gh_vm_off(struct gh_vm *vm, u16 type)
{
	guard(spinlock)(&vm->state_lock);
	if (vm->off_queued || vm->state != GH_RM_VM_STATE_RUNNING)
		return;
	vm->off_queued = true;
	vm->off_type = type;
	refcount_inc(&vm->life);
	queue_work(vm->rm->wq, &vm->off_work);
}

static int gh_vm_stop(struct gh_vm *vm)
{
	int ret;

	if (vm->start_unknown) {
		/* Refused means that the guest never ran. */
		ret = gh_rm_vm_stop(vm->rm, vm->vmid);
		vm->start_unknown = gh_unknown(ret);
		return vm->start_unknown ? ret : 0;
	}
	if (gh_vm_state(vm) != GH_RM_VM_STATE_RUNNING)
		return 0;
	/*
	 * An error may mean that the guest was faster and its VM_EXITED is on the way: wait for
	 * that all the same.
	 */
	ret = gh_rm_vm_stop(vm->rm, vm->vmid);
	if (gh_vm_wait(vm, GH_RM_VM_STATE_EXITED))
		return 0;
	return ret ?: -ETIMEDOUT;
}

/*
 * Whether RM accepted a CONFIG_IMAGE that it did not answer: only then does INIT get past the
 * VM's state.
 */
static int gh_vm_settle_config(struct gh_vm *vm)
{
	int ret;

	if (!vm->config_unknown)
		return 0;
	ret = gh_rm_vm_request(vm->rm, GH_RM_VM_INIT, vm->vmid);
	if (gh_unknown(ret))
		return ret;
	vm->config_unknown = false;
	vm->configured = ret != -EBADMSG;
	vm->inited = vm->configured;
	return 0;
}

static int gh_vm_reset(struct gh_vm *vm)
{
	int ret = gh_vm_settle_config(vm);

	if (ret)
		return ret;
	/* RM crashes on the reset of a VM without a configuration, and such a VM needs none. */
	if (!vm->configured || gh_vm_state(vm) == GH_RM_VM_STATE_RESET)
		return 0;
	if (!vm->inited) {
		/* A configured VM can be reset only after an INIT, even a failed one. */
		vm->inited = true;
		gh_rm_vm_request(vm->rm, GH_RM_VM_INIT, vm->vmid);
	}
	ret = gh_rm_vm_request(vm->rm, GH_RM_VM_RESET, vm->vmid);
	if (ret && !gh_unknown(ret)) {
		gh_vm_ask_state(vm);
		if (gh_vm_state(vm) == GH_RM_VM_STATE_RESET)
			return 0;
		/*
		 * It is not where RM's answers had it: running in spite of a refused START, or with
		 * an INIT that was refused and not tried. One of these moves it on, the other is
		 * refused.
		 */
		gh_rm_vm_stop(vm->rm, vm->vmid);
		gh_rm_vm_request(vm->rm, GH_RM_VM_INIT, vm->vmid);
		ret = gh_rm_vm_request(vm->rm, GH_RM_VM_RESET, vm->vmid);
	}
	/* Not answered, it may be on its way all the same. */
	if (ret && !gh_unknown(ret))
		return ret;
	return gh_vm_wait(vm, GH_RM_VM_STATE_RESET) ? 0 : ret ?: -ETIMEDOUT;
}

static int gh_vm_take_region_back(struct gh_vm *vm, struct gh_region *region)
{
	struct gh_platform_mem mem;
	int ret = 0;

	if (region->parcel.lost || region->parcel.doubtful)
		ret = gh_rm_mem_settle(vm->rm, vm->vmid, &region->parcel);
	if (!ret && region->parcel.handle != GH_PARCEL_NONE)
		ret = gh_rm_mem_reclaim(vm->rm, vm->vmid, &region->parcel);
	if (ret || !region->platform)
		return ret;
	ret = gh_vm_platform_mem(vm, region, &mem);
	return ret ?: gh_platform_post(&mem, &region->platform);
}

static int gh_vm_take_memory_back(struct gh_vm *vm)
{
	struct gh_region *region, *next;
	int ret, result = 0;

	list_for_each_entry_safe(region, next, &vm->regions, node) {
		ret = gh_vm_take_region_back(vm, region);
		if (ret)
			result = ret;
		else
			gh_region_free(vm, region);
	}
	return result;
}

/*
 * A VM whose CONFIG_IMAGE failed may be a dead end (ABI, state machine): it cannot be reset without
 * a configuration, and not given back without a reset. Unless it has one in spite of what RM said.
 */
static bool gh_vm_is_dead_end(struct gh_vm *vm)
{
	if (vm->configured)
		return vm->retries >= GH_RETRIES_DEALLOCATE;
	vm->config_unknown = true;
	return !gh_vm_settle_config(vm) && !vm->configured;
}

static int gh_vm_deallocate(struct gh_vm *vm)
{
	int ret;

	if (!vm->vmid)
		return 0;
	/* Before RM can give the number to somebody else. */
	xa_erase(&vm->rm->vms, vm->vmid);
	ret = gh_rm_vm_deallocate(vm->rm, vm->vmid);
	/*
	 * Not answered, it may be somebody else's already: to ask again would be worse. And a
	 * number that RM does not know was given back before, or never given.
	 */
	if (!ret || (ret != -ENOENT && !gh_unknown(ret) && !gh_vm_is_dead_end(vm)))
		return ret;
	dev_err(vm->rm->dev, "VM %u: the number does not come back: error %d\n", vm->vmid, ret);
	return 0;
}

/* Undoes all that START did, in reverse; may be called again after an error. */
static int gh_vm_teardown(struct gh_vm *vm, const char **step)
{
	int ret;

	lockdep_assert_held(&vm->lock);
	scoped_guard(spinlock, &vm->state_lock) {
		vm->quarantined = false;
		vm->retry_wanted = false;
	}
	*step = "stop";
	ret = gh_vm_stop(vm);
	gh_functions_drop(vm);
	gh_resources_drop(vm);
	if (ret)
		return ret;
	*step = "reset";
	ret = gh_vm_reset(vm);
	if (ret)
		return ret;
	*step = "reclaim";
	ret = gh_vm_take_memory_back(vm);
	if (ret) {
		/* Something holds it, though RM refused to make something of it. */
		vm->config_unknown = !vm->configured;
		return ret;
	}
	*step = "deallocate";
	return gh_vm_deallocate(vm);
}

unsigned int gh_vm_quarantine_count(void)
{
	return atomic_read(&gh_quarantined);
}

/*
 * --- Quarantine: what the RM does not give back is kept, pinned, and tried again when the RM
 * answers after all. ---
 */

static u64 gh_vm_pinned_pages(const struct gh_vm *vm)
{
	const struct gh_region *region;
	u64 pages = 0;

	list_for_each_entry(region, &vm->regions, node)
		pages += region->pages;
	return pages;
}

/* Whether the teardown should be tried again now: the answer came between its failure and here. */
static bool gh_vm_quarantine(struct gh_vm *vm, const char *step, int error)
{
	lockdep_assert_held(&vm->lock);
	if (!vm->counted) {
		dev_err(vm->rm->dev, "VM %u: %s: error %d; quarantined, %llu KiB stay pinned\n",
			vm->vmid, step, error, gh_vm_pinned_pages(vm) << (PAGE_SHIFT - 10));
		/*
		 * The module must stay for as long as a late answer can come. If it is going,
		 * nothing comes.
		 */
		if (!try_module_get(THIS_MODULE)) {
			xa_erase(&vm->rm->vms, vm->vmid);
			return false;
		}
		vm->counted = true;
		atomic_inc(&gh_quarantined);
	}
	guard(spinlock)(&vm->state_lock);
	vm->quarantined = true;
	if (vm->retry_wanted) {
		vm->retry_wanted = false;
		vm->quarantined = false;
		return true;
	}
	if (vm->retries < GH_RETRIES)
		queue_delayed_work(vm->rm->wq, &vm->teardown_work,
				   msecs_to_jiffies(retry_ms) << vm->retries++);
	return false;
}

/* Now it is known whether RM has the memory: a handle means yes. */
static void gh_parcel_found(struct gh_parcel *parcel, const u32 *granted)
{
	parcel->lost = false;
	if (!granted)
		return;
	if (parcel->handle == GH_PARCEL_NONE)
		parcel->handle = *granted;
	else
		parcel->handle = GH_PARCEL_NONE;
}

void gh_vm_late_reply(struct gh_rm *rm, u16 vmid, u16 seq, const u32 *granted)
{
	struct gh_region *region;
	struct gh_vm *vm;

	xa_lock(&rm->vms);
	vm = xa_load(&rm->vms, vmid);
	if (vm)
		refcount_inc(&vm->life);
	xa_unlock(&rm->vms);
	if (!vm)
		return;
	mutex_lock(&vm->lock);
	list_for_each_entry(region, &vm->regions, node) {
		if (!region->parcel.lost || region->parcel.lost_seq != seq)
			continue;
		gh_parcel_found(&region->parcel, granted);
		scoped_guard(spinlock, &vm->state_lock)
			gh_vm_retry(vm);
		break;
	}
	mutex_unlock(&vm->lock);
	gh_vm_free(vm);
}

void gh_vm_teardown_work(struct work_struct *work)
{
	struct gh_vm *vm = container_of(to_delayed_work(work), struct gh_vm, teardown_work);
	const char *step;
	int ret;

	mutex_lock(&vm->lock);
	do {
		ret = gh_vm_teardown(vm, &step);
	} while (ret && gh_vm_quarantine(vm, step, ret));
	mutex_unlock(&vm->lock);
	complete_all(&vm->gone);
	if (ret)
		return;
	/* RM knows the VM no more, so nothing queues the work again after this. */
	cancel_delayed_work(&vm->teardown_work);
	if (vm->counted) {
		dev_info(vm->rm->dev, "VM %u: taken back from quarantine\n", vm->vmid);
		atomic_dec(&gh_quarantined);
		module_put(THIS_MODULE);
	}
	gh_vm_free(vm);
}
