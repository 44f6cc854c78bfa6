/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiny guests of a few instructions, and what a test needs to give them a life with the ioctls of
 * /dev/gunyah alone.
 */
#ifndef CROFT_TESTS_DRIVER_TINY_H
#define CROFT_TESTS_DRIVER_TINY_H

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdarg.h>
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

#define PAGE	   4096ul
#define BASE	   0x80000000ul /* of guest memory */
#define SIZE	   0x200000ul
#define DTB_OFFSET 0x100000ul
#define DTB_SIZE   0x10000ul
#define GICD	   0x3fff0000ul
#define BELL	   4u /* label and SPI of the doorbell */
#define MMIO	   0x09000000ul

/* The value of an ioctl, its errno negative. */
static inline long call(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

#define REFUSED(fd, request, arg, error) expect(#request " " #arg, call(fd, request, arg), -(error))
#define ALLOWED(fd, request, arg)	 expect(#request " " #arg, call(fd, request, arg), 0)

/* --- A VM --- */

struct tree {
	unsigned int cpus;
	bool level; /* the doorbell's interrupt */
	bool no_image_name, hypervisor_node, no_config;
};

struct vm {
	int device, fd, vcpu[2];
	struct gh_vcpu_run *run[2];
	char *memory;
	size_t size;
};

static inline void fdt_fail(int error)
{
	if (error)
		wrong("device tree: %s", fdt_strerror(error));
}

static inline void cells(void *fdt, const char *name, unsigned int count, ...)
{
	fdt32_t value[12];
	va_list args;
	unsigned int i;

	va_start(args, count);
	for (i = 0; i < count; i++)
		value[i] = cpu_to_fdt32(va_arg(args, unsigned int));
	va_end(args);
	fdt_fail(fdt_property(fdt, name, value, (int)(count * sizeof(value[0]))));
}

static inline void put_cpus(void *fdt, unsigned int count)
{
	char name[16];
	unsigned int i;

	fdt_begin_node(fdt, "cpus");
	cells(fdt, "#address-cells", 1, 1u);
	cells(fdt, "#size-cells", 1, 0u);
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "cpu@%u", i);
		fdt_begin_node(fdt, name);
		fdt_property_string(fdt, "device_type", "cpu");
		fdt_property_string(fdt, "compatible", "arm,armv8");
		fdt_property_string(fdt, "enable-method", "psci");
		cells(fdt, "reg", 1, i);
		fdt_end_node(fdt);
	}
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "psci");
	fdt_property_string(fdt, "compatible", "arm,psci-1.0");
	fdt_property_string(fdt, "method", "hvc");
	fdt_end_node(fdt);
}

static inline void put_config(void *fdt, const struct tree *tree)
{
	fdt_begin_node(fdt, "gunyah-vm-config");
	if (!tree->no_image_name)
		fdt_property_string(fdt, "image-name", "tiny");
	fdt_property_string(fdt, "os-type", "linux");
	fdt_begin_node(fdt, "memory");
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	cells(fdt, "base-address", 2, 0u, (unsigned int)BASE);
	cells(fdt, "size-max", 2, 0u, 0x10000000u);
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "interrupts");
	fdt_property_string(fdt, "config", "/interrupt-controller@3fff0000");
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "vcpus");
	fdt_property_string(fdt, "affinity", "proxy");
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "vdevices");
	fdt_property_string(fdt, "generate", "/hypervisor");
	fdt_begin_node(fdt, "bell");
	fdt_property_string(fdt, "vdevice-type", "doorbell");
	fdt_property_string(fdt, "generate", "/hypervisor/bell");
	cells(fdt, "label", 1, BELL);
	fdt_property(fdt, "peer-default", NULL, 0);
	fdt_property(fdt, "source-can-clear", NULL, 0);
	cells(fdt, "interrupts", 3, 0u, BELL, tree->level ? 4u : 1u);
	fdt_end_node(fdt);
	fdt_end_node(fdt);
	fdt_end_node(fdt);
}

static inline void put_tree(char *at, const struct tree *tree)
{
	void *fdt = at;
	unsigned int gicr = tree->cpus * 0x20000u;

	fdt_fail(fdt_create(fdt, (int)DTB_SIZE / 4));
	fdt_fail(fdt_finish_reservemap(fdt));
	fdt_begin_node(fdt, "");
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	cells(fdt, "interrupt-parent", 1, 1u);
	fdt_begin_node(fdt, "chosen");
	fdt_end_node(fdt);
	if (tree->hypervisor_node) {
		fdt_begin_node(fdt, "hypervisor");
		fdt_end_node(fdt);
	}
	fdt_begin_node(fdt, "memory");
	fdt_property_string(fdt, "device_type", "memory");
	cells(fdt, "reg", 4, 0u, (unsigned int)BASE, 0u, (unsigned int)SIZE);
	fdt_end_node(fdt);
	put_cpus(fdt, tree->cpus);
	fdt_begin_node(fdt, "interrupt-controller@3fff0000");
	fdt_property_string(fdt, "compatible", "arm,gic-v3");
	cells(fdt, "#interrupt-cells", 1, 3u);
	cells(fdt, "#address-cells", 1, 2u);
	cells(fdt, "#size-cells", 1, 2u);
	fdt_property(fdt, "interrupt-controller", NULL, 0);
	cells(fdt, "reg", 8, 0u, (unsigned int)GICD, 0u, 0x10000u, 0u, (unsigned int)GICD - gicr,
	      0u, gicr);
	cells(fdt, "phandle", 1, 1u);
	fdt_end_node(fdt);
	if (!tree->no_config)
		put_config(fdt, tree);
	fdt_end_node(fdt);
	fdt_fail(fdt_finish(fdt));
}

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

static const struct tree one = { .cpus = 1 };

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
