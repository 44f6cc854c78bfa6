// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks of Qualcomm's firmware with a firmware that remembers what it was asked, and refuses
 * when told to.
 */
#include "compat.h"
#include "probe.h"

struct probe_assign {
	u64 addr, size, sources;
	unsigned int count;
	struct qcom_scm_vmperm owners[2];
};

static struct probe_assign probe_assigned[8];
static unsigned int probe_calls, probe_fails_at;

static int probe_assign(u64 addr, u64 size, u64 sources, const struct qcom_scm_vmperm *owners,
			unsigned int count)
{
	struct probe_assign *call = &probe_assigned[probe_calls % ARRAY_SIZE(probe_assigned)];

	*call = (struct probe_assign){ addr, size, sources, count };
	memcpy(call->owners, owners, count * sizeof(*owners));
	return ++probe_calls == probe_fails_at ? -EIO : 0;
}

/* Whatever the driver's file asks of the firmware is asked of ours. */
#define gh_scm_assign	      probe_assign
#define gh_platform_qcom_init probe_qcom_init
#define gh_platform_qcom_exit probe_qcom_exit
#include "platform_qcom.c"

#define GUEST_BITS BIT_ULL(GH_QCOM_VMID_RM_MANAGED)
#define HOST_BITS  BIT_ULL(GH_QCOM_VMID_HOST)

static struct gh_mem_range probe_ranges[] = { { 0x1000, 0x2000 },
					      { 0x8000, 0x1000 },
					      { 0xa000, 0x1000 } };

static void probe_reset(unsigned int fails_at)
{
	memset(probe_assigned, 0, sizeof(probe_assigned));
	probe_calls = 0;
	probe_fails_at = fails_at;
}

void probe_scm_hooks(struct seq_file *seq)
{
	struct gh_parcel parcel = {
		.lend = true,
		.guest_rights = GH_RM_ACL_R | GH_RM_ACL_X,
		.range_count = ARRAY_SIZE(probe_ranges),
		.ranges = probe_ranges,
	};
	struct gh_platform_mem mem = { .parcel = &parcel, .guest = 0x80, .host = 3 };

	/* Lent: from the host to the guest alone, each range once. */
	probe_reset(0);
	PROBE(seq, gh_qcom_pre(&mem) == 0 && probe_calls == 3);
	PROBE(seq, probe_assigned[1].addr == 0x8000 && probe_assigned[1].size == 0x1000);
	PROBE(seq, probe_assigned[1].sources == HOST_BITS && probe_assigned[1].count == 1);
	PROBE(seq, probe_assigned[1].owners[0].vmid == 0x3a);
	PROBE(seq, probe_assigned[1].owners[0].perm == (QCOM_SCM_PERM_READ | QCOM_SCM_PERM_EXEC));

	/* And back. */
	probe_reset(0);
	PROBE(seq, gh_qcom_post(&mem) == 0 && probe_calls == 3);
	PROBE(seq, probe_assigned[2].sources == GUEST_BITS && probe_assigned[2].count == 1);
	PROBE(seq, probe_assigned[2].owners[0].vmid == 3 &&
			   probe_assigned[2].owners[0].perm == QCOM_SCM_PERM_RWX);

	/* Shared: both are owners. */
	parcel.lend = false;
	probe_reset(0);
	PROBE(seq, gh_qcom_pre(&mem) == 0 && probe_assigned[0].count == 2);
	probe_reset(0);
	PROBE(seq,
	      gh_qcom_post(&mem) == 0 && probe_assigned[0].sources == (GUEST_BITS | HOST_BITS));

	/* The third is refused: the first two come back. */
	probe_reset(3);
	PROBE(seq, gh_qcom_pre(&mem) == -EIO && probe_calls == 5);
	PROBE(seq, probe_assigned[3].addr == 0x1000 && probe_assigned[4].addr == 0x8000);
	PROBE(seq, probe_assigned[4].owners[0].vmid == 3);

	/* A range that does not come back is told, and does not keep the others. */
	probe_reset(1);
	PROBE(seq, gh_qcom_post(&mem) == -EIO && probe_calls == 3);
}

#undef gh_scm_assign

/* VMIDs above 31 as a source: as wide as the kernel's own call, and refused where that is not. */
void probe_scm_sources(struct seq_file *seq)
{
	PROBE(seq, GH_SCM_SOURCE_BITS == 8 * sizeof(gh_scm_source_t));
	PROBE(seq, (gh_scm_source_t)HOST_BITS == HOST_BITS);
	if (GH_SCM_SOURCE_BITS > GH_QCOM_VMID_RM_MANAGED)
		PROBE(seq, (gh_scm_source_t)GUEST_BITS == GUEST_BITS);
	else
		PROBE(seq, gh_scm_assign(0, 0, GUEST_BITS, &gh_qcom_host, 1) == -EOPNOTSUPP);
}
