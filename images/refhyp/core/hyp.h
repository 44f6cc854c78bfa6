/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the resource manager (core/rm*.c) may ask of the hypervisor, and what the hypervisor tells it.
 *
 * The resource manager decides who may have what; the hypervisor makes it so. Neither looks into the other's structures.
 * Every function may be called on any CPU. The hypervisor calls the rm_* functions with none of its own locks held; the
 * resource manager serialises itself with one lock (rm_lock in rm.c), under which it may call everything here.
 * Lock order: rm_lock, then a VM's lock, then an object's lock.
 *
 * Addresses: ipa_t and pa_t are bytes; ranges are whole 4 KiB pages. Rights are GH_RM_ACL_* (X 1, W 2, R 4).
 */
#ifndef REFHYP_CORE_HYP_H
#define REFHYP_CORE_HYP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/gunyah/abi.h"

typedef uint64_t ipa_t;
typedef uint64_t pa_t;

#define HYP_PAGE     4096u
#define HYP_CPUS_MAX 8u	 /* physical CPUs, and vCPUs of one VM */
#define HYP_VMS_MAX  16u /* secondary VMs */

struct vm;
struct hyp_halt;

/* --- VMs --- */

/* The primary VM. Exists from boot; its RAM is mapped 1:1. Never NULL. */
struct vm *hyp_primary(void);

/* Number of physical CPUs that came up. */
unsigned int hyp_cpu_count(void);

/*
 * A new, empty secondary VM: no memory, no vCPU, no interrupt controller. NULL when HYP_VMS_MAX exist.
 * hyp_vm_destroy() takes NULL; all vCPUs must have been killed, all memory unmapped and all its ends of objects detached;
 * the vCPUs' capabilities and interrupts are taken back from the owner (later uses: CAP_REVOKED).
 */
struct vm *hyp_vm_create(uint16_t vmid);
void hyp_vm_destroy(struct vm *vm);
uint16_t hyp_vm_id(const struct vm *vm);

/* --- Stage 2 --- */

/*
 * Maps normal write-back memory. The range must be free in the VM (else GH_ERROR_EXISTING_MAPPING, nothing changed).
 * GH_ERROR_NOMEM when no page-table page is left; what was mapped is then unmapped again.
 */
enum gh_error hyp_vm_map(struct vm *vm, ipa_t ipa, pa_t pa, uint64_t size, unsigned int rights);

/*
 * Unmaps the range; holes are ignored. On return no CPU can reach the pages through this VM any more (TLBs done).
 * GH_ERROR_NOMEM when a block could not be split; nothing changed then.
 */
enum gh_error hyp_vm_unmap(struct vm *vm, ipa_t ipa, uint64_t size);

/* Translates one address; *left is how many bytes from there are contiguous in pa with the same rights. */
bool hyp_vm_translate(struct vm *vm, ipa_t ipa, pa_t *pa, unsigned int *rights, uint64_t *left);

/* True when [pa, pa + size) is RAM of the primary's part of the board (never the hypervisor's own). */
bool hyp_is_primary_ram(pa_t pa, uint64_t size);

/* The hypervisor's own view of RAM; valid for every page that is primary RAM. */
void *hyp_ptr(pa_t pa);

/* Makes data written through hyp_ptr() visible to a guest that runs with caches off, and to its instruction fetch. */
void hyp_clean(const void *p, size_t size);

/* IPA bits that a VM may use: ranges must end at or below 1 << hyp_ipa_bits(). */
unsigned int hyp_ipa_bits(void);

/* Accesses in this window without a mapping leave vcpu_run as VMMIO. At most 4 windows; GH_ERROR_NORESOURCES after. */
enum gh_error hyp_vm_add_vmmio(struct vm *vm, ipa_t base, uint64_t size);

/* --- Interrupt controller and vCPUs of a secondary VM; before its first run --- */

/* GICD of 64 KiB, redistributors of `stride` bytes a vCPU. Addresses are 64 KiB aligned and outside all mappings. */
enum gh_error hyp_vm_set_gic(struct vm *vm, ipa_t gicd, ipa_t gicr, uint64_t stride);

/*
 * A PL031 clock in the page at `base`, from 0 on when the board was switched on. Before anything is mapped there.
 * GH_ERROR_OBJECT_CONFIGURED: it has one; GH_ERROR_EXISTING_MAPPING: the interrupt controller is there.
 */
enum gh_error hyp_vm_add_rtc(struct vm *vm, ipa_t base);

/*
 * The clock said `ns` nanoseconds when the system counter stood at `counter`. Once: GH_ERROR_BUSY after that.
 * GH_ERROR_DENIED: the VM has none; GH_ERROR_ARG_INVALID: `counter` is in the future.
 */
enum gh_error hyp_vm_set_time(struct vm *vm, uint64_t ns, uint64_t counter);

/*
 * Adds vCPU `index` (0.., in order), powered off, proxy-scheduled, with MPIDR Aff0 = index and the timer PPIs.
 * `psci`: the guest may call PSCI. *cap: a capability in the primary's space with rights affinity | yield_to.
 * *virq: the wake-up interrupt (edge, INTID 960.. of the primary, free-list), bound as VCPU_RUN_WAKEUP.
 * GH_ERROR_NORESOURCES when no vCPU or interrupt is left; nothing is kept then.
 */
