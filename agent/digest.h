/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 of a stream.
 */
#ifndef CROFT_AGENT_DIGEST_H
#define CROFT_AGENT_DIGEST_H

#include "vmm/base.h"

#define DIGEST_HEX 65 /* 64 digits and the NUL */

struct digest;

struct digest *digest_new(void);		   /* NULL without memory */
struct digest *digest_free(struct digest *digest); /* takes NULL, returns NULL */
void digest_add(struct digest *digest, const void *bytes, size_t n);
/* Lower-case hexadecimal; nothing may be added any more. -EIO when the library failed at any point. */
int digest_finish(struct digest *digest, char hex[DIGEST_HEX]);

#endif
