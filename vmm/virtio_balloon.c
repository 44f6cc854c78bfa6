// SPDX-License-Identifier: Apache-2.0
/* virtio-balloon (virtio 1.2, section 5.5) with statistics and free-page reporting. */
#include "vmm/virtio_balloon.h"

#include <assert.h>
#include <string.h>

/* --- Constants --- */

#define DEVICE_ID 5u

#define F_STATS_VQ	 (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_REPORTING	 (1ull << 5)

#define PAGE_SHIFT 12u /* of the balloon's page numbers, whatever the pages of host and guest */
#define PAGE	   (1ull << PAGE_SHIFT)
#define PFNS_MAX   16384u /* in one request: how long it may keep the device thread */
#define TAGS_MAX   64u	  /* statistics in one buffer; more are not looked at */
#define ASK_NS	   1000000000ull

/* What a queue is for. Those of features that were not negotiated are left out of the numbering. */
enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORTING, ROLES };
static_assert(ROLES <= VIRTIO_QUEUES_MAX, "queues of a balloon");

/* --- Config space --- */

struct balloon_config {
	uint32_t num_pages; /* that the device wants */
	uint32_t actual;    /* that the driver has given; it writes this */
};
static_assert(sizeof(struct balloon_config) == 8, "virtio_balloon_config");

struct balloon_stat {
	uint16_t tag; /* an enum vmm_guest_memory_item, or one that is newer than we are */
	uint64_t value;
} __attribute__((packed));
static_assert(sizeof(struct balloon_stat) == 10, "virtio_balloon_stat");

/* --- State --- */

struct virtio_balloon {
	struct virtio_mmio dev;
	struct balloon_config config;
	bool holds_stats;    /* the driver's buffer for statistics is with us */
	uint16_t stats_head; /* then: which it is */
	bool asked;	     /* atomic: newer statistics are wanted */
	uint64_t asked_ns;   /* atomic: when they were last */

	pthread_mutex_t lock; /* the two below, so that a reader waits for no request */
	struct vmm_guest_memory guest;
	uint64_t told_ns; /* when it was told, on the monotonic clock */
	uint64_t released, inflated, deflated, reported; /* bytes; atomic */
};

static struct virtio_balloon *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_balloon, dev);
}

static const struct mem *memory_of(const struct virtio_balloon *balloon)
{
	return balloon->dev.queues[0].ring.mem;
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	virtio_config_copy(&of(dev)->config, sizeof(struct balloon_config), off, to, n);
}

static void write_config(struct virtio_mmio *dev, uint64_t off, const void *from, size_t n)
{
	struct virtio_balloon *balloon = of(dev);

	if (off == offsetof(struct balloon_config, actual) && n == sizeof(balloon->config.actual))
		memcpy(&balloon->config.actual, from, n);
}

/* --- Queues --- */

/* The numbers of a request's pages, read a piece at a time. */
struct pfns {
	const struct virtq_chain *chain;
	uint64_t off;
	uint32_t pfns[256];
	size_t at, used;
};

static bool next_pfn(struct pfns *p, uint32_t *pfn)
{
	if (p->at == p->used) {
		p->used = iov_read(p->chain->iov, p->chain->out_count, p->off, p->pfns,
				   sizeof(p->pfns)) /
			  sizeof(p->pfns[0]);
		p->off += sizeof(p->pfns);
		p->at = 0;
	}
	if (p->used == 0)
		return false;
	*pfn = p->pfns[p->at++];
	return true;
}

static bool is_pfn_list(const struct virtq_chain *chain)
{
	return chain->in_count == 0 && chain->out_bytes % sizeof(uint32_t) == 0 &&
	       chain->out_bytes <= PFNS_MAX * sizeof(uint32_t);
}

static void release(struct virtio_balloon *balloon, const void *at, uint64_t n)
{
	if (n > 0)
		count(&balloon->released, mem_give_back(memory_of(balloon), at, n));
}

/*
 * Neighbours are released together, whether they come in rising or in falling order: that is fewer
 * calls, and the only way where the host's pages are larger.
 */
