// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Gunyah driver's module: identifies the hypervisor, binds to the resource manager's node,
 * offers /dev/gunyah.
 *
 * Locking: gh_rm is written at probe and removal only. No file can be open across a removal: an
 * open file holds the module, and unbinding by hand is switched off.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <asm/virt.h>

#include "compat.h"
#include "hypercall.h"
#include "vm.h"

static struct gh_rm *gh_rm;

static const struct gh_product {
	const char *name;
	u32 uid[4];
} gh_products[] = {
	{ "gunyah", { GH_UID_0, GH_UID_1, GH_UID_2, GH_UID_3 } },
	{ "qcom", { GH_UID_QCOM_0, GH_UID_QCOM_1, GH_UID_QCOM_2, GH_UID_QCOM_3 } },
	{ "gunyah", { GH_UID_V8_0, GH_UID_V8_1, GH_UID_V8_2, GH_UID_V8_3 } },
	{ "qcom", { GH_UID_V8_QCOM_0, GH_UID_V8_QCOM_1, GH_UID_V8_QCOM_2, GH_UID_V8_QCOM_3 } },
};

/* NULL for a foreign hypervisor. */
static const struct gh_product *gh_product_of(const u32 uid[4])
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gh_products); i++)
		if (!memcmp(uid, gh_products[i].uid, sizeof(gh_products[i].uid)))
			return &gh_products[i];
	return NULL;
}

/* What the hypervisor said of itself. */
static struct {
	const struct gh_product *product;
	u64 api;
	u64 features;
} gh_identity;

static int gh_identify(struct device *dev)
{
	struct gh_regs regs = { .x = { GH_SMCCC_UID } };
	u32 uid[4];
	int i;

	/* Without a hypervisor below, HVC would come back to this very kernel. */
	if (is_kernel_in_hyp_mode())
		return -ENODEV;
	gh_hvc(&regs);
	for (i = 0; i < 4; i++)
		uid[i] = lower_32_bits(regs.x[i]);
	gh_identity.product = gh_product_of(uid);
	if (!gh_identity.product)
		return dev_err_probe(dev, -ENODEV, "unknown hypervisor %08x-%08x-%08x-%08x\n",
				     uid[0], uid[1], uid[2], uid[3]);

	regs = (struct gh_regs){ .x = { GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY) } };
	gh_hvc(&regs);
	gh_identity.api = regs.x[0];
	gh_identity.features = regs.x[1];
	if ((regs.x[0] & GH_API_VERSION_MASK) != GH_API_VERSION)
		return dev_err_probe(dev, -ENODEV, "unsupported Gunyah API version %llu\n",
				     regs.x[0] & GH_API_VERSION_MASK);
	dev_info(dev, "running under Gunyah hypervisor %llx/v%llu\n",
		 regs.x[0] >> GH_API_VARIANT_SHIFT, regs.x[0] & GH_API_VERSION_MASK);
	return 0;
}

static long gh_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case GH_CREATE_VM:
		return arg ? -EINVAL : gh_vm_create(gh_rm);
	case GH_ANDROID_TENTATIVE_UAPI:
	case GH_VM_CHECK_EXTENSION:
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations gh_dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = gh_dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static ssize_t api_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", gh_identity.api & GH_API_VERSION_MASK);
}
static DEVICE_ATTR_RO(api_version);

static ssize_t variant_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%#llx\n", gh_identity.api >> GH_API_VARIANT_SHIFT);
}
static DEVICE_ATTR_RO(variant);

static ssize_t features_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const struct {
		u64 bit;
		const char *name;
	} names[] = {
		{ GH_FEATURE_PARTITION, "partition" },
		{ GH_FEATURE_DOORBELL, "doorbell" },
		{ GH_FEATURE_MSGQ, "msgqueue" },
		{ GH_FEATURE_VIC, "vic" },
		{ GH_FEATURE_VPM, "vpm" },
		{ GH_FEATURE_VCPU, "vcpu" },
		{ GH_FEATURE_MEMEXTENT, "memextent" },
		{ GH_FEATURE_TRACE, "trace" },
		{ GH_FEATURE_WATCHDOG, "watchdog" },
		{ GH_FEATURE_VIRTIO_MMIO, "virtio-mmio" },
		{ GH_FEATURE_PRNG, "prng" },
		{ GH_FEATURE_VCPU_RUN, "vcpu-run" },
	};
	size_t i;
	int len = 0;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (gh_identity.features & names[i].bit)
			len += sysfs_emit_at(buf, len, "%s%s", len ? " " : "", names[i].name);
	return len + sysfs_emit_at(buf, len, "\n");
}
static DEVICE_ATTR_RO(features);

