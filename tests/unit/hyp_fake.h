/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor made of arrays, for tests of the resource manager: RAM, stage 2 as lists of ranges,
 * one queue.
 *
 * It asserts what core/hyp.h demands of its caller, and can fail the n-th call of a kind.
 */
#ifndef TESTS_UNIT_HYP_FAKE_H
#define TESTS_UNIT_HYP_FAKE_H

#include "core/hyp.h"

#define FAKE_RAM_BASE 0x40000000ull
#define FAKE_RAM_SIZE 0x2000000ull /* 32 MiB */
#define FAKE_RANGES   8192u
#define FAKE_BELLS    130u
#define FAKE_OBJECTS  4096u
#define FAKE_PAGES    1024u /* that hyp_alloc_page() gives */

struct fake_range {
	ipa_t ipa;
	pa_t pa;
	uint64_t size;
	unsigned int rights;
};

struct fake_bell {
	uint32_t intid;
	bool source_can_clear;
	uint64_t cap;
};

struct fake_vcpu {
	bool psci, on;
	uint64_t pc, x[31], sp[2];
	uint64_t cap;
	uint32_t virq;
};

struct fake_queue {
	unsigned int first, count;
	uint8_t data[GH_RM_QUEUE_DEPTH][GH_RM_MSG_SIZE];
	size_t size[GH_RM_QUEUE_DEPTH];
};

struct vm {
	bool link;
	struct fake_queue to_rm, from_rm;
	bool used, killed, halted;
	struct hyp_halt halt;
	uint16_t vmid;
	unsigned int ranges;
	struct fake_range range[FAKE_RANGES];
	unsigned int windows;
	bool gic;
	ipa_t gicd, gicr;
	uint64_t stride;
	ipa_t rtc; /* 0: none */
	uint64_t rtc_ns, rtc_counter;
	unsigned int vcpus, bells;
	struct fake_vcpu vcpu[HYP_CPUS_MAX];
	struct fake_bell bell[FAKE_BELLS];
};

struct fake {
	struct vm primary, vms[HYP_VMS_MAX];
	void *page[FAKE_PAGES];
	uint8_t *ram;
	unsigned int cpus;
	unsigned int bells_max; /* doorbells and queues of all VMs */
	unsigned int objects;	/* that there are */
	long pages;		/* allocated and not freed */
	/* countdowns: the n-th call from now fails; 0 never */
	unsigned int fail_alloc, fail_map, fail_unmap;
	unsigned int maps, unmaps; /* calls */
	struct fake_queue queue;   /* the primary's, from the resource manager */
	bool locked;
	char log[256]; /* the last line */
};

extern struct fake fake;

void fake_reset(void); /* a new machine: all of RAM mapped 1:1 in the primary */
void fake_free(void);
struct vm *fake_vm(uint16_t vmid); /* NULL: does not exist */
/* The VM goes down by itself, and the resource manager is told; of a VMID without a VM only that. */
void fake_halt(uint16_t vmid, const struct hyp_halt *halt);
/* Takes one message off the queue and tells the resource manager; 0: empty. */
size_t fake_take(uint8_t msg[GH_RM_MSG_SIZE]);
/* The same for a guest that has a link; false, 0: it has none, or there is no room or no message. */
bool fake_guest_send(uint16_t vmid, const void *msg, size_t size);
size_t fake_guest_take(uint16_t vmid, uint8_t msg[GH_RM_MSG_SIZE]);
/* True when the primary's stage 2 is as at boot. */
bool fake_primary_whole(void);
bool fake_primary_has(pa_t pa, unsigned int rights);

#endif
