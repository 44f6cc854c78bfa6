/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a network device: a tap, or a stream socket on which each frame follows its
 * length in four bytes, high byte first (as passt speaks it).
 */
#ifndef CROFT_VMM_NET_LINK_H
#define CROFT_VMM_NET_LINK_H

#include "vmm/virtqueue.h"
#include "vmm/vmm.h"

#define NET_HEADER    12u /* struct virtio_net_hdr of virtio 1.2, section 5.1.6 */
#define NET_FRAME_MAX 65562u
#define NET_FRAME_MIN 14u /* an Ethernet header */

struct net_link {
	enum vmm_net_kind kind;
	int fd;
	uint8_t *in; /* of a stream: what was read and is no whole frame yet */
	size_t in_start, in_used;
	uint8_t *out; /* of a stream: the rest of a frame that was written in part */
	size_t out_start, out_used;
};

/* Duplicates fd and makes it non-blocking. On failure net_link_free() is still due. */
int net_link_init(struct net_link *link, enum vmm_net_kind kind, int fd, struct error *err);
void net_link_free(struct net_link *link);

/*
 * Reads one frame behind its header into at most n bytes, NET_HEADER + NET_FRAME_MAX of them at
 * least. Returns their number, -EAGAIN, or -EPIPE when the other side is gone or talks nonsense.
 */
ssize_t net_link_read(struct net_link *link, uint8_t *to, size_t n);

/*
 * Writes one frame: count pieces of `bytes` bytes, header first; the pieces are used up. 0, -EAGAIN
 * when it is to be offered again after net_link_flush() has returned 0, or another -errno for a
 * frame that cannot be sent.
 */
int net_link_write(struct net_link *link, struct iovec *iov, unsigned int count, size_t bytes);

/* Whether the rest of a frame waits for the other side to read. */
bool net_link_stuck(const struct net_link *link);
int net_link_flush(struct net_link *link);

/* Tells a tap what the guest can take, by its features; a stream has no offloads. */
int net_link_offload(struct net_link *link, bool checksums, bool tso4, bool tso6);

#endif
