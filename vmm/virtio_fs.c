// SPDX-License-Identifier: Apache-2.0
/* virtio-fs (virtio 1.2, section 5.11) by vhost-user: the queues are another process's. */
#include "vmm/virtio_fs.h"

#include <assert.h>
#include <string.h>

#include "vmm/vhost_user.h"

/* --- Constants --- */

#define DEVICE_ID 26u
#define QUEUES	  2u /* one for what must not wait, and one for the rest */

/* --- Config space --- */

struct fs_config {
	char tag[VMM_FS_TAG_MAX]; /* one of full length has no NUL */
	uint32_t num_request_queues;
};
static_assert(sizeof(struct fs_config) == 40, "virtio_fs_config");

/* --- State --- */

struct virtio_fs {
	struct virtio_mmio dev;
	struct fs_config config;
	char name[VMM_FS_TAG_MAX + 1];
	struct vhost_user vhost;
};

static struct virtio_fs *of(struct virtio_mmio *dev)
{
	return CONTAINER_OF(dev, struct virtio_fs, dev);
}

static void read_config(struct virtio_mmio *dev, uint64_t off, void *to, size_t n)
{
	virtio_config_copy(&of(dev)->config, sizeof(struct fs_config), off, to, n);
}

/* --- Queues --- */

static void start(struct virtio_mmio *dev)
{
	if (vhost_user_start(&of(dev)->vhost) < 0)
		virtio_needs_reset(dev);
}

static void suspend(struct virtio_mmio *dev, unsigned int queue)
{
	vhost_user_stop_queue(&of(dev)->vhost, queue);
}

/* --- Reset --- */

static void reset(struct virtio_mmio *dev)
{
	vhost_user_stop(&of(dev)->vhost);
}

static const struct virtio_ops ops = {
	.name = "share",
	.id = DEVICE_ID,
	.queues = QUEUES,
	.read_config = read_config,
	.start = start,
	.suspend = suspend,
	.reset = reset,
};

/* --- Set-up --- */

static void fs_freep(struct virtio_fs **fs)
{
	virtio_fs_free(*fs);
}

static int check_tag(const char *tag, struct error *err)
{
	size_t n = strlen(tag);

	if (n == 0 || n > VMM_FS_TAG_MAX)
		return error_raise(err, ERROR_INVALID_ARGUMENT, "a tag has 1 to %u bytes, not %zu",
				   VMM_FS_TAG_MAX, n);
	return 0;
}

int virtio_fs_new(struct virtio_fs **out, const struct vmm_fs *config,
		  const struct virtio_slot *slot, struct error *err)
{
	_cleanup_(fs_freep) struct virtio_fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "share");
	fs->vhost = VHOST_USER_NONE;
	fs->vhost.dev = &fs->dev;
	fs->config.num_request_queues = QUEUES - 1;
	r = virtio_mmio_init(&fs->dev, &ops, slot, err);
	if (r == 0)
		r = check_tag(config->tag, err);
	if (r == 0)
		r = vhost_user_open(&fs->vhost, config->fd, QUEUES, slot->loop, err);
	if (r < 0)
		return error_widen(err, "share \"%s\"", config->tag);
	/* What the other process cannot do must not be offered. */
	fs->dev.features &= fs->vhost.features;
	memcpy(fs->config.tag, config->tag, strlen(config->tag));
	memcpy(fs->name, config->tag, strlen(config->tag));
	fs->dev.label = fs->name;
	*out = TAKE_PTR(fs);
	return 0;
}

struct virtio_fs *virtio_fs_free(struct virtio_fs *fs)
{
	if (!fs)
		return NULL;
	vhost_user_close(&fs->vhost);
	virtio_mmio_free(&fs->dev);
	free(fs);
	return NULL;
}

struct virtio_mmio *virtio_fs_device(struct virtio_fs *fs)
{
	return &fs->dev;
}
