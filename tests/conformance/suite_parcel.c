// SPDX-License-Identifier: GPL-2.0-only
/* Section 4.6: the checks of memory messages one by one, each with the code that the document gives. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "parcel.h"
#include "suite.h"
#include "vm.h"

static phys_addr_t ram; /* of 8 pages */

static void refuse(const char *what, u32 id, const struct parcel *parcel, u32 want)
{
	u32 handle, error = parcel_send(id, parcel, &handle);

	expect_rm(what, want, error);
	/* What was taken against expectation goes back. */
	if (!error)
		parcel_reclaim(handle, 0);
}

/* A block of its own, so that the message needs no room in the rest of the function. */
#define refused(what, id, parcel, want)         \
	do {                                    \
		refuse(what, id, parcel, want); \
	} while (0)
#define LEND(...) (&(const struct parcel){ __VA_ARGS__ })
#define ACL(...)  .acl = { __VA_ARGS__ }, .acls = sizeof((struct gh_rm_acl[]){ __VA_ARGS__ }) / 4
#define SGL(...)  .sgl = { __VA_ARGS__ }, .sgls = sizeof((struct gh_rm_sgl[]){ __VA_ARGS__ }) / 16
#define ATTR(...) \
	.attr = { __VA_ARGS__ }, .attrs = sizeof((struct gh_rm_mem_attr[]){ __VA_ARGS__ }) / 4
#define RWX 7
#define PAGE(n)                      \
	{                            \
		ram + (n)*4096, 4096 \
	}

static void lists(void)
{
	/* Fixed part, then 1 ACL entry, 1 SGL entry, no attributes; each cut or stretched. */
	u8 good[8 + 8 + 20 + 4 + 4] = { 0 };
	u8 *counts = good + 8;

	counts[0] = 1;
	counts[4] = GH_VMID_PRIMARY;
	counts[6] = RWX;
	counts[8] = 1;
	expect_rm("lists: the SGL is cut", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_MEM_LEND, good, 32, NULL));
	expect_rm("lists: 4 bytes behind the last", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_MEM_LEND, good, sizeof(good), NULL));
	counts[1] = 2 + 1;
	expect_rm("lists: 769 ACL entries announced", GH_RM_ERROR_NORESOURCE,
		  rm_call(GH_RM_MEM_LEND, good, 40, NULL));
	counts[1] = 2;
	expect_rm("lists: 513 ACL entries announced", GH_RM_ERROR_NORESOURCE,
		  rm_call(GH_RM_MEM_LEND, good, 40, NULL));
	counts[0] = 2;
	counts[1] = 0;
	expect_rm("lists: the second of two ACL entries eats the SGL's count", GH_RM_ERROR_INVALID,
		  rm_call(GH_RM_MEM_LEND, good, 36, NULL));
	memset(good, 0, sizeof(good));
	expect_rm("lists: all empty", GH_RM_ERROR_ARGUMENT_INVALID,
		  rm_call(GH_RM_MEM_LEND, good, 20, NULL));
}

