// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole VMM on a page: boots a guest with the ioctls of /dev/gunyah alone, and prints what the
 * guest writes to a UART.
 *
 * Usage: vmm IMAGE TREE [INITRD]. The image, a program or Linux, starts at BASE; the tree is made of
 * guest.dts, beside this file, and says where Linux finds its initrd.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/gunyah/ioctl.h"

#define BASE	      0x80000000ul
#define SIZE	      (96ul << 20)
#define INITRD_OFFSET (64ul << 20)
#define INITRD_SIZE   (8ul << 20)
#define TREE_OFFSET   (SIZE - TREE_SIZE)
#define TREE_SIZE     0x10000ul /* with room for the nodes that the resource manager adds */
#define UART	      0x09000000ul
#define UART_LSR      5

static int request(int fd, unsigned long number, void *arg, const char *what)
{
	int ret = ioctl(fd, number, arg);

	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static void load(const char *path, char *at, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	while (fd >= 0 && got > 0 && room) {
		got = read(fd, at, room);
		at += got > 0 ? got : 0;
		room -= got > 0 ? (size_t)got : 0;
	}
	if (fd < 0 || got)
		err(1, "%s", path);
	close(fd);
}

/* A 16550 that only ever sends, and is always ready to. */
static void mmio(struct gh_vcpu_run *run)
{
	if (run->mmio.is_write && run->mmio.phys_addr == UART)
		putchar(run->mmio.data[0]);
	else if (!run->mmio.is_write)
		run->mmio.data[0] = run->mmio.phys_addr == UART + UART_LSR ? 0x60 : 0;
}

int main(int argc, char **argv)
{
	struct gh_userspace_memory_region region = {
		.flags = GH_MEM_ALLOW_READ | GH_MEM_ALLOW_WRITE | GH_MEM_ALLOW_EXEC,
		.guest_phys_addr = BASE,
		.memory_size = SIZE,
	};
	struct gh_vm_dtb_config tree = { .guest_phys_addr = BASE + TREE_OFFSET, .size = TREE_SIZE };
	struct gh_fn_vcpu_arg id = { .id = 0 };
	struct gh_fn_desc vcpu = { GH_FN_VCPU, sizeof(id), (__u64)&id };
	struct gh_vcpu_run *run;
	char *memory;
	int vm_fd, vcpu_fd;

	if (argc < 3 || argc > 4)
		errx(2, "usage: vmm IMAGE TREE [INITRD]");
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	/* A huge page is one range for the resource manager, a page is one too. */
	madvise(memory, SIZE, MADV_HUGEPAGE);
	load(argv[1], memory, INITRD_OFFSET);
	load(argv[2], memory + TREE_OFFSET, TREE_SIZE);
	if (argv[3])
		load(argv[3], memory + INITRD_OFFSET, INITRD_SIZE);

	vm_fd = request(open("/dev/gunyah", O_RDWR | O_CLOEXEC), GH_CREATE_VM, NULL, "a VM");
	region.userspace_addr = (__u64)memory;
	request(vm_fd, GH_VM_ANDROID_LEND_USER_MEM, &region, "memory");
	request(vm_fd, GH_VM_SET_DTB_CONFIG, &tree, "device tree");
	vcpu_fd = request(vm_fd, GH_VM_ADD_FUNCTION, &vcpu, "vCPU");
	run = mmap(NULL, (size_t)request(vcpu_fd, GH_VCPU_MMAP_SIZE, NULL, "run page"),
		   PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED)
		err(1, "run page");
	request(vm_fd, GH_VM_START, NULL, "start");

	do {
		request(vcpu_fd, GH_VCPU_RUN, NULL, "run");
		if (run->exit_reason == GH_VCPU_EXIT_MMIO)
			mmio(run);
	} while (run->exit_reason == GH_VCPU_EXIT_MMIO);
	printf("the guest ended: status %u, type %u\n", run->status.status,
	       run->status.exit_info.type);
	return 0;
}
