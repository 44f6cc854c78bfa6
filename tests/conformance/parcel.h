/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory messages with any lists, right or wrong. */
#ifndef CONFORMANCE_PARCEL_H
#define CONFORMANCE_PARCEL_H

#include "rpc.h"

struct parcel {
	u8 mem_type, flags;
	u32 label;
	struct gh_rm_acl acl[2];
	u16 acls;
	struct gh_rm_mem_attr attr[2];
	u16 attrs;
	struct gh_rm_sgl sgl[3];
	const struct gh_rm_sgl *long_sgl; /* in place of sgl */
	u16 sgls;
};

/* DONATE, LEND, SHARE or LOOKUP_SGL; the RM's error. *handle is written with GH_RM_OK only. */
u32 parcel_send(u32 id, const struct parcel *parcel, u32 *handle);
u32 parcel_reclaim(u32 handle, u8 flags);

#endif
