// SPDX-License-Identifier: Apache-2.0
/*
 * One thread a vCPU, which runs the guest and emulates what it traps on. The last one to leave ends
 * the device thread, and that one tells of the end, so that no console text comes after it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "vmm/vm.h"

/* The one signal that a vCPU thread receives. It only has to interrupt the system call. */
static int kick_signal(void)
{
	return SIGRTMIN;
}

static void kicked(int sig)
{
	(void)sig;
}

static int install_kick_handler(struct error *err)
{
	/* Without SA_RESTART: the point is that the call returns. */
	struct sigaction sa = { .sa_handler = kicked };

	sigemptyset(&sa.sa_mask);
	if (sigaction(kick_signal(), &sa, NULL) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "install a signal handler");
	return 0;
}

/* --- The end --- */

static void end_with(struct vmm *vm, const struct vmm_exit *end)
{
	pthread_mutex_lock(&vm->end_lock);
	if (!vm->ended)
		vm->end = *end;
	vm->ended = true;
	pthread_mutex_unlock(&vm->end_lock);
	vcpu_stop_all(vm);
}

static void end_gone(struct vcpu *vcpu, enum vmm_exit_reason reason)
{
	struct vmm_exit end = { .reason = reason };

	if (reason == VMM_EXIT_LOAD_FAILED)
		error_raise(&end.error, ERROR_INTERNAL, "the hypervisor could not load the VM");
	end_with(vcpu->vmm, &end);
}

static void end_failed(struct vcpu *vcpu, const struct error *err)
{
	struct vmm_exit end = { .reason = VMM_EXIT_VMM_ERROR, .error = *err };

	error_widen(&end.error, "vCPU %u", vcpu->index);
	end_with(vcpu->vmm, &end);
}

/* --- Run --- */

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void keep_handling(struct vcpu *vcpu, uint64_t ns)
{
	unsigned int bucket = 0;

	while (bucket < VMM_HANDLING_BUCKETS - 1 && ns >> bucket >= 1000)
		bucket++;
	count(&vcpu->handling[bucket]);
	__atomic_fetch_add(&vcpu->handling_ns, ns, __ATOMIC_RELAXED);
}

static void emulate(struct vcpu *vcpu, struct backend_exit *exit)
{
	const struct bus *bus = &vcpu->vmm->bus;
	uint64_t began = loop_now_ns();

	if (exit->is_write) {
		count(&vcpu->mmio_writes);
		bus_write(bus, exit->at, exit->len, exit->data);
	} else {
		count(&vcpu->mmio_reads);
		exit->data = bus_read(bus, exit->at, exit->len);
	}
	keep_handling(vcpu, loop_now_ns() - began);
}

static void run(struct vcpu *vcpu)
{
	struct vmm *vm = vcpu->vmm;
	struct backend_exit exit = { .kind = BACKEND_EXIT_INTERRUPTED };
	struct error err = { 0 };

	while (!__atomic_load_n(&vm->stopping, __ATOMIC_ACQUIRE)) {
		if (vm->ops->run(vm->backend, vcpu->index, &exit, &err) < 0) {
			count(&vcpu->errors);
			end_failed(vcpu, &err);
			return;
		}
		switch (exit.kind) {
		case BACKEND_EXIT_MMIO:
			emulate(vcpu, &exit);
			break;
		case BACKEND_EXIT_INTERRUPTED:
			count(&vcpu->interrupted);
			break;
		case BACKEND_EXIT_GONE:
			end_gone(vcpu, exit.reason);
			return;
		}
	}
	end_gone(vcpu, VMM_EXIT_FORCE_STOPPED);
}

