/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The Gunyah ABI between EL1 and EL2: hypercalls, errors, and the messages of the resource manager (RM).
 *
 * Belongs to neither side: driver/ calls it, images/refhyp/ answers it. Everything is little-endian. Layouts are asserted
 * at the end of the file; tests/unit holds a second transcription of the numbers.
 */
#ifndef CROFT_GUNYAH_ABI_H
#define CROFT_GUNYAH_ABI_H

#include <linux/types.h>

/* --- Calling convention: SMCCC fast 64-bit calls, vendor hypervisor range; arguments X1.., results X0.. --- */

#define GH_SMCCC_UID	      0x8600ff01u
#define GH_SMCCC_REVISION     0x8600ff03u
#define GH_SMCCC_HYPERCALL(n) (0xc6008000u + (n))
/* The native form: HVC #imm with imm = GH_HVC_BASE + n; arguments X0.., results X0.. */
#define GH_HVC_BASE 0x6000u
#define GH_HVC_LAST 0x61ffu

/* Words returned in W0..W3 by GH_SMCCC_UID. */
#define GH_UID_0 0xcd8fd5c1u
#define GH_UID_1 0xdb5f53a4u
#define GH_UID_2 0x36ce6592u
#define GH_UID_3 0x145f3d67u
/* The UUID 19bd54bd-0b37-571b-946f-609b54539de6 of the vendor's builds, as the same four little-endian words. */
#define GH_UID_QCOM_0 0xbd54bd19u
#define GH_UID_QCOM_1 0x1b57370bu
#define GH_UID_QCOM_2 0x9b606f94u
#define GH_UID_QCOM_3 0xe69d5354u
/*
 * The same two as the v8 series spells them: the vendor's UUID in big-endian words, and the words that hypervisors of
 * before 2023 answer.
 */
#define GH_UID_V8_0	 0x673d5f14u
#define GH_UID_V8_1	 0x9265ce36u
#define GH_UID_V8_2	 0xa4535fdbu
#define GH_UID_V8_3	 0xc1d58fcdu
#define GH_UID_V8_QCOM_0 0x19bd54bdu
#define GH_UID_V8_QCOM_1 0x0b37571bu
#define GH_UID_V8_QCOM_2 0x946f609bu
#define GH_UID_V8_QCOM_3 0x54539de6u

/* Hypercall numbers n. */
#define GH_CALL_IDENTIFY	      0x00
#define GH_CALL_DOORBELL_BIND_VIRQ    0x10
#define GH_CALL_DOORBELL_UNBIND_VIRQ  0x11
#define GH_CALL_DOORBELL_SEND	      0x12
#define GH_CALL_DOORBELL_RECEIVE      0x13
#define GH_CALL_DOORBELL_RESET	      0x14
#define GH_CALL_DOORBELL_MASK	      0x15
#define GH_CALL_MSGQ_BIND_SEND_VIRQ   0x17
#define GH_CALL_MSGQ_BIND_RECV_VIRQ   0x18
#define GH_CALL_MSGQ_UNBIND_SEND_VIRQ 0x19
#define GH_CALL_MSGQ_UNBIND_RECV_VIRQ 0x1a
#define GH_CALL_MSGQ_SEND	      0x1b
#define GH_CALL_MSGQ_RECV	      0x1c
#define GH_CALL_MSGQ_FLUSH	      0x1d
#define GH_CALL_MSGQ_CONFIGURE_SEND   0x1f
#define GH_CALL_MSGQ_CONFIGURE_RECV   0x20
#define GH_CALL_PRNG_GET_ENTROPY      0x57
#define GH_CALL_VCPU_RUN	      0x65
#define GH_CALL_VCPU_RUN_CHECK	      0x68

/* HYP_IDENTIFY, X0: api_info. */
#define GH_API_VERSION_MASK   0x3fffull
#define GH_API_VERSION	      1ull
#define GH_API_BIG_ENDIAN     (1ull << 14)
#define GH_API_64BIT	      (1ull << 15)
#define GH_API_VARIANT_SHIFT  56
#define GH_API_VARIANT_GUNYAH 0x48ull
#define GH_API_VARIANT_QCOM   0x51ull

