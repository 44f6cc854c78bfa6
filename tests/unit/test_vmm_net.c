// SPDX-License-Identifier: Apache-2.0
/* The network device as a guest's driver sees it, with a stream socket for its other side. */
#include "tests/unit/virtio_help.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/limit.h"
#include "vmm/virtio_net.h"

#define RX    0u
#define TX    1u
#define MERGE (1ull << 15)

static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 0x17 };

/* f->file is the network's end. */
static int setup(void **state)
{
	struct fixture *f = fixture_new();
	struct vmm_net config = { .name = "lan", .kind = VMM_NET_STREAM };
	struct error err = { 0 };
	int pair[2];

	memcpy(config.mac, mac, 6);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	config.fd = pair[0];
	f->file = pair[1];
	if (virtio_net_new(&f->net, &config, &f->slot, &err) < 0)
		fail_msg("%s", err.message);
	base_close(pair[0]);
	f->dev = virtio_net_device(f->net);
	*state = f;
	return 0;
}

static struct vmm_net_stats stats_of(struct fixture *f)
{
	struct vmm_net_stats stats = { 0 };

	virtio_net_stats(f->net, &stats);
	return stats;
}

/* The network sends a frame of n bytes, each of which is its number. */
static void arrive(struct fixture *f, uint32_t n)
{
	uint32_t prefix = htonl(n);
	uint8_t *frame = malloc(n);

	assert_non_null(frame);
	for (uint32_t i = 0; i < n; i++)
		frame[i] = (uint8_t)i;
	assert_int_equal(send(f->file, &prefix, 4, 0), 4);
	assert_int_equal(send(f->file, frame, n, 0), n);
	free(frame);
	serve(f);
}

/* A frame of n bytes in all from this address lies behind a header at DATA. */
static void put_frame(struct fixture *f, uint32_t n, const uint8_t *source)
{
	uint8_t *p = at(f, DATA, 12 + n);

	memset(p, 0, 12 + n);
	memset(p + 12, 0xff, 6);
	memcpy(p + 12 + 6, source, 6);
	memset(p + 12 + 14, 0x33, n - 14);
}

/* Offers `count` buffers of n bytes each at DATA, one behind the other. */
static void offer_buffers(struct fixture *f, unsigned int count, uint32_t n)
{
	for (unsigned int i = 0; i < count; i++) {
		uint8_t *d = at(f, DESC + 16 * i, 16);

		put_le(d, DATA + (uint64_t)n * i, 8);
		put_le(d + 8, n, 4);
		put_le(d + 12, 2, 2);
		put_le(at(f, AVAIL + 4 + 2 * ((f->avail[RX] + i) % SIZE), 2), i, 2);
	}
	f->avail[RX] += count;
	put_le(at(f, AVAIL + 2, 2), f->avail[RX], 2);
	wr(f, 0x50, RX);
	serve(f);
}

static unsigned int used(struct fixture *f, unsigned int queue)
{
	uint16_t value;

	memcpy(&value, at(f, USED + queue * QUEUE_STEP + 2, 2), 2);
	return value;
}

static void test_config(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, 0x008), 1);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x100 + i, 1), mac[i]);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x106, 2), 1);
	/* Nobody at the other end computes checksums. */
	wr(f, 0x14, 0);
	assert_int_equal(rd(f, 0x10) & 0x1, 0);
	assert_int_equal(rd(f, 0x10) & 0x10020, 0x10020);
}

