/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the VMM: small images in memfds, guest memory, and virtual machines on the fake
 * backend.
 */
#ifndef CROFT_TESTS_VMM_HELP_H
#define CROFT_TESTS_VMM_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <zlib.h>

#include "vmm/base.h"
#include "vmm/boot.h"
#include "vmm/bus.h"
#include "vmm/loop.h"
#include "vmm/mem.h"
#include "vmm/vmm.h"

#define MIB (1ull << 20)

/* A file with this content. */
static inline int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite_all(fd, bytes, n, 0), 0);
	return fd;
}

/* A file of n zeros. */
static inline int blank_file(uint64_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	return fd;
}

static inline void put_le(uint8_t *p, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

#define IMAGE_BYTES 4096u

/* An arm64 Image of IMAGE_BYTES, with what the tests change. */
static inline void make_image(uint8_t *image, uint64_t text_offset, uint64_t image_size)
{
	memset(image, 0x5a, IMAGE_BYTES);
	put_le(image + 8, text_offset, 8);
	put_le(image + 16, image_size, 8);
	put_le(image + 24, 0xa, 8);
	memcpy(image + 56, "ARM\x64", 4);
}

static inline int image_file(void)
{
	uint8_t image[IMAGE_BYTES];

	make_image(image, 0, 8 * MIB);
	return file_of(image, sizeof(image));
}

/* Packs with gzip; the caller frees. */
static inline uint8_t *gzip(const void *bytes, size_t n, size_t *packed)
{
	size_t room = compressBound(n) + 64;
	uint8_t *to = malloc(room);
	z_stream z = { 0 };

	assert_non_null(to);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	z.next_in = (uint8_t *)(uintptr_t)bytes;
	z.avail_in = (unsigned int)n;
	z.next_out = to;
	z.avail_out = (unsigned int)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	*packed = room - z.avail_out;
	deflateEnd(&z);
	return to;
}

/* One cpio entry at p; returns its size. */
static inline size_t cpio_entry(uint8_t *p, const char *name, const void *data, size_t n)
{
	size_t name_size = strlen(name) + 1, at;
	char header[111];

	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1u, 0100644u, 0u, 0u,
		 1u, 0u, (unsigned int)n, 0u, 0u, 0u, 0u, (unsigned int)name_size, 0u);
	memcpy(p, header, 110);
	memcpy(p + 110, name, name_size);
	at = (110 + name_size + 3) & ~3ul;
	memset(p + 110 + name_size, 0, at - 110 - name_size);
	if (n)
		memcpy(p + at, data, n);
	memset(p + at + n, 0, ((at + n + 3) & ~3ul) - at - n);
	return (at + n + 3) & ~3ul;
}

/* A cpio archive with one file; returns its size, at most 512. */
static inline size_t make_cpio(uint8_t *p)
{
	size_t n = cpio_entry(p, "init", "#!/bin/sh\n", 10);

	return n + cpio_entry(p + n, "TRAILER!!!", NULL, 0);
}

static inline unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* --- A device with registers of a byte, as its driver sees it --- */

static inline uint64_t reg_read(struct mmio_device *dev, uint64_t off)
{
	return dev->ops->read(dev, off, 1);
}

static inline void reg_write(struct mmio_device *dev, uint64_t off, uint64_t value)
{
	dev->ops->write(dev, off, 1, value);
}

/* Whether the device has rung its line since the last call. */
static inline bool irq_rang(struct mmio_device *dev)
{
	return eventfd_take(dev->irq.fd);
}

/* --- A VM on the fake backend, and what it told us --- */

struct test_vm {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char console[65536];
	size_t console_used;
	unsigned int exits;
	struct vmm_exit exit;
	bool console_after_exit;
	struct vmm_config config;
	struct vmm *vmm;
};

static inline void test_console(void *data, const void *bytes, size_t n)
{
	struct test_vm *t = data;

	pthread_mutex_lock(&t->lock);
	t->console_after_exit |= t->exits > 0;
	if (n > sizeof(t->console) - 1 - t->console_used)
		n = sizeof(t->console) - 1 - t->console_used;
	memcpy(t->console + t->console_used, bytes, n);
	t->console_used += n;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static inline void test_exited(void *data, const struct vmm_exit *exit)
{
	struct test_vm *t = data;

	pthread_mutex_lock(&t->lock);
	t->exits++;
	t->exit = *exit;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static inline struct vmm_events test_events(struct test_vm *t)
{
	return (struct vmm_events){ .console = test_console, .exited = test_exited, .data = t };
}

static inline void test_vm_init(struct test_vm *t, const char *script)
{
	*t = (struct test_vm){
		.config = {
			.backend = VMM_BACKEND_FAKE, .name = "test", .vcpus = 2, .memory = 64 * MIB,
			.kernel_fd = image_file(), .initrd_fd = -1, .cmdline = "console=ttyS0",
			.fake_script = script,
		},
	};
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
}

static inline void test_vm_create(struct test_vm *t)
{
	struct vmm_events events = test_events(t);
	struct error err = { 0 };

	if (vmm_create(&t->vmm, &t->config, &events, &err) < 0)
		fail_msg("create: %s", err.message);
}

static inline void test_vm_start(struct test_vm *t)
{
	struct error err = { 0 };

	if (vmm_start(t->vmm, &err) < 0)
		fail_msg("start: %s", err.message);
}

/* A VM that does not come to its end in a minute hangs. */
static inline void test_vm_wait(struct test_vm *t, bool (*met)(struct test_vm *t))
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&t->lock);
	while (!met(t) && r == 0)
		r = pthread_cond_timedwait(&t->changed, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
	assert_int_equal(r, 0);
}

static inline bool test_ended(struct test_vm *t)
{
	return t->exits > 0;
}

static inline void test_vm_free(struct test_vm *t)
{
	t->vmm = vmm_free(t->vmm);
	base_close(t->config.kernel_fd);
	base_close(t->config.initrd_fd);
	assert_false(t->console_after_exit);
	assert_true(t->exits <= 1);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
}

#endif
