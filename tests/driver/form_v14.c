// SPDX-License-Identifier: Apache-2.0
/*
 * A program of the v10 to v14 form, with Android's additions and the boot context: only what those
 * headers say, typed here once more.
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

struct v14_region {
	__u32 label, flags;
	__u64 guest_phys_addr, memory_size, userspace_addr;
};

struct v14_pair { /* of the tree, the firmware, a range to reclaim */
	__u64 guest_phys_addr, size;
};

struct v14_fn {
	__u32 type, arg_size;
	__u64 arg;
};

struct v14_irqfd {
	__u32 fd, label, flags, padding;
};

struct v14_ioeventfd {
	__u64 datamatch, addr;
	__u32 len;
	__s32 fd;
	__u32 flags, padding;
};

struct v14_boot {
	__u32 reg, reserved;
	__u64 value;
};

struct v14_run {
	__u8 immediate_exit, padding[7];
	__u32 exit_reason, padding2;
	union {
		struct {
			__u64 phys_addr;
			__u8 data[8];
			__u32 len;
			__u8 is_write;
		} mmio;
		struct {
			__u32 status;
			struct {
				__u16 type, padding;
				__u32 reason_size;
				__u8 reason[8];
			} exit_info;
		} status;
	};
};

#define V14_CREATE_VM	    _IO('G', 0x0)
#define V14_SET_REGION	    _IOW('G', 0x1, struct v14_region)
#define V14_SET_DTB	    _IOW('G', 0x2, struct v14_pair)
#define V14_START	    _IO('G', 0x3)
#define V14_ADD_FUNCTION    _IOW('G', 0x4, struct v14_fn)
#define V14_RUN		    _IO('G', 0x5)
#define V14_MMAP_SIZE	    _IO('G', 0x6)
#define V14_REMOVE_FUNCTION _IOW('G', 0x7, struct v14_fn)
#define LATE_BOOT_CONTEXT   _IOW('G', 0xa, struct v14_boot)
#define LATE_GUEST_MEM	    _IOW('G', 0x8, char[64])
#define AND_TENTATIVE	    _IO('A', 0x10)
#define AND_LEND	    _IOW('A', 0x11, struct v14_region)
#define AND_SET_FW	    _IOW('A', 0x12, struct v14_pair)
#define AND_RECLAIM	    _IOW('A', 0x13, struct v14_pair)
#define AND_AUTH_TYPE	    _IOW('A', 0x16, char[16])
#define AND_EXTENSION	    _IO('A', 0x17)

#define V14_EXIT_MMIO	1
#define V14_EXIT_STATUS 2
#define BOOT_X(n)	(n)
#define BOOT_PC		0x100u

struct v14 {
	int device, vm, vcpu;
	char *memory;
	struct v14_run *run;
};

static long v14_call(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static long v14_fn(const struct v14 *v, unsigned long request, __u32 type, const void *arg,
		   __u32 size)
{
	struct v14_fn fn = { type, size, (uintptr_t)arg };

	return v14_call(v->vm, request, &fn);
}

static void v14_set_up(struct v14 *v, const struct guest *guest, unsigned long how)
{
	struct v14_region region = { 0, 7, BASE, SIZE, 0 };
	struct v14_pair dtb = { BASE + DTB_OFFSET, DTB_SIZE };
	__u32 id = 0;

	v->device = open("/dev/gunyah", O_RDWR | O_CLOEXEC);
	v->vm = (int)v14_call(v->device, V14_CREATE_VM, NULL);
	v->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)v->memory;
	expect("region", v14_call(v->vm, how, &region), 0);
	v->vcpu = (int)v14_fn(v, V14_ADD_FUNCTION, 1, &id, sizeof(id));
	expect("a vCPU fd", v->vcpu > 2, 1);
	v->run = mmap(NULL, (size_t)v14_call(v->vcpu, V14_MMAP_SIZE, NULL), PROT_READ | PROT_WRITE,
		      MAP_SHARED, v->vcpu, 0);
	memcpy(v->memory, guest->code, guest->size);
	put_tree(v->memory + DTB_OFFSET, &one);
	expect("tree", v14_call(v->vm, V14_SET_DTB, &dtb), 0);
}