static void access_lists(u16 vmid)
{
	refused("LEND: no ACL entry", GH_RM_MEM_LEND, LEND(SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: no SGL entry", GH_RM_MEM_LEND, LEND(ACL({ vmid, RWX })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("DONATE: two ACL entries", GH_RM_MEM_DONATE,
		LEND(ACL({ vmid, RWX }, { GH_VMID_RM, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: a VMID twice", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }, { vmid, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: a dynamic VMID that is not allocated", GH_RM_MEM_LEND,
		LEND(ACL({ 0x99, RWX }), SGL(PAGE(0))), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: VMID 0, the hypervisor", GH_RM_MEM_LEND, LEND(ACL({ 0, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: VMID 200", GH_RM_MEM_LEND, LEND(ACL({ 200, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: no rights", GH_RM_MEM_LEND, LEND(ACL({ vmid, 0 }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: X alone", GH_RM_MEM_LEND, LEND(ACL({ vmid, 1 }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: W alone", GH_RM_MEM_LEND, LEND(ACL({ vmid, 2 }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: WX", GH_RM_MEM_LEND, LEND(ACL({ vmid, 3 }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: a right that does not exist", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, 15 }), SGL(PAGE(0))), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("LEND: the owner in the ACL", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }, { GH_VMID_PRIMARY, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("SHARE: the owner not in the ACL", GH_RM_MEM_SHARE,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0))), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("DONATE: to oneself", GH_RM_MEM_DONATE,
		LEND(ACL({ GH_VMID_PRIMARY, RWX }), SGL(PAGE(0))), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("DONATE: RW only", GH_RM_MEM_DONATE, LEND(ACL({ vmid, 6 }), SGL(PAGE(0))),
		GH_RM_ERROR_DENIED);
}

static void io_memory(u16 vmid)
{
	const u8 io = GH_RM_MEM_IO;

	refused("IO: to be sanitised", GH_RM_MEM_LEND,
		LEND(.mem_type = io, .flags = GH_RM_MEM_SHARE_SANITISE, ACL({ vmid, 6 }),
		     SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("IO: X", GH_RM_MEM_LEND, LEND(.mem_type = io, ACL({ vmid, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("IO: DONATE with R only", GH_RM_MEM_DONATE,
		LEND(.mem_type = io, ACL({ vmid, 4 }), SGL(PAGE(0))), GH_RM_ERROR_DENIED);
	refused("IO: RAM is not IO memory", GH_RM_MEM_LEND,
		LEND(.mem_type = io, ACL({ vmid, 6 }), SGL(PAGE(0))), GH_RM_ERROR_MEM_INVALID);
}

static void attributes(u16 vmid)
{
	refused("attributes: a VMID twice", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 0, vmid }, { 0, vmid })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("attributes: 4, which does not exist", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 4, vmid })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("attributes: device for normal memory", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 1, vmid })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("attributes: DONATE with cached", GH_RM_MEM_DONATE,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 3, vmid })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("attributes: a VMID that is not in the ACL", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 0, GH_VMID_RM })),
		GH_RM_ERROR_VMID_INVALID);
	refused("attributes: normal", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 0, vmid })), GH_RM_OK);
	refused("attributes: cached", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0)), ATTR({ 3, vmid })), GH_RM_OK);
}

static void ranges(u16 vmid)
{
	refused("SGL: an address in the middle of a page", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ ram + 8, 4096 })), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("SGL: half a page", GH_RM_MEM_LEND, LEND(ACL({ vmid, RWX }), SGL({ ram, 2048 })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("SGL: an address of 2^44", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 1ull << 44, 4096 })), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("SGL: a size of 2^44", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ ram, 1ull << 44 })), GH_RM_ERROR_ARGUMENT_INVALID);
	refused("SGL: the hypervisor's memory", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 0x80000000, 4096 })), GH_RM_ERROR_MEM_INVALID);
	refused("SGL: past the end of RAM", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 0x7ffff000, 8192 })), GH_RM_ERROR_MEM_INVALID);
	refused("SGL: a device", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 0x09000000, 4096 })), GH_RM_ERROR_MEM_INVALID);
	refused("SGL: nothing at all", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 0xffff0000000, 4096 })), GH_RM_ERROR_MEM_INVALID);
	refused("SGL: one page twice", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0), PAGE(1), PAGE(0))), GH_RM_ERROR_MEM_INVALID);
	refused("SGL: and its pages were given back", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0), PAGE(1))), GH_RM_OK);
	refused("SGL: pages that are not in order", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(3), PAGE(1), PAGE(2))), GH_RM_OK);
}

/* With two faults the one that is checked first counts. */
static void order(u16 vmid)
{
	refused("order: no SGL, before a wrong VMID", GH_RM_MEM_LEND, LEND(ACL({ 0x99, RWX })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("order: rights of a donation, before its attributes", GH_RM_MEM_DONATE,
		LEND(ACL({ vmid, 6 }), SGL(PAGE(0)), ATTR({ 3, vmid })), GH_RM_ERROR_DENIED);
	refused("order: rights of a donation, before its SGL", GH_RM_MEM_DONATE,
		LEND(ACL({ vmid, 6 }), SGL({ 0x80000000, 4096 })), GH_RM_ERROR_DENIED);
	refused("order: the owner in the ACL, before the SGL", GH_RM_MEM_LEND,
		LEND(ACL({ GH_VMID_PRIMARY, RWX }), SGL({ 0x80000000, 4096 })),
		GH_RM_ERROR_ARGUMENT_INVALID);
	refused("order: an attribute's VMID, before the SGL", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ ram + 8, 4096 }), ATTR({ 0, GH_VMID_RM })),
		GH_RM_ERROR_VMID_INVALID);
	refused("order: entries of the SGL one after the other", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ 0x80000000, 4096 }, { ram + 8, 4096 })),
		GH_RM_ERROR_MEM_INVALID);
}

