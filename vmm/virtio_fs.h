/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared directory: the guest's requests go to a virtiofsd by vhost-user. When that ends, the
 * device is broken for the rest of the VM's life.
 */
#ifndef CROFT_VMM_VIRTIO_FS_H
#define CROFT_VMM_VIRTIO_FS_H

#include "vmm/virtio_mmio.h"
#include "vmm/vmm_config.h"

struct virtio_fs;

/* On failure *out is untouched. Errors: as vhost_user_open(), INVALID_ARGUMENT (the tag). */
int virtio_fs_new(struct virtio_fs **out, const struct vmm_fs *config,
		  const struct virtio_slot *slot, struct error *err);
struct virtio_fs *virtio_fs_free(struct virtio_fs *fs);
struct virtio_mmio *virtio_fs_device(struct virtio_fs *fs);

#endif
