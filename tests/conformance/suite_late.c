// SPDX-License-Identifier: GPL-2.0-only
/* Memory that a guest takes and gives back while it runs: in several ranges, over several messages, sanitised while it writes. */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "guest.h"
#include "parcel.h"
#include "suite.h"

#define LATE_LABEL 0x54
#define LATE_BASE  0xb0000000ul
#define STEP	   0x10000ul /* from one range to the next */
#define PAGES	   3u
#define DONE	   GH_RM_MEM_ACCEPT_DONE
#define CPU_ON	   0xc4000003u
#define WRITER	   (VM_SCRATCH + 0x2000)
#define ROUNDS	   20u

/* Stores its argument where that points to, for ever; where nothing is, it tries again. */
static const u32 writer[] = {
	0x10000001,		  /* adr x1, . */
	0xd518c001,		  /* msr vbar_el1, x1 */
	0xd5033fdf,		  /* isb */
	0xf9000000,		  /* str x0, [x0] */
	0x17ffffff,		  /* b .-4 */
	[0x200 / 4] = 0xd69f03e0, /* eret */
};

/* Image and tree are shared so that the test can read and write them. */
static const struct vm_spec spec = { .tree = { .cpus = 2, .bells = 1, .link = true },
				     .share = true };

static bool share(struct vm *vm, struct page *page, unsigned int pages, u32 *handle)
{
	struct parcel parcel = {
		.label = LATE_LABEL,
		.acl = { { vm->vmid, 6 }, { GH_VMID_PRIMARY, 6 } },
		.acls = 2,
		.sgl = { { page_to_phys(page), pages * 4096 } },
		.sgls = 1,
	};

	return need("SHARE with the guest", !parcel_send(GH_RM_MEM_SHARE, &parcel, handle));
}

/* How many pages the guest reads where they should be: each begins with its number, counted from 1. */
static unsigned int pages_at(struct vm *vm, u64 at)
{
	unsigned int i, well = 0;

	for (i = 0; i < PAGES; i++)
		well += guest_read32(vm, 0, at + i * STEP) == i + 1;
	return well;
}

static void in_pieces(struct vm *vm, struct page *page)
{
	struct guest_accept a = {
		.flags = DONE,
		.sgl = { { LATE_BASE, 4096 },
			 { LATE_BASE + STEP, 4096 },
			 { LATE_BASE + 2 * STEP, 4096 } },
		.sgls = PAGES,
	};
	u32 *ours = page_address(page), error;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		ours[i * 1024] = i + 1;
	if (!share(vm, page, PAGES, &a.handle))
		return;
	a.map_vmid = vm->vmid;
	expect_rm("ACCEPT with a map_vmid, but not for another VM", GH_RM_ERROR_ARGUMENT_INVALID,
		  guest_accept(vm, &a, NULL));
	a.map_vmid = 0;
	/* Upstream wants as many ranges as the parcel has of its own, which here is one. */
	error = guest_accept(vm, &a, NULL);
	if (report_lenient && error == GH_RM_ERROR_ARGUMENT_INVALID) {
		skip("ACCEPT over three ranges", "upstream wants one for each of the parcel's own");
		goto out;
	}
	expect_rm("ACCEPT over three ranges", GH_RM_OK, error);
	expect("pages that are where they were wanted", PAGES, pages_at(vm, LATE_BASE));
	expect_rm("RELEASE", GH_RM_OK, guest_release(vm, a.handle, 0));
	expect("after RELEASE none is there", 0, pages_at(vm, LATE_BASE));
	a.flags = 0;
	a.sgls = 1;
	expect_rm("ACCEPT of the first page, not done", GH_RM_OK, guest_accept(vm, &a, NULL));
	expect("nothing is there yet", 0, pages_at(vm, LATE_BASE));
	a.flags = DONE;
	a.sgls = 2;
	a.sgl[0] = a.sgl[1];
	a.sgl[1] = a.sgl[2];
	expect_rm("ACCEPT of the others, done", GH_RM_OK, guest_accept(vm, &a, NULL));
	expect("all pages are where they were wanted", PAGES, pages_at(vm, LATE_BASE));
	expect_rm("RELEASE of them", GH_RM_OK, guest_release(vm, a.handle, 0));
	expect_rm("ACCEPT of less than all, done", GH_RM_ERROR_ARGUMENT_INVALID,
		  guest_accept(vm, &a, NULL));
out:
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(a.handle, 0));
}

