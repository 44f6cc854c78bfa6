// SPDX-License-Identifier: Apache-2.0
/* vsock as a guest's driver sees it, and programs of the host on unix sockets. */
#include "tests/unit/virtio_help.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/vsock_conn.h"

#define RX  0u
#define TX  1u
#define CID 7u

enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct world {
	struct fixture *f;
	char path[64];
};

/* What the guest was told. */
struct told {
	uint32_t host_port, guest_port, len, op, flags, buf_alloc, fwd_cnt;
	const uint8_t *data;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct vmm_vsock config = { .cid = CID };
	struct error err = { 0 };

	assert_non_null(w);
	w->f = fixture_new();
	snprintf(w->path, sizeof(w->path), "/tmp/vmm-vsock-%d", getpid());
	config.path = w->path;
	if (virtio_vsock_new(&w->f->vsock, &config, &w->f->slot, &err) < 0)
		fail_msg("%s", err.message);
	w->f->dev = virtio_vsock_device(w->f->vsock);
	bring_up(w->f, VIRTIO_F_VERSION_1);
	*state = w;
	return 0;
}

static int teardown_world(void **state)
{
	struct world *w = *state;

	teardown((void **)&w->f);
	assert_int_equal(access(w->path, F_OK), -1);
	free(w);
	return 0;
}

static int unix_socket(const char *path, int port, bool listens)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (port)
		snprintf(un.sun_path, sizeof(un.sun_path), "%s_%d", path, port);
	else
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_true(fd >= 0);
	if (listens) {
		unlink(un.sun_path);
		assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		assert_int_equal(listen(fd, 4), 0);
	} else {
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	}
	return fd;
}

/* The guest sends a packet with n bytes of data, each of them `value`. */
static void send_packet(struct world *w, struct told p, uint32_t n, uint8_t value)
{
	uint8_t *h = at(w->f, DATA, 44 + n);
	const struct piece piece[] = { { DATA, 44 + n, false } };

	memset(h, 0, 44);
	put_le(h, CID, 8);
	put_le(h + 8, 2, 8);
	put_le(h + 16, p.guest_port, 4);
	put_le(h + 20, p.host_port, 4);
	put_le(h + 24, n, 4);
	put_le(h + 28, 1, 2);
	put_le(h + 30, p.op, 2);
	put_le(h + 32, p.flags, 4);
	put_le(h + 36, p.buf_alloc, 4);
	put_le(h + 40, p.fwd_cnt, 4);
	memset(h + 44, value, n);
	assert_int_equal(submit(w->f, TX, 1, piece), 0);
}

static uint32_t field(const uint8_t *p, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint32_t)p[i] << (8 * i);
	return value;
}

/* The guest offers a buffer of n bytes; whether it was used. */
static bool receive(struct world *w, uint32_t n, struct told *told)
{
	const uint64_t where = DATA + 0x10000;
	const struct piece piece[] = { { where, n, true } };
	uint32_t size = submit(w->f, RX, 1, piece);
	const uint8_t *h = at(w->f, where, n);

	if (size == UINT32_MAX)
		return false;
	assert_int_equal(field(h, 4), 2);
	assert_int_equal(field(h + 8, 4), CID);
	assert_int_equal(field(h + 28, 2), 1);
	*told = (struct told){
		.host_port = field(h + 16, 4),
		.guest_port = field(h + 20, 4),
		.len = field(h + 24, 4),
		.op = field(h + 30, 2),
		.flags = field(h + 32, 4),
		.buf_alloc = field(h + 36, 4),
		.fwd_cnt = field(h + 40, 4),
		.data = h + 44,
	};
	assert_int_equal(size, 44 + told->len);
	return true;
}

/* A connection that the guest has made to port 99 of the host; the program's end. */
static int guest_connects(struct world *w, uint32_t room)
{
	int listener = unix_socket(w->path, 99, true), fd;
	struct told told;
	char path[80];

	send_packet(w,
		    (struct told){
			    .host_port = 99, .guest_port = 5, .op = REQUEST, .buf_alloc = room },
		    0, 0);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	close(listener);
	snprintf(path, sizeof(path), "%s_99", w->path);
	unlink(path);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RESPONSE);
	assert_int_equal(told.buf_alloc, VSOCK_BUFFER);
	assert_int_equal(told.host_port, 99);
	assert_int_equal(told.guest_port, 5);
	return fd;
}