static void taken_twice(u16 vmid)
{
	u32 handle, shared;

	if (!expect_rm("LEND a page", GH_RM_OK,
		       parcel_send(GH_RM_MEM_LEND, LEND(ACL({ vmid, RWX }), SGL(PAGE(0))),
				   &handle)))
		return;
	refused("LEND a page that is lent", GH_RM_MEM_LEND, LEND(ACL({ vmid, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_MEM_INVALID);
	refused("DONATE a page that is lent", GH_RM_MEM_DONATE,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(0))), GH_RM_ERROR_MEM_INVALID);
	refused("SHARE a page that is lent", GH_RM_MEM_SHARE,
		LEND(ACL({ vmid, RWX }, { GH_VMID_PRIMARY, RWX }), SGL(PAGE(0))),
		GH_RM_ERROR_MEM_INVALID);
	refused("LEND a range whose middle is lent", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL({ ram, 3 * 4096 })), GH_RM_ERROR_MEM_INVALID);
	expect_rm("SHARE another page", GH_RM_OK,
		  parcel_send(GH_RM_MEM_SHARE,
			      LEND(ACL({ vmid, RWX }, { GH_VMID_PRIMARY, RWX }), SGL(PAGE(1))),
			      &shared));
	refused("LEND a page that is shared", GH_RM_MEM_LEND,
		LEND(ACL({ vmid, RWX }), SGL(PAGE(1))), GH_RM_ERROR_MEM_INVALID);
	expect_rm("RECLAIM of what is shared", GH_RM_OK, parcel_reclaim(shared, 0));
	expect_rm("RECLAIM of what is lent", GH_RM_OK, parcel_reclaim(handle, 0));
	expect_rm("RECLAIM once more", GH_RM_ERROR_HANDLE_INVALID, parcel_reclaim(handle, 0));
	expect_rm("RECLAIM of the handle of all ones", GH_RM_ERROR_HANDLE_INVALID,
		  parcel_reclaim(~0u, 0));
	refused("LEND the page again", GH_RM_MEM_LEND, LEND(ACL({ vmid, RWX }), SGL(PAGE(0))),
		GH_RM_OK);
}

static u32 append(u32 handle, u8 flags, phys_addr_t at, u32 count)
{
	struct {
		struct gh_rm_mem_append head;
		struct gh_rm_list list;
		struct gh_rm_sgl sgl;
	} __packed request = {
		.head = { .handle = cpu_to_le32(handle), .flags = flags },
		.list.count = cpu_to_le16(count),
		.sgl = { cpu_to_le64(at), cpu_to_le64(4096) },
	};

	return rm_call(GH_RM_MEM_APPEND, &request, sizeof(request) - (count ? 0 : 16), NULL);
}

static void appended(u16 vmid)
{
	u32 handle;

	if (!expect_rm("LEND with more to come", GH_RM_OK,
		       parcel_send(GH_RM_MEM_LEND,
				   LEND(.flags = GH_RM_MEM_SHARE_APPEND, ACL({ vmid, RWX }),
					SGL(PAGE(0))),
				   &handle)))
		return;
	expect_rm("APPEND nothing", GH_RM_ERROR_ARGUMENT_INVALID, append(handle, 0, 0, 0));
	expect_rm("APPEND nothing to a handle of nothing", GH_RM_ERROR_ARGUMENT_INVALID,
		  append(0x12345678, 0, 0, 0));
	expect_rm("APPEND to a handle of nothing", GH_RM_ERROR_HANDLE_INVALID,
		  append(0x12345678, 0, ram + 4096, 1));
	expect_rm("APPEND the same page", GH_RM_ERROR_MEM_INVALID, append(handle, 0, ram, 1));
	expect_rm("APPEND", GH_RM_OK, append(handle, 0, ram + 4096, 1));
	expect_rm("APPEND the last", GH_RM_OK,
		  append(handle, GH_RM_MEM_APPEND_DONE, ram + 2 * 4096, 1));
	expect_rm("APPEND after the last", GH_RM_ERROR_DENIED,
		  append(handle, 0, ram + 3 * 4096, 1));
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));

	parcel_send(GH_RM_MEM_LEND,
		    LEND(.flags = GH_RM_MEM_SHARE_APPEND, ACL({ vmid, RWX }), SGL(PAGE(0))),
		    &handle);
	expect_rm("RECLAIM before the last APPEND", GH_RM_OK, parcel_reclaim(handle, 0));
}

