/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM library's only door: plain data and file descriptors in, events out.
 *
 * Its parts: vmm_peer.h makes the host's ends of devices, vmm_config.h says what a VM is made of,
 * vmm_live.h what may change while it runs, vmm_stats.h what it is measured by.
 *
 * A struct vmm is one virtual machine: its memory, devices, vCPU threads and its handles to the
 * hypervisor. It keeps no state outside itself, does not log, and never ends the process; a guest's
 * mistake is a device error.
 */
#ifndef CROFT_VMM_VMM_H
#define CROFT_VMM_VMM_H

#include "vmm/base.h"
#include "vmm/vmm_config.h"
#include "vmm/vmm_live.h"
#include "vmm/vmm_peer.h"
#include "vmm/vmm_stats.h"

struct vmm;

enum vmm_exit_reason {
	VMM_EXIT_GUEST_POWEROFF,
	VMM_EXIT_GUEST_RESET,
	VMM_EXIT_WATCHDOG,
	VMM_EXIT_HYPERVISOR_ERROR,
	VMM_EXIT_EXTERNAL_ABORT,
	VMM_EXIT_FORCE_STOPPED,
	VMM_EXIT_LOAD_FAILED,
	VMM_EXIT_VMM_ERROR,
};

struct vmm_exit {
	enum vmm_exit_reason reason;
	struct error error; /* more, for the last two; else not raised */
};

#define VMM_BROKEN_NS 10000000000ull

/* Called on threads of the VMM; must not block for long nor call back into the same vmm. */
struct vmm_events {
	/* Bytes that the guest wrote, in order, from the first one. */
	void (*console)(void *data, const void *bytes, size_t n);
	/*
	 * The guest has broken the rules of a device ("block root"), which does nothing more until
	 * the guest resets it. Not more often than each VMM_BROKEN_NS, whatever the guest does;
	 * `times` counts all since the VM was made. May be NULL.
	 */
	void (*device_broken)(void *data, const char *device, uint64_t times);
	/* Bytes that the guest wrote to a port, in order. NULL when there is no port. */
	void (*port)(void *data, unsigned int port, const void *bytes, size_t n);
	/* Once; no other event comes after it. */
	void (*exited)(void *data, const struct vmm_exit *exit);
	void *data;
};

/*
 * Checks the configuration, makes memory and devices, loads kernel, initrd and device tree, and
 * creates the VM in the hypervisor without starting it. Takes time in proportion to the images. On
 * failure *out is untouched, everything is given back, and *err names the part at fault. Errors:
 * INVALID_ARGUMENT (field set), RESOURCE_EXHAUSTED, UNAVAILABLE (no hypervisor), DATA_LOSS (a
 * kernel that is no arm64 Image, a truncated initrd), INTERNAL.
 */
int vmm_create(struct vmm **out, const struct vmm_config *config, const struct vmm_events *events,
	       struct error *err);

/*
 * Starts the vCPU threads, which SIGRTMIN interrupts (its handler does nothing). Valid once. On
 * failure no exited event comes and the vmm can only be freed. Errors: as vmm_create(), CONFLICT.
 */
int vmm_start(struct vmm *vmm, struct error *err);

/*
 * Presses the guest's power key and releases it; returns at once. A guest that obeys ends with
 * VMM_EXIT_GUEST_POWEROFF; one that does not goes on. Harmless when it has ended. Any thread.
 */
void vmm_ask_stop(struct vmm *vmm);

/*
 * Ends the guest unasked; returns at once, exited follows. Harmless when it has ended. Any thread.
 */
void vmm_stop(struct vmm *vmm);

/*
 * Ends the guest if need be, joins all threads, gives everything back to the hypervisor and the
 * host. Not from an event. Takes NULL, and a vmm in any state; returns NULL.
 */
struct vmm *vmm_free(struct vmm *vmm);

/* Types into the guest's console. Returns how many bytes were taken, maybe fewer. Any thread. */
size_t vmm_console_write(struct vmm *vmm, const void *bytes, size_t n);

/* A snapshot; never waits for the guest. Any thread. */
void vmm_stats(struct vmm *vmm, struct vmm_stats *stats);

/* What the host offers for VMs: UNAVAILABLE with the reason when the backend cannot run any. */
struct vmm_host {
	uint64_t memory_available; /* bytes that a VM could be given now */
	unsigned int vcpus_max;	   /* per VM */
	const char *backend;	   /* "gunyah", "fake" */
	char version[64]; /* of the hypervisor's interface, "1 (variant 0x48)"; "" when it is not told */
	char features[256]; /* words of the driver, with spaces between them: "doorbell vcpu"; "" the same */
};
int vmm_host_probe(enum vmm_backend backend, struct vmm_host *host, struct error *err);

#endif
