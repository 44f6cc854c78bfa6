// SPDX-License-Identifier: Apache-2.0
/*
 * What the VMM costs the host: system calls of a request, wake-ups of an idle VM, memory of its
 * own.
 */
#include "tests/unit/virtio_help.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ROUNDS 20u

/* --- System calls on the block path --- */

/* Between two getppid(), which nothing else calls, the child answers ROUNDS * LOAD reads. */
static void child(bool synchronous, int fd)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "root", .fd = fd, .synchronous = synchronous };
	struct vmm_disk_stats stats;

	if (virtio_blk_new(&f->blk, &disk, &f->slot, NULL) < 0)
		_exit(1);
	virtio_blk_stats(f->blk, &stats);
	if (!synchronous && !stats.uring)
		_exit(78);
	f->dev = virtio_blk_device(f->blk);
	bring_up_load(f);
	run_load(f, 1);
	memset(at(f, LOAD_DATA + 0xa000, 4), 0, 4);
	wr(f, STATUS, 0);
	memset(at(f, LOAD_DATA + 0xc000, 4), 0, 4);
	bring_up_load(f);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	raise(SIGSTOP);
	(void)getppid();
	run_load(f, ROUNDS);
	(void)getppid();
	_exit(0);
}

/* System calls that the child made between its marks; -1 when it could not be traced. */
static long count_calls(pid_t pid)
{
	struct __ptrace_syscall_info info;
	unsigned int marks = 0;
	long calls = 0;
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid)
			return -1;
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return marks == 2 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? calls
											   : -1;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80) ||
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
		    info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_getppid)
			marks++;
		else if (marks == 1)
			calls++;
	}
}

static long calls_of(bool synchronous)
{
	char path[] = "/tmp/vmm-cost-XXXXXX";
	int fd = mkstemp(path);
	uint8_t page[4096] = { 1 };
	long calls;
	pid_t pid;

	assert_true(fd >= 0);
	unlink(path);
	for (unsigned int i = 0; i < 256; i++)
		assert_int_equal(pwrite_all(fd, page, sizeof(page), 4096ull * i), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(synchronous, fd);
	calls = count_calls(pid);
	close(fd);
	return calls;
}

static void test_block_requests(void **state)
{
	long uring = calls_of(false), plain = calls_of(true);

	(void)state;
	if (uring < 0 || plain < 0) {
		print_message("a child cannot be traced here, or there is no io_uring\n");
		skip();
	}
	print_message(
		"figure: block, %u requests of 4 KiB, %u at once: %ld system calls by io_uring, %ld without\n",
		ROUNDS * LOAD, LOAD, uring, plain);
	assert_in_range(uring, 1, ROUNDS * LOAD);
	/* The fall-back has one a request, and what a batch needs to be woken and to tell. */
	assert_in_range(plain, 1, ROUNDS * (LOAD + LOAD / 8));
}

/* --- A kernel that takes no requests --- */

static bool forbid_enter(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* It has no memory now. With nothing under way that would end, the loop still asks it again. */
static void starved(int fd)
{
	struct fixture *f = fixture_new();
	struct vmm_disk disk = { .name = "root", .fd = fd };
	struct vmm_disk_stats stats;
	bool quit = false;

	if (virtio_blk_new(&f->blk, &disk, &f->slot, NULL) < 0)
		_exit(1);
	virtio_blk_stats(f->blk, &stats);
	f->dev = virtio_blk_device(f->blk);
	bring_up_load(f);
	if (!stats.uring || !forbid_enter())
		_exit(78);
	offer_load(f, 0);
	wr(f, 0x50, 0);
	for (unsigned int i = 0; i < 10; i++)
		if (!loop_turn(&f->loop, 0, &quit))
			_exit(2);
	_exit(load_done(f) == 0 ? 0 : 3);
}

static void test_starved(void **state)
{
	int fd = blank_file(1 * MIB), status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		starved(fd);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 78) {
		print_message("there is no io_uring here, or no filter of system calls\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- An idle VM --- */

static uint64_t switches_of(const char *thread)
{
	DIR *dir = opendir("/proc/self/task");
	uint64_t sum = 0;
	struct dirent *d;

	assert_non_null(dir);
	while ((d = readdir(dir))) {
		char path[300], text[4096], *p;
		size_t n;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", d->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = '\0';
		fclose(f);
		p = strstr(text, "\nvoluntary_ctxt_switches:");
		if (strstr(text, thread) && p)
			sum += strtoull(p + 25, NULL, 10);
	}
	closedir(dir);
	return sum;
}

/* Everything that a VM can have, and nobody who uses it. */
static void make_rich(struct test_vm *t, struct vmm_disk *disk, struct vmm_net *net, int *network)
{
	int pair[2];

	test_vm_init(t, "idle\n");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	*network = pair[1];
	*disk = (struct vmm_disk){ .name = "root", .fd = blank_file(1 * MIB) };
	*net = (struct vmm_net){
		.name = "lan", .kind = VMM_NET_STREAM, .fd = pair[0], .mac = { 2, 0, 0, 0, 0, 1 }
	};
	t->config.vcpus = 1;
	t->config.disks = disk;
	t->config.disk_count = 1;
	t->config.nets = net;
	t->config.net_count = 1;
}

static void test_idle(void **state)
{
	static struct test_vm t;
	struct vmm_disk disk;
	struct vmm_net net;
	uint64_t before = 0;
	int network;

	(void)state;
	make_rich(&t, &disk, &net, &network);
	test_vm_create(&t);
	test_vm_start(&t);
	/* Until what the start itself signals is behind us. */
	for (unsigned int i = 0; i < 100 && (before == 0 || switches_of("test/dev") != before);
	     i++) {
		before = switches_of("test/dev");
		usleep(200000);
	}
	assert_true(before > 0);
	usleep(1000000);
	assert_int_equal(switches_of("test/dev"), before);
	test_vm_free(&t);
	close(disk.fd);
	close(net.fd);
	close(network);
}

/* --- Memory --- */

/* KiB of this process's own that are neither guest memory nor files. */
static uint64_t own_kib(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool guest = false;
	uint64_t sum = 0, kib;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strstr(line, " "))
			guest = strstr(line, "memfd:guest") != NULL;
		if (!guest && sscanf(line, "Private_Dirty: %lu", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum;
}

static void test_memory(void **state)
{
	static struct test_vm vms[8];
	struct vmm_disk disks[8];
	struct vmm_net nets[8];
	int networks[8];
	uint64_t first = 0;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		make_rich(&vms[i], &disks[i], &nets[i], &networks[i]);
		vms[i].config.memory = 64 * MIB;
		test_vm_create(&vms[i]);
		test_vm_start(&vms[i]);
		if (i == 0)
			first = own_kib();
	}
	print_message(
		"figure: overhead of a VM with disk, network, console, entropy and balloon: %lu KiB\n",
		(own_kib() - first) / 7);
	assert_in_range((own_kib() - first) / 7, 1, 2048);
	for (unsigned int i = 0; i < 8; i++) {
		test_vm_free(&vms[i]);
		close(disks[i].fd);
		close(nets[i].fd);
		close(networks[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_requests),
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
