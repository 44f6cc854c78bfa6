// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that somebody else holds when it is to be lent: START refuses it and nothing has happened;
 * when it is let go, the same VM starts. And memory of each kind that nobody holds is lent.
 */
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/driver/lives.h"
#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

#define HELD (SIZE / 2 + PAGE) /* where in the memory */

/* --- Memory of each kind --- */

struct backing {
	const char *name;
	int flags;
	int memfd; /* flags of one, or -1 */
	bool huge; /* aligned and advised, so that it is one huge page */
};

static const struct backing small[] = {
	{ "private", MAP_PRIVATE | MAP_ANONYMOUS, -1, false },
	{ "shared", MAP_SHARED | MAP_ANONYMOUS, -1, false },
	{ "memfd", MAP_SHARED, MFD_CLOEXEC, false },
	{ "private of a memfd", MAP_PRIVATE, MFD_CLOEXEC, false },
	{ "private, one huge page", MAP_PRIVATE | MAP_ANONYMOUS, -1, true },
	{ "shared, one huge page", MAP_SHARED | MAP_ANONYMOUS, -1, true },
};

static const struct backing hugetlb[] = {
	{ "hugetlb, private", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, false },
	{ "hugetlb, shared", MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, false },
	{ "hugetlb, memfd", MAP_SHARED, MFD_CLOEXEC | MFD_HUGETLB, false },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *map_backing(const struct backing *backing, int *fd)
{
	char *memory;

	*fd = backing->memfd >= 0 ? memfd_create("guest", (unsigned int)backing->memfd) : -1;
	if (backing->memfd >= 0)
		expect("ftruncate", ftruncate(*fd, SIZE), 0);
	if (!backing->huge)
		return map(backing->flags, *fd);
	memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, backing->flags, -1, 0);
	memory = (char *)(((uintptr_t)memory + SIZE - 1) & ~(SIZE - 1));
	madvise(memory, SIZE, MADV_HUGEPAGE);
	return memory;
}

/* --- Who holds a page; each returns what is closed to let it go. --- */

static int fixed_buffer(char *page, int fd)
{
	struct iovec iov = { page, PAGE };
	struct io_uring_params params = {};
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);

	(void)fd;
	expect("a fixed buffer",
	       syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1), 0);
	return ring;
}

static int in_a_pipe(char *page, int fd)
{
	struct iovec iov = { page, PAGE };
	int pipes[2];

	(void)fd;
	expect("pipe", pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	expect("vmsplice", vmsplice(pipes[1], &iov, 1, 0), (long)PAGE);
	close(pipes[1]);
	return pipes[0];
}

static int spliced_from_its_file(char *page, int fd)
{
	off_t offset = HELD;
	int pipes[2];

	(void)page;
	expect("pipe", pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	expect("splice", splice(fd, &offset, pipes[1], NULL, PAGE, 0), (long)PAGE);
	close(pipes[1]);
	return pipes[0];
}

/* An eventfd stands for nothing that is held. */
static int nothing(char *page, int fd)
{
	(void)page;
	(void)fd;
	return eventfd(0, EFD_CLOEXEC);
}

typedef int (*holder_fn)(char *page, int fd);

/* Let go, it may take its holder a while to do so. */
static long start_at_last(const struct vm *vm)
{
	long ret = -EBUSY;
	int tries;

	for (tries = 0; ret == -EBUSY && tries < DEADLINE / 2; tries++)
		ret = call(vm->fd, GH_VM_START, NULL);
	return ret;
}

static void held(const struct backing *backing, holder_fn take, bool before)
{
	struct guest guest = guest_mmio;
	int fd, holder = -1;
	struct vm vm;
	char *memory = map_backing(backing, &fd);
	long pins;

	if (before) {
		memset(memory, 0, SIZE);
		holder = take(memory + HELD, fd);
	}
	set_up_in(&vm, memory, &guest, LEND);
	if (!before)
		holder = take(memory + HELD, fd);
	pins = pinned();
	expect("START", call(vm.fd, GH_VM_START, NULL), take == nothing ? 0 : -EBUSY);
	if (take != nothing) {
		expect("pinned", pinned(), pins);
		expect("the memory is as it was", memcmp(memory, guest.code, guest.size), 0);
		memory[HELD + PAGE] = 1;
		if (fd >= 0)
			expect("the file too", ftruncate(fd, 2 * SIZE) ?: ftruncate(fd, SIZE), 0);
		close(holder);
		holder = -1;
		expect("START, let go", start_at_last(&vm), 0);
	}
	expect_write(&vm, 0, 0, 1, 0x41);
	expect_write(&vm, 0, 2, 2, 0x4243);
	end_vm(&vm);
	expect("given back", memory[DTB_OFFSET] | memory[HELD + PAGE], 0);
	close_vm(&vm);
	close(holder);
	close(fd);
	if (!case_ok)
		wrong("... %s, %s", backing->name, before ? "before" : "after it was pinned");
}

static void held_each(const struct backing *backing, size_t count, holder_fn take)
{
	size_t i;

	for (i = 0; i < count && case_ok; i++)
		held(&backing[i], take, i % 2);
}

static void held_by_a_ring(void)
{
	held_each(small, COUNT(small), fixed_buffer);
}

static void held_by_a_pipe(void)
{
	held(&small[0], in_a_pipe, true);
	held(&small[2], in_a_pipe, false);
	held(&small[5], in_a_pipe, true);
}

static void held_by_its_file(void)
{
	held(&small[2], spliced_from_its_file, true);
}

static void held_huge(void)
{
	need_huge_pages();
	held_each(hugetlb, COUNT(hugetlb), fixed_buffer);
	held(&hugetlb[1], in_a_pipe, true);
	held_each(hugetlb, COUNT(hugetlb), nothing);
	spill("/proc/sys/vm/nr_hugepages", "0\n");
}

static void held_by_nobody(void)
{
	held_each(small, COUNT(small), nothing);
}

/* --- What looks like it, and is not --- */

/* Pages that have just been touched are in the batches of the CPU that did it. */
static void *touch_all(void *arg)
{
	memset(arg, 0, SIZE / 4);
	return NULL;
}

static void touched_by_threads(const struct backing *backing, bool locked)
{
	pthread_t threads[4];
	struct vm vm;
	char *memory;
	int fd, i;

	memory = map_backing(backing, &fd);
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, touch_all, memory + (size_t)i * (SIZE / 4));
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	if (locked)
		expect("mlock", mlock(memory, SIZE), 0);
	if (fork() == 0)
		_exit(memory[0]);
	set_up_in(&vm, memory, &guest_mmio, LEND);
	if (fork() == 0)
		_exit(memory[0]);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 0, 1, 0x41);
	close_vm(&vm);
	close(fd);
	while (wait(NULL) > 0)
		;
}

