// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile driver of a network device, and a network that sends frames, pieces of them, and
 * nonsense.
 */
#include <sys/socket.h>

#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_net.h"

struct world {
	struct driver d;
	struct virtio_net *net;
	int network;
};

static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	uint8_t kind = (uint8_t)take(in, 1);
	uint8_t frame[4 + 2048] = { 0 };
	size_t n = take(in, 2) % 2048;
	struct vmm_limit limit = { 0 };

	switch (kind & 7) {
	case 0:
		virtio_net_set_link(w->net, kind & 8);
		break;
	case 1:
		limit.bytes_per_s = take(in, 4);
		limit.ops_per_s = kind >> 4;
		virtio_net_set_limits(w->net, &limit, &limit, NULL);
		break;
	case 2:
		/* Whatever it is, it is not a frame. */
		(void)!send(w->network, in->p, n < in->n ? n : in->n, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 3:
		(void)!recv(w->network, frame, sizeof(frame), MSG_DONTWAIT);
		break;
	case 4:
		if (kind == 0xfc)
			shutdown(w->network, SHUT_RDWR);
		break;
	default:
		n = n < 14 ? 14 : n;
		frame[2] = (uint8_t)(n >> 8);
		frame[3] = (uint8_t)n;
		memcpy(frame + 4, in->p, n < in->n ? n : in->n);
		(void)!send(w->network, frame, 4 + n, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmm_net config = { .name = "fuzz",
				  .kind = VMM_NET_STREAM,
				  .mac = { 2, 0, 0, 0, 0, 1 } };
	struct input in = { data, size };
	struct vmm_net_stats stats;
	struct world w = { 0 };
	int pair[2], r;

	r = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	assert(r == 0);
	config.fd = pair[0];
	w.network = pair[1];
	config.any_source = take(&in, 1) & 1;
	driver_init(&w.d);
	w.d.outside = outside;
	r = virtio_net_new(&w.net, &config, &w.d.slot, NULL);
	assert(r == 0);
	base_close(pair[0]);
	driver_run(&w.d, virtio_net_device(w.net), &in);
	virtio_net_stats(w.net, &stats);
	assert(stats.rx_packets == 0 || stats.rx_bytes >= 14);
	virtio_net_free(w.net);
	base_close(w.network);
	driver_free(&w.d);
	return 0;
}
