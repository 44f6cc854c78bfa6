// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver_probe.ko: looks at what no ioctl of the driver shows, and is a platform with hooks when
 * told to.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "hypercall.h"
#include "platform.h"
#include "probe.h"

static struct dentry *probe_dir;

/* --- Checks --- */

static void probe_errors(struct seq_file *seq)
{
	PROBE(seq, gh_error_to_errno(GH_ERROR_OK) == 0);
	PROBE(seq, gh_error_to_errno(GH_ERROR_NOMEM) == -ENOMEM);
	PROBE(seq, gh_error_to_errno(GH_ERROR_DENIED) == -EACCES);
	PROBE(seq, gh_error_to_errno(GH_ERROR_CSPACE_CAP_NULL) == -EACCES);
	PROBE(seq, gh_error_to_errno(GH_ERROR_CSPACE_CAP_REVOKED) == -EACCES);
	PROBE(seq, gh_error_to_errno(GH_ERROR_CSPACE_WRONG_OBJ_TYPE) == -EACCES);
	PROBE(seq, gh_error_to_errno(GH_ERROR_CSPACE_INSUF_RIGHTS) == -EACCES);
	PROBE(seq, gh_error_to_errno(GH_ERROR_BUSY) == -EBUSY);
	PROBE(seq, gh_error_to_errno(GH_ERROR_IDLE) == -EBUSY);
	PROBE(seq, gh_error_to_errno(GH_ERROR_UNIMPLEMENTED) == -EOPNOTSUPP);
	PROBE(seq, gh_error_to_errno(12345) == -EINVAL);
	/* And the hypervisor's own words: a capability that is of another kind. */
	PROBE(seq, gh_error_to_errno(gh_hyp_doorbell_send(GH_CAPID_INVALID, 1)) < 0);
}

static void probe_smccc(struct seq_file *seq)
{
	struct gh_regs identify = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY) } };
	struct gh_regs revision = { .x = { GH_SMCCC_REVISION } };
	struct gh_regs unknown = { .x = { GH_SMCCC_HYPERCALL(0x1fff) } };

	PROBE(seq, GH_SMCCC_HYPERCALL(0) == 0xc6008000);
	PROBE(seq, GH_SMCCC_UID == 0x8600ff01);
	gh_hvc(&identify);
	gh_hvc(&revision);
	gh_hvc(&unknown);
	PROBE(seq, revision.x[0] == identify.x[0]);
	PROBE(seq, unknown.x[0] == (u64)-1);
}

static void probe_identify(struct seq_file *seq)
{
	struct gh_regs regs = { .x = { GH_SMCCC_HYPERCALL(GH_CALL_IDENTIFY) } };

	gh_hvc(&regs);
	PROBE(seq, (regs.x[0] & GH_API_VERSION_MASK) == GH_API_VERSION);
	PROBE(seq, regs.x[0] & GH_API_64BIT);
	PROBE(seq, regs.x[1] & GH_FEATURE_MSGQ);
	PROBE(seq, regs.x[1] & GH_FEATURE_VCPU_RUN);
}

/* The words behind the `uid` of sysfs; a user space test compares them. */
static void probe_uid(struct seq_file *seq)
{
	struct gh_regs regs = { .x = { GH_SMCCC_UID } };

	gh_hvc(&regs);
	PROBE(seq, regs.x[0] == GH_UID_0 || regs.x[0] == GH_UID_QCOM_0 ||
			   regs.x[0] == GH_UID_V8_0 || regs.x[0] == GH_UID_V8_QCOM_0);
}

struct probe_check {
	const char *name;
	void (*run)(struct seq_file *seq);
};

static const struct probe_check probe_checks[] = {
	{ "errors", probe_errors },	  { "smccc", probe_smccc },
	{ "identify", probe_identify },	  { "uid", probe_uid },
	{ "scm-hooks", probe_scm_hooks }, { "scm-sources", probe_scm_sources },
};

static int probe_show(struct seq_file *seq, void *unused)
{
	const struct probe_check *check = seq->private;

	check->run(seq);
	if (!seq->count)
		seq_puts(seq, "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(probe);

/* --- A platform --- */

static u32 probe_given, probe_taken;
static bool probe_refuses;

static int probe_pre(const struct gh_platform_mem *mem)
{
	if (probe_refuses)
		return -EXDEV;
	if (mem->parcel->range_count && mem->guest)
		probe_given++;
	return 0;
}

static int probe_post(const struct gh_platform_mem *mem)
{
	probe_taken++;
	return 0;
}

static const struct gh_platform_ops probe_ops = {
	.name = "driver_probe",
	.owner = THIS_MODULE,
	.pre_mem_give = probe_pre,
	.post_mem_reclaim = probe_post,
};

static ssize_t probe_hooks_write(struct file *file, const char __user *user, size_t size,
				 loff_t *offset)
{
	char word[16] = {};
	int ret = 0;

	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, user, size))
		return -EFAULT;
	gh_platform_unregister(&probe_ops);
	if (strncmp(word, "off", 3)) {
		probe_given = 0;
		probe_taken = 0;
		probe_refuses = !strncmp(word, "refuse", 6);
		ret = gh_platform_register(&probe_ops);
	}
	return ret ?: size;
}

static const struct file_operations probe_hooks_fops = {
	.owner = THIS_MODULE,
	.write = probe_hooks_write,
};

/* --- Hypercalls from user space: seven words written, five read, of which the first is the error. --- */

static int probe_hvc_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct gh_regs), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int probe_hvc_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t probe_hvc_write(struct file *file, const char __user *user, size_t size,
			       loff_t *offset)
{
	struct gh_regs *regs = file->private_data;

	if (size != 7 * sizeof(u64))
		return -EINVAL;
	if (copy_from_user(regs->x, user, size))
		return -EFAULT;
	gh_hvc(regs);
	return size;
}

static ssize_t probe_hvc_read(struct file *file, char __user *user, size_t size, loff_t *offset)
{
	const struct gh_regs *regs = file->private_data;

	if (size != 5 * sizeof(u64))
		return -EINVAL;
	return copy_to_user(user, regs->x, size) ? -EFAULT : size;
}

static const struct file_operations probe_hvc_fops = {
	.owner = THIS_MODULE,
	.open = probe_hvc_open,
	.release = probe_hvc_release,
	.read = probe_hvc_read,
	.write = probe_hvc_write,
};

static int __init probe_init(void)
{
	size_t i;

	probe_dir = debugfs_create_dir("driver_probe", NULL);
	for (i = 0; i < ARRAY_SIZE(probe_checks); i++)
		debugfs_create_file(probe_checks[i].name, 0400, probe_dir, (void *)&probe_checks[i],
				    &probe_fops);
	debugfs_create_u32("given", 0400, probe_dir, &probe_given);
	debugfs_create_u32("taken", 0400, probe_dir, &probe_taken);
	debugfs_create_file("hvc", 0600, probe_dir, NULL, &probe_hvc_fops);
	debugfs_create_file("hooks", 0200, probe_dir, NULL, &probe_hooks_fops);
	return 0;
}
module_init(probe_init);

static void __exit probe_exit(void)
{
	debugfs_remove(probe_dir);
	gh_platform_unregister(&probe_ops);
}
module_exit(probe_exit);

MODULE_DESCRIPTION("Checks of the Gunyah driver from inside");
MODULE_LICENSE("GPL");
