/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory of each kind that a process can have, and guests that live in it.
 */
#ifndef CROFT_TESTS_DRIVER_MEMORY_H
#define CROFT_TESTS_DRIVER_MEMORY_H

#include <sys/wait.h>

#include "tests/driver/tiny.h"

#define LEND  GH_VM_ANDROID_LEND_USER_MEM
#define SHARE GH_VM_SET_USER_MEM_REGION

static inline long give(struct vm *vm, void *memory, unsigned int flags, unsigned long how)
{
	struct gh_userspace_memory_region region = region_of(vm);

	region.userspace_addr = (uintptr_t)memory;
	region.flags = flags;
	return call(vm->fd, how, &region);
}

static inline char *map(int flags, int fd)
{
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	return memory;
}

/* A guest in this memory, all but started. */
static inline void set_up_in(struct vm *vm, char *memory, const struct guest *guest,
			     unsigned long how)
{
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };

	open_vm(vm);
	munmap(vm->memory, vm->size);
	vm->memory = memory;
	memcpy(memory, guest->code, guest->size);
	put_tree(memory + DTB_OFFSET, &one);
	expect("region", give(vm, memory, 7, how), 0);
	ALLOWED(vm->fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(vm, 0);
}

/* Memory in about `pages` ranges of one page each: pages of a file, mapped seven apart. */
static inline void scatter(struct vm *vm, size_t pages)
{
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	size_t i;

	munmap(vm->memory, vm->size);
	vm->size = pages * PAGE;
	/* The pages are had in the order of the file, whichever way that lies in memory. */
	expect("fallocate", fallocate(fd, 0, 0, (off_t)vm->size), 0);
	vm->memory = mmap(NULL, vm->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < pages; i++) {
		char *page = mmap(vm->memory + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, (off_t)(i * 7 % pages * PAGE));

		if (page == MAP_FAILED)
			wrong("mmap of page %zu: %s", i, strerror(errno));
	}
	memset(vm->memory, 0, vm->size);
	close(fd);
}

/* A guest in memory that takes more than two messages to tell, all but started. */
static inline void set_up_scattered(struct vm *vm, const struct guest *guest, unsigned long how)
{
	struct gh_vm_dtb_config dtb = { BASE + DTB_OFFSET, DTB_SIZE };

	open_vm(vm);
	scatter(vm, 1100);
	memcpy(vm->memory, guest->code, guest->size);
	put_tree(vm->memory + DTB_OFFSET, &one);
	expect("region", give(vm, vm->memory, 7, how), 0);
	ALLOWED(vm->fd, GH_VM_SET_DTB_CONFIG, &dtb);
	add_vcpu(vm, 0);
}

static inline void end_vm(struct vm *vm)
{
	close_vcpu(vm, 0);
	close(vm->fd);
	vm->fd = -1;
}

static inline int child_status(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

#endif
