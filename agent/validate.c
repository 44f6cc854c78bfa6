// SPDX-License-Identifier: Apache-2.0
// What requests may say: checked at the edge, before anything is changed.

#include "agent/validate.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/validate_device.h"
#include "agent/vm_restart_rule.h"
#include "vmm/vmm.h"

static_assert(CMDLINE_MAX_LENGTH == VMM_CMDLINE_MAX - 1,
	      "the API's limit is the VMM's, without the NUL");

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

bool name_valid(const char *name)
{
	size_t n = strnlen(name, NAME_MAX_LENGTH + 1);

	if (n < 1 || n > NAME_MAX_LENGTH || !is_lower(name[0]) || !is_lower(name[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_lower(name[i]) && name[i] != '-')
			return false;
	return true;
}

bool sha256_valid(const char *digest)
{
	return strlen(digest) == 64 && strspn(digest, "0123456789abcdef") == 64;
}

bool text_printable(const char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

int validate_name(const char *field, const char *name, struct error *err)
{
	if (!name[0])
		return error_raise_field(err, field, "a name is required");
	if (!name_valid(name))
		return error_raise_field(err, field,
					 "\"%.80s\" is not a name: 1 to 63 of a-z, 0-9 and -, "
					 "with a letter or digit at both ends",
					 name);
	return 0;
}

/* --- Labels --- */

/* Letters, digits and . _ - /, with a letter or digit at both ends. */
static bool label_valid(const char *text)
{
	size_t n = strnlen(text, LABEL_MAX_LENGTH + 1);

	if (n > LABEL_MAX_LENGTH || (n > 0 && (!is_alnum(text[0]) || !is_alnum(text[n - 1]))))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(text[i]) && !strchr("._-/", text[i]))
			return false;
	return true;
}

/* "/labels/" and the key, escaped as RFC 6901 says; the raiser cuts a long one. */
static void label_pointer(char *out, size_t size, const char *key)
{
	size_t n = (size_t)snprintf(out, size, "/labels/");

	for (; *key && n + 3 < size; key++) {
		if (*key == '~' || *key == '/') {
			out[n++] = '~';
			out[n++] = *key == '~' ? '0' : '1';
		} else {
			out[n++] = *key;
		}
	}
	out[n] = '\0';
}

static int validate_label(const char *key, const char *value, struct error *err)
{
	char field[ERROR_FIELD_MAX];

	label_pointer(field, sizeof(field), key);
	if (!key[0] || !label_valid(key))
		return error_raise_field(err, field,
					 "a label's key is 1 to 63 letters, digits and . _ - /, "
					 "with a letter or digit at both ends");
	if (!label_valid(value))
		return error_raise_field(
			err, field,
			"a label's value is at most 63 letters, digits and . _ - /, "
			"with a letter or digit at both ends");
	return 0;
}

static int raise_too_many_labels(size_t n, struct error *err)
{
	return error_raise_field(err, "/labels", "%zu labels: at most %u are allowed", n,
				 LABELS_MAX);
}

static int raise_twice(const char *field, const char *what, struct error *err)
{
	return error_raise_field(err, field, "\"%.63s\" is there twice", what);
}

/* All maps of strings to strings are laid out alike. */
typedef Croft__V1__Vm__LabelsEntry label_entry;

int validate_labels(const ProtobufCMessage *message, struct error *err)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "labels");
	label_entry **labels;
	size_t n;
	int r = 0;

	assert(field && field->label == PROTOBUF_C_LABEL_REPEATED);
	memcpy(&labels, (const char *)message + field->offset, sizeof(labels));
	memcpy(&n, (const char *)message + field->quantifier_offset, sizeof(n));
	if (n > LABELS_MAX)
		return raise_too_many_labels(n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = validate_label(labels[i]->key, labels[i]->value, err);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (strcmp(labels[i]->key, labels[j]->key) == 0)
				r = raise_twice("/labels", labels[i]->key, err);
	}
	return r;
}

/* --- VMs --- */

static int validate_memory(uint64_t bytes, uint64_t memory_max, struct error *err)
{
	const char *field = "/spec/memory_bytes";

	if (bytes < VMM_MEMORY_MIN)
		return error_raise_field(err, field,
					 "%" PRIu64 " bytes: at least %llu (64 MiB) are needed",
					 bytes, VMM_MEMORY_MIN);
	if (bytes % VMM_MEMORY_ALIGN)
		return error_raise_field(err, field,
					 "%" PRIu64 " is not a multiple of %llu (2 MiB)", bytes,
					 VMM_MEMORY_ALIGN);
	if (bytes > memory_max)
		return error_raise_field(err, field, "%" PRIu64 " bytes: the host has %" PRIu64,
					 bytes, memory_max);
	return 0;
}

static int validate_target(const Croft__V1__VmSpec *spec, struct error *err)
{
	const char *field = "/spec/memory_target_bytes";
	uint64_t bytes = spec->memory_target_bytes;

	if (bytes && (bytes < VMM_MEMORY_MIN || bytes > spec->memory_bytes))
		return error_raise_field(err, field,
					 "%" PRIu64 " bytes: from %llu (64 MiB) to memory_bytes, "
					 "which is %" PRIu64 ", or 0 for all of it",
					 bytes, VMM_MEMORY_MIN, spec->memory_bytes);
	if (bytes % VMM_MEMORY_ALIGN)
		return error_raise_field(err, field,
					 "%" PRIu64 " is not a multiple of %llu (2 MiB)", bytes,
					 VMM_MEMORY_ALIGN);
	return 0;
}

