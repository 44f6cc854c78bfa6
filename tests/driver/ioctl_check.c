// SPDX-License-Identifier: Apache-2.0
/*
 * Tries the ioctls of /dev/gunyah on the board: every field out of range, and whole lives of tiny guests.
 *
 * Needs nothing but the driver. Usage: ioctl_check [WORD...] runs the cases whose names contain a WORD; without one, all.
 * Prints PASS, FAIL or SKIP for each case, then a line that counts; ends with 0 when none failed.
 */
#include "tests/driver/tiny.h"

static unsigned int passed, failed, skipped;

/* --- Cases: arguments --- */

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

#define REGION(field, value, error) do {				\
	struct gh_userspace_memory_region region_ = region_of(&vm);	\
	region_.field = (value);					\
	expect("region " #field " " #value, call(vm.fd, GH_VM_SET_USER_MEM_REGION, &region_), -(error)); \
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

/* In a process of its own, which loses the right to lock what it likes. */
static void memlock_child(void)
{
	struct rlimit limit = { PAGE * 16, PAGE * 16 };
	struct gh_userspace_memory_region region;
	struct vm vm;

	open_vm(&vm);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setuid(65534))
		wrong("cannot lose rights: %s", strerror(errno));
	region = region_of(&vm);
	REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region, ENOMEM);
	region.memory_size = PAGE * 16;
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	region.memory_size = 0;
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	region.memory_size = PAGE * 16;
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	close_vm(&vm);
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
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, (&(struct gh_fn_desc){ GH_FN_IRQFD, 4, (uintptr_t)&arg }),
		EINVAL);
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION,
		(&(struct gh_fn_desc){ GH_FN_IRQFD, sizeof(arg), (uintptr_t)&arg }));
	close_vm(&vm);
}

static long ioevent(struct vm *vm, int fd, uint64_t addr, unsigned int len, int flags, uint64_t match)
{
	struct gh_fn_ioeventfd_arg arg = {
		.datamatch = match, .addr = addr, .len = len, .fd = fd, .flags = (__u32)flags,
	};

	return add_fn(vm->fd, GH_FN_IOEVENTFD, &arg, sizeof(arg));
}

static void case_ioeventfd(void)
{
	struct gh_fn_ioeventfd_arg arg = { .addr = 0x1000, .len = 4 };
	struct gh_fn_desc desc = { GH_FN_IOEVENTFD, sizeof(arg), (uintptr_t)&arg };
	struct vm vm;
	int event = eventfd(0, EFD_CLOEXEC);

	open_vm(&vm);
	expect("bad fd", ioevent(&vm, -1, 0x1000, 4, 0, 0), -EBADF);
	expect("no eventfd", ioevent(&vm, vm.device, 0x1000, 4, 0, 0), -EINVAL);
	expect("length 3", ioevent(&vm, event, 0x1000, 3, 0, 0), -EINVAL);
	expect("length 16", ioevent(&vm, event, 0x1000, 16, 0, 0), -EINVAL);
	expect("match of nothing", ioevent(&vm, event, 0x1000, 0, 1, 0), -EINVAL);
	expect("unknown flag", ioevent(&vm, event, 0x1000, 4, 2, 0), -EINVAL);
	expect("wrap", ioevent(&vm, event, ~0ull, 8, 0, 0), -EOVERFLOW);
	expect("size 28", add_fn(vm.fd, GH_FN_IOEVENTFD, &arg, 28), -EINVAL);
	expect("match 1", ioevent(&vm, event, 0x1000, 4, 1, 1), 0);
	expect("match 2", ioevent(&vm, event, 0x1000, 4, 1, 2), 0);
	expect("match 1, length 8", ioevent(&vm, event, 0x1000, 8, 1, 1), 0);
	expect("match 1 again", ioevent(&vm, event, 0x1000, 4, 1, 1), -EEXIST);
	expect("any data", ioevent(&vm, event, 0x1000, 4, 0, 0), -EEXIST);
	expect("any length", ioevent(&vm, event, 0x1000, 0, 0, 0), -EEXIST);
	expect("elsewhere", ioevent(&vm, event, 0x1008, 0, 0, 0), 0);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc, ENOENT);
	arg.addr = 0x1008;
	ALLOWED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc);
	REFUSED(vm.fd, GH_VM_REMOVE_FUNCTION, &desc, ENOENT);
	close(event);
	close_vm(&vm);
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
	expect("private mapping", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, vm.vcpu[0], 0) == MAP_FAILED, 1);
	expect("two pages", mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, vm.vcpu[0], 0) == MAP_FAILED, 1);
	expect("second page", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, vm.vcpu[0], PAGE) == MAP_FAILED, 1);
	close_vm(&vm);
}

