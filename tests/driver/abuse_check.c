// SPDX-License-Identifier: Apache-2.0
/*
 * What processes do to the driver without meaning to: signals, fork and exec, fds passed on, memory
 * of every kind that goes away, CPUs that go, lent memory that the kernel is asked to read.
 */
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/driver/lives.h"
#include "tests/driver/watch.h"

/* --- Memory --- */

static long give(struct vm *vm, void *memory, unsigned int flags, unsigned long how)
{
	struct gh_userspace_memory_region region = region_of(vm);

	region.userspace_addr = (uintptr_t)memory;
	region.flags = flags;
	return call(vm->fd, how, &region);
}

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
	expect("tree in returned memory", (unsigned char)memory[DTB_OFFSET], 0xd0);
	expect("and it can be written", (memory[0] = 1, memory[0]), 1);
	close_vm(&vm);
}

static char *map(int flags, int fd)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	return memory;
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

	if (!spill("/proc/sys/vm/nr_hugepages", "4\n") ||
	    number_of("/proc/sys/vm/nr_hugepages") < 1)
		skip("no huge pages on this board");
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

/* Unmapped and truncated under a VM: the pages stay the VM's, and are free afterwards. */
static void memory_taken_away(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	struct vm vm;

	open_vm(&vm);
	munmap(vm.memory, vm.size);
	expect("ftruncate", ftruncate(fd, SIZE), 0);
	vm.memory = map(MAP_SHARED, fd);
	memcpy(vm.memory, guest_mmio.code, guest_mmio.size);
	put_tree(vm.memory + DTB_OFFSET, &one);
	expect("region", give(&vm, vm.memory, 7, GH_VM_ANDROID_LEND_USER_MEM), 0);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(&vm, 0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 0, 1, 0x41);
	munmap(vm.memory, SIZE);
	expect("ftruncate", ftruncate(fd, 0), 0);
	expect_write(&vm, 0, 2, 2, 0x4243);
	/* Something else where the memory was mapped is left alone. */
	expect("mmap",
	       mmap(vm.memory, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == vm.memory,
	       1);
	memset(vm.memory, 0x5a, PAGE);
	close_vcpu(&vm, 0);
	close(vm.fd);
	vm.fd = -1;
	expect("what came after it", vm.memory[5], 0x5a);
	close_vm(&vm);
	close(fd);
}

/* --- Lent memory that the kernel is asked to read --- */

/* A running guest with all its memory lent, private or shared. */
static void lend_running(struct vm *vm, int flags)
{
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };

	open_vm(vm);
	munmap(vm->memory, vm->size);
	vm->memory = map(flags | MAP_ANONYMOUS, -1);
	memcpy(vm->memory, guest_spin.code, guest_spin.size);
	put_tree(vm->memory + DTB_OFFSET, &one);
	expect("region", give(vm, vm->memory, 7, GH_VM_ANDROID_LEND_USER_MEM), 0);
	ALLOWED(vm->fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(vm, 0);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	expect_write(vm, 0, 0, 4, 0);
}

static int child_status(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

static void lent_fork(void)
{
	struct vm vm;
	pid_t child;

	lend_running(&vm, MAP_PRIVATE);
	child = fork();
	if (child == 0)
		_exit(7);
	expect("the child", WEXITSTATUS(child_status(child)), 7);
	/* Given back, it is in the next child again. */
	close_vcpu(&vm, 0);
	close(vm.fd);
	vm.fd = -1;
	child = fork();
	if (child == 0)
		_exit((unsigned char)vm.memory[DTB_OFFSET]);
	expect("what the next child sees", WEXITSTATUS(child_status(child)), 0xd0);
	close_vm(&vm);
}

/* The kernel is asked to read it; each way there ends in an error. */
static void lent_is_read(void)
{
	char buffer[64];
	struct iovec local = { buffer, sizeof(buffer) }, remote;
	struct vm vm;
	int fd, flags;

	for (flags = MAP_PRIVATE; flags; flags = flags == MAP_PRIVATE ? MAP_SHARED : 0) {
		lend_running(&vm, flags);
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		expect("/proc/self/mem, read",
		       pread(fd, buffer, sizeof(buffer), (off_t)(uintptr_t)vm.memory), -1);
		expect("/proc/self/mem, write",
		       pwrite(fd, buffer, sizeof(buffer), (off_t)(uintptr_t)vm.memory), -1);
		close(fd);
		remote = (struct iovec){ vm.memory, sizeof(buffer) };
		expect("process_vm_readv", process_vm_readv(getpid(), &local, 1, &remote, 1, 0),
		       -1);
		close_vm(&vm);
	}
}

/* A process that touches it dies of a signal, and its core leaves it out. */
static void lent_is_touched(void)
{
	static const struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };
	struct vm vm;
	pid_t child;
	int status;

	spill("/proc/sys/kernel/core_pattern", "/tmp/core\n");
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &core);
		lend_running(&vm, MAP_PRIVATE);
		if (!case_ok)
			_exit(1);
		_exit(*(volatile char *)vm.memory ? 2 : 3);
	}
	status = child_status(child);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 1)
		skip("this hypervisor leaves lent memory where the host can read it");
	expect("killed by a signal", WIFSIGNALED(status), 1);
	expect("a core", WCOREDUMP(status) != 0, 1);
	expect("the core is there", access("/tmp/core", F_OK), 0);
	unlink("/tmp/core");
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
			execl("/bin/sleep", "sleep", "100", NULL);
		_exit(1);
	}
	close(ready[1]);
	/* The end of the pipe closes with the exec, if not before the VM's. */
	expect("end of the pipe", read(ready[0], &byte, 1), 0);
	for (tenths = 0; tenths < 100 && pinned() != before; tenths++)
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

static void *signal_storm(void *arg)
{
	struct poker *poker = arg;

	while (!atomic_load(&poker->stop)) {
		usleep(500);
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

/* The steps of a suspend up to the devices, and back: RUN goes on as if nothing had been. */
static void suspended(void)
{
	struct poker poker;
	struct vm vm;
	pid_t child;

	if (!spill("/sys/power/pm_test", "devices\n"))
		skip("this kernel tests no suspend");
	if (start(&vm, &guest_spin, &one)) {
		expect_write(&vm, 0, 0, 4, 0);
		child = fork();
		if (child == 0)
			_exit(!spill("/sys/power/state", "freeze\n"));
		call(vm.vcpu[0], GH_VM_START, NULL);
		expect("suspend", child_status(child), 0);
		poke_me(&poker);
		REFUSED(vm.vcpu[0], GH_VCPU_RUN, NULL, EINTR);
		poke_no_more(&poker);
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
	{ "memory taken away", memory_taken_away },
	{ "lent memory and fork", lent_fork },
	{ "lent memory read by the kernel", lent_is_read },
	{ "lent memory touched", lent_is_touched },
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
