/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The interface of /dev/gunyah between the driver and user space: requests, structures and the
 * vCPU's run page.
 *
 * One driver speaks the v8 and the v10 to v14 forms; the request number, which holds the size,
 * tells them apart. docs/UAPI.md gives rules and errors of each request. Structures are
 * little-endian, as is the processor.
 */
#ifndef CROFT_GUNYAH_IOCTL_H
#define CROFT_GUNYAH_IOCTL_H

#include <linux/types.h>
#include <linux/ioctl.h>

#define GH_IOCTL_TYPE	      'G'
#define GH_ANDROID_IOCTL_TYPE 'A'

/* On /dev/gunyah. The argument must be 0; returns a VM fd. */
#define GH_CREATE_VM _IO(GH_IOCTL_TYPE, 0x0)
/* Tells that GH_VM_ANDROID_LEND_USER_MEM exists; returns 0. */
#define GH_ANDROID_TENTATIVE_UAPI _IO(GH_ANDROID_IOCTL_TYPE, 0x10)
/* The argument is the number of a capability; returns 0 for each that the driver does not have. */
#define GH_VM_CHECK_EXTENSION _IO(GH_ANDROID_IOCTL_TYPE, 0x17)

/* --- On a VM fd --- */

/* memory_size 0 takes the region with this label away again (v8). */
struct gh_userspace_memory_region {
	__u32 label;	       /* unique in the VM; 0 for more private memory of the guest */
	__u32 flags;	       /* GH_MEM_* */
	__u64 guest_phys_addr; /* page aligned; regions must not overlap */
	__u64 memory_size;     /* bytes, page aligned */
	__u64 userspace_addr;  /* page aligned */
};
#define GH_MEM_ALLOW_READ  (1u << 0)
#define GH_MEM_ALLOW_WRITE (1u << 1)
#define GH_MEM_ALLOW_EXEC  (1u << 2)
#define GH_MEM_LENT	   (1u << 3) /* v8: lend, do not share; same as GH_VM_ANDROID_LEND_USER_MEM */

struct gh_vm_dtb_config {
	__u64 guest_phys_addr;
	__u64 size; /* bytes, with the room that the resource manager needs for its nodes */
};

#define GH_VM_SET_USER_MEM_REGION _IOW(GH_IOCTL_TYPE, 0x1, struct gh_userspace_memory_region)
#define GH_VM_ANDROID_LEND_USER_MEM \
	_IOW(GH_ANDROID_IOCTL_TYPE, 0x11, struct gh_userspace_memory_region)
#define GH_VM_SET_DTB_CONFIG _IOW(GH_IOCTL_TYPE, 0x2, struct gh_vm_dtb_config)
#define GH_VM_START	     _IO(GH_IOCTL_TYPE, 0x3)

/* Android: the firmware that a protected guest starts in, inside a region. */
struct gh_vm_firmware_config {
	__u64 guest_phys_addr;
	__u64 size;
};
#define GH_VM_ANDROID_SET_FW_CONFIG _IOW(GH_ANDROID_IOCTL_TYPE, 0x12, struct gh_vm_firmware_config)

/* Android: memory of a running guest that the host wants back. */
struct gh_vm_reclaim_region {
	__u64 guest_phys_addr;
	__u64 size;
};
#define GH_VM_RECLAIM_REGION _IOW(GH_ANDROID_IOCTL_TYPE, 0x13, struct gh_vm_reclaim_region)

/* Later kernels: a register that the boot vCPU starts with. */
struct gh_vm_boot_context {
	__u32 reg; /* GH_BOOT_REG(set, index) */
	__u32 reserved;
	__u64 value;
};
#define GH_BOOT_REG(set, index) ((set) << 8 | (index))
#define GH_BOOT_REG_SET_X	0 /* index up to 31 */
#define GH_BOOT_REG_SET_PC	1 /* index 0 */
#define GH_BOOT_REG_SET_SP	2 /* index up to 2 */
#define GH_VM_SET_BOOT_CONTEXT	_IOW(GH_IOCTL_TYPE, 0xa, struct gh_vm_boot_context)

