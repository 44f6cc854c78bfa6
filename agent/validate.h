/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests may say: checked at the edge, before anything is changed. Every refusal names its field.
 */
#ifndef CROFT_AGENT_VALIDATE_H
#define CROFT_AGENT_VALIDATE_H

#include "croft/v1/image.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

#define NAME_MAX_LENGTH	   63u
#define LABELS_MAX	   64u
#define LABEL_MAX_LENGTH   63u
#define URL_MAX_LENGTH	   2000u
#define CMDLINE_MAX_LENGTH 2047u

/* [a-z0-9]([-a-z0-9]{0,61}[a-z0-9])? */
bool name_valid(const char *name);

/* 64 lower-case hexadecimal digits. */
bool sha256_valid(const char *digest);

/* Those of any message that has a map `labels`; the field is /labels/KEY. */
int validate_labels(const ProtobufCMessage *message, struct error *err);

int validate_name(const char *field, const char *name, struct error *err);

/*
 * The whole object as a client may send it; output-only fields are not looked at. memory_max is what the host has, in bytes;
 * vcpus_max what its hypervisor gives one VM. Whether the image exists is not asked here.
 */
int validate_vm(const Croft__V1__Vm *vm, uint64_t memory_max, unsigned int vcpus_max,
		struct error *err);

/* The image's own part of a pull; the URL's form is the fetcher's to check. */
int validate_image(const Croft__V1__Image *image, struct error *err);

/* Tells which disks of a VM are made already, and need their image no more. */
struct validate_copies {
	bool (*made)(void *data, const char *vm, const char *disk);
	void *data;
};

/* The disks that name a disk of the image do so rightly. The image must be READY. `copies` may be NULL: none is made. */
int validate_image_disks(const Croft__V1__Vm *vm, const Croft__V1__Image *image,
			 const struct validate_copies *copies, struct error *err);

/* Bytes that the VM's whole command line may have, without its NUL: fewer where bounce memory is described in it. */
size_t validate_cmdline_max(const Croft__V1__VmSpec *spec);

/* Bytes that the two have together: with a space between them where there are both. */
size_t validate_cmdline_length(const char *cmdline, const char *append);

/* Printable ASCII only, spaces included. */
bool text_printable(const char *text);

#endif
