// SPDX-License-Identifier: Apache-2.0
/*
 * A program of the v8 form: only what the v8 series' header says, typed here once more; it knows no
 * later request. Its cases are what a VMM of then relied on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/driver/guests.h"
#include "tests/driver/runner.h"
#include "tests/driver/tree.h"

struct v8_region {
	__u32 label, flags;
	__u64 guest_phys_addr, memory_size, userspace_addr;
};

struct v8_dtb {
	__u64 gpa, size;
};

struct v8_function {
	char name[32];
	union {
		struct {
			__u32 vcpu_id;
		} vcpu;
		struct {
			__u32 fd, label, flags;
		} irqfd;
		struct {
			__u64 datamatch, addr;
			__u32 len;
			__s32 fd;
			__u32 flags;
		} ioeventfd;
		char data[1024];
	};
};

struct v8_run {
	__u8 immediate_exit, padding[7];
	__u32 exit_reason;
	struct {
		__u64 phys_addr;
		__u8 data[8];
		__u32 len;
		__u8 is_write;
	} mmio;
};

#define V8_CREATE_VM	_IO('G', 0x0)
#define V8_SET_REGION	_IOW('G', 0x1, struct v8_region)
#define V8_SET_DTB	_IOW('G', 0x2, struct v8_dtb)
#define V8_START	_IO('G', 0x3)
#define V8_ADD_FUNCTION _IOW('G', 0x4, struct v8_function)
#define V8_RUN		_IO('G', 0x5)
#define V8_MMAP_SIZE	_IO('G', 0x6)
#define V8_MEM_RWX	7u
#define V8_MEM_LENT	8u

struct v8 {
	int device, vm, vcpu;
	char *memory;
	struct v8_run *run;
};

static long v8_call(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static long v8_add(struct v8 *v8, const char *name, const struct v8_function *arg)
{
	struct v8_function fn = *arg;

	snprintf(fn.name, sizeof(fn.name), "%s", name);
	return v8_call(v8->vm, V8_ADD_FUNCTION, &fn);
}

/* Memory first, loaded after it was set, the tree with its raw size, then the vCPU. */
static void v8_set_up(struct v8 *v8, const struct guest *guest, unsigned int flags)
{
	struct v8_region region = { 0, V8_MEM_RWX | flags, BASE, SIZE, 0 };
	struct v8_dtb dtb = { BASE + DTB_OFFSET, 0 };

	v8->device = open("/dev/gunyah", O_RDWR | O_CLOEXEC);
	v8->vm = (int)v8_call(v8->device, V8_CREATE_VM, NULL);
	v8->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)v8->memory;
	expect("region", v8_call(v8->vm, V8_SET_REGION, &region), 0);
	memcpy(v8->memory, guest->code, guest->size);
	put_tree(v8->memory + DTB_OFFSET, &one);
	dtb.size = fdt_totalsize(v8->memory + DTB_OFFSET);
	expect("tree", v8_call(v8->vm, V8_SET_DTB, &dtb), 0);
	v8->vcpu = (int)v8_add(v8, "vcpu", &(struct v8_function){ .vcpu.vcpu_id = 0 });
	expect("a vCPU fd", v8->vcpu > 2, 1);
	expect("size of the run page", v8_call(v8->vcpu, V8_MMAP_SIZE, NULL), (long)PAGE);
	v8->run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, v8->vcpu, 0);
}

static void v8_close(struct v8 *v8)
{
	munmap(v8->run, PAGE);
	close(v8->vcpu);
	close(v8->vm);
	close(v8->device);
	munmap(v8->memory, SIZE);
}

static void v8_expect_write(struct v8 *v8, uint64_t addr, unsigned int len)
{
	expect("RUN", v8_call(v8->vcpu, V8_RUN, NULL), 0);
	if (v8->run->exit_reason != 1 || !v8->run->mmio.is_write || v8->run->mmio.len != len ||
	    v8->run->mmio.phys_addr != addr)
		wrong("exit %u, no write of %u bytes to %#llx", v8->run->exit_reason, len,
		      (unsigned long long)addr);
}

