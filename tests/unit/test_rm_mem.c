/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memparcels: every check and code, appended lists, isolation of what is lent, and failures
 * half-way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/rm_client.h"

static int boot(void **state)
{
	(void)state;
	rm_client_boot();
	return rm_new_vm() == 0x80 && rm_new_vm() == 0x81 ? 0 : -1;
}

/* Takes everything back; then all memory must be the primary's, and no page may be missing. */
static int whole(void **state)
{
	(void)state;
	for (uint32_t handle = 0; handle < 300; handle++) {
		uint32_t err = rm_reclaim(handle);

		assert_true(err == GH_RM_OK || err == GH_RM_ERROR_HANDLE_INVALID);
	}
	assert_true(fake_primary_whole());
	assert_int_equal(fake.pages, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_free();
	return 0;
}

/* A message under construction. */
static struct {
	uint8_t data[16384];
	size_t size;
} msg;

static void put(const void *data, size_t size)
{
	memcpy(msg.data + msg.size, data, size);
	msg.size += size;
}

static void begin(uint8_t type, uint8_t flags, uint32_t label)
{
	struct gh_rm_mem_share head = { .mem_type = type, .flags = flags, .label = label };

	msg.size = 0;
	put(&head, sizeof(head));
}

static void list(unsigned int count)
{
	put(&(struct gh_rm_list){ .count = (uint16_t)count }, sizeof(struct gh_rm_list));
}

static void acl(uint16_t vmid, uint8_t rights)
{
	put(&(struct gh_rm_acl){ .vmid = vmid, .rights = rights }, sizeof(struct gh_rm_acl));
}

static void sgl(uint64_t ipa, uint64_t size)
{
	put(&(struct gh_rm_sgl){ .ipa = ipa, .size = size }, sizeof(struct gh_rm_sgl));
}

static void attr(uint16_t value, uint16_t vmid)
{
	put(&(struct gh_rm_mem_attr){ .attr = value, .vmid = vmid }, sizeof(struct gh_rm_mem_attr));
}

static uint32_t send(uint32_t id)
{
	return rm_ask(id, msg.data, msg.size);
}

/* One ACL entry and one range. */
static uint32_t simple(uint32_t id, uint16_t vmid, uint8_t rights, uint64_t ipa, uint64_t size)
{
	begin(0, 0, 0);
	list(1);
	acl(vmid, rights);
	list(1);
	sgl(ipa, size);
	return send(id);
}

static uint32_t append(uint32_t handle, uint8_t flags, uint64_t ipa, unsigned int count)
{
	struct gh_rm_mem_append head = { .handle = handle, .flags = flags };

	msg.size = 0;
	put(&head, sizeof(head));
	list(count);
	for (unsigned int i = 0; i < count; i++)
		sgl(ipa + i * 0x2000ull, 0x1000);
	return send(GH_RM_MEM_APPEND);
}

#define BASE FAKE_RAM_BASE

static void example_bytes(void **state)
{
	/* The document's SHARE, with our RAM's address. */
	static const uint8_t share[] = {
		0, 0, 0, 0, 0, 0,    0, 0, 2, 0, 0, 0, 0x80, 0, 7, 0, 3, 0, 7, 0, 1, 0,
		0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 1,    0, 0, 0, 0, 0, 0, 0, 0, 0,
	};
	static const uint8_t reclaim[] = { 0, 0, 0, 0, 0, 0, 0, 0 };

	(void)state;
	assert_int_equal(sizeof(share), 44);
	assert_int_equal(rm_ask(GH_RM_MEM_SHARE, share, sizeof(share)), GH_RM_OK);
	assert_int_equal(client.size, 4);
	assert_true(fake_primary_has(BASE, 7));
	assert_int_equal(rm_ask(GH_RM_MEM_RECLAIM, reclaim, sizeof(reclaim)), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_MEM_RECLAIM, reclaim, sizeof(reclaim)),
			 GH_RM_ERROR_HANDLE_INVALID);
}

