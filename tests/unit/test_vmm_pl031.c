// SPDX-License-Identifier: Apache-2.0
/* The real-time clock as Linux's PL031 driver reads it. */
#include "tests/unit/vmm_help.h"

#include <time.h>

#include "vmm/pl031.h"

static void test_time(void **state)
{
	struct pl031 *rtc = NULL;
	struct mmio_device *dev;
	uint64_t before, now, part = 0;

	(void)state;
	assert_int_equal(pl031_new(&rtc, NULL), 0);
	dev = pl031_device(rtc);
	for (unsigned int i = 0; i < 4; i++)
		part |= dev->ops->read(dev, 0xfe0 + 4 * i, 4) << 8 * i;
	assert_int_equal(part, 0x00041031);
	assert_int_equal(dev->ops->read(dev, 0xff0, 4), 0x0d);
	assert_int_equal(dev->ops->read(dev, 0x00c, 4), 1);
	before = (uint64_t)time(NULL);
	now = dev->ops->read(dev, 0, 4);
	assert_in_range(now, before, (uint64_t)time(NULL));
	assert_null(pl031_free(rtc));
	assert_null(pl031_free(NULL));
}

/* The host's clock is not the guest's to set, and any access is survived. */
static void test_any_access(void **state)
{
	static const unsigned int widths[] = { 1, 2, 4, 8 };
	struct pl031 *rtc = NULL;
	struct mmio_device *dev;
	uint64_t before = (uint64_t)time(NULL);

	(void)state;
	assert_int_equal(pl031_new(&rtc, NULL), 0);
	dev = pl031_device(rtc);
	for (uint64_t off = 0; off < PL031_SIZE; off++)
		for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
			if (off + widths[i] > PL031_SIZE)
				continue;
			dev->ops->write(dev, off, widths[i], 12345);
			assert_in_range(dev->ops->read(dev, off, widths[i]), 0, UINT32_MAX);
		}
	assert_in_range(dev->ops->read(dev, 0, 4), before, (uint64_t)time(NULL));
	assert_int_equal(dev->ops->read(dev, 0x00c, 4), 1);
	assert_null(pl031_free(rtc));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_any_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
