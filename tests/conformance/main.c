// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI suite: a module for the primary VM that plays the driver by itself and compares each
 * answer of hypervisor and resource manager with the fact sheet. All runs while the module is
 * loaded; the table is debugfs:conformance.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "probe.h"
#include "rpc.h"
#include "suite.h"

static char *only = "";
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "the name of one suite to run; none: all");

static const struct {
	const char *name;
	void (*run)(void);
	bool asked; /* only when it is asked for by name */
} suites[] = {
	{ "call", suite_call },		{ "msgq", suite_msgq },	    { "framing", suite_framing },
	{ "message", suite_message },	{ "life", suite_life },	    { "config", suite_config },
	{ "parcel", suite_parcel },	{ "memory", suite_memory }, { "doorbell", suite_doorbell },
	{ "vcpu", suite_vcpu },		{ "guest", suite_guest },   { "psci", suite_psci },
	{ "link", suite_link },		{ "fault", suite_fault },   { "many", suite_many },
	{ "peer", suite_peer },		{ "late", suite_late },	    { "gic", suite_gic },
	{ "rtc", suite_rtc },		{ "inject", suite_inject }, { "storm", suite_storm, true },
	{ "panic", suite_panic, true },
};

static struct dentry *table;

static int table_show(struct seq_file *out, void *data)
{
	report_show(out);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(table);

/* Which product it is only its tree tells: all Gunyahs answer with one UID. */
static void find_product(struct device_node *node)
{
	struct device_node *hypervisor = of_get_parent(node);
	const char *product = "unknown";

	of_property_read_string(hypervisor, "croft,product", &product);
	rm.survives = !strcmp(product, "refhyp");
	report_lenient = !rm.survives;
	pr_info("conformance: product %s: what ends upstream's resource manager is %s\n", product,
		rm.survives ? "tried" : "left out");
	of_node_put(hypervisor);
}

static void run_suites(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(suites); i++) {
		if (*only ? strcmp(only, suites[i].name) != 0 : suites[i].asked)
			continue;
		suite(suites[i].name);
		suites[i].run();
		if (!need("the resource manager still answers",
			  !rm.dead && !rm_call(GH_RM_VM_GET_VMID, NULL, 0, NULL)))
			break;
	}
}

static int __init conformance_init(void)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, "gunyah-resource-manager");
	int ret;

	if (!node)
		return -ENODEV;
	ret = rpc_open(node);
	if (ret)
		return ret;
	ret = probe_open();
	if (ret) {
		rpc_close();
		return ret;
	}
	find_product(node);
	/* Moving between CPUs is legal, but makes vcpu_run answer BLOCKED now and then. */
	set_cpus_allowed_ptr(current, cpumask_of(0));
	run_suites();
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	table = debugfs_create_file("conformance", 0400, NULL, NULL, &table_fops);
	of_node_put(node);
	return 0;
}

static void __exit conformance_exit(void)
{
	debugfs_remove(table);
	probe_close();
	rpc_close();
	report_free();
}

module_init(conformance_init);
module_exit(conformance_exit);
MODULE_DESCRIPTION("Gunyah ABI suite");
MODULE_LICENSE("GPL");
