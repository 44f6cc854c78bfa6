/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's configuration (ABI section 9) as plain data, taken from its device tree.
 */
#ifndef REFHYP_CORE_RM_CONFIG_H
#define REFHYP_CORE_RM_CONFIG_H

#include "core/hyp.h"

#define RM_DTB_MAX   0x10000u /* bytes of a guest's tree as the host wrote it */
#define RM_VDEVS_MAX 64u      /* of one VM */
#define RM_NAME_MAX  80u      /* image-name and vm-uri, with the final NUL */
#define RM_PATH_MAX  128u     /* path of a generated node, with the final NUL */
#define RM_PUSH_MAX  6u	      /* strings in push-compatible */

enum rm_vdev_type {
	RM_VDEV_DOORBELL, /* the peer rings, the guest gets an interrupt */
	RM_VDEV_SOURCE,	  /* the other way round */
	RM_VDEV_QUEUE,	  /* messages in one direction */
	RM_VDEV_PAIR,	  /* or in both */
	RM_VDEV_LINK,	  /* to the resource manager */
	RM_VDEV_SHM,	  /* a shared buffer */
	RM_VDEV_RTC,	  /* a clock that says the time of day */
	RM_VDEV_OTHER,	  /* known, but the board has nothing of the kind */
};

/* What a vdevice has of one direction; the guest is one end, its peer the other. */
struct rm_channel {
	struct hyp_object *object; /* NULL: none */
	struct hyp_end own, peer;
	bool joined; /* the peer has its end */
};

/* Strings point into the tree. */
struct rm_vdev {
	uint8_t type; /* enum rm_vdev_type */
	bool peer_default;
	const char *peer; /* "vm-name:...", "vm-uri:...", "vm-guid:..."; of SHM the owner when NULL */
	bool source_can_clear;
	/* By the side that the guest has, enum hyp_side. */
	bool has[2];
	bool level[2];	   /* its interrupt */
	uint32_t intid[2]; /* 0: RM chooses */
	struct rm_channel channel[2];
	uint32_t message_size, depth; /* of queues */
	bool has_base;		      /* shm, clock: the guest wants it at base */
	bool optional;		      /* shm: the parcel may be missing */
	bool has_dma_base;
	uint32_t label;
	uint32_t mem_label; /* shm */
	ipa_t base;
	uint64_t dma_base;
	const char *type_name;
	const char *generate;
	const char *push; /* list of strings */
	uint32_t push_size;
};

struct rm_config {
	const char *image_name;
	const char *uri, *guid_text; /* or NULL */
	uint8_t guid[16];
	const char *trusted_only; /* first option that only authenticated VMs may have, or NULL */
	bool no_shutdown, no_reset;
	/* memory */
	ipa_t base;
	uint64_t size_min, size_max; /* 0: not given */
	/* interrupt controller */
	bool gic_has_reg;
	ipa_t gicd, gicr;
	uint64_t gicd_size, gicr_size, gicr_stride;
	/* clock */
	bool has_rtc;
	ipa_t rtc; /* known from INIT on */
	/* vCPUs */
	unsigned int cpus; /* as many as the tree has; may exceed HYP_CPUS_MAX */
	uint32_t cpu_boot; /* bit n: vCPU n runs from the start */
	bool psci;
	bool proxy;
	/* vdevices */
	unsigned int vdevs;
	struct rm_vdev vdev[RM_VDEVS_MAX];
};

/*
 * Reads a tree that rm_fdt_valid() has accepted; *config holds pointers into it afterwards. Returns
 * NULL, or what is wrong with the tree (VM_INIT then answers MEM_INVALID). Undefined content of
 * *config then.
 */
const char *rm_config_parse(const void *fdt, struct rm_config *config);

/* The configuration's node, and the interrupt controller that it names; negative: none. */
int rm_config_root(const void *fdt);
int rm_config_gic(const void *fdt, int root);

#endif
