/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's console recording: the newest bytes of what the guest wrote, by their offset since the VM's creation.
 *
 * It lives in a file of fixed size that is mapped, so it outlives the agent. Appends come from the VMM's threads; all
 * functions but recording_open() and recording_free() may be called by any thread.
 */
#ifndef CROFT_AGENT_CONSOLE_H
#define CROFT_AGENT_CONSOLE_H

#include "vmm/base.h"

#define RECORDING_KEPT (1u << 20) /* bytes */

struct recording;

/* Called once for each recording_watch(), on the thread that appended; must not block and not call back. */
typedef void (*recording_notify)(void *data);

/*
 * Opens or makes the recording. A damaged file is emptied. Errors: RESOURCE_EXHAUSTED for a full disk, INTERNAL.
 */
int recording_open(struct recording **out, const char *path, recording_notify notify, void *data,
		   struct error *err);

/* Nobody may use it any more. Takes NULL, returns NULL; the file stays. */
struct recording *recording_free(struct recording *recording);

void recording_append(struct recording *recording, const void *bytes, size_t n);

/*
 * Copies up to n bytes from *offset on and returns their number; moves *offset forward when older bytes were dropped. An
 * offset beyond the end yields 0 and stays.
 */
size_t recording_read(struct recording *recording, uint64_t *offset, void *bytes, size_t n);

/* The offset behind the newest byte. */
uint64_t recording_end(struct recording *recording);

/*
 * True when there is a byte behind `offset` now; else the next append calls notify. Several watches share one call.
 */
bool recording_watch(struct recording *recording, uint64_t offset);

#endif
