// SPDX-License-Identifier: Apache-2.0
/*
 * Kernel and initrd files of an image server that lies: the first two bytes say how the input is
 * split.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/boot.h"

#define RAM (8ull << 20)

static int file_of(const uint8_t *bytes, size_t n)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert(fd >= 0);
	if (pwrite_all(fd, bytes, n, 0) < 0)
		abort();
	return fd;
}

/* An honest Image, so that inputs reach the initrd. */
static int good_kernel(void)
{
	uint8_t image[128] = { [18] = 0x10, [56] = 'A', [57] = 'R', [58] = 'M', [59] = 0x64 };

	return file_of(image, sizeof(image));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int kernel = -1, initrd = -1;
	struct boot_layout layout = { 0 };
	struct mem mem = MEM_NONE;
	struct error err = { 0 };
	size_t split;
	int r;

	if (size < 2)
		return 0;
	split = (size_t)data[0] | (size_t)(data[1] & 0x7f) << 8;
	split = split < size - 2 ? split : size - 2;
	kernel = data[1] & 0x80 ? good_kernel() : file_of(data + 2, split);
	initrd = file_of(data + 2 + split, size - 2 - split);
	r = mem_init(&mem, gpa(BOOT_RAM_BASE), RAM, NULL);
	assert(r == 0);
	r = boot_load(&mem, kernel, initrd, &layout, &err);
	if (r < 0) {
		assert(err.code != ERROR_NONE && err.message[0] && layout.dtb.v == 0);
	} else {
		assert(layout.kernel_size <= RAM);
		assert(mem_at(&mem, layout.dtb, BOOT_DTB_SIZE));
		assert(mem_at(&mem, layout.initrd, layout.initrd_size));
		assert(layout.initrd.v >= layout.dtb.v + BOOT_DTB_SIZE);
	}
	mem_free(&mem);
	return 0;
}
