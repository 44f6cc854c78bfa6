// SPDX-License-Identifier: Apache-2.0
/*
 * The capabilities of the v8 series that a running guest shows: 24 to 28.
 *
 * Usage: cap_guest [WORD...] runs the cases whose names contain a WORD; without one, all.
 */
#include "tests/driver/lives.h"
#include "tests/driver/watch.h"

/* A write that a handler takes is no exit; a read at the same place is one. */
static void cap_24(void)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct gh_vcpu_stats stats;
	struct vm vm;

	set_up(&vm, &guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
	/* The guest's first and third writes, and the address of its first read. */
	expect("handler", IOEVENTFD(&vm, .addr = MMIO, .len = 1, .fd = event), 0);
	expect("handler", IOEVENTFD(&vm, .addr = MMIO + 4, .len = 0, .fd = event), 0);
	expect("handler", IOEVENTFD(&vm, .addr = MMIO + 0x10, .len = 0, .fd = event), 0);
	/* Right address, wrong length: not taken. */
	expect("handler", IOEVENTFD(&vm, .addr = MMIO + 2, .len = 4, .fd = event), 0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 2, 2, 0x4243);
	expect_write(&vm, 0, 8, 8, 0x4445464744454647);
	expect_read(&vm, 0, 0x10, 1, 0);
	ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("writes taken", (long)stats.mmio_kernel, 2);
	close_vm(&vm);
	close(event);
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

static void smp_life(void)
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

/* Exits, their data both ways, a power-off; a second vCPU that the first switches on. */
static void cap_25(void)
{
	struct gh_vcpu_stats stats;
	struct vm vm;

	set_up(&vm, &guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	mmio_talk(&vm);
	ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("returns to user space", (long)stats.user_exits, 10);
	close_vm(&vm);
	smp_life();
}

/* Level: the doorbell shows its bit once and takes it back; without a clear it would ring on. */
static void cap_26(void)
{
	irq_life(true);
}

static void cap_27(void)
{
	irq_life(false);
}

static void cap_28(void)
{
	struct vm vm;

	set_up(&vm, &guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
	mmio_life(&vm);
	close_vm(&vm);
}

static const struct test_case cases[] = {
	{ "cap_24 IO handlers", cap_24 }, { "cap_25 proxy-scheduled vCPUs", cap_25 },
	{ "cap_26 doorbells", cap_26 },	  { "cap_27 irqfd", cap_27 },
	{ "cap_28 ioeventfd", cap_28 },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
