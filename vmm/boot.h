/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts kernel and initrd into guest memory, and says where everything lies.
 */
#ifndef CROFT_VMM_BOOT_H
#define CROFT_VMM_BOOT_H

#include "vmm/mem.h"

#define BOOT_RAM_BASE 0x80000000ull
/* RAM ends with what the resource manager can address, and memory below it begins above devices. */
#define BOOT_RAM_END (1ull << 36)
#define BOOT_RAM_LOW 0x40000000ull
#define BOOT_ALIGN   (2ull << 20)
/* Room for the tree; the resource manager needs twice the tree's final size. */
#define BOOT_DTB_SIZE (2ull << 20)

/*
 * From the bottom of RAM, each part on 2 MiB: kernel with its BSS, device tree, initrd. The kernel
 * begins at the very first byte, because that is where the resource manager enters.
 */
struct boot_layout {
	uint64_t kernel_size; /* bytes that the kernel occupies, from the base of RAM */
	gpa_t dtb;	      /* BOOT_DTB_SIZE bytes */
	gpa_t initrd;
	uint64_t initrd_size; /* 0: none */
	bool knows_dma_pools; /* a Linux with DMA_RESTRICTED_POOL */
};

/*
 * Loads from the start of both files (arm64 Image, raw, gzip or zstd; initrd_fd may be -1),
 * whatever their offsets, and fills *layout. Errors: DATA_LOSS (a file that is not what it should be, or
 * ends early), INVALID_ARGUMENT with the field /spec/memory_bytes (it does not fit), INTERNAL
 * (cannot read). Source: Linux, Documentation/arm64/booting.rst.
 */
int boot_load(struct mem *mem, int kernel_fd, int initrd_fd, struct boot_layout *layout,
	      struct error *err);

/*
 * What unpacks a file that begins so, or NULL: the whole of fd into at most room bytes at `to`.
 * -E2BIG, and *err is not raised, when that is too little. Errors: DATA_LOSS, RESOURCE_EXHAUSTED,
 * INTERNAL. unpack.c.
 */
#define BOOT_MAGIC_SIZE 4u
typedef int boot_unpack_fn(int fd, uint8_t *to, uint64_t room, uint64_t *unpacked,
			   struct error *err);
boot_unpack_fn *boot_unpacker(const uint8_t *magic);

/*
 * Whether the n bytes at data are one or more whole archives, each cpio, gzip, zstd, xz or lz4: a
 * truncated file is DATA_LOSS. Nothing is unpacked to memory, and no more than limit bytes are
 * unpacked at all. initrd.c.
 */
int initrd_check(const uint8_t *data, size_t n, uint64_t limit, struct error *err);

#endif
