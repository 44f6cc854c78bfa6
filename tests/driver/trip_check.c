// SPDX-License-Identifier: Apache-2.0
/*
 * What a round trip of a vCPU does in the kernel: two vCPUs make thousands of them side by side, and
 * the kernel's own events tell that the driver allocates nothing, that the two share no lock, and
 * that a write which an ioeventfd takes is no return to user space.
 *
 * Each event is counted by call stack. What an interrupt or the scheduler does meanwhile in the same
 * thread is none of the driver's doing, and counted apart.
 */
#include <sys/syscall.h>

#include "tests/driver/hist.h"
#include "tests/driver/lives.h"

#define WARM_UP 50
#define TRIPS	3000
#define SIDE	0x100 /* the second vCPU's addresses are this much further */

/*
 * Both vCPUs: a read; a write of what was read, a write for an ioeventfd, again if it was 0; then
 * asleep for ever.
 */
/* clang-format off */
static const uint32_t guest_trips_code[] = {
	0xd2a12013,	/* 00: mov x19, #0x9000000 */
	0x52b88000,	/* 04: mov w0, #0xc4000000 */
	0x72800060,	/* 08: movk w0, #0x3 */
	0xd2800021,	/* 0c: mov x1, #0x1 */
	0x100000a2,	/* 10: adr x2, +0x24 */
	0xd2802003,	/* 14: mov x3, #0x100 */
	0xd4000002,	/* 18: hvc #0x0 */
	0xb9003260,	/* 1c: str w0, [x19, #48] */
	0xd2800000,	/* 20: mov x0, #0x0 */
	0xd2a12013,	/* 24: mov x19, #0x9000000 */
	0x8b000273,	/* 28: add x19, x19, x0 */
	0xb9400261,	/* 2c: ldr w1, [x19] */
	0xb9000661,	/* 30: str w1, [x19, #4] */
	0xb9000a61,	/* 34: str w1, [x19, #8] */
	0x34ffffa1,	/* 38: cbz w1, +0x2c */
	0xd503207f,	/* 3c: wfi */
	0x17ffffff,	/* 40: b +0x3c */
};
/* clang-format on */

