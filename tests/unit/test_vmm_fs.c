// SPDX-License-Identifier: Apache-2.0
/* A shared directory as a guest's driver sees it, with good and bad back ends; and a virtiofsd. */
#include "tests/unit/vhost_user_help.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/vhost_user.h"
#include "vmm/virtio_fs.h"

#define FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC)

struct world {
	struct fixture *f;
	struct back back;
	struct virtio_fs *fs;
	unsigned int broken;
};

static void on_broken(void *data, struct virtio_mmio *dev)
{
	(void)dev;
	((struct world *)data)->broken++;
}

/* Starts the back end, whose faults have been chosen; the device is made when it accepts that. */
static int make(struct world *w, struct error *err)
{
	struct vmm_fs config = { .tag = "work", .fd = back_start(&w->back) };
	int r;

	w->f = fixture_new();
	r = virtio_fs_new(&w->fs, &config, &w->f->slot, err);
	base_close(config.fd);
	if (r < 0)
		return r;
	w->f->dev = virtio_fs_device(w->fs);
	w->f->dev->broken = on_broken;
	w->f->dev->broken_data = w;
	return 0;
}

static void unmake(struct world *w)
{
	virtio_fs_free(w->fs);
	back_stop(&w->back);
	teardown((void **)&w->f);
}

static void make_good(struct world *w)
{
	struct error err = { 0 };

	if (make(w, &err) < 0)
		fail_msg("%s", err.message);
}