static void test_guest_connects(void **state)
{
	struct world *w = *state;
	struct told told, me = { .host_port = 99, .guest_port = 5, .buf_alloc = 1000 };
	char buf[2048];
	int fd = guest_connects(w, 1000);

	me.op = RW;
	send_packet(w, me, 100, 'x');
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 100);
	assert_int_equal(buf[99], 'x');
	memset(buf, 'y', sizeof(buf));
	assert_int_equal(send(fd, buf, 1500, 0), 1500);
	serve(w->f);
	/* Not more than the guest has room for, and the rest when it has. */
	assert_true(receive(w, 44 + 600, &told));
	assert_int_equal(told.op, RW);
	assert_int_equal(told.len, 600);
	assert_int_equal(told.data[599], 'y');
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.len, 400);
	assert_false(receive(w, 4096, &told));
	me.op = CREDIT_UPDATE;
	me.fwd_cnt = 1000;
	send_packet(w, me, 0, 0);
	/* That has gone into the buffer that lay there. */
	assert_int_equal(field(at(w->f, DATA + 0x10000 + 24, 4), 4), 500);
	/* The program ends, and the guest agrees. */
	close(fd);
	serve(w->f);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, SHUTDOWN);
	assert_int_equal(told.flags, 3);
	me.op = RST;
	send_packet(w, me, 0, 0);
	/* It is gone: what comes for it is refused. */
	me.op = RW;
	send_packet(w, me, 1, 0);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RST);
}

static void test_nobody_listens(void **state)
{
	struct world *w = *state;
	struct told told;

	send_packet(w, (struct told){ .host_port = 1, .guest_port = 2, .op = REQUEST }, 0, 0);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RST);
	assert_int_equal(told.host_port, 1);
	assert_int_equal(told.guest_port, 2);
}

static void test_host_connects(void **state)
{
	struct world *w = *state;
	struct vmm_vsock_stats stats = { 0 };
	struct told told, me = { .buf_alloc = 4096 };
	char buf[64] = { 0 };
	int fd = unix_socket(w->path, 0, false);

	serve(w->f);
	assert_int_equal(send(fd, "CONN", 4, 0), 4);
	serve(w->f);
	assert_int_equal(send(fd, "ECT 1234\nhello", 14, 0), 14);
	serve(w->f);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, REQUEST);
	assert_int_equal(told.guest_port, 1234);
	me.host_port = told.host_port;
	me.guest_port = 1234;
	me.op = RESPONSE;
	send_packet(w, me, 0, 0);
	assert_true(recv(fd, buf, sizeof(buf), 0) > 0);
	assert_memory_equal(buf, "OK ", 3);
	/* What followed the greeting is the guest's. */
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RW);
	assert_memory_equal(told.data, "hello", 5);
	/* The guest ends both directions. */
	me.op = RW;
	send_packet(w, me, 3, 'z');
	me.op = SHUTDOWN;
	me.flags = 3;
	send_packet(w, me, 0, 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RST);
	virtio_vsock_stats(w->f->vsock, &stats);
	assert_true(stats.present && !stats.vhost);
	assert_int_equal(stats.connections, 1);
	assert_int_equal(stats.rx_bytes, 5);
	assert_int_equal(stats.tx_bytes, 3);
	close(fd);
}

static void test_rude_programs(void **state)
{
	struct world *w = *state;
	static const char *const lines[] = { "HELLO 1\n",
					     "CONNECT x\n",
					     "CONNECT 99999999999\n",
					     "CONNECT 1 2\n",
					     "CONNECT                                     1\n",
					     "" };
	char buf[8];

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = unix_socket(w->path, 0, false);

		if (lines[i][0])
			assert_true(send(fd, lines[i], strlen(lines[i]), 0) > 0);
		else
			shutdown(fd, SHUT_WR);
		serve(w->f);
		/* The end, or an error when something was not read. */
		assert_true(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0 && errno != EAGAIN);
		errno = 0;
		close(fd);
	}
}

