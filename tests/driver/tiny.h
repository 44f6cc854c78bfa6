/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiny guests of a few instructions, and what a test needs to give them a life with the ioctls of
 * /dev/gunyah alone.
 */
#ifndef CROFT_TESTS_DRIVER_TINY_H
#define CROFT_TESTS_DRIVER_TINY_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/gunyah/abi.h"
#include "api/gunyah/ioctl.h"
#include "tests/driver/guests.h"
#include "tests/driver/runner.h"
#include "tests/driver/tree.h"

/* What a system call returned, its errno negative. */
static inline long said(long ret)
{
	return ret < 0 ? -errno : ret;
}

static inline long call(int fd, unsigned long request, const void *arg)
{
	return said(ioctl(fd, request, arg));
}

#define REFUSED(fd, request, arg, error) expect(#request " " #arg, call(fd, request, arg), -(error))
#define ALLOWED(fd, request, arg)	 expect(#request " " #arg, call(fd, request, arg), 0)

/* --- A VM --- */

struct vm {
	int device, fd, vcpu[2];
	struct gh_vcpu_run *run[2];
	char *memory;
	size_t size;
};

static inline void open_vm(struct vm *vm)
{
	*vm = (struct vm){ .vcpu = { -1, -1 }, .size = SIZE };
	vm->device = open("/dev/gunyah", O_RDWR | O_CLOEXEC);
	vm->fd = (int)call(vm->device, GH_CREATE_VM, NULL);
	if (vm->fd < 0)
		wrong("GH_CREATE_VM: %d", vm->fd);
	vm->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static inline void close_vcpu(struct vm *vm, int i)
{
	if (vm->run[i])
		munmap(vm->run[i], PAGE);
	if (vm->vcpu[i] >= 0)
		close(vm->vcpu[i]);
	vm->run[i] = NULL;
	vm->vcpu[i] = -1;
}

static inline void close_vm(struct vm *vm)
{
	close_vcpu(vm, 0);
	close_vcpu(vm, 1);
	if (vm->fd >= 0)
		close(vm->fd);
	close(vm->device);
	munmap(vm->memory, vm->size);
}

static inline struct gh_userspace_memory_region region_of(const struct vm *vm)
{
	return (struct gh_userspace_memory_region){
		.flags = GH_MEM_ALLOW_READ | GH_MEM_ALLOW_WRITE | GH_MEM_ALLOW_EXEC,
		.guest_phys_addr = BASE,
		.memory_size = vm->size,
		.userspace_addr = (uintptr_t)vm->memory,
	};
}

static inline long add_fn(int fd, unsigned int type, const void *arg, size_t size)
{
	struct gh_fn_desc desc = { .type = type, .arg_size = (__u32)size, .arg = (uintptr_t)arg };

	return call(fd, GH_VM_ADD_FUNCTION, &desc);
}

static inline long add_ioeventfd(const struct vm *vm, const struct gh_fn_ioeventfd_arg *arg)
{
	return add_fn(vm->fd, GH_FN_IOEVENTFD, arg, sizeof(*arg));
}

#define IOEVENTFD(vm, ...) add_ioeventfd(vm, &(struct gh_fn_ioeventfd_arg){ __VA_ARGS__ })

static inline void add_vcpu(struct vm *vm, unsigned int id)
{
	struct gh_fn_vcpu_arg arg = { .id = id };
	void *run;

	vm->vcpu[id] = (int)add_fn(vm->fd, GH_FN_VCPU, &arg, sizeof(arg));
	if (vm->vcpu[id] < 0) {
		wrong("vCPU %u: %d", id, vm->vcpu[id]);
		return;
	}
	run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu[id], 0);
	if (run == MAP_FAILED)
		wrong("mmap of vCPU %u: %s", id, strerror(errno));
	else
		vm->run[id] = run;
}

/* Everything but START. */
static inline void set_up(struct vm *vm, const struct guest *guest, const struct tree *tree,
			  unsigned long request)
{
	struct gh_userspace_memory_region region;
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	unsigned int i;

	open_vm(vm);
	memcpy(vm->memory, guest->code, guest->size);
	put_tree(vm->memory + DTB_OFFSET, tree);
	region = region_of(vm);
	expect("memory region", call(vm->fd, request, &region), 0);
	ALLOWED(vm->fd, GH_VM_SET_DTB_CONFIG, &dtb);
	for (i = 0; i < tree->cpus; i++)
		add_vcpu(vm, i);
}

static inline bool start(struct vm *vm, const struct guest *guest, const struct tree *tree)
{
	set_up(vm, guest, tree, GH_VM_SET_USER_MEM_REGION);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	return case_ok;
}

/* Runs up to an exit; false when it is no MMIO exit. */
static inline bool next_mmio(struct vm *vm, int i)
{
	long ret = call(vm->vcpu[i], GH_VCPU_RUN, NULL);

	if (ret)
		wrong("GH_VCPU_RUN: %ld", ret);
	return !ret && vm->run[i]->exit_reason == GH_VCPU_EXIT_MMIO;
}

static inline void expect_write(struct vm *vm, int i, unsigned long offset, unsigned int len,
				uint64_t value)
{
	struct gh_vcpu_run *run = vm->run[i];
	uint64_t data = 0;

	if (!case_ok)
		return;
	if (!next_mmio(vm, i)) {
		wrong("no write to %#lx, exit reason %u", offset, run->exit_reason);
		return;
	}
	memcpy(&data, run->mmio.data, sizeof(data));
	if (!run->mmio.is_write || run->mmio.phys_addr != MMIO + offset || run->mmio.len != len ||
	    data != value)
		wrong("%s %#llx len %u data %#llx, expected a write to %#lx len %u of %#llx",
		      run->mmio.is_write ? "write" : "read",
		      (unsigned long long)run->mmio.phys_addr, run->mmio.len,
		      (unsigned long long)data, MMIO + offset, len, (unsigned long long)value);
}

static inline void expect_read(struct vm *vm, int i, unsigned long offset, unsigned int len,
			       uint64_t value)
{
	struct gh_vcpu_run *run = vm->run[i];

	if (!case_ok)
		return;
	if (!next_mmio(vm, i) || run->mmio.is_write || run->mmio.phys_addr != MMIO + offset ||
	    run->mmio.len != len)
		wrong("no read of %#lx", offset);
	memcpy(run->mmio.data, &value, sizeof(value));
	/* What the guest may scribble here must not count: the driver keeps its own. */
	run->mmio.len = 255;
	run->mmio.is_write = 1;
}

static inline void expect_end(struct vm *vm, int i, unsigned int type)
{
	struct gh_vcpu_run *run = vm->run[i];
	int again;

	for (again = 0; again < 2 && case_ok; again++) {
		expect("GH_VCPU_RUN", call(vm->vcpu[i], GH_VCPU_RUN, NULL), 0);
		expect("exit reason", run->exit_reason, GH_VCPU_EXIT_STATUS);
		expect("status", run->status.status, GH_VM_STATUS_EXITED);
		expect("exit type", run->status.exit_info.type, type);
	}
}

#endif