/* What the kernel can be asked for; those it does not have are left out, and at least two it has. */
static const char *const allocations[] = {
	"kmem/kmalloc",		 "kmem/kmalloc_node",
	"kmem/kmem_cache_alloc", "kmem/kmem_cache_alloc_node",
	"kmem/mm_page_alloc",	 "percpu/percpu_alloc_percpu",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONTENDED    "lock/contention_begin"
#define MUTEXES	     "kprobes/croft_mutex"
#define SYSCALLS     "raw_syscalls/sys_enter"
#define EXITS	     "gunyah/gunyah_vcpu_exit"

struct side {
	struct vm *vm;
	pthread_barrier_t *step;
	atomic_int *over;
	int i, tid;
};

static void trips(struct side *side, int count)
{
	unsigned long at = side->i ? SIDE : 0;
	int n;

	for (n = 0; n < count; n++) {
		expect_read(side->vm, side->i, at, 4, 0);
		expect_write(side->vm, side->i, at + 4, 4, 0);
	}
}

/* The second vCPU sleeps in its RUN, in which the first thread then wants to be too. */
static void contend(struct side *side)
{
	struct gh_vcpu_stats stats = {};
	int vcpu = side->vm->vcpu[1];

	if (side->i) {
		expect_read(side->vm, 1, SIDE, 4, 1);
		expect_write(side->vm, 1, SIDE + 4, 4, 1);
	} else {
		while (case_ok && !stats.wakeup)
			ALLOWED(vcpu, GH_VCPU_GET_STATS, &stats);
		expect("ioeventfd",
		       IOEVENTFD(side->vm, .addr = MMIO + 0x800, .len = 4,
				 .fd = eventfd(0, EFD_CLOEXEC)),
		       0);
	}
	if (case_ok)
		REFUSED(vcpu, GH_VCPU_RUN, NULL, EINTR);
	atomic_fetch_add(side->over, 1);
}

static void *run_side(void *arg)
{
	struct side *side = arg;

	side->tid = (int)syscall(SYS_gettid);
	if (side->i == 0)
		expect_write(side->vm, 0, 0x30, 4, 0);
	trips(side, WARM_UP);
	pthread_barrier_wait(side->step); /* The counts begin, */
	pthread_barrier_wait(side->step);
	trips(side, TRIPS);
	pthread_barrier_wait(side->step); /* are read, */
	pthread_barrier_wait(side->step);
	contend(side); /* and shown to count. */
	pthread_barrier_wait(side->step);
	return NULL;
}

/* --- What was counted --- */

struct tally {
	const struct side *sides;
	unsigned long long key; /* only these entries, if `keyed` */
	bool keyed;
	long driver[2], other[2];
	unsigned long long lock[2]; /* the mutex that the driver took for this side's vCPU */
	int locks[2];
	char stack[512]; /* of the driver's, the last */
};

static void add(void *context, const struct hist_entry *entry)
{
	struct tally *tally = context;
	int i = entry->tid == tally->sides[1].tid;

	if (tally->keyed && entry->key != tally->key)
		return;
	if (!entry->by_driver) {
		tally->other[i] += entry->hits;
		return;
	}
	tally->driver[i] += entry->hits;
	if (!tally->locks[i] || tally->lock[i] != entry->key)
		tally->locks[i]++;
	tally->lock[i] = entry->key;
	memcpy(tally->stack, entry->stack, sizeof(tally->stack));
}

static struct tally tally_of(const struct side sides[2], const char *event)
{
	struct tally tally = { .sides = sides };

	hist_each(event, add, &tally);
	return tally;
}

static struct tally allocated(const struct side sides[2])
{
	struct tally tally = { .sides = sides };
	size_t i;

	for (i = 0; i < COUNT(allocations); i++)
		if (hist_has(allocations[i]))
			hist_each(allocations[i], add, &tally);
	return tally;
}

/* Events that have no stack: of both sides, with this key. */
static void expect_each(const char *what, const struct side sides[2], const char *event,
			unsigned long long key, long want)
{
	struct tally tally = { .sides = sides, .key = key, .keyed = true };

	hist_each(event, add, &tally);
	expect(what, tally.other[0], want);
	expect(what, tally.other[1], want);
}

static void check_counts(const struct side sides[2])
{
	struct tally memory = allocated(sides), locks = tally_of(sides, CONTENDED);
	struct tally mutexes = tally_of(sides, MUTEXES);

	if (memory.driver[0] + memory.driver[1])
		wrong("the driver allocates %ld and %ld times:%s", memory.driver[0],
		      memory.driver[1], memory.stack);
	if (locks.driver[0] + locks.driver[1])
		wrong("the driver waits for a lock %ld and %ld times:%s", locks.driver[0],
		      locks.driver[1], locks.stack);
	expect("mutexes that vCPU 0 takes", mutexes.locks[0], 1);
	expect("mutexes that vCPU 1 takes", mutexes.locks[1], 1);
	expect("the same mutex", mutexes.lock[0] == mutexes.lock[1], 0);
	expect("mutexes taken", mutexes.driver[0] + mutexes.driver[1], 4 * TRIPS);
	expect_each("system calls", sides, SYSCALLS, SYS_ioctl, 2 * TRIPS);
	expect_each("reads", sides, EXITS, GH_VCPU_ADDRSPACE_VMMIO_READ, TRIPS);
	expect_each("writes", sides, EXITS, GH_VCPU_ADDRSPACE_VMMIO_WRITE, 2 * TRIPS);
	printf("    %s: %d each; interrupts and the scheduler: %ld allocations, %ld contended locks\n",
	       case_name, TRIPS, memory.other[0] + memory.other[1],
	       locks.other[0] + locks.other[1]);
}

/* The same counters see what the driver does elsewhere; then a signal ends it. */
static void check_control(const struct side sides[2], const pthread_t thread[2])
{
	int tenths = 0;

	while (case_ok && !tally_of(sides, CONTENDED).driver[0] && tenths++ < 600)
		usleep(100000);
	if (case_ok) {
		expect("a lock that the driver waits for is seen", tenths <= 600, 1);
		expect("an allocation of the driver's is seen", allocated(sides).driver[0] > 0, 1);
	}
	while (atomic_load(sides[0].over) < 2) {
		pthread_kill(thread[0], SIGUSR1);
		pthread_kill(thread[1], SIGUSR1);
		usleep(10000);
	}
}

static void count_from_here(const struct side sides[2])
{
	const int tids[2] = { sides[0].tid, sides[1].tid };
	size_t i, known = 0;

	for (i = 0; i < COUNT(allocations); i++) {
		if (!hist_has(allocations[i]))
			continue;
		hist_begin(allocations[i], "stacktrace", tids);
		known++;
	}
	expect("events of allocation", known >= 2, 1);
	hist_begin(CONTENDED, "stacktrace", tids);
	hist_begin(MUTEXES, "lock,caller.sym", tids);
	hist_begin(SYSCALLS, "id", tids);
	hist_begin(EXITS, "state", tids);
}

static void expect_eventfd(const char *what, int event, long want)
{
	uint64_t count = 0;

	expect(what, read(event, &count, sizeof(count)), sizeof(count));
	expect(what, (long)count, want);
}

static void side_by_side(struct vm *vm, const int event[2])
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_barrier_t step;
	atomic_int over = 0;
	struct side sides[2];
	pthread_t thread[2];
	int i;

	sigaction(SIGUSR1, &action, NULL);
	pthread_barrier_init(&step, NULL, 3);
	for (i = 0; i < 2; i++) {
		sides[i] = (struct side){ .vm = vm, .step = &step, .over = &over, .i = i };
		pthread_create(&thread[i], NULL, run_side, &sides[i]);
	}
	pthread_barrier_wait(&step);
	count_from_here(sides);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	check_counts(sides);
	for (i = 0; i < 2; i++)
		expect_eventfd("writes that the ioeventfd took", event[i], WARM_UP + TRIPS - 1);
	pthread_barrier_wait(&step);
	check_control(sides, thread);
	pthread_barrier_wait(&step);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* Every way to a mutex or a semaphore, whose address is the first argument. */
#define PROBE(function) "p:croft_mutex " function " lock=%x0 caller=%lr\n"
static const char probes[] = PROBE("mutex_lock") PROBE("mutex_lock_interruptible")
	PROBE("mutex_lock_killable") PROBE("mutex_trylock") PROBE("down_read") PROBE("down_write");

static void round_trips(void)
{
	int event[2], i;
	struct vm vm;

	if (!spill(TRACING "kprobe_events", probes))
		skip("this kernel has no probes");
	hist_open();
	set_up(&vm, &(struct guest){ guest_trips_code, sizeof(guest_trips_code) },
	       &(struct tree){ .cpus = 2 }, GH_VM_SET_USER_MEM_REGION);
	for (i = 0; i < 2; i++) {
		event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		expect("ioeventfd",
		       IOEVENTFD(&vm, .addr = MMIO + (unsigned int)i * SIDE + 8, .len = 4,
				 .fd = event[i]),
		       0);
	}
	ALLOWED(vm.fd, GH_VM_START, NULL);
	if (case_ok)
		side_by_side(&vm, event);
	close_vm(&vm);
	hist_close();
	spill(TRACING "kprobe_events", "");
}

static const struct test_case cases[] = {
	{ "trips of two vCPUs: no allocation, no shared lock, no wake-up", round_trips },
};

int main(int argc, char **argv)
{
	return run_cases(cases, COUNT(cases), argc, argv);
}