/* HYP_IDENTIFY, X1: features. */
#define GH_FEATURE_PARTITION   (1ull << 0)
#define GH_FEATURE_DOORBELL    (1ull << 1)
#define GH_FEATURE_MSGQ	       (1ull << 2)
#define GH_FEATURE_VIC	       (1ull << 3)
#define GH_FEATURE_VPM	       (1ull << 4)
#define GH_FEATURE_VCPU	       (1ull << 5)
#define GH_FEATURE_MEMEXTENT   (1ull << 6)
#define GH_FEATURE_TRACE       (1ull << 7)
#define GH_FEATURE_WATCHDOG    (1ull << 8)
#define GH_FEATURE_VIRTIO_MMIO (1ull << 9)
#define GH_FEATURE_PRNG	       (1ull << 10)
#define GH_FEATURE_VCPU_RUN    (1ull << 11)

/* Errors in X0. */
enum gh_error {
	GH_ERROR_OK = 0,
	GH_ERROR_UNIMPLEMENTED = -1,
	GH_ERROR_RETRY = -2,
	GH_ERROR_ARG_INVALID = 1,
	GH_ERROR_ARG_SIZE = 2,
	GH_ERROR_ARG_ALIGN = 3,
	GH_ERROR_NOMEM = 10,
	GH_ERROR_NORESOURCES = 11,
	GH_ERROR_ADDR_OVFL = 20,
	GH_ERROR_ADDR_UNFL = 21,
	GH_ERROR_ADDR_INVALID = 22,
	GH_ERROR_DENIED = 30,
	GH_ERROR_BUSY = 31,
	GH_ERROR_IDLE = 32,
	GH_ERROR_OBJECT_STATE = 33,
	GH_ERROR_OBJECT_CONFIG = 34,
	GH_ERROR_OBJECT_CONFIGURED = 35,
	GH_ERROR_FAILURE = 36,
	GH_ERROR_IRQ_BOUND = 40,
	GH_ERROR_IRQ_UNBOUND = 41,
	GH_ERROR_CSPACE_CAP_NULL = 50,
	GH_ERROR_CSPACE_CAP_REVOKED = 51,
	GH_ERROR_CSPACE_WRONG_OBJ_TYPE = 52,
	GH_ERROR_CSPACE_INSUF_RIGHTS = 53,
	GH_ERROR_CSPACE_FULL = 54,
	GH_ERROR_MSGQ_EMPTY = 60,
	GH_ERROR_MSGQ_FULL = 61,
	GH_ERROR_MEMDB_NOT_OWNER = 111,
	GH_ERROR_MEMEXTENT_MAPPINGS_FULL = 120,
	GH_ERROR_MEMEXTENT_TYPE = 121,
	GH_ERROR_EXISTING_MAPPING = 200,
};

#define GH_CAPID_INVALID (~0ull)
#define GH_MSGQ_PUSH	 1ull /* flag of MSGQ_SEND */

/* Capability rights. */
#define GH_RIGHT_VCPU_AFFINITY	(1u << 1)
#define GH_RIGHT_VCPU_YIELD_TO	(1u << 4)
#define GH_RIGHT_VCPU_BIND_VIRQ (1u << 5)
#define GH_RIGHT_VCPU_STATE	(1u << 6)
#define GH_RIGHT_DOORBELL_SEND	(1u << 0)
#define GH_RIGHT_DOORBELL_RECV	(1u << 1)
#define GH_RIGHT_DOORBELL_BIND	(1u << 2)
#define GH_RIGHT_MSGQ_SEND	(1u << 0)
#define GH_RIGHT_MSGQ_RECV	(1u << 1)
#define GH_RIGHT_MSGQ_BIND_SEND (1u << 2)
#define GH_RIGHT_MSGQ_BIND_RECV (1u << 3)

