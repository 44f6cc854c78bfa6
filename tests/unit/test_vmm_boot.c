// SPDX-License-Identifier: Apache-2.0
/* Kernel and initrd: what fits, what is refused, and that nothing hostile is believed. */
#include "tests/unit/vmm_help.h"

#include <zstd.h>

#define RAM (64 * MIB)

struct loaded {
	struct mem mem;
	struct boot_layout layout;
	struct error err;
};

static int load(struct loaded *l, int kernel, int initrd)
{
	int r;

	*l = (struct loaded){ .mem = MEM_NONE };
	assert_int_equal(mem_init(&l->mem, gpa(BOOT_RAM_BASE), RAM, NULL), 0);
	r = boot_load(&l->mem, kernel, initrd, &l->layout, &l->err);
	base_close(kernel);
	base_close(initrd);
	return r;
}

static void refused(int kernel, int initrd, enum error_code code, const char *part)
{
	struct loaded l;

	assert_true(load(&l, kernel, initrd) < 0);
	if (l.err.code != code || !strstr(l.err.message, part))
		fail_msg("%s: %s", error_code_name(l.err.code), l.err.message);
	assert_int_equal(l.layout.dtb.v, 0);
	mem_free(&l.mem);
}

static void test_raw(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct loaded l;

	(void)state;
	make_image(image, 0, 3 * MIB + 5);
	assert_int_equal(load(&l, file_of(image, sizeof(image)), -1), 0);
	assert_memory_equal(l.mem.host, image, sizeof(image));
	assert_int_equal(l.layout.kernel_size, 3 * MIB + 5);
	assert_int_equal(l.layout.dtb.v, BOOT_RAM_BASE + 4 * MIB);
	assert_int_equal(l.layout.initrd_size, 0);
	mem_free(&l.mem);
}

static void test_gzip(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct loaded l;
	uint8_t *packed;
	size_t n;

	(void)state;
	make_image(image, 0, 8 * MIB);
	packed = gzip(image, sizeof(image), &n);
	assert_int_equal(load(&l, file_of(packed, n), -1), 0);
	assert_memory_equal(l.mem.host, image, sizeof(image));
	mem_free(&l.mem);
	for (size_t cut = 2; cut < n; cut += 1 + n / 50)
		refused(file_of(packed, cut), -1, ERROR_DATA_LOSS, "kernel: truncated gzip file");
	packed[n - 6] ^= 1;
	refused(file_of(packed, n), -1, ERROR_DATA_LOSS, "kernel: damaged gzip file");
	free(packed);
}

static void test_zstd(void **state)
{
	uint8_t image[IMAGE_BYTES], packed[2 * IMAGE_BYTES];
	uint8_t *zeros = calloc(1, RAM + MIB), *bomb = malloc(RAM);
	struct loaded l;
	size_t n;

	(void)state;
	make_image(image, 0, 8 * MIB);
	n = ZSTD_compress(packed, sizeof(packed), image, sizeof(image), 3);
	assert_false(ZSTD_isError(n));
	assert_int_equal(load(&l, file_of(packed, n), -1), 0);
	assert_memory_equal(l.mem.host, image, sizeof(image));
	mem_free(&l.mem);
	for (size_t cut = 4; cut < n; cut += 1 + n / 50)
		refused(file_of(packed, cut), -1, ERROR_DATA_LOSS, "kernel: truncated zstd file");
	packed[5] ^= 0xff;
	refused(file_of(packed, n), -1, ERROR_DATA_LOSS, "kernel: ");
	n = ZSTD_compress(bomb, RAM, zeros, RAM + MIB, 3);
	assert_false(ZSTD_isError(n));
	refused(file_of(bomb, n), -1, ERROR_INVALID_ARGUMENT, "needs");
	free(bomb);
	free(zeros);
}

static void test_bomb(void **state)
{
	uint8_t *zeros = calloc(1, RAM + MIB), *packed;
	size_t n;

	(void)state;
	packed = gzip(zeros, RAM + MIB, &n);
	refused(file_of(packed, n), -1, ERROR_INVALID_ARGUMENT, "needs");
	free(packed);
	free(zeros);
}