static ssize_t product_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", gh_identity.product->name);
}
static DEVICE_ATTR_RO(product);

static ssize_t uid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const u32 *uid = gh_identity.product->uid;

	return sysfs_emit(buf, "%08x-%08x-%08x-%08x\n", uid[0], uid[1], uid[2], uid[3]);
}
static DEVICE_ATTR_RO(uid);

static ssize_t platform_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	char name[32];

	gh_platform_name(name, sizeof(name));
	return sysfs_emit(buf, "%s\n", name);
}
static DEVICE_ATTR_RO(platform);

static ssize_t quarantined_vms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", gh_vm_quarantine_count());
}
static DEVICE_ATTR_RO(quarantined_vms);

static struct attribute *gh_attrs[] = {
	&dev_attr_api_version.attr, &dev_attr_variant.attr,
	&dev_attr_features.attr,    &dev_attr_platform.attr,
	&dev_attr_product.attr,	    &dev_attr_quarantined_vms.attr,
	&dev_attr_uid.attr,	    NULL,
};
ATTRIBUTE_GROUPS(gh);

static struct miscdevice gh_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gunyah",
	.fops = &gh_dev_fops,
	.groups = gh_groups,
	.mode = 0600,
};

static void gh_remove(void *data)
{
	misc_deregister(&gh_misc);
	/*
	 * While the interrupts are still there: what runs now, and the teardown that a start may
	 * end in.
	 */
	flush_workqueue(gh_rm->wq);
	flush_workqueue(gh_rm->wq);
	gh_rm = NULL;
}

static int gh_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct gh_rm *rm;
	int ret;

	if (gh_rm)
		return dev_err_probe(dev, -EBUSY, "a second resource manager\n");
	ret = gh_identify(dev);
	if (ret)
		return ret;
	rm = gh_rm_create(dev);
	if (IS_ERR(rm))
		return PTR_ERR(rm);

	gh_misc.parent = dev;
	gh_rm = rm;
	ret = misc_register(&gh_misc);
	if (ret) {
		gh_rm = NULL;
		return ret;
	}
	return devm_add_action_or_reset(dev, gh_remove, NULL);
}

static const struct of_device_id gh_of_match[] = { { .compatible = "gunyah-resource-manager" },
						   {} };
MODULE_DEVICE_TABLE(of, gh_of_match);

static struct platform_driver gh_driver = {
	.probe = gh_probe,
	.driver = {
		.name = "gunyah",
		.of_match_table = gh_of_match,
		/* Files may be open: the device goes with the module and not before. */
		.suppress_bind_attrs = true,
	},
};

static int __init gh_init(void)
{
	int ret = gh_claims_init();

	if (ret)
		return ret;
	if (IS_ENABLED(CONFIG_GUNYAH_QCOM_PLATFORM))
		ret = gh_platform_qcom_init();
	if (ret)
		goto claims;
	ret = platform_driver_register(&gh_driver);
	if (!ret)
		return 0;
	if (IS_ENABLED(CONFIG_GUNYAH_QCOM_PLATFORM))
		gh_platform_qcom_exit();
claims:
	gh_claims_exit();
	return ret;
}
module_init(gh_init);

static void __exit gh_exit(void)
{
	platform_driver_unregister(&gh_driver);
	if (IS_ENABLED(CONFIG_GUNYAH_QCOM_PLATFORM))
		gh_platform_qcom_exit();
	gh_claims_exit();
}
module_exit(gh_exit);

MODULE_DESCRIPTION("Gunyah virtual machine manager");
MODULE_LICENSE("GPL");