static void lent_pages_vanish(void **state)
{
	(void)state;
	memset(hyp_ptr(BASE + 0x1000), 0x5a, 0x2000);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, 7, BASE + 0x1000, 0x2000), GH_RM_OK);
	assert_true(fake_primary_has(BASE, 7));
	assert_false(fake_primary_has(BASE + 0x1000, 7));
	assert_false(fake_primary_has(BASE + 0x2000, 7));
	assert_true(fake_primary_has(BASE + 0x3000, 7));
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0x2fff), 0x5a);
}

static void sanitise_clears(void **state)
{
	struct gh_rm_mem_handle reclaim = { .handle = 0, .flags = 1 };

	(void)state;
	memset(hyp_ptr(BASE), 0x5a, 0x3000);
	begin(0, GH_RM_MEM_SHARE_SANITISE, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE + 0x1000, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_OK);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0xfff), 0x5a);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0x1000), 0);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0x2000), 0x5a);
	memset(hyp_ptr(BASE + 0x1000), 0x66, 0x1000);
	assert_int_equal(rm_ask(GH_RM_MEM_RECLAIM, &reclaim, sizeof(reclaim)), GH_RM_OK);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0x1fff), 0);
	assert_int_equal(*(uint8_t *)hyp_ptr(BASE + 0x2000), 0x5a);
}

static void owner_keeps_its_rights(void **state)
{
	(void)state;
	begin(0, 0, 0);
	list(2);
	acl(0x80, 7);
	acl(GH_VMID_PRIMARY, GH_RM_ACL_R);
	list(1);
	sgl(BASE, 0x1000);
	assert_int_equal(send(GH_RM_MEM_SHARE), GH_RM_OK);
	assert_true(fake_primary_has(BASE, GH_RM_ACL_R));
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
	assert_true(fake_primary_has(BASE, 7));
}

static void malformed_lists(void **state)
{
	(void)state;
	begin(0, 0, 0);
	list(513);
	list(0);
	list(0);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_NORESOURCE);
	begin(0, 0, 0);
	list(9);
	acl(0x80, 7);
	list(0);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_INVALID);
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x1000);
	list(0);
	put("", 1);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_INVALID);
	begin(0, 0, 0);
	list(0);
	list(1);
	sgl(BASE, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(0);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
}

static void bad_access_lists(void **state)
{
	static const uint8_t bad_rights[] = { 0, 1, 2, 3, 8, 15 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad_rights); i++)
		assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, bad_rights[i], BASE, 0x1000),
				 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x82, 7, BASE, 0x1000),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0, 7, BASE, 0x1000), GH_RM_ERROR_ARGUMENT_INVALID);
	/* the owner: in a SHARE, and only there */
	assert_int_equal(simple(GH_RM_MEM_LEND, GH_VMID_PRIMARY, 7, BASE, 0x1000),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_DONATE, GH_VMID_PRIMARY, 7, BASE, 0x1000),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_SHARE, 0x80, 7, BASE, 0x1000),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_DONATE, 0x80, 6, BASE, 0x1000), GH_RM_ERROR_DENIED);
	begin(0, 0, 0);
	list(2);
	acl(0x80, 7);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(send(GH_RM_MEM_DONATE), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(simple(GH_RM_MEM_DONATE, 0x80, 7, BASE, 0x1000), GH_RM_OK);
	assert_false(fake_primary_has(BASE, 7));
}

static uint32_t with_attr(uint32_t id, uint16_t value, uint16_t vmid)
{
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x1000);
	list(1);
	attr(value, vmid);
	return send(id);
}

