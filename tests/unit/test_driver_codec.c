// SPDX-License-Identifier: Apache-2.0
/*
 * The driver's codec of the resource manager's messages, built for the host: bytes against the fact
 * sheet's examples, and what no resource manager would send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/rm_codec.h"

static struct gh_rm_assembly assembly(void)
{
	static uint8_t data[GH_RM_MESSAGE_MAX];

	return (struct gh_rm_assembly){ .data = data };
}

static bool take(struct gh_rm_assembly *rx, const uint8_t *bytes, size_t size)
{
	/* At the very end of its memory, so that a read behind it is seen. */
	uint8_t *copy = malloc(size ?: 1);
	bool whole;

	memcpy(copy, bytes, size);
	whole = gh_rm_assemble(rx, copy, size);
	free(copy);
	return whole;
}

#define TAKE(rx, ...) take(rx, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static void packets_of_the_fact_sheet(void **state)
{
	static const uint8_t one[] = { 0x21, 0x01, 0x07, 0, 0x0b, 0, 0, 0x56 };
	static const uint8_t first[] = { 0x21, 0x09, 0x07, 0, 0x0b, 0, 0, 0x56 };
	static const uint8_t more[] = { 0x21, 0x08, 0x07, 0, 0x0b, 0, 0, 0x56 };
	uint8_t payload[500], packet[GH_RM_MSG_SIZE];
	struct gh_rm_frame frame = { 0x5600000b, 7, payload, 24 };

	(void)state;
	memset(payload, 0x5a, sizeof(payload));
	assert_int_equal(gh_rm_packet_count(24), 1);
	assert_int_equal(gh_rm_packet(&frame, 0, packet), 32);
	assert_memory_equal(packet, one, sizeof(one));
	frame.size = 500;
	assert_int_equal(gh_rm_packet_count(500), 3);
	assert_int_equal(gh_rm_packet(&frame, 0, packet), 240);
	assert_memory_equal(packet, first, sizeof(first));
	assert_int_equal(gh_rm_packet(&frame, 1, packet), 240);
	assert_memory_equal(packet, more, sizeof(more));
	assert_int_equal(gh_rm_packet(&frame, 2, packet), 8 + 36);
	assert_memory_equal(packet, more, sizeof(more));
}

static void packet_counts(void **state)
{
	(void)state;
	assert_int_equal(gh_rm_packet_count(0), 1);
	assert_int_equal(gh_rm_packet_count(232), 1);
	assert_int_equal(gh_rm_packet_count(233), 2);
	assert_int_equal(gh_rm_packet_count(GH_RM_REQUEST_MAX), 62);
}

static void round_trip(void **state)
{
	uint8_t payload[GH_RM_REQUEST_MAX], packet[GH_RM_MSG_SIZE];
	struct gh_rm_assembly rx = assembly();
	size_t sizes[] = { 0, 1, 231, 232, 233, 464, 5000, sizeof(payload) };
	size_t i, at;

	(void)state;
	for (at = 0; at < sizeof(payload); at++)
		payload[at] = (uint8_t)(at * 31);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct gh_rm_frame frame = { 0x51000012, (uint16_t)i, payload, sizes[i] };
		unsigned int n, count = gh_rm_packet_count(sizes[i]);

		for (n = 0; n < count; n++) {
			size_t size = gh_rm_packet(&frame, n, packet);

			assert_int_equal(take(&rx, packet, size), n == count - 1);
		}
		assert_int_equal(rx.id, 0x51000012);
		assert_int_equal(rx.seq, i);
		assert_int_equal(rx.size, sizes[i]);
		assert_memory_equal(rx.data, payload, sizes[i]);
	}
}

static void packets_that_are_none(void **state)
{
	struct gh_rm_assembly rx = assembly();
	uint8_t large[GH_RM_MSG_SIZE + 1] = { 0x21, 0x02 };

	(void)state;
	assert_false(take(&rx, large, 0));
	assert_false(TAKE(&rx, 0x21, 0x02, 0, 0, 0, 0, 0));
	assert_false(TAKE(&rx, 0x22, 0x02, 0, 0, 0, 0, 0, 0));
	assert_false(TAKE(&rx, 0x11, 0x02, 0, 0, 0, 0, 0, 0));
	assert_false(TAKE(&rx, 0x21, 63 << 2 | 2, 0, 0, 0, 0, 0, 0));
	assert_false(take(&rx, large, sizeof(large)));
	/* A continuation of nothing. */
	assert_false(TAKE(&rx, 0x21, 0x04, 0, 0, 0, 0, 0, 0));
	assert_true(TAKE(&rx, 0x21, 0x02, 0, 0, 0, 0, 0, 0));
	assert_int_equal(rx.size, 0);
}