/* --- Cases: lives --- */

static void mmio_life(struct vm *vm)
{
	struct gh_vcpu_stats stats;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count = 0;

	expect("ioeventfd", ioevent(vm, event, MMIO + 0x100, 4, 1, 7), 0);
	expect("ioeventfd", ioevent(vm, event, MMIO + 0x104, 2, 0, 0), 0);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	expect_write(vm, 0, 0, 1, 0x41);
	expect_write(vm, 0, 2, 2, 0x4243);
	expect_write(vm, 0, 4, 4, 0x44454647);
	expect_write(vm, 0, 8, 8, 0x4445464744454647);
	expect_read(vm, 0, 0x10, 1, 0xffffffffffffff11);
	expect_read(vm, 0, 0x12, 2, 0xffffffffffff2222);
	expect_read(vm, 0, 0x14, 4, 0xffffffff33333333);
	expect_read(vm, 0, 0x18, 8, 0x4444444444444444);
	expect_write(vm, 0, 0x20, 8, 0x44444444777799aa);
	expect_write(vm, 0, 0x28, 4, 0xedfe0dd0);	/* the tree's magic, big-endian */
	/* 7 is taken by the ioeventfd, 8 is not; the half-word after it is. */
	expect_write(vm, 0, 0x100, 4, 8);
	expect_end(vm, 0, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	expect("eventfd", read(event, &count, sizeof(count)), sizeof(count));
	expect("eventfd", (long)count, 2);
	ALLOWED(vm->vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("reads counted", (long)stats.mmio_read, 4);
	expect("writes counted", (long)stats.mmio_write, 9);
	expect("writes taken", (long)stats.mmio_kernel, 2);
	expect("time counted", stats.run_ns > 0, 1);
	REFUSED(vm->fd, GH_VM_START, NULL, ENODEV);
	close(event);
}

static void case_life_share(void)
{
	struct vm vm;

	set_up(&vm, guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
	mmio_life(&vm);
	close_vm(&vm);
}

static void case_life_lend(void)
{
	struct vm vm;

	set_up(&vm, guest_mmio, &one, GH_VM_ANDROID_LEND_USER_MEM);
	mmio_life(&vm);
	/* Given back, the memory is the process's again, tree and all. */
	close_vcpu(&vm, 0);
	close(vm.fd);
	vm.fd = -1;
	expect("tree in returned memory", (unsigned char)vm.memory[DTB_OFFSET], 0xd0);
	close_vm(&vm);
}

static void case_life_v8(void)
{
	struct gh_vm_function vcpu = { .name = "vcpu" };
	struct gh_userspace_memory_region region;
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	struct vm vm;

	open_vm(&vm);
	memcpy(vm.memory, guest_mmio, (size_t)(guest_end - guest_mmio));
	put_tree(vm.memory + DTB_OFFSET, &one);
	region = region_of(&vm);
	region.flags |= GH_MEM_LENT;
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	vm.vcpu[0] = (int)call(vm.fd, GH_VM_ADD_FUNCTION_V8, &vcpu);
	vm.run[0] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu[0], 0);
	mmio_life(&vm);
	close_vm(&vm);
}

static void case_reset(void)
{
	struct vm vm;

	if (start(&vm, guest_reset, &one))
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
}

static atomic_bool second_told;

static void *run_second(void *arg)
{
	struct vm *vm = arg;

	expect_write(vm, 1, 0x38, 4, 0x77);
	atomic_store(&second_told, true);
	expect_end(vm, 1, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	return NULL;
}

static void case_smp(void)
{
	static const struct tree two = { .cpus = 2 };
	pthread_t second;
	struct vm vm;

	if (start(&vm, guest_smp, &two)) {
		pthread_create(&second, NULL, run_second, &vm);
		expect_write(&vm, 0, 0x30, 4, 0);
		expect_read(&vm, 0, 0x34, 4, 0);
		/* The first vCPU asks again and again; it is told once the second has had its say. */
		while (!atomic_load(&second_told))
			expect_read(&vm, 0, 0x34, 4, 0);
		expect_read(&vm, 0, 0x34, 4, 1);
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_OFF);
		pthread_join(second, NULL);
	}
	close_vm(&vm);
}

static void irq_life(bool level)
{
	struct tree tree = { .cpus = 1, .level = level };
	struct gh_fn_irqfd_arg arg = { .label = BELL, .flags = level ? GH_IRQFD_FLAGS_LEVEL : 0 };
	int event = eventfd(0, EFD_CLOEXEC);
	struct vm vm;
	int i;

	set_up(&vm, guest_irq, &tree, GH_VM_SET_USER_MEM_REGION);
	/* Signalled before the irqfd exists: it rings all the same. */
	expect("write", write(event, &(uint64_t){ 1 }, 8), 8);
	arg.fd = (__u32)event;
	expect("irqfd", add_fn(vm.fd, GH_FN_IRQFD, &arg, sizeof(arg)), 0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_read(&vm, 0, 0x58, 4, level ? 0 : 0x200);
	expect_write(&vm, 0, 0x50, 4, 3);
	expect_write(&vm, 0, 0x54, 4, 32 + BELL);
	for (i = 0; i < 2; i++) {
		expect("write", write(event, &(uint64_t){ 1 }, 8), 8);
		expect_write(&vm, 0, 0x54, 4, 32 + BELL);
	}
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	close(event);
	close_vm(&vm);
}

static void case_irqfd_edge(void)
{
	irq_life(false);
}

static void case_irqfd_level(void)
{
	irq_life(true);
}

/* --- A vCPU that is poked: its thread gets a signal again and again until told to stop. --- */

struct poker {
	pthread_t thread, target;
	atomic_bool stop;
};

static void on_signal(int number)
{
	(void)number;
}

static void *poke(void *arg)
{
	struct poker *poker = arg;

	while (!atomic_load(&poker->stop)) {
		usleep(200000);
		pthread_kill(poker->target, SIGUSR1);
	}
	return NULL;
}

static void poke_me(struct poker *poker)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	poker->target = pthread_self();
	atomic_init(&poker->stop, false);
	pthread_create(&poker->thread, NULL, poke, poker);
}

static void poke_no_more(struct poker *poker)
{
	atomic_store(&poker->stop, true);
	pthread_join(poker->thread, NULL);
}

/* Signals and immediate_exit take a vCPU out of a guest that never leaves by itself; closing then stops the guest. */
static void endless_life(const char *guest)
{
	struct poker poker;
	struct vm vm;

	if (start(&vm, guest, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		vm.run[0]->immediate_exit = 1;
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		vm.run[0]->immediate_exit = 0;
		poke_me(&poker);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		poke_no_more(&poker);
	}
	close_vm(&vm);
}

static void case_spin(void)
{
	endless_life(guest_spin);
}

static void case_wfi(void)
{
	endless_life(guest_wfi);
}

static void case_trap_loop(void)
{
	endless_life(guest_trap);
}

/* A hypervisor may let the guest go on with it, or end the VM as faulty; the host sees one or the other. */
static void case_abort_loop(void)
{
	struct poker poker;
	struct vm vm;
	long ret;

	if (start(&vm, guest_abort, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		poke_me(&poker);
		ret = call(vm.vcpu[0], GH_VCPU_RUN, NULL);
		poke_no_more(&poker);
		if (ret != -EINTR)
			expect_end(&vm, 0, GH_RM_EXIT_HYP_ERROR);
	}
	close_vm(&vm);
}

static void case_vm_fd_closed_first(void)
{
	struct poker poker;
	struct vm vm;

	if (start(&vm, guest_spin, &one)) {
		close(vm.fd);
		vm.fd = -1;
		expect_write(&vm, 0, 0, 4, 0);
		poke_me(&poker);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		poke_no_more(&poker);
	}
	close_vm(&vm);
}

static void *remove_soon(void *arg)
{
	struct vm *vm = arg;
	struct gh_fn_vcpu_arg id = { .id = 0 };
	struct gh_fn_desc desc = { GH_FN_VCPU, sizeof(id), (uintptr_t)&id };

	usleep(300000);
	ALLOWED(vm->fd, GH_VM_REMOVE_FUNCTION, &desc);
	return NULL;
}

static void case_remove_running(void)
{
	pthread_t thread;
	struct vm vm;

	if (start(&vm, guest_spin, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		pthread_create(&thread, NULL, remove_soon, &vm);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, ENODEV);
		pthread_join(thread, NULL);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, ENODEV);
	}
	close_vm(&vm);
}

static void case_after_start(void)
{
	struct gh_userspace_memory_region region;
	struct gh_vm_dtb_config dtb = { BASE, SIZE };
	struct vm vm;

	if (start(&vm, guest_spin, &one)) {
		region = region_of(&vm);
		REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region, EBUSY);
		region.memory_size = 0;
		REFUSED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region, EBUSY);
		REFUSED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb, EBUSY);
		/* A vCPU that the guest's tree does not have never gets anything to run. */
		add_vcpu(&vm, 1);
		REFUSED(vm.vcpu[1], GH_VCPU_RUN, NULL, ENODEV);
	}
	close_vm(&vm);
}

