// SPDX-License-Identifier: Apache-2.0
/*
 * Gives tiny guests whole lives with the driver alone, on the board: exits, interrupts, signals,
 * and rude endings.
 *
 * Usage: life_check [WORD...] runs the cases whose names contain a WORD; without one, all.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "tests/driver/tiny.h"

static void mmio_life(struct vm *vm)
{
	struct gh_vcpu_stats stats;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count = 0;

	expect("ioeventfd",
	       IOEVENTFD(vm, .addr = MMIO + 0x100, .len = 4, .fd = event, .flags = 1,
			 .datamatch = 7),
	       0);
	expect("ioeventfd", IOEVENTFD(vm, .addr = MMIO + 0x104, .len = 2, .fd = event), 0);
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
	expect_write(vm, 0, 0x28, 4, 0xedfe0dd0); /* the tree's magic, big-endian */
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

	set_up(&vm, &guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
	mmio_life(&vm);
	close_vm(&vm);
}

static void case_life_lend(void)
{
	struct vm vm;

	set_up(&vm, &guest_mmio, &one, GH_VM_ANDROID_LEND_USER_MEM);
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
	memcpy(vm.memory, guest_mmio.code, guest_mmio.size);
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

	if (start(&vm, &guest_reset, &one))
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

	if (start(&vm, &guest_smp, &two)) {
		pthread_create(&second, NULL, run_second, &vm);
		expect_write(&vm, 0, 0x30, 4, 0);
		expect_read(&vm, 0, 0x34, 4, 0);
		/*
		 * The first vCPU asks again and again; it is told once the second has had its say.
		 */
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

	set_up(&vm, &guest_irq, &tree, GH_VM_SET_USER_MEM_REGION);
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

/*
 * Signals and immediate_exit take a vCPU out of a guest that never leaves by itself; closing then
 * stops the guest.
 */
static void endless_life(const struct guest *guest)
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
	endless_life(&guest_spin);
}

static void case_wfi(void)
{
	endless_life(&guest_wfi);
}

static void case_trap_loop(void)
{
	endless_life(&guest_trap);
}

/*
 * A hypervisor may let the guest go on with it, or end the VM as faulty; the host sees one or the
 * other.
 */
static void case_abort_loop(void)
{
	struct poker poker;
	struct vm vm;
	long ret;

	if (start(&vm, &guest_abort, &one)) {
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

	if (start(&vm, &guest_spin, &one)) {
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

	if (start(&vm, &guest_spin, &one)) {
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

	if (start(&vm, &guest_spin, &one)) {
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

	set_up(&vm, &guest_mmio, tree, GH_VM_SET_USER_MEM_REGION);
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
	memcpy(vm.memory, guest_reset.code, guest_reset.size);
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

	if (start(&a, &guest_reset, &one) && start(&b, &guest_mmio, &one)) {
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
		set_up(&vm, &guest_spin, &one, GH_VM_ANDROID_LEND_USER_MEM);
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

static const struct test_case cases[] = {
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

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
