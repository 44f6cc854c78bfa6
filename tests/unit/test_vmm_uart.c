// SPDX-License-Identifier: Apache-2.0
/*
 * The UART as Linux's 8250 driver probes and uses it, and the order and delivery of console text.
 */
#include "tests/unit/vmm_help.h"

#include "vmm/uart.h"

#define IER 1
#define IIR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6

struct fixture {
	struct test_vm sink;
	struct vmm_events events;
	struct console console;
	struct uart *uart;
	struct mmio_device *dev;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pthread_mutex_init(&f->sink.lock, NULL);
	pthread_cond_init(&f->sink.changed, NULL);
	f->events = test_events(&f->sink);
	assert_int_equal(console_init(&f->console, &f->events, NULL), 0);
	assert_int_equal(uart_new(&f->uart, &f->console, NULL), 0);
	f->dev = uart_device(f->uart);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	uart_free(f->uart);
	console_free(&f->console);
	free(f);
	return 0;
}

static void test_output(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(reg_read(f->dev, LSR), 0x60);
	for (const char *p = "hi\nthere"; *p; p++)
		reg_write(f->dev, 0, (uint8_t)*p);
	/* A whole line goes at once, the rest when its time is up. */
	assert_string_equal(f->sink.console, "hi\n");
	while (!eventfd_take(f->console.timer.fd))
		usleep(1000);
	f->console.timer.ready(&f->console.timer);
	assert_string_equal(f->sink.console, "hi\nthere");
	assert_int_equal(f->console.out_bytes, 8);
	for (int i = 0; i < 1000; i++)
		reg_write(f->dev, 0, 'x');
	console_flush(&f->console);
	assert_int_equal(f->sink.console_used, 1008);
}

/* With DLAB the first two registers are the divisor's, and nothing is printed. */
static void test_divisor(void **state)
{
	struct fixture *f = *state;

	reg_write(f->dev, LCR, 0x83);
	reg_write(f->dev, 0, 12);
	reg_write(f->dev, IER, 1);
	assert_int_equal(reg_read(f->dev, 0), 12);
	assert_int_equal(reg_read(f->dev, IER), 1);
	reg_write(f->dev, LCR, 3);
	assert_int_equal(reg_read(f->dev, IER), 0);
	assert_int_equal(reg_read(f->dev, LCR), 3);
	console_flush(&f->console);
	assert_int_equal(f->sink.console_used, 0);
	reg_write(f->dev, 7, 0x5a);
	assert_int_equal(reg_read(f->dev, 7), 0x5a);
	reg_write(f->dev, IER, 0xff);
	assert_int_equal(reg_read(f->dev, IER), 0x0f);
	/* No register: nothing there, nothing broken. */
	assert_int_equal(reg_read(f->dev, 8), 0);
	reg_write(f->dev, 0xfff, 1);
}

static void test_loopback(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(reg_read(f->dev, MSR), 0xb0);
	reg_write(f->dev, MCR, 0x1a); /* loop, OUT2, RTS: what Linux's probe writes */
	assert_int_equal(reg_read(f->dev, MSR) & 0xf0, 0x90);
	reg_write(f->dev, 0, 'q');
	assert_int_equal(reg_read(f->dev, LSR) & 1, 1);
	assert_int_equal(reg_read(f->dev, 0), 'q');
	assert_int_equal(reg_read(f->dev, LSR) & 1, 0);
	reg_write(f->dev, MCR, 0);
	console_flush(&f->console);
	assert_int_equal(f->sink.console_used, 0);
}

/* Linux's test for a chip that forgets the transmit interrupt: it must come at each enabling. */
static void test_transmit_interrupt(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		reg_write(f->dev, IER, 2);
		assert_true(irq_rang(f->dev));
		assert_int_equal(reg_read(f->dev, IIR), 2);
		assert_int_equal(reg_read(f->dev, IIR), 1);
		reg_write(f->dev, IER, 0);
	}
	reg_write(f->dev, IER, 2);
	reg_read(f->dev, IIR);
	irq_rang(f->dev);
	/*
	 * Each time that the handler has looked and then sent, it hears that there is room again.
	 */
	reg_write(f->dev, 0, 'a');
	assert_true(irq_rang(f->dev));
	reg_write(f->dev, 0, 'b');
	assert_false(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, IIR), 2);
	reg_write(f->dev, 0, 'c');
	assert_true(irq_rang(f->dev));
	reg_write(f->dev, IIR, 1);
	assert_int_equal(reg_read(f->dev, IIR), 0xc2);
	assert_int_equal(reg_read(f->dev, IIR), 0xc1);
}

static void test_input(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_type(&f->console, "ab", 2), 2);
	assert_false(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, LSR) & 1, 1);
	/* Waiting when the interrupt is enabled. */
	reg_write(f->dev, IER, 1);
	assert_true(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, IIR), 4);
	assert_int_equal(reg_read(f->dev, 0), 'a');
	/* A handler that left a byte behind hears of the next one. */
	assert_int_equal(console_type(&f->console, "c", 1), 1);
	assert_true(irq_rang(f->dev));
	assert_int_equal(reg_read(f->dev, 0), 'b');
	assert_int_equal(reg_read(f->dev, 0), 'c');
	assert_int_equal(reg_read(f->dev, IIR), 1);
	assert_int_equal(reg_read(f->dev, LSR) & 1, 0);
	assert_int_equal(reg_read(f->dev, 0), 0);
	console_type(&f->console, "d", 1);
	assert_true(irq_rang(f->dev));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_output),   TEST(test_divisor),
		TEST(test_loopback), TEST(test_transmit_interrupt),
		TEST(test_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
