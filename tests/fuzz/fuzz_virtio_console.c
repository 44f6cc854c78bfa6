// SPDX-License-Identifier: Apache-2.0
/* A hostile driver of a console, on which somebody types meanwhile. */
#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_console.h"

struct world {
	struct driver d;
	struct console console;
};

static void console(void *data, const void *bytes, size_t n)
{
	/* What the guest wrote must be there to be read, to its last byte. */
	volatile char last = ((const char *)bytes)[n - 1];

	(void)data;
	(void)last;
}

static void type(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	size_t n = in->n < 64 ? in->n : 64;

	console_type(&w->console, in->p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmm_events events = { .console = console };
	struct input in = { data, size };
	struct virtio_console *vc = NULL;
	struct world w = { 0 };
	int r;

	driver_init(&w.d);
	w.d.outside = type;
	r = console_init(&w.console, &events, NULL);
	assert(r == 0);
	r = virtio_console_new(&vc, &w.console, &w.d.slot, NULL);
	assert(r == 0);
	driver_run(&w.d, virtio_console_device(vc), &in);
	virtio_console_free(vc);
	console_free(&w.console);
	driver_free(&w.d);
	return 0;
}