static void bad_tree(const struct tree *tree)
{
	struct vm vm;
	long ret;

	set_up(&vm, guest_mmio, tree, GH_VM_SET_USER_MEM_REGION);
	ret = call(vm.fd, GH_VM_START, NULL);
	if (ret >= 0)
		wrong("GH_VM_START: %ld", ret);
	REFUSED(vm.fd, GH_VM_START, NULL, ENODEV);
	close_vm(&vm);
}

static void case_bad_trees(void)
{
	bad_tree(&(struct tree){ .cpus = 1, .no_image_name = true });
	bad_tree(&(struct tree){ .cpus = 1, .hypervisor_node = true });
	bad_tree(&(struct tree){ .cpus = 1, .no_config = true });
	bad_tree(&(struct tree){ .cpus = 0 });
}

/* Pages in reverse order: each is a range of its own, more than one message holds. */
static void case_scattered(void)
{
	size_t pages = 1100, i;
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	struct gh_userspace_memory_region region;
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	struct vm vm;

	open_vm(&vm);
	munmap(vm.memory, vm.size);
	vm.size = pages * PAGE;
	expect("ftruncate", ftruncate(fd, (off_t)vm.size), 0);
	vm.memory = mmap(NULL, vm.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < pages; i++) {
		char *page = mmap(vm.memory + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, (off_t)((pages - 1 - i) * PAGE));

		if (page == MAP_FAILED)
			wrong("mmap of page %zu: %s", i, strerror(errno));
	}
	memset(vm.memory, 0, vm.size);
	memcpy(vm.memory, guest_reset, (size_t)(guest_end - guest_reset));
	put_tree(vm.memory + DTB_OFFSET, &one);
	region = region_of(&vm);
	ALLOWED(vm.fd, GH_VM_ANDROID_LEND_USER_MEM, &region);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(&vm, 0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
	close(fd);
}

static void case_two_vms(void)
{
	struct vm a, b;

	if (start(&a, guest_reset, &one) && start(&b, guest_mmio, &one)) {
		expect_write(&b, 0, 0, 1, 0x41);
		expect_end(&a, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
		close_vm(&a);
		expect_write(&b, 0, 2, 2, 0x4243);
		close_vm(&b);
	}
}

/* A process that dies with a running guest, and one that dies inside START. */
static void killed_life(bool in_start)
{
	int ready[2];
	struct vm vm;
	pid_t child;
	char byte;

	expect("pipe", pipe(ready), 0);
	child = fork();
	if (child == 0) {
		set_up(&vm, guest_spin, &one, GH_VM_ANDROID_LEND_USER_MEM);
		if (!in_start)
			ALLOWED(vm.fd, GH_VM_START, NULL);
		expect("tell", write(ready[1], "", 1), 1);
		call(vm.fd, GH_VM_START, NULL);
		for (;;)
			call(vm.vcpu[0], GH_VCPU_RUN, NULL);
	}
	expect("ready", read(ready[0], &byte, 1), 1);
	usleep(in_start ? 2000 : 300000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void case_killed_running(void)
{
	killed_life(false);
}

static void case_killed_in_start(void)
{
	killed_life(true);
}

static void case_again(void)
{
	int i;

	for (i = 0; i < 10 && case_ok; i++)
		case_reset();
}

/* --- The runner: each case in a process of its own, and after it nothing may be missing. --- */

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "device", case_device },
	{ "vm-fd", case_vm_fd },
	{ "region", case_region },
	{ "region-count", case_region_count },
	{ "memlock", case_memlock },
	{ "functions", case_functions },
	{ "irqfd", case_irqfd },
	{ "ioeventfd", case_ioeventfd },
	{ "vcpu-fd", case_vcpu_fd },
	{ "life-share", case_life_share },
	{ "life-lend", case_life_lend },
	{ "life-v8", case_life_v8 },
	{ "reset", case_reset },
	{ "smp", case_smp },
	{ "irqfd-edge", case_irqfd_edge },
	{ "irqfd-level", case_irqfd_level },
	{ "spin", case_spin },
	{ "wfi", case_wfi },
	{ "trap-loop", case_trap_loop },
	{ "abort-loop", case_abort_loop },
	{ "vm-fd-closed-first", case_vm_fd_closed_first },
	{ "remove-running", case_remove_running },
	{ "after-start", case_after_start },
	{ "bad-trees", case_bad_trees },
	{ "scattered", case_scattered },
	{ "two-vms", case_two_vms },
	{ "killed-running", case_killed_running },
	{ "killed-in-start", case_killed_in_start },
	{ "ten-lives", case_again },
};

/* Pages that are pinned in the whole system, -1 if the kernel does not tell. */
static long pinned(void)
{
	char line[128];
	long acquired = -1, released = 0, value;
	FILE *file = fopen("/proc/vmstat", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "nr_foll_pin_acquired %ld", &value) == 1)
			acquired = value;
		if (sscanf(line, "nr_foll_pin_released %ld", &value) == 1)
			released = value;
	}
	if (file)
		fclose(file);
	return acquired < 0 ? -1 : acquired - released;
}

