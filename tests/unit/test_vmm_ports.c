// SPDX-License-Identifier: Apache-2.0
/* Named ports as a guest's driver sees them, and the size of the console. */
#include "tests/unit/virtio_help.h"

#include "vmm/virtio_ports.h"

#define MULTIPORT  (1ull << 1)
#define RX0	   0u
#define TX0	   1u
#define CONTROL_RX 2u
#define CONTROL_TX 3u
#define RX1	   4u
#define TX1	   5u

/* Typed from virtio 1.2, section 5.3.6.2, and not taken from the code under test. */
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 };

static void heard(void *data, unsigned int port, const void *bytes, size_t n)
{
	struct test_vm *t = data;

	t->console[t->console_used++] = (char)('0' + port);
	memcpy(t->console + t->console_used, bytes, n);
	t->console_used += n;
}

static int setup(void **state)
{
	static const char *const names[] = { "org.croft.one", "org.croft.two" };
	struct fixture *f = fixture_new();
	struct virtio_ports_config config = { .names = names, .count = 2, .events = &f->events };
	struct error err = { 0 };

	mem_free(&f->mem);
	assert_int_equal(mem_init(&f->mem, gpa(BOOT_RAM_BASE), 16 * MIB, NULL), 0);
	f->events.port = heard;
	if (virtio_ports_new(&f->ports, &config, &f->slot, &err) < 0)
		fail_msg("%s", err.message);
	f->dev = virtio_ports_device(f->ports);
	bring_up(f, VIRTIO_F_VERSION_1 | MULTIPORT);
	*state = f;
	return 0;
}

static void say(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	static const struct piece piece[] = { { DATA, 8, false } };

	put_le(at(f, DATA, 8), id | (uint64_t)event << 32 | (uint64_t)value << 48, 8);
	assert_int_equal(submit(f, CONTROL_TX, 1, piece), 0);
}

/* What the device says next: id, event and value; text is what follows. */
static void is_told(struct fixture *f, uint32_t id, uint16_t event, const char *text)
{
	static const struct piece piece[] = { { DATA + 256, 128, true } };
	uint8_t expected[8];

	put_le(expected, id | (uint64_t)event << 32 | 1ull << 48, 8);
	assert_int_equal(submit(f, CONTROL_RX, 1, piece), 8 + strlen(text));
	assert_memory_equal(at(f, DATA + 256, 8), expected, 8);
	assert_memory_equal(at(f, DATA + 264, 64), text, strlen(text));
}

static void test_ports(void **state)
{
	struct fixture *f = *state;
	static const struct piece out[] = { { DATA, 5, false } },
				  in[] = { { DATA + 512, 3, true } };

	assert_int_equal(rd(f, 0x008), 3);
	assert_int_equal(rd(f, 0x104), 2);
	say(f, 0, DEVICE_READY, 1);
	is_told(f, 0, PORT_ADD, "");
	is_told(f, 1, PORT_ADD, "");
	say(f, 1, PORT_READY, 1);
	is_told(f, 1, PORT_NAME, "org.croft.two");
	is_told(f, 1, PORT_OPEN, "");
	/* Nobody has it open yet. */
	assert_int_equal(virtio_ports_write(f->ports, 1, "x", 1), 0);
	say(f, 1, PORT_OPEN, 1);
	assert_int_equal(virtio_ports_write(f->ports, 0, "x", 1), 0);
	assert_int_equal(virtio_ports_write(f->ports, 7, "x", 1), 0);
	assert_int_equal(virtio_ports_write(f->ports, 1, "abcde", 5), 5);
	assert_int_equal(submit(f, RX1, 1, in), 3);
	assert_memory_equal(at(f, DATA + 512, 3), "abc", 3);
	assert_int_equal(submit(f, RX1, 1, in), 2);
	assert_memory_equal(at(f, DATA + 512, 2), "de", 2);
	memcpy(at(f, DATA, 5), "hello", 5);
	assert_int_equal(submit(f, TX1, 1, out), 0);
	assert_int_equal(submit(f, TX0, 1, out), 0);
	assert_memory_equal(f->sink.console, "1hello0hello", 12);
	/* Bounded, and empty again after a reset. */
	for (unsigned int i = 0; i < VIRTIO_PORT_BUFFER / 4; i++)
		assert_int_equal(virtio_ports_write(f->ports, 1, "1234", 4), 4);
	assert_int_equal(virtio_ports_write(f->ports, 1, "x", 1), 0);
	bring_up(f, VIRTIO_F_VERSION_1 | MULTIPORT);
	assert_int_equal(virtio_ports_write(f->ports, 1, "x", 1), 0);
	assert_int_equal(submit(f, RX1, 1, in), UINT32_MAX);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
}

static void test_broken(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t queue;
		struct piece piece;
	} cases[] = {
		{ CONTROL_TX, { DATA, 7, false } },
		{ CONTROL_TX, { DATA, 8, true } },
		{ CONTROL_RX, { DATA, 7, true } },
		{ CONTROL_RX, { DATA, 8, false } },
		{ TX1, { DATA, 8, true } },
		{ RX0, { DATA, 8, false } },
		{ TX0, { BOOT_RAM_BASE, 2u << 20, false } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bring_up(f, VIRTIO_F_VERSION_1 | MULTIPORT);
		assert_int_equal(submit(f, cases[i].queue, 1, &cases[i].piece), UINT32_MAX);
		if (!(rd(f, STATUS) & NEEDS_RESET))
			fail_msg("case %zu", i);
	}
	/* Ports that are not there. */
	bring_up(f, VIRTIO_F_VERSION_1 | MULTIPORT);
	say(f, 2, PORT_READY, 1);
	say(f, UINT32_MAX, PORT_OPEN, 1);
	say(f, 0, 77, 77);
	assert_int_equal(rd(f, STATUS) & NEEDS_RESET, 0);
	assert_int_equal(f->sink.console_used, 0);
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"", "a/b", "a-name-of-more-than-sixty-three-characters-which-is-too-long-for-a-port"
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_ports_config config = { .names = &bad[i],
						      .count = 1,
						      .events = &f->events };
		struct virtio_ports *out = NULL;
		struct error err = { 0 };

		assert_true(virtio_ports_new(&out, &config, &f->slot, &err) < 0);
		assert_string_equal(err.message,
				    "ports: port 0 needs a name of 1 to 63 characters without /");
		assert_null(out);
	}
}

static void test_console_size(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	assert_int_equal(virtio_console_new(&f->vc, &f->console, &f->slot, NULL), 0);
	f->dev = virtio_console_device(f->vc);
	wr(f, 0x14, 0);
	assert_int_equal(rd(f, 0x10) & 1, 1);
	assert_int_equal(rd(f, 0x100), 24u << 16 | 80);
	bring_up(f, VIRTIO_F_VERSION_1 | 1);
	virtio_console_resize(f->vc, 132, 43);
	assert_int_equal(rd(f, 0x100), 43u << 16 | 132);
	assert_int_equal(rd(f, INTERRUPT), 2);
	wr(f, ACK, 2);
	virtio_console_resize(f->vc, 132, 43);
	assert_int_equal(rd(f, INTERRUPT), 0);
	teardown((void **)&f);
}

int main(void)
{
#define PORTS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		PORTS(test_ports),
		PORTS(test_broken),
		PORTS(test_names),
		cmocka_unit_test(test_console_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