/* VCPU_RUN results: X1 = state, X2..X4 = data0..data2. */
enum gh_vcpu_state {
	GH_VCPU_READY = 0,
	GH_VCPU_EXPECTS_WAKEUP = 1,
	GH_VCPU_POWERED_OFF = 2,
	GH_VCPU_BLOCKED = 3,
	GH_VCPU_ADDRSPACE_VMMIO_READ = 4,
	GH_VCPU_ADDRSPACE_VMMIO_WRITE = 5,
	GH_VCPU_FAULT = 6,
	GH_VCPU_ADDRSPACE_PAGE_FAULT = 7,
	GH_VCPU_PSCI_SYSTEM_RESET = 0x100,
};
#define GH_VCPU_POWERED_OFF_EXITED	1ull /* data0 of POWERED_OFF: it will never run again */
#define GH_VCPU_WAKEUP_WFI		1ull /* data1 of EXPECTS_WAKEUP */
#define GH_VCPU_WAKEUP_PSCI_CPU_SUSPEND 2ull
#define GH_VCPU_RESET_IS_RESET		(1ull << 63) /* data0: SYSTEM_RESET, else SYSTEM_RESET2 */
#define GH_VCPU_RESET2_SMC64		(1ull << 62)
/* Resume actions: X3 of the next VCPU_RUN after VMMIO, X2 after a page fault. */
#define GH_RESUME_DEFAULT 0ull
#define GH_RESUME_RETRY	  1ull
#define GH_RESUME_FAULT	  2ull

/* --- The resource manager --- */

#define GH_VMID_HYP	      0
#define GH_VMID_PRIMARY	      3
#define GH_VMID_DYNAMIC_FIRST 0x80
#define GH_VMID_DYNAMIC_END   0xbf /* exclusive */
#define GH_VMID_RM	      0xff

#define GH_RM_MSG_SIZE	    240
#define GH_RM_QUEUE_DEPTH   8
#define GH_RM_PAYLOAD	    (GH_RM_MSG_SIZE - 8)
#define GH_RM_FRAGMENTS_MAX 62

struct gh_rm_header {
	__u8 api;  /* GH_RM_API */
	__u8 type; /* bits 1:0 GH_RM_TYPE_*, bits 7:2 continuations that follow */
	__le16 seq;
	__le32 id;
} __attribute__((packed));
#define GH_RM_API		0x21
#define GH_RM_TYPE_CONTINUATION 0
#define GH_RM_TYPE_REQUEST	1
#define GH_RM_TYPE_REPLY	2
#define GH_RM_TYPE_NOTIFICATION 3
#define GH_RM_TYPE_MASK		3
#define GH_RM_FRAGMENTS_SHIFT	2