static int wait_for(pid_t child)
{
	int status, tenths;

	for (tenths = 0; tenths < DEADLINE * 10; tenths++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(100000);
	}
	printf("    %s: no end after %d s\n", case_name, DEADLINE);
	char cmd[100]; snprintf(cmd, 100, "head -30 /proc/%d/task/*/stack; grep . /proc/[0-9]*/stack | grep gh_", child); fflush(stdout); system(cmd);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return status;
}

static void run_case(size_t i)
{
	struct timespec begin, end;
	long before = pinned(), after;
	int status, tenths;
	pid_t child;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	case_name = cases[i].name;
	case_ok = true;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		cases[i].run();
		fflush(stdout);
		_exit(!case_ok);
	}
	status = wait_for(child);
	if (status)
		wrong("status %#x", (unsigned int)status);
	/* A killed process leaves its VM to the driver, which takes its time. */
	for (tenths = 0, after = pinned(); after != before && tenths < DEADLINE * 10; tenths++) {
		usleep(100000);
		after = pinned();
	}
	if (after != before)
		wrong("%ld pages stay pinned", after - before);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s driver %s (%.1f s)\n", case_ok ? "PASS" : "FAIL", case_name,
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	case_ok ? passed++ : failed++;
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	bool device = access("/dev/gunyah", R_OK | W_OK) == 0;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!wanted(cases[i].name, argc, argv))
			continue;
		if (device) {
			run_case(i);
		} else {
			printf("SKIP driver %s: no /dev/gunyah\n", cases[i].name);
			skipped++;
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed != 0;
}