static void test_transmit(void **state)
{
	struct fixture *f = *state;
	static const struct piece two[] = { { DATA, 20, false }, { DATA + 20, 92, false } };
	static const uint8_t other[6] = { 0x02, 0, 0, 0, 0, 0x18 };
	uint8_t buf[256];

	bring_up(f, VIRTIO_F_VERSION_1);
	put_frame(f, 100, mac);
	assert_int_equal(submit(f, TX, 2, two), 0);
	assert_int_equal(recv(f->file, buf, sizeof(buf), MSG_DONTWAIT), 104);
	assert_memory_equal(buf, "\0\0\0\x64\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x17", 16);
	assert_int_equal(buf[103], 0x33);
	assert_int_equal(stats_of(f).tx_packets, 1);
	assert_int_equal(stats_of(f).tx_bytes, 100);
	/* Somebody else's address, and a checksum that is left to the host, go nowhere. */
	put_frame(f, 100, other);
	assert_int_equal(submit(f, TX, 2, two), 0);
	assert_int_equal(stats_of(f).tx_spoofed, 1);
	put_frame(f, 100, mac);
	*at(f, DATA, 1) = 1;
	assert_int_equal(submit(f, TX, 2, two), 0);
	assert_int_equal(stats_of(f).tx_dropped, 2);
	/* The host's loopback: 127.0.0.1, ::1, ::ffff:127.0.0.1. */
	put_frame(f, 100, mac);
	memcpy(at(f, DATA + 24, 2), "\x08\x00", 2);
	memcpy(at(f, DATA + 26 + 16, 4), "\x7f\0\0\x01", 4);
	assert_int_equal(submit(f, TX, 2, two), 0);
	memcpy(at(f, DATA + 24, 2), "\x86\xdd", 2);
	memcpy(at(f, DATA + 26 + 24, 16), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	assert_int_equal(submit(f, TX, 2, two), 0);
	memcpy(at(f, DATA + 26 + 24, 16), "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01", 16);
	assert_int_equal(submit(f, TX, 2, two), 0);
	assert_int_equal(stats_of(f).tx_dropped, 5);
	assert_int_equal(recv(f->file, buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

static void test_broken_requests(void **state)
{
	struct fixture *f = *state;
	static const struct piece headless[] = { { DATA, 11, false } };
	static const struct piece writable[] = { { DATA, 100, true } };
	static const struct piece runt[] = { { DATA, 25, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, TX, 1, runt), 0);
	assert_int_equal(stats_of(f).tx_dropped, 1);
	assert_int_equal(submit(f, TX, 1, headless), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, TX, 1, writable), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	/* Read-only buffers to receive into. */
	bring_up(f, VIRTIO_F_VERSION_1);
	assert_int_equal(submit(f, RX, 1, runt), UINT32_MAX);
	arrive(f, 60);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, NEEDS_RESET);
}

static void test_receive(void **state)
{
	struct fixture *f = *state;

	bring_up(f, VIRTIO_F_VERSION_1);
	/* Without a buffer it waits, and the network with it. */
	arrive(f, 60);
	assert_int_equal(used(f, RX), 0);
	offer_buffers(f, 1, 2048);
	assert_int_equal(used(f, RX), 1);
	assert_int_equal(*at(f, USED + 8, 1), 72);
	assert_memory_equal(at(f, DATA, 12), "\0\0\0\0\0\0\0\0\0\0\x01\0", 12);
	assert_int_equal(*at(f, DATA + 12 + 59, 1), 59);
	/* One that does not fit is dropped, and the buffer is there for the next. */
	offer_buffers(f, 1, 128);
	arrive(f, 200);
	assert_int_equal(stats_of(f).rx_dropped, 1);
	assert_int_equal(used(f, RX), 1);
	arrive(f, 80);
	assert_int_equal(used(f, RX), 2);
	assert_int_equal(stats_of(f).rx_packets, 2);
	assert_int_equal(stats_of(f).rx_bytes, 140);
}

static void test_merged_buffers(void **state)
{
	struct fixture *f = *state;

	bring_up(f, VIRTIO_F_VERSION_1 | MERGE | VIRTIO_F_EVENT_IDX);
	offer_buffers(f, 2, 100);
	/* Three are needed: none is used until the third is there. */
	arrive(f, 250);
	assert_int_equal(used(f, RX), 0);
	/* The driver is asked to tell of the third. */
	assert_int_equal(*at(f, USED + 4 + 8 * SIZE, 1), 2);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *d = at(f, DESC + 16 * (2 + i), 16);

		put_le(d, DATA + 100 * (2 + i), 8);
		put_le(d + 8, 100, 4);
		put_le(d + 12, 2, 2);
		put_le(at(f, AVAIL + 4 + 2 * (2 + i), 2), 2 + i, 2);
	}
	f->avail[RX] += 2;
	put_le(at(f, AVAIL + 2, 2), f->avail[RX], 2);
	wr(f, 0x50, RX);
	serve(f);
	assert_int_equal(used(f, RX), 3);
	assert_int_equal(*at(f, DATA + 10, 1), 3);
	assert_int_equal(*at(f, DATA + 261, 1), 249);
	/* More than the whole ring can take. */
	arrive(f, 2000);
	offer_buffers(f, 7, 100);
	assert_int_equal(stats_of(f).rx_dropped, 1);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

static void test_link(void **state)
{
	struct fixture *f = *state;
	static const struct piece piece[] = { { DATA, 112, false } };

	bring_up(f, VIRTIO_F_VERSION_1);
	virtio_net_set_link(f->net, false);
	assert_int_equal(rd(f, INTERRUPT), 2);
	assert_int_equal(f->dev->mmio.ops->read(&f->dev->mmio, 0x106, 2), 0);
	put_frame(f, 100, mac);
	assert_int_equal(submit(f, TX, 1, piece), 0);
	assert_int_equal(stats_of(f).tx_dropped, 1);
	offer_buffers(f, 1, 2048);
	arrive(f, 60);
	assert_int_equal(stats_of(f).rx_dropped, 1);
	assert_int_equal(used(f, RX), 0);
	virtio_net_set_link(f->net, true);
	arrive(f, 60);
	assert_int_equal(used(f, RX), 1);
	/* The network is gone: the link is down, and the guest does no harm. */
	f->file = base_close(f->file);
	serve(f);
	assert_true(stats_of(f).peer_gone);
	assert_false(stats_of(f).link_up);
	virtio_net_set_link(f->net, true);
	assert_false(stats_of(f).link_up);
	assert_int_equal(submit(f, TX, 1, piece), 0);
}

/* More than one turn's worth in one read: none of them is forgotten. */
static void test_many_small_frames(void **state)
{
	struct fixture *f = *state;
	uint8_t burst[200 * 64] = { 0 };

	bring_up(f, VIRTIO_F_VERSION_1);
	for (unsigned int i = 0; i < 200; i++)
		burst[64 * i + 3] = 60;
	assert_int_equal(send(f->file, burst, sizeof(burst), 0), sizeof(burst));
	serve(f);
	for (unsigned int i = 0; i < 200; i++)
		offer_buffers(f, 1, 128);
	assert_int_equal(stats_of(f).rx_packets, 200);
	assert_int_equal(send(f->file, burst, sizeof(burst), 0), sizeof(burst));
	virtio_net_set_link(f->net, false);
	serve(f);
	assert_int_equal(stats_of(f).rx_dropped, 200);
}

static void test_nonsense_from_the_network(void **state)
{
	struct fixture *f = *state;

	bring_up(f, VIRTIO_F_VERSION_1);
	offer_buffers(f, 1, 2048);
	assert_int_equal(send(f->file, "\xff\xff\xff\xff", 4, 0), 4);
	serve(f);
	assert_true(stats_of(f).peer_gone);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

/* A network that does not read: the guest waits, nothing is lost or torn. */
static void test_full_network(void **state)
{
	struct fixture *f = *state;
	static const struct piece piece[] = { { DATA, 12 + 30000, false } };
	unsigned int sent = 0;
	uint64_t got = 0;
	char buf[65536];
	ssize_t n;

	bring_up(f, VIRTIO_F_VERSION_1);
	put_frame(f, 30000, mac);
	while (submit(f, TX, 1, piece) == 0)
		assert_in_range(++sent, 1, 1000);
	for (;;) {
		n = recv(f->file, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0)
			break;
		got += (uint64_t)n;
		serve(f);
	}
	/* The one that had to wait has gone too. */
	assert_int_equal(used(f, TX), sent + 1);
	assert_int_equal(got, (sent + 1) * 30004ull);
	assert_int_equal(stats_of(f).tx_packets, sent + 1);
	assert_int_equal(stats_of(f).tx_dropped, 0);
}

static void wait_for_timer(struct fixture *f)
{
	bool quit = false;

	loop_turn(&f->loop, 5000, &quit);
	serve(f);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	static const struct piece piece[] = { { DATA, 112, false } };
	const struct vmm_limit none = { 0 }, slow = { .ops_per_s = 10 },
			       few = { .bytes_per_s = 1000 };
	const struct vmm_limit absurd = { .bytes_per_s = UINT64_MAX };
	struct error err = { 0 };

	bring_up(f, VIRTIO_F_VERSION_1);
	assert_true(virtio_net_set_limits(f->net, &absurd, &none, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	assert_int_equal(virtio_net_set_limits(f->net, &few, &slow, NULL), 0);
	serve(f);
	put_frame(f, 100, mac);
	assert_int_equal(submit(f, TX, 1, piece), 0);
	/* The second has to wait, and goes by itself when it is time. */
	assert_int_equal(submit(f, TX, 1, piece), UINT32_MAX);
	assert_int_equal(stats_of(f).throttled, 1);
	while (used(f, TX) < 2)
		wait_for_timer(f);
	/* What a frame took too much, the next ones pay for. */
	offer_buffers(f, 2, 2048);
	arrive(f, 500);
	arrive(f, 60);
	assert_int_equal(used(f, RX), 1);
	/* Without limits it goes at once. */
	assert_int_equal(virtio_net_set_limits(f->net, &none, &none, NULL), 0);
	serve(f);
	assert_int_equal(used(f, RX), 2);
}

static void test_bad_networks(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum vmm_net_kind kind;
		uint8_t first;
		bool file;
		const char *message;
	} cases[] = {
		{ VMM_NET_STREAM, 0x03, false,
		  "network \"x\": 03:00:00:00:00:01 is no address of one device" },
		{ VMM_NET_STREAM, 0x02, true, "network \"x\": not a stream socket" },
		{ VMM_NET_TAP, 0x02, true, "network \"x\": not a tap" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vmm_net config = { .name = "x", .kind = cases[i].kind };
		struct virtio_net *out = NULL;
		unsigned int fds;
		struct error err = { 0 };

		config.mac[0] = cases[i].first;
		config.mac[5] = 1;
		config.fd = cases[i].file ? blank_file(512) : dup(f->file);
		fds = open_fds();
		assert_true(virtio_net_new(&out, &config, &f->slot, &err) < 0);
		assert_null(out);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s", err.message);
		assert_int_equal(open_fds(), fds);
		close(config.fd);
	}
}

/* A guest's DHCPDISCOVER through a passt of its own is answered. */
static void test_passt(void **state)
{
	/* Ethernet, IPv4, UDP, BOOTP; without a checksum of UDP. */
	static const uint8_t head[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0,   0, 0,  0,  0x17, 0x08,
		0x00, 0x45, 0,	  1,	0x10, 0,    0,	  0,   0, 64, 17, 0x78, 0xde,
		0,    0,    0,	  0,	255,  255,  255,  255, 0, 68, 0,  67,	0,
		0xfc, 0,    0,	  1,	1,    6,    0,	  1,   2, 3,  4,
	};
	uint8_t frame[12 + 286] = { 0 }, reply[2048];
	struct vmm_net config = { .name = "passt", .kind = VMM_NET_STREAM };
	struct fixture *f = fixture_new();
	struct error err = { 0 };
	int pid, status;

	*state = NULL;
	if (vmm_net_passt(&config.fd, &pid, &err) < 0) {
		print_message("%s\n", err.message);
		teardown((void **)&f);
		skip();
	}
	memcpy(config.mac, mac, 6);
	assert_int_equal(virtio_net_new(&f->net, &config, &f->slot, NULL), 0);
	base_close(config.fd);
	f->dev = virtio_net_device(f->net);
	bring_up(f, VIRTIO_F_VERSION_1);
	memcpy(frame + 12, head, sizeof(head));
	memcpy(frame + 12 + 42 + 28, mac, 6);
	memcpy(frame + 12 + 42 + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
	memcpy(at(f, DATA + 8192, sizeof(frame)), frame, sizeof(frame));
	offer_buffers(f, 4, 2048);
	{
		const struct piece piece[] = { { DATA + 8192, sizeof(frame), false } };

		assert_int_equal(submit(f, TX, 1, piece), 0);
	}
	for (unsigned int i = 0; i < 100 && stats_of(f).rx_packets == 0 && !stats_of(f).peer_gone;
	     i++)
		wait_for_timer(f);
	assert_int_equal(stats_of(f).rx_packets, 1);
	memcpy(reply, at(f, DATA + 12, 300), 300);
	/* From port 67 to 68, a reply, to our transaction. */
	assert_memory_equal(reply + 34, "\0\x43\0\x44", 4);
	assert_int_equal(reply[42], 2);
	assert_memory_equal(reply + 46, "\1\2\3\4", 4);
	teardown((void **)&f);
	/* Its end is ours. */
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* What of this process is open without close-on-exec is not passt's. */
static void test_passt_has_one_fd(void **state)
{
	char dir[] = "/tmp/test-net-XXXXXX", path[64], *before = strdup(getenv("PATH"));
	int leaked = fcntl(STDOUT_FILENO, F_DUPFD, 100), fd, pid, status;
	FILE *f;

	(void)state;
	assert_true(leaked >= 100 && before && mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/passt", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n[ -e /dev/fd/3 ] && [ ! -e /dev/fd/%d ]\n", leaked);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
	setenv("PATH", dir, 1);
	assert_int_equal(vmm_net_passt(&fd, &pid, NULL), 0);
	setenv("PATH", before, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	close(leaked);
	unlink(path);
	rmdir(dir);
	free(before);
}

int main(void)
{
#define NET(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET(test_config),
		NET(test_transmit),
		NET(test_broken_requests),
		NET(test_receive),
		NET(test_merged_buffers),
		NET(test_link),
		NET(test_many_small_frames),
		NET(test_nonsense_from_the_network),
		NET(test_full_network),
		NET(test_limits),
		NET(test_bad_networks),
		cmocka_unit_test(test_passt),
		cmocka_unit_test(test_passt_has_one_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