static void attributes(void **state)
{
	(void)state;
	assert_int_equal(with_attr(GH_RM_MEM_LEND, 4, 0x80), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(with_attr(GH_RM_MEM_LEND, GH_RM_MEM_ATTR_DEVICE, 0x80),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(with_attr(GH_RM_MEM_DONATE, GH_RM_MEM_ATTR_CACHED, 0x80),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(with_attr(GH_RM_MEM_LEND, GH_RM_MEM_ATTR_CACHED, 0x81),
			 GH_RM_ERROR_VMID_INVALID);
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x1000);
	list(2);
	attr(0, 0x80);
	attr(0, 0x80);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(with_attr(GH_RM_MEM_LEND, GH_RM_MEM_ATTR_CACHED, 0x80), GH_RM_OK);
}

static void io_memory(void **state)
{
	(void)state;
	begin(GH_RM_MEM_IO, GH_RM_MEM_SHARE_SANITISE, 0);
	list(1);
	acl(0x80, 6);
	list(1);
	sgl(0x9000000, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
	msg.data[2] = 0;
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_MEM_INVALID);
	msg.data[14] = 7; /* X */
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
	msg.data[0] = 2;
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_ARGUMENT_INVALID);
}

static void ranges(void **state)
{
	static const struct {
		uint64_t ipa, size;
		uint32_t error;
	} tries[] = {
		{ BASE + 0x800, 0x1000, GH_RM_ERROR_ARGUMENT_INVALID },
		{ BASE, 0x800, GH_RM_ERROR_ARGUMENT_INVALID },
		{ BASE, 0, GH_RM_ERROR_ARGUMENT_INVALID },
		{ 1ull << 44, 0x1000, GH_RM_ERROR_ARGUMENT_INVALID },
		{ BASE, 1ull << 44, GH_RM_ERROR_ARGUMENT_INVALID },
		{ BASE, ~0xfffull, GH_RM_ERROR_ARGUMENT_INVALID },
		{ BASE - 0x1000, 0x1000, GH_RM_ERROR_MEM_INVALID },
		{ BASE - 0x1000, 0x2000, GH_RM_ERROR_MEM_INVALID },
		{ BASE + FAKE_RAM_SIZE, 0x1000, GH_RM_ERROR_MEM_INVALID },
		{ BASE + FAKE_RAM_SIZE - 0x1000, 0x2000, GH_RM_ERROR_MEM_INVALID },
		{ 0, 0x1000, GH_RM_ERROR_MEM_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, 7, tries[i].ipa, tries[i].size),
				 tries[i].error);
}

static void a_page_is_in_one_parcel(void **state)
{
	(void)state;
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, 0x80, BASE + 0x2000, 0x2000, NULL), GH_RM_OK);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x81, 7, BASE + 0x3000, 0x1000),
			 GH_RM_ERROR_MEM_INVALID);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x81, 7, BASE, 0x8000), GH_RM_ERROR_MEM_INVALID);
	assert_true(fake_primary_whole());
	/* within one message */
	begin(0, 0, 0);
	list(1);
	acl(0x81, 7);
	list(3);
	sgl(BASE + 0x10000, 0x4000);
	sgl(BASE + 0x20000, 0x1000);
	sgl(BASE + 0x13000, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_ERROR_MEM_INVALID);
	assert_true(fake_primary_whole());
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x81, 7, BASE + 0x10000, 0x4000), GH_RM_OK);
}

static void sixty_four_parcels(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, 7, BASE + i * 0x1000, 0x1000),
				 GH_RM_OK);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, 7, BASE + 0x100000, 0x1000),
			 GH_RM_ERROR_DENIED);
	assert_int_equal(rm_reclaim(7), GH_RM_OK);
	assert_int_equal(simple(GH_RM_MEM_LEND, 0x80, 7, BASE + 0x100000, 0x1000), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 64); /* a handle is not used twice */
}

