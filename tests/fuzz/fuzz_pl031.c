// SPDX-License-Identifier: Apache-2.0
/* A guest that does as it likes with the clock. */
#include "tests/fuzz/mmio_guest.h"
#include "vmm/pl031.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl031 *rtc = NULL;
	int r = pl031_new(&rtc, NULL);

	assert(r == 0);
	guest_run(pl031_device(rtc), data, size, NULL, NULL);
	pl031_free(rtc);
	return 0;
}
