// SPDX-License-Identifier: Apache-2.0
/* virtio-blk (virtio 1.2, section 5.2) over a file descriptor. */
#include "vmm/virtio_blk.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "vmm/blk_io.h"
#include "vmm/limit.h"

/* --- Constants --- */

#define DEVICE_ID  2u
#define SECTOR	   512u
#define SEG_BESIDE 2u /* header and status: no segments, but entries of the queue */
/* Where the driver copies through bounce buffers, which are scattered soon. */
#define BOUNCE_SEGMENT 4096u
#define REQUEST_MAX    (64ull << 20) /* bytes of one request */
#define RANGES_MAX     16u	     /* of one discard or write-zeroes request */
#define DISCARD_MAX    (1u << 22)    /* sectors of one range: 2 GiB */
#define ZEROES_MAX     (1u << 17)    /* the same: 64 MiB, which may have to be written */

#define F_SIZE_MAX     (1ull << 1)
#define F_SEG_MAX      (1ull << 2)
#define F_RO	       (1ull << 5)
#define F_FLUSH	       (1ull << 9)
#define F_MQ	       (1ull << 12)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

#define T_IN	       0u
#define T_OUT	       1u
#define T_FLUSH	       4u
#define T_GET_ID       8u
#define T_DISCARD      11u
#define T_WRITE_ZEROES 13u

#define RANGE_UNMAP 1u

enum status { S_OK, S_IOERR, S_UNSUPP };

#define ID_SIZE 20u

struct request_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};
static_assert(sizeof(struct request_header) == 16, "virtio_blk_req");

struct range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};
static_assert(sizeof(struct range) == 16, "virtio_blk_discard_write_zeroes");

/* --- Config space --- */

struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t topology[8];
	uint8_t writeback, unused;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
static_assert(offsetof(struct blk_config, num_queues) == 34, "virtio_blk_config");
static_assert(offsetof(struct blk_config, write_zeroes_may_unmap) == 56, "virtio_blk_config");

/* --- State --- */

struct virtio_blk {
	struct virtio_mmio dev;
	int fd;
	bool read_only;
	struct blk_io *io;
	struct limit limit;
	uint64_t sectors;
	char name[40]; /* for messages; longer ones are cut */
	char id[ID_SIZE];
	unsigned int serving;		/* the queue whose request is looked at */
	bool pushed[VIRTIO_QUEUES_MAX]; /* since the driver was last told */
	struct vmm_disk_stats stats;	/* atomic, one by one */
};

/* A request that the kernel has. */
struct request {
	struct blk_job job;
	uint32_t epoch; /* of its queue: after a reset, nobody waits for it */
	uint16_t head;
	uint8_t queue;
	uint8_t *status; /* in guest memory */
	uint64_t bytes, began_ns;
	struct iovec iov[];
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
	struct blk_config config = {
		.capacity = of(dev)->sectors,
		.size_max = BOUNCE_SEGMENT,
		.seg_max = dev->queue_max - SEG_BESIDE,
		.num_queues = (uint16_t)dev->queue_count,
		.max_discard_sectors = DISCARD_MAX,
		.max_discard_seg = RANGES_MAX,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = ZEROES_MAX,
		.max_write_zeroes_seg = RANGES_MAX,
		.write_zeroes_may_unmap = 1,
	};

	virtio_config_copy(&config, sizeof(config), off, to, n);
}

/* --- The end of a request --- */

static void keep_latency(struct virtio_blk *blk, const struct request *req)
{
	struct vmm_disk_stats *s = &blk->stats;
	uint64_t ns = loop_now_ns() - req->began_ns;

	switch (req->job.op) {
	case BLK_READ:
		count(&s->read_ops, 1);
		count(&s->read_bytes, req->bytes);
		count(&s->read_ns, ns);
		break;
	case BLK_WRITE:
		count(&s->write_ops, 1);
		count(&s->write_bytes, req->bytes);
		count(&s->write_ns, ns);
		break;
	case BLK_FLUSH:
		count(&s->flush_ops, 1);
		count(&s->flush_ns, ns);
		break;
	}
}

