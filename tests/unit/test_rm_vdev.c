/* SPDX-License-Identifier: Apache-2.0 */
/* Guests with a link to the resource manager, and guests that are each other's peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <libfdt.h>

#include "core/memparcel.h"
#include "tests/unit/rm_client.h"

#define PARCEL_PA (FAKE_RAM_BASE + 0x1800000)

static const struct tree_options one = {
	.rm_rpc = true,
	.source = true,
	.pair = true,
	.name = "one",
	.peer = "vm-name:two",
};
static const struct tree_options two = {
	.rm_rpc = true,
	.sink = true,
	.pair = true,
	.name = "two",
	.peer = "vm-name:one",
};
static struct rm_test_vm vm[2];

static int boot(void **state)
{
	(void)state;
	rm_client_boot();
	for (unsigned int i = 0; i < 2; i++)
		vm[i] = (struct rm_test_vm){ .pa = FAKE_RAM_BASE + 0x400000 * (i + 1),
					     .size = 0x400000 };
	return 0;
}

static int whole(void **state)
{
	(void)state;
	rm_client_as(0);
	assert_true(fake_primary_whole());
	assert_int_equal(fake.pages, 0);
	assert_int_equal(fake.objects, 0);
	return 0;
}

static void up(unsigned int i, const struct tree_options *o)
{
	assert_int_equal(rm_make(&vm[i], GH_RM_MEM_LEND, o), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_START, vm[i].vmid), GH_RM_OK);
}

static void down(unsigned int i)
{
	assert_int_equal(rm_stop(vm[i].vmid, 1), GH_RM_OK);
	assert_int_equal(rm_unmake(&vm[i]), GH_RM_OK);
}

static uint32_t asks(unsigned int i, uint32_t id, const void *payload, size_t size)
{
	uint32_t err;

	rm_client_as(vm[i].vmid);
	err = rm_ask(id, payload, size);
	rm_client_as(0);
	return err;
}

/* Waiting notifications of a guest with this id; its last one's payload stays in client.note. */
static unsigned int told(unsigned int i, uint32_t id)
{
	unsigned int count = 0;

	rm_client_forget();
	rm_client_as(vm[i].vmid);
	rm_client_drain();
	rm_client_as(0);
	for (unsigned int n = 0; n < client.notes; n++)
		count += client.note[n].id == id;
	return count;
}

