// SPDX-License-Identifier: Apache-2.0
/* A guest that does as it likes with the UART, on which somebody types meanwhile. */
#include "tests/fuzz/mmio_guest.h"
#include "vmm/uart.h"

static void text(void *data, const void *bytes, size_t n)
{
	volatile char last = ((const char *)bytes)[n - 1];

	(void)data;
	(void)last;
}

static void type(void *data, uint8_t value)
{
	char line[32];

	memset(line, value, sizeof(line));
	console_type(data, line, value % sizeof(line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmm_events events = { .console = text };
	struct console console = { 0 };
	struct uart *uart = NULL;
	int r;

	r = console_init(&console, &events, NULL);
	assert(r == 0);
	r = uart_new(&uart, &console, NULL);
	assert(r == 0);
	guest_run(uart_device(uart), data, size, type, &console);
	uart_free(uart);
	console_free(&console);
	return 0;
}
