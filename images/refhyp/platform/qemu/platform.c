/* SPDX-License-Identifier: GPL-2.0-only */
/* QEMU's virt machine with 2 GiB: the lower one belongs to the primary VM, the upper one to the hypervisor. */
#include "core/platform.h"

const struct platform platform = {
	.primary_ram = { 0x40000000, 0x40000000 },
	.hyp_ram = { 0x80000000, 0x40000000 },
	/* Everything below RAM but 0x08000000 to 0x08ffffff, where the interrupt controller lies. */
	.devices = {
		{ 0x00000000, 0x08000000 },
		{ 0x09000000, 0x37000000 },
	},
	.uart = 0x09000000,
	.gicd = 0x08000000,
	.gicr = 0x080a0000,
	.dtb = 0x40f00000,
	.dtb_capacity = 0x100000,
	.kernel = 0x41000000,
};