static void looked_up(u16 vmid)
{
	const struct parcel *parcel = LEND(.label = 9, ACL({ vmid, RWX }), SGL(PAGE(2)));
	const struct parcel *other = LEND(.label = 9, ACL({ vmid, RWX }), SGL(PAGE(3)));
	u32 handle, found = ~0u;

	expect_rm("LOOKUP_SGL of nothing", GH_RM_ERROR_LOOKUP_FAILED,
		  parcel_send(GH_RM_MEM_QCOM_LOOKUP_SGL, parcel, &found));
	parcel_send(GH_RM_MEM_LEND, parcel, &handle);
	expect_rm("LOOKUP_SGL", GH_RM_OK, parcel_send(GH_RM_MEM_QCOM_LOOKUP_SGL, parcel, &found));
	expect("LOOKUP_SGL: the handle", handle, found);
	expect_rm("LOOKUP_SGL of another page", GH_RM_ERROR_LOOKUP_FAILED,
		  parcel_send(GH_RM_MEM_QCOM_LOOKUP_SGL, other, &found));
	parcel_reclaim(handle, 0);
	parcel_send(GH_RM_MEM_LEND,
		    LEND(.flags = GH_RM_MEM_SHARE_APPEND, .label = 9, ACL({ vmid, RWX }),
			 SGL(PAGE(2))),
		    &handle);
	expect_rm("LOOKUP_SGL before the last APPEND", GH_RM_ERROR_LOOKUP_FAILED,
		  parcel_send(GH_RM_MEM_QCOM_LOOKUP_SGL, parcel, &found));
	parcel_reclaim(handle, 0);
}

static u32 accept(u32 handle, u8 trans, u8 flags)
{
	struct {
		struct gh_rm_mem_accept head;
		struct gh_rm_list lists[3];
	} __packed request = {
		.head = { .handle = cpu_to_le32(handle),
			  .trans_type = trans,
			  .flags = flags,
			  .label = cpu_to_le32(1) },
	};

	return rm_call(GH_RM_MEM_ACCEPT, &request, sizeof(request), NULL);
}

static u32 notify(u32 handle, u8 flags, u32 tag, u16 to)
{
	struct {
		struct gh_rm_mem_notify head;
		struct gh_rm_list list;
		struct gh_rm_acl vmid;
	} __packed request = {
		.head = { .handle = cpu_to_le32(handle), .flags = flags, .tag = cpu_to_le32(tag) },
		.list.count = cpu_to_le16(to ? 1 : 0),
		.vmid.vmid = cpu_to_le16(to),
	};

	return rm_call(GH_RM_MEM_NOTIFY, &request, sizeof(request) - (to ? 0 : 4), NULL);
}