size_t validate_cmdline_max(const Croft__V1__VmSpec *spec)
{
	return CMDLINE_MAX_LENGTH - (validate_bounce_bytes(spec) ? VMM_BOUNCE_CMDLINE : 0);
}

size_t validate_cmdline_length(const char *cmdline, const char *append)
{
	return strlen(cmdline) + (cmdline[0] && append[0]) + strlen(append);
}

static int validate_cmdline(const Croft__V1__VmSpec *spec, struct error *err)
{
	size_t n = strlen(spec->cmdline), max = validate_cmdline_max(spec);

	if (!text_printable(spec->cmdline))
		return error_raise_field(err, "/spec/cmdline", "only printable ASCII is allowed");
	if (!text_printable(spec->cmdline_append))
		return error_raise_field(err, "/spec/cmdline_append",
					 "only printable ASCII is allowed");
	if (n > max)
		return error_raise_field(err, "/spec/cmdline", "%zu bytes: at most %zu are allowed",
					 n, max);
	if (validate_cmdline_length(spec->cmdline, spec->cmdline_append) > max)
		return error_raise_field(err, "/spec/cmdline_append",
					 "%zu bytes, and %zu of cmdline: at most %zu together",
					 strlen(spec->cmdline_append), n, max);
	return 0;
}

static int validate_spec(const Croft__V1__VmSpec *spec, uint64_t memory_max, unsigned int vcpus_max,
			 struct error *err)
{
	int r;

	if (spec->vcpus < 1 || spec->vcpus > vcpus_max)
		return error_raise_field(err, "/spec/vcpus", "%u vCPUs: 1 to %u are allowed",
					 spec->vcpus, vcpus_max);
	r = validate_memory(spec->memory_bytes, memory_max, err);
	if (r == 0)
		r = validate_target(spec, err);
	if (r == 0)
		r = validate_name("/spec/image", spec->image, err);
	if (r == 0)
		r = validate_cmdline(spec, err);
	if (r == 0)
		r = validate_devices(spec, err);
	return r < 0 ? r : restart_validate(spec->restart, err);
}

int validate_vm(const Croft__V1__Vm *vm, uint64_t memory_max, unsigned int vcpus_max,
		struct error *err)
{
	int r = validate_name("/name", vm->name, err);

	if (r == 0)
		r = validate_labels(&vm->base, err);
	if (r == 0 && !vm->spec)
		r = error_raise_field(err, "/spec", "a spec is required");
	if (r == 0)
		r = validate_spec(vm->spec, memory_max, vcpus_max, err);
	return r;
}

/* --- Images --- */

int validate_image(const Croft__V1__Image *image, struct error *err)
{
	int r = validate_name("/name", image->name, err);

	if (r == 0)
		r = validate_labels(&image->base, err);
	if (r < 0)
		return r;
	if (!image->spec)
		return error_raise_field(err, "/spec", "a spec is required");
	if (!image->spec->manifest_url[0])
		return error_raise_field(err, "/spec/manifest_url", "a URL is required");
	if (strlen(image->spec->manifest_url) > URL_MAX_LENGTH)
		return error_raise_field(err, "/spec/manifest_url",
					 "%zu characters: at most %u are allowed",
					 strlen(image->spec->manifest_url), URL_MAX_LENGTH);
	if (image->spec->manifest_sha256[0] && !sha256_valid(image->spec->manifest_sha256))
		return error_raise_field(err, "/spec/manifest_sha256",
					 "not 64 lower-case hexadecimal digits");
	return 0;
}

static const Croft__V1__ImageDisk *find_disk(const Croft__V1__Image *image, const char *name)
{
	for (size_t i = 0; i < image->status->n_disks; i++)
		if (strcmp(image->status->disks[i]->name, name) == 0)
			return image->status->disks[i];
	return NULL;
}

int validate_image_disks(const Croft__V1__Vm *vm, const Croft__V1__Image *image,
			 const struct validate_copies *copies, struct error *err)
{
	const Croft__V1__VmSpec *spec = vm->spec;
	char field[ERROR_FIELD_MAX];

	for (size_t i = 0; i < spec->n_disks; i++) {
		const Croft__V1__DiskSpec *d = spec->disks[i];
		const Croft__V1__ImageDisk *of;

		if (!d->image_disk[0] || (copies && copies->made(copies->data, vm->name, d->name)))
			continue;
		of = find_disk(image, d->image_disk);
		if (!of) {
			snprintf(field, sizeof(field), "/spec/disks/%zu/image_disk", i);
			return error_raise_field(err, field, "image \"%s\" has no disk \"%s\"",
						 image->name, d->image_disk);
		}
		if (d->size_bytes && d->size_bytes < of->file->size) {
			snprintf(field, sizeof(field), "/spec/disks/%zu/size_bytes", i);
			return error_raise_field(err, field,
						 "%" PRIu64 " bytes: the image's disk has %" PRIu64
						 ", and a copy can only be larger",
						 d->size_bytes, of->file->size);
		}
	}
	return 0;
}