static void job_done(void *owner, struct blk_job *job, int error)
{
	struct request *req = CONTAINER_OF(job, struct request, job);
	struct virtio_blk *blk = owner;
	struct virtqueue *q = &blk->dev.queues[req->queue].ring;
	uint64_t written = 1;

	if (error == 0)
		keep_latency(blk, req);
	else
		count(&blk->stats.errors, 1);
	if (error == 0 && job->op == BLK_READ)
		written += req->bytes;
	/* The driver may have taken its queue away meanwhile. */
	if (virtio_queue_live(&blk->dev, req->queue) && q->epoch == req->epoch) {
		*req->status = error ? S_IOERR : S_OK;
		if (virtqueue_push(q, req->head, virtio_written((int64_t)written)) < 0)
			virtio_needs_reset(&blk->dev);
		blk->pushed[req->queue] = true;
	}
	free(req);
}

/* One interrupt for all that was pushed. */
static void tell_driver(struct virtio_blk *blk)
{
	for (unsigned int i = 0; i < blk->dev.queue_count; i++) {
		if (blk->pushed[i] && virtio_queue_live(&blk->dev, i))
			virtio_interrupt(&blk->dev, i);
		blk->pushed[i] = false;
	}
}

static void io_ready(void *owner)
{
	struct virtio_blk *blk = owner;

	pthread_mutex_lock(&blk->dev.lock);
	blk_io_reap(blk->io);
	tell_driver(blk);
	pthread_mutex_unlock(&blk->dev.lock);
}

/* --- Requests --- */

static bool in_bounds(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
	return bytes % SECTOR == 0 && bytes <= REQUEST_MAX && sector <= blk->sectors &&
	       bytes / SECTOR <= blk->sectors - sector;
}

/* What is cut out of a chain: where its data lie, and where its status goes. */
struct parts {
	struct request_header header;
	unsigned int queue;
	struct iovec *out, *in;
	unsigned int out_count, in_count;
	uint64_t out_bytes, in_bytes;
	uint8_t *status;
	struct range ranges[RANGES_MAX]; /* of a discard or write-zeroes request */
};

/* Begins what the kernel does; -ENOMEM when there is no room for it. */
static int begin(struct virtio_blk *blk, const struct parts *p, uint16_t head, enum blk_op op)
{
	const struct iovec *iov = op == BLK_READ ? p->in : p->out;
	unsigned int pieces = op == BLK_READ ? p->in_count : p->out_count;
	struct request *req;

	if (op == BLK_FLUSH)
		pieces = 0;
	req = malloc(sizeof(*req) + pieces * sizeof(*iov));
	if (!req)
		return -ENOMEM;
	*req = (struct request){
		.job = {
			.op = op,
			.durable = !(blk->dev.driver_features & F_FLUSH),
			.off = p->header.sector * SECTOR,
			.iov = req->iov,
			.pieces = pieces,
		},
		.epoch = blk->dev.queues[p->queue].ring.epoch,
		.head = head,
		.queue = (uint8_t)p->queue,
		.status = p->status,
		.bytes = op == BLK_READ ? p->in_bytes : p->out_bytes,
		.began_ns = loop_now_ns(),
	};
	req->job.left = req->bytes;
	if (pieces > 0)
		memcpy(req->iov, iov, pieces * sizeof(*iov));
	blk_io_add(blk->io, &req->job);
	return 0;
}

static int write_zeroes(struct virtio_blk *blk, uint64_t off, uint64_t n)
{
	static const uint8_t zeroes[65536];

	while (n > 0) {
		size_t part = n < sizeof(zeroes) ? (size_t)n : sizeof(zeroes);
		int r = pwrite_all(blk->fd, zeroes, part, off);

		if (r < 0)
			return r;
		off += part;
		n -= part;
	}
	return 0;
}