/* 512 + 300 scattered pages in two messages. */
static void append_goes_on(void **state)
{
	(void)state;
	begin(0, GH_RM_MEM_SHARE_APPEND, 0);
	list(1);
	acl(0x80, 7);
	list(512);
	for (unsigned int i = 0; i < 512; i++)
		sgl(BASE + i * 0x2000ull, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_OK);
	assert_int_equal(fake.unmaps, 512);
	assert_int_equal(rm_config(0x80, 0, 0, 0x1000), GH_RM_ERROR_MEM_INVALID); /* not complete */
	assert_int_equal(append(0, 0, 0, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(append(1, 0, BASE, 1), GH_RM_ERROR_HANDLE_INVALID);
	assert_int_equal(append(0, 2, BASE, 1), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(append(0, 0, BASE, 1), GH_RM_ERROR_MEM_INVALID); /* has it */
	assert_int_equal(append(0, 0, BASE + 0x801, 1), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(append(0, GH_RM_MEM_APPEND_DONE, BASE + 0x1000000, 300), GH_RM_OK);
	assert_int_equal(append(0, 0, BASE + 0x1800000, 1), GH_RM_ERROR_DENIED);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_RESET, 0x80), GH_RM_OK);
	assert_int_equal(rm_config(0x80, 0, 811 * 0x1000, 0x1000), GH_RM_OK);
	assert_false(fake_primary_has(BASE + 0x1000000 + 299 * 0x2000, 7));
	assert_true(fake_primary_has(BASE + 0x1000000 + 299 * 0x2000 + 0x1000, 7));
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
	assert_true(fake_primary_whole());
}

static void abandoned_append_is_reclaimed(void **state)
{
	(void)state;
	begin(0, GH_RM_MEM_SHARE_APPEND, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_OK);
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
}

/* Neighbours in the list cost one change of stage 2. */
static void neighbours_are_joined(void **state)
{
	(void)state;
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(512);
	for (unsigned int i = 0; i < 512; i++)
		sgl(BASE + i * 0x1000ull, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_OK);
	assert_int_equal(fake.unmaps, 1);
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
	assert_int_equal(fake.maps, 1);
}

static void failures_give_back(void **state)
{
	(void)state;
	for (unsigned int n = 1; n < 40; n++) {
		for (unsigned int kind = 0; kind < 2; kind++) {
			if (kind)
				fake.fail_alloc = n;
			else
				fake.fail_unmap = n;
			begin(0, 0, 0);
			list(1);
			acl(0x80, 7);
			list(300);
			for (unsigned int i = 0; i < 300; i++)
				sgl(BASE + i * 0x2000ull, 0x1000);
			if (send(GH_RM_MEM_LEND) == GH_RM_OK) {
				assert_true(kind && n > 3);
				assert_int_equal(rm_reclaim(rm_reply_u32(0)), GH_RM_OK);
			} else {
				assert_int_equal(client.error, GH_RM_ERROR_NOMEM);
			}
			fake.fail_alloc = fake.fail_unmap = 0;
			assert_true(fake_primary_whole());
			assert_int_equal(fake.pages, 0);
		}
	}
}

/* A reclaim that fails half-way can be tried again. */
static void reclaim_goes_on(void **state)
{
	(void)state;
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(300);
	for (unsigned int i = 0; i < 300; i++)
		sgl(BASE + i * 0x2000ull, 0x1000);
	assert_int_equal(send(GH_RM_MEM_LEND), GH_RM_OK);
	fake.fail_map = 100;
	assert_int_equal(rm_reclaim(0), GH_RM_ERROR_NOMEM);
	fake.fail_map = 180;
	assert_int_equal(rm_reclaim(0), GH_RM_ERROR_NOMEM);
	assert_int_equal(rm_reclaim(0), GH_RM_OK);
	assert_int_equal(rm_reclaim(0), GH_RM_ERROR_HANDLE_INVALID);
}

static void the_primary_cannot_accept(void **state)
{
	struct gh_rm_mem_accept accept = { .trans_type = GH_RM_MEM_TRANS_LEND };
	struct gh_rm_mem_handle release = { .handle = 0 };
	struct gh_rm_mem_accept empty = { .handle = 9 };

	(void)state;
	assert_int_equal(rm_ask(GH_RM_MEM_ACCEPT, &empty, sizeof(empty)),
			 GH_RM_ERROR_HANDLE_INVALID);
	assert_int_equal(rm_ask(GH_RM_MEM_RELEASE, &release, sizeof(release)),
			 GH_RM_ERROR_HANDLE_INVALID);
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, 0x80, BASE, 0x1000, NULL), GH_RM_OK);
	assert_int_equal(rm_ask(GH_RM_MEM_ACCEPT, &accept, sizeof(accept)),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	accept.trans_type = GH_RM_MEM_TRANS_SHARE;
	assert_int_equal(rm_ask(GH_RM_MEM_ACCEPT, &accept, sizeof(accept)), GH_RM_ERROR_DENIED);
	accept.flags = GH_RM_MEM_ACCEPT_CHECK_LABEL;
	accept.label = 1;
	assert_int_equal(rm_ask(GH_RM_MEM_ACCEPT, &accept, sizeof(accept)),
			 GH_RM_ERROR_VALIDATE_FAILED);
	assert_int_equal(rm_ask(GH_RM_MEM_RELEASE, &release, sizeof(release)), GH_RM_ERROR_DENIED);
	assert_int_equal(rm_give(GH_RM_MEM_LEND, 0x80, BASE + 0x1000, 0x1000, NULL), GH_RM_OK);
	accept = (struct gh_rm_mem_accept){ .handle = 1, .trans_type = GH_RM_MEM_TRANS_LEND };
	assert_int_equal(rm_ask(GH_RM_MEM_ACCEPT, &accept, sizeof(accept)),
			 GH_RM_ERROR_VMID_INVALID);
}

static uint32_t notify(uint8_t flags, uint16_t vmid, uint32_t tag)
{
	struct gh_rm_mem_notify head = { .handle = 0, .flags = flags, .tag = tag };

	msg.size = 0;
	put(&head, sizeof(head));
	list(1);
	acl(vmid, 0);
	return send(GH_RM_MEM_NOTIFY);
}

static void notify_rules(void **state)
{
	struct gh_rm_mem_notify head = { .handle = 0, .flags = 1 };

	(void)state;
	assert_int_equal(notify(1, 0x80, 0), GH_RM_ERROR_HANDLE_INVALID);
	assert_int_equal(rm_give(GH_RM_MEM_LEND, 0x80, BASE, 0x1000, NULL), GH_RM_OK);
	assert_int_equal(notify(0, 0x80, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(notify(3, 0x80, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(notify(16, 0x80, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(notify(2, 0x80, 0), GH_RM_ERROR_DENIED);
	assert_int_equal(notify(1, 0x81, 0), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(rm_ask(GH_RM_MEM_NOTIFY, &head, sizeof(head)),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	/* The VM is in LOAD and has no link through which it could hear. */
	assert_int_equal(notify(1, 0x80, 0), GH_RM_ERROR_NORESOURCE);
}

static void lookup_finds_by_content(void **state)
{
	(void)state;
	assert_int_equal(rm_give(GH_RM_MEM_LEND, 0x80, BASE, 0x3000, NULL), GH_RM_OK);
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(3);
	for (unsigned int i = 0; i < 3; i++)
		sgl(BASE + i * 0x1000ull, 0x1000);
	assert_int_equal(send(GH_RM_MEM_QCOM_LOOKUP_SGL), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 0);
	begin(0, 0, 0);
	list(1);
	acl(0x80, 7);
	list(1);
	sgl(BASE, 0x2000);
	assert_int_equal(send(GH_RM_MEM_QCOM_LOOKUP_SGL), GH_RM_ERROR_LOOKUP_FAILED);
	msg.data[4] = 1; /* another label */
	assert_int_equal(send(GH_RM_MEM_QCOM_LOOKUP_SGL), GH_RM_ERROR_LOOKUP_FAILED);
}

/* What was lent to a VM is not for the next one with its number. */
static void a_new_vm_inherits_nothing(void **state)
{
	(void)state;
	assert_int_equal(rm_give(GH_RM_MEM_LEND, 0x81, BASE, 0x1000, NULL), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_DEALLOCATE, 0x81), GH_RM_OK);
	assert_int_equal(rm_new_vm(), 0x81);
	assert_int_equal(rm_config(0x81, 0, 0, 0x1000), GH_RM_ERROR_MEM_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, whole)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(example_bytes),
		TEST(lent_pages_vanish),
		TEST(sanitise_clears),
		TEST(owner_keeps_its_rights),
		TEST(malformed_lists),
		TEST(bad_access_lists),
		TEST(attributes),
		TEST(io_memory),
		TEST(ranges),
		TEST(a_page_is_in_one_parcel),
		TEST(sixty_four_parcels),
		TEST(append_goes_on),
		TEST(abandoned_append_is_reclaimed),
		TEST(neighbours_are_joined),
		TEST(failures_give_back),
		TEST(reclaim_goes_on),
		TEST(the_primary_cannot_accept),
		TEST(notify_rules),
		TEST(lookup_finds_by_content),
		TEST(a_new_vm_inherits_nothing),
	};

	return cmocka_run_group_tests_name("rm_mem", tests, NULL, end);
}
