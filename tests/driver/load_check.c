// SPDX-License-Identifier: Apache-2.0
/*
 * Many lives, one after the other and at once: what the kernel holds afterwards is what it held
 * before. And what a round trip of a vCPU costs.
 */
#include "tests/driver/door.h"
#include "tests/driver/lives.h"
#include "tests/driver/watch.h"

#define LIVES	 200
#define AT_ONCE	 8
#define SLAB_KIB 4096 /* caches of the kernel that have nothing to do with us */

static long slab_kib(void)
{
	spill("/proc/sys/vm/drop_caches", "3\n");
	return figure("/proc/meminfo", "Slab:");
}

/* How much more slab there is than before, once what is freed under RCU has had its time. */
static long slab_growth(long before)
{
	int tenths;

	for (tenths = 0; tenths < 600 && slab_kib() - before > SLAB_KIB; tenths++)
		usleep(100000);
	return slab_kib() - before;
}

static void one_life(void)
{
	struct vm vm;

	set_up(&vm, &guest_reset, &one, GH_VM_ANDROID_LEND_USER_MEM);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
}

static void lives(void)
{
	long slab, available;
	int i;

	for (i = 0; i < 5; i++)
		one_life();
	available = available_kib();
	slab = slab_kib();
	for (i = 0; i < LIVES && case_ok; i++)
		one_life();
	slab = slab_growth(slab);
	available -= available_kib();
	if (slab > SLAB_KIB)
		wrong("%ld KiB more slab after %d lives", slab, LIVES);
	if (available > SLACK_KIB)
		wrong("%ld KiB less are available after %d lives", available, LIVES);
	printf("    %s: %d lives, slab %+ld KiB, available %+ld KiB\n", case_name, LIVES, slab,
	       -available);
}

static void at_once(void)
{
	struct vm vm[AT_ONCE];
	long slab, pins, ret;
	int i, n;

	one_life();
	slab = slab_kib();
	pins = pinned();
	for (n = 0; n < AT_ONCE && case_ok; n++) {
		set_up(&vm[n], &guest_mmio, &one, GH_VM_SET_USER_MEM_REGION);
		ret = call(vm[n].fd, GH_VM_START, NULL);
		/* Another resource manager has less memory of its own, and then says so. */
		if (ret == -ENODEV && n > 1 && !has_door()) {
			close_vm(&vm[n]);
			break;
		}
		expect("GH_VM_START", ret, 0);
	}
	for (i = 0; i < n; i++)
		mmio_talk(&vm[i]);
	expect("pinned pages", pinned() - pins, n * (long)(SIZE / PAGE));
	for (i = 0; i < n; i++)
		close_vm(&vm[i]);
	slab = slab_growth(slab);
	if (slab > SLAB_KIB)
		wrong("%ld KiB more slab", slab);
	printf("    %s: %d VMs, slab %+ld KiB\n", case_name, n, slab);
}

/*
 * A vCPU whose thread sits in a system call with its own lock held does not delay the other one:
 * the first sleeps inside RUN, the second makes its exits.
 */
static void *sleeps(void *arg)
{
	struct vm *vm = arg;

	/* CPU_OFF: sleeps in RUN until the VM ends. */
	expect_write(vm, 1, 0x38, 4, 0x77);
	expect_end(vm, 1, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	return NULL;
}

static void round_trips(void)
{
	struct gh_vcpu_stats before, after;
	struct timespec begin, end;
	pthread_t thread;
	struct vm vm;
	int i;

	if (start(&vm, &guest_smp, &(struct tree){ .cpus = 2 })) {
		pthread_create(&thread, NULL, sleeps, &vm);
		expect_write(&vm, 0, 0x30, 4, 0);
		ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &before);
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (i = 0; i < 2000 && case_ok; i++)
			expect_read(&vm, 0, 0x34, 4, 0);
		clock_gettime(CLOCK_MONOTONIC, &end);
		ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &after);
		expect("reads counted", (long)(after.mmio_read - before.mmio_read), 2000);
		expect("returns counted", (long)(after.user_exits - before.user_exits), 2000);
		printf("    %s: %ld ns each, %ld ns of it in the hypervisor\n", case_name,
		       ((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec) /
			       2000,
		       (long)(after.run_ns - before.run_ns) / 2000);
		expect_read(&vm, 0, 0x34, 4, 1);
		expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_OFF);
		pthread_join(thread, NULL);
	}
	close_vm(&vm);
}

static const struct test_case cases[] = {
	{ "load round trips of a vCPU", round_trips },
	{ "load eight VMs at once", at_once },
	{ "load two hundred lives", lives },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