/* What a driver does until the device is up, or not. */
static void try_up_with(struct world *w, uint64_t features)
{
	struct fixture *f = w->f;

	negotiate(f, features);
	for (uint32_t i = 0; i < BACK_QUEUES; i++) {
		set_queue(f, i, DESC + QUEUE_STEP * i);
		memset(at(f, AVAIL + QUEUE_STEP * i, 64), 0, 64);
		memset(at(f, USED + QUEUE_STEP * i, 128), 0, 128);
		f->avail[i] = 0;
	}
	wr(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	serve(f);
}

static void try_up(struct world *w)
{
	try_up_with(w, FEATURES);
}

/* A request goes all the way: the kick to the back end, its answer, and the interrupt. */
static void round_trip(struct world *w, unsigned int queue)
{
	static const struct piece pieces[] = { { DATA, 40, false }, { DATA + 64, 16, true } };
	unsigned int before = back_count(&w->back.completed);
	bool quit = false;

	(void)submit(w->f, queue, 2, pieces);
	while (back_count(&w->back.completed) == before || !eventfd_take(w->f->dev->mmio.irq.fd))
		assert_true(loop_turn(&w->f->loop, 60000, &quit));
	assert_int_equal(rd(w->f, INTERRUPT) & 1, 1);
	wr(w->f, ACK, 1);
	assert_int_equal(*at(w->f, USED + queue * QUEUE_STEP + 2, 1), w->f->avail[queue]);
	assert_int_equal(*at(w->f, USED + queue * QUEUE_STEP + 8 * (w->f->avail[queue] - 1) + 8, 1),
			 BACK_WRITTEN);
}

static void test_config(void **state)
{
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	assert_int_equal(rd(w.f, 0x008), 26);
	assert_int_equal(rd(w.f, 0x100), 0x6b726f77); /* "work" */
	assert_int_equal(rd(w.f, 0x104), 0);
	assert_int_equal(rd(w.f, 0x100 + 36), 1);
	/* What the back end has beyond the transport's own is not the guest's. */
	wr(w.f, 0x14, 0);
	assert_int_equal(rd(w.f, 0x10), 3u << 28);
	assert_int_equal(w.back.driver_protocol, 0x9);
	unmake(&w);
}

static void test_requests(void **state)
{
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	try_up(&w);
	assert_int_equal(rd(w.f, STATUS), 15);
	for (unsigned int i = 0; i < 5; i++)
		round_trip(&w, i % 2);
	assert_int_equal(w.back.driver_features, FEATURES | 1ull << 30);
	assert_int_equal(w.back.guest, BOOT_RAM_BASE);
	assert_int_equal(w.back.size, 4 * MIB);
	assert_int_equal(w.broken, 0);
	unmake(&w);
}

/* A back end that knows less: what it cannot do is not offered to the guest. */
static void test_fewer_features(void **state)
{
	struct world w = { .back.features = 1ull << 32 | 1ull << 30 };

	(void)state;
	make_good(&w);
	wr(w.f, 0x14, 0);
	assert_int_equal(rd(w.f, 0x10), 0);
	unmake(&w);
}

/* Each reset takes the queues back, and the next driver's requests go through again. */
static void test_reset(void **state)
{
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	wr(w.f, STATUS, 0);
	for (unsigned int i = 1; i <= 4; i++) {
		try_up(&w);
		assert_int_equal(rd(w.f, STATUS), 15);
		round_trip(&w, 1);
		round_trip(&w, 1);
		wr(w.f, STATUS, 0);
		assert_int_equal(rd(w.f, STATUS), 0);
		assert_int_equal(back_count(&w.back.stopped), 2 * i);
		assert_int_equal(back_count(&w.back.started), 2 * i);
		assert_int_equal(rd(w.f, INTERRUPT), 0);
	}
	/* In the midst of things: between features and DRIVER_OK, and with requests under way. */
	negotiate(w.f, FEATURES);
	wr(w.f, STATUS, 0);
	try_up(&w);
	for (unsigned int i = 0; i < 100; i++)
		wr(w.f, 0x50, i % 3);
	wr(w.f, STATUS, 0);
	try_up(&w);
	round_trip(&w, 0);
	assert_int_equal(w.broken, 0);
	unmake(&w);
}

/* A queue that is taken back is not touched; it goes on when it is ready again, where it is said. */
static void test_suspended_queue(void **state)
{
	static const struct piece piece[] = { { DATA, 40, false } };
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	try_up(&w);
	round_trip(&w, 1);
	wr(w.f, QUEUE_SEL, 1);
	wr(w.f, QUEUE_READY, 0);
	assert_int_equal(back_count(&w.back.stopped), 1);
	assert_int_equal(submit(w.f, 1, 1, piece), UINT32_MAX);
	round_trip(&w, 0);
	assert_int_equal(*at(w.f, USED + QUEUE_STEP + 2, 1), 1);
	memset(at(w.f, AVAIL + QUEUE_STEP, 64), 0, 64);
	memset(at(w.f, USED + QUEUE_STEP, 128), 0, 128);
	w.f->avail[1] = 0;
	set_queue(w.f, 1, DESC + QUEUE_STEP);
	assert_int_equal(rd(w.f, STATUS), 15);
	round_trip(&w, 1);
	assert_int_equal(w.broken, 0);
	unmake(&w);
}

/* A driver that sets up one queue only has that one. */
static void test_half_set_up(void **state)
{
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	negotiate(w.f, FEATURES);
	set_queue(w.f, 1, DESC + QUEUE_STEP);
	memset(at(w.f, AVAIL + QUEUE_STEP, 64), 0, 64);
	memset(at(w.f, USED + QUEUE_STEP, 128), 0, 128);
	wr(w.f, STATUS, 15);
	assert_int_equal(back_count(&w.back.started), 1);
	round_trip(&w, 1);
	unmake(&w);
}

/* Whatever is wrong with the answer to a greeting, there is no device, and an error. */
static void test_bad_greetings(void **state)
{
	static const unsigned int requests[] = { VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES,
						 VU_SET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,
						 VU_SET_OWNER };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		for (enum fault fault = FAULT_REFUSE; fault < FAULT_SILENT; fault++) {
			struct world w = { .back = { .bad_request = requests[i], .fault = fault } };
			unsigned int fds = open_fds();
			struct error err = { 0 };

			assert_true(make(&w, &err) < 0);
			assert_null(w.fs);
			assert_true(err.code == ERROR_UNAVAILABLE || err.code == ERROR_UNSUPPORTED);
			assert_memory_equal(err.message, "share \"work\": ", 14);
			unmake(&w);
			assert_int_equal(open_fds(), fds);
		}
}

/* The same while queues go over: the device needs a reset, and no reset helps. */
static void test_bad_starts(void **state)
{
	static const unsigned int requests[] = {
		VU_SET_FEATURES,   VU_SET_MEM_TABLE,  VU_SET_VRING_NUM,	 VU_SET_VRING_BASE,
		VU_SET_VRING_ADDR, VU_SET_VRING_CALL, VU_SET_VRING_KICK, VU_SET_VRING_ENABLE,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		for (enum fault fault = FAULT_REFUSE; fault < FAULT_SILENT; fault++) {
			struct world w = { .back = { .bad_request = requests[i], .fault = fault } };

			make_good(&w);
			try_up(&w);
			assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
			assert_int_equal(w.broken, 1);
			wr(w.f, STATUS, 0);
			try_up(&w);
			assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
			assert_int_equal(w.broken, 2);
			unmake(&w);
		}
}

/* And while they come back: the reset itself succeeds, and the device is good for nothing. */
static void test_bad_stops(void **state)
{
	(void)state;
	for (enum fault fault = FAULT_REFUSE; fault < FAULT_SILENT; fault++) {
		struct world w = { .back = { .bad_request = VU_GET_VRING_BASE, .fault = fault } };

		make_good(&w);
		try_up(&w);
		round_trip(&w, 1);
		wr(w.f, STATUS, 0);
		assert_int_equal(rd(w.f, STATUS), 0);
		assert_int_equal(w.broken, 0);
		try_up(&w);
		assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
		unmake(&w);
	}
}

/* A back end that ends, or speaks unasked: the guest is told, and goes on without it. */
static void test_death(void **state)
{
	(void)state;
	for (unsigned int unasked = 0; unasked < 2; unasked++) {
		struct world w = { 0 };

		bool quit = false;

		make_good(&w);
		try_up(&w);
		round_trip(&w, 1);
		if (unasked)
			assert_int_equal(send(w.back.sock, "x", 1, 0), 1);
		else
			(void)!write(w.back.quit[1], "", 1);
		while (!w.broken)
			assert_true(loop_turn(&w.f->loop, 60000, &quit));
		assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
		assert_int_equal(rd(w.f, INTERRUPT) & 2, 2);
		for (unsigned int i = 0; i < 10; i++) {
			wr(w.f, 0x50, 1);
			serve(w.f);
		}
		wr(w.f, STATUS, 0);
		try_up(&w);
		assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
		unmake(&w);
	}
}

/* It dies before the guest has a driver: nobody is told, until one comes. */
static void test_death_before_the_driver(void **state)
{
	struct world w = { 0 };

	(void)state;
	make_good(&w);
	shutdown(w.back.sock, SHUT_RDWR);
	serve(w.f);
	assert_int_equal(w.broken, 0);
	try_up(&w);
	assert_int_equal(rd(w.f, STATUS), 15 | NEEDS_RESET);
	assert_int_equal(w.broken, 1);
	unmake(&w);
}

/*
 * A back end that makes the eventfds it is given block whoever reads or writes them: neither the
 * guest's CPU nor the device thread does.
 */
static void test_jammed(void **state)
{
	struct world w = { .back.jams = true };

	(void)state;
	/* If one of them waits, then for ever. */
	alarm(120);
	make_good(&w);
	for (unsigned int i = 0; i < 3; i++) {
		try_up(&w);
		assert_int_equal(rd(w.f, STATUS), 15);
		for (unsigned int queue = 0; queue < BACK_QUEUES; queue++)
			wr(w.f, 0x50, queue);
		serve(w.f);
		wr(w.f, STATUS, 0);
		assert_int_equal(rd(w.f, STATUS), 0);
	}
	try_up(&w);
	shutdown(w.back.sock, SHUT_RDWR);
	while (!w.broken) {
		bool quit = false;

		assert_true(loop_turn(&w.f->loop, 60000, &quit));
	}
	assert_int_equal(rd(w.f, INTERRUPT) & 2, 2);
	unmake(&w);
	alarm(0);
}

/* --- A back end that is silent: by a device of our own, which waits less long --- */

struct patient {
	struct virtio_mmio dev;
	struct vhost_user vhost;
};

static void patient_start(struct virtio_mmio *dev)
{
	if (vhost_user_start(&CONTAINER_OF(dev, struct patient, dev)->vhost) < 0)
		virtio_needs_reset(dev);
}

static void patient_reset(struct virtio_mmio *dev)
{
	vhost_user_stop(&CONTAINER_OF(dev, struct patient, dev)->vhost);
}

static const struct virtio_ops patient_ops = {
	.name = "patient", .id = 26, .queues = 2, .start = patient_start, .reset = patient_reset
};

/* Returns what opening it did. */
static int patient_new(struct world *w, struct patient **out, unsigned int limit_ms,
		       struct error *err)
{
	struct patient *p = calloc(1, sizeof(*p));
	int fd = back_start(&w->back), r;

	assert_non_null(p);
	w->f = fixture_new();
	p->vhost = VHOST_USER_NONE;
	p->vhost.dev = &p->dev;
	p->vhost.limit_ms = limit_ms;
	assert_int_equal(virtio_mmio_init(&p->dev, &patient_ops, &w->f->slot, NULL), 0);
	r = vhost_user_open(&p->vhost, fd, 2, &w->f->loop, err);
	base_close(fd);
	w->f->dev = &p->dev;
	*out = p;
	return r;
}

static void patient_free(struct world *w, struct patient *p)
{
	vhost_user_close(&p->vhost);
	virtio_mmio_free(&p->dev);
	free(p);
	back_stop(&w->back);
	teardown((void **)&w->f);
}

static void test_silence(void **state)
{
	static const unsigned int requests[] = { VU_GET_FEATURES, VU_SET_MEM_TABLE,
						 VU_GET_VRING_BASE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct world w = { .back = { .bad_request = requests[i], .fault = FAULT_SILENT } };
		struct error err = { 0 };
		struct patient *p;
		/* What is answered has all the time there is. */
		int r = patient_new(&w, &p, i == 0 ? 20 : VHOST_USER_LIMIT_MS, &err);

		if (i == 0) {
			assert_int_equal(r, -ETIMEDOUT);
			assert_int_equal(err.code, ERROR_UNAVAILABLE);
		} else {
			assert_int_equal(r, 0);
			p->vhost.limit_ms = i == 1 ? 20 : VHOST_USER_LIMIT_MS;
			try_up(&w);
			p->vhost.limit_ms = 20;
			assert_int_equal(rd(w.f, STATUS) & NEEDS_RESET, i == 1 ? NEEDS_RESET : 0);
			wr(w.f, STATUS, 0);
			assert_int_equal(p->vhost.source.fd, -1);
		}
		patient_free(&w, p);
	}
}

/* Each answer comes in time, and all of them together do not. */
static void test_slowness(void **state)
{
	struct world w = { .back.delay_ms = 50 };
	struct patient *p;

	(void)state;
	assert_int_equal(patient_new(&w, &p, VHOST_USER_LIMIT_MS, NULL), 0);
	p->vhost.limit_ms = 400;
	try_up(&w);
	assert_int_equal(rd(w.f, STATUS) & NEEDS_RESET, NEEDS_RESET);
	assert_int_equal(p->vhost.source.fd, -1);
	patient_free(&w, p);
}

/* --- Refused configurations --- */

static void test_bad_shares(void **state)
{
	static const struct {
		const char *tag;
		enum { A_FILE, A_TCP, A_DATAGRAM, A_BACK_END } what;
		uint64_t features, protocol, queues;
		const char *message;
	} cases[] = {
		{ "x", A_FILE, 0, 0, 0, "share \"x\": not a unix stream socket" },
		{ "x", A_TCP, 0, 0, 0, "share \"x\": not a unix stream socket" },
		{ "x", A_DATAGRAM, 0, 0, 0, "share \"x\": not a unix stream socket" },
		{ "", A_BACK_END, 0, 0, 0, "share \"\": a tag has 1 to 36 bytes, not 0" },
		{ "0123456789012345678901234567890123456", A_BACK_END, 0, 0, 0,
		  "a tag has 1 to 36 bytes, not 37" },
		{ "x", A_BACK_END, 1ull << 32, 0, 0, "it has no protocol features" },
		{ "x", A_BACK_END, 0, 1, 0, "or confirm what it does" },
		{ "x", A_BACK_END, 0, 8, 0, "it cannot tell how many queues it has" },
		{ "x", A_BACK_END, 0, 0, 1, "it has 1 queues, 2 are needed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct back back = { .features = cases[i].features,
				     .protocol = cases[i].protocol,
				     .queues = cases[i].queues };
		struct fixture *f = fixture_new();
		struct virtio_fs *out = NULL;
		struct vmm_fs config = { .tag = cases[i].tag };
		struct error err = { 0 };

		config.fd = cases[i].what == A_FILE	  ? blank_file(512)
			    : cases[i].what == A_TCP	  ? socket(AF_INET, SOCK_STREAM, 0)
			    : cases[i].what == A_DATAGRAM ? socket(AF_UNIX, SOCK_DGRAM, 0)
							  : back_start(&back);
		assert_true(virtio_fs_new(&out, &config, &f->slot, &err) < 0);
		assert_null(out);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s", err.message);
		close(config.fd);
		if (cases[i].what == A_BACK_END)
			back_stop(&back);
		teardown((void **)&f);
	}
}

/* Through the library's door: what it refuses, and a VM that has two. */
static void test_through_the_door(void **state)
{
	struct vmm_fs shares[VMM_SHARES_MAX + 1] = { { "one", -1 }, { "one", -1 } };
	struct back back[2] = { { 0 }, { 0 } };
	struct vmm_events events;
	struct error err = { 0 };
	struct test_vm t;

	(void)state;
	test_vm_init(&t, NULL);
	events = test_events(&t);
	t.config.shares = shares;
	t.config.share_count = VMM_SHARES_MAX + 1;
	assert_true(vmm_create(&t.vmm, &t.config, &events, &err) < 0);
	assert_string_equal(err.message, "5 shares, 4 is the limit");
	assert_string_equal(err.field, "/spec/shares");
	t.config.share_count = 2;
	assert_true(vmm_create(&t.vmm, &t.config, &events, &err) < 0);
	assert_string_equal(err.message, "two shares have the tag \"one\"");
	shares[1].tag = NULL;
	assert_true(vmm_create(&t.vmm, &t.config, &events, &err) < 0);
	assert_string_equal(err.message, "share 1 has no tag");
	shares[1].tag = "two";
	t.config.lend = true;
	assert_true(vmm_create(&t.vmm, &t.config, &events, &err) < 0);
	assert_string_equal(err.message, "a VM whose memory is lent can have no shares");
	t.config.lend = false;
	for (unsigned int i = 0; i < 2; i++)
		shares[i].fd = back_start(&back[i]);
	test_vm_create(&t);
	for (unsigned int i = 0; i < 2; i++)
		close(shares[i].fd);
	test_vm_start(&t);
	vmm_stop(t.vmm);
	test_vm_wait(&t, test_ended);
	test_vm_free(&t);
	for (unsigned int i = 0; i < 2; i++)
		back_stop(&back[i]);
}

/* --- A virtiofsd --- */

#define FUSE_INIT   26u
#define FUSE_LOOKUP 1u
#define FUSE_CREATE 35u

static int remove_all(const char *directory)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

/* One request of FUSE; returns the error of its answer, which lies at DATA + 0x1000. */
static int32_t fuse(struct world *w, uint32_t opcode, const void *args, uint32_t n)
{
	const struct piece pieces[] = { { DATA, 40 + n, false }, { DATA + 0x1000, 512, true } };
	uint8_t *p = at(w->f, DATA, 40 + n);
	bool quit = false;
	int32_t error;

	memset(p, 0, 40);
	put_le(p, 40 + n, 4);
	put_le(p + 4, opcode, 4);
	put_le(p + 8, w->f->avail[1] + 1, 8);
	put_le(p + 16, opcode == FUSE_INIT ? 0 : 1, 8);
	memcpy(p + 40, args, n);
	if (submit(w->f, 1, 2, pieces) == UINT32_MAX)
		do
			assert_true(loop_turn(&w->f->loop, 60000, &quit));
		while (!eventfd_take(w->f->dev->mmio.irq.fd) ||
		       *at(w->f, USED + QUEUE_STEP + 2, 1) != (uint8_t)w->f->avail[1]);
	memcpy(&error, at(w->f, DATA + 0x1004, 4), 4);
	return error;
}

static void init_fuse(struct world *w)
{
	uint8_t init[16] = { 0 };

	put_le(init, 7, 4);
	put_le(init + 4, 31, 4);
	assert_int_equal(fuse(w, FUSE_INIT, init, sizeof(init)), 0);
	assert_int_equal(*at(w->f, DATA + 0x1010, 1), 7);
}

static int start_share(const char *path, bool read_only, int *fd, int *pid, struct error *err)
{
	_cleanup_close_ int directory = open(path, O_PATH | O_CLOEXEC);

	return vmm_fs_start(directory, read_only, fd, pid, err);
}

/* While its path leads elsewhere. */
static int start_swapped(const char *path, bool read_only, int *fd, int *pid, struct error *err)
{
	_cleanup_close_ int directory = open(path, O_PATH | O_CLOEXEC);
	char away[64];
	int r;

	snprintf(away, sizeof(away), "%s.away", path);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink("/etc", path), 0);
	r = vmm_fs_start(directory, read_only, fd, pid, err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(away, path), 0);
	return r;
}

/* A file of its own: looked up, and created where that may be; again after a reset. */
static void try_share(const char *directory, bool read_only)
{
	struct vmm_fs config = { .tag = "work" };
	struct world w = { 0 };
	struct error err = { 0 };
	uint8_t create[16 + 4] = { 0 };
	char path[64];
	int pid, status;

	if (start_swapped(directory, read_only, &config.fd, &pid, &err) < 0)
		fail_msg("%s", err.message);
	w.f = fixture_new();
	if (virtio_fs_new(&w.fs, &config, &w.f->slot, &err) < 0)
		fail_msg("%s", err.message);
	close(config.fd);
	w.f->dev = virtio_fs_device(w.fs);
	for (unsigned int i = 0; i < 2; i++) {
		/* Without event indices each answer has its interrupt. */
		try_up_with(&w, VIRTIO_F_VERSION_1);
		assert_int_equal(rd(w.f, STATUS), 15);
		init_fuse(&w);
		assert_int_equal(fuse(&w, FUSE_LOOKUP, "there", 6), 0);
		assert_int_equal(fuse(&w, FUSE_LOOKUP, "nowhere", 8), -ENOENT);
		assert_int_equal(fuse(&w, FUSE_LOOKUP, "passwd", 7), -ENOENT);
		put_le(create, O_RDWR, 4);
		put_le(create + 4, 0644, 4);
		memcpy(create + 16, "new", 4);
		assert_int_equal(fuse(&w, FUSE_CREATE, create, sizeof(create)),
				 read_only ? -EROFS : 0);
		wr(w.f, STATUS, 0);
	}
	snprintf(path, sizeof(path), "%s/new", directory);
	assert_int_equal(access(path, F_OK), read_only ? -1 : 0);
	virtio_fs_free(w.fs);
	teardown((void **)&w.f);
	/* Its end is ours. */
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_virtiofsd(void **state)
{
	char directory[] = "/tmp/test-share-XXXXXX", path[64];
	unsigned int fds = open_fds();
	struct error err = { 0 };
	int fd = -1, pid = -1;

	(void)state;
	assert_true(start_share("/nowhere", false, &fd, &pid, &err) < 0);
	if (err.code != ERROR_INVALID_ARGUMENT)
		fail_msg("%s", err.message);
	assert_true(start_share("/etc/passwd", false, &fd, &pid, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/there", directory);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	if (start_share(directory, false, &fd, &pid, &err) < 0) {
		print_message("%s\n", err.message);
		remove_all(directory);
		skip();
	}
	/* One that nobody greets ends as well. */
	close(fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	try_share(directory, true);
	try_share(directory, false);
	assert_int_equal(remove_all(directory), 0);
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_fewer_features),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_suspended_queue),
		cmocka_unit_test(test_half_set_up),
		cmocka_unit_test(test_bad_greetings),
		cmocka_unit_test(test_bad_starts),
		cmocka_unit_test(test_bad_stops),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_death_before_the_driver),
		cmocka_unit_test(test_jammed),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_slowness),
		cmocka_unit_test(test_bad_shares),
		cmocka_unit_test(test_through_the_door),
		cmocka_unit_test(test_virtiofsd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
