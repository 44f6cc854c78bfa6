// SPDX-License-Identifier: Apache-2.0
/* A guest that does as it likes with the GPIO, whose power key is pressed meanwhile. */
#include "tests/fuzz/mmio_guest.h"
#include "vmm/pl061.h"

static void press(void *data, uint8_t value)
{
	(void)value;
	pl061_press(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl061 *gpio = NULL;
	int r = pl061_new(&gpio, NULL);

	assert(r == 0);
	guest_run(pl061_device(gpio), data, size, press, gpio);
	pl061_free(gpio);
	return 0;
}
