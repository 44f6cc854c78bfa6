// SPDX-License-Identifier: GPL-2.0-only
/* Puts the lists of a memory message together. */
#include <linux/slab.h>

#include "parcel.h"

static u8 *put_list(u8 *at, const void *entries, u16 count, size_t size)
{
	struct gh_rm_list head = { .count = cpu_to_le16(count) };

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), entries, count * size);
	return at + sizeof(head) + count * size;
}

u32 parcel_send(u32 id, const struct parcel *p, u32 *handle)
{
	struct gh_rm_mem_share head = { p->mem_type, 0, p->flags, 0, cpu_to_le32(p->label) };
	size_t size = sizeof(head) + 3 * sizeof(struct gh_rm_list) + sizeof(p->acl) +
		      sizeof(p->attr) + p->sgls * sizeof(p->sgl[0]);
	u8 *message = kmalloc(size, GFP_KERNEL | __GFP_NOFAIL), *at = message;
	const struct reply *r;
	u32 error;

	memcpy(at, &head, sizeof(head));
	at = put_list(at + sizeof(head), p->acl, p->acls, sizeof(p->acl[0]));
	at = put_list(at, p->long_sgl ?: p->sgl, p->sgls, sizeof(p->sgl[0]));
	at = put_list(at, p->attr, p->attrs, sizeof(p->attr[0]));
	error = rm_call(id, message, at - message, &r);
	if (!error && r->size >= 4)
		*handle = get32(r->data);
	kfree(message);
	return error;
}

u32 parcel_reclaim(u32 handle, u8 flags)
{
	struct gh_rm_mem_handle request = { .handle = cpu_to_le32(handle), .flags = flags };

	return rm_call(GH_RM_MEM_RECLAIM, &request, sizeof(request), NULL);
}
