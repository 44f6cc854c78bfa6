// SPDX-License-Identifier: GPL-2.0-only
/* Section 4.1: packets that are no requests, and requests in pieces. */
#include <linux/slab.h>

#include "rpc.h"
#include "suite.h"

#define REQUEST	     GH_RM_TYPE_REQUEST
#define FRAGMENTS(n) ((n) << GH_RM_FRAGMENTS_SHIFT)

/* Whether a good request gets its reply, and whether anything carried the other number. */
static void only_good_answered(const char *what, u16 bad)
{
	u16 good = next_seq();
	const struct reply *r;

	packet(GH_RM_API, REQUEST, good, GH_RM_VM_GET_VMID, NULL, 0);
	r = await(good, WAIT_MS);
	expect_text(what, "silence, and the next is answered",
		    !r		? "the next is not answered"
		    : seen(bad) ? "an answer"
				: "silence, and the next is answered");
}

static void bad_headers(void)
{
	static const struct {
		u8 api, type;
		const char *why;
	} bad[] = {
		{ 0x20, REQUEST, "version 0" },
		{ 0x22, REQUEST, "version 2" },
		{ 0x2f, REQUEST, "version 15" },
		{ 0x11, REQUEST, "1 header word" },
		{ 0x31, REQUEST, "3 header words" },
		{ 0x01, REQUEST, "0 header words" },
		{ 0x21, REQUEST | FRAGMENTS(63), "63 continuations announced" },
		{ 0x21, GH_RM_TYPE_REPLY, "a reply" },
		{ 0x21, GH_RM_TYPE_NOTIFICATION, "a notification" },
		{ 0x21, GH_RM_TYPE_CONTINUATION, "a continuation of nothing" },
		{ 0x21, GH_RM_TYPE_CONTINUATION | FRAGMENTS(1), "another one" },
	};
	const u8 header[7] = { GH_RM_API, REQUEST };
	unsigned int i;
	u16 seq;

	for (i = 1; i <= sizeof(header); i += 3) {
		packet_send(header, i);
		only_good_answered(say("a packet of %u bytes", i), 0);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		seq = next_seq();
		packet(bad[i].api, bad[i].type, seq, GH_RM_VM_GET_VMID, NULL, 0);
		only_good_answered(say("dropped: %s", bad[i].why), seq);
	}
}

static u32 answer(u16 seq)
{
	const struct reply *r = await(seq, WAIT_MS);

	return r ? r->error : RM_SILENT;
}

/* A crash message of 300 bytes, in two packets; a part of it would have a wrong length. */
#define LONG_TEXT 300

static u8 *long_text(void)
{
	u8 *text = kzalloc(4 + LONG_TEXT, GFP_KERNEL | __GFP_NOFAIL);

	text[0] = (u8)LONG_TEXT;
	text[1] = LONG_TEXT >> 8;
	memset(text + 4, 'x', LONG_TEXT);
	return text;
}

static void pieces(void)
{
	u8 *text = long_text();
	u16 seq, other;

	expect_rm("a request of two packets", GH_RM_OK,
		  rm_call(GH_RM_VM_SET_CRASH_MSG, text, 4 + LONG_TEXT, NULL));

	seq = next_seq();
	packet(GH_RM_API, REQUEST | FRAGMENTS(1), seq, GH_RM_VM_SET_CRASH_MSG, text, 232);
	packet(GH_RM_API, FRAGMENTS(1), seq + 1, GH_RM_VM_SET_CRASH_MSG, text, 72);
	packet(GH_RM_API, FRAGMENTS(1), seq, GH_RM_VM_LOOKUP_NAME, text, 72);
	packet(GH_RM_API, FRAGMENTS(2), seq, GH_RM_VM_SET_CRASH_MSG, text, 72);
	pump();
	packet(GH_RM_API, FRAGMENTS(1), seq, GH_RM_VM_SET_CRASH_MSG, text + 232, 72);
	expect_rm("continuations of another number, id and count are dropped, then the right one",
		  GH_RM_OK, answer(seq));
	next_seq();

	seq = next_seq();
	packet(GH_RM_API, REQUEST | FRAGMENTS(1), seq, GH_RM_VM_SET_CRASH_MSG, text, 232);
	other = request(GH_RM_VM_GET_VMID, NULL, 0);
	expect_rm("a request in the middle of another is answered", GH_RM_OK, answer(other));
	packet(GH_RM_API, FRAGMENTS(1), seq, GH_RM_VM_SET_CRASH_MSG, text + 232, 72);
	only_good_answered("and the interrupted one is lost", seq);

	seq = next_seq();
	packet(GH_RM_API, REQUEST | FRAGMENTS(2), seq, GH_RM_VM_SET_CRASH_MSG, text, 104);
	packet(GH_RM_API, FRAGMENTS(2), seq, GH_RM_VM_SET_CRASH_MSG, text + 104, 100);
	packet(GH_RM_API, FRAGMENTS(2), seq, GH_RM_VM_SET_CRASH_MSG, text + 204, 100);
	expect_rm("packets that are not full, but the last ones of their message", GH_RM_OK,
		  answer(seq));
	kfree(text);
}

static void largest(void)
{
	size_t size = (GH_RM_FRAGMENTS_MAX + 1) * GH_RM_PAYLOAD;
	u8 *data = kzalloc(size, GFP_KERNEL | __GFP_NOFAIL);

	expect_rm("the largest request, 63 packets, of an unknown id",
		  (u32)GH_RM_ERROR_UNIMPLEMENTED, rm_call(0x56000099, data, size, NULL));
	kfree(data);
}

static void reply_header(void)
{
	u16 seq = request(GH_RM_VM_GET_VMID, NULL, 0);
	const struct reply *r = await(seq, WAIT_MS);

	if (!need("a reply", r))
		return;
	expect("the reply's number is the request's", seq, r->seq);
	expect("the reply's id is the request's", GH_RM_VM_GET_VMID, r->id);
	seq = 0xffff;
	packet(GH_RM_API, REQUEST, seq, GH_RM_VM_GET_VMID, NULL, 0);
	expect_rm("number 0xffff", GH_RM_OK, answer(seq));
	seq = 0;
	packet(GH_RM_API, REQUEST, seq, GH_RM_VM_GET_VMID, NULL, 0);
	expect_rm("number 0", GH_RM_OK, answer(seq));
}

void suite_framing(void)
{
	bad_headers();
	pieces();
	largest();
	reply_header();
}