static void test_headers(void **state)
{
	uint8_t image[IMAGE_BYTES];

	(void)state;
	refused(file_of("", 0), -1, ERROR_DATA_LOSS, "kernel: not an arm64 Image");
	refused(file_of("x", 1), -1, ERROR_DATA_LOSS, "kernel: not an arm64 Image");
	make_image(image, 0, MIB);
	refused(file_of(image, 63), -1, ERROR_DATA_LOSS, "kernel: not an arm64 Image");
	image[56] ^= 1;
	refused(file_of(image, sizeof(image)), -1, ERROR_DATA_LOSS, "kernel: not an arm64 Image");
	make_image(image, 0x80000, MIB);
	refused(file_of(image, sizeof(image)), -1, ERROR_DATA_LOSS, "text offset 0x80000");
	make_image(image, 0, 0);
	refused(file_of(image, sizeof(image)), -1, ERROR_DATA_LOSS, "text offset");
	make_image(image, 0, MIB);
	image[24] |= 1;
	refused(file_of(image, sizeof(image)), -1, ERROR_DATA_LOSS, "big-endian");
}

static void test_sizes(void **state)
{
	/* None of these may wrap into something that fits. */
	static const uint64_t sizes[] = {
		RAM - BOOT_DTB_SIZE + 1, RAM,	     RAM + 1, 1ull << 32, INT64_MAX,
		UINT64_MAX - MIB,	 UINT64_MAX,
	};
	uint8_t image[IMAGE_BYTES];
	struct loaded l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		make_image(image, 0, sizes[i]);
		refused(file_of(image, sizeof(image)), -1, ERROR_INVALID_ARGUMENT,
			"kernel: the kernel needs");
	}
	make_image(image, 0, RAM - BOOT_DTB_SIZE);
	assert_int_equal(load(&l, file_of(image, sizeof(image)), -1), 0);
	assert_int_equal(l.layout.dtb.v, BOOT_RAM_BASE + RAM - BOOT_DTB_SIZE);
	mem_free(&l.mem);
	/* The file itself is larger than its header says, or than memory. */
	refused(blank_file(RAM), -1, ERROR_INVALID_ARGUMENT, "needs 64 MiB of memory");
	refused(blank_file(1ull << 40), -1, ERROR_INVALID_ARGUMENT, "needs 1048576 MiB");
}

static void test_field(void **state)
{
	struct loaded l;

	(void)state;
	assert_true(load(&l, blank_file(1ull << 40), -1) < 0);
	assert_string_equal(l.err.field, "/spec/memory_bytes");
	mem_free(&l.mem);
}

static void test_initrd(void **state)
{
	uint8_t cpio[512];
	size_t n = make_cpio(cpio);
	struct loaded l;

	(void)state;
	assert_int_equal(load(&l, image_file(), file_of(cpio, n)), 0);
	assert_int_equal(l.layout.initrd.v, l.layout.dtb.v + BOOT_DTB_SIZE);
	assert_int_equal(l.layout.initrd_size, n);
	assert_memory_equal(mem_at(&l.mem, l.layout.initrd, n), cpio, n);
	mem_free(&l.mem);
	refused(image_file(), file_of(cpio, n - 40), ERROR_DATA_LOSS,
		"initrd: truncated cpio archive");
	refused(image_file(), file_of("", 0), ERROR_DATA_LOSS, "initrd: an empty file");
	refused(image_file(), blank_file(RAM - 10 * MIB + 1), ERROR_INVALID_ARGUMENT,
		"initrd: kernel and initrd need");
	refused(image_file(), blank_file(1ull << 62), ERROR_INVALID_ARGUMENT, "needs");
}

static int check(const void *bytes, size_t n)
{
	struct error err = { 0 };
	int r;

	r = initrd_check(bytes, n, RAM, &err);
	assert_true(r == 0 || err.code == ERROR_DATA_LOSS || err.code == ERROR_INVALID_ARGUMENT);
	return r;
}

