// SPDX-License-Identifier: Apache-2.0
/*
 * Tries every field of the ioctls of /dev/gunyah out of range, on the board; no guest runs.
 *
 * Usage: ioctl_check [WORD...] runs the cases whose names contain a WORD; without one, all.
 */
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "tests/driver/tiny.h"
#include "tests/driver/watch.h"

static void case_device(void)
{
	int fd = open("/dev/gunyah", O_RDWR);

	REFUSED(fd, 0x47ff, NULL, ENOTTY);
	REFUSED(fd, GH_VM_START, NULL, ENOTTY);
	REFUSED(fd, GH_CREATE_VM, (void *)1, EINVAL);
	ALLOWED(fd, GH_ANDROID_TENTATIVE_UAPI, NULL);
	ALLOWED(fd, GH_VM_CHECK_EXTENSION, (void *)0);
	close(fd);
}

static void case_vm_fd(void)
{
	struct vm vm;

	open_vm(&vm);
	REFUSED(vm.fd, 0x47ff, NULL, ENOTTY);
	REFUSED(vm.fd, GH_CREATE_VM, NULL, ENOTTY);
	REFUSED(vm.fd, GH_VM_SET_DTB_CONFIG, NULL, EFAULT);
	REFUSED(vm.fd, GH_VM_SET_DTB_CONFIG, (&(struct gh_vm_dtb_config){ ~0ull, 2 }), EOVERFLOW);
	REFUSED(vm.fd, GH_VM_START, NULL, EINVAL);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, (&(struct gh_vm_dtb_config){ BASE, SIZE + 1 }));
	REFUSED(vm.fd, GH_VM_START, NULL, EINVAL);
	close_vm(&vm);
}

#define REGION(field, value, error)                                                 \
	do {                                                                        \
		struct gh_userspace_memory_region region_ = region_of(&vm);         \
		region_.field = (value);                                            \
		expect("region " #field " " #value,                                 \
		       call(vm.fd, GH_VM_SET_USER_MEM_REGION, &region_), -(error)); \
	} while (0)

static void case_region(void)
{
	struct gh_userspace_memory_region region;
	struct vm vm;
	void *read_only = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	open_vm(&vm);
	REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, NULL, EFAULT);
	REFUSED(vm.fd, GH_VM_ANDROID_LEND_USER_MEM, NULL, EFAULT);
	REGION(flags, 0, EINVAL);
	REGION(flags, GH_MEM_ALLOW_WRITE, EINVAL);
	REGION(flags, GH_MEM_ALLOW_READ | 0x10, EINVAL);
	REGION(flags, GH_MEM_ALLOW_READ | 0x80000000u, EINVAL);
	REGION(memory_size, SIZE - 1, EINVAL);
	REGION(memory_size, 1, EINVAL);
	REGION(memory_size, ~0ull, EINVAL);
	REGION(memory_size, ~(PAGE - 1), EOVERFLOW);
	REGION(userspace_addr, (uintptr_t)vm.memory + 1, EINVAL);
	REGION(userspace_addr, ~(PAGE - 1), EOVERFLOW);
	REGION(userspace_addr, 1ull << 63, EFAULT);
	REGION(userspace_addr, 0, EFAULT);
	REGION(userspace_addr, (uintptr_t)vm.memory + SIZE - PAGE, EFAULT);
	REGION(userspace_addr, (uintptr_t)read_only, EFAULT);
	REGION(guest_phys_addr, BASE + 1, EINVAL);
	REGION(guest_phys_addr, ~(PAGE - 1), EOVERFLOW);
	REGION(guest_phys_addr, BASE, 0);
	REGION(guest_phys_addr, BASE + SIZE, EEXIST);
	REGION(label, 1, EEXIST);
	/* v8: size 0 takes a region away; one that is not there is no error. */
	REGION(memory_size, 0, 0);
	REGION(memory_size, 0, 0);
	REGION(label, 9, 0);
	munmap(read_only, SIZE);
	region = region_of(&vm);
	region.label = 10;
	region.guest_phys_addr = BASE + SIZE;
	if (fork() == 0)
		_exit(call(vm.fd, GH_VM_SET_USER_MEM_REGION, &region) == -EPERM ? 0 : 1);
	int status = 0;
	wait(&status);
	expect("region from another process refused", status, 0);
	close_vm(&vm);
}

