/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may change while the guest runs. Any thread, any state of a vmm; nothing waits for the
 * guest, and on failure nothing has changed.
 */
#ifndef CROFT_VMM_VMM_LIVE_H
#define CROFT_VMM_VMM_LIVE_H

#include "vmm/vmm_config.h"

struct vmm;

/* The terminal at the other end has another size; before that it is taken to have this. */
#define VMM_CONSOLE_COLUMNS 80u
#define VMM_CONSOLE_ROWS    24u
void vmm_console_resize(struct vmm *vmm, uint16_t columns, uint16_t rows);

/* The same as vmm_console_write() for a port; a guest that does not listen takes none. */
size_t vmm_port_write(struct vmm *vmm, unsigned int port, const void *bytes, size_t n);

/*
 * Asks the guest to give up `bytes` of its memory, rounded down to pages: its driver approaches
 * that as it can, and takes memory back when it runs out. What of it returns to the host is in the
 * statistics. Errors: INVALID_ARGUMENT when less than VMM_MEMORY_MIN would
 * be left, UNSUPPORTED when the VM has no balloon, which is so when its memory is lent.
 */
int vmm_set_balloon(struct vmm *vmm, uint64_t bytes, struct error *err);

/*
 * Of devices; `index` is that of the configuration. Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
 */
int vmm_set_disk_limit(struct vmm *vmm, unsigned int index, const struct vmm_limit *limit,
		       struct error *err);
/* The disk's file or device has another size: the guest is told. */
int vmm_disk_resized(struct vmm *vmm, unsigned int index, struct error *err);
int vmm_set_net_link(struct vmm *vmm, unsigned int index, bool up, struct error *err);
int vmm_set_net_limits(struct vmm *vmm, unsigned int index, const struct vmm_limit *receive,
		       const struct vmm_limit *transmit, struct error *err);

#endif
