/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A at a fixed place: the console that works from the kernel's first instruction.
 */
#ifndef CROFT_VMM_UART_H
#define CROFT_VMM_UART_H

#include "vmm/bus.h"
#include "vmm/console.h"

#define UART_BASE 0x09000000ull
#define UART_SIZE 0x1000ull
#define UART_SPI  32u
#define UART_PATH "/serial@9000000"

struct uart;

/* The console outlives the UART, and is used on CONSOLE_UART. On failure *out is untouched. */
int uart_new(struct uart **out, struct console *console, struct error *err);
struct uart *uart_free(struct uart *uart);

struct mmio_device *uart_device(struct uart *uart);

#endif