static void case_region_count(void)
{
	struct gh_userspace_memory_region region;
	struct vm vm;
	unsigned int i;

	open_vm(&vm);
	region = region_of(&vm);
	region.memory_size = PAGE;
	for (i = 0; i < 64; i++) {
		region.label = i;
		ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
		region.guest_phys_addr += PAGE;
		region.userspace_addr += PAGE;
	}
	region.label = i;
	REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region, ENOSPC);
	close_vm(&vm);
}

#define LOCKED 16 /* pages that may be locked */

static long give_pages(struct vm *vm, unsigned int label, size_t pages)
{
	struct gh_userspace_memory_region region = region_of(vm);

	region.label = label;
	region.guest_phys_addr += label * SIZE;
	region.userspace_addr += label * SIZE / 2;
	region.memory_size = pages * PAGE;
	return call(vm->fd, GH_VM_SET_USER_MEM_REGION, &region);
}

/* In a process of its own, which loses the right to lock what it likes. */
static void memlock_child(void)
{
	struct rlimit limit = { PAGE * LOCKED, PAGE * LOCKED };
	long locked = figure("/proc/self/status", "VmLck:");
	struct gh_userspace_memory_region region;
	struct vm vm, other;

	open_vm(&vm);
	open_vm(&other);
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		wrong("setrlimit: %s", strerror(errno));
	expect("who may lock what he likes", give_pages(&vm, 0, LOCKED + 1), 0);
	expect("removal", give_pages(&vm, 0, 0), 0);
	if (setuid(65534))
		wrong("setuid: %s", strerror(errno));
	expect("a page too many", give_pages(&vm, 0, LOCKED + 1), -ENOMEM);
	expect("to the limit", give_pages(&vm, 0, LOCKED), 0);
	expect("a page above", give_pages(&vm, 1, 1), -ENOMEM);
	/* The limit is the process's, not the VM's. */
	expect("a page of another VM", give_pages(&other, 0, 1), -ENOMEM);
	expect("removal", give_pages(&vm, 0, 0), 0);
	/* What is refused later is given back too. */
	region = region_of(&vm);
	region.userspace_addr = 0;
	region.memory_size = LOCKED * PAGE;
	REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region, EFAULT);
	expect("a half", give_pages(&vm, 0, LOCKED / 2), 0);
	expect("the other half", give_pages(&other, 1, LOCKED / 2), 0);
	expect("a page above", give_pages(&vm, 1, 1), -ENOMEM);
	close_vm(&vm);
	expect("the first half again", give_pages(&other, 0, LOCKED / 2), 0);
	close_vm(&other);
	expect("locked in the end, KiB", figure("/proc/self/status", "VmLck:") - locked, 0);
	_exit(!case_ok);
}

static void case_memlock(void)
{
	int status;

	if (fork() == 0)
		memlock_child();
	wait(&status);
	expect("child", status, 0);
}

