// SPDX-License-Identifier: Apache-2.0
/*
 * Loads an arm64 Image, raw or packed, and an initrd. Both files are untrusted: every length is
 * checked against RAM.
 */
#include "vmm/boot.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/fdt.h"

/* The first 64 bytes of an Image, little-endian. */
struct image_header {
	uint32_t code[2];
	uint64_t text_offset; /* from a 2 MiB boundary to where the Image must lie */
	uint64_t image_size;  /* with BSS; 0 before Linux 3.17 */
	uint64_t flags;
	uint64_t reserved[3];
	uint8_t magic[4];
	uint32_t pe_offset;
};
static_assert(sizeof(struct image_header) == 64, "arm64 Image header");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian host");

#define IMAGE_MAGIC	      "ARM\x64"
#define IMAGE_FLAG_BIG_ENDIAN 1u

static uint64_t align_up(uint64_t v)
{
	return (v + BOOT_ALIGN - 1) & ~(BOOT_ALIGN - 1);
}

static int too_small(const struct mem *mem, const char *what, uint64_t need, struct error *err)
{
	return error_raise_field(err, "/spec/memory_bytes",
				 "%s needs %llu MiB of memory, the VM has %llu MiB", what,
				 (unsigned long long)((need + (1u << 20) - 1) >> 20),
				 (unsigned long long)(mem->size >> 20));
}

static int file_size(int fd, uint64_t *size, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "stat");
	if (!S_ISREG(st.st_mode))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not a regular file");
	*size = (uint64_t)st.st_size;
	return 0;
}

static int read_file(int fd, void *to, uint64_t size, struct error *err)
{
	int r = pread_all(fd, to, size, 0);

	if (r < 0)
		return error_raise_errno(err, ERROR_INTERNAL, -r, "read");
	return 0;
}

static int check_header(const struct image_header *h, struct error *err)
{
	if (memcmp(h->magic, IMAGE_MAGIC, sizeof(h->magic)) != 0)
		return error_raise(err, ERROR_DATA_LOSS, "not an arm64 Image");
	if (h->flags & IMAGE_FLAG_BIG_ENDIAN)
		return error_raise(err, ERROR_DATA_LOSS, "a big-endian arm64 Image");
	if (h->image_size == 0 || h->text_offset != 0)
		return error_raise(
			err, ERROR_DATA_LOSS,
			"an arm64 Image for text offset 0x%llx; Linux 5.8 and later have 0",
			(unsigned long long)h->text_offset);
	return 0;
}

/* What lies in memory is the Image's file part; its header says how much it takes with BSS. */
static int kernel_extent(const struct mem *mem, uint64_t loaded, struct boot_layout *layout,
			 struct error *err)
{
	struct image_header h;
	int r;

	if (loaded < sizeof(h))
		return error_raise(err, ERROR_DATA_LOSS, "not an arm64 Image");
	memcpy(&h, mem->host, sizeof(h));
	r = check_header(&h, err);
	if (r < 0)
		return r;
	layout->kernel_size = h.image_size > loaded ? h.image_size : loaded;
	/* Where a driver for them is built in, so is the name that it is found by. */
	layout->knows_dma_pools = memmem(mem->host, loaded, FDT_DMA_POOL, sizeof(FDT_DMA_POOL)) !=
				  NULL;
	if (layout->kernel_size > mem->size ||
	    align_up(layout->kernel_size) + BOOT_DTB_SIZE > mem->size)
		return too_small(mem, "the kernel", layout->kernel_size, err);
	layout->dtb = gpa(mem->base.v + align_up(layout->kernel_size));
	return 0;
}

static int load_kernel(struct mem *mem, int fd, struct boot_layout *layout, struct error *err)
{
	uint64_t size, room = mem->size - BOOT_DTB_SIZE;
	uint8_t magic[BOOT_MAGIC_SIZE] = { 0 };
	boot_unpack_fn *unpack;
	int r;

	r = file_size(fd, &size, err);
	if (r < 0)
		return r;
	r = read_file(fd, magic, size < sizeof(magic) ? size : sizeof(magic), err);
	if (r < 0)
		return r;
	unpack = boot_unpacker(magic);
	if (unpack) {
		r = unpack(fd, mem->host, room, &size, err);
		if (r == -E2BIG)
			return too_small(mem, "the unpacked kernel", room + 1, err);
	} else {
		if (size > room)
			return too_small(mem, "the kernel", size, err);
		r = read_file(fd, mem->host, size, err);
	}
	if (r < 0)
		return r;
	return kernel_extent(mem, size, layout, err);
}

static int load_initrd(struct mem *mem, int fd, struct boot_layout *layout, struct error *err)
{
	uint64_t off = layout->dtb.v + BOOT_DTB_SIZE - mem->base.v, size;
	int r;

	r = file_size(fd, &size, err);
	if (r < 0)
		return r;
	if (size == 0)
		return error_raise(err, ERROR_DATA_LOSS, "an empty file");
	if (off >= mem->size || size > mem->size - off)
		return too_small(mem, "kernel and initrd",
				 size > UINT64_MAX - off ? size : off + size, err);
	r = read_file(fd, mem->host + off, size, err);
	if (r < 0)
		return r;
	/* More than all memory could not be unpacked by the guest either. */
	r = initrd_check(mem->host + off, size, mem->size, err);
	if (r < 0)
		return r;
	layout->initrd = gpa(mem->base.v + off);
	layout->initrd_size = size;
	return 0;
}

int boot_load(struct mem *mem, int kernel_fd, int initrd_fd, struct boot_layout *layout,
	      struct error *err)
{
	struct boot_layout l = { 0 };

	assert(mem->size > BOOT_DTB_SIZE && mem->base.v % BOOT_ALIGN == 0);
	if (load_kernel(mem, kernel_fd, &l, err) < 0)
		return error_widen(err, "kernel");
	if (initrd_fd >= 0 && load_initrd(mem, initrd_fd, &l, err) < 0)
		return error_widen(err, "initrd");
	*layout = l;
	return 0;
}
