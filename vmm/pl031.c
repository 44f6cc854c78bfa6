// SPDX-License-Identifier: Apache-2.0
/*
 * A PL031 that can be read: seconds since 1970 in UTC, as the host has them now. What a guest writes
 * changes nothing, since the clock is not its own. Source: ARM DDI 0224, the technical reference
 * manual of the PL031.
 */
#include "vmm/pl031.h"

#include <time.h>

/* --- Constants --- */

enum reg {
	REG_DR = 0x000, /* the time */
	REG_CR = 0x00c, /* bit 0: it runs */
	REG_ID = 0xfe0,
};

/* PeriphID0 to 3 and PCellID0 to 3, one a word. */
static const uint8_t id[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

/* --- State --- */

struct pl031 {
	struct mmio_device mmio;
};

/* --- Registers --- */

static uint64_t mmio_read(struct mmio_device *mmio, uint64_t off, unsigned int len)
{
	(void)mmio;
	(void)len;
	if (off % 4 != 0)
		return 0;
	if (off >= REG_ID)
		return id[(off - REG_ID) / 4];
	if (off == REG_DR)
		return (uint32_t)time(NULL);
	return off == REG_CR;
}

static void mmio_write(struct mmio_device *mmio, uint64_t off, unsigned int len, uint64_t value)
{
	(void)mmio;
	(void)off;
	(void)len;
	(void)value;
}

static void describe(const struct mmio_device *mmio, struct fdt_tree *tree)
{
	static const char compatible[] = "arm,pl031\0arm,primecell";

	tree_begin(tree, "rtc@%llx", PL031_BASE);
	tree_strings(tree, "compatible", compatible, sizeof(compatible));
	tree_reg(tree, mmio->base, mmio->size);
	tree_u32(tree, "clocks", FDT_CLOCK_PHANDLE);
	tree_string(tree, "clock-names", "apb_pclk");
	tree_end(tree);
}

static const struct mmio_ops ops = {
	.read = mmio_read,
	.write = mmio_write,
	.describe = describe,
};

/* --- Set-up --- */

int pl031_new(struct pl031 **out, struct error *err)
{
	struct pl031 *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "RTC");
	rtc->mmio = (struct mmio_device){
		.ops = &ops,
		.base = gpa(PL031_BASE),
		.size = PL031_SIZE,
		.irq.fd = -1,
	};
	*out = rtc;
	return 0;
}

struct pl031 *pl031_free(struct pl031 *rtc)
{
	free(rtc);
	return NULL;
}

struct mmio_device *pl031_device(struct pl031 *rtc)
{
	return &rtc->mmio;
}
