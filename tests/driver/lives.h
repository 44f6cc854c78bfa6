/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of tiny guests that several test programs give, and the poking of a vCPU's thread.
 */
#ifndef CROFT_TESTS_DRIVER_LIVES_H
#define CROFT_TESTS_DRIVER_LIVES_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "tests/driver/tiny.h"

/* What guest_mmio says and asks up to its writes for ioeventfds. */
static inline void mmio_talk(struct vm *vm)
{
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
}

static inline void mmio_life(struct vm *vm)
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
	mmio_talk(vm);
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

static inline void irq_life(bool level)
{
	struct tree tree = { .cpus = 1, .level = level };
	struct gh_fn_irqfd_arg arg = { .label = BELL, .flags = level ? GH_IRQFD_FLAGS_LEVEL : 0 };
	int event = eventfd(0, EFD_CLOEXEC);
	struct gh_vcpu_stats stats;
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
	ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("interrupts counted", (long)stats.vm_injected, 3);
	close(event);
	close_vm(&vm);
}

/* --- A vCPU that is poked: its thread gets a signal again and again until told to stop. --- */

struct poker {
	pthread_t thread, target;
	atomic_bool stop;
};

static inline void on_signal(int number)
{
	(void)number;
}

static inline void *poke(void *arg)
{
	struct poker *poker = arg;

	while (!atomic_load(&poker->stop)) {
		usleep(200000);
		pthread_kill(poker->target, SIGUSR1);
	}
	return NULL;
}

static inline void poke_me(struct poker *poker)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	poker->target = pthread_self();
	atomic_init(&poker->stop, false);
	pthread_create(&poker->thread, NULL, poke, poker);
}

static inline void poke_no_more(struct poker *poker)
{
	atomic_store(&poker->stop, true);
	pthread_join(poker->thread, NULL);
}

#endif
