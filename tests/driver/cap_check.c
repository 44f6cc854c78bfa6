// SPDX-License-Identifier: Apache-2.0
/*
 * The capabilities of the v8 series that are seen on the host's side, by patch number: 2 to 15, 17
 * to 19, 21 to 23. The others are in cap_guest, in the sample, and in the documentation's checks.
 *
 * The module driver_probe looks at what no ioctl shows; its verdicts are in debugfs.
 */
#include <dirent.h>

#include "tests/driver/lives.h"
#include "tests/driver/memory.h"
#include "tests/driver/watch.h"

#define PROBE "/sys/kernel/debug/driver_probe/"

/* A check of the module's: reading its file runs it, and gives "ok" or what is wrong. */
static void probe(const char *name)
{
	char path[128], *text;

	snprintf(path, sizeof(path), PROBE "%s", name);
	text = slurp(path);
	if (strcmp(text, "ok\n"))
		wrong("driver_probe %s: %s", name, *text ? text : "is not there");
	free(text);
}

#define NODES "/proc/device-tree/hypervisor"

static size_t read_property(const char *node, const char *name, char *data, size_t size)
{
	char path[512];
	FILE *file;
	size_t got;

	snprintf(path, sizeof(path), NODES "/%s/%s", node, name);
	file = fopen(path, "re");
	got = file ? fread(data, 1, size, file) : 0;
	if (file)
		fclose(file);
	return got;
}

