// SPDX-License-Identifier: Apache-2.0
/*
 * The GPIO as Linux's PL061 and gpio-keys drivers probe and use it.
 */
#include "tests/unit/vmm_help.h"

#include "vmm/loop.h"
#include "vmm/pl061.h"

#define DIR 0x400
#define IS  0x404
#define IBE 0x408
#define RIS 0x414
#define MIS 0x418
#define KEY (1u << PL061_POWER_PIN)

struct fixture {
	struct pl061 *gpio;
	struct mmio_device *dev;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pl061_new(&f->gpio, NULL), 0);
	f->dev = pl061_device(f->gpio);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(pl061_free(f->gpio));
	assert_null(pl061_free(NULL));
	free(f);
	return 0;
}

/* A PrimeCell is known by these two words, a byte a register. */
static void test_identity(void **state)
{
	struct fixture *f = *state;
	uint32_t part = 0, cell = 0;

	for (unsigned int i = 0; i < 4; i++) {
		part |= (uint32_t)reg_read(f->dev, 0xfe0 + 4 * i) << 8 * i;
		cell |= (uint32_t)reg_read(f->dev, 0xff0 + 4 * i) << 8 * i;
	}
	assert_int_equal(part, 0x00041061);
	assert_int_equal(cell, 0xb105f00d);
}

static void test_press(void **state)
{
	struct fixture *f = *state;

	reg_write(f->dev, PL061_IE, 0);
	reg_write(f->dev, IS, 0);
	reg_write(f->dev, IBE, 0);
	reg_write(f->dev, PL061_IEV, KEY);
	reg_write(f->dev, PL061_IE, KEY);
	assert_false(irq_rang(f->dev));
	pl061_press(f->gpio);
	assert_true(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, MIS), KEY);
	/* Released again, and still to be seen. */
	assert_int_equal(reg_read(f->dev, KEY << 2), 0);
	reg_write(f->dev, PL061_IC, 0xff & ~KEY);
	assert_int_equal(reg_read(f->dev, MIS), KEY);
	assert_true(irq_rang(f->dev));
	reg_write(f->dev, PL061_IC, KEY);
	assert_int_equal(reg_read(f->dev, MIS), 0);
	assert_false(irq_rang(f->dev));
	pl061_press(f->gpio);
	assert_true(irq_rang(f->dev));
}

/* Masked, a press is kept until the mask is lifted. */
static void test_masked(void **state)
{
	struct fixture *f = *state;

	reg_write(f->dev, PL061_IEV, KEY);
	pl061_press(f->gpio);
	assert_false(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, RIS), KEY);
	assert_int_equal(reg_read(f->dev, MIS), 0);
	reg_write(f->dev, PL061_IE, KEY);
	assert_true(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, MIS), KEY);
}

static void test_levels_and_edges(void **state)
{
	struct fixture *f = *state;

	/* Low level: pressed or not, the key is low now. */
	reg_write(f->dev, IS, KEY);
	assert_int_equal(reg_read(f->dev, RIS), KEY);
	reg_write(f->dev, PL061_IC, KEY);
	assert_int_equal(reg_read(f->dev, RIS), KEY);
	reg_write(f->dev, PL061_IEV, KEY);
	assert_int_equal(reg_read(f->dev, RIS), 0);
	/* A level remembers nothing. */
	pl061_press(f->gpio);
	assert_int_equal(reg_read(f->dev, RIS), 0);
	reg_write(f->dev, IS, 0);
	assert_int_equal(reg_read(f->dev, RIS), 0);
	/* The falling edge, and both. */
	reg_write(f->dev, PL061_IEV, 0);
	pl061_press(f->gpio);
	assert_int_equal(reg_read(f->dev, RIS), KEY);
	reg_write(f->dev, PL061_IC, KEY);
	reg_write(f->dev, IBE, KEY);
	pl061_press(f->gpio);
	assert_int_equal(reg_read(f->dev, RIS), KEY);
}

/* Pins that the guest drives read as it wrote them, through the address's mask; the key no longer counts. */
static void test_outputs(void **state)
{
	struct fixture *f = *state;

	reg_write(f->dev, DIR, 0xf0);
	reg_write(f->dev, 0x3fc, 0xff);
	assert_int_equal(reg_read(f->dev, 0x3fc), 0xf0);
	reg_write(f->dev, 0x10 << 2, 0);
	assert_int_equal(reg_read(f->dev, 0x3fc), 0xe0);
	assert_int_equal(reg_read(f->dev, 0x20 << 2), 0x20);
	assert_int_equal(reg_read(f->dev, 0), 0);
	reg_write(f->dev, DIR, 0xff);
	pl061_press(f->gpio);
	assert_int_equal(reg_read(f->dev, RIS), 0);
}

/* Every register at every width takes whatever comes. */
static void test_any_access(void **state)
{
	static const unsigned int widths[] = { 1, 2, 4, 8 };
	struct fixture *f = *state;

	for (uint64_t off = 0; off < PL061_SIZE; off++)
		for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
			if (off + widths[i] > PL061_SIZE)
				continue;
			f->dev->ops->write(f->dev, off, widths[i], UINT64_MAX);
			assert_in_range(f->dev->ops->read(f->dev, off, widths[i]), 0, 0xff);
		}
	assert_int_equal(reg_read(f->dev, 0x424), 0);
	assert_int_equal(reg_read(f->dev, DIR + 1), 0);
	assert_int_equal(reg_read(f->dev, 0xfe0), 0x61);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_press, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels_and_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outputs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_access, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
