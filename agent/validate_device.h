/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spec may say of a VM's devices: the part of validate.h that deals with them.
 */
#ifndef CROFT_AGENT_VALIDATE_DEVICE_H
#define CROFT_AGENT_VALIDATE_DEVICE_H

#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

/* Disks, networks, ports, shares, vsock, overlay, and how memory goes with them. INVALID_ARGUMENT with the field. */
int validate_devices(const Croft__V1__VmSpec *spec, struct error *err);

/* Bytes of bounce memory: the spec's or the default's, 0 without protection. */
#define BOUNCE_DEFAULT (16ull << 20)
uint64_t validate_bounce_bytes(const Croft__V1__VmSpec *spec);

/* "52:54:00:12:34:56"; false when it is no such text. */
bool mac_parse(const char *text, uint8_t mac[6]);

#endif