static void v8_life(unsigned int flags)
{
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t count = 0;
	struct v8 v8;
	int i;

	v8_set_up(&v8, &guest_mmio, flags);
	expect("ioeventfd",
	       v8_add(&v8, "ioeventfd",
		      &(struct v8_function){ .ioeventfd = { .addr = MMIO, .len = 1, .fd = event } }),
	       0);
	expect("irqfd",
	       v8_add(&v8, "irqfd", &(struct v8_function){ .irqfd = { (__u32)event, BELL, 1 } }),
	       0);
	expect("no such function", v8_add(&v8, "watchdog", &(struct v8_function){}), -ENOENT);
	expect("START", v8_call(v8.vm, V8_START, NULL), 0);
	expect("START again", v8_call(v8.vm, V8_START, NULL), 0);
	v8_expect_write(&v8, MMIO + 2, 2);
	v8_expect_write(&v8, MMIO + 4, 4);
	v8_expect_write(&v8, MMIO + 8, 8);
	for (i = 0; i < 4; i++) {
		expect("RUN", v8_call(v8.vcpu, V8_RUN, NULL), 0);
		expect("a read", v8.run->mmio.is_write, 0);
		memset(v8.run->mmio.data, 1 + i, 8);
	}
	v8_expect_write(&v8, MMIO + 0x20, 8);
	expect("the ioeventfd took one", read(event, &count, 8) == 8 && count == 1, 1);
	v8_close(&v8);
	close(event);
}

static void v8_share(void)
{
	v8_life(0);
}

static void v8_lend(void)
{
	v8_life(V8_MEM_LENT);
}

/* Without a START, the first RUN does it. */
static void v8_run_starts(void)
{
	struct v8 v8;

	v8_set_up(&v8, &guest_spin, 0);
	v8_expect_write(&v8, MMIO, 4);
	v8_close(&v8);
}

static void v8_immediate_exit(void)
{
	struct v8 v8;

	v8_set_up(&v8, &guest_mmio, 0);
	v8.run->immediate_exit = 1;
	expect("RUN", v8_call(v8.vcpu, V8_RUN, NULL), 0);
	expect("exit reason", v8.run->exit_reason, 0);
	v8.run->immediate_exit = 0;
	v8_expect_write(&v8, MMIO, 1);
	v8.run->immediate_exit = 1;
	expect("RUN", v8_call(v8.vcpu, V8_RUN, NULL), 0);
	expect("exit reason", v8.run->exit_reason, 0);
	v8_close(&v8);
}

static void v8_regions(void)
{
	struct v8_region region = { 5, V8_MEM_RWX, BASE, PAGE, 0 };
	struct v8_function fn = { .name = "vcpu" };
	struct v8 v8;

	v8_set_up(&v8, &guest_mmio, 0);
	region.userspace_addr = (uintptr_t)v8.memory;
	expect("overlap", v8_call(v8.vm, V8_SET_REGION, &region), -EEXIST);
	region.guest_phys_addr = BASE + SIZE;
	expect("flag", (region.flags = 0x17, v8_call(v8.vm, V8_SET_REGION, &region)), -EINVAL);
	expect("second", (region.flags = 7, v8_call(v8.vm, V8_SET_REGION, &region)), 0);
	expect("same label", v8_call(v8.vm, V8_SET_REGION, &region), -EEXIST);
	region.memory_size = 0;
	expect("removal", v8_call(v8.vm, V8_SET_REGION, &region), 0);
	expect("removal of none", v8_call(v8.vm, V8_SET_REGION, &region), 0);
	expect("vCPU twice", v8_call(v8.vm, V8_ADD_FUNCTION, &fn), -EEXIST);
	expect("unknown request on the VM", v8_call(v8.vm, _IO('G', 0x3f), NULL), -ENOTTY);
	expect("unknown request on the vCPU", v8_call(v8.vcpu, _IO('G', 0x3f), NULL), -EINVAL);
	v8_close(&v8);
}

static const struct test_case cases[] = {
	{ "form v8 shared life", v8_share },	 { "form v8 lent life", v8_lend },
	{ "form v8 RUN starts", v8_run_starts }, { "form v8 immediate_exit", v8_immediate_exit },
	{ "form v8 regions", v8_regions },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
