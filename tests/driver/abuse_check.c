// SPDX-License-Identifier: Apache-2.0
/*
 * What processes do to the driver without meaning to: signals, fork and exec, fds passed on, memory
 * of every kind, CPUs that go, a suspend.
 */
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/driver/lives.h"
#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

/* --- Memory --- */

/* A life in this memory, which then is the process's again. */
static void life_in(char *memory, size_t size, unsigned long how)
{
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	struct vm vm;

	open_vm(&vm);
	munmap(vm.memory, vm.size);
	vm.memory = memory;
	vm.size = size;
	expect("region", give(&vm, memory, 7, how), 0);
	memcpy(memory, guest_reset.code, guest_reset.size);
	put_tree(memory + DTB_OFFSET, &one);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(&vm, 0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vcpu(&vm, 0);
	close(vm.fd);
	vm.fd = -1;
	/* What was the guest's own comes back as zeros. */
	expect("tree in returned memory", (unsigned char)memory[DTB_OFFSET],
	       how == GH_VM_ANDROID_LEND_USER_MEM ? 0 : 0xd0);
	expect("and it can be written", (memory[0] = 1, memory[0]), 1);
	close_vm(&vm);
}

static void memory_anonymous(void)
{
	life_in(map(MAP_PRIVATE | MAP_ANONYMOUS, -1), SIZE, GH_VM_ANDROID_LEND_USER_MEM);
	life_in(map(MAP_PRIVATE | MAP_ANONYMOUS, -1), SIZE, GH_VM_SET_USER_MEM_REGION);
}

static void memory_memfd(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	expect("ftruncate", ftruncate(fd, SIZE), 0);
	life_in(map(MAP_SHARED, fd), SIZE, GH_VM_ANDROID_LEND_USER_MEM);
	life_in(map(MAP_PRIVATE, fd), SIZE, GH_VM_ANDROID_LEND_USER_MEM);
	close(fd);
}

/* Huge pages are few ranges, and come back as huge pages. */
static void memory_huge(void)
{
	char *trace, *memory;

	need_huge_pages();
	memory = map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	trace_begin();
	life_in(memory, SIZE, GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	expect("one range", traced(trace, "gunyah_mem: ", "ranges=1 ") > 0, 1);
	free(trace);
	spill("/proc/sys/vm/nr_hugepages", "0\n");
}

/* Memory that the guest may only read may be read-only here; nothing else may. */
static void memory_read_only(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct vm vm;
	char *memory;

	expect("ftruncate", ftruncate(fd, SIZE), 0);
	expect("fallocate", fallocate(fd, 0, 0, SIZE), 0);
	memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	open_vm(&vm);
	expect("RWX", give(&vm, memory, 7, GH_VM_SET_USER_MEM_REGION), -EFAULT);
	expect("lent RX", give(&vm, memory, 5, GH_VM_ANDROID_LEND_USER_MEM), -EFAULT);
	expect("RX", give(&vm, memory, 5, GH_VM_SET_USER_MEM_REGION), 0);
	close_vm(&vm);
	munmap(memory, SIZE);
	close(fd);
}

/* --- Processes --- */

static void send_fd(int socket, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	expect("sendmsg", sendmsg(socket, &message, 0), 1);
}

static int receive_fd(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = space,
				  .msg_controllen = sizeof(space) };
	int fd = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* Another process gets the vCPU over a socket, runs it, and outlives its maker. */
static void fds_over_a_socket(void)
{
	int pair[2], status;
	struct vm vm;
	pid_t maker;

	expect("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	maker = fork();
	if (maker == 0) {
		if (start(&vm, &guest_mmio, &one)) {
			send_fd(pair[1], vm.vcpu[0]);
			send_fd(pair[1], vm.fd);
		}
		_exit(!case_ok);
	}
	vm = (struct vm){ .fd = -1, .vcpu = { -1, -1 }, .device = -1, .size = PAGE };
	vm.vcpu[0] = receive_fd(pair[0]);
	vm.fd = receive_fd(pair[0]);
	status = child_status(maker);
	expect("its maker", status, 0);
	vm.run[0] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu[0], 0);
	mmio_talk(&vm);
	close_vm(&vm);
	close(pair[0]);
	close(pair[1]);
}

/* exec closes every fd of ours: the VM ends, though the process lives on. */
static void exec_ends_it(void)
{
	long before = pinned();
	int ready[2], tenths;
	struct vm vm;
	pid_t child;
	char byte;

	expect("pipe", pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		if (start(&vm, &guest_spin, &one))
			execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	close(ready[1]);
	/* The end of the pipe closes with the exec, if not before the VM's. */
	expect("end of the pipe", read(ready[0], &byte, 1), 0);
	for (tenths = 0; tenths < 600 && pinned() != before; tenths++)
		usleep(100000);
	expect("pinned while it sleeps", pinned() - before, 0);
	expect("it sleeps", waitpid(child, NULL, WNOHANG), 0);
	kill(child, SIGKILL);
	expect("killed", WIFSIGNALED(child_status(child)), 1);
	close(ready[0]);
}

/* A child that inherits the fds keeps the VM; the run page too. */
static void fork_keeps_it(void)
{
	struct vm vm;
	pid_t child;

	if (!start(&vm, &guest_mmio, &one))
		return;
	child = fork();
	if (child == 0) {
		usleep(100000);
		mmio_talk(&vm);
		_exit(!case_ok);
	}
	close(vm.fd);
	close(vm.vcpu[0]);
	munmap(vm.run[0], PAGE);
	expect("the child ran it", child_status(child), 0);
	vm = (struct vm){ .fd = -1,
			  .vcpu = { -1, -1 },
			  .device = vm.device,
			  .memory = vm.memory,
			  .size = vm.size };
	close_vm(&vm);
}

/* From 100 us to 13 ms apart: some interrupt again at once, some leave a slow machine time to go on. */
static void *signal_storm(void *arg)
{
	struct poker *poker = arg;
	unsigned int i;

	for (i = 0; !atomic_load(&poker->stop); i++) {
		usleep(100u << i % 8);
		pthread_kill(poker->target, SIGUSR1);
	}
	return NULL;
}

/* Signals at every point of a life: calls are interrupted, and done again; nothing is lost. */
static void signals_all_along(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct poker poker = { .target = pthread_self() };
	int i;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&poker.thread, NULL, signal_storm, &poker);
	for (i = 0; i < 5; i++) {
		struct vm vm;

		if (start(&vm, &guest_mmio, &one))
			mmio_talk(&vm);
		close_vm(&vm);
	}
	poke_no_more(&poker);
}

/* --- CPUs --- */

static void pin_to(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	expect("sched_setaffinity", sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Each exit on another CPU. */
static void vcpu_moves(void)
{
	struct gh_vcpu_stats stats;
	struct vm vm;
	int i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU");
	if (start(&vm, &guest_smp, &(struct tree){ .cpus = 2 })) {
		/* CPU_ON of a vCPU that nobody runs; then questions without end. */
		expect_write(&vm, 0, 0x30, 4, 0);
		for (i = 0; i < 50; i++) {
			pin_to((unsigned int)i % 2);
			expect_read(&vm, 0, 0x34, 4, 0);
		}
		ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
		expect("reads", (long)stats.mmio_read, 50);
	}
	close_vm(&vm);
}

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

static void *unplug(void *arg)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (!spill(CPU1, "0\n"))
			wrong("CPU 1 does not go");
		usleep(100000);
		if (!spill(CPU1, "1\n"))
			wrong("CPU 1 does not come back");
		usleep(100000);
	}
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* CPU 1 goes and comes while the guest runs there. */
static void cpu_unplugged(void)
{
	atomic_bool over = false;
	pthread_t thread;
	struct vm vm;

	if (access(CPU1, W_OK))
		skip("CPU 1 cannot be unplugged");
	if (start(&vm, &guest_smp, &(struct tree){ .cpus = 2 })) {
		expect_write(&vm, 0, 0x30, 4, 0);
		pthread_create(&thread, NULL, unplug, &over);
		while (!atomic_load(&over) && case_ok)
			expect_read(&vm, 0, 0x34, 4, 0);
		pthread_join(thread, NULL);
	}
	close_vm(&vm);
}

/* A suspend that something woke up too early is tried again. */
static void suspend(void)
{
	int tries;

	for (tries = 0; tries < 10; tries++) {
		if (spill("/sys/power/state", "freeze\n"))
			_exit(0);
		usleep(200000);
	}
	_exit(1);
}

/*
 * A suspend to the point where no interrupt comes any more, and back, while VMs come and go: their
 * messages are answered afterwards, and RUN goes on as if nothing had been.
 */
static void suspended(void)
{
	int status = 0, lives = 0;
	struct poker poker;
	struct vm vm;
	pid_t child;

	if (!spill("/sys/power/pm_test", "platform\n") ||
	    !spill("/sys/module/suspend/parameters/pm_test_delay", "1\n"))
		skip("this kernel tests no suspend");
	spill("/sys/module/suspend/parameters/pm_test_delay", "1\n"); /* seconds, not five */
	if (start(&vm, &guest_spin, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		child = fork();
		if (child == 0)
			suspend();
		do {
			struct vm other;

			if (start(&other, &guest_reset, &one))
				expect_end(&other, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
			close_vm(&other);
			lives++;
		} while (case_ok && waitpid(child, &status, WNOHANG) == 0);
		expect("suspend", status, 0);
		poke_me(&poker);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		poke_no_more(&poker);
		printf("    %s: %d lives around it\n", case_name, lives);
	}
	close_vm(&vm);
	spill("/sys/power/pm_test", "none\n");
}

static void module_in_use(void)
{
	struct vm vm;

	open_vm(&vm);
	close(vm.device);
	expect("rmmod with a VM open", system("rmmod gunyah 2>/dev/null") != 0, 1);
	close_vm(&vm);
}

static const struct test_case cases[] = {
	{ "memory anonymous", memory_anonymous },
	{ "memory memfd", memory_memfd },
	{ "memory huge pages", memory_huge },
	{ "memory read-only", memory_read_only },
	{ "fds over a socket", fds_over_a_socket },
	{ "exec ends a VM", exec_ends_it },
	{ "fork keeps a VM", fork_keeps_it },
	{ "signals all along", signals_all_along },
	{ "vCPU moves", vcpu_moves },
	{ "CPU unplugged", cpu_unplugged },
	{ "suspended", suspended },
	{ "module in use", module_in_use },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
