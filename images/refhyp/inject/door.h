/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The door of fault injection: hypercalls of the primary that only the build for tests answers (refhyp-test.elf; another
 * answers GH_ERROR_UNIMPLEMENTED). Numbers only, so that a test of any kind can include it. docs/REFHYP.md explains them.
 */
#ifndef REFHYP_INJECT_DOOR_H
#define REFHYP_INJECT_DOOR_H

/* SMCCC function identifiers; HVC #0, arguments in x1 and up, x0 is the error (enum gh_error). */
#define INJECT_HELLO 0xc600bf00u /* -> x1 INJECT_VERSION, x2 INJECT_RULES */
#define INJECT_ARM \
	0xc600bf01u /* x1 kind, x2 which, x3 first, x4 times, x5 action, x6 value -> x1 rule */
#define INJECT_QUERY \
	0xc600bf02u /* x1 rule -> x1 seen, x2 fired, x3 which fired last, x4 its sequence number */
#define INJECT_CLEAR   0xc600bf03u /* forgets all rules; x1: 0 sends what is kept back, 1 drops it */
#define INJECT_RELEASE 0xc600bf04u /* sends what is kept back */
#define INJECT_SEND    0xc600bf05u /* x1 buffer, x2 size: one raw packet from the resource manager */
#define INJECT_PANIC \
	0xc600bf06u /* the hypervisor panics; x1, unless 0, is an address that it writes to first */

#define INJECT_CALL_FIRST 0x3f00u /* the first of them as a call number */
#define INJECT_VERSION	  1u
#define INJECT_RULES	  16u
#define INJECT_ANY	  0xffffffffu

/* What a rule is about: requests and replies are counted by message id, hypercalls by number (0x1c: receive). */
#define INJECT_KIND_CALL	 0u
#define INJECT_KIND_REQUEST	 1u
#define INJECT_KIND_NOTIFICATION 2u

/*
 * `first`: 1 is the next one of its kind; `times`: how many from there on, 0 for all. What it does to them; "value" is x6.
 * The first rule that fits and whose turn it is acts; every rule that fits counts.
 */
#define INJECT_COUNT 0u /* nothing */
/* Hypercalls and requests. */
#define INJECT_FAIL 1u /* not done; answered with the error in value */
#define INJECT_LIE  2u /* done, but answered with the error in value */
#define INJECT_DELAY \
	3u /* hypercall: done value microseconds later; message: sent value milliseconds later */
/* Hypercalls. */
#define INJECT_RESULT 4u /* done; result register value >> 56 becomes the low 56 bits of value */
/* Replies (a request's rule) and notifications. */
#define INJECT_DROP  5u	 /* never sent */
#define INJECT_HOLD  6u	 /* sent when INJECT_RELEASE or INJECT_CLEAR says so */
#define INJECT_TWICE 7u	 /* sent again right behind itself */
#define INJECT_SEQ   8u	 /* value is added to its sequence number */
#define INJECT_ID    9u	 /* value is its message id */
#define INJECT_CUT   10u /* at most value bytes of payload (a reply's error word counts) are sent */
#define INJECT_PAD   11u /* value bytes of 0xa5 are appended */
#define INJECT_PATCH 12u /* the payload word at offset value >> 32 becomes the low half of value */
#define INJECT_PARTS 13u /* it announces value more fragments than come */
#define INJECT_API   14u /* value is the first byte of its header */

#endif
