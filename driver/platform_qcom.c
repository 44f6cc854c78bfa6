// SPDX-License-Identifier: GPL-2.0-only
/*
 * The platform's hooks on Qualcomm devices: memory is also assigned to its new owners by the secure
 * world (SCM), range by range. Built with CONFIG_GUNYAH_QCOM_PLATFORM.
 *
 * Locking: none; each parcel is in one hook at a time.
 */
#include <linux/arm-smccc.h>
#include <linux/bits.h>
#include <linux/module.h>
#include <linux/uuid.h>

#include "compat.h"
#include "platform.h"

/* Who is below: answered with the UUID of the vendor's build, where the hooks are needed. */
#define GH_QCOM_PLATFORM_UID 0x86003f01u

/* The secure world has one number for all VMs that the resource manager numbers by itself. */
#define GH_QCOM_VMID_HOST	  3
#define GH_QCOM_VMID_RM_MANAGED	  0x3a
#define GH_QCOM_VMID_PLATFORM_MAX 0x3f

static unsigned int gh_qcom_vmid(u16 vmid)
{
	return vmid <= GH_QCOM_VMID_PLATFORM_MAX ? vmid : GH_QCOM_VMID_RM_MANAGED;
}

static int gh_qcom_perm(u8 rights)
{
	return (rights & GH_RM_ACL_X ? QCOM_SCM_PERM_EXEC : 0) |
	       (rights & GH_RM_ACL_W ? QCOM_SCM_PERM_WRITE : 0) |
	       (rights & GH_RM_ACL_R ? QCOM_SCM_PERM_READ : 0);
}

static const struct qcom_scm_vmperm gh_qcom_host = {
	.vmid = GH_QCOM_VMID_HOST,
	.perm = QCOM_SCM_PERM_RWX,
};

/* The owners while the VM has it; returns how many. */
static unsigned int gh_qcom_owners(const struct gh_platform_mem *mem,
				   struct qcom_scm_vmperm owners[2])
{
	owners[0].vmid = gh_qcom_vmid(mem->guest);
	owners[0].perm = gh_qcom_perm(mem->parcel->guest_rights);
	owners[1] = gh_qcom_host;
	return mem->parcel->lend ? 1 : 2;
}

static u64 gh_qcom_owner_bits(const struct gh_platform_mem *mem)
{
	u64 bits = BIT_ULL(gh_qcom_vmid(mem->guest));

	return mem->parcel->lend ? bits : bits | BIT_ULL(GH_QCOM_VMID_HOST);
}

/* The first `count` ranges go to the host; the first error, after all were tried. */
static int gh_qcom_give_back(const struct gh_platform_mem *mem, size_t count)
{
	const struct gh_mem_range *range = mem->parcel->ranges;
	int ret, result = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		ret = gh_scm_assign(range[i].addr, range[i].size, gh_qcom_owner_bits(mem),
				    &gh_qcom_host, 1);
		result = result ?: ret;
	}
	return result;
}

static int gh_qcom_pre(const struct gh_platform_mem *mem)
{
	const struct gh_mem_range *range = mem->parcel->ranges;
	struct qcom_scm_vmperm owners[2];
	unsigned int count = gh_qcom_owners(mem, owners);
	size_t i;
	int ret;

	for (i = 0; i < mem->parcel->range_count; i++) {
		ret = gh_scm_assign(range[i].addr, range[i].size, BIT_ULL(GH_QCOM_VMID_HOST),
				    owners, count);
		if (!ret)
			continue;
		WARN_ONCE(gh_qcom_give_back(mem, i), "gunyah: memory is lost to the firmware\n");
		return ret;
	}
	return 0;
}

static int gh_qcom_post(const struct gh_platform_mem *mem)
{
	return gh_qcom_give_back(mem, mem->parcel->range_count);
}

static const struct gh_platform_ops gh_qcom_ops = {
	.name = "qcom-scm",
	.owner = THIS_MODULE,
	.pre_mem_give = gh_qcom_pre,
	.post_mem_reclaim = gh_qcom_post,
};

static bool gh_qcom_below(void)
{
	static const uuid_t qcom = UUID_INIT(0x19bd54bd, 0x0b37, 0x571b, 0x94, 0x6f, 0x60, 0x9b,
					     0x54, 0x53, 0x9d, 0xe6);
	struct arm_smccc_res res;
	__le32 words[4];
	uuid_t uuid;

	/* Without the firmware's node there is nobody to ask; SMC may not even be there. */
	if (!qcom_scm_is_available())
		return false;
	arm_smccc_1_1_smc(GH_QCOM_PLATFORM_UID, &res);
	words[0] = cpu_to_le32(lower_32_bits(res.a0));
	words[1] = cpu_to_le32(lower_32_bits(res.a1));
	words[2] = cpu_to_le32(lower_32_bits(res.a2));
	words[3] = cpu_to_le32(lower_32_bits(res.a3));
	import_uuid(&uuid, (const u8 *)words);
	return uuid_equal(&uuid, &qcom);
}

int gh_platform_qcom_init(void)
{
	if (!gh_qcom_below())
		return 0;
	if (GH_SCM_SOURCE_BITS <= GH_QCOM_VMID_RM_MANAGED) {
		pr_err("gunyah: this kernel's SCM call cannot take memory back from a VM\n");
		return -EOPNOTSUPP;
	}
	return gh_platform_register(&gh_qcom_ops);
}

void gh_platform_qcom_exit(void)
{
	gh_platform_unregister(&gh_qcom_ops);
}
