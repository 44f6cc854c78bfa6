/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Capability spaces: 64-bit handles, local to a VM, that name an object and what the holder may do with it.
 *
 * A handle is a slot and how often the slot was used before, so a handle is never given out twice, and a stale one is
 * known to be revoked rather than mistaken for its successor.
 */
#include "core/object.h"

#define SLOT_BITS 12
#define SLOT_MASK ((1ull << SLOT_BITS) - 1)
#define NEXT_USE  (1ull << SLOT_BITS)

void cap_init(struct cspace *cspace, struct cap *caps, unsigned int count)
{
	*cspace = (struct cspace){ .caps = caps, .count = count };
	for (unsigned int i = 0; i < count; i++)
		caps[i] = (struct cap){ .id = i };
}

uint64_t cap_add(struct cspace *cspace, enum object_type type, void *object, uint32_t rights)
{
	uint64_t id = GH_CAPID_INVALID;

	hyp_lock(&cspace->lock);
	for (unsigned int i = 0; i < cspace->count; i++) {
		struct cap *cap = &cspace->caps[i];

		if (cap->object)
			continue;
		cap->object = object;
		cap->type = type;
		cap->rights = rights;
		id = cap->id;
		break;
	}
	hyp_unlock(&cspace->lock);
	return id;
}

void cap_revoke(struct cspace *cspace, uint64_t id)
{
	struct cap *cap;

	if ((id & SLOT_MASK) >= cspace->count)
		return;
	hyp_lock(&cspace->lock);
	cap = &cspace->caps[id & SLOT_MASK];
	if (cap->object && cap->id == id)
		*cap = (struct cap){ .id = id + NEXT_USE };
	hyp_unlock(&cspace->lock);
}

enum gh_error cap_find(struct cspace *cspace, uint64_t id, enum object_type type, uint32_t rights,
		       void **object)
{
	enum gh_error error = GH_ERROR_OK;
	const struct cap *cap;

	if ((id & SLOT_MASK) >= cspace->count)
		return GH_ERROR_CSPACE_CAP_NULL;
	hyp_lock(&cspace->lock);
	cap = &cspace->caps[id & SLOT_MASK];
	if (id < cap->id)
		error = GH_ERROR_CSPACE_CAP_REVOKED;
	else if (id > cap->id || !cap->object)
		error = GH_ERROR_CSPACE_CAP_NULL;
	else if (cap->type != type)
		error = GH_ERROR_CSPACE_WRONG_OBJ_TYPE;
	else if ((cap->rights & rights) != rights)
		error = GH_ERROR_CSPACE_INSUF_RIGHTS;
	else
		*object = cap->object;
	hyp_unlock(&cspace->lock);
	return error;
}
