/* SPDX-License-Identifier: GPL-2.0-only */
/* A secondary VM with the servant in it: each step of its life, and vCPUs that take commands. */
#ifndef CONFORMANCE_VM_H
#define CONFORMANCE_VM_H

#include "rpc.h"
#include "servant.h"
#include "tree.h"

#define VM_ORDER     9
#define VM_SIZE	     (4096ul << VM_ORDER)
#define VM_BASE	     0x80000000ul
#define VM_TREE	     0x100000ul /* offset of the tree */
#define VM_TREE_SIZE 0x10000ul
#define VM_SCRATCH   0x180000ul /* offset of what the tests may write */
#define VM_RESOURCES 80
#define VM_CPUS	     2

struct vm_spec {
	struct tree_spec tree;
	bool share;	     /* else the memory is lent */
	u32 label;	     /* of the image parcel */
	size_t tree_room;    /* 0: VM_TREE_SIZE */
	const char *payload; /* NULL: the servant */
	size_t payload_size;
};

struct vm_cpu {
	u64 cap;
	u32 intid; /* of the wake-up interrupt */
	int irq;
	atomic_t wakes;
	u64 resume[3]; /* for the next run */
	/* The servant's command: */
	bool loaded; /* it waits to be fetched */
	bool asking; /* the servant waits for one */
	u32 insn;
	u64 in[8], out[8];
	u64 far, event;
	u64 entry_x0, entry_pc;
};

struct vm {
	const struct vm_spec *spec;
	u16 vmid; /* 0: none */
	u32 handle;
	bool given; /* the memory is not ours */
	struct page *page;
	u8 *memory;
	unsigned int notice_from; /* what came since ALLOCATE */
	unsigned int resource_count;
	const struct gh_rm_hyp_resource *resource; /* of the VM that was asked last */
	struct vm_cpu cpu[VM_CPUS];
};

extern const struct vm_spec vm_plain, vm_two;

/* --- Life; each returns the RM's error --- */
u32 vm_allocate(struct vm *vm, const struct vm_spec *spec);
u32 vm_give(struct vm *vm);
u32 vm_config(struct vm *vm, u16 auth);
u32 vm_resources(struct vm *vm);
u32 vm_stop(struct vm *vm);
u32 vm_reclaim(struct vm *vm);

/* Goes through the life up to the state; false, and a line, if a step fails. */
bool vm_up(struct vm *vm, const struct vm_spec *spec, enum gh_rm_vm_state state);
/* From any state to nothing; a line for each step that fails. */
void vm_down(struct vm *vm);

/* The first resource of the type with the label; NULL: none. */
const struct gh_rm_hyp_resource *vm_resource(const struct vm *vm, u8 type, u32 label);
u64 cap_of(const struct gh_rm_hyp_resource *resource);
u64 vm_cap(const struct vm *vm, u8 type, u32 label); /* 0: none */

/* Interrupts that RM gave to the primary. 0 or errno; *count goes up with each. */
int intid_request(u32 intid, atomic_t *count);
void intid_free(int irq, atomic_t *count);

/* --- vCPUs --- */

enum {
	RUN_DONE = 0x1000, /* the servant has done its command and asks for the next */
	RUN_TIMEOUT,
	RUN_ERROR,
};

struct run_exit {
	u64 state; /* enum gh_vcpu_state or above */
	u64 data[3];
	s64 error;
};

/* One call of VCPU_RUN, as it comes. */
s64 vcpu_run(u64 cap, const u64 resume[3], u64 last, struct run_exit *exit);

/* Runs until something happens that the servant's protocol does not explain. */
struct run_exit vcpu_next(struct vm *vm, unsigned int cpu);
/* Gives a command; the next vcpu_next executes it. Missing registers are 0. */
void vcpu_load(struct vm *vm, unsigned int cpu, u32 insn, u64 x0, u64 x1, u64 x2);
/* A command from beginning to end: the state that it ended with, x0 in *x0. */
u64 vcpu_do(struct vm *vm, unsigned int cpu, u32 insn, u64 x0, u64 x1, u64 x2);
/* Whether a wake-up interrupt came since the last time. */
bool vcpu_woken(struct vm *vm, unsigned int cpu, unsigned int ms);
/* As vcpu_next, but waits and runs again as long as the vCPU sleeps or is off. */
struct run_exit vcpu_next_awake(struct vm *vm, unsigned int cpu);

/* The guest's call: function and arguments in x0.., over `insn`. Results in cpu[].out. */
u64 guest_call(struct vm *vm, unsigned int cpu, u32 insn, const u64 x[8]);
#define GUEST_CALL(vm, cpu, insn, ...) guest_call(vm, cpu, insn, (const u64[8]){ __VA_ARGS__ })
u64 guest_read32(struct vm *vm, unsigned int cpu, u64 address);
void guest_write32(struct vm *vm, unsigned int cpu, u64 address, u32 value);

#endif
