/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's manifest: the JSON text that api/proto/croft/v1/image.proto describes, read strictly.
 */
#ifndef CROFT_AGENT_MANIFEST_H
#define CROFT_AGENT_MANIFEST_H

#include "croft/v1/image.pb-c.h"
#include "vmm/base.h"

#define MANIFEST_SIZE_MAX  (256u << 10) /* bytes of the text */
#define MANIFEST_DISKS_MAX 8u

/*
 * Makes of n bytes of text a status with version, kernel, initrd, disks, cmdline and size_bytes; the state is not set, and
 * URLs are as the text has them. All files together may have size_max bytes. The text comes from a server that is not
 * trusted. Errors: INVALID_ARGUMENT naming the JSON pointer in the message, RESOURCE_EXHAUSTED.
 */
int manifest_parse(Croft__V1__ImageStatus **out, const char *text, size_t n, uint64_t size_max,
		   struct error *err);

#endif