/* A VM function: behaviour added to a VM. ADD_FUNCTION returns a vCPU fd for a vCPU, else 0. */
enum gh_fn_type {
	GH_FN_VCPU = 1,	     /* struct gh_fn_vcpu_arg */
	GH_FN_IRQFD = 2,     /* struct gh_fn_irqfd_arg */
	GH_FN_IOEVENTFD = 3, /* struct gh_fn_ioeventfd_arg */
};

struct gh_fn_desc {
	__u32 type;	/* enum gh_fn_type */
	__u32 arg_size; /* size of the structure; 0 for a vCPU: arg is the id itself (v10) */
	__u64 arg;	/* address of the structure */
};
#define GH_FN_MAX_ARG_SIZE 256

struct gh_fn_vcpu_arg {
	__u32 id; /* index of the cpu node in the guest's device tree */
};

struct gh_fn_irqfd_arg {
	__u32 fd;      /* an eventfd; each write to it rings the doorbell */
	__u32 label;   /* of the doorbell in the guest's device tree */
	__u32 flags;   /* GH_IRQFD_FLAGS_* */
	__u32 padding; /* not looked at */
};
#define GH_IRQFD_FLAGS_LEVEL (1u << 0)

struct gh_fn_ioeventfd_arg {
	__u64 datamatch;
	__u64 addr;    /* guest physical address */
	__u32 len;     /* 0 (any), 1, 2, 4 or 8 */
	__s32 fd;      /* an eventfd */
	__u32 flags;   /* GH_IOEVENTFD_FLAGS_* */
	__u32 padding; /* not looked at */
};
#define GH_IOEVENTFD_FLAGS_DATAMATCH (1u << 0)

#define GH_VM_ADD_FUNCTION    _IOW(GH_IOCTL_TYPE, 0x4, struct gh_fn_desc)
#define GH_VM_REMOVE_FUNCTION _IOW(GH_IOCTL_TYPE, 0x7, struct gh_fn_desc)

/*
 * The v8 form of ADD_FUNCTION: the function by name ("vcpu", "irqfd", "ioeventfd"), its argument in
 * place.
 */
#define GH_FN_NAME_SIZE 32
struct gh_vm_function {
	char name[GH_FN_NAME_SIZE];
	union {
		struct gh_fn_vcpu_arg vcpu;
		struct gh_fn_irqfd_arg irqfd;
		struct gh_fn_ioeventfd_arg ioeventfd;
		__u8 data[1024];
	};
};
#define GH_VM_ADD_FUNCTION_V8 _IOW(GH_IOCTL_TYPE, 0x4, struct gh_vm_function)

/* --- On a vCPU fd --- */

#define GH_VCPU_RUN	  _IO(GH_IOCTL_TYPE, 0x5)
#define GH_VCPU_MMAP_SIZE _IO(GH_IOCTL_TYPE, 0x6) /* returns the bytes to mmap at offset 0 */

enum gh_vcpu_exit {
	GH_VCPU_EXIT_UNKNOWN = 0,
	GH_VCPU_EXIT_MMIO = 1,
	GH_VCPU_EXIT_STATUS = 2,
};

enum gh_vm_status {
	GH_VM_STATUS_LOAD_FAILED = 1,
	GH_VM_STATUS_EXITED = 2,
	GH_VM_STATUS_CRASHED = 3,
};

#define GH_VM_MAX_EXIT_REASON_SIZE 8
struct gh_vm_exit_info {
	__u16 type; /* enum gh_rm_exit_type of abi.h */
	__u16 padding;
	__u32 reason_size; /* as the resource manager gave it; at most 8 bytes of it follow */
	__u8 reason[GH_VM_MAX_EXIT_REASON_SIZE];
};

/* The run page: mapped shared from the vCPU fd, valid between two GH_VCPU_RUN. */
struct gh_vcpu_run {
	__u8 immediate_exit; /* in: not 0 makes GH_VCPU_RUN return EINTR at once */
	__u8 padding[7];
	__u32 exit_reason; /* out: enum gh_vcpu_exit */
	__u32 padding2;
	union {
		struct {
			__u64 phys_addr;
			__u8 data[8]; /* a write: from the guest; a read: fill it in, then run again */
			__u32 len;
			__u8 is_write;
		} mmio;
		struct {
			__u32 status; /* enum gh_vm_status */
			struct gh_vm_exit_info exit_info;
		} status;
	};
};

