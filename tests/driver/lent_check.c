// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that is lent, and memory that goes away: whatever a process does with it, itself or
 * through a system call, it gets an error or a signal, the guest runs on, and the host's kernel
 * lives.
 */
#include <linux/io_uring.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/driver/lives.h"
#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

struct kind {
	const char *name;
	int flags;
	bool memfd;
};

static const struct kind anonymous = { "private", MAP_PRIVATE | MAP_ANONYMOUS, false };
static const struct kind kinds[] = {
	{ "private", MAP_PRIVATE | MAP_ANONYMOUS, false },
	{ "shared", MAP_SHARED | MAP_ANONYMOUS, false },
	{ "memfd", MAP_SHARED, true },
	{ "private of a memfd", MAP_PRIVATE, true },
};

static char *map_kind(const struct kind *kind, int *fd)
{
	*fd = kind->memfd ? memfd_create("guest", MFD_CLOEXEC) : -1;
	if (kind->memfd)
		expect("ftruncate", ftruncate(*fd, SIZE), 0);
	return map(kind->flags, *fd);
}

/* --- System calls that are handed lent memory --- */

static void as_a_buffer(char *memory)
{
	struct iovec iov = { memory, 64 };
	struct io_uring_params params = {};
	int pipes[2], zero = open("/dev/zero", O_RDWR | O_CLOEXEC), ring;

	expect("pipe", pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	expect("read into it", said(read(zero, memory, 64)), -EFAULT);
	expect("write from it", said(write(pipes[1], memory, 64)), -EFAULT);
	expect("writev from it", said(writev(pipes[1], &iov, 1)), -EFAULT);
	expect("vmsplice of it", said(vmsplice(pipes[1], &iov, 1, 0)), -EFAULT);
	expect("a name in it", said(access(memory, F_OK)), -EFAULT);
	ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	expect("io_uring", ring >= 0, 1);
	expect("a fixed buffer in it",
	       said(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1)),
	       -EFAULT);
	close(ring);
	close(zero);
	close(pipes[0]);
	close(pipes[1]);
}

/* What one process asks about another's memory, or its own. */
static void as_a_debugger(char *memory)
{
	char buffer[64];
	struct iovec local = { buffer, sizeof(buffer) }, remote = { memory, sizeof(buffer) };
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	expect("process_vm_readv", process_vm_readv(getpid(), &local, 1, &remote, 1, 0), -1);
	expect("process_vm_writev", process_vm_writev(getpid(), &local, 1, &remote, 1, 0), -1);
	expect("/proc/self/mem, read", pread(fd, buffer, sizeof(buffer), (off_t)(uintptr_t)memory),
	       -1);
	expect("/proc/self/mem, write",
	       pwrite(fd, buffer, sizeof(buffer), (off_t)(uintptr_t)memory), -1);
	expect("MADV_POPULATE_READ", madvise(memory, PAGE, MADV_POPULATE_READ), -1);
	close(fd);
}

static void through_the_file(int fd)
{
	char buffer[64] = {};
	off_t offset = 0;
	int pipes[2];
	char *again;

	expect("pipe", pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	expect("read of the file", said(pread(fd, buffer, sizeof(buffer), 0)), -EIO);
	expect("write of the file", said(pwrite(fd, buffer, sizeof(buffer), 0)), -EIO);
	expect("sendfile", said(sendfile(pipes[1], fd, &offset, sizeof(buffer))), -EIO);
	expect("splice", said(splice(fd, &offset, pipes[1], NULL, sizeof(buffer), 0)), -EIO);
	expect("a hole", said(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 10)),
	       -EPERM);
	expect("truncation", said(ftruncate(fd, PAGE / 2)), -EPERM);
	again = map(MAP_SHARED, fd);
	expect("write from another mapping", said(write(pipes[1], again, 64)), -EFAULT);
	munmap(again, SIZE);
	close(pipes[0]);
	close(pipes[1]);
}

static int child_of(void (*act)(char *), char *memory)
{
	pid_t child = fork();

	if (child == 0) {
		act(memory);
		_exit(!case_ok);
	}
	return child_status(child);
}

static void touch(char *memory)
{
	*(volatile char *)memory;
}

