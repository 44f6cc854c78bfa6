// SPDX-License-Identifier: Apache-2.0
/* Split rings: honest ones, and what a hostile driver can write into them. */
#include "tests/unit/vmm_help.h"

#include "vmm/virtqueue.h"

#define DESC	 (BOOT_RAM_BASE + 0x1000)
#define AVAIL	 (BOOT_RAM_BASE + 0x3000)
#define USED	 (BOOT_RAM_BASE + 0x5000)
#define TABLE	 (BOOT_RAM_BASE + 0x7000)
#define DATA	 (BOOT_RAM_BASE + 0x10000)
#define SIZE	 8u
#define NEXT	 1u
#define WRITE	 2u
#define INDIRECT 4u

struct fixture {
	struct mem mem;
	struct virtqueue q;
	struct virtq_chain chain;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = MEM_NONE;
	assert_int_equal(mem_init(&f->mem, gpa(BOOT_RAM_BASE), 2 * MIB, NULL), 0);
	f->q = (struct virtqueue){ .mem = &f->mem,
				   .desc = gpa(DESC),
				   .avail = gpa(AVAIL),
				   .used = gpa(USED),
				   .size = SIZE };
	assert_int_equal(virtqueue_enable(&f->q), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mem_free(&f->mem);
	free(f);
	return 0;
}

static void put(struct fixture *f, uint64_t at, uint64_t value, unsigned int bytes)
{
	uint8_t *p = mem_at(&f->mem, gpa(at), bytes);

	assert_non_null(p);
	put_le(p, value, bytes);
}

static uint64_t get(struct fixture *f, uint64_t at, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, mem_at(&f->mem, gpa(at), bytes), bytes);
	return value;
}

struct d {
	uint64_t addr;
	uint32_t len;
	unsigned int flags, next;
};

static void put_desc(struct fixture *f, uint64_t table, unsigned int i, struct d d)
{
	put(f, table + 16 * i, d.addr, 8);
	put(f, table + 16 * i + 8, d.len, 4);
	put(f, table + 16 * i + 12, d.flags, 2);
	put(f, table + 16 * i + 14, d.next, 2);
}

/* Makes heads available, and says idx. */
static void offer(struct fixture *f, unsigned int entry, unsigned int head, unsigned int idx)
{
	put(f, AVAIL + 4 + 2 * entry, head, 2);
	put(f, AVAIL + 2, idx, 2);
}

static void test_chain(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 0);
	put_desc(f, DESC, 3, (struct d){ DATA, 16, NEXT, 5 });
	put_desc(f, DESC, 5, (struct d){ DATA + 32, 0, NEXT, 6 });
	put_desc(f, DESC, 6, (struct d){ DATA + 64, 512, NEXT | WRITE, 1 });
	put_desc(f, DESC, 1, (struct d){ DATA + 1024, 1, WRITE, 0 });
	offer(f, 0, 3, 1);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 3);
	assert_int_equal(f->chain.out_count, 1);
	assert_int_equal(f->chain.in_count, 2);
	assert_int_equal(f->chain.out_bytes, 16);
	assert_int_equal(f->chain.in_bytes, 513);
	assert_ptr_equal(f->chain.iov[0].iov_base, mem_at(&f->mem, gpa(DATA), 16));
	assert_ptr_equal(virtq_in(&f->chain)[1].iov_base, mem_at(&f->mem, gpa(DATA + 1024), 1));
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 0);
	assert_int_equal(virtqueue_push(&f->q, 3, 513), 0);
	assert_int_equal(get(f, USED + 2, 2), 1);
	assert_int_equal(get(f, USED + 4, 4), 3);
	assert_int_equal(get(f, USED + 8, 4), 513);
}

/* Indices run over 16 bits many times the ring's size. */
static void test_wrap(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, (struct d){ DATA, 1, 0, 0 });
	for (unsigned int i = 0; i < 0x10000 + 3 * SIZE; i++) {
		offer(f, i % SIZE, 0, i + 1);
		assert_int_equal(virtqueue_pop(&f->q, &f->chain), 1);
		assert_int_equal(virtqueue_push(&f->q, 0, i), 0);
		assert_int_equal(get(f, USED + 2, 2), (i + 1) & 0xffff);
		assert_int_equal(get(f, USED + 4 + 8 * (i % SIZE) + 4, 4), i);
	}
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, (struct d){ TABLE + 1, 48, INDIRECT, 0 });
	put_desc(f, TABLE + 1, 0, (struct d){ DATA, 16, NEXT, 2 });
	put_desc(f, TABLE + 1, 2, (struct d){ DATA + 16, 16, NEXT | WRITE, 1 });
	put_desc(f, TABLE + 1, 1, (struct d){ DATA + 32, 16, WRITE, 0 });
	offer(f, 0, 0, 1);
	/* Never offered, so never accepted. */
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	f->q.indirect = true;
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.out_count, 1);
	assert_int_equal(f->chain.in_count, 2);
}