/*
 * Croft's own: what the driver counted on this vCPU since it was made. Costs no lock and no exit.
 * The counters are of one vCPU thread, so a set that is read while it runs may be torn between two
 * exits.
 */
struct gh_vcpu_stats {
	__u64 run_ns; /* host time spent inside the hypervisor for this vCPU */
	__u64 runs;   /* calls of the hypervisor */
	__u64 ready;  /* came back with more to run: the host was interrupted */
	__u64 wakeup; /* WFI or PSCI suspend */
	__u64 powered_off;
	__u64 blocked; /* transient: moved between CPUs, or being killed */
	__u64 retry;   /* the hypervisor asked to call again: RETRY or BUSY */
	__u64 mmio_read;
	__u64 mmio_write;  /* those in mmio_kernel included */
	__u64 mmio_kernel; /* writes taken by an ioeventfd */
	__u64 page_fault;
	__u64 status;	   /* fault, reset, or a vCPU that found its VM gone */
	__u64 wakeup_irqs; /* wake-up interrupts of this vCPU */
	__u64 user_exits;  /* times that user space was told something */
	__u64 vm_injected; /* interrupts that the irqfds of the whole VM gave to the guest */
	__u64 reserved;
};
#define GH_VCPU_GET_STATS _IOR(GH_IOCTL_TYPE, 0x40, struct gh_vcpu_stats)

_Static_assert(sizeof(struct gh_userspace_memory_region) == 32, "memory region");
_Static_assert(sizeof(struct gh_vm_dtb_config) == 16, "DTB configuration");
_Static_assert(sizeof(struct gh_fn_desc) == 16, "function descriptor");
_Static_assert(sizeof(struct gh_fn_vcpu_arg) == 4, "vCPU argument");
_Static_assert(sizeof(struct gh_fn_irqfd_arg) == 16, "irqfd argument");
_Static_assert(sizeof(struct gh_fn_ioeventfd_arg) == 32, "ioeventfd argument");
_Static_assert(sizeof(struct gh_vm_function) == 1056, "named function");
_Static_assert(__builtin_offsetof(struct gh_vm_function, data) == 32,
	       "argument of a named function");
_Static_assert(sizeof(struct gh_vcpu_run) == 40, "run page");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, exit_reason) == 8, "exit_reason");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, mmio.phys_addr) == 16, "mmio.phys_addr");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, mmio.data) == 24, "mmio.data");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, mmio.len) == 32, "mmio.len");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, mmio.is_write) == 36, "mmio.is_write");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, status.exit_info.type) == 20, "exit type");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, status.exit_info.reason_size) == 24,
	       "reason size");
_Static_assert(__builtin_offsetof(struct gh_vcpu_run, status.exit_info.reason) == 28, "reason");
_Static_assert(sizeof(struct gh_vcpu_stats) == 128, "vCPU statistics");
_Static_assert(sizeof(struct gh_vm_firmware_config) == 16, "firmware configuration");
_Static_assert(sizeof(struct gh_vm_reclaim_region) == 16, "reclaim");
_Static_assert(sizeof(struct gh_vm_boot_context) == 16, "boot context");
_Static_assert(GH_VM_ANDROID_SET_FW_CONFIG == 0x40104112, "SET_FW_CONFIG");
_Static_assert(GH_VM_RECLAIM_REGION == 0x40104113, "RECLAIM_REGION");
_Static_assert(GH_VM_SET_BOOT_CONTEXT == 0x4010470a, "SET_BOOT_CONTEXT");
_Static_assert(GH_VM_SET_USER_MEM_REGION == 0x40204701, "SET_USER_MEM_REGION");
_Static_assert(GH_VM_SET_DTB_CONFIG == 0x40104702, "SET_DTB_CONFIG");
_Static_assert(GH_VM_ADD_FUNCTION == 0x40104704, "ADD_FUNCTION");
_Static_assert(GH_VM_ADD_FUNCTION_V8 == 0x44204704, "ADD_FUNCTION of v8");
_Static_assert(GH_VM_REMOVE_FUNCTION == 0x40104707, "REMOVE_FUNCTION");
_Static_assert(GH_VM_ANDROID_LEND_USER_MEM == 0x40204111, "LEND_USER_MEM");

#endif