static void lent_shared(void)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd, status;
		struct vm vm;

		if (!(kinds[i].flags & MAP_SHARED))
			continue;
		set_up_in(&vm, map_kind(&kinds[i], &fd), &guest_mmio, LEND);
		ALLOWED(vm.fd, GH_VM_START, NULL);
		expect_write(&vm, 0, 0, 1, 0x41);
		as_a_buffer(vm.memory);
		as_a_debugger(vm.memory);
		if (fd >= 0)
			through_the_file(fd);
		expect("a child hands it on", child_of(as_a_buffer, vm.memory), 0);
		status = child_of(touch, vm.memory);
		expect("a child touches it", WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGBUS);
		expect_write(&vm, 0, 2, 2, 0x4243);
		end_vm(&vm);
		expect("given back", (unsigned char)vm.memory[DTB_OFFSET], 0);
		expect("not the guest's code",
		       memcmp(vm.memory, guest_mmio.code, guest_mmio.size) != 0, 1);
		if (fd >= 0)
			expect("truncation", said(ftruncate(fd, 0)), 0);
		close_vm(&vm);
		close(fd);
	}
}

/* A private mapping is fresh memory from START on, in a child too. */
static void lent_private(void)
{
	char *memory, buffer[64] = { 1 };
	int fd, pipes[2], zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct iovec iov;
	struct vm vm;
	pid_t child;

	memory = map_kind(&anonymous, &fd);
	iov = (struct iovec){ memory, 64 };
	expect("pipe", pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	set_up_in(&vm, memory, &guest_mmio, LEND);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 0, 1, 0x41);
	expect("vmsplice", vmsplice(pipes[1], &iov, 1, 0), 64);
	expect("what it gave", read(pipes[0], buffer, 64), 64);
	expect("is nothing", buffer[0] | buffer[63], 0);
	expect("read into it", read(zero, memory, 64), 64);
	memset(memory + PAGE, 0x77, PAGE);
	child = fork();
	if (child == 0)
		_exit(memory[DTB_OFFSET]);
	expect("what a child sees", child_status(child), 0);
	expect_write(&vm, 0, 2, 2, 0x4243);
	end_vm(&vm);
	expect("given back", (unsigned char)memory[DTB_OFFSET], 0);
	expect("not the guest's code", memcmp(memory, guest_mmio.code, guest_mmio.size) != 0, 1);
	expect("what was written", memory[PAGE], 0x77);
	child = fork();
	if (child == 0)
		_exit((unsigned char)memory[DTB_OFFSET]);
	expect("what the next child sees", WEXITSTATUS(child_status(child)), 0);
	close_vm(&vm);
	close(zero);
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
		set_up_in(&vm, map(MAP_SHARED | MAP_ANONYMOUS, -1), &guest_spin, LEND);
		ALLOWED(vm.fd, GH_VM_START, NULL);
		expect_write(&vm, 0, 0, 4, 0);
		if (case_ok)
			touch(vm.memory);
		_exit(1);
	}
	status = child_status(child);
	expect("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGBUS);
	expect("a core", WIFSIGNALED(status) && WCOREDUMP(status), 1);
	expect("the core is there", access("/tmp/core", F_OK), 0);
	unlink("/tmp/core");
}

/* Huge pages of hugetlbfs go and come as whole pages. */
static void lent_huge(void)
{
	struct gh_userspace_memory_region region;
	struct vm vm, other;

	need_huge_pages();
	set_up_in(&vm, map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1), &guest_mmio, LEND);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 0, 1, 0x41);
	as_a_buffer(vm.memory);
	expect("a child touches it", WTERMSIG(child_of(touch, vm.memory)), SIGBUS);
	expect_write(&vm, 0, 2, 2, 0x4243);
	end_vm(&vm);
	expect("given back", (unsigned char)vm.memory[DTB_OFFSET], 0);
	/* Half of one cannot be lent. */
	region = region_of(&vm);
	region.userspace_addr = (uintptr_t)vm.memory;
	region.memory_size = SIZE / 2;
	set_up_in(&other, map(MAP_SHARED | MAP_ANONYMOUS, -1), &guest_mmio, LEND);
	region.label = 1;
	region.guest_phys_addr += SIZE;
	expect("half of one", call(other.fd, LEND, &region), 0);
	REFUSED(other.fd, GH_VM_START, NULL, EINVAL);
	close_vm(&other);
	close_vm(&vm);
	spill("/proc/sys/vm/nr_hugepages", "0\n");
}

