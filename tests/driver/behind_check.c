// SPDX-License-Identifier: Apache-2.0
/*
 * Lent memory from behind: through the file that it is of, another mapping of that file, the file
 * system that the file is in.
 */
#include <linux/userfaultfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

static int file_of_memory(unsigned int flags)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | flags);

	expect("ftruncate", ftruncate(fd, SIZE), 0);
	return fd;
}

static void lend(struct vm *vm, int fd)
{
	set_up_in(vm, map(MAP_SHARED, fd), &guest_mmio, LEND);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	expect_write(vm, 0, 0, 1, 0x41);
}

static void end_lent(struct vm *vm)
{
	expect_write(vm, 0, 2, 2, 0x4243);
	end_vm(vm);
	expect("given back", vm->memory[DTB_OFFSET], 0);
	close_vm(vm);
}

/* What is asked of a file of huge pages. */
static void behind_huge_pages(void)
{
	char buffer[64];
	struct vm vm;
	int fd;

	need_huge_pages();
	fd = file_of_memory(MFD_HUGETLB);
	lend(&vm, fd);
	expect("read of the file", said(pread(fd, buffer, sizeof(buffer), 0)), -EIO);
	expect("a hole", said(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 10)),
	       -EPERM);
	/* As a whole it can be cut off, which touches nothing. */
	expect("truncation", said(ftruncate(fd, 0)), 0);
	expect_write(&vm, 0, 2, 2, 0x4243);
	close_vm(&vm);
	close(fd);
	spill("/proc/sys/vm/nr_hugepages", "0\n");
}

/* Pages that the file has are put where another mapping of it has none, if they may be. */
static void fault_in(unsigned int flags, unsigned long long feature)
{
	struct uffdio_api api = { .api = UFFD_API, .features = feature };
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MINOR };
	struct uffdio_continue go_on = {};
	int fd, faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct vm vm;
	char *again;

	if (faults < 0 || call(faults, UFFDIO_API, &api))
		skip("this kernel has no such userfaultfd");
	fd = file_of_memory(flags);
	lend(&vm, fd);
	again = map(MAP_SHARED, fd);
	area.range.start = (uintptr_t)again;
	area.range.len = SIZE;
	ALLOWED(faults, UFFDIO_REGISTER, &area);
	go_on.range = area.range;
	expect("UFFDIO_CONTINUE", call(faults, UFFDIO_CONTINUE, &go_on) < 0, 1);
	expect("pages that it mapped", go_on.mapped > 0, 0);
	close(faults);
	munmap(again, SIZE);
	end_lent(&vm);
	close(fd);
}

static void behind_a_fault(void)
{
	fault_in(0, UFFD_FEATURE_MINOR_SHMEM);
}

static void behind_a_huge_fault(void)
{
	need_huge_pages();
	fault_in(MFD_HUGETLB, UFFD_FEATURE_MINOR_HUGETLBFS);
	spill("/proc/sys/vm/nr_hugepages", "0\n");
}

/* The guest has the last that there is of a file system. */
static void behind_a_mount(void)
{
	struct vm vm;
	int fd;

	mkdir("/tmp/gone", 0700);
	expect("mount", mount("gone", "/tmp/gone", "tmpfs", 0, NULL), 0);
	fd = open("/tmp/gone/guest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	expect("ftruncate", ftruncate(fd, SIZE), 0);
	lend(&vm, fd);
	close(fd);
	munmap(vm.memory, SIZE);
	expect("umount", umount("/tmp/gone"), 0);
	expect("files that were forgotten", system("dmesg | grep 'Busy inodes'") == 0, 0);
	expect_write(&vm, 0, 2, 2, 0x4243);
	vm.size = 0;
	close_vm(&vm);
	rmdir("/tmp/gone");
}

static const struct test_case cases[] = {
	{ "behind lent huge pages", behind_huge_pages },
	{ "behind lent memory, by userfaultfd", behind_a_fault },
	{ "behind lent huge pages, by userfaultfd", behind_a_huge_fault },
	{ "behind lent memory, unmounted", behind_a_mount },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
