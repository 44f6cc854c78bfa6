/* SPDX-License-Identifier: GPL-2.0-only */
/* Device trees of guests, right and wrong in chosen ways, and a reader for what became of them. */
#ifndef CONFORMANCE_TREE_H
#define CONFORMANCE_TREE_H

#include <linux/types.h>

#define GICD_BASE    0x3fff0000ul
#define GICR_SIZE    0x20000ul
#define BELL_SPI     4u /* also its label */
#define SOURCE_LABEL 77u
#define PAIR_LABEL   88u
#define OTHER_LABEL  99u
#define PAIR_SIZE    64u /* of a message */
#define PAIR_DEPTH   4u

struct tree_spec {
	unsigned int cpus;
	u32 gicr_size;	    /* 0: as large as the vCPUs need */
	u64 base, size_max; /* 0: 0x80000000; 0: 256 MiB */
	u64 reserved;	    /* 0: none; a reserved-memory child with this address */
	unsigned int bells; /* doorbells with labels from BELL_SPI up; the guest receives */
	const char *name;   /* image-name; NULL: "conformance" */
	const char *uri, *guid;
	u32 shm_label; /* not 0: a shm vdevice of that label at shm_base */
	u64 shm_base;
	bool level;    /* the doorbells' interrupts */
	bool no_clear; /* without source-can-clear */
	bool no_spi;   /* doorbells without an interrupts property */
	bool no_chosen, hypervisor, no_name, no_config, no_psci;
	bool link;	     /* a vdevice rm-rpc */
	bool bell_source;    /* a doorbell whose source is the guest, label SOURCE_LABEL */
	bool msgq;	     /* a pair of message queues, label PAIR_LABEL */
	u64 rtc;	     /* not 0: a vrtc-pl031 there */
	const char *peer;    /* of the two above, and of the next; NULL: the owner */
	bool bell_sink;	     /* a doorbell of label SOURCE_LABEL; the guest receives */
	const char *vdevice; /* not NULL: one more, of that type and with all that any type needs */
	bool bad_magic;
};

/* Writes the tree, at most `room` bytes; its size, or 0. */
size_t tree_build(void *at, size_t room, const struct tree_spec *spec);

/*
 * A property of the node at the path ("" is the root); a component matches a node's name up to its
 * '@' as well. NULL: no such node or property.
 */
const void *tree_get(const void *tree, const char *path, const char *property, int *size);
bool tree_has(const void *tree, const char *path);
u32 tree_u32(const void *tree, const char *path, const char *property, unsigned int cell);
/* Whether a list of strings has this one. */
bool tree_lists(const void *tree, const char *path, const char *property, const char *text);

#endif
