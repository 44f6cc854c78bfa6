// SPDX-License-Identifier: GPL-2.0-only
/*
 * Section 12: requests that end upstream's resource manager. A hypervisor that does not repeat that
 * answers them with an error and goes on.
 */
#include "parcel.h"
#include "suite.h"
#include "vm.h"

static const char *outcome(u32 error)
{
	return error == RM_SILENT		       ? "no reply"
	       : rm_state(0) != GH_RM_VM_STATE_RUNNING ? "the end"
	       : error				       ? "an error"
						       : "OK";
}

static void refused(const char *what, u32 error)
{
	expect_text(what, "an error", outcome(error));
}

static void with_a_vm(void)
{
	struct gh_rm_vm_stop stop = { 0 };
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD))
		refused("VM_RESET in LOAD, without a configuration",
			rm_vm_call(GH_RM_VM_RESET, vm.vmid));
	vm_down(&vm);
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING)) {
		stop.vmid = cpu_to_le16(vm.vmid);
		refused("VM_STOP, not forced, of a guest without a link",
			rm_call(GH_RM_VM_STOP, &stop, sizeof(stop), NULL));
		expect_vm_state("and it still runs", GH_RM_VM_STATE_RUNNING, rm_state(vm.vmid));
	}
	vm_down(&vm);
}

static void notified(void)
{
	struct {
		struct gh_rm_mem_notify head;
		struct gh_rm_list list;
		struct gh_rm_acl vmid;
	} __packed request = { .head.flags = GH_RM_MEM_NOTIFY_SHARED,
			       .list.count = cpu_to_le16(1) };
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD) && need("memory", !vm_give(&vm))) {
		request.head.handle = cpu_to_le32(vm.handle);
		request.vmid.vmid = cpu_to_le16(vm.vmid);
		refused("MEM_NOTIFY shared, to a VM without a link",
			rm_call(GH_RM_MEM_NOTIFY, &request, sizeof(request), NULL));
		request.head.flags = GH_RM_MEM_NOTIFY_RECALL;
		refused("MEM_NOTIFY recall, to a VM without a link",
			rm_call(GH_RM_MEM_NOTIFY, &request, sizeof(request), NULL));
	}
	vm_down(&vm);
}

void suite_fault(void)
{
	if (!rm.survives) {
		skip("VM_DEALLOCATE of nobody", "upstream's resource manager ends");
		skip("VM_RESET in LOAD, without a configuration",
		     "upstream's resource manager ends");
		skip("VM_STOP, not forced, of a guest without a link",
		     "upstream's resource manager ends");
		skip("MEM_NOTIFY to a VM without a link", "upstream's resource manager ends");
		skip("VM_EXIT of the primary", "upstream's resource manager believes it");
		return;
	}
	refused("VM_DEALLOCATE of nobody", rm_vm_call(GH_RM_VM_DEALLOCATE, 0x99));
	with_a_vm();
	notified();
	refused("VM_EXIT of the primary", rm_call(GH_RM_VM_EXIT, "\0\0\0", 4, NULL));
}
