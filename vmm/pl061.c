// SPDX-License-Identifier: Apache-2.0
/*
 * A PL061 with the power key on one pin and nothing on the others. A guest's gpio-keys driver takes
 * the key as an interrupt, which is how it is described. Source: ARM DDI 0190, the technical
 * reference manual of the PL061.
 */
#include "vmm/pl061.h"

#include <pthread.h>

/* --- Constants --- */

enum reg {
	REG_DATA_END = 0x400, /* below it, bits 9 to 2 of the address say which pins are meant */
	REG_DIR = 0x400,
	REG_IS = 0x404,
	REG_IBE = 0x408,
	REG_IEV = PL061_IEV,
	REG_IE = PL061_IE,
	REG_RIS = 0x414,
	REG_MIS = 0x418,
	REG_IC = PL061_IC,
	REG_AFSEL = 0x420,
	REG_ID = 0xfe0,
};

#define POWER (1u << PL061_POWER_PIN)

/* PeriphID0 to 3 and PCellID0 to 3, one a word. */
static const uint8_t id[] = { 0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

/* Of the tree: an interrupt specifier's second cell, and a key. */
#define EDGE_RISING 1u
#define KEY_POWER   116u

/* --- State --- */

struct pl061 {
	struct mmio_device mmio;
	pthread_mutex_t lock;
	uint8_t in, out, dir;
	uint8_t is, ibe, iev, ie, afsel;
	uint8_t edges; /* seen, and not yet cleared */
};

/* --- Interrupts --- */

static uint8_t raw_status(const struct pl061 *g)
{
	uint8_t active = (uint8_t) ~(g->in ^ g->iev);

	return (uint8_t)((g->is & active) | (~g->is & g->edges));
}

static uint8_t masked_status(const struct pl061 *g)
{
	return raw_status(g) & g->ie;
}

/* The output is a level; the guest's line is an edge. What a change leaves pending is told again. */
static void update_line(struct pl061 *g)
{
	if (masked_status(g))
		irq_raise(&g->mmio.irq);
}

static void set_inputs(struct pl061 *g, uint8_t in)
{
	uint8_t changed = (uint8_t)(g->in ^ in) & (uint8_t)~g->dir;

	/* Each change with both edges chosen, else the one towards what the event register has. */
	g->edges |= changed & (uint8_t)~g->is & (uint8_t)(g->ibe | ~(in ^ g->iev));
	g->in = in;
	update_line(g);
}

/* --- Registers --- */

static uint8_t read_reg(const struct pl061 *g, uint64_t off)
{
	switch (off) {
	case REG_DIR:
		return g->dir;
	case REG_IS:
		return g->is;
	case REG_IBE:
		return g->ibe;
	case REG_IEV:
		return g->iev;
	case REG_IE:
		return g->ie;
	case REG_RIS:
		return raw_status(g);
	case REG_MIS:
		return masked_status(g);
	case REG_AFSEL:
		return g->afsel;
	default:
		return 0;
	}
}

static void write_reg(struct pl061 *g, uint64_t off, uint8_t value)
{
	switch (off) {
	case REG_DIR:
		g->dir = value;
		return;
	case REG_IS:
		g->is = value;
		break;
	case REG_IBE:
		g->ibe = value;
		return;
	case REG_IEV:
		g->iev = value;
		break;
	case REG_IE:
		g->ie = value;
		break;
	case REG_IC:
		g->edges &= (uint8_t)~value;
		break;
	case REG_AFSEL:
		g->afsel = value;
		return;
	default:
		return;
	}
	update_line(g);
}

static uint64_t mmio_read(struct mmio_device *mmio, uint64_t off, unsigned int len)
{
	struct pl061 *g = CONTAINER_OF(mmio, struct pl061, mmio);
	uint8_t value;

	(void)len;
	if (off % 4 != 0)
		return 0;
	if (off >= REG_ID)
		return id[(off - REG_ID) / 4];
	pthread_mutex_lock(&g->lock);
	if (off < REG_DATA_END)
		value = (uint8_t)((off >> 2) & ((g->in & ~g->dir) | (g->out & g->dir)));
	else
		value = read_reg(g, off);
	pthread_mutex_unlock(&g->lock);
	return value;
}

static void mmio_write(struct mmio_device *mmio, uint64_t off, unsigned int len, uint64_t value)
{
	struct pl061 *g = CONTAINER_OF(mmio, struct pl061, mmio);
	uint8_t pins = (uint8_t)(off >> 2);

	(void)len;
	if (off % 4 != 0)
		return;
	pthread_mutex_lock(&g->lock);
	if (off < REG_DATA_END)
		g->out = (uint8_t)((g->out & ~pins) | (value & pins & g->dir));
	else
		write_reg(g, off, (uint8_t)value);
	pthread_mutex_unlock(&g->lock);
}

static void describe(const struct mmio_device *mmio, struct fdt_tree *tree)
{
	static const char compatible[] = "arm,pl061\0arm,primecell";

	tree_begin(tree, "gpio@%llx", PL061_BASE);
	tree_strings(tree, "compatible", compatible, sizeof(compatible));
	tree_reg(tree, mmio->base, mmio->size);
	tree_spi(tree, mmio->irq.spi);
	tree_u32(tree, "clocks", FDT_CLOCK_PHANDLE);
	tree_string(tree, "clock-names", "apb_pclk");
	tree_flag(tree, "gpio-controller");
	tree_u32(tree, "#gpio-cells", 2);
	tree_flag(tree, "interrupt-controller");
	tree_u32(tree, "#interrupt-cells", 2);
	tree_u32(tree, "phandle", FDT_GPIO_PHANDLE);
	tree_end(tree);

	/* By its interrupt alone: with the pin as well, a press must last until the guest looks. */
	tree_begin(tree, "gpio-keys");
	tree_string(tree, "compatible", "gpio-keys");
	tree_begin(tree, "power");
	tree_string(tree, "label", "Power");
	tree_u32(tree, "linux,code", KEY_POWER);
	tree_u32(tree, "interrupt-parent", FDT_GPIO_PHANDLE);
	tree_cells(tree, "interrupts", 2, (const uint32_t[]){ PL061_POWER_PIN, EDGE_RISING });
	tree_end(tree);
	tree_end(tree);
}

static const struct mmio_ops ops = {
	.read = mmio_read,
	.write = mmio_write,
	.describe = describe,
};

/* --- Set-up --- */

int pl061_new(struct pl061 **out, struct error *err)
{
	struct pl061 *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "GPIO");
	g->mmio = (struct mmio_device){
		.ops = &ops,
		.base = gpa(PL061_BASE),
		.size = PL061_SIZE,
		.irq.fd = -1,
	};
	pthread_mutex_init(&g->lock, NULL);
	r = irq_init(&g->mmio.irq, PL061_SPI, err);
	if (r < 0) {
		pl061_free(g);
		return r;
	}
	*out = g;
	return 0;
}

struct pl061 *pl061_free(struct pl061 *g)
{
	if (!g)
		return NULL;
	irq_free(&g->mmio.irq);
	pthread_mutex_destroy(&g->lock);
	free(g);
	return NULL;
}

struct mmio_device *pl061_device(struct pl061 *g)
{
	return &g->mmio;
}

void pl061_press(struct pl061 *g)
{
	pthread_mutex_lock(&g->lock);
	set_inputs(g, POWER);
	set_inputs(g, 0);
	pthread_mutex_unlock(&g->lock);
}