/* Part of a transparent huge page: the rest of it stays the process's. */
static void lent_part_of_a_huge_page(void)
{
	const size_t huge = 2 * SIZE;
	struct gh_userspace_memory_region region;
	char *memory, *at;
	int flags, event;
	struct vm vm;

	for (flags = MAP_PRIVATE; flags; flags = flags == MAP_PRIVATE ? MAP_SHARED : 0) {
		memory = mmap(NULL, huge + SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1,
			      0);
		at = (char *)(((uintptr_t)memory + SIZE - 1) & ~(SIZE - 1));
		madvise(at, huge, MADV_HUGEPAGE);
		memset(at, 0x33, huge);
		set_up_in(&vm, map(MAP_SHARED | MAP_ANONYMOUS, -1), &guest_mmio, LEND);
		region = region_of(&vm);
		region.label = 1;
		region.guest_phys_addr += SIZE;
		region.userspace_addr = (uintptr_t)at + 16 * PAGE;
		region.memory_size = 16 * PAGE;
		expect("region", call(vm.fd, LEND, &region), 0);
		ALLOWED(vm.fd, GH_VM_START, NULL);
		expect_write(&vm, 0, 0, 1, 0x41);
		expect("before it", at[16 * PAGE - 1], 0x33);
		expect("behind it", at[32 * PAGE], 0x33);
		event = eventfd(0, EFD_CLOEXEC);
		expect("write from it", write(event, at + 20 * PAGE, 8),
		       flags == MAP_PRIVATE ? 8 : -1);
		close(event);
		end_vm(&vm);
		expect("given back", at[16 * PAGE] + at[32 * PAGE - 1], 0);
		close_vm(&vm);
		munmap(memory, huge + SIZE);
	}
}

/* The kernel writes a file's pages to its disk when it likes: they cannot be lent. */
static void lent_from_a_disk(void)
{
	struct vm vm;
	char *memory;
	int fd;

	mkdir("/tmp/disk", 0700);
	expect("mount", mount("disk", "/tmp/disk", "ramfs", 0, NULL), 0);
	fd = open("/tmp/disk/guest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	expect("ftruncate", ftruncate(fd, SIZE), 0);
	memory = map(MAP_SHARED, fd);
	open_vm(&vm);
	expect("lent", give(&vm, memory, 7, LEND), -EFAULT);
	munmap(memory, SIZE);
	/* A private copy of it is no file's. */
	memory = map(MAP_PRIVATE, fd);
	expect("lent privately", give(&vm, memory, 7, LEND), 0);
	close_vm(&vm);
	munmap(memory, SIZE);
	close(fd);
	umount("/tmp/disk");
}

/* --- The same memory twice --- */

static long give_as(struct vm *vm, unsigned int label, void *memory, unsigned long how)
{
	struct gh_userspace_memory_region region = region_of(vm);

	region.label = label;
	region.guest_phys_addr += label * SIZE;
	region.userspace_addr = (uintptr_t)memory;
	return call(vm->fd, how, &region);
}

static void lent_twice(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	char *memory, *alias, *twice;
	struct vm a, b;
	pid_t child;
	long pins;

	expect("ftruncate", ftruncate(fd, 2 * SIZE), 0);
	memory = map(MAP_SHARED, fd);
	/* Half of it again, and something else. */
	alias = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SIZE / 2);
	open_vm(&a);
	open_vm(&b);
	expect("lent", give_as(&a, 0, memory, LEND), 0);
	pins = pinned();
	expect("lent again", give_as(&a, 1, memory, LEND), -EADDRINUSE);
	expect("shared too", give_as(&a, 1, memory, SHARE), -EADDRINUSE);
	expect("lent to another VM", give_as(&b, 0, memory, LEND), -EADDRINUSE);
	expect("shared with another VM", give_as(&b, 0, memory, SHARE), -EADDRINUSE);
	expect("half of it lent to another VM", give_as(&b, 0, alias, LEND), -EADDRINUSE);
	child = fork();
	if (child == 0) {
		close_vm(&b);
		open_vm(&b);
		expect("lent by another process", give_as(&b, 0, memory, LEND), -EADDRINUSE);
		_exit(!case_ok);
	}
	expect("another process", child_status(child), 0);
	expect("pinned by what was refused", pinned() - pins, 0);
	/* Taken away, it is free. */
	ALLOWED(a.fd, GH_VM_SET_USER_MEM_REGION, &(struct gh_userspace_memory_region){});
	expect("shared", give_as(&a, 0, memory, SHARE), 0);
	expect("shared twice", give_as(&b, 0, memory, SHARE), 0);
	expect("lent what is shared", give_as(&b, 1, alias, LEND), -EADDRINUSE);
	close_vm(&b);
	close_vm(&a);
	/* One region that has a page twice. */
	twice = mmap(memory + SIZE / 2, SIZE / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     fd, 0);
	expect("mmap", twice == memory + SIZE / 2, 1);
	open_vm(&a);
	expect("a page twice", give_as(&a, 0, memory, LEND), -EADDRINUSE);
	close_vm(&a);
	close(fd);
}

/* Shared with two VMs: the resource manager may refuse the second, which then ends as clean. */
static void shared_twice(void)
{
	struct vm a, b;
	char *memory = map(MAP_SHARED | MAP_ANONYMOUS, -1);
	long ret;

	set_up_in(&a, memory, &guest_spin, SHARE);
	ALLOWED(a.fd, GH_VM_START, NULL);
	expect_write(&a, 0, 0, 4, 0);
	set_up_in(&b, memory, &guest_spin, SHARE);
	ret = call(b.fd, GH_VM_START, NULL);
	printf("    %s: the second START: %ld\n", case_name, ret);
	if (ret > 0)
		wrong("START: %ld", ret);
	end_vm(&b);
	end_vm(&a);
	expect("it is the process's again", (memory[0] = 1, memory[0]), 1);
	close(b.device);
	close_vm(&a);
}

