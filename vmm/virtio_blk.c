// SPDX-License-Identifier: Apache-2.0
/* virtio-blk (virtio 1.2, section 5.2) over a file descriptor. */
#include "vmm/virtio_blk.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* --- Constants --- */

#define DEVICE_ID   2u
#define SECTOR	    512u
#define SEG_MAX	    (VIRTQUEUE_SIZE_MAX - 2) /* header and status take two */
#define REQUEST_MAX (64ull << 20) /* bytes: how long one request may keep the device thread */

#define F_SEG_MAX (1ull << 2)
#define F_RO	  (1ull << 5)
#define F_FLUSH	  (1ull << 9)

#define T_IN	 0u
#define T_OUT	 1u
#define T_FLUSH	 4u
#define T_GET_ID 8u

enum status { S_OK, S_IOERR, S_UNSUPP };

#define ID_SIZE 20u

struct request_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};
static_assert(sizeof(struct request_header) == 16, "virtio_blk_req");

/* --- Config space --- */

struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max;
	uint32_t seg_max;
};
static_assert(sizeof(struct blk_config) == 16, "virtio_blk_config");

/* --- State --- */

struct virtio_blk {
	struct virtio_mmio dev;
	int fd;
	bool read_only;
	uint64_t sectors;
	char id[ID_SIZE];
	struct vmm_disk_stats stats; /* atomic, one by one */
};

static struct virtio_blk *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_blk, dev);
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	struct blk_config config = { .capacity = of(dev)->sectors, .seg_max = SEG_MAX };

	virtio_config_copy(&config, sizeof(config), off, to, n);
}

/* --- The queue --- */

/* All of count pieces at byte off of the file; they are used up. */
static int transfer(struct virtio_blk *blk, struct iovec *iov, unsigned int n, uint64_t off,
		    bool write)
{
	while (n > 0) {
		ssize_t r = write ? pwritev(blk->fd, iov, (int)n, (off_t)off)
				  : preadv(blk->fd, iov, (int)n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO;
		off += (uint64_t)r;
		for (; n > 0 && (size_t)r >= iov->iov_len; iov++, n--)
			r -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + r;
			iov->iov_len -= (size_t)r;
		}
	}
	return 0;
}

/* Takes n bytes off the front; there are at least so many. */
static struct iovec *drop_front(struct iovec *iov, unsigned int *pieces, size_t n)
{
	while (n > 0 && n >= iov->iov_len) {
		n -= iov->iov_len;
		iov++;
		(*pieces)--;
	}
	if (n > 0) {
		iov->iov_base = (char *)iov->iov_base + n;
		iov->iov_len -= n;
	}
	return iov;
}

static bool in_bounds(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
	return bytes % SECTOR == 0 && bytes <= REQUEST_MAX && sector <= blk->sectors &&
	       bytes / SECTOR <= blk->sectors - sector;
}

static enum status do_read(struct virtio_blk *blk, struct iovec *in, unsigned int pieces,
			   const struct request_header *h, uint64_t bytes)
{
	if (!in_bounds(blk, h->sector, bytes) ||
	    transfer(blk, in, pieces, h->sector * SECTOR, false) < 0)
		return S_IOERR;
	count(&blk->stats.read_ops, 1);
	count(&blk->stats.read_bytes, bytes);
	return S_OK;
}

static enum status do_write(struct virtio_blk *blk, struct iovec *out, unsigned int pieces,
			    const struct request_header *h, uint64_t bytes)
{
	if (blk->read_only || !in_bounds(blk, h->sector, bytes) ||
	    transfer(blk, out, pieces, h->sector * SECTOR, true) < 0)
		return S_IOERR;
	/* A driver that cannot flush is promised that a write is durable when it is done. */
	if (!(blk->dev.driver_features & F_FLUSH) && fdatasync(blk->fd) < 0)
		return S_IOERR;
	count(&blk->stats.write_ops, 1);
	count(&blk->stats.write_bytes, bytes);
	return S_OK;
}

static enum status do_flush(struct virtio_blk *blk)
{
	if (!blk->read_only && fdatasync(blk->fd) < 0)
		return S_IOERR;
	count(&blk->stats.flush_ops, 1);
	return S_OK;
}

