// SPDX-License-Identifier: Apache-2.0
/*
 * Gives tiny guests whole lives with the driver alone, on the board: exits, interrupts, signals,
 * and rude endings.
 *
 * Usage: life_check [WORD...] runs the cases whose names contain a WORD; without one, all.
 */
#include "tests/driver/lives.h"

static void case_life_lend(void)
{
	struct vm vm;

	set_up(&vm, &guest_mmio, &one, GH_VM_ANDROID_LEND_USER_MEM);
	mmio_life(&vm);
	/* Given back, the memory is the process's again, with nothing of the guest's in it. */
	close_vcpu(&vm, 0);
	close(vm.fd);
	vm.fd = -1;
	expect("tree in returned memory", (unsigned char)vm.memory[DTB_OFFSET], 0);
	close_vm(&vm);
}

static void case_reset(void)
{
	struct vm vm;

	if (start(&vm, &guest_reset, &one))
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
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
	{ "life-lend", case_life_lend },
	{ "reset", case_reset },
	{ "spin", case_spin },
	{ "wfi", case_wfi },
	{ "trap-loop", case_trap_loop },
	{ "abort-loop", case_abort_loop },
	{ "vm-fd-closed-first", case_vm_fd_closed_first },
	{ "remove-running", case_remove_running },
	{ "after-start", case_after_start },
	{ "bad-trees", case_bad_trees },
	{ "two-vms", case_two_vms },
	{ "killed-running", case_killed_running },
	{ "killed-in-start", case_killed_in_start },
	{ "ten-lives", case_again },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