static void case_functions(void)
{
	struct gh_fn_vcpu_arg vcpu = { .id = 0 };
	struct gh_vm_function named = { .name = "vcpu", .vcpu.id = 1 };
	struct gh_fn_desc desc = { .type = 4, .arg_size = 4, .arg = (uintptr_t)&vcpu };
	struct vm vm;
	long fd;

	open_vm(&vm);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION, NULL, EFAULT);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, NULL, EFAULT);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION, &desc, ENOENT);
	desc.type = 0;
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION, &desc, ENOENT);
	expect("vCPU, argument 257", add_fn(vm.fd, GH_FN_VCPU, &vcpu, 257), -EINVAL);
	expect("vCPU, argument 8", add_fn(vm.fd, GH_FN_VCPU, &vcpu, 8), -EINVAL);
	expect("vCPU, no argument", add_fn(vm.fd, GH_FN_VCPU, NULL, 4), -EFAULT);
	expect("vCPU, id too wide", add_fn(vm.fd, GH_FN_VCPU, (void *)(1ul << 32), 0), -EINVAL);
	desc = (struct gh_fn_desc){ GH_FN_VCPU, sizeof(vcpu), (uintptr_t)&vcpu };
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc, ENOENT);
	fd = add_fn(vm.fd, GH_FN_VCPU, &vcpu, sizeof(vcpu));
	expect("a vCPU fd", fd > 2, 1);
	expect("vCPU twice", add_fn(vm.fd, GH_FN_VCPU, &vcpu, sizeof(vcpu)), -EEXIST);
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc);
	REFUSED((int)fd, GH_VCPU_RUN, NULL, ENODEV);
	close((int)fd);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION_V8, NULL, EFAULT);
	fd = call(vm.fd, GH_VM_ADD_FUNCTION_V8, &named);
	expect("a vCPU fd, v8", fd > 2, 1);
	close((int)fd);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION_V8, &named, EEXIST);
	strcpy(named.name, "vcpus");
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION_V8, &named, ENOENT);
	memset(named.name, 'v', sizeof(named.name));
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION_V8, &named, EINVAL);
	/* v10: the id in place of an address. */
	fd = add_fn(vm.fd, GH_FN_VCPU, (void *)5ul, 0);
	expect("a vCPU fd, v10", fd > 2, 1);
	close((int)fd);
	close_vm(&vm);
}

static void case_irqfd(void)
{
	struct gh_fn_irqfd_arg arg = { .fd = ~0u, .label = BELL };
	struct vm vm;
	int event = eventfd(0, EFD_CLOEXEC);

	open_vm(&vm);
	expect("bad fd", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), -EBADF);
	arg.fd = (__u32)vm.device;
	expect("no eventfd", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), -EINVAL);
	arg.fd = (__u32)event;
	arg.flags = 2;
	expect("DEASSIGN", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), -EINVAL);
	arg.flags = 0x80000001u;
	expect("unknown flag", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), -EINVAL);
	arg.flags = GH_IRQFD_FLAGS_LEVEL;
	expect("size 12", add_fn(vm.fd, GH_FN_IRQFD, &arg, 12), -EINVAL);
	expect("level", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), 0);
	expect("twice", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), -EEXIST);
	/* Before there is a doorbell, and after the last other user of the eventfd has gone. */
	expect("write", write(event, &(uint64_t){ 1 }, 8), 8);
	close(event);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION,
		(&(struct gh_fn_desc){ GH_FN_IRQFD, 4, (uintptr_t)&arg }), EINVAL);
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION,
		(&(struct gh_fn_desc){ GH_FN_IRQFD, sizeof(arg), (uintptr_t)&arg }));
	close_vm(&vm);
}