/* Whatever the format, a file without its last bytes is found out. */
static void test_formats(void **state)
{
	/* printf hello | zstd, xz and lz4 -l, of Debian 12. */
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x29, 0,	0,
					'h',  'e',  'l',  'l',	'o',  0xa3, 0x6d, 0x9f, 0x88 };
	static const uint8_t lz4[] = { 0x02, 0x21, 0x4c, 0x18, 6,   0,	 0,
				       0,    0x50, 'h',	 'e',  'l', 'l', 'o' };
	static const uint8_t xz[] = {
		0xfd, '7',  'z',  'X',	'Z',  0,   0, 4,    0xe6, 0xd6, 0xb4, 0x46, 2,
		0,    0x21, 1,	  0x16, 0,    0,   0, 0x74, 0x2f, 0xe5, 0xa3, 1,    0,
		4,    'h',  'e',  'l',	'l',  'o', 0, 0,    0,	  0,	0xb1, 0x37, 0xb9,
		0xdb, 0xe5, 0xda, 0x1e, 0x9b, 0,   1, 0x1d, 5,	  0xb8, 0x2d, 0x80, 0xaf,
		0x1f, 0xb6, 0xf3, 0x7d, 1,    0,   0, 0,    0,	  4,	'Y',  'Z',
	};
	uint8_t cpio[512], both[2048];
	size_t n = make_cpio(cpio), packed_size;
	uint8_t *packed = gzip(cpio, n, &packed_size);
	const struct {
		const uint8_t *bytes;
		size_t n;
	} files[] = {
		{ cpio, 110 + 5 + 1 + 12 + 110 + 11 },
		{ packed, packed_size },
		{ zstd, sizeof(zstd) },
		{ lz4, sizeof(lz4) },
		{ xz, sizeof(xz) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		assert_int_equal(check(files[i].bytes, files[i].n), 0);
		for (size_t cut = 0; cut < files[i].n; cut++)
			/* lz4's legacy format knows no end: a cut between chunks is not seen. */
			if (!(files[i].bytes == lz4 && cut == 4))
				assert_true(check(files[i].bytes, cut) < 0);
		/* Padding and a second archive may follow, as with microcode before an initrd. */
		memset(both, 0, sizeof(both));
		memcpy(both, cpio, n);
		memcpy(both + 512, files[i].bytes, files[i].n);
		assert_int_equal(check(both, 512 + files[i].n), 0);
		assert_true(check(both, 512 + files[i].n - 1) < 0);
	}
	free(packed);
	assert_true(check("hello, world", 12) < 0);
	assert_true(check(both + 512 + 400, 200) < 0);
}

static void test_initrd_bomb(void **state)
{
	uint8_t *zeros = calloc(1, RAM + 1), *packed;
	struct error err = { 0 };
	size_t n;

	(void)state;
	packed = gzip(zeros, RAM + 1, &n);
	assert_true(initrd_check(packed, n, RAM, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	assert_int_equal(initrd_check(packed, n, RAM + 1, &err), 0);
	free(packed);
	free(zeros);
}

static void test_no_file(void **state)
{
	int ends[2];
	struct loaded l;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	refused(ends[0], -1, ERROR_INVALID_ARGUMENT, "not a regular file");
	base_close(ends[1]);
	assert_true(load(&l, 9999, -1) < 0);
	assert_int_equal(l.err.err, EBADF);
	mem_free(&l.mem);
}

static void test_mem(void **state)
{
	struct mem mem = MEM_NONE;

	(void)state;
	mem_free(&mem);
	assert_int_equal(mem_init(&mem, gpa(BOOT_RAM_BASE), RAM, NULL), 0);
	assert_ptr_equal(mem_at(&mem, gpa(BOOT_RAM_BASE), RAM), mem.host);
	assert_non_null(mem_at(&mem, gpa(BOOT_RAM_BASE + RAM - 1), 1));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE + RAM - 1), 2));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE + RAM), 1));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE - 1), 2));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE), 0));
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE + 8), UINT64_MAX - 4));
	assert_null(mem_at(&mem, gpa(UINT64_MAX - 4), 16));
	assert_null(mem_at(&mem, gpa(0), 1));
	assert_int_equal(mem_resident(&mem), 0);
	memset(mem.host, 1, 3 * 4096);
	assert_in_range(mem_resident(&mem), 3 * 4096, 2 * MIB);
	mem.lent = true;
	assert_null(mem_at(&mem, gpa(BOOT_RAM_BASE), 1));
	mem_free(&mem);
	mem_free(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw),	    cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_bomb),	    cmocka_unit_test(test_headers),
		cmocka_unit_test(test_sizes),	    cmocka_unit_test(test_field),
		cmocka_unit_test(test_initrd),	    cmocka_unit_test(test_formats),
		cmocka_unit_test(test_initrd_bomb), cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_mem),	    cmocka_unit_test(test_zstd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