static int64_t inflate(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_balloon *balloon = of(dev);
	struct pfns pfns = { .chain = chain };
	uint8_t *start = NULL;
	uint64_t n = 0;
	uint32_t pfn;

	if (!is_pfn_list(chain))
		return -EPROTO;
	while (next_pfn(&pfns, &pfn)) {
		uint8_t *page = mem_at(memory_of(balloon), gpa((uint64_t)pfn << PAGE_SHIFT), PAGE);

		if (!page)
			return -EPROTO;
		if (n > 0 && page == start + n) {
			n += PAGE;
		} else if (n > 0 && page + PAGE == start) {
			start = page;
			n += PAGE;
		} else {
			release(balloon, start, n);
			start = page;
			n = PAGE;
		}
	}
	release(balloon, start, n);
	count(&balloon->inflated, chain->out_bytes / sizeof(uint32_t) * PAGE);
	return 0;
}

/* The pages come back as they are used; there is nothing to do but to count. */
static int64_t deflate(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	if (!is_pfn_list(chain))
		return -EPROTO;
	count(&of(dev)->deflated, chain->out_bytes / sizeof(uint32_t) * PAGE);
	return 0;
}

/* The buffers are themselves what is free. No page is free twice, so RAM bounds their sum. */
static int64_t report(struct virtio_mmio *dev, struct virtq_chain *chain)
{
	struct virtio_balloon *balloon = of(dev);

	if (chain->out_count > 0 || chain->in_bytes > memory_of(balloon)->size)
		return -EPROTO;
	for (unsigned int i = 0; i < chain->in_count; i++)
		release(balloon, chain->iov[i].iov_base, chain->iov[i].iov_len);
	count(&balloon->reported, chain->in_bytes);
	return 0;
}

static void keep_stats(struct virtio_balloon *balloon, const struct virtq_chain *chain)
{
	struct balloon_stat stats[TAGS_MAX];
	struct vmm_guest_memory told = { 0 };
	size_t n =
		iov_read(chain->iov, chain->out_count, 0, stats, sizeof(stats)) / sizeof(stats[0]);

	for (size_t i = 0; i < n; i++)
		if (stats[i].tag < VMM_GUEST_MEMORY_ITEMS) {
			told.told |= 1u << stats[i].tag;
			told.values[stats[i].tag] = stats[i].value;
		}
	pthread_mutex_lock(&balloon->lock);
	balloon->guest = told;
	balloon->told_ns = loop_now_ns();
	pthread_mutex_unlock(&balloon->lock);
}

/* A driver has one buffer for statistics: to ask is to give it back, to answer to offer it. */
static int serve_stats(struct virtio_balloon *balloon, unsigned int queue)
{
	struct virtqueue *q = &balloon->dev.queues[queue].ring;
	struct virtq_chain *chain = &balloon->dev.chain;
	int r;

	r = virtqueue_pop(q, chain);
	if (r < 0 || (r > 0 && (balloon->holds_stats || chain->in_count > 0)))
		return -EPROTO;
	if (r > 0) {
		keep_stats(balloon, chain);
		balloon->holds_stats = true;
		balloon->stats_head = chain->head;
	}
	r = virtqueue_listen(q);
	if (r != 0 || !balloon->holds_stats ||
	    !__atomic_exchange_n(&balloon->asked, false, __ATOMIC_ACQ_REL))
		return r;
	balloon->holds_stats = false;
	r = virtqueue_push(q, balloon->stats_head, 0);
	if (r == 0)
		virtio_interrupt(&balloon->dev, queue);
	return r;
}

static enum role role_of(const struct virtio_mmio *dev, unsigned int queue)
{
	if (queue < ROLE_STATS)
		return (enum role)queue;
	if (queue == ROLE_STATS && (dev->driver_features & F_STATS_VQ))
		return ROLE_STATS;
	queue += !(dev->driver_features & F_STATS_VQ);
	return queue == ROLE_REPORTING && (dev->driver_features & F_REPORTING) ? ROLE_REPORTING
									       : ROLES;
}

static int handle(struct virtio_mmio *dev, unsigned int queue)
{
	switch (role_of(dev, queue)) {
	case ROLE_INFLATE:
		return virtio_serve(dev, queue, inflate);
	case ROLE_DEFLATE:
		return virtio_serve(dev, queue, deflate);
	case ROLE_STATS:
		return serve_stats(of(dev), queue);
	case ROLE_REPORTING:
		return virtio_serve(dev, queue, report);
	default:
		/* A queue of a feature that the driver did not take. */
		return -EPROTO;
	}
}