static void v14_close(struct v14 *v)
{
	munmap(v->run, PAGE);
	close(v->vcpu);
	close(v->vm);
	close(v->device);
	munmap(v->memory, SIZE);
}

static void v14_expect_write(struct v14 *v, uint64_t addr, uint64_t value)
{
	uint64_t data;

	expect("RUN", v14_call(v->vcpu, V14_RUN, NULL), 0);
	memcpy(&data, v->run->mmio.data, sizeof(data));
	if (v->run->exit_reason != V14_EXIT_MMIO || v->run->mmio.phys_addr != addr || data != value)
		wrong("exit %u, no write to %#llx of %#llx but %#llx", v->run->exit_reason,
		      (unsigned long long)addr, (unsigned long long)value,
		      (unsigned long long)data);
}

static void v14_expect_end(struct v14 *v, unsigned int type)
{
	expect("RUN", v14_call(v->vcpu, V14_RUN, NULL), 0);
	expect("exit reason", v->run->exit_reason, V14_EXIT_STATUS);
	expect("status", v->run->status.status, 2);
	expect("exit type", v->run->status.exit_info.type, type);
	expect("bytes of reason", v->run->status.exit_info.reason_size >= 4, 1);
}

static void v14_life(void)
{
	struct v14 v;

	v14_set_up(&v, &guest_reset, V14_SET_REGION);
	expect("RUN before START", v14_call(v.vcpu, V14_RUN, NULL), -ENODEV);
	expect("START", v14_call(v.vm, V14_START, NULL), 0);
	v14_expect_end(&v, 2);
	v14_expect_end(&v, 2);
	expect("START after the end", v14_call(v.vm, V14_START, NULL), -ENODEV);
	v14_close(&v);
}

static void v14_immediate_exit(void)
{
	struct v14 v;

	v14_set_up(&v, &guest_spin, V14_SET_REGION);
	expect("START", v14_call(v.vm, V14_START, NULL), 0);
	v.run->immediate_exit = 1;
	expect("RUN", v14_call(v.vcpu, V14_RUN, NULL), -EINTR);
	v.run->immediate_exit = 0;
	v14_expect_write(&v, MMIO, 0);
	v14_close(&v);
}

static void v14_functions(void)
{
	int event = eventfd(0, EFD_NONBLOCK);
	struct v14_irqfd irqfd = { (__u32)event, BELL, 0, 0 };
	struct v14_ioeventfd io = { 7, MMIO + 0x100, 4, event, 1, 0 };
	__u32 id = 0;
	struct v14 v;

	v14_set_up(&v, &guest_mmio, V14_SET_REGION);
	expect("irqfd", v14_fn(&v, V14_ADD_FUNCTION, 2, &irqfd, sizeof(irqfd)), 0);
	expect("irqfd of v8's size", v14_fn(&v, V14_ADD_FUNCTION, 2, &irqfd, 12), -EINVAL);
	expect("ioeventfd", v14_fn(&v, V14_ADD_FUNCTION, 3, &io, sizeof(io)), 0);
	expect("type", v14_fn(&v, V14_ADD_FUNCTION, 9, &io, sizeof(io)), -ENOENT);
	expect("irqfd goes", v14_fn(&v, V14_REMOVE_FUNCTION, 2, &irqfd, sizeof(irqfd)), 0);
	expect("and is gone", v14_fn(&v, V14_REMOVE_FUNCTION, 2, &irqfd, sizeof(irqfd)), -ENOENT);
	expect("ioeventfd goes", v14_fn(&v, V14_REMOVE_FUNCTION, 3, &io, sizeof(io)), 0);
	expect("vCPU goes", v14_fn(&v, V14_REMOVE_FUNCTION, 1, &id, sizeof(id)), 0);
	expect("RUN of no vCPU", v14_call(v.vcpu, V14_RUN, NULL), -ENODEV);
	/* v10: the id in the place of its address. */
	close(v.vcpu);
	v.vcpu = (int)v14_fn(&v, V14_ADD_FUNCTION, 1, NULL, 0);
	expect("a vCPU fd", v.vcpu > 2, 1);
	expect("guest memory of later forms", v14_call(v.device, LATE_GUEST_MEM, v.memory),
	       -ENOTTY);
	v14_close(&v);
	close(event);
}