static void a_guest_asks_about_itself(void **state)
{
	static const struct tree_options o = { .rm_rpc = true };
	struct gh_rm_vmid self = { 0 };

	(void)state;
	up(0, &o);
	assert_int_equal(asks(0, GH_RM_VM_GET_VMID, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), vm[0].vmid);
	assert_int_equal(asks(0, GH_RM_VM_GET_OWNER, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_VMID_PRIMARY);
	assert_int_equal(asks(0, GH_RM_VM_GET_STATE, &self, 4), GH_RM_OK);
	assert_int_equal(asks(0, GH_RM_VM_ALLOCATE, &self, 4), GH_RM_ERROR_DENIED);
	assert_int_equal(asks(0, GH_RM_VM_GET_PEERS, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 1);
	assert_int_equal(rm_reply_u32(4), GH_VMID_PRIMARY);
	assert_int_equal(asks(0, GH_RM_VM_SET_CRASH_MSG, "\3\0\0\0abc", 8), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_CRASH_MSG, vm[0].vmid), GH_RM_OK);
	assert_memory_equal(client.reply, "\3\0\0\0abc", 8);
	assert_int_equal(rm_stop(vm[0].vmid, 0), GH_RM_OK);
	assert_int_equal(told(0, GH_RM_NOTIFY_VM_SHUTDOWN), 1);
	/* It ends itself: the owner hears why, and the request has no reply that anyone could take. */
	rm_client_forget();
	asks(0, GH_RM_VM_EXIT, "\1\0\3", 4);
	rm_client_drain();
	assert_true(fake_vm(vm[0].vmid)->killed);
	assert_int_equal(rm_unmake(&vm[0]), GH_RM_OK);
}

static void a_guest_manages_no_vm(void **state)
{
	static const uint32_t ids[] = { GH_RM_VM_START, GH_RM_VM_DEALLOCATE, GH_RM_VM_INIT };

	(void)state;
	up(0, &one);
	up(1, &two);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (unsigned int n = 0; n < 2; n++)
			assert_int_equal(asks(0, ids[i], &(struct gh_rm_vmid){ .vmid = vm[n].vmid },
					      4),
					 GH_RM_ERROR_DENIED);
	assert_int_equal(asks(0, GH_RM_VM_RESET, &(struct gh_rm_vmid){ .vmid = vm[1].vmid }, 4),
			 GH_RM_ERROR_VMID_INVALID);
	assert_int_equal(asks(0, GH_RM_MEM_RECLAIM,
			      &(struct gh_rm_mem_handle){ .handle = vm[1].handle }, 8),
			 GH_RM_ERROR_DENIED);
	down(0);
	down(1);
}

static void peers_meet_in_either_order(void **state)
{
	(void)state;
	for (unsigned int first = 0; first < 2; first++) {
		up(first, first ? &two : &one);
		up(!first, first ? &one : &two);
		/* A doorbell and two queues, not two of each. */
		assert_int_equal(fake.objects, 3);
		down(first);
		/* The other one keeps its ends, and a successor finds them. */
		assert_int_equal(fake.objects, 3);
		up(first, first ? &two : &one);
		assert_int_equal(fake.objects, 3);
		down(!first);
		down(first);
		assert_int_equal(fake.objects, 0);
	}
}

static void strangers_do_not_meet(void **state)
{
	struct tree_options other = two;

	(void)state;
	other.peer = "vm-name:someone-else";
	up(0, &one);
	up(1, &other);
	assert_int_equal(fake.objects, 6);
	down(0);
	down(1);
}

static void peers_hear_of_each_other(void **state)
{
	(void)state;
	up(0, &one);
	told(0, 0);
	up(1, &two);
	assert_true(told(0, GH_RM_NOTIFY_VM_STATUS) >= 2);
	assert_int_equal(asks(0, GH_RM_VM_GET_STATE, &(struct gh_rm_vmid){ .vmid = vm[1].vmid }, 4),
			 GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_RM_VM_STATE_RUNNING);
	down(1);
	assert_true(told(0, GH_RM_NOTIFY_VM_STATUS) >= 2);
	down(0);
}

#define DONE	   GH_RM_MEM_ACCEPT_DONE
#define CONTIGUOUS GH_RM_MEM_ACCEPT_CONTIGUOUS

/* Ranges of a page each, from 64 KiB to 64 KiB. */
static uint32_t accept_pages(uint32_t handle, uint8_t flags, uint64_t ipa, unsigned int pages)
{
	struct {
		struct gh_rm_mem_accept head;
		struct gh_rm_list acl, sgl_head;
		struct gh_rm_sgl sgl[3];
	} __attribute__((packed)) m = {
		.head = { .handle = handle, .trans_type = GH_RM_MEM_TRANS_SHARE, .flags = flags },
		.sgl_head.count = (uint16_t)pages,
	};

	for (unsigned int i = 0; i < pages; i++)
		m.sgl[i] = (struct gh_rm_sgl){ ipa + i * 0x10000, 0x1000 };
	return asks(0, GH_RM_MEM_ACCEPT, &m, sizeof(m) - (3 - pages) * sizeof(m.sgl[0]));
}

static uint32_t accept_for(uint16_t vmid, uint32_t handle, uint64_t ipa, uint64_t size)
{
	struct {
		struct gh_rm_mem_accept head;
		struct gh_rm_list acl, sgl_head;
		struct gh_rm_sgl sgl;
	} __attribute__((packed)) m = {
		.head = { .handle = handle, .trans_type = GH_RM_MEM_TRANS_SHARE, .flags = DONE },
		.sgl_head = { 1, vmid },
		.sgl = { ipa, size },
	};

	return asks(0, GH_RM_MEM_ACCEPT, &m, sizeof(m));
}

static uint32_t accept(uint32_t handle, uint64_t ipa, uint64_t size)
{
	return accept_for(0, handle, ipa, size);
}

/* Whether the guest has these pages there, from 64 KiB to 64 KiB. */
static bool has_pages(uint64_t ipa, pa_t pa, unsigned int pages)
{
	unsigned int rights, there = 0;
	uint64_t left;
	pa_t at;

	for (unsigned int i = 0; i < pages; i++)
		there += hyp_vm_translate(fake_vm(vm[0].vmid), ipa + i * 0x10000, &at, &rights,
					  &left) &&
			 at == pa + i * 0x1000;
	return pages && there == pages;
}

static void a_guest_accepts_in_pieces(void **state)
{
	static const struct tree_options o = { .rm_rpc = true };
	const uint64_t at = 0x200000000;
	struct gh_rm_mem_handle release;
	uint32_t handle;

	(void)state;
	up(0, &o);
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, vm[0].vmid, PARCEL_PA, 0x3000, &handle),
			 GH_RM_OK);
	release = (struct gh_rm_mem_handle){ .handle = handle };
	/* Three ranges in one message; in two. Nothing is mapped before the last one is told. */
	assert_int_equal(accept_pages(handle, DONE, at, 3), GH_RM_OK);
	assert_true(has_pages(at, PARCEL_PA, 3));
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_OK);
	for (unsigned int i = 0; i < 3; i++)
		assert_false(has_pages(at + i * 0x10000, PARCEL_PA + i * 0x1000, 1));
	assert_int_equal(accept_pages(handle, 0, at, 2), GH_RM_OK);
	assert_false(has_pages(at, PARCEL_PA, 1));
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_ERROR_MEM_RELEASED);
	assert_int_equal(accept_pages(handle, DONE, at + 0x20000, 1), GH_RM_OK);
	assert_true(has_pages(at, PARCEL_PA, 3));
	assert_int_equal(accept_pages(handle, DONE, at, 3), GH_RM_ERROR_DENIED);
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_OK);
	/* The guest begins, and leaves the rest to RM. */
	assert_int_equal(accept_pages(handle, 0, at, 1), GH_RM_OK);
	assert_int_equal(accept_pages(handle, DONE, 0, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 1);
	assert_true(has_pages(at, PARCEL_PA, 1));
	assert_true(has_pages(rm_reply_u32(4) | (uint64_t)rm_reply_u32(8) << 32, PARCEL_PA + 0x1000,
			      1));
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_OK);
	/* Too little, too much, twice the same place, not contiguous: as if nothing had been said. */
	assert_int_equal(accept_pages(handle, DONE, at, 2), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(accept_pages(handle, 0, at, 2), GH_RM_OK);
	assert_int_equal(accept_pages(handle, DONE, at, 2), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(accept_pages(handle, 0, at, 1), GH_RM_OK);
	assert_int_equal(accept_pages(handle, DONE, at, 2), GH_RM_ERROR_MAP_FAILED);
	assert_int_equal(accept_pages(handle, DONE | CONTIGUOUS, at, 3),
			 GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(accept_for(vm[0].vmid, handle, at, 0x3000), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_false(has_pages(at, PARCEL_PA, 1));
	/* What was begun holds nobody up. */
	assert_int_equal(accept_pages(handle, 0, at, 2), GH_RM_OK);
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, vm[0].vmid, PARCEL_PA, 0x3000, &handle),
			 GH_RM_OK);
	assert_int_equal(accept_pages(handle, 0, at, 3), GH_RM_OK);
	down(0);
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
}

static void a_guest_uses_too_many_ranges(void **state)
{
	static const struct tree_options o = { .rm_rpc = true };
	uint32_t handle;

	(void)state;
	up(0, &o);
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, vm[0].vmid, PARCEL_PA,
				 (MEMPARCEL_PLACES_MAX + 1) * 0x1000, &handle),
			 GH_RM_OK);
	for (unsigned int i = 0; i < MEMPARCEL_PLACES_MAX; i++)
		assert_int_equal(accept_pages(handle, 0, 0x200000000 + i * 0x10000, 1), GH_RM_OK);
	assert_int_equal(accept_pages(handle, DONE, 0x300000000, 1), GH_RM_ERROR_NORESOURCE);
	down(0);
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
}

