/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resource manager's framing: headers, fragments both ways, what is dropped, and a client that
 * does not read.
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
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_free();
	return 0;
}

/* One message as it lies in the queue, byte by byte. */
static void expect_message(const uint8_t *bytes, size_t size)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	assert_int_equal(fake_take(msg), size);
	assert_memory_equal(msg, bytes, size);
}

static void allocate_in_bytes(void **state)
{
	static const uint8_t request[] = { 0x21, 0x01, 0x07, 0x00, 0x01, 0x00,
					   0x00, 0x56, 0,    0,	   0,	 0 };
	static const uint8_t reply[] = { 0x21, 0x02, 0x07, 0x00, 0x01, 0x00, 0x00, 0x56,
					 0,    0,    0,	   0,	 0x80, 0,    0,	   0 };

	(void)state;
	rm_receive(request, sizeof(request));
	expect_message(reply, sizeof(reply));
	assert_int_equal(fake.queue.count, 0);
}

static void short_and_foreign_packets_are_dropped(void **state)
{
	static const uint8_t good[] = { 0x21, 0x01, 1, 0, 0x24, 0, 0, 0x56 };
	uint8_t msg[GH_RM_MSG_SIZE + 8];

	(void)state;
	memcpy(msg, good, sizeof(good));
	for (size_t size = 0; size < 8; size++)
		rm_receive(msg, size);
	rm_receive(msg, GH_RM_MSG_SIZE + 1);
	for (unsigned int version = 0; version < 256; version++) {
		msg[0] = (uint8_t)version;
		if (version != 0x21)
			rm_receive(msg, 8);
	}
	msg[0] = 0x21;
	msg[1] = 63 << 2 | 1; /* more continuations than can be */
	rm_receive(msg, 8);
	for (unsigned int type = 0; type < 4; type++) {
		msg[1] = (uint8_t)type;
		if (type != GH_RM_TYPE_REQUEST)
			rm_receive(msg, 8);
	}
	assert_int_equal(fake.queue.count, 0);
	rm_receive(good, sizeof(good));
	assert_int_equal(fake.queue.count, 1);
}

static size_t crash_fragment(uint8_t *msg, unsigned int type, uint16_t seq, size_t part)
{
	struct gh_rm_header h = {
		.api = 0x21,
		.type = (uint8_t)(2 << 2 | type),
		.seq = seq,
		.id = GH_RM_VM_SET_CRASH_MSG,
	};

	memset(msg, 'x', GH_RM_MSG_SIZE);
	memcpy(msg, &h, sizeof(h));
	if (type == GH_RM_TYPE_REQUEST)
		memcpy(msg + 8, &(struct gh_rm_list){ .count = 496 }, 4);
	return 8 + part;
}

/* 500 bytes: 232 + 232 + 36, as in the document's example. */
static void three_fragments_are_one_request(void **state)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	(void)state;
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_REQUEST, 5, 232));
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 232));
	assert_int_equal(fake.queue.count, 0);
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 36));
	rm_client_drain();
	assert_int_equal(client.error, GH_RM_OK);
	assert_int_equal(client.size, 0);
}

static void foreign_continuation_is_skipped(void **state)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	(void)state;
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 232));
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_REQUEST, 5, 232));
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 6, 232));
	crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 232);
	msg[1] = 3 << 2; /* another count */
	rm_receive(msg, 240);
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 232));
	assert_int_equal(fake.queue.count, 0);
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 36));
	assert_int_equal(fake.queue.count, 1);
}

static void new_request_discards_an_open_one(void **state)
{
	uint8_t msg[GH_RM_MSG_SIZE];

	(void)state;
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_REQUEST, 5, 232));
	assert_int_equal(rm_ask(GH_RM_VM_GET_VMID, NULL, 0), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), GH_VMID_PRIMARY);
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 232));
	rm_receive(msg, crash_fragment(msg, GH_RM_TYPE_CONTINUATION, 5, 36));
	assert_int_equal(fake.queue.count, 0);
}

static void largest_request_fits(void **state)
{
	static uint8_t payload[63 * 232];

	(void)state;
	assert_int_equal(rm_ask(0x12345678, payload, sizeof(payload)),
			 (uint32_t)GH_RM_ERROR_UNIMPLEMENTED);
	assert_int_equal(client.size, 0);
}