static void a_foreign_packet_between(void **state)
{
	struct gh_rm_assembly rx = assembly();

	(void)state;
	assert_false(TAKE(&rx, 0x21, 0x06, 1, 0, 9, 0, 0, 0, 'a'));
	assert_false(TAKE(&rx, 0x21, 0x04, 2, 0, 9, 0, 0, 0, 'x')); /* another sequence */
	assert_false(TAKE(&rx, 0x21, 0x04, 1, 0, 8, 0, 0, 0, 'x')); /* another message */
	assert_false(TAKE(&rx, 0x21, 0x08, 1, 0, 9, 0, 0, 0, 'x')); /* another count */
	assert_true(TAKE(&rx, 0x21, 0x04, 1, 0, 9, 0, 0, 0, 'b'));
	assert_int_equal(rx.size, 2);
	assert_memory_equal(rx.data, "ab", 2);
	/* It is over: one more is a continuation of nothing. */
	assert_false(TAKE(&rx, 0x21, 0x04, 1, 0, 9, 0, 0, 0, 'c'));
}

static void a_new_message_discards_the_old(void **state)
{
	struct gh_rm_assembly rx = assembly();

	(void)state;
	assert_false(TAKE(&rx, 0x21, 0x06, 1, 0, 9, 0, 0, 0, 'a'));
	assert_true(TAKE(&rx, 0x21, 0x03, 5, 0, 7, 0, 0, 0, 'n'));
	assert_int_equal(rx.type, GH_RM_TYPE_NOTIFICATION);
	assert_int_equal(rx.id, 7);
	assert_memory_equal(rx.data, "n", 1);
}

static void errors(void **state)
{
	(void)state;
	assert_int_equal(gh_rm_error_to_errno(0), 0);
	assert_int_equal(gh_rm_error_to_errno(0xffffffff), -EOPNOTSUPP);
	assert_int_equal(gh_rm_error_to_errno(1), -ENOMEM);
	assert_int_equal(gh_rm_error_to_errno(2), -ENODEV);
	assert_int_equal(gh_rm_error_to_errno(3), -EPERM);
	assert_int_equal(gh_rm_error_to_errno(4), -EINVAL);
	assert_int_equal(gh_rm_error_to_errno(5), -EBUSY);
	assert_int_equal(gh_rm_error_to_errno(0x11), -EINVAL);
	assert_int_equal(gh_rm_error_to_errno(0x12), -EBADMSG);
	assert_int_equal(gh_rm_error_to_errno(0x14), -EBADMSG);
}

static void words(void **state)
{
	static const uint8_t word[] = { 0x80, 0, 0, 0, 0 };
	uint32_t value = 1;

	(void)state;
	assert_int_equal(gh_rm_decode_word(word, 3, &value), -EBADMSG);
	assert_int_equal(gh_rm_decode_word(word, 5, &value), -EBADMSG);
	assert_int_equal(value, 1);
	assert_int_equal(gh_rm_decode_word(word, 4, &value), 0);
	assert_int_equal(value, 0x80);
}