/* A program that does not read: the guest may send a buffer's worth, and is cut off when it sends more. */
static void test_credit(void **state)
{
	struct world *w = *state;
	struct told told = { 0 },
		    me = { .host_port = 99, .guest_port = 5, .buf_alloc = 4096, .op = RW };
	int small = 4096, fd = guest_connects(w, 4096);
	char buf[65536];
	uint64_t got = 0;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	/* More than the socket and the buffer hold. */
	for (unsigned int i = 0; i < 400; i++)
		send_packet(w, me, 4096, (uint8_t)i);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, RST);
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		got += (uint64_t)n;
	assert_in_range(got, VSOCK_BUFFER, 400 * 4096 - 1);
	close(fd);
}

/* A program that ends its direction reads on; a guest that leaves has its last bytes delivered. */
static void test_half_closed(void **state)
{
	struct world *w = *state;
	struct told told, me = { .host_port = 99, .guest_port = 5, .buf_alloc = 4096, .op = RW };
	int fd = guest_connects(w, 4096);
	char buf[65536];
	uint64_t got = 0;
	ssize_t n;

	shutdown(fd, SHUT_WR);
	serve(w->f);
	assert_true(receive(w, 4096, &told));
	assert_int_equal(told.op, SHUTDOWN);
	assert_int_equal(told.flags, 2);
	for (unsigned int i = 0; i < 60; i++)
		send_packet(w, me, 4096, 'z');
	me.op = SHUTDOWN;
	me.flags = 3;
	send_packet(w, me, 0, 0);
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		got += (uint64_t)n;
		serve(w->f);
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, 60 * 4096);
	assert_true(receive(w, 4096, &told));
	close(fd);
}

static void test_broken_packets(void **state)
{
	struct world *w = *state;
	static const struct piece headless[] = { { DATA, 43, false } },
				  writable[] = { { DATA, 100, true } };
	static const struct piece longer[] = { { DATA, 50, false } },
				  small[] = { { DATA, 44, true } };
	struct told told;

	/* From or to somebody else: no answer, or a refusal. */
	memset(at(w->f, DATA, 100), 0, 100);
	put_le(at(w->f, DATA, 8), CID + 1, 8);
	put_le(at(w->f, DATA + 8, 8), 2, 8);
	assert_int_equal(submit(w->f, TX, 1, longer), 0);
	assert_false(receive(w, 4096, &told));
	put_le(at(w->f, DATA, 8), CID, 8);
	put_le(at(w->f, DATA + 24, 4), 7, 4);
	assert_int_equal(submit(w->f, TX, 1, longer), UINT32_MAX);
	assert_int_equal(rd(w->f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(w->f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(w->f, TX, 1, headless), UINT32_MAX);
	assert_int_equal(rd(w->f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(w->f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(w->f, TX, 1, writable), UINT32_MAX);
	assert_int_equal(rd(w->f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(w->f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(w->f, RX, 1, small), UINT32_MAX);
	send_packet(w, (struct told){ .host_port = 1, .guest_port = 2, .op = REQUEST }, 0, 0);
	assert_int_equal(rd(w->f, STATUS) & NEEDS_RESET, NEEDS_RESET);
}

static void test_no_place(void **state)
{
	struct world *w = *state;
	struct vmm_vsock config = { .cid = 2 };
	struct virtio_vsock *out = NULL;
	unsigned int fds = open_fds();
	struct error err = { 0 };

	config.path = "@vmm-vsock-test";
	assert_true(virtio_vsock_new(&out, &config, &w->f->slot, &err) < 0);
	assert_string_equal(err.message, "vsock: context id 2, at least 3 is needed");
	config.cid = 3;
	config.path = w->path;
	assert_true(virtio_vsock_new(&out, &config, &w->f->slot, &err) < 0);
	assert_int_equal(err.code, ERROR_ALREADY_EXISTS);
	config.path = "/nowhere/at/all";
	assert_true(virtio_vsock_new(&out, &config, &w->f->slot, &err) < 0);
	assert_null(out);
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
#define VSOCK(name) cmocka_unit_test_setup_teardown(name, setup, teardown_world)
	const struct CMUnitTest tests[] = {
		VSOCK(test_guest_connects), VSOCK(test_nobody_listens), VSOCK(test_host_connects),
		VSOCK(test_rude_programs),  VSOCK(test_credit),		VSOCK(test_broken_packets),
		VSOCK(test_no_place),	    VSOCK(test_half_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