/* Message ids. */
#define GH_RM_MEM_DONATE	   0x51000010u
#define GH_RM_MEM_ACCEPT	   0x51000011u
#define GH_RM_MEM_LEND		   0x51000012u
#define GH_RM_MEM_SHARE		   0x51000013u
#define GH_RM_MEM_RELEASE	   0x51000014u
#define GH_RM_MEM_RECLAIM	   0x51000015u
#define GH_RM_MEM_NOTIFY	   0x51000017u
#define GH_RM_MEM_APPEND	   0x51000018u
#define GH_RM_MEM_QCOM_LOOKUP_SGL  0x5100001au
#define GH_RM_VM_ALLOCATE	   0x56000001u
#define GH_RM_VM_DEALLOCATE	   0x56000002u
#define GH_RM_VM_START		   0x56000004u
#define GH_RM_VM_STOP		   0x56000005u
#define GH_RM_VM_RESET		   0x56000006u
#define GH_RM_VM_CONFIG_IMAGE	   0x56000009u
#define GH_RM_VM_AUTH_IMAGE	   0x5600000au
#define GH_RM_VM_INIT		   0x5600000bu
#define GH_RM_VM_GET_ID		   0x56000010u
#define GH_RM_VM_LOOKUP_URI	   0x56000011u
#define GH_RM_VM_LOOKUP_GUID	   0x56000012u
#define GH_RM_VM_LOOKUP_NAME	   0x56000013u
#define GH_RM_VM_GET_OWNER	   0x56000015u
#define GH_RM_VM_GET_STATE	   0x56000017u
#define GH_RM_VM_GET_CRASH_MSG	   0x56000019u
#define GH_RM_VM_GET_HYP_RESOURCES 0x56000020u
#define GH_RM_VM_GET_VMID	   0x56000024u
#define GH_RM_VM_GET_PEERS	   0x56000025u
#define GH_RM_VM_SET_TIME_BASE	   0x56000030u
#define GH_RM_VM_SET_CONTEXT	   0x56000031u
#define GH_RM_VM_SET_FIRMWARE_MEM  0x56000032u
#define GH_RM_VM_IRQ_ACCEPT	   0x56000050u
#define GH_RM_VM_IRQ_LEND	   0x56000051u
#define GH_RM_VM_IRQ_RELEASE	   0x56000052u
#define GH_RM_VM_IRQ_RECLAIM	   0x56000053u
#define GH_RM_VM_IRQ_NOTIFY	   0x56000054u
#define GH_RM_VM_CONSOLE_OPEN	   0x56000081u
#define GH_RM_VM_CONSOLE_CLOSE	   0x56000082u
#define GH_RM_VM_CONSOLE_WRITE	   0x56000083u
#define GH_RM_VM_CONSOLE_FLUSH	   0x56000084u
#define GH_RM_IPA_RESERVE	   0x560000b0u
#define GH_RM_FW_MILESTONE	   0x51000020u
#define GH_RM_FW_SET_VM_FIRMWARE   0x51000021u
#define GH_RM_VM_SET_STATUS	   0x56000080u
#define GH_RM_VM_EXIT		   0x56000085u
#define GH_RM_VM_SET_CRASH_MSG	   0x56000086u
#define GH_RM_VM_HOST_GET_TYPE	   0x560000a0u
/* Notifications. */
#define GH_RM_NOTIFY_MEM_SHARED	  0x51100011u
#define GH_RM_NOTIFY_MEM_RELEASED 0x51100012u
#define GH_RM_NOTIFY_MEM_ACCEPTED 0x51100013u
#define GH_RM_NOTIFY_MEM_RECALL	  0x51100014u
#define GH_RM_NOTIFY_VM_EXITED	  0x56100001u
#define GH_RM_NOTIFY_VM_SHUTDOWN  0x56100002u
#define GH_RM_NOTIFY_VM_STATUS	  0x56100008u

/* The first word of every reply. */
enum gh_rm_error {
	GH_RM_OK = 0,
	GH_RM_ERROR_UNIMPLEMENTED = -1,
	GH_RM_ERROR_NOMEM = 1,
	GH_RM_ERROR_NORESOURCE = 2,
	GH_RM_ERROR_DENIED = 3,
	GH_RM_ERROR_INVALID = 4,
	GH_RM_ERROR_BUSY = 5,
	GH_RM_ERROR_ARGUMENT_INVALID = 6,
	GH_RM_ERROR_HANDLE_INVALID = 7,
	GH_RM_ERROR_VALIDATE_FAILED = 8,
	GH_RM_ERROR_MAP_FAILED = 9,
	GH_RM_ERROR_MEM_INVALID = 0xa,
	GH_RM_ERROR_MEM_INUSE = 0xb,
	GH_RM_ERROR_MEM_RELEASED = 0xc,
	GH_RM_ERROR_VMID_INVALID = 0xd,
	GH_RM_ERROR_LOOKUP_FAILED = 0xe,
	GH_RM_ERROR_IRQ_INVALID = 0xf,
	GH_RM_ERROR_IRQ_INUSE = 0x10,
	GH_RM_ERROR_IRQ_RELEASED = 0x11,
	GH_RM_ERROR_IN_USE = 0x12,
	GH_RM_ERROR_IRQ_NOT_MAPPED = 0x13,
	GH_RM_ERROR_VM_STATE = 0x14,
};