static void case_ioeventfd(void)
{
	struct gh_fn_ioeventfd_arg arg = { .addr = 0x1000, .len = 4 };
	struct gh_fn_desc desc = { GH_FN_IOEVENTFD, sizeof(arg), (uintptr_t)&arg };
	struct vm vm;
	int event = eventfd(0, EFD_CLOEXEC);

	open_vm(&vm);
	expect("bad fd", IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = -1), -EBADF);
	expect("no eventfd", IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = vm.device), -EINVAL);
	expect("length 3", IOEVENTFD(&vm, .addr = 0x1000, .len = 3, .fd = event), -EINVAL);
	expect("length 16", IOEVENTFD(&vm, .addr = 0x1000, .len = 16, .fd = event), -EINVAL);
	expect("match of nothing",
	       IOEVENTFD(&vm, .addr = 0x1000, .len = 0, .fd = event, .flags = 1), -EINVAL);
	expect("unknown flag", IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = event, .flags = 2),
	       -EINVAL);
	expect("wrap", IOEVENTFD(&vm, .addr = ~0ull, .len = 8, .fd = event), -EOVERFLOW);
	expect("size 28", add_fn(vm.fd, GH_FN_IOEVENTFD, &arg, 28), -EINVAL);
	expect("match 1",
	       IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = event, .flags = 1, .datamatch = 1),
	       0);
	expect("match 2",
	       IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = event, .flags = 1, .datamatch = 2),
	       0);
	expect("match 1, length 8",
	       IOEVENTFD(&vm, .addr = 0x1000, .len = 8, .fd = event, .flags = 1, .datamatch = 1),
	       0);
	expect("match 1 again",
	       IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = event, .flags = 1, .datamatch = 1),
	       -EEXIST);
	expect("any data", IOEVENTFD(&vm, .addr = 0x1000, .len = 4, .fd = event), -EEXIST);
	expect("any length", IOEVENTFD(&vm, .addr = 0x1000, .len = 0, .fd = event), -EEXIST);
	expect("elsewhere", IOEVENTFD(&vm, .addr = 0x1008, .len = 0, .fd = event), 0);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc, ENOENT);
	arg.addr = 0x1008;
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc, ENOENT);
	close(event);
	close_vm(&vm);
}

/* As many as there may be; each can be taken away, and all at once with the VM. */
static void case_ioeventfd_count(void)
{
	struct gh_fn_ioeventfd_arg arg = { .addr = 0x1000, .len = 4 };
	struct gh_fn_desc desc = { GH_FN_IOEVENTFD, sizeof(arg), (uintptr_t)&arg };
	struct vm vm;
	int i;

	arg.fd = eventfd(0, EFD_CLOEXEC);
	open_vm(&vm);
	for (i = 0; i < 1024 && case_ok; i++, arg.addr += 4)
		expect("ioeventfd", add_ioeventfd(&vm, &arg), 0);
	expect("one more", add_ioeventfd(&vm, &arg), -ENOSPC);
	arg.addr = 0x1000;
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc);
	expect("in its place", add_ioeventfd(&vm, &arg), 0);
	close_vm(&vm);
	close(arg.fd);
}

static void case_vcpu_fd(void)
{
	struct gh_vcpu_stats stats;
	struct vm vm;

	open_vm(&vm);
	add_vcpu(&vm, 0);
	REFUSED(vm.vcpu[0], 0x47ff, NULL, EINVAL);
	REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, ENODEV);
	expect("GH_VCPU_MMAP_SIZE", call(vm.vcpu[0], GH_VCPU_MMAP_SIZE, NULL), (long)PAGE);
	REFUSED(vm.vcpu[0], GH_VCPU_GET_STATS, NULL, EFAULT);
	ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("runs", (long)stats.runs, 0);
	expect("private mapping",
	       mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, vm.vcpu[0], 0) == MAP_FAILED, 1);
	expect("two pages",
	       mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, vm.vcpu[0], 0) == MAP_FAILED, 1);
	expect("second page",
	       mmap(NULL, PAGE, PROT_READ, MAP_SHARED, vm.vcpu[0], PAGE) == MAP_FAILED, 1);
	close_vm(&vm);
}

static const struct test_case cases[] = {
	{ "device", case_device },
	{ "vm-fd", case_vm_fd },
	{ "region", case_region },
	{ "region-count", case_region_count },
	{ "memlock", case_memlock },
	{ "functions", case_functions },
	{ "irqfd", case_irqfd },
	{ "ioeventfd", case_ioeventfd },
	{ "ioeventfd-count", case_ioeventfd_count },
	{ "vcpu-fd", case_vcpu_fd },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