static void resources(void **state)
{
	/* The fact sheet's example without its error word: vCPU 0, capability 0x1234567890, 970. */
	static const uint8_t reply[48] = { 1,	 0, 0, 0, 4, 0, 0,    0,    0,	  0,
					   0,	 0, 0, 0, 0, 0, 0x90, 0x78, 0x56, 0x34,
					   0x12, 0, 0, 0, 0, 0, 0,    0,    0xca, 3 };
	static const uint8_t many[4] = { 0xff, 0xff, 0xff, 0xff };
	const struct gh_rm_hyp_resource *records = NULL;
	uint32_t count = 9;

	(void)state;
	assert_int_equal(gh_rm_decode_resources(reply, 0, &records, &count), -EBADMSG);
	assert_int_equal(gh_rm_decode_resources(reply, 3, &records, &count), -EBADMSG);
	assert_int_equal(gh_rm_decode_resources(reply, 4, &records, &count), -EBADMSG);
	assert_int_equal(gh_rm_decode_resources(reply, 47, &records, &count), -EBADMSG);
	assert_int_equal(gh_rm_decode_resources(many, 4, &records, &count), -EBADMSG);
	assert_int_equal(gh_rm_decode_resources(reply, 48, &records, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(records[0].type, GH_RM_RES_VCPU);
	assert_int_equal(records[0].capid_low, 0x34567890);
	assert_int_equal(records[0].capid_high, 0x12);
	assert_int_equal(records[0].virq, 970);
}

static void events(void **state)
{
	static const uint8_t status[] = { 0x80, 0, 0, 0, 3, 0, 0, 0 };
	static const uint8_t off[] = { 0x80, 0, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t reset2[] = { 0x81, 0, 3, 0, 16, 0, 0, 0, 1,  2,  3,  4,
					  5,	6, 7, 8, 9,  9, 9, 9, 10, 10, 10, 10 };
	struct gh_rm_event event;

	(void)state;
	assert_true(gh_rm_decode_event(GH_RM_NOTIFY_VM_STATUS, status, 8, &event));
	assert_int_equal(event.vmid, 0x80);
	assert_false(event.exited);
	assert_int_equal(event.state, GH_RM_VM_STATE_RUNNING);
	assert_false(gh_rm_decode_event(GH_RM_NOTIFY_VM_STATUS, status, 7, &event));
	assert_true(gh_rm_decode_event(GH_RM_NOTIFY_VM_EXITED, off, 12, &event));
	assert_true(event.exited);
	assert_int_equal(event.exit_info.type, GH_RM_EXIT_PSCI_SYSTEM_OFF);
	assert_int_equal(event.exit_info.reason_size, 4);
	/* More announced than there is: what there is. */
	assert_true(gh_rm_decode_event(GH_RM_NOTIFY_VM_EXITED, reset2, 10, &event));
	assert_int_equal(event.exit_info.reason_size, 16);
	assert_memory_equal(event.exit_info.reason, "\1\2\0\0\0\0\0\0", 8);
	/* More than a VMM is told: the first eight bytes. */
	assert_true(gh_rm_decode_event(GH_RM_NOTIFY_VM_EXITED, reset2, 24, &event));
	assert_memory_equal(event.exit_info.reason, "\1\2\3\4\5\6\7\10", 8);
	assert_false(gh_rm_decode_event(GH_RM_NOTIFY_VM_EXITED, off, 7, &event));
	assert_false(gh_rm_decode_event(GH_RM_NOTIFY_MEM_ACCEPTED, off, 12, &event));
}

static void memory_of_the_fact_sheet(void **state)
{
	static const uint8_t lend[40] = {
		[8] = 1, [12] = 0x80, [14] = 7, [16] = 1, [23] = 0x90, [30] = 1
	};
	static const uint8_t share[44] = {
		[8] = 2, [12] = 0x80, [14] = 7, [16] = 3, [18] = 7, [20] = 1, [27] = 0x90, [34] = 1
	};
	struct gh_mem_range range = { 0x90000000, 0x10000 };
	struct gh_parcel parcel = {
		.lend = true, .guest_rights = 7, .range_count = 1, .ranges = &range
	};
	uint8_t *buffer = malloc(GH_RM_MEM_SIZE);

	(void)state;
	assert_int_equal(gh_rm_encode_give(&parcel, 0x80, 3, buffer), sizeof(lend));
	assert_memory_equal(buffer, lend, sizeof(lend));
	parcel.lend = false;
	assert_int_equal(gh_rm_encode_give(&parcel, 0x80, 3, buffer), sizeof(share));
	assert_memory_equal(buffer, share, sizeof(share));
	assert_int_equal(gh_rm_encode_lookup(&parcel, 0x80, 3, buffer), sizeof(share));
	assert_memory_equal(buffer, share, sizeof(share));
	free(buffer);
}

static void memory_in_parts(void **state)
{
	struct gh_mem_range *ranges = calloc(1100, sizeof(*ranges));
	struct gh_parcel parcel = {
		.lend = true, .handle = 5, .guest_rights = 7, .range_count = 1100, .ranges = ranges
	};
	uint8_t *buffer = malloc(GH_RM_MEM_SIZE);
	size_t next;

	(void)state;
	assert_int_equal(gh_rm_encode_give(&parcel, 0x80, 3, buffer), 8 + 8 + 4 + 512 * 16 + 4);
	assert_int_equal(buffer[2], GH_RM_MEM_SHARE_APPEND);
	next = gh_rm_given_first(&parcel);
	assert_int_equal(next, 512);
	assert_int_equal(gh_rm_encode_append(&parcel, next, &next, buffer), 8 + 4 + 512 * 16);
	assert_int_equal(buffer[0], 5);
	assert_int_equal(buffer[4], 0);
	assert_int_equal(next, 1024);
	assert_int_equal(gh_rm_encode_append(&parcel, next, &next, buffer), 8 + 4 + 76 * 16);
	assert_int_equal(buffer[4], GH_RM_MEM_APPEND_DONE);
	assert_int_equal(next, 1100);
	/* As many as one message takes: nothing is left to append. */
	parcel.range_count = 512;
	gh_rm_encode_give(&parcel, 0x80, 3, buffer);
	assert_int_equal(buffer[2], 0);
	free(buffer);
	free(ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_the_fact_sheet),
		cmocka_unit_test(packet_counts),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(packets_that_are_none),
		cmocka_unit_test(a_foreign_packet_between),
		cmocka_unit_test(a_new_message_discards_the_old),
		cmocka_unit_test(errors),
		cmocka_unit_test(words),
		cmocka_unit_test(resources),
		cmocka_unit_test(events),
		cmocka_unit_test(memory_of_the_fact_sheet),
		cmocka_unit_test(memory_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