static void test_indirect_after_direct(void **state)
{
	struct fixture *f = *state;

	f->q.indirect = true;
	put_desc(f, DESC, 0, (struct d){ DATA, 16, NEXT, 1 });
	put_desc(f, DESC, 1, (struct d){ TABLE, 16, INDIRECT, 0 });
	put_desc(f, TABLE, 0, (struct d){ DATA + 16, 16, WRITE, 0 });
	offer(f, 0, 0, 1);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.out_count + f->chain.in_count, 2);
}

static void test_hostile_chains(void **state)
{
	static const struct {
		struct d ring[2], table[2];
	} chains[] = {
		{ .ring = { { DATA, 16, NEXT, 0 } } }, /* its own successor */
		{ .ring = { { DATA, 16, NEXT, 1 }, { DATA, 16, NEXT, 0 } } }, /* two in a ring */
		{ .ring = { { DATA, 0, NEXT, 1 }, { DATA, 0, NEXT, 0 } } },   /* the same, empty */
		{ .ring = { { DATA, 16, NEXT, SIZE } } }, /* outside the table */
		{ .ring = { { DATA, 16, NEXT, 0xffff } } },
		{ .ring = { { 0, 16, 0, 0 } } }, /* no RAM */
		{ .ring = { { BOOT_RAM_BASE - 8, 16, 0, 0 } } },
		{ .ring = { { BOOT_RAM_BASE + 2 * MIB - 8, 16, 0, 0 } } },
		{ .ring = { { DATA, 0xffffffff, 0, 0 } } },
		{ .ring = { { UINT64_MAX - 7, 16, 0, 0 } } }, /* wraps */
		{ .ring = { { DATA, 16, NEXT | WRITE, 1 },
			    { DATA, 16, 0, 0 } } }, /* out after in */
		{ .ring = { { TABLE, 16, INDIRECT | NEXT, 1 }, { DATA, 16, 0, 0 } } },
		{ .ring = { { TABLE, 0, INDIRECT, 0 } } },  /* no entry */
		{ .ring = { { TABLE, 24, INDIRECT, 0 } } }, /* one and a half */
		{ .ring = { { TABLE, 0xfffffff0, INDIRECT, 0 } } },
		{ .ring = { { TABLE, 257 * 16, INDIRECT, 0 } } }, /* more than any queue */
		{ .ring = { { BOOT_RAM_BASE + 2 * MIB - 8, 16, INDIRECT, 0 } } },
		{ .ring = { { TABLE, 16, INDIRECT, 0 } }, .table = { { TABLE, 16, INDIRECT, 0 } } },
		{ .ring = { { TABLE, 32, INDIRECT, 0 } }, .table = { { DATA, 1, NEXT, 0 } } },
		{ .ring = { { TABLE, 16, INDIRECT, 0 } }, .table = { { DATA, 1, NEXT, 1 } } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct fixture *f = *state;

		virtqueue_reset(&f->q);
		f->q.desc = gpa(DESC);
		f->q.avail = gpa(AVAIL);
		f->q.used = gpa(USED);
		f->q.size = SIZE;
		f->q.indirect = true;
		assert_int_equal(virtqueue_enable(&f->q), 0);
		for (unsigned int k = 0; k < 2; k++) {
			put_desc(f, DESC, k, chains[i].ring[k]);
			put_desc(f, TABLE, k, chains[i].table[k]);
		}
		offer(f, 0, 0, 1);
		if (virtqueue_pop(&f->q, &f->chain) != -EPROTO)
			fail_msg("chain %zu was accepted", i);
	}
}

static void test_hostile_indices(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, (struct d){ DATA, 1, 0, 0 });
	offer(f, 0, SIZE, 1);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	offer(f, 0, 0xffff, 1);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	/* More entries than the ring has. */
	offer(f, 0, 0, SIZE + 1);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	offer(f, 0, 0, 0xffff);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	offer(f, 0, 0, SIZE);
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), 1);
}

static int enable(struct fixture *f, uint64_t desc, uint64_t avail, uint64_t used,
		  unsigned int size)
{
	int r;

	f->q = (struct virtqueue){ .mem = &f->mem,
				   .desc = gpa(desc),
				   .avail = gpa(avail),
				   .used = gpa(used),
				   .size = (uint16_t)size };
	r = virtqueue_enable(&f->q);
	assert_int_equal(f->q.ready, r == 0);
	return r;
}

