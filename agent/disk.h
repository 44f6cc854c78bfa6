/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's own disk files: empty ones, and private copies of an image's disks that take no more room than their data.
 */
#ifndef CROFT_AGENT_DISK_H
#define CROFT_AGENT_DISK_H

#include "agent/job.h"
#include "vmm/base.h"

/*
 * Makes the file `path` of `size` bytes, and at least of those of `source`, rounded up to 512; source NULL makes it empty.
 * A file that is there already has the VM's data: it is enlarged to `size` if it is smaller, and else left as it is. The copy is a reflink where the file
 * system can do that. It appears under its name when it is whole. Runs on a job's thread and ends soon after the job is
 * cancelled. Errors: RESOURCE_EXHAUSTED, CANCELLED, NOT_FOUND (the source), INTERNAL.
 */
int disk_make(struct job *job, const char *path, const char *source, uint64_t size,
	      struct error *err);

#endif
