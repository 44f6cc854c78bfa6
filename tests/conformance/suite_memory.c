// SPDX-License-Identifier: GPL-2.0-only
/* What giving memory away does to its owner: lent pages vanish, shared ones stay, all come back. */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>

#include "parcel.h"
#include "probe.h"
#include "suite.h"
#include "vm.h"

#define EC_DABT_SAME 0x25u

static const char left[] = "what does not start at 256 KiB was seen to stay mapped";

static u8 *page;

/* Loads in the primary: the value, or how it was refused. */
static const char *look(void *at)
{
	u64 esr;

	if (probe(PROBE_LOAD, at, &esr))
		return say("%#x", *(volatile u32 *)at);
	if (esr >> 26 == EC_DABT_SAME && (esr & 0x3f) == FSC_EXTERNAL)
		return "external abort";
	return say("a fault, syndrome %#llx", esr);
}

static const char *store(void *at)
{
	u64 esr;

	if (probe(PROBE_STORE, at, &esr))
		return "done";
	if (esr >> 26 == EC_DABT_SAME && (esr & 0x3f) == FSC_EXTERNAL)
		return "external abort";
	return say("a fault, syndrome %#llx", esr);
}

static u32 give(u32 id, u16 vmid, u8 rights, u8 flags, u32 *handle)
{
	struct parcel parcel = {
		.flags = flags,
		.acl = { { vmid, 7 }, { GH_VMID_PRIMARY, rights } },
		.acls = id == GH_RM_MEM_SHARE ? 2 : 1,
		.sgl = { { virt_to_phys(page), 4096 } },
		.sgls = 1,
	};

	return parcel_send(id, &parcel, handle);
}

static void set(u32 value)
{
	WRITE_ONCE(*(u32 *)page, value);
}

static void lent(u16 vmid)
{
	u32 handle;

	set(0x11111111);
	expect_text("a page before it is lent", "0x11111111", look(page));
	if (!need("LEND", !give(GH_RM_MEM_LEND, vmid, 0, 0, &handle)))
		return;
	expect_text_but("load from a lent page", "external abort", look(page), "0x11111111", left);
	expect_text_but("store to a lent page", "external abort", store(page), "done", left);
	expect_text("the page before it", "0x0", look(page - 4096));
	expect_text("the page behind it", "0x0", look(page + 4096));
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
	expect_text_but("load after RECLAIM: what it held", "0x11111111", look(page), "0x0", left);
	expect_text("store after RECLAIM", "done", store(page));
}

static void donated(u16 vmid)
{
	u32 handle;

	if (!expect_rm("DONATE", GH_RM_OK, give(GH_RM_MEM_DONATE, vmid, 0, 0, &handle)))
		return;
	expect_text_but("load from a donated page", "external abort", look(page), "0x0", left);
	expect_rm("RECLAIM of a donation that nobody has accepted", GH_RM_OK,
		  parcel_reclaim(handle, 0));
	expect_text("load after RECLAIM", "0x0", look(page));
}

static void shared(u16 vmid)
{
	u32 handle;

	set(0x22222222);
	if (need("SHARE", !give(GH_RM_MEM_SHARE, vmid, 7, 0, &handle))) {
		expect_text("load from a shared page", "0x22222222", look(page));
		expect_text("store to a shared page", "done", store(page));
		expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
	}
	set(0x33333333);
	if (need("SHARE, the owner may read", !give(GH_RM_MEM_SHARE, vmid, 4, 0, &handle))) {
		expect_text("load from a page shared with R", "0x33333333", look(page));
		expect_text("store to a page shared with R", "external abort", store(page));
		expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
		expect_text("store after RECLAIM", "done", store(page));
	}
}

static void sanitised(u16 vmid)
{
	u32 handle;

	set(0x44444444);
	if (need("SHARE, to be sanitised",
		 !give(GH_RM_MEM_SHARE, vmid, 7, GH_RM_MEM_SHARE_SANITISE, &handle))) {
		expect_text("a page that was shared sanitised", "0x0", look(page));
		expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
	}
	set(0x55555555);
	if (need("LEND", !give(GH_RM_MEM_LEND, vmid, 0, 0, &handle))) {
		expect_rm("RECLAIM, to be sanitised", GH_RM_OK,
			  parcel_reclaim(handle, GH_RM_MEM_SANITISE));
		expect_text("a page that was reclaimed sanitised", "0x0", look(page));
	}
}

static void of_a_vm(void)
{
	struct vm vm;

	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_INIT)) {
		expect_text("load from 2 MiB that are lent: the first page", "external abort",
			    look(vm.memory));
		expect_text("load from 2 MiB that are lent: the last page", "external abort",
			    look(vm.memory + VM_SIZE - 4096));
		expect_text("store to 2 MiB that are lent", "external abort",
			    store(vm.memory + VM_SCRATCH));
	}
	vm_down(&vm);
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_RUNNING)) {
		expect_text("load from a running VM's memory", "external abort", look(vm.memory));
		expect_rm("RECLAIM from a running VM", GH_RM_ERROR_MEM_INUSE, vm_reclaim(&vm));
		expect_text("and it is still the VM's", "external abort", look(vm.memory));
	}
	vm_down(&vm);
}

static void of_others(void)
{
	u64 esr;
	void *hypervisor = memremap(0x80000000, 4096, MEMREMAP_WB);

	if (!hypervisor) {
		skip("the hypervisor's memory", "it cannot be mapped");
		return;
	}
	expect("load from the hypervisor's memory works", 0, probe(PROBE_LOAD, hypervisor, &esr));
	memunmap(hypervisor);
}

void suite_memory(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, 2);
	struct vm vm;

	if (!need("memory", pages))
		return;
	page = (u8 *)page_address(pages) + 4096;
	if (vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD)) {
		lent(vm.vmid);
		donated(vm.vmid);
		shared(vm.vmid);
		sanitised(vm.vmid);
	}
	vm_down(&vm);
	of_a_vm();
	of_others();
	__free_pages(pages, 2);
}