/* One range, at once: it is rare, and short where the file knows holes. */
static enum status do_range(struct virtio_blk *blk, const struct range *range, bool discard)
{
	int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int mode = discard || (range->flags & RANGE_UNMAP)
			   ? hole
			   : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	uint64_t off = range->sector * SECTOR, n = (uint64_t)range->sectors * SECTOR;

	/* A discard has no flags. */
	if (range->flags & ~(discard ? 0 : RANGE_UNMAP))
		return S_UNSUPP;
	if (range->sectors > (discard ? DISCARD_MAX : ZEROES_MAX) || range->sector > blk->sectors ||
	    range->sectors > blk->sectors - range->sector)
		return S_IOERR;
	if (n == 0 || fallocate(blk->fd, mode, (off_t)off, (off_t)n) == 0)
		return S_OK;
	if (errno != EOPNOTSUPP)
		return S_IOERR;
	if (discard)
		return S_UNSUPP;
	return write_zeroes(blk, off, n) < 0 ? S_IOERR : S_OK;
}

static enum status do_ranges(struct virtio_blk *blk, const struct parts *p, bool discard)
{
	uint64_t began = loop_now_ns();

	if (blk->read_only || p->out_bytes == 0 || p->out_bytes % sizeof(p->ranges[0]) != 0 ||
	    p->out_bytes > sizeof(p->ranges))
		return S_IOERR;
	for (size_t i = 0; i < p->out_bytes / sizeof(p->ranges[0]); i++) {
		enum status status = do_range(blk, &p->ranges[i], discard);

		if (status != S_OK)
			return status;
	}
	if (!(blk->dev.driver_features & F_FLUSH) && fdatasync(blk->fd) < 0)
		return S_IOERR;
	count(discard ? &blk->stats.discard_ops : &blk->stats.zero_ops, 1);
	count(&blk->stats.discard_ns, loop_now_ns() - began);
	return S_OK;
}

/* The framing is the driver's choice: header first, status last, wherever the pieces end. */
static int cut(struct virtq_chain *chain, struct parts *p)
{
	struct iovec *last;

	if (chain->out_bytes < sizeof(p->header) || chain->in_bytes < 1)
		return -EPROTO;
	iov_read(chain->iov, chain->out_count, 0, &p->header, sizeof(p->header));
	p->in = virtq_in(chain);
	p->in_count = chain->in_count;
	p->in_bytes = chain->in_bytes - 1;
	last = &p->in[p->in_count - 1];
	last->iov_len--;
	p->status = (uint8_t *)last->iov_base + last->iov_len;
	if (last->iov_len == 0)
		p->in_count--;
	p->out_count = chain->out_count;
	p->out_bytes = chain->out_bytes - sizeof(p->header);
	p->out = iov_drop(chain->iov, &p->out_count, sizeof(p->header));
	return 0;
}

/* VIRTIO_LATER when the kernel has it, or the bytes written when it is done, status included. */
static int64_t execute(struct virtio_blk *blk, const struct parts *p, uint16_t head)
{
	enum status status = S_IOERR;
	uint64_t sector = p->header.sector;
	size_t written = 0;

	switch (p->header.type) {
	case T_IN:
		if (in_bounds(blk, sector, p->in_bytes) && p->in_bytes > 0 &&
		    begin(blk, p, head, BLK_READ) == 0)
			return VIRTIO_LATER;
		break;
	case T_OUT:
		if (!blk->read_only && in_bounds(blk, sector, p->out_bytes) && p->out_bytes > 0 &&
		    begin(blk, p, head, BLK_WRITE) == 0)
			return VIRTIO_LATER;
		break;
	case T_FLUSH:
		/* What cannot be written is durable. */
		if (blk->read_only)
			status = S_OK;
		else if (begin(blk, p, head, BLK_FLUSH) == 0)
			return VIRTIO_LATER;
		break;
	case T_GET_ID:
		written = iov_write(p->in, p->in_count, 0, blk->id, sizeof(blk->id));
		status = written == sizeof(blk->id) ? S_OK : S_IOERR;
		break;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		status = do_ranges(blk, p, p->header.type == T_DISCARD);
		break;
	default:
		status = S_UNSUPP;
		break;
	}
	if (status == S_IOERR)
		count(&blk->stats.errors, 1);
	*p->status = (uint8_t)status;
	return (int64_t)written + 1;
}

