/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field masks of updates: which fields of a message another one replaces.
 */
#ifndef CROFT_AGENT_MASK_H
#define CROFT_AGENT_MASK_H

#include <protobuf-c/protobuf-c.h>

#include "google/protobuf/field_mask.pb-c.h"
#include "vmm/base.h"

#define MASK_PATHS_MAX 1024u
#define MASK_PATH_MAX  256u /* bytes */

/*
 * Copies the fields that the mask names from `from` to `onto`, two messages of one type; what is absent in `from` gets its
 * default. A path is "spec", "spec.vcpus", "labels", or "labels.tier" for one key of a map, "labels.`a.b`" for a key that
 * is no plain word; "spec.vsock." makes that message where there is none, and changes nothing of one that is there. A repeated
 * field and a google.protobuf.Duration are replaced whole.
 *
 * `parts` are the names of the top-level fields that can change, up to a NULL; "*" stands for all of them. "name" in a mask is
 * what the request says which object it means with, and changes nothing. Errors: INVALID_ARGUMENT on a field that
 * is output only, and on /update_mask with the path, for a mask that is absent or empty, too; then, and without memory (RESOURCE_EXHAUSTED), `onto` may be changed in part.
 */
int mask_apply(ProtobufCMessage *onto, const ProtobufCMessage *from,
	       const Google__Protobuf__FieldMask *mask, const char *const *parts,
	       struct error *err);

#endif
