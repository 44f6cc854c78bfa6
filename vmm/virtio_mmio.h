/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio 1.2 transport over MMIO (section 4.2), and what a device gives it.
 */
#ifndef CROFT_VMM_VIRTIO_MMIO_H
#define CROFT_VMM_VIRTIO_MMIO_H

#include <pthread.h>

#include "vmm/bus.h"
#include "vmm/loop.h"
#include "vmm/virtqueue.h"

#define VIRTIO_MMIO_SIZE	 0x200ull
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x50ull
#define VIRTIO_QUEUES_MAX	 10u

#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_ACCESS_PLATFORM (1ull << 33)

struct virtio_mmio;

/* A kind of device. The functions are called with the device locked. */
struct virtio_ops {
	const char *name;
	uint32_t id;	     /* of the device type, virtio 1.2, section 5 */
	unsigned int queues; /* unless the device has set its queue_count before */
	/*
	 * Config space: off + n is at most 0x100; what lies beyond the device's fields reads as 0.
	 * NULL: there is nothing to read, or to write.
	 */
	void (*read_config)(struct virtio_mmio *dev, uint64_t off, void *to, size_t n);
	void (*write_config)(struct virtio_mmio *dev, uint64_t off, const void *from, size_t n);
	/*
	 * On the device thread; the driver is up and the queue ready. 0 when the queue was left
	 * listening, 1 to be called again soon (so that one queue cannot keep the thread), -EPROTO
	 * when the device needs a reset. NULL: the queues are another process's, which is given
	 * their eventfds. It can make a read or write of those block, so we do neither, ever.
	 */
	int (*handle)(struct virtio_mmio *dev, unsigned int queue);
	/* The driver is up, as is each queue that it has made ready. May be NULL. */
	void (*start)(struct virtio_mmio *dev);
	/*
	 * The driver takes back a queue that it had made ready, and the device is not to touch it
	 * any more; when it is made ready again, start() is called once more. May be NULL where
	 * nobody but handle() looks at queues.
	 */
	void (*suspend)(struct virtio_mmio *dev, unsigned int queue);
	/* The driver starts over: forget what it said. */
	void (*reset)(struct virtio_mmio *dev);
};

struct virtio_queue {
	struct virtqueue ring;
	struct loop_source notified;
	struct virtio_mmio *dev;
};

/* First member of a device's own structure. */
struct virtio_mmio {
	struct mmio_device mmio;
	const struct virtio_ops *ops;
	pthread_mutex_t lock; /* all below but interrupt_status */
	unsigned int queue_count;
	uint32_t queue_max; /* entries of a queue that a driver should not go beyond */
	uint64_t features;  /* offered */
	uint64_t driver_features;
	bool driver_wants_more; /* beyond the 64 that there are */
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t status;
	uint32_t config_generation;
	bool interrupts_unseen;	   /* someone else rings the line for used buffers */
	uint32_t interrupt_status; /* atomic: the guest's handler must not wait for I/O */
	uint64_t resets_needed;	   /* times that a guest broke the rules; atomic */
	const char *label;	   /* which of its kind it is, or NULL */
	/* Called with the device locked when the guest has broken the rules; or NULL. */
	void (*broken)(void *data, struct virtio_mmio *dev);
	void *broken_data;
	struct virtq_chain chain; /* of virtio_serve(); large, so not on the stack */
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
};

/* What a device is given by its machine: all of it outlives the device. */
struct virtio_slot {
	const struct mem *mem;
	struct loop *loop; /* of the device thread */
	gpa_t base;	   /* where the device lies, and which line it has */
	uint32_t spi;
};

/*
 * dev is zeroed memory; features beyond the transport's own are in `features`. On failure
 * virtio_mmio_free() is still due. The queues are watched from now on; their eventfds are to be
 * bound to QueueNotify (ioeventfd) by the caller.
 */
int virtio_mmio_init(struct virtio_mmio *dev, const struct virtio_ops *ops,
		     const struct virtio_slot *slot, struct error *err);
void virtio_mmio_free(struct virtio_mmio *dev);

/* For read_config(): the part of a device's fields that is asked for. */
void virtio_config_copy(const void *config, size_t size, uint64_t off, void *to, size_t n);

/* The device has changed its config space: tells the driver. Locked. */
void virtio_config_changed(struct virtio_mmio *dev);

/* Tells the driver of pushed requests, if it wants to know. Locked. */
void virtio_interrupt(struct virtio_mmio *dev, unsigned int queue);

/*
 * What most handle() are: passes up to a ring's worth of requests to `request`, which returns how
 * many bytes it wrote into the in part or -EPROTO, and gives each back at once. With -EAGAIN the
 * request stays the next one, and the device pokes the queue when it can take it; with VIRTIO_LATER
 * the device itself gives it back later. Returns what handle() returns. Locked.
 */
#define VIRTIO_LATER INT64_MIN
typedef int64_t virtio_request_fn(struct virtio_mmio *dev, struct virtq_chain *chain);
int virtio_serve(struct virtio_mmio *dev, unsigned int queue, virtio_request_fn *request);

/* Rings the line for used buffers whatever the driver has asked for. Locked. */
void virtio_interrupt_always(struct virtio_mmio *dev);

/* The length that the used ring tells: more than 32 bits cannot be told. */
static inline uint32_t virtio_written(int64_t written)
{
	return written > UINT32_MAX ? UINT32_MAX : (uint32_t)written;
}

/* Whether the driver is up, and has broken no rule. Locked. */
bool virtio_driver_up(const struct virtio_mmio *dev);

/* Whether the driver is up and this queue may be used. Locked. */
bool virtio_queue_live(const struct virtio_mmio *dev, unsigned int queue);

/* The guest has broken the rules: no queue is served before a reset of the device. Locked. */
void virtio_needs_reset(struct virtio_mmio *dev);

/* Has handle() called for this queue, if the device has one. Any thread. */
void virtio_poke(struct virtio_mmio *dev, unsigned int queue);

#endif
