// SPDX-License-Identifier: Apache-2.0
/* A hostile driver of named ports, to which the host writes meanwhile. */
#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_ports.h"

struct world {
	struct driver d;
	struct virtio_ports *ports;
};

static void heard(void *data, unsigned int port, const void *bytes, size_t n)
{
	volatile char last = ((const char *)bytes)[n - 1];

	(void)data;
	(void)last;
	assert(port < 2);
}

static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	unsigned int port = (unsigned int)take(in, 1) & 3;
	size_t n = in->n < 64 ? in->n : 64;

	n = virtio_ports_write(w->ports, port, in->p, n);
	assert(n <= 64 && (port < 2 || n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmm_events events = { .port = heard };
	static const char *const names[] = { "one", "two" };
	struct virtio_ports_config config = { .names = names, .count = 2, .events = &events };
	struct input in = { data, size };
	struct world w = { 0 };
	int r;

	driver_init(&w.d);
	w.d.outside = outside;
	r = virtio_ports_new(&w.ports, &config, &w.d.slot, NULL);
	assert(r == 0);
	driver_run(&w.d, virtio_ports_device(w.ports), &in);
	virtio_ports_free(w.ports);
	driver_free(&w.d);
	return 0;
}