static void a_guest_accepts_and_releases(void **state)
{
	static const struct tree_options o = { .rm_rpc = true };
	struct gh_rm_mem_handle release;
	unsigned int rights;
	uint32_t handle;
	uint64_t left;
	pa_t pa;

	(void)state;
	up(0, &o);
	assert_int_equal(rm_give(GH_RM_MEM_SHARE, vm[0].vmid, PARCEL_PA, 0x2000, &handle),
			 GH_RM_OK);
	release = (struct gh_rm_mem_handle){ .handle = handle };
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_ERROR_MEM_RELEASED);
	assert_int_equal(accept(handle, 0x200000000, 0x1000), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(accept(handle, 0x200000001, 0x2000), GH_RM_ERROR_ARGUMENT_INVALID);
	assert_int_equal(accept(handle, 0x80000000, 0x2000), GH_RM_ERROR_MAP_FAILED);
	assert_int_equal(accept(handle, 0xfffffff000, 0x2000), GH_RM_ERROR_MAP_FAILED);
	assert_int_equal(accept(handle, 0x200000000, 0x2000), GH_RM_OK);
	assert_true(hyp_vm_translate(fake_vm(vm[0].vmid), 0x200000000, &pa, &rights, &left));
	assert_int_equal(pa, PARCEL_PA);
	assert_int_equal(rm_reclaim(handle), GH_RM_ERROR_MEM_INUSE);
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_OK);
	assert_false(hyp_vm_translate(fake_vm(vm[0].vmid), 0x200000000, &pa, &rights, &left));
	assert_int_equal(rm_reclaim(handle), GH_RM_OK);
	/* What it runs in it cannot give away. */
	release.handle = vm[0].handle;
	assert_int_equal(asks(0, GH_RM_MEM_RELEASE, &release, 8), GH_RM_ERROR_DENIED);
	down(0);
}

static void a_guest_owns_no_memory(void **state)
{
	static const struct tree_options o = { .rm_rpc = true };

	(void)state;
	up(0, &o);
	rm_client_as(vm[0].vmid);
	assert_int_equal(rm_give(GH_RM_MEM_LEND, GH_VMID_PRIMARY, PARCEL_PA, 0x1000, NULL),
			 GH_RM_ERROR_MEM_INVALID);
	rm_client_as(0);
	assert_true(fake_primary_has(PARCEL_PA, 7));
	down(0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, boot, whole)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_asks_about_itself),    TEST(a_guest_manages_no_vm),
		TEST(peers_meet_in_either_order),   TEST(strangers_do_not_meet),
		TEST(peers_hear_of_each_other),	    TEST(a_guest_accepts_and_releases),
		TEST(a_guest_owns_no_memory),	    TEST(a_guest_accepts_in_pieces),
		TEST(a_guest_uses_too_many_ranges),
	};

	return cmocka_run_group_tests_name("rm_vdev", tests, NULL, NULL);
}