/* The buffer for statistics goes with its queue: that may come back smaller. */
static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	if (role_of(dev, queue) == ROLE_STATS)
		of(dev)->holds_stats = false;
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	struct virtio_balloon *balloon = of(dev);

	/* A driver that starts over has all its memory. */
	balloon->config.actual = 0;
	balloon->holds_stats = false;
}

static const struct virtio_ops ops = {
	.name = "balloon",
	.id = DEVICE_ID,
	.queues = ROLES,
	.read_config = read_config,
	.write_config = write_config,
	.handle = handle,
	.suspend = suspend,
	.reset = reset,
};

/* --- Set-up --- */

int virtio_balloon_new(struct virtio_balloon **out, const struct virtio_slot *slot,
		       struct error *err)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "balloon");
	pthread_mutex_init(&balloon->lock, NULL);
	balloon->dev.features = F_STATS_VQ | F_DEFLATE_ON_OOM | F_REPORTING;
	r = virtio_mmio_init(&balloon->dev, &ops, slot, err);
	if (r < 0) {
		virtio_balloon_free(balloon);
		return error_widen(err, "balloon");
	}
	*out = balloon;
	return 0;
}

struct virtio_balloon *virtio_balloon_free(struct virtio_balloon *balloon)
{
	if (!balloon)
		return NULL;
	virtio_mmio_free(&balloon->dev);
	pthread_mutex_destroy(&balloon->lock);
	free(balloon);
	return NULL;
}

struct virtio_mmio *virtio_balloon_device(struct virtio_balloon *balloon)
{
	return &balloon->dev;
}

void virtio_balloon_settle(struct virtio_balloon *balloon)
{
	if (!mem_gives_back(memory_of(balloon)))
		balloon->dev.features &= ~F_REPORTING;
}

int virtio_balloon_set(struct virtio_balloon *balloon, uint64_t bytes, struct error *err)
{
	uint64_t size = memory_of(balloon)->size;

	if (size < VMM_MEMORY_MIN || bytes > size - VMM_MEMORY_MIN)
		return error_raise(err, ERROR_INVALID_ARGUMENT,
				   "a balloon of %llu bytes leaves the guest less than %llu of its "
				   "%llu",
				   (unsigned long long)bytes, VMM_MEMORY_MIN,
				   (unsigned long long)size);
	pthread_mutex_lock(&balloon->dev.lock);
	balloon->config.num_pages = (uint32_t)(bytes >> PAGE_SHIFT);
	virtio_config_changed(&balloon->dev);
	pthread_mutex_unlock(&balloon->dev.lock);
	return 0;
}

/* --- Statistics --- */

static void ask(struct virtio_balloon *balloon)
{
	uint64_t now = loop_now_ns(), last = __atomic_load_n(&balloon->asked_ns, __ATOMIC_RELAXED);

	if (last != 0 && now - last < ASK_NS)
		return;
	__atomic_store_n(&balloon->asked_ns, now, __ATOMIC_RELAXED);
	__atomic_store_n(&balloon->asked, true, __ATOMIC_RELEASE);
	virtio_poke(&balloon->dev, ROLE_STATS);
}

void virtio_balloon_stats(struct virtio_balloon *balloon, struct vmm_balloon_stats *stats)
{
	uint64_t told_ns;

	pthread_mutex_lock(&balloon->lock);
	stats->guest = balloon->guest;
	told_ns = balloon->told_ns;
	pthread_mutex_unlock(&balloon->lock);
	if (stats->guest.told)
		stats->guest.age_ns = loop_now_ns() - told_ns;
	pthread_mutex_lock(&balloon->dev.lock);
	stats->present = true;
	stats->driver_up = virtio_queue_live(&balloon->dev, ROLE_INFLATE);
	stats->gives_back = mem_gives_back(memory_of(balloon));
	stats->target = (uint64_t)balloon->config.num_pages << PAGE_SHIFT;
	stats->actual = (uint64_t)balloon->config.actual << PAGE_SHIFT;
	pthread_mutex_unlock(&balloon->dev.lock);
	stats->released = __atomic_load_n(&balloon->released, __ATOMIC_RELAXED);
	stats->inflated = __atomic_load_n(&balloon->inflated, __ATOMIC_RELAXED);
	stats->deflated = __atomic_load_n(&balloon->deflated, __ATOMIC_RELAXED);
	stats->reported = __atomic_load_n(&balloon->reported, __ATOMIC_RELAXED);
	ask(balloon);
}