/* The framing is the driver's choice: header first, status last, wherever the pieces end. */
static int64_t request(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_blk *blk = of(dev);
	struct iovec *in = virtq_in(chain), *out;
	uint64_t in_bytes = chain->in_bytes - 1, written = 0;
	struct request_header h;
	enum status status;
	struct iovec *last;
	uint8_t *status_at;

	if (chain->out_bytes < sizeof(h) || chain->in_bytes < 1)
		return -EPROTO;
	iov_read(chain->iov, chain->out_count, 0, &h, sizeof(h));
	out = drop_front(chain->iov, &chain->out_count, sizeof(h));
	last = &in[chain->in_count - 1];
	last->iov_len--;
	status_at = (uint8_t *)last->iov_base + last->iov_len;
	if (last->iov_len == 0)
		chain->in_count--;

	switch (h.type) {
	case T_IN:
		status = do_read(blk, in, chain->in_count, &h, in_bytes);
		written = status == S_OK ? in_bytes : 0;
		break;
	case T_OUT:
		status = do_write(blk, out, chain->out_count, &h, chain->out_bytes - sizeof(h));
		break;
	case T_FLUSH:
		status = do_flush(blk);
		break;
	case T_GET_ID:
		written = iov_write(in, chain->in_count, 0, blk->id, sizeof(blk->id));
		status = written == sizeof(blk->id) ? S_OK : S_IOERR;
		break;
	default:
		status = S_UNSUPP;
		break;
	}
	if (status == S_IOERR)
		count(&blk->stats.errors, 1);
	*status_at = (uint8_t)status;
	return (int64_t)written + 1;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	return virtio_serve(dev, queue, request);
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	/* Requests are done before the lock is given up, so nothing is in flight. */
	(void)dev;
}

static const struct virtio_ops ops = {
	.name = "block",
	.id = DEVICE_ID,
	.queues = 1,
	.read_config = read_config,
	.handle = handle,
	.reset = reset,
};

/* --- Set-up --- */

static int open_disk(struct virtio_blk *blk, const struct vmm_disk *disk, struct error *err)
{
	int flags = fcntl(disk->fd, F_GETFL);
	struct stat st;
	uint64_t size;

	if (flags < 0 || fstat(disk->fd, &st) < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "file descriptor");
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    (!disk->read_only && ((flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND))))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not open for reading%s",
				   disk->read_only ? "" : " and writing");
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(disk->fd, BLKGETSIZE64, &size) < 0)
			return error_raise_errno(err, ERROR_INTERNAL, errno, "size");
	} else if (S_ISREG(st.st_mode)) {
		size = (uint64_t)st.st_size;
	} else {
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "neither a regular file nor a block device");
	}
	if (size == 0 || size % SECTOR != 0)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "its size, %llu bytes, is not a multiple of %u",
				   (unsigned long long)size, SECTOR);
	blk->sectors = size / SECTOR;
	blk->fd = fcntl(disk->fd, F_DUPFD_CLOEXEC, 0);
	if (blk->fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "duplicate");
	return 0;
}

static void blk_freep(struct virtio_blk **blk)
{
	virtio_blk_free(*blk);
}

int virtio_blk_new(struct virtio_blk **out, const struct vmm_disk *disk, const struct mem *mem,
		   struct virtio_slot slot, struct error *err)
{
	_cleanup_(blk_freep) struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int r;

	if (!blk)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "disk");
	blk->fd = -1;
	blk->read_only = disk->read_only;
	blk->dev.features = F_SEG_MAX | F_FLUSH | (disk->read_only ? F_RO : 0);
	/* A serial number of full length has no NUL. */
	memcpy(blk->id, disk->name, strnlen(disk->name, sizeof(blk->id)));
	r = virtio_mmio_init(&blk->dev, &ops, mem, slot, err);
	if (r == 0)
		r = open_disk(blk, disk, err);
	if (r < 0)
		return error_widen(err, "disk \"%s\"", disk->name);
	*out = TAKE_PTR(blk);
	return 0;
}

struct virtio_blk *virtio_blk_free(struct virtio_blk *blk)
{
	if (!blk)
		return NULL;
	base_close(blk->fd);
	virtio_mmio_free(&blk->dev);
	free(blk);
	return NULL;
}

struct virtio_mmio *virtio_blk_device(struct virtio_blk *blk)
{
	return &blk->dev;
}

void virtio_blk_stats(struct virtio_blk *blk, struct vmm_disk_stats *stats)
{
	const struct vmm_disk_stats *s = &blk->stats;

	stats->read_ops = __atomic_load_n(&s->read_ops, __ATOMIC_RELAXED);
	stats->write_ops = __atomic_load_n(&s->write_ops, __ATOMIC_RELAXED);
	stats->flush_ops = __atomic_load_n(&s->flush_ops, __ATOMIC_RELAXED);
	stats->read_bytes = __atomic_load_n(&s->read_bytes, __ATOMIC_RELAXED);
	stats->write_bytes = __atomic_load_n(&s->write_bytes, __ATOMIC_RELAXED);
	stats->errors = __atomic_load_n(&s->errors, __ATOMIC_RELAXED);
}