static void test_placement(void **state)
{
	struct fixture *f = *state;
	uint64_t end = BOOT_RAM_BASE + 2 * MIB;

	assert_int_equal(enable(f, DESC, AVAIL, USED, 256), 0);
	assert_int_equal(enable(f, DESC, AVAIL, USED, 1), 0);
	assert_int_equal(enable(f, DESC, AVAIL, USED, 0), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, USED, 6), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, USED, 512), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, USED, 32768), -EINVAL);
	assert_int_equal(enable(f, DESC + 8, AVAIL, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL + 1, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, USED + 2, 8), -EINVAL);
	assert_int_equal(enable(f, 0, AVAIL, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, UINT64_MAX - 1, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, UINT64_MAX - 3, 8), -EINVAL);
	/* Up to the last byte, event fields included, and not one more. */
	assert_int_equal(enable(f, end - 128, AVAIL, USED, 8), 0);
	assert_int_equal(enable(f, end - 112, AVAIL, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, end - 22, USED, 8), 0);
	assert_int_equal(enable(f, DESC, end - 20, USED, 8), -EINVAL);
	assert_int_equal(enable(f, DESC, AVAIL, end - 72, 8), 0);
	assert_int_equal(enable(f, DESC, AVAIL, end - 68, 8), -EINVAL);
}

static void test_interrupts(void **state)
{
	struct fixture *f = *state;

	assert_false(virtqueue_should_interrupt(&f->q));
	virtqueue_push(&f->q, 0, 0);
	assert_true(virtqueue_should_interrupt(&f->q));
	assert_false(virtqueue_should_interrupt(&f->q));
	put(f, AVAIL, 1, 2); /* VIRTQ_AVAIL_F_NO_INTERRUPT */
	virtqueue_push(&f->q, 0, 0);
	assert_false(virtqueue_should_interrupt(&f->q));
	/* With event indices that flag says nothing. */
	f->q.event_idx = true;
	put(f, AVAIL + 4 + 2 * SIZE, 3, 2);
	virtqueue_push(&f->q, 0, 0);
	assert_false(virtqueue_should_interrupt(&f->q));
	virtqueue_push(&f->q, 0, 0);
	assert_true(virtqueue_should_interrupt(&f->q));
	virtqueue_push(&f->q, 0, 0);
	assert_false(virtqueue_should_interrupt(&f->q));
	/* Crossing the event in one step, over the end of 16 bits. */
	f->q.next_used = f->q.told_used = 0xfffe;
	put(f, AVAIL + 4 + 2 * SIZE, 0, 2);
	for (int i = 0; i < 4; i++)
		virtqueue_push(&f->q, 0, 0);
	assert_true(virtqueue_should_interrupt(&f->q));
}

static void test_listen(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, (struct d){ DATA, 1, 0, 0 });
	assert_int_equal(virtqueue_listen(&f->q), 0);
	offer(f, 0, 0, 1);
	assert_int_equal(virtqueue_listen(&f->q), 1);
	f->q.event_idx = true;
	virtqueue_pop(&f->q, &f->chain);
	assert_int_equal(virtqueue_listen(&f->q), 0);
	assert_int_equal(get(f, USED + 4 + 8 * SIZE, 2), 1);
}

/* The hypervisor took the memory away while the rings were up. */
static void test_lent(void **state)
{
	struct fixture *f = *state;

	f->mem.lent = true;
	assert_int_equal(virtqueue_pop(&f->q, &f->chain), -EPROTO);
	assert_int_equal(virtqueue_push(&f->q, 0, 0), -EPROTO);
	assert_int_equal(virtqueue_listen(&f->q), -EPROTO);
	assert_false(virtqueue_should_interrupt(&f->q));
}

static void test_iov(void **state)
{
	char a[3] = "abc", b[4] = "defg", buf[16];
	const struct iovec iov[] = { { a, 3 }, { b, 4 } };

	(void)state;
	assert_int_equal(iov_read(iov, 2, 0, buf, 16), 7);
	assert_memory_equal(buf, "abcdefg", 7);
	assert_int_equal(iov_read(iov, 2, 2, buf, 3), 3);
	assert_memory_equal(buf, "cde", 3);
	assert_int_equal(iov_read(iov, 2, 7, buf, 1), 0);
	assert_int_equal(iov_read(iov, 2, UINT64_MAX, buf, 1), 0);
	assert_int_equal(iov_write(iov, 2, 2, "XYZ", 3), 3);
	assert_memory_equal(a, "abX", 3);
	assert_memory_equal(b, "YZfg", 4);
	assert_int_equal(iov_write(iov, 2, 5, "12345", 5), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_chain),	    TEST(test_wrap),
		TEST(test_indirect),	    TEST(test_indirect_after_direct),
		TEST(test_hostile_chains),  TEST(test_hostile_indices),
		TEST(test_placement),	    TEST(test_interrupts),
		TEST(test_listen),	    TEST(test_lent),
		cmocka_unit_test(test_iov),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
