// SPDX-License-Identifier: Apache-2.0
/*
 * A 16550A as far as a driver can see one that sends at once: the transmitter is always empty. One
 * byte a register, no gaps (earlycon=uart8250,mmio,0x09000000). Source: the PC16550D data sheet.
 */
#include "vmm/uart.h"

#include <pthread.h>

/* --- Constants --- */

enum reg {
	REG_DATA = 0, /* RBR and THR; divisor low with DLAB */
	REG_IER = 1,  /* divisor high with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
	REG_COUNT = 8,
};

#define IER_RX	   0x01u
#define IER_TX	   0x02u
#define IER_MASK   0x0fu
#define IIR_NONE   0x01u
#define IIR_TX	   0x02u
#define IIR_RX	   0x04u
#define IIR_FIFO   0xc0u
#define FCR_ENABLE 0x01u
#define LCR_DLAB   0x80u
#define MCR_MASK   0x1fu
#define MCR_DTR	   0x01u
#define MCR_RTS	   0x02u
#define MCR_OUT1   0x04u
#define MCR_OUT2   0x08u
#define MCR_LOOP   0x10u
#define LSR_READY  0x01u
#define LSR_EMPTY  0x60u /* holding register and transmitter */
#define MSR_CTS	   0x10u
#define MSR_DSR	   0x20u
#define MSR_RI	   0x40u
#define MSR_DCD	   0x80u

#define CLOCK_HZ 1843200u

/* --- State --- */

struct uart {
	struct mmio_device mmio;
	struct console *console;
	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	bool tx_pending; /* THR became empty and nobody read that in IIR */
	bool loop_full;
	uint8_t loop_byte;
	bool line; /* what the interrupt output was when we last looked */
};

/* --- Interrupts --- */

static bool rx_ready(struct uart *u)
{
	return u->mcr & MCR_LOOP ? u->loop_full : console_pending(u->console, CONSOLE_UART);
}

static uint8_t interrupt_id(struct uart *u)
{
	if ((u->ier & IER_RX) && rx_ready(u))
		return IIR_RX;
	if ((u->ier & IER_TX) && u->tx_pending)
		return IIR_TX;
	return IIR_NONE;
}

/* The output is a level; the guest's line is an edge. */
static void update_line(struct uart *u, bool again)
{
	bool line = interrupt_id(u) != IIR_NONE;

	if (line && (again || !u->line))
		irq_raise(&u->mmio.irq);
	u->line = line;
}

static void typed(void *data)
{
	struct uart *u = data;

	pthread_mutex_lock(&u->lock);
	/* A handler that gave up with bytes left must hear of the next. */
	update_line(u, true);
	pthread_mutex_unlock(&u->lock);
}

/* --- Registers --- */

static uint8_t read_data(struct uart *u)
{
	uint8_t byte = 0;

	if (u->mcr & MCR_LOOP) {
		byte = u->loop_full ? u->loop_byte : 0;
		u->loop_full = false;
	} else {
		console_take(u->console, CONSOLE_UART, &byte, 1);
	}
	return byte;
}

static uint8_t read_iir(struct uart *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_TX)
		u->tx_pending = false;
	return (uint8_t)(id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

/* In loop-back the outputs come in again. */
static uint8_t read_msr(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint8_t read_reg(struct uart *u, enum reg reg)
{
	switch (reg) {
	case REG_DATA:
		return u->lcr & LCR_DLAB ? u->dll : read_data(u);
	case REG_IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return (uint8_t)(LSR_EMPTY | (rx_ready(u) ? LSR_READY : 0));
	case REG_MSR:
		return read_msr(u);
	case REG_SCR:
		return u->scr;
	default:
		return 0;
	}
}

/* Whether the byte goes out to the console. */
static bool write_data(struct uart *u, uint8_t value)
{
	if (u->lcr & LCR_DLAB) {
		u->dll = value;
		return false;
	}
	u->tx_pending = true;
	if (!(u->mcr & MCR_LOOP))
		return true;
	u->loop_byte = value;
	u->loop_full = true;
	return false;
}

static void write_ier(struct uart *u, uint8_t value)
{
	if (u->lcr & LCR_DLAB) {
		u->dlm = value;
		return;
	}
	/* Enabling it while the register is empty, which it always is, is an event. */
	if ((value & IER_TX) && !(u->ier & IER_TX))
		u->tx_pending = true;
	u->ier = value & IER_MASK;
}

static bool write_reg(struct uart *u, enum reg reg, uint8_t value)
{
	switch (reg) {
	case REG_DATA:
		return write_data(u, value);
	case REG_IER:
		write_ier(u, value);
		break;
	case REG_IIR:
		u->fcr = value;
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & MCR_MASK;
		break;
	case REG_SCR:
		u->scr = value;
		break;
	default:
		break;
	}
	return false;
}

static uint64_t mmio_read(struct mmio_device *mmio, uint64_t off, unsigned int len)
{
	struct uart *u = CONTAINER_OF(mmio, struct uart, mmio);
	uint8_t value;

	(void)len;
	if (off >= REG_COUNT)
		return 0;
	pthread_mutex_lock(&u->lock);
	value = read_reg(u, (enum reg)off);
	update_line(u, false);
	pthread_mutex_unlock(&u->lock);
	return value;
}

static void mmio_write(struct mmio_device *mmio, uint64_t off, unsigned int len, uint64_t value)
{
	struct uart *u = CONTAINER_OF(mmio, struct uart, mmio);
	uint8_t byte = (uint8_t)value;
	bool out;

	(void)len;
	if (off >= REG_COUNT)
		return;
	pthread_mutex_lock(&u->lock);
	out = write_reg(u, (enum reg)off, byte);
	update_line(u, false);
	pthread_mutex_unlock(&u->lock);
	if (!out)
		return;
	/* Outside the lock: the event may take its time, and typing must not wait for it. */
	console_output(u->console, CONSOLE_UART, &byte, 1);
	pthread_mutex_lock(&u->lock);
	update_line(u, false);
	pthread_mutex_unlock(&u->lock);
}

static void describe(const struct mmio_device *mmio, struct fdt_tree *tree)
{
	tree_begin(tree, "%s", &UART_PATH[1]);
	tree_string(tree, "compatible", "ns16550a");
	tree_reg(tree, mmio->base, mmio->size);
	tree_spi(tree, mmio->irq.spi);
	tree_u32(tree, "clock-frequency", CLOCK_HZ);
	tree_u32(tree, "current-speed", 115200);
	tree_end(tree);
}

static const struct mmio_ops ops = {
	.read = mmio_read,
	.write = mmio_write,
	.describe = describe,
};

/* --- Set-up --- */

int uart_new(struct uart **out, struct console *console, struct error *err)
{
	struct uart *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "UART");
	u->mmio = (struct mmio_device){
		.ops = &ops,
		.base = gpa(UART_BASE),
		.size = UART_SIZE,
		.irq.fd = -1,
	};
	u->console = console;
	pthread_mutex_init(&u->lock, NULL);
	r = irq_init(&u->mmio.irq, UART_SPI, err);
	if (r < 0) {
		uart_free(u);
		return r;
	}
	console_listen(console, CONSOLE_UART, typed, u);
	*out = u;
	return 0;
}

struct uart *uart_free(struct uart *u)
{
	if (!u)
		return NULL;
	irq_free(&u->mmio.irq);
	pthread_mutex_destroy(&u->lock);
	free(u);
	return NULL;
}

struct mmio_device *uart_device(struct uart *u)
{
	return &u->mmio;
}