enum gh_rm_vm_state {
	GH_RM_VM_NONE = 0,
	GH_RM_VM_STATE_INIT = 1,
	GH_RM_VM_STATE_READY = 2,
	GH_RM_VM_STATE_RUNNING = 3,
	GH_RM_VM_STATE_PAUSED = 4,
	GH_RM_VM_STATE_LOAD = 5,
	GH_RM_VM_STATE_AUTH = 6,
	GH_RM_VM_STATE_INIT_FAILED = 8,
	GH_RM_VM_STATE_EXITED = 9,
	GH_RM_VM_STATE_RESETTING = 10,
	GH_RM_VM_STATE_RESET = 11,
};

enum gh_rm_exit_type {
	GH_RM_EXIT_VM_EXIT = 0,
	GH_RM_EXIT_PSCI_SYSTEM_OFF = 1,
	GH_RM_EXIT_PSCI_SYSTEM_RESET = 2,
	GH_RM_EXIT_PSCI_SYSTEM_RESET2 = 3,
	GH_RM_EXIT_WATCHDOG = 4,
	GH_RM_EXIT_HYP_ERROR = 5,
	GH_RM_EXIT_ASYNC_EXT_ABORT = 6,
	GH_RM_EXIT_FORCE_STOPPED = 7,
};

/* Request of ALLOCATE, DEALLOCATE, INIT, START, RESET, GET_ID, GET_STATE, GET_HYP_RESOURCES. */
struct gh_rm_vmid {
	__le16 vmid;
	__le16 reserved;
} __attribute__((packed));

struct gh_rm_vm_stop {
	__le16 vmid;
	__u8 flags; /* bit 0: force */
	__u8 reserved;
	__le32 reason;
} __attribute__((packed));
#define GH_RM_VM_STOP_FORCE  1
#define GH_RM_VM_STOP_REASON 3

struct gh_rm_vm_config_image {
	__le16 vmid;
	__le16 auth; /* GH_RM_AUTH_* */
	__le32 mem_handle;
	__le64 image_offset;
	__le64 image_size;
	__le64 dtb_offset;
	__le64 dtb_size;
} __attribute__((packed));
#define GH_RM_AUTH_NONE	    0
#define GH_RM_AUTH_PLATFORM 1
#define GH_RM_AUTH_ANDROID  2

struct gh_rm_vm_auth_image { /* then count entries */
	__le16 vmid;
	__le16 count;
	struct {
		__le32 type;
		__le32 value;
	} __attribute__((packed)) entry[];
} __attribute__((packed));

struct gh_rm_vm_set_context {
	__le16 vmid;
	__u8 set; /* 0 X, 1 PC, 2 SP */
	__u8 index;
	__le32 reserved;
	__le64 value;
} __attribute__((packed));

#define GH_RM_CONTEXT_X	 0
#define GH_RM_CONTEXT_PC 1
#define GH_RM_CONTEXT_SP 2

struct gh_rm_vm_set_firmware_mem {
	__le16 vmid;
	__le16 reserved;
	__le32 mem_handle;
	__le64 offset;
	__le64 size;
} __attribute__((packed));

struct gh_rm_vm_set_time_base {
	__le16 vmid;
	__le16 reserved;
	__le64 time_base;
	__le64 timer;
} __attribute__((packed));

/* Entries of the reply to GET_ID: error, u32 count, entries; the data is padded to 4 bytes. */
struct gh_rm_vm_id {
	__u8 type; /* GH_RM_ID_* */
	__u8 reserved;
	__le16 size;
} __attribute__((packed));
#define GH_RM_ID_GUID	   0
#define GH_RM_ID_URI	   1
#define GH_RM_ID_NAME	   2
#define GH_RM_ID_SIGN_AUTH 3