static void wrong_lengths_are_refused(void **state)
{
	static const uint32_t vmid_requests[] = {
		GH_RM_VM_ALLOCATE, GH_RM_VM_DEALLOCATE, GH_RM_VM_INIT,	 GH_RM_VM_START,
		GH_RM_VM_RESET,	   GH_RM_VM_GET_STATE,	GH_RM_VM_GET_ID, GH_RM_VM_GET_HYP_RESOURCES,
	};
	uint8_t payload[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(vmid_requests) / sizeof(vmid_requests[0]); i++) {
		assert_int_equal(rm_ask(vmid_requests[i], payload, 0), GH_RM_ERROR_INVALID);
		assert_int_equal(rm_ask(vmid_requests[i], payload, 2), GH_RM_ERROR_INVALID);
		assert_int_equal(rm_ask(vmid_requests[i], payload, 5), GH_RM_ERROR_INVALID);
	}
	assert_int_equal(rm_ask(GH_RM_VM_GET_VMID, payload, 4), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask(GH_RM_VM_CONFIG_IMAGE, payload, 39), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask(GH_RM_VM_CONFIG_IMAGE, payload, 41), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask(GH_RM_VM_STOP, payload, 4), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask(GH_RM_MEM_RECLAIM, payload, 4), GH_RM_ERROR_INVALID);
	assert_int_equal(rm_ask(GH_RM_MEM_LEND, payload, 19), GH_RM_ERROR_INVALID);
}

/* Eight in the queue; the ninth reply waits, and a tenth takes its place. */
static void one_reply_waits(void **state)
{
	uint8_t request[] = { 0x21, 0x01, 0, 0, 0x24, 0, 0, 0x56 };
	uint8_t msg[GH_RM_MSG_SIZE];
	unsigned int got = 0;

	(void)state;
	for (uint8_t seq = 1; seq <= 10; seq++) {
		request[2] = seq;
		rm_receive(request, sizeof(request));
	}
	assert_int_equal(fake.queue.count, 8);
	while (fake_take(msg)) {
		got++;
		assert_int_equal(msg[2], got <= 8 ? got : 10);
	}
	assert_int_equal(got, 9);
}

/* Notifications wait in order; the oldest of more than 256 is gone; nothing else is. */
static void notifications_wait(void **state)
{
	uint8_t msg[GH_RM_MSG_SIZE];
	unsigned int notes = 0, replies = 0;

	(void)state;
	for (unsigned int i = 0; i < 300; i++) {
		uint8_t request[8 + 40] = { 0x21, 0x01, 0, 0, 0x09, 0, 0, 0x56, 0x80 };
		const uint8_t reset[] = { 0x21, 0x01, 0, 0, 0x06, 0, 0, 0x56, 0x80, 0, 0, 0 };

		if (i == 0)
			rm_new_vm();
		rm_receive(request, sizeof(request)); /* fails: INIT_FAILED */
		rm_receive(reset, sizeof(reset));     /* RESETTING, RESET */
	}
	assert_int_equal(fake.queue.count, 8);
	while (fake_take(msg)) {
		if ((msg[1] & 3) == GH_RM_TYPE_NOTIFICATION)
			notes++;
		else
			replies++;
	}
	assert_in_range(notes, 256, 256 + 8);
	assert_in_range(replies, 1, 9);
	assert_int_equal(msg[8 + 4], GH_RM_VM_STATE_RESET); /* the last word is the last state */
}

/* A reply of several fragments stays whole when the client reads slowly. */
static void long_reply_in_fragments(void **state)
{
	struct rm_test_vm vm = { .pa = FAKE_RAM_BASE, .size = 0x200000 };
	const struct tree_options o = { .bells = 40 };

	(void)state;
	assert_int_equal(rm_make(&vm, GH_RM_MEM_LEND, &o), GH_RM_OK);
	assert_int_equal(rm_ask_vmid(GH_RM_VM_GET_HYP_RESOURCES, vm.vmid), GH_RM_OK);
	assert_int_equal(rm_reply_u32(0), 42);
	assert_int_equal(client.size, 4 + 42 * 44);
	/* the last record came through: the label of bell 39 */
	assert_int_equal(rm_reply_u32(4 + 41 * 44 + 8), 139);
	assert_int_equal(rm_unmake(&vm), GH_RM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(allocate_in_bytes, boot),
		cmocka_unit_test_setup(short_and_foreign_packets_are_dropped, boot),
		cmocka_unit_test_setup(three_fragments_are_one_request, boot),
		cmocka_unit_test_setup(foreign_continuation_is_skipped, boot),
		cmocka_unit_test_setup(new_request_discards_an_open_one, boot),
		cmocka_unit_test_setup(largest_request_fits, boot),
		cmocka_unit_test_setup(wrong_lengths_are_refused, boot),
		cmocka_unit_test_setup(one_reply_waits, boot),
		cmocka_unit_test_setup(notifications_wait, boot),
		cmocka_unit_test_setup(long_reply_in_fragments, boot),
	};

	return cmocka_run_group_tests_name("rm_rpc", tests, NULL, end);
}
