// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls of the storm: on each CPU a thread that calls everything with anything, and runs the hostile guest meanwhile. */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "storm_host.h"

#define CALLS 0x70u
#define CAPS  2048u
#define OWN   20u /* those that exist now lie in front */
#define RUNS  32u

static struct task_struct *threads[STORM_THREADS];
static atomic_t busy;

/*
 * What would hit the test itself: its own messages are the message thread's, and where results go must not be the kernel's
 * memory.
 */
static bool spared(unsigned int n, u64 cap)
{
	bool queue = cap == rm.tx_cap || cap == rm.rx_cap;

	return queue &&
	       (n == GH_CALL_MSGQ_SEND || n == GH_CALL_MSGQ_RECV || n == GH_CALL_MSGQ_FLUSH);
}

static bool of_victim(u64 cap)
{
	return cap == storm.victim.cpu[0].cap;
}

static void hypercall(u64 *random)
{
	unsigned int n = storm_below(random, CALLS), i;
	u64 cap = storm_below(random, storm_rarely(random, 3) ? CAPS : OWN);
	struct regs r = { { GH_SMCCC_HYPERCALL(n), cap } };

	if (storm_rarely(random, 8))
		r.x[1] = storm_value(random);
	for (i = 2; i < 8; i++)
		r.x[i] = storm_rarely(random, 2) ? 0 : storm_value(random);
	if (spared(n, r.x[1]) || (n == GH_CALL_VCPU_RUN && of_victim(r.x[1])))
		return;
	if (storm_rarely(random, 4))
		smc(&r);
	else
		hvc(&r);
}

/* The right queue, but a buffer or a size that is wrong. */
static void bad_buffer(u64 *random)
{
	static const u64 buffers[] = {
		0, 0x1000, 0xffff000000000000, 0x0000ffffffffffff, ~0ull, 0x8000000000000000
	};
	u64 buffer = buffers[storm_below(random, ARRAY_SIZE(buffers))];
	struct regs r;

	if (storm_rarely(random, 3))
		buffer = (uintptr_t)storm.victim.memory + storm_below(random, VM_SIZE);
	if (storm_rarely(random, 2))
		HYPERCALL(&r, GH_CALL_MSGQ_SEND, rm.tx_cap, storm_below(random, 1024), buffer,
			  storm_below(random, 4));
	else
		HYPERCALL(&r, GH_CALL_MSGQ_RECV, rm.rx_cap, buffer, storm_below(random, 1024));
}

static void psci(u64 *random)
{
	static const u32 functions[] = {
		0x84000000, 0x84000003, 0xc4000003, 0x84000004, 0xc4000004, 0x84000006, 0x8400000a,
		0x8400000f, 0x84000010, 0x84000013, 0x84000014, 0x80000000, 0x80000001,
	};
	struct regs r = { { functions[storm_below(random, ARRAY_SIZE(functions))],
			    storm_rarely(random, 2) ? storm_below(random, 3) : storm_value(random),
			    storm_value(random), storm_value(random) } };

	hvc(&r);
}

/* As a host would, mostly; but also one that another CPU is in, and with answers that make no sense. False: it did nothing. */
static bool run(u64 *random)
{
	unsigned int vcpu = storm_rarely(random, 8) ? storm_below(random, STORM_CPUS)
						    : smp_processor_id() % STORM_CPUS;
	unsigned int i;

	for (i = 0; i < RUNS; i++) {
		u64 resume[3] = { 0 };
		struct run_exit e;

		if (storm_rarely(random, 2)) {
			resume[0] = storm_value(random);
			resume[1] = storm_below(random, 4);
		}
		vcpu_run(READ_ONCE(storm.caps[vcpu]), resume, 0, &e);
		atomic64_inc(&storm.runs);
		atomic64_inc(&storm.exits[min_t(u64, e.state, STORM_EXITS - 1)]);
		/* It does no more before the next look. */
		if (e.state == GH_VCPU_ADDRSPACE_VMMIO_READ && e.data[0] == STORM_WAIT)
			break;
		if (e.state != GH_VCPU_READY && e.state != GH_VCPU_ADDRSPACE_VMMIO_READ &&
		    e.state != GH_VCPU_ADDRSPACE_VMMIO_WRITE)
			break;
	}
	return i;
}

static void turn(u64 *random)
{
	switch (storm_below(random, 48)) {
	case 0:
		storm_wild_register(random);
		atomic64_inc(&storm.registers);
		break;
	case 1:
		storm_wild_access(random);
		atomic64_inc(&storm.accesses);
		break;
	case 2 ... 7:
		psci(random);
		break;
	case 8 ... 13:
		bad_buffer(random);
		break;
	default:
		hypercall(random);
	}
}

static int storm_thread(void *number)
{
	u64 random = storm.seed * 0x9e3779b97f4a7c15ull + (uintptr_t)number + 1;
	bool ran = true;
	unsigned int i;

	while (!kthread_should_stop()) {
		bool behind = storm_guest_behind();

		if (READ_ONCE(storm.quiet) ||
		    (behind ? !ran : storm_total() > READ_ONCE(storm.looked) + STORM_BATCH)) {
			usleep_range(20, 100);
			ran = true;
			continue;
		}
		atomic_inc(&busy);
		if (!READ_ONCE(storm.quiet)) {
			for (i = 0; !behind && i < STORM_BURST; i++)
				turn(&random);
			atomic64_add(i, &storm.calls);
			ran = run(&random);
		}
		atomic_dec(&busy);
		cond_resched();
	}
	return 0;
}

void storm_calls_pause(bool on)
{
	WRITE_ONCE(storm.quiet, on);
	while (on && atomic_read(&busy))
		usleep_range(20, 100);
}

int storm_calls_begin(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
	{
		if (cpu >= STORM_THREADS)
			break;
		threads[cpu] =
			kthread_create(storm_thread, (void *)(uintptr_t)cpu, "storm/%u", cpu);
		if (IS_ERR(threads[cpu])) {
			int error = PTR_ERR(threads[cpu]);

			threads[cpu] = NULL;
			return error;
		}
		kthread_bind(threads[cpu], cpu);
		wake_up_process(threads[cpu]);
	}
	return 0;
}

void storm_calls_end(void)
{
	unsigned int i;

	for (i = 0; i < STORM_THREADS; i++)
		if (threads[i])
			kthread_stop(threads[i]);
	memset(threads, 0, sizeof(threads));
}