/* Bytes, for the limit: zeroes are few for the guest, but the host may have to write them all. */
static uint64_t cost_of(const struct parts *p)
{
	uint64_t bytes = p->in_bytes + p->out_bytes;

	if (p->header.type == T_WRITE_ZEROES)
		for (size_t i = 0; i < RANGES_MAX; i++)
			if (p->ranges[i].sectors <= ZEROES_MAX)
				bytes += (uint64_t)p->ranges[i].sectors * SECTOR;
	return bytes;
}

static int64_t request(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_blk *blk = of(dev);
	struct parts p = { .queue = blk->serving };

	if (cut(chain, &p) < 0)
		return -EPROTO;
	if (p.header.type == T_DISCARD || p.header.type == T_WRITE_ZEROES)
		iov_read(p.out, p.out_count, 0, p.ranges, sizeof(p.ranges));
	if (!limit_take(&blk->limit, cost_of(&p)))
		return -EAGAIN;
	count(&blk->stats.queue_requests[p.queue], 1);
	return execute(blk, &p, chain->head);
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	struct virtio_blk *blk = of(dev);
	int r;

	blk->serving = queue;
	r = virtio_serve(dev, queue, request);
	blk_io_submit(blk->io);
	tell_driver(blk);
	return r;
}

/* --- Reset --- */

/* What the kernel has still reads and writes the guest's memory: it is waited for. */
static void reset(struct virtio_mmio *dev)
{
	blk_io_drain(of(dev)->io);
}

/* The same, and the driver sees the end of what it has asked for. */
static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	(void)queue;
	reset(dev);
	tell_driver(of(dev));
}

static const struct virtio_ops ops = {
	.name = "block",
	.id = DEVICE_ID,
	.queues = 1,
	.read_config = read_config,
	.handle = handle,
	.suspend = suspend,
	.reset = reset,
};

/* --- Set-up --- */

static int file_sectors(int fd, uint64_t *sectors, struct error *err)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "file descriptor");
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &size) < 0)
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
	*sectors = size / SECTOR;
	return 0;
}

static int open_disk(struct virtio_blk *blk, const struct vmm_disk *disk, struct error *err)
{
	int flags = fcntl(disk->fd, F_GETFL), r;

	if (flags < 0)
		return error_raise_errno(err, ERROR_INVALID_ARGUMENT, errno, "file descriptor");
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    (!disk->read_only && ((flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND))))
		return error_raise(err, ERROR_INVALID_ARGUMENT, "not open for reading%s",
				   disk->read_only ? "" : " and writing");
	r = file_sectors(disk->fd, &blk->sectors, err);
	if (r < 0)
		return r;
	blk->fd = fcntl(disk->fd, F_DUPFD_CLOEXEC, 0);
	if (blk->fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, errno, "duplicate");
	return 0;
}

static int open_io(struct virtio_blk *blk, const struct vmm_disk *disk, struct loop *loop,
		   struct error *err)
{
	struct blk_io_config config = {
		.fd = blk->fd,
		.loop = loop,
		.synchronous = disk->synchronous,
		.done = job_done,
		.ready = io_ready,
		.owner = blk,
	};

	return blk_io_new(&blk->io, &config, err);
}

static void limit_passed(struct loop_source *timer)
{
	struct virtio_blk *blk = CONTAINER_OF(timer, struct virtio_blk, limit.timer);

	for (unsigned int i = 0; i < blk->dev.queue_count; i++)
		virtio_poke(&blk->dev, i);
}

static void blk_freep(struct virtio_blk **blk)
{
	virtio_blk_free(*blk);
}