/* What the owner may not do with its own. */
static void as_recipient(u16 vmid)
{
	u8 release[8] = { 0 };
	u32 handle;

	expect_rm("ACCEPT a handle of nothing", GH_RM_ERROR_HANDLE_INVALID,
		  accept(0x12345678, 1, 0));
	memset(release, 0x78, 4);
	expect_rm("RELEASE a handle of nothing", GH_RM_ERROR_HANDLE_INVALID,
		  rm_call(GH_RM_MEM_RELEASE, release, 8, NULL));
	expect_rm("NOTIFY of a handle of nothing", GH_RM_ERROR_HANDLE_INVALID,
		  notify(0x12345678, 1, 0, vmid));
	if (!need("SHARE a page",
		  !parcel_send(GH_RM_MEM_SHARE,
			       LEND(ACL({ vmid, RWX }, { GH_VMID_PRIMARY, RWX }), SGL(PAGE(0))),
			       &handle)))
		return;
	expect_rm("ACCEPT as another transaction", GH_RM_ERROR_ARGUMENT_INVALID,
		  accept(handle, GH_RM_MEM_TRANS_LEND, 0));
	expect_rm("ACCEPT what was never sanitised", GH_RM_ERROR_VALIDATE_FAILED,
		  accept(handle, GH_RM_MEM_TRANS_SHARE, GH_RM_MEM_ACCEPT_CHECK_SANITISED));
	expect_rm("ACCEPT with another label", GH_RM_ERROR_VALIDATE_FAILED,
		  accept(handle, GH_RM_MEM_TRANS_SHARE, GH_RM_MEM_ACCEPT_CHECK_LABEL));
	expect_rm("ACCEPT with another ACL", GH_RM_ERROR_VALIDATE_FAILED,
		  accept(handle, GH_RM_MEM_TRANS_SHARE, GH_RM_MEM_ACCEPT_CHECK_ACL));
	expect_rm("ACCEPT for another VM", GH_RM_ERROR_DENIED,
		  accept(handle, GH_RM_MEM_TRANS_SHARE, GH_RM_MEM_ACCEPT_MAP_OTHER));
	expect_rm("ACCEPT one's own", GH_RM_ERROR_DENIED, accept(handle, GH_RM_MEM_TRANS_SHARE, 0));
	release[0] = handle;
	memset(release + 1, 0, 3);
	expect_rm("RELEASE one's own", GH_RM_ERROR_DENIED,
		  rm_call(GH_RM_MEM_RELEASE, release, 8, NULL));
	expect_rm("NOTIFY with two flags", GH_RM_ERROR_ARGUMENT_INVALID,
		  notify(handle, 3, 0, vmid));
	expect_rm("NOTIFY with no flag", GH_RM_ERROR_ARGUMENT_INVALID, notify(handle, 0, 0, vmid));
	expect_rm("NOTIFY nobody", GH_RM_ERROR_ARGUMENT_INVALID, notify(handle, 1, 0, 0));
	expect_rm("NOTIFY one who is not in the ACL", GH_RM_ERROR_ARGUMENT_INVALID,
		  notify(handle, 1, 0, GH_VMID_RM));
	expect_rm("RECLAIM", GH_RM_OK, parcel_reclaim(handle, 0));
}

static void limit(u16 vmid)
{
	static u32 handles[70];
	phys_addr_t at;
	struct page *pages = alloc_pages(GFP_KERNEL, 7);
	unsigned int count;
	u32 error = 0;

	if (!need("memory", pages))
		return;
	at = page_to_phys(pages);
	for (count = 0; count < ARRAY_SIZE(handles) && !error; count++)
		error = parcel_send(GH_RM_MEM_LEND,
				    LEND(ACL({ vmid, RWX }), SGL({ at + count * 4096, 4096 })),
				    &handles[count]);
	expect_rm("LEND one parcel too many", GH_RM_ERROR_DENIED, error);
	expect("parcels of one owner", 64, count - 1);
	for (count--, error = 0; count--;)
		error |= parcel_reclaim(handles[count], 0);
	if (need("RECLAIM all of them", !error))
		__free_pages(pages, 7);
}

static void largest_message(u16 vmid)
{
	struct gh_rm_sgl *sgl = kcalloc(GH_RM_LIST_MAX, sizeof(*sgl), GFP_KERNEL | __GFP_NOFAIL);
	struct page *pages = alloc_pages(GFP_KERNEL, 10);
	struct parcel parcel = { ACL({ vmid, RWX }), .long_sgl = sgl, .sgls = GH_RM_LIST_MAX };
	unsigned int i;
	u32 handle;

	if (!need("memory", pages))
		goto out;
	/* Every other page, so that nothing can be joined. */
	for (i = 0; i < GH_RM_LIST_MAX; i++)
		sgl[i] = (struct gh_rm_sgl){ page_to_phys(pages) + i * 8192, 4096 };
	if (!expect_rm("LEND with 512 entries, 36 packets", GH_RM_OK,
		       parcel_send(GH_RM_MEM_LEND, &parcel, &handle)) ||
	    expect_rm("RECLAIM of 512 entries", GH_RM_OK, parcel_reclaim(handle, 0)))
		__free_pages(pages, 10);
out:
	kfree(sgl);
}

void suite_parcel(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL, 3);
	struct vm vm;

	if (!need("memory", pages) || !vm_up(&vm, &vm_plain, GH_RM_VM_STATE_LOAD))
		return;
	ram = page_to_phys(pages);
	lists();
	access_lists(vm.vmid);
	io_memory(vm.vmid);
	attributes(vm.vmid);
	ranges(vm.vmid);
	order(vm.vmid);
	taken_twice(vm.vmid);
	appended(vm.vmid);
	looked_up(vm.vmid);
	as_recipient(vm.vmid);
	limit(vm.vmid);
	largest_message(vm.vmid);
	vm_down(&vm);
	__free_pages(pages, 3);
}
