// SPDX-License-Identifier: Apache-2.0
/* A user's device-tree overlay: the input is the overlay, as it comes from outside. */
#include <assert.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/fdt.h"
#include "vmm/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t blob[65536];
	struct bus bus = { 0 };
	struct fdt_config config = {
		.name = "fuzz",
		.vcpus = 2,
		.ram_base = gpa(0x80000000),
		.ram_size = 1u << 30,
		.cmdline = "quiet",
		.bus = &bus,
		.overlay = data,
		.overlay_size = size,
	};
	struct error err = { 0 };
	size_t length = 0;
	bool taken;
	int r;

	if (size == 0)
		return 0;
	/* The check without a tree. */
	taken = vmm_overlay_check(data, size, &err) == 0;
	assert(taken || err.code != ERROR_NONE);
	r = fdt_build(&config, blob, sizeof(blob), &length, &err);
	/* What is refused has a reason, and what is taken is a tree. */
	assert(r < 0 ? err.code != ERROR_NONE
		     : length <= sizeof(blob) && memcmp(blob, "\xd0\x0d\xfe\xed", 4) == 0);
	return 0;
}