int virtio_blk_new(struct virtio_blk **out, const struct vmm_disk *disk,
		   const struct virtio_slot *slot, struct error *err)
{
	_cleanup_(blk_freep) struct virtio_blk *blk = calloc(1, sizeof(*blk));
	const char *serial = disk->serial ? disk->serial : disk->name;
	int r;

	if (!blk)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "disk");
	blk->fd = -1;
	blk->read_only = disk->read_only;
	blk->dev.queue_count = disk->queues ? disk->queues : 1;
	if (blk->dev.queue_count > VMM_DISK_QUEUES_MAX)
		blk->dev.queue_count = VMM_DISK_QUEUES_MAX;
	blk->dev.features = (slot->mem->bounce.host ? F_SIZE_MAX : 0) | F_SEG_MAX | F_FLUSH | F_MQ |
			    (disk->read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES);
	limit_init(&blk->limit, slot->loop, limit_passed);
	snprintf(blk->name, sizeof(blk->name), "%s", disk->name);
	blk->dev.label = blk->name;
	/* A serial number of full length has no NUL. */
	memcpy(blk->id, serial, strnlen(serial, sizeof(blk->id)));
	r = virtio_mmio_init(&blk->dev, &ops, slot, err);
	if (r == 0)
		r = open_disk(blk, disk, err);
	if (r == 0)
		r = open_io(blk, disk, slot->loop, err);
	if (r == 0)
		r = limit_set(&blk->limit, &disk->limit, err);
	if (r < 0)
		return error_widen(err, "disk \"%s\"", disk->name);
	*out = TAKE_PTR(blk);
	return 0;
}

struct virtio_blk *virtio_blk_free(struct virtio_blk *blk)
{
	if (!blk)
		return NULL;
	blk_io_free(blk->io);
	limit_free(&blk->limit);
	base_close(blk->fd);
	virtio_mmio_free(&blk->dev);
	free(blk);
	return NULL;
}

struct virtio_mmio *virtio_blk_device(struct virtio_blk *blk)
{
	return &blk->dev;
}

/* --- While it runs --- */

int virtio_blk_set_limit(struct virtio_blk *blk, const struct vmm_limit *limit, struct error *err)
{
	int r;

	pthread_mutex_lock(&blk->dev.lock);
	r = limit_set(&blk->limit, limit, err);
	pthread_mutex_unlock(&blk->dev.lock);
	/* What waited under the old limit asks again. */
	limit_passed(&blk->limit.timer);
	return r < 0 ? error_widen(err, "disk \"%s\"", blk->name) : 0;
}

int virtio_blk_resized(struct virtio_blk *blk, struct error *err)
{
	uint64_t sectors;
	int r = file_sectors(blk->fd, &sectors, err);

	if (r < 0)
		return error_widen(err, "disk \"%s\"", blk->name);
	pthread_mutex_lock(&blk->dev.lock);
	if (sectors != blk->sectors) {
		blk->sectors = sectors;
		virtio_config_changed(&blk->dev);
	}
	pthread_mutex_unlock(&blk->dev.lock);
	return 0;
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void virtio_blk_stats(struct virtio_blk *blk, struct vmm_disk_stats *stats)
{
	const struct vmm_disk_stats *s = &blk->stats;

	stats->read_ops = load(&s->read_ops);
	stats->write_ops = load(&s->write_ops);
	stats->flush_ops = load(&s->flush_ops);
	stats->discard_ops = load(&s->discard_ops);
	stats->zero_ops = load(&s->zero_ops);
	stats->read_bytes = load(&s->read_bytes);
	stats->write_bytes = load(&s->write_bytes);
	stats->errors = load(&s->errors);
	stats->read_ns = load(&s->read_ns);
	stats->write_ns = load(&s->write_ns);
	stats->flush_ns = load(&s->flush_ns);
	stats->discard_ns = load(&s->discard_ns);
	for (unsigned int i = 0; i < VMM_DISK_QUEUES_MAX; i++)
		stats->queue_requests[i] = load(&s->queue_requests[i]);
	stats->throttled = load(&blk->limit.throttled);
	stats->size = load(&blk->sectors) * SECTOR;
	stats->uring = blk_io_is_uring(blk->io);
	stats->queue_count = blk->dev.queue_count;
}