#define GH_RM_HOST_TYPE 0x01000164u /* AArch64, Gunyah, version 1 */

struct gh_rm_vm_status {
	__le16 vmid;
	__le16 reserved;
	__u8 vm_state;
	__u8 os_state;
	__le16 app_status;
} __attribute__((packed));

struct gh_rm_vm_exited {
	__le16 vmid;
	__le16 exit_type;
	__le32 reason_size;
	__le32 reason[]; /* reason_size bytes: flags and code, then the words of SYSTEM_RESET2 */
} __attribute__((packed));
#define GH_RM_EXIT_REASON_RESTART (1u << 0) /* flags of the first word; the code is in bits 31:16 */
#define GH_RM_EXIT_REASON_SMC64	  (1u << 15) /* SYSTEM_RESET2 was the 64-bit call */

/* Memory messages: fixed part, then lists of {u16 count, u16 0, entries}, each padded to 4 bytes. */
struct gh_rm_mem_share { /* DONATE, LEND, SHARE; then lists ACL, SGL, attributes */
	__u8 mem_type;
	__u8 reserved0;
	__u8 flags; /* GH_RM_MEM_SHARE_* */
	__u8 reserved1;
	__le32 label;
} __attribute__((packed));
#define GH_RM_MEM_NORMAL	 0
#define GH_RM_MEM_IO		 1
#define GH_RM_MEM_SHARE_SANITISE 1
#define GH_RM_MEM_SHARE_APPEND	 2
struct gh_rm_list {
	__le16 count;
	__le16 reserved;
} __attribute__((packed));
struct gh_rm_acl {
	__le16 vmid;
	__u8 rights; /* GH_RM_ACL_* */
	__u8 reserved;
} __attribute__((packed));
#define GH_RM_ACL_X 1
#define GH_RM_ACL_W 2
#define GH_RM_ACL_R 4
struct gh_rm_sgl {
	__le64 ipa;
	__le64 size;
} __attribute__((packed));
#define GH_RM_LIST_MAX 512
struct gh_rm_mem_append { /* then list SGL */
	__le32 handle;
	__u8 flags; /* bit 0: this is the last append */
	__u8 reserved[3];
} __attribute__((packed));
#define GH_RM_MEM_APPEND_DONE 1
struct gh_rm_mem_handle { /* RELEASE, RECLAIM */
	__le32 handle;
	__u8 flags; /* bit 0: sanitise */
	__u8 reserved[3];
} __attribute__((packed));

#define GH_RM_MEM_SANITISE 1
struct gh_rm_mem_attr { /* entries of the third list of DONATE, LEND, SHARE */
	__le16 attr;	/* GH_RM_MEM_ATTR_* */
	__le16 vmid;
} __attribute__((packed));
#define GH_RM_MEM_ATTR_NORMAL	0
#define GH_RM_MEM_ATTR_DEVICE	1
#define GH_RM_MEM_ATTR_UNCACHED 2
#define GH_RM_MEM_ATTR_CACHED	3
struct gh_rm_mem_accept { /* then lists ACL, SGL, attributes */
	__le32 handle;
	__u8 mem_type;
	__u8 trans_type; /* GH_RM_MEM_TRANS_* */
	__u8 flags;	 /* GH_RM_MEM_ACCEPT_* */
	__u8 reserved;
	__le32 label;
} __attribute__((packed));
#define GH_RM_MEM_TRANS_DONATE		 0
#define GH_RM_MEM_TRANS_LEND		 1
#define GH_RM_MEM_TRANS_SHARE		 2
#define GH_RM_MEM_ACCEPT_CHECK_SANITISED 1
#define GH_RM_MEM_ACCEPT_CHECK_ACL	 2
#define GH_RM_MEM_ACCEPT_CHECK_LABEL	 4
#define GH_RM_MEM_ACCEPT_MAP_OTHER	 8
#define GH_RM_MEM_ACCEPT_CONTIGUOUS	 16
#define GH_RM_MEM_ACCEPT_SANITISE	 32
#define GH_RM_MEM_ACCEPT_DONE		 128
struct gh_rm_mem_notify { /* for SHARED and RECALL then a list of VMIDs, 4 bytes each */
	__le32 handle;
	__u8 flags; /* exactly one of GH_RM_MEM_NOTIFY_* */
	__u8 reserved[3];
	__le32 tag;
} __attribute__((packed));
#define GH_RM_MEM_NOTIFY_SHARED	  1
#define GH_RM_MEM_NOTIFY_RELEASED 2
#define GH_RM_MEM_NOTIFY_ACCEPTED 4
#define GH_RM_MEM_NOTIFY_RECALL	  8
struct gh_rm_mem_lookup { /* then lists ACL, SGL, attributes */
	__u8 mem_type;
	__u8 reserved[3];
	__le32 label;
} __attribute__((packed));
struct gh_rm_mem_event { /* the notifications MEM_RELEASED and MEM_ACCEPTED */
	__le32 handle;
	__le16 vmid;
	__le16 reserved;
	__le32 tag;
} __attribute__((packed));

