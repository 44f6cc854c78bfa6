// SPDX-License-Identifier: Apache-2.0
/* Gives queues to vhost and takes them back, by the ioctls of linux/vhost.h. */
#include "vmm/vhost.h"

#include <fcntl.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>

static void ring_failed(struct loop_source *source)
{
	struct vhost *vhost = CONTAINER_OF(source, struct vhost, failed);

	pthread_mutex_lock(&vhost->dev->lock);
	if (vhost->active) {
		(void)vhost_stop(vhost);
		virtio_needs_reset(vhost->dev);
	}
	pthread_mutex_unlock(&vhost->dev->lock);
}

int vhost_open(struct vhost *vhost, const char *path, struct loop *loop, struct error *err)
{
	int r;

	vhost->active = false;
	vhost->loop = loop;
	vhost->failed = (struct loop_source){ .fd = -1, .ready = ring_failed };
	vhost->fd = open(path, O_RDWR | O_CLOEXEC);
	/* The memory that it will read is that of the process that says this. */
	if (vhost->fd >= 0 && ioctl(vhost->fd, VHOST_SET_OWNER, 0) < 0)
		vhost->fd = base_close(vhost->fd);
	if (vhost->fd < 0)
		return 0;
	vhost->failed.fd = eventfd_new();
	if (vhost->failed.fd < 0)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, -vhost->failed.fd, "%s",
					 path);
	r = loop_add(loop, &vhost->failed, err);
	return r < 0 ? r : 1;
}

void vhost_close(struct vhost *vhost)
{
	vhost->fd = base_close(vhost->fd);
	vhost->failed.fd = base_close(vhost->failed.fd);
}

uint64_t vhost_features(const struct vhost *vhost)
{
	uint64_t features = 0;

	if (ioctl(vhost->fd, VHOST_GET_FEATURES, &features) < 0)
		return 0;
	/* What is the guest's platform's to translate needs no translation here. */
	return features | VIRTIO_ACCESS_PLATFORM;
}

static int set_memory(const struct vhost *vhost, const struct mem *mem)
{
	struct mem_range range = mem_of_devices(mem);
	/* A table of one region, which is its flexible part. */
	union {
		struct vhost_memory table;
		uint8_t room[sizeof(struct vhost_memory) + sizeof(struct vhost_memory_region)];
	} memory = { .table.nregions = 1 };

	memory.table.regions[0] = (struct vhost_memory_region){
		.guest_phys_addr = range.base.v,
		.memory_size = range.size,
		.userspace_addr = (uintptr_t)range.host,
	};
	return ioctl(vhost->fd, VHOST_SET_MEM_TABLE, &memory.table) < 0 ? -errno : 0;
}

static uintptr_t host_of(const struct virtqueue *q, gpa_t at)
{
	/* The whole ring has been found in RAM when the queue was made ready. */
	return (uintptr_t)mem_at(q->mem, at, 1);
}

static int set_queue(const struct vhost *vhost, unsigned int index)
{
	struct virtio_queue *queue = &vhost->dev->queues[index];
	struct virtqueue *q = &queue->ring;
	struct vhost_vring_state size = { .index = index, .num = q->size };
	struct vhost_vring_state base = { .index = index, .num = q->next_avail };
	struct vhost_vring_addr address = {
		.index = index,
		.desc_user_addr = host_of(q, q->desc),
		.avail_user_addr = host_of(q, q->avail),
		.used_user_addr = host_of(q, q->used),
	};
	struct vhost_vring_file kick = { .index = index, .fd = queue->notified.fd };
	struct vhost_vring_file call = { .index = index, .fd = vhost->dev->mmio.irq.fd };
	struct vhost_vring_file error = { .index = index, .fd = vhost->failed.fd };

	if (!address.desc_user_addr || !address.avail_user_addr || !address.used_user_addr)
		return -EFAULT;
	if (ioctl(vhost->fd, VHOST_SET_VRING_NUM, &size) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_BASE, &base) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_ADDR, &address) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_KICK, &kick) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_CALL, &call) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_ERR, &error) < 0)
		return -errno;
	return 0;
}

/* Who is woken by the guest's notifications: we, or the kernel alone. */
static void listen_to_queues(const struct vhost *vhost, bool on)
{
	for (unsigned int i = 0; i < vhost->queues; i++)
		loop_listen(vhost->loop, &vhost->dev->queues[i].notified, on ? LOOP_IN : 0);
}

int vhost_start(struct vhost *vhost)
{
	/* With ACCESS_PLATFORM it would ask us to translate each address. */
	uint64_t features = vhost->dev->driver_features & vhost_features(vhost) &
			    ~VIRTIO_ACCESS_PLATFORM;
	int r = 0;

	if (vhost->active)
		return 0;
	if (ioctl(vhost->fd, VHOST_SET_FEATURES, &features) < 0)
		return -errno;
	r = set_memory(vhost, vhost->dev->queues[0].ring.mem);
	for (unsigned int i = 0; r == 0 && i < vhost->queues; i++)
		r = set_queue(vhost, i);
	if (r == 0)
		r = vhost->run(vhost, true);
	if (r < 0) {
		(void)vhost->run(vhost, false);
		return r;
	}
	vhost->active = true;
	/* From here on nobody tells us of the interrupts that the guest asks the reason of. */
	__atomic_store_n(&vhost->dev->interrupts_unseen, true, __ATOMIC_RELEASE);
	listen_to_queues(vhost, false);
	return 0;
}

int vhost_stop(struct vhost *vhost)
{
	int r = 0;

	if (!vhost->active)
		return 0;
	vhost->active = false;
	(void)vhost->run(vhost, false);
	__atomic_store_n(&vhost->dev->interrupts_unseen, false, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < vhost->queues; i++) {
		struct vhost_vring_state base = { .index = i };
		struct vhost_vring_file none = { .index = i, .fd = -1 };

		if (ioctl(vhost->fd, VHOST_GET_VRING_BASE, &base) < 0 ||
		    virtqueue_resume(&vhost->dev->queues[i].ring, (uint16_t)base.num) < 0)
			r = -EPROTO;
		(void)ioctl(vhost->fd, VHOST_SET_VRING_KICK, &none);
		(void)ioctl(vhost->fd, VHOST_SET_VRING_CALL, &none);
		virtio_poke(vhost->dev, i);
	}
	listen_to_queues(vhost, true);
	/* An interrupt whose reason was not read yet has one now. */
	virtio_interrupt_always(vhost->dev);
	return r;
}
