// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile driver of vsock, and programs of the host that connect, send, read and end as they
 * like.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/fuzz/virtio_driver.h"
#include "vmm/virtio_vsock.h"

#define PROGRAMS 4u

struct world {
	struct driver d;
	char path[64];
	int listener; /* of port 0x0101 */
	int programs[PROGRAMS];
};

static struct sockaddr_un address_of(const char *name, socklen_t *size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
	un.sun_path[0] = '\0';
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	return un;
}

static void outside(struct driver *d, struct input *in)
{
	struct world *w = CONTAINER_OF(d, struct world, d);
	uint8_t kind = (uint8_t)take(in, 1);
	int *fd = &w->programs[kind >> 6];
	struct sockaddr_un un;
	uint8_t buf[1024];
	socklen_t size;
	size_t n;

	switch (kind & 7) {
	case 0:
		if (*fd >= 0)
			break;
		*fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
		break;
	case 1:
		if (*fd >= 0)
			break;
		*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		un = address_of(w->path, &size);
		if (connect(*fd, (struct sockaddr *)&un, size) == 0 && (kind & 8))
			(void)!send(*fd, "CONNECT 5\n", 10, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 2:
		*fd = base_close(*fd);
		break;
	case 3:
		(void)!recv(*fd, buf, sizeof(buf), MSG_DONTWAIT);
		break;
	case 4:
		shutdown(*fd, kind & 8 ? SHUT_RD : SHUT_WR);
		break;
	default:
		n = (size_t)take(in, 1);
		(void)!send(*fd, in->p, n < in->n ? n : in->n, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

/* So that packets are rarely for others: what a driver writes first is a header of the guest's. */
static void put_headers(struct driver *d)
{
	for (uint32_t i = 0; i < 64; i++) {
		uint8_t header[44] = { [0] = 3, [8] = 2, [28] = 1 };

		header[16] = (uint8_t)(5 + (i & 1));
		header[20] = 1;
		header[21] = 1;
		header[24] = (uint8_t)(i >> 4);
		header[30] = (uint8_t)(i & 7);
		header[32] = 3;
		header[37] = (uint8_t)i;
		store(d, BASE + 64 * i, header, sizeof(header));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmm_vsock config = { .cid = 3 };
	struct input in = { data, size };
	struct virtio_vsock *vsock = NULL;
	struct world w = { .programs = { -1, -1, -1, -1 } };
	struct vmm_vsock_stats stats;
	struct sockaddr_un un;
	char name[80];
	socklen_t length;
	int r;

	snprintf(w.path, sizeof(w.path), "@croft-fuzz-%d", (int)getpid());
	snprintf(name, sizeof(name), "%s_257", w.path);
	w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	un = address_of(name, &length);
	r = bind(w.listener, (struct sockaddr *)&un, length);
	assert(r == 0 && listen(w.listener, 8) == 0);
	config.path = w.path;
	driver_init(&w.d);
	w.d.outside = outside;
	r = virtio_vsock_new(&vsock, &config, &w.d.slot, NULL);
	assert(r == 0);
	put_headers(&w.d);
	driver_run(&w.d, virtio_vsock_device(vsock), &in);
	virtio_vsock_stats(vsock, &stats);
	assert(stats.present);
	virtio_vsock_free(vsock);
	for (unsigned int i = 0; i < PROGRAMS; i++)
		base_close(w.programs[i]);
	base_close(w.listener);
	driver_free(&w.d);
	return 0;
}
