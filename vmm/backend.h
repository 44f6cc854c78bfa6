/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hypervisor does for the VMM: one table, one file for each.
 */
#ifndef CROFT_VMM_BACKEND_H
#define CROFT_VMM_BACKEND_H

#include "vmm/mem.h"
#include "vmm/vmm.h"

/* A VM in the hypervisor; each backend has its own. */
struct backend;

/* Which parcel of memory the bounce range is, for the resource manager; RAM is 0. */
#define BACKEND_BOUNCE_LABEL 1u

struct backend_config {
	const char *script; /* of the fake backend; NULL for its own */
	unsigned int vcpus;
	struct mem *mem; /* for as long as the backend lives; its bounce range stays shared */
	gpa_t dtb;
	uint64_t dtb_size; /* the room that the tree may grow into, not its length */
	bool lend;
};

enum backend_exit_kind {
	BACKEND_EXIT_MMIO,	  /* emulate it, then run again with the same structure */
	BACKEND_EXIT_INTERRUPTED, /* kicked, or a signal */
	BACKEND_EXIT_GONE,	  /* the VM has ended: `reason` says how */
};

/*
 * One a vCPU, zero before the first run. For a read, the caller puts the value into data before the
 * next run.
 */
struct backend_exit {
	enum backend_exit_kind kind;
	gpa_t at;
	uint64_t data;
	unsigned int len; /* 1, 2, 4 or 8 */
	bool is_write;
	enum vmm_exit_reason reason;
};

struct backend_counters {
	uint64_t handled, wakeups, interrupted;
};

/*
 * The order is: open, add_*, start, run on one thread a vCPU, close. Failures leave what close()
 * then takes back. Errors of all: RESOURCE_EXHAUSTED, PERMISSION_DENIED, UNAVAILABLE, UNSUPPORTED,
 * INTERNAL, and the message names the step.
 */
struct backend_ops {
	const char *name;

	int (*probe)(struct vmm_host *host, struct error *err);
	/* Creates the VM. *out is set only on success. */
	int (*open)(struct backend **out, const struct backend_config *config, struct error *err);
	/* Gives memory and device tree; their content is complete. */
	int (*load)(struct backend *b, struct error *err);
	/* vCPU number `index`, 0 first. */
	int (*add_vcpu)(struct backend *b, unsigned int index, struct error *err);
	/* Each write to the eventfd raises the line, an edge. */
	int (*add_irqfd)(struct backend *b, uint32_t spi, int fd, struct error *err);
	/* A four-byte store of `match` to `at` signals the eventfd and is no exit. */
	int (*add_ioeventfd)(struct backend *b, gpa_t at, uint32_t match, int fd,
			     struct error *err);
	int (*start)(struct backend *b, struct error *err);
	/*
	 * Runs the vCPU until something is to be done. On a failure the vCPU cannot run any more.
	 */
	int (*run)(struct backend *b, unsigned int vcpu, struct backend_exit *exit,
		   struct error *err);
	/*
	 * Makes this vCPU's run, and all later ones, return INTERRUPTED. Any thread; a signal is
	 * sent besides.
	 */
	void (*kick)(struct backend *b, unsigned int vcpu);
	/* False when the backend does not count. Any thread. */
	bool (*counters)(struct backend *b, unsigned int vcpu, struct backend_counters *counters);
	/* Ends the VM and gives everything back. No run is under way. Takes NULL. */
	void (*close)(struct backend *b);
};

extern const struct backend_ops backend_gunyah;
extern const struct backend_ops backend_fake;

#endif