enum gh_error hyp_vm_add_vcpu(struct vm *vm, unsigned int index, bool psci, uint64_t *cap,
			      uint32_t *virq);

/* Sets registers of a powered-off vCPU (sets as in VM_SET_CONTEXT: 0 X, 1 PC, 2 SP_EL0/SP_EL1). */
enum gh_error hyp_vcpu_set_reg(struct vm *vm, unsigned int index, unsigned int set,
			       unsigned int reg, uint64_t value);

/* Makes the vCPU runnable at its PC, EL1h, MMU off, interrupts masked; raises its wake-up interrupt. */
void hyp_vcpu_power_on(struct vm *vm, unsigned int index);

/*
 * Kills every vCPU: on return none is inside vcpu_run on any CPU, and every later vcpu_run answers POWERED_OFF with
 * the exited flag. Wake-up interrupts are raised so that hosts that wait look again. Idempotent.
 */
void hyp_vm_kill(struct vm *vm);

/* Whether this VM went down by itself, and why. */
bool hyp_vm_halted(struct vm *vm, struct hyp_halt *halt);

/* --- Doorbells and message queues: from one VM to another --- */

struct hyp_object; /* one of them */
enum hyp_side { HYP_SENDER, HYP_RECEIVER };

/* What a VM has of one side. */
struct hyp_end {
	uint64_t cap; /* in its space */
	uint32_t intid; /* an SPI (32..1019) of the VM; the primary's 0 becomes a free one. A doorbell's sender has none */
	bool can_clear; /* a doorbell's sender also gets the right to receive */
};

/* Without ends. NULL: none is left. A queue's depth is 1..255, its messages have at most 1..1023 bytes. */
struct hyp_object *hyp_doorbell_new(void);
struct hyp_object *hyp_queue_new(unsigned int depth, unsigned int size);

/*
 * Gives a side that nobody has to a VM: intid and can_clear are read, cap (and the primary's intid) written.
 * GH_ERROR_NORESOURCES, GH_ERROR_CSPACE_FULL: nothing is kept, but the object, which hyp_detach() ends.
 */
enum gh_error hyp_attach(struct hyp_object *object, enum hyp_side side, struct vm *vm,
			 struct hyp_end *end);

/* Takes the side back, with its capability and interrupt; all that waits is forgotten. The last side ends the object. */
void hyp_detach(struct hyp_object *object, enum hyp_side side);

/* --- The pair of message queues between a VM and the resource manager --- */

/* Capabilities and INTIDs (tx, rx) that the VM uses; for its device tree. */
struct hyp_rm_link {
	uint64_t tx_cap, rx_cap;
	uint32_t tx_virq, rx_virq;
};
void hyp_rm_link(struct hyp_rm_link *link); /* the primary's, which exists from boot */

/* Gives a secondary VM a link: reads the INTIDs, writes the capabilities. It goes with the VM. */
enum gh_error hyp_vm_add_link(struct vm *vm, struct hyp_rm_link *link);

/* Puts one message (8..GH_RM_MSG_SIZE bytes) into the VM's receive queue; false when it is full, or there is none. */
bool hyp_rm_send(struct vm *vm, const void *msg, size_t size);

/* Takes the VM's next message, of at most GH_RM_MSG_SIZE bytes; its size, or 0: there is none. */
uint32_t hyp_rm_take(struct vm *vm, void *msg);

/* --- What the hypervisor tells the resource manager --- */

/* At boot, before the primary runs: adds the resource manager's node to the primary's tree (capacity in bytes). */
bool rm_init(void *dtb, size_t capacity);

/* The primary sent a message. `msg` is a private copy. */
void rm_receive(const void *msg, size_t size);

/* Guests sent messages, or took some, by their links. */
void rm_poll(void);

/* The primary took a message out of its receive queue: there is room. */
void rm_room(void);

/* Why a VM went down by itself. */
struct hyp_halt {
	enum gh_rm_exit_type type; /* SYSTEM_OFF, SYSTEM_RESET, SYSTEM_RESET2 or HYP_ERROR */
	uint32_t reset_type;
	uint64_t reset_cookie;
	bool smc64;
};

/*
 * The VM of that VMID went down; told on the CPU that ran it, after its vcpu_run state is decided. It may be late: by then
 * the VMID can be another VM's, so the resource manager asks with hyp_vm_halted().
 */
void rm_vm_halted(uint16_t vmid);

/* --- Plain services --- */

void *hyp_alloc_page(void); /* zeroed, HYP_PAGE bytes; NULL when none is left */
void hyp_free_page(void *page);
uint64_t hyp_random(void); /* for seeds given to guests */
void hyp_log(const char *fmt, ...)
	__attribute__((format(printf, 1, 2))); /* %s %u %x %lx %llx %p %c */

typedef struct hyp_spinlock {
	uint32_t value;
} hyp_spinlock_t;
void hyp_lock(hyp_spinlock_t *lock); /* not recursive; interrupts are masked at EL2 anyway */
void hyp_unlock(hyp_spinlock_t *lock);

#endif