/* --- Memory that goes away --- */

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* Each returns what the system call said; 1: makes no sense for this memory. */
static long unmap(char *memory, int fd)
{
	(void)fd;
	return said(munmap(memory, SIZE));
}

static long move(char *memory, int fd)
{
	char *to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)fd;
	return mremap(memory, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to ? 0 : -errno;
}

static long forget(char *memory, int fd)
{
	(void)fd;
	return said(madvise(memory, SIZE, MADV_DONTNEED));
}

static long punch(char *memory, int fd)
{
	(void)memory;
	return fd < 0 ? 1 : said(fallocate(fd, PUNCH, 0, PAGE));
}

static long punch_inside(char *memory, int fd)
{
	(void)memory;
	return fd < 0 ? 1 : said(fallocate(fd, PUNCH, 2 * PAGE + 100, 50));
}

static long cut(char *memory, int fd)
{
	(void)memory;
	return fd < 0 ? 1 : said(ftruncate(fd, 0));
}

static const struct loss {
	const char *name;
	long (*act)(char *memory, int fd);
	bool of_file;
} losses[] = {
	{ "munmap", unmap, false },
	{ "mremap", move, false },
	{ "DONTNEED", forget, false },
	{ "hole", punch, true },
	{ "hole inside a page", punch_inside, true },
	{ "truncation", cut, true },
};

/* What is in the address space where the memory was, and must be left alone. */
static void put_something_else(char *memory)
{
	if (mmap(memory, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) != memory)
		wrong("mmap: %s", strerror(errno));
	memset(memory, 0x5a, SIZE);
}

static void lose(const struct kind *kind, const struct loss *loss, unsigned long how, bool running)
{
	bool held = running && how == LEND && kind->memfd && (kind->flags & MAP_SHARED);
	/* What is moved cannot be found where it was pinned, unless its file tells. */
	bool lost = !running && how == LEND && loss->act == move && !(kind->flags & MAP_SHARED);
	bool elsewhere = loss->act == unmap || loss->act == move;
	struct vm vm;
	long ret;
	int fd;

	set_up_in(&vm, map_kind(kind, &fd), &guest_mmio, how);
	if (running) {
		ALLOWED(vm.fd, GH_VM_START, NULL);
		expect_write(&vm, 0, 0, 1, 0x41);
	}
	ret = loss->act(vm.memory, fd);
	if (ret != 1)
		expect(loss->name, ret, held && loss->of_file ? -EPERM : 0);
	if (elsewhere)
		put_something_else(vm.memory);
	if (!running)
		expect("START", call(vm.fd, GH_VM_START, NULL), lost ? -EBUSY : 0);
	if (!running && !lost)
		expect_write(&vm, 0, 0, 1, 0x41);
	if (!lost)
		expect_write(&vm, 0, 2, 2, 0x4243);
	end_vm(&vm);
	if (elsewhere)
		expect("what came after it", vm.memory[0] + vm.memory[SIZE - 1], 2 * 0x5a);
	close_vm(&vm);
	if (fd >= 0)
		close(fd);
	if (!case_ok)
		wrong("... %s, %s, %s, %s", kind->name, loss->name, how == LEND ? "lent" : "shared",
		      running ? "running" : "before START");
}

static void taken_away(bool running)
{
	size_t i, j;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && case_ok; i++) {
		for (j = 0; j < sizeof(losses) / sizeof(losses[0]) && case_ok; j++) {
			if (losses[j].of_file && !kinds[i].memfd)
				continue;
			lose(&kinds[i], &losses[j], LEND, running);
			if (case_ok)
				lose(&kinds[i], &losses[j], SHARE, running);
		}
	}
}

static void taken_away_before(void)
{
	taken_away(false);
}

static void taken_away_running(void)
{
	taken_away(true);
}

static const struct test_case cases[] = {
	{ "lent shared memory in system calls", lent_shared },
	{ "lent private memory in system calls", lent_private },
	{ "lent memory touched", lent_is_touched },
	{ "lent huge pages", lent_huge },
	{ "lent part of a huge page", lent_part_of_a_huge_page },
	{ "lent from a disk", lent_from_a_disk },
	{ "lent twice", lent_twice },
	{ "shared twice", shared_twice },
	{ "memory taken away before START", taken_away_before },
	{ "memory taken away from a guest that runs", taken_away_running },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