/* The resource manager's node below /hypervisor; "" if there is none. */
static void find_node(char *name, size_t size)
{
	DIR *dir = opendir(NODES);
	struct dirent *entry;
	char data[256];

	*name = '\0';
	while (dir && (entry = readdir(dir))) {
		size_t got = read_property(entry->d_name, "compatible", data, sizeof(data));

		if (memmem(data, got, "gunyah-resource-manager", 24))
			snprintf(name, size, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
}

/* The node of the binding: two capability ids of 64 bits, two interrupts of three cells. */
static void cap_02(void)
{
	char node[256], data[64];

	find_node(node, sizeof(node));
	expect("bytes of reg", (long)read_property(node, "reg", data, sizeof(data)), 16);
	expect("bytes of interrupts", (long)read_property(node, "interrupts", data, sizeof(data)),
	       24);
	expect("the driver is bound", access("/sys/bus/platform/drivers/gunyah", F_OK), 0);
}

static void cap_03(void)
{
	probe("errors");
}

static void cap_04(void)
{
	probe("smccc");
}

/* Both identifiers, and the features. */
static void cap_05(void)
{
	char *features;

	probe("identify");
	features = slurp(SYSFS "features");
	if (!strstr(features, "doorbell") || !strstr(features, "msgqueue") ||
	    !strstr(features, "vcpu"))
		wrong("features: %s", features);
	free(features);
	probe("uid");
}

static void cap_06(void)
{
	char *log = slurp("/tmp/dmesg");

	if (!strstr(log, "running under Gunyah hypervisor 51/v1") &&
	    !strstr(log, "running under Gunyah hypervisor 48/v1"))
		wrong("no line in the kernel's log");
	free(log);
	sysfs_is("api_version", "1");
}

/* The queues are bound to their only client directly: an interrupt each, and nothing between. */
static void cap_07(void)
{
	expect("transmit interrupt", interrupts("gunyah-rm-tx") >= 0, 1);
	expect("receive interrupt", interrupts("gunyah-rm-rx") >= 0, 1);
}

static void life(struct vm *vm, const struct tree *tree, unsigned long request)
{
	set_up(vm, &guest_reset, tree, request);
	ALLOWED(vm->fd, GH_VM_START, NULL);
	expect_end(vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(vm);
}

static void cap_08(void)
{
	long before = interrupts("gunyah-rm-rx");
	struct vm vm;
	char *trace;

	trace_begin();
	life(&vm, &one, GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	/* Nine requests, each of a packet at least; as many replies, and what is told by itself. */
	expect("messages sent", traced(trace, "gunyah_msgq_send", "error=0") >= 9, 1);
	expect("messages received", traced(trace, "gunyah_msgq_receive", "size=") >= 10, 1);
	expect("receive interrupts", interrupts("gunyah-rm-rx") > before, 1);
	free(trace);
}

static void scattered_life(unsigned long request)
{
	struct vm vm;

	set_up_scattered(&vm, &guest_reset, request);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
}

/* A message of more packets than the queue is deep: each of them arrives, full queue or not. */
static void cap_09(void)
{
	char *trace;
	int full;

	trace_begin();
	scattered_life(GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	full = traced(trace, "gunyah_msgq_send", "error=61");
	expect("long messages", traced(trace, "gunyah_rm_send", "packets=36 ret=0") >= 2, 1);
	expect("pushes", traced(trace, "gunyah_msgq_send", "push=1 error=0"),
	       traced(trace, "gunyah_rm_send", "ret=0"));
	expect("other errors",
	       traced(trace, "gunyah_msgq_send", "error=") -
		       traced(trace, "gunyah_msgq_send", "error=0") - full,
	       0);
	printf("    %s: the queue was full %d times, the transmit interrupt came %ld times\n",
	       case_name, full, interrupts("gunyah-rm-tx"));
	free(trace);
}

/* Fragments both ways, and the two kinds of message that come in. */
static void cap_10(void)
{
	static const struct tree bells = { .cpus = 1, .bells = 10 };
	struct vm vm;
	char *trace;

	expect("/dev/gunyah", access("/dev/gunyah", R_OK | W_OK), 0);
	trace_begin();
	life(&vm, &bells, GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	expect("fragmented reply with 12 records",
	       traced(trace, "gunyah_rm_receive: reply id=0x56000020", "size=536 packets=3"), 1);
	expect("VM_EXITED", traced(trace, "gunyah_rm_receive: notification", "id=0x56100001"), 1);
	expect("VM_STATUS", traced(trace, "gunyah_rm_receive: notification", "id=0x56100008") > 0,
	       1);
	expect("each request has its reply", traced(trace, "gunyah_rm_send", "ret=0"),
	       traced(trace, "gunyah_rm_receive: reply", "id="));
	free(trace);
}

static void cap_11(void)
{
	static const char *const order[] = {
		"send: id=0x56000001", "send: id=0x51000012", "send: id=0x56000009",
		"send: id=0x5600000b", "send: id=0x56000020", "send: id=0x56000004",
		"send: id=0x56000005", "send: id=0x56000006", "send: id=0x51000015",
		"send: id=0x56000002",
	};
	struct vm vm;
	char *trace;

	trace_begin();
	set_up(&vm, &guest_spin, &one, GH_VM_ANDROID_LEND_USER_MEM);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_write(&vm, 0, 0, 4, 0);
	close_vm(&vm);
	trace = trace_end();
	in_order(trace, order, sizeof(order) / sizeof(order[0]));
	expect("VM_EXITED", traced(trace, "notification", "id=0x56100001"), 1);
	expect("reset", traced(trace, "gunyah_vm_state", "state=11"), 1);
	free(trace);
}

/* The number of a VM that is gone is free again. */
static void cap_12(void)
{
	struct vm vm;
	char *trace;
	int i;

	trace_begin();
	for (i = 0; i < 3; i++)
		life(&vm, &one, GH_VM_ANDROID_LEND_USER_MEM);
	/* Nothing is asked of the resource manager for a VM that is not started. */
	open_vm(&vm);
	close_vm(&vm);
	trace = trace_end();
	expect("numbers asked for", traced(trace, "gunyah_rm_send", "id=0x56000001"), 3);
	expect("numbers given back", traced(trace, "gunyah_rm_send", "id=0x56000002"), 3);
	expect("lives as VM 128", traced(trace, "gunyah_vm_state", "vmid=128 state=3"), 3);
	free(trace);
}

/* LEND and SHARE, and what does not fit into one message; messages by ranges, not by pages. */
static void cap_13(void)
{
	struct vm vm;
	char *trace;

	trace_begin();
	scattered_life(GH_VM_ANDROID_LEND_USER_MEM);
	trace = trace_end();
	expect("LEND", traced(trace, "gunyah_rm_send", "id=0x51000012"), 1);
	expect("APPEND", traced(trace, "gunyah_rm_send", "id=0x51000018"), 2);
	expect("RECLAIM", traced(trace, "gunyah_rm_send", "id=0x51000015"), 1);
	free(trace);
	trace_begin();
	life(&vm, &one, GH_VM_SET_USER_MEM_REGION);
	trace = trace_end();
	expect("SHARE", traced(trace, "gunyah_rm_send", "id=0x51000013"), 1);
	expect("no APPEND", traced(trace, "gunyah_rm_send", "id=0x51000018"), 0);
	free(trace);
}

static void cap_14(void)
{
	struct gh_userspace_memory_region region;
	long before = pinned(), locked = figure("/proc/self/status", "VmLck:");
	long pins = figure("/proc/self/status", "VmPin:");
	struct vm vm;

	open_vm(&vm);
	region = region_of(&vm);
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	expect("pinned pages", pinned() - before, (long)(SIZE / PAGE));
	expect("locked, KiB",
	       figure("/proc/self/status", "VmLck:") - locked +
		       figure("/proc/self/status", "VmPin:") - pins,
	       (long)(SIZE / 1024));
	region.memory_size = 0;
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	expect("pinned pages after removal", pinned() - before, 0);
	close_vm(&vm);
}

/* Where the tree is decides; a wrong place is told before anything has happened. */
static void cap_15(void)
{
	struct gh_vm_dtb_config dtb = { BASE + SIZE - PAGE, DTB_SIZE };
	struct vm vm;

	set_up(&vm, &guest_reset, &one, GH_VM_SET_USER_MEM_REGION);
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	REFUSED(vm.fd, GH_VM_START, NULL, EINVAL);
	dtb.guest_phys_addr = BASE + DTB_OFFSET;
	ALLOWED(vm.fd, GH_VM_SET_DTB_CONFIG, &dtb);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect_end(&vm, 0, GH_RM_EXIT_PSCI_SYSTEM_RESET);
	close_vm(&vm);
}

/* The hooks run once for each region, before it goes and after it is back; they can say no. */
static void cap_17(void)
{
	struct gh_userspace_memory_region region;
	struct vm vm;

	expect("hooks on", spill(PROBE "hooks", "on"), 1);
	sysfs_is("platform", "driver_probe");
	set_up(&vm, &guest_reset, &one, GH_VM_ANDROID_LEND_USER_MEM);
	region = region_of(&vm);
	region.label = 1;
	region.guest_phys_addr += SIZE;
	region.memory_size = PAGE;
	region.userspace_addr = (uintptr_t)mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ALLOWED(vm.fd, GH_VM_SET_USER_MEM_REGION, &region);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect("given", number_of(PROBE "given"), 2);
	expect("hooks off while in use", spill(PROBE "hooks", "off"), 1);
	expect("taken back", number_of(PROBE "taken"), 0);
	close_vm(&vm);
	expect("given", number_of(PROBE "given"), 2);
	expect("taken back", number_of(PROBE "taken"), 2);
	sysfs_is("platform", "none");

	expect("hooks refuse", spill(PROBE "hooks", "refuse"), 1);
	set_up(&vm, &guest_reset, &one, GH_VM_ANDROID_LEND_USER_MEM);
	REFUSED(vm.fd, GH_VM_START, NULL, EXDEV);
	close_vm(&vm);
	expect("taken back", number_of(PROBE "taken"), 0);
	expect("hooks off", spill(PROBE "hooks", "off"), 1);
}

static void cap_18(void)
{
	probe("scm-sources");
}

static void cap_19(void)
{
	probe("scm-hooks");
	/* This driver has them built in, and nothing to call them for here. */
	sysfs_is("platform", "none");
}

/* Records become resources: an interrupt for the vCPU, a doorbell for each label. */
static void cap_21(void)
{
	struct vm vm;

	if (start(&vm, &guest_spin, &one)) {
		expect("the vCPU's interrupt", interrupts("gh-vcpu:0") >= 0, 1);
		expect_write(&vm, 0, 0, 4, 0);
	}
	close_vm(&vm);
	expect("the vCPU's interrupt afterwards", interrupts("gh-vcpu:0"), -1);
}

static void cap_22(void)
{
	struct gh_vm_function named = { .name = "balloon" };
	struct gh_fn_desc typed = { .type = 77 };
	struct vm vm;

	open_vm(&vm);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION_V8, &named, ENOENT);
	REFUSED(vm.fd, GH_VM_ADD_FUNCTION, &typed, ENOENT);
	strcpy(named.name, "vcpu");
	vm.vcpu[0] = (int)call(vm.fd, GH_VM_ADD_FUNCTION_V8, &named);
	expect("a vCPU fd", vm.vcpu[0] > 2, 1);
	close_vm(&vm);
}

/* A ticket gets the resource of its label and no other, before START and after it. */
static void cap_23(void)
{
	static const struct tree bells = { .cpus = 1, .bells = 2 };
	int event[3], i;
	struct gh_vcpu_stats stats;
	struct vm vm;

	set_up(&vm, &guest_spin, &bells, GH_VM_SET_USER_MEM_REGION);
	for (i = 0; i < 3; i++)
		event[i] = eventfd(0, EFD_CLOEXEC);
	expect("irqfd before START",
	       add_fn(vm.fd, GH_FN_IRQFD,
		      &(struct gh_fn_irqfd_arg){ .fd = (__u32)event[0], .label = BELLS }, 16),
	       0);
	ALLOWED(vm.fd, GH_VM_START, NULL);
	expect("irqfd after START",
	       add_fn(vm.fd, GH_FN_IRQFD,
		      &(struct gh_fn_irqfd_arg){ .fd = (__u32)event[1], .label = BELLS + 1 }, 16),
	       0);
	expect("irqfd of no doorbell",
	       add_fn(vm.fd, GH_FN_IRQFD,
		      &(struct gh_fn_irqfd_arg){ .fd = (__u32)event[2], .label = 99 }, 16),
	       0);
	expect("same label",
	       add_fn(vm.fd, GH_FN_IRQFD,
		      &(struct gh_fn_irqfd_arg){ .fd = (__u32)event[2], .label = BELLS }, 16),
	       -EEXIST);
	for (i = 0; i < 3; i++)
		expect("write", write(event[i], &(uint64_t){ 1 }, 8), 8);
	ALLOWED(vm.vcpu[0], GH_VCPU_GET_STATS, &stats);
	expect("doorbells rung", (long)stats.vm_injected, 2);
	close_vm(&vm);
}

static const struct test_case cases[] = {
	{ "cap_02 node of the binding", cap_02 },
	{ "cap_03 error codes", cap_03 },
	{ "cap_04 SMCCC constants", cap_04 },
	{ "cap_05 identification", cap_05 },
	{ "cap_06 version", cap_06 },
	{ "cap_07 queues bound to their client", cap_07 },
	{ "cap_08 message-queue hypercalls", cap_08 },
	{ "cap_09 message-queue flow control", cap_09 },
	{ "cap_10 RPC core", cap_10 },
	{ "cap_11 life-cycle messages", cap_11 },
	{ "cap_12 VM manager", cap_12 },
	{ "cap_13 memory messages", cap_13 },
	{ "cap_14 user memory regions", cap_14 },
	{ "cap_15 boot ioctls", cap_15 },
	{ "cap_17 platform hooks", cap_17 },
	{ "cap_18 SCM source bitmap", cap_18 },
	{ "cap_19 SCM assignment", cap_19 },
	{ "cap_21 hypervisor resources", cap_21 },
	{ "cap_22 VM functions", cap_22 },
	{ "cap_23 resource tickets", cap_23 },
};

int main(int argc, char **argv)
{
	return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