static void android_lend(void)
{
	struct v14_pair range = { BASE, SIZE };
	struct v14 v;

	v14_set_up(&v, &guest_spin, AND_LEND);
	expect("tentative", v14_call(v.device, AND_TENTATIVE, NULL), 0);
	expect("no extension 0", v14_call(v.device, AND_EXTENSION, NULL), 0);
	expect("no extension 0", v14_call(v.vm, AND_EXTENSION, NULL), 0);
	expect("trusted VMs", v14_call(v.vm, AND_AUTH_TYPE, v.memory), -ENOTTY);
	expect("START", v14_call(v.vm, V14_START, NULL), 0);
	v14_expect_write(&v, MMIO, 0);
	expect("reclaim", v14_call(v.vm, AND_RECLAIM, &range), -EOPNOTSUPP);
	range.size = 1;
	expect("reclaim of a byte", v14_call(v.vm, AND_RECLAIM, &range), -EINVAL);
	range = (struct v14_pair){ 0, PAGE };
	expect("reclaim of nothing", v14_call(v.vm, AND_RECLAIM, &range), -EINVAL);
	v14_close(&v);
}

/* The resource manager has it and may refuse this guest; or it has not, and says so at once. */
static void android_firmware(void)
{
	struct v14_pair firmware = { BASE, 0 };
	long ret;
	struct v14 v;

	v14_set_up(&v, &guest_reset, AND_LEND);
	expect("no firmware", v14_call(v.vm, AND_SET_FW, &firmware), -EINVAL);
	firmware = (struct v14_pair){ ~0ull - PAGE + 1, 2 * PAGE };
	expect("it wraps", v14_call(v.vm, AND_SET_FW, &firmware), -EOVERFLOW);
	firmware = (struct v14_pair){ BASE + 2 * SIZE, PAGE };
	ret = v14_call(v.vm, AND_SET_FW, &firmware);
	if (ret == -EOPNOTSUPP) {
		printf("    %s: this resource manager takes no firmware\n", case_name);
	} else {
		expect("firmware", ret, 0);
		expect("START with a firmware outside", v14_call(v.vm, V14_START, NULL), -EINVAL);
		firmware.guest_phys_addr = BASE;
		expect("firmware inside", v14_call(v.vm, AND_SET_FW, &firmware), 0);
		ret = v14_call(v.vm, V14_START, NULL);
		printf("    %s: START: %ld\n", case_name, ret);
		if (ret > 0)
			wrong("START: %ld", ret);
	}
	v14_close(&v);
}

/* guest_context tells X5 and where it was entered. */
static void boot_context(void)
{
	struct v14_boot boot = { BOOT_X(5), 0, 0x55667788 };
	struct v14 v;
	long ret;

	v14_set_up(&v, &guest_context, V14_SET_REGION);
	boot.reg = 0x101;
	expect("PC 1", v14_call(v.vm, LATE_BOOT_CONTEXT, &boot), -EINVAL);
	boot.reg = 0x300;
	expect("set 3", v14_call(v.vm, LATE_BOOT_CONTEXT, &boot), -EINVAL);
	boot.reg = BOOT_X(5);
	ret = v14_call(v.vm, LATE_BOOT_CONTEXT, &boot);
	if (ret == -ENOTTY) {
		printf("    %s: this resource manager sets no registers\n", case_name);
		expect("START", v14_call(v.vm, V14_START, NULL), 0);
		v14_expect_write(&v, MMIO + 8, 0);
	} else {
		expect("X5", ret, 0);
		boot = (struct v14_boot){ BOOT_PC, 0, BASE + 4 };
		expect("PC", v14_call(v.vm, LATE_BOOT_CONTEXT, &boot), 0);
		expect("START", v14_call(v.vm, V14_START, NULL), 0);
		v14_expect_write(&v, MMIO + 8, 0x55667788);
		expect("after START", v14_call(v.vm, LATE_BOOT_CONTEXT, &boot), -EINVAL);
	}
	v14_close(&v);
}

static const struct test_case cases[] = {
	{ "form v14 life", v14_life },
	{ "form v14 immediate_exit", v14_immediate_exit },
	{ "form v14 functions", v14_functions },
	{ "form Android lend and probes", android_lend },
	{ "form Android firmware", android_firmware },
	{ "form boot context", boot_context },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