static void held_by_threads_no_more(void)
{
	size_t i;

	for (i = 0; i < COUNT(small) && case_ok; i++)
		touched_by_threads(&small[i], i % 2);
}

/* Parts of one huge page in several regions: the driver's own pins are no stranger's. */
static void held_by_ourselves(void)
{
	static const struct backing *const backings[] = { &small[4], &small[5] };
	struct gh_userspace_memory_region region;
	struct vm a, b;
	char *memory;
	size_t i;
	int fd;

	for (i = 0; i < COUNT(backings); i++) {
		memory = map_backing(backings[i], &fd);
		memset(memory, 0, SIZE);
		set_up_in(&a, map(MAP_SHARED | MAP_ANONYMOUS, -1), &guest_mmio, LEND);
		set_up_in(&b, map(MAP_SHARED | MAP_ANONYMOUS, -1), &guest_mmio, LEND);
		region = region_of(&a);
		region.guest_phys_addr += SIZE;
		region.memory_size = SIZE / 4;
		region.label = 1;
		region.userspace_addr = (uintptr_t)memory;
		expect("lent by one VM", call(a.fd, LEND, &region), 0);
		region.userspace_addr += SIZE / 4;
		expect("shared with another", call(b.fd, SHARE, &region), 0);
		region.label = 2;
		region.guest_phys_addr += SIZE;
		expect("twice", call(b.fd, SHARE, &region), 0);
		ALLOWED(a.fd, GH_VM_START, NULL);
		expect_write(&a, 0, 0, 1, 0x41);
		close_vm(&b);
		expect_write(&a, 0, 2, 2, 0x4243);
		close_vm(&a);
	}
}

/* --- Somebody who takes and lets go all the time --- */

struct taker {
	pthread_t thread;
	char *page;
	atomic_bool stop;
};

static void *take_and_let_go(void *arg)
{
	struct taker *taker = arg;
	struct iovec iov = { taker->page, PAGE };
	struct io_uring_params params = {};
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);

	while (!atomic_load(&taker->stop)) {
		syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1);
		syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	}
	close(ring);
	return NULL;
}

static void held_now_and_then(void)
{
	struct taker taker;
	struct vm vm;
	size_t i;
	long ret;
	int fd;

	for (i = 0; i < 2 * 4 && case_ok; i++) {
		set_up_in(&vm, map_backing(&small[i % 4], &fd), &guest_mmio, LEND);
		taker.page = vm.memory + HELD;
		atomic_init(&taker.stop, false);
		pthread_create(&taker.thread, NULL, take_and_let_go, &taker);
		ret = call(vm.fd, GH_VM_START, NULL);
		printf("    %s: START: %ld\n", case_name, ret);
		atomic_store(&taker.stop, true);
		if (ret == -EBUSY)
			ret = start_at_last(&vm);
		expect("START", ret, 0);
		expect_write(&vm, 0, 0, 1, 0x41);
		pthread_join(taker.thread, NULL);
		expect_write(&vm, 0, 2, 2, 0x4243);
		close_vm(&vm);
		close(fd);
	}
}

/* Who asks for it is told which page it is. */
static void held_is_told(void)
{
	int fd, holder;
	struct vm vm;
	char *log;

	if (!spill("/sys/kernel/debug/dynamic_debug/control", "module gunyah +p\n"))
		skip("no messages for debugging in this kernel");
	set_up_in(&vm, map_backing(&small[1], &fd), &guest_mmio, LEND);
	holder = fixed_buffer(vm.memory + HELD, fd);
	REFUSED(vm.fd, GH_VM_START, NULL, EBUSY);
	spill("/sys/kernel/debug/dynamic_debug/control", "module gunyah -p\n");
	close(holder);
	close_vm(&vm);
	expect("dmesg", system("dmesg >/tmp/dmesg.held"), 0);
	log = slurp("/tmp/dmesg.held");
	expect("the line", strstr(log, "gunyah: region 0: held at 0x80101000") != NULL, 1);
	free(log);
	unlink("/tmp/dmesg.held");
}

static const struct test_case cases[] = {
	{ "held by a fixed buffer of io_uring", held_by_a_ring },
	{ "held by a pipe", held_by_a_pipe },
	{ "held by a splice of the file", held_by_its_file },
	{ "held huge pages", held_huge },
	{ "held by nobody", held_by_nobody },
	{ "held by threads no more", held_by_threads_no_more },
	{ "held by the driver alone", held_by_ourselves },
	{ "held now and then", held_now_and_then },
	{ "held is told in the log", held_is_told },
};

int main(int argc, char **argv)
{
	return run_cases(cases, COUNT(cases), argc, argv);
}