/* "run_ns wait_ns timeslices" */
static bool read_schedstat(int tid, uint64_t *run_ns, uint64_t *wait_ns)
{
	_cleanup_close_ int fd = -1;
	char path[64], text[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return sscanf(text, "%" SCNu64 " %" SCNu64, run_ns, wait_ns) == 2;
}

static void keep_times(int tid, uint64_t *run, uint64_t *wait)
{
	uint64_t run_ns = 0, wait_ns = 0;

	if (!read_schedstat(tid, &run_ns, &wait_ns)) {
		struct timespec ts = { 0 };

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
		run_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	}
	__atomic_store_n(run, run_ns, __ATOMIC_RELAXED);
	__atomic_store_n(wait, wait_ns, __ATOMIC_RELAXED);
}

static void unblock_kick(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, kick_signal());
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *vcpu_main(void *data)
{
	struct vcpu *vcpu = data;
	struct vmm *vm = vcpu->vmm;
	int tid = (int)syscall(SYS_gettid);
	char name[16];

	/* The kernel takes 15 characters. */
	snprintf(name, sizeof(name), "%.9s/vcpu%u", vm->name, vcpu->index % VMM_VCPUS_MAX);
	pthread_setname_np(pthread_self(), name);
	unblock_kick();
	__atomic_store_n(&vcpu->tid, tid, __ATOMIC_RELEASE);
	run(vcpu);
	keep_times(tid, &vcpu->run_ns, &vcpu->wait_ns);
	__atomic_store_n(&vcpu->tid, 0, __ATOMIC_RELEASE);
	if (__atomic_sub_fetch(&vm->vcpus_running, 1, __ATOMIC_ACQ_REL) == 0)
		loop_quit(&vm->loop);
	return NULL;
}

static void *device_main(void *data)
{
	struct vmm *vm = data;
	int tid = (int)syscall(SYS_gettid);
	char name[16];

	snprintf(name, sizeof(name), "%.11s/dev", vm->name);
	pthread_setname_np(pthread_self(), name);
	__atomic_store_n(&vm->device_tid, tid, __ATOMIC_RELEASE);
	loop_run(&vm->loop);
	keep_times(tid, &vm->device_run_ns, &vm->device_wait_ns);
	__atomic_store_n(&vm->device_tid, 0, __ATOMIC_RELEASE);
	console_flush(&vm->console);
	vm->events.exited(vm->events.data, &vm->end);
	return NULL;
}

static int start_thread(pthread_t *thread, void *(*main)(void *), void *data, struct error *err)
{
	sigset_t all, old;
	int r;

	/* A thread inherits the mask: signals are for the process's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, NULL, main, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, r, "start a thread");
	return 0;
}

/*
 * The device thread is made last: until then nobody can tell of the end, and what the vCPUs signal
 * before waits for it. That leaves nothing to take back for it when a vCPU thread cannot be made.
 */
int vcpu_start_all(struct vmm *vm, struct error *err)
{
	int r = install_kick_handler(err);

	if (r < 0)
		return r;
	__atomic_store_n(&vm->vcpus_running, vm->vcpu_count, __ATOMIC_RELEASE);
	vm->state = VMM_STARTED;
	for (unsigned int i = 0; r == 0 && i < vm->vcpu_count; i++) {
		r = start_thread(&vm->vcpus[i].thread, vcpu_main, &vm->vcpus[i], err);
		vm->vcpus[i].created = r == 0;
	}
	if (r == 0)
		r = start_thread(&vm->device_thread, device_main, vm, err);
	if (r < 0) {
		vm->state = VMM_START_FAILED;
		vcpu_stop_all(vm);
		vcpu_join_all(vm);
		return r;
	}
	vm->device_thread_created = true;
	return 0;
}

void vcpu_stop_all(struct vmm *vm)
{
	__atomic_store_n(&vm->stopping, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];
		int tid = __atomic_load_n(&vcpu->tid, __ATOMIC_ACQUIRE);

		/*
		 * In this order: a thread that misses the signal finds the flag before it enters
		 * the guest.
		 */
		vm->ops->kick(vm->backend, i);
		if (tid)
			syscall(SYS_tgkill, getpid(), tid, kick_signal());
	}
}

void vcpu_join_all(struct vmm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i].created)
			pthread_join(vm->vcpus[i].thread, NULL);
		vm->vcpus[i].created = false;
	}
	if (vm->device_thread_created)
		pthread_join(vm->device_thread, NULL);
	vm->device_thread_created = false;
}

/*
 * The times of a thread, which leaves its last ones where `run` and `wait` are. Returns whether it
 * is alive; its number may be another's when it is not.
 */
static bool times_of(const int *tid_at, const uint64_t *run, const uint64_t *wait, uint64_t *ns)
{
	int tid = __atomic_load_n(tid_at, __ATOMIC_ACQUIRE);
	bool read = tid && read_schedstat(tid, &ns[0], &ns[1]);
	bool alive = tid && __atomic_load_n(tid_at, __ATOMIC_ACQUIRE) == tid;

	if (!alive || !read) {
		ns[0] = __atomic_load_n(run, __ATOMIC_RELAXED);
		ns[1] = __atomic_load_n(wait, __ATOMIC_RELAXED);
	}
	return alive;
}

void device_thread_stats(struct vmm *vm, struct vmm_stats *stats)
{
	uint64_t ns[2] = { 0 };

	times_of(&vm->device_tid, &vm->device_run_ns, &vm->device_wait_ns, ns);
	stats->device_run_ns = ns[0];
	stats->device_wait_ns = ns[1];
}

void vcpu_stats(struct vcpu *vcpu, struct vmm_vcpu_stats *stats)
{
	struct vmm *vm = vcpu->vmm;
	struct backend_counters counters = { 0 };
	uint64_t ns[2] = { 0 };

	stats->running = times_of(&vcpu->tid, &vcpu->run_ns, &vcpu->wait_ns, ns);
	stats->run_ns = ns[0];
	stats->wait_ns = ns[1];
	for (unsigned int i = 0; i < VMM_HANDLING_BUCKETS; i++)
		stats->handling[i] = __atomic_load_n(&vcpu->handling[i], __ATOMIC_RELAXED);
	stats->handling_ns = __atomic_load_n(&vcpu->handling_ns, __ATOMIC_RELAXED);
	stats->mmio_reads = __atomic_load_n(&vcpu->mmio_reads, __ATOMIC_RELAXED);
	stats->mmio_writes = __atomic_load_n(&vcpu->mmio_writes, __ATOMIC_RELAXED);
	stats->interrupted = __atomic_load_n(&vcpu->interrupted, __ATOMIC_RELAXED);
	stats->errors = __atomic_load_n(&vcpu->errors, __ATOMIC_RELAXED);
	stats->handled_measured = vm->ops->counters(vm->backend, vcpu->index, &counters);
	stats->handled = counters.handled;
	stats->wakeups = counters.wakeups;
	stats->interrupted += counters.interrupted;
}