/* One record of the reply to GET_HYP_RESOURCES: error, u32 count, records. */
struct gh_rm_hyp_resource {
	__u8 type; /* GH_RM_RES_* */
	__u8 reserved;
	__le16 partner_vmid;
	__le32 handle;
	__le32 label; /* of a vCPU its index, else the label of the vdevice */
	__le32 capid_low;
	__le32 capid_high;
	__le32 virq_handle;
	__le32 virq; /* INTID; 0 or all ones: none */
	__le64 base;
	__le64 size;
} __attribute__((packed));
#define GH_RM_RES_DOORBELL_TX 0 /* the owner sends, the guest receives */
#define GH_RM_RES_DOORBELL_RX 1
#define GH_RM_RES_MSGQ_TX     2
#define GH_RM_RES_MSGQ_RX     3
#define GH_RM_RES_VCPU	      4
#define GH_RM_RES_VPM	      5
#define GH_RM_RES_VIRTIO_MMIO 6

_Static_assert(sizeof(struct gh_rm_header) == 8, "RM header");
_Static_assert(sizeof(struct gh_rm_vm_config_image) == 40, "VM_CONFIG_IMAGE");
_Static_assert(sizeof(struct gh_rm_vm_stop) == 8, "VM_STOP");
_Static_assert(sizeof(struct gh_rm_vm_set_context) == 16, "VM_SET_CONTEXT");
_Static_assert(sizeof(struct gh_rm_vm_status) == 8, "VM_STATUS");
_Static_assert(sizeof(struct gh_rm_vm_exited) == 8, "VM_EXITED");
_Static_assert(sizeof(struct gh_rm_mem_share) == 8, "MEM_SHARE");
_Static_assert(sizeof(struct gh_rm_acl) == 4, "ACL entry");
_Static_assert(sizeof(struct gh_rm_sgl) == 16, "SGL entry");
_Static_assert(sizeof(struct gh_rm_mem_append) == 8, "MEM_APPEND");
_Static_assert(sizeof(struct gh_rm_mem_handle) == 8, "MEM_RECLAIM");
_Static_assert(sizeof(struct gh_rm_vm_set_time_base) == 20, "VM_SET_TIME_BASE");
_Static_assert(sizeof(struct gh_rm_vm_set_firmware_mem) == 24, "VM_SET_FIRMWARE_MEM");
_Static_assert(sizeof(struct gh_rm_mem_accept) == 12, "MEM_ACCEPT");
_Static_assert(sizeof(struct gh_rm_mem_notify) == 12, "MEM_NOTIFY");
_Static_assert(sizeof(struct gh_rm_mem_event) == 12, "MEM_ACCEPTED");
_Static_assert(sizeof(struct gh_rm_hyp_resource) == 44, "resource record");

#endif