/* The resource manager chooses, and tells where. */
static void where_there_is_room(struct vm *vm, struct page *page)
{
	struct guest_accept a = { .flags = DONE | GH_RM_MEM_ACCEPT_CONTIGUOUS };
	const u8 *reply = NULL;
	u64 at;

	if (!share(vm, page, PAGES, &a.handle))
		return;
	if (expect_rm("ACCEPT without a range, contiguous", GH_RM_OK,
		      guest_accept(vm, &a, &reply))) {
		expect("ACCEPT: ranges", 1, get16(reply));
		expect("ACCEPT: nothing follows", 0, reply[2]);
		at = get32(reply + 4) | (u64)get32(reply + 8) << 32;
		expect("ACCEPT: the size", PAGES * 4096, get32(reply + 12));
		expect("the guest reads there what the owner wrote", 1, guest_read32(vm, 0, at));
		expect_rm("RELEASE", GH_RM_OK, guest_release(vm, a.handle, 0));
	}
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(a.handle, 0));
}

/* --- Released while the guest writes there --- */

static struct vm vm;
static bool writer_stop;

static int run_writer(void *over)
{
	const u64 none[3] = { 0 };
	struct run_exit e;

	while (!READ_ONCE(writer_stop)) {
		vcpu_run(vm.cpu[1].cap, none, 0, &e);
		cond_resched();
	}
	complete(over);
	return 0;
}

/* Accepts the page, and releases it as soon as the other vCPU has written there. */
static bool nothing_left(const struct guest_accept *a, const u64 *ours)
{
	unsigned long end = jiffies + msecs_to_jiffies(WAIT_MS);

	if (guest_accept(&vm, a, NULL))
		return false;
	while (READ_ONCE(*ours) != LATE_BASE && time_before(jiffies, end))
		cond_resched();
	return READ_ONCE(*ours) == LATE_BASE &&
	       !guest_release(&vm, a->handle, GH_RM_MEM_SANITISE) && !READ_ONCE(*ours);
}

/* The guest's second vCPU, run by another CPU, writes to the page without end. */
static void sanitised(struct page *page)
{
	struct guest_accept a = { .flags = DONE, .sgl = { { LATE_BASE, 4096 } }, .sgls = 1 };
	unsigned int round, well = 0;
	u64 *ours = page_address(page);
	DECLARE_COMPLETION_ONSTACK(over);
	struct task_struct *task;

	if (report_lenient) {
		skip("RELEASE, sanitised, while the guest writes",
		     "upstream's answer did not come while the other vCPU ran");
		return;
	}
	if (num_online_cpus() < 2) {
		skip("RELEASE, sanitised, while the guest writes", "the primary has one CPU");
		return;
	}
	memcpy(vm.memory + WRITER, writer, sizeof(writer));
	WRITE_ONCE(*ours, 0);
	if (!share(&vm, page, 1, &a.handle))
		return;
	GUEST_CALL(&vm, 0, INSN(hvc), CPU_ON, 1, VM_BASE + WRITER, LATE_BASE);
	writer_stop = false;
	task = kthread_create(run_writer, &over, "conformance-write");
	kthread_bind(task, 1);
	wake_up_process(task);
	for (round = 0; round < ROUNDS; round++)
		well += nothing_left(&a, ours);
	expect(say("RELEASE, sanitised, %u times while the guest writes: nothing is left", ROUNDS),
	       ROUNDS, well);
	need("VM_STOP", !vm_stop(&vm));
	WRITE_ONCE(writer_stop, true);
	need("the other CPU is free again",
	     wait_for_completion_timeout(&over, msecs_to_jiffies(WAIT_MS)));
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(a.handle, 0));
}

void suite_late(void)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 2);

	if (!need("memory", page))
		return;
	if (vm_up(&vm, &spec, GH_RM_VM_STATE_RUNNING) &&
	    need("the servant", vcpu_next(&vm, 0).state == RUN_DONE)) {
		in_pieces(&vm, page);
		where_there_is_room(&vm, page);
		sanitised(page);
	}
	vm_down(&vm);
	__free_pages(page, 2);
}
