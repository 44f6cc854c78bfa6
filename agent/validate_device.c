// SPDX-License-Identifier: Apache-2.0
// What a spec may say of a VM's devices, each by itself and together.

#include "agent/validate_device.h"

#include <assert.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>

#include "agent/allow.h"
#include "agent/validate.h"
#include "vmm/vmm.h"

#define NETWORK(name) CROFT__V1__NETWORK_SPEC__KIND__##name
#define CID_MIN	      3u
#define CID_MAX	      (UINT32_MAX - 1)

static_assert(VMM_FS_TAG_MAX == 36 && VMM_NETS_MAX == 4 && VMM_PORTS_MAX == 4 &&
		      VMM_SHARES_MAX == 4 && VMM_DISK_QUEUES_MAX == 4 && VMM_OVERLAY_MAX == 65536,
	      "the API's limits are the VMM's");

/* The JSON pointer of a part of a list's item. */
static const char *place(char out[ERROR_FIELD_MAX], const char *list, size_t i, const char *part)
{
	snprintf(out, ERROR_FIELD_MAX, "/spec/%s/%zu%s%s", list, i, part[0] ? "/" : "", part);
	return out;
}

static int check_count(const char *field, size_t n, unsigned int max, const char *what,
		       struct error *err)
{
	return n <= max ? 0
			: error_raise_field(err, field, "%zu %s: at most %u are allowed", n, what,
					    max);
}

static int check_enum(const ProtobufCEnumDescriptor *type, int value, const char *field,
		      struct error *err)
{
	return protobuf_c_enum_descriptor_get_value(type, value)
		       ? 0
		       : error_raise_field(err, field, "%d is no %s", value, type->short_name);
}

static int check_limit(const Croft__V1__RateLimit *limit, const char *field, struct error *err)
{
	uint64_t most;

	if (!limit)
		return 0;
	most = limit->bytes_per_second > limit->operations_per_second
		       ? limit->bytes_per_second
		       : limit->operations_per_second;
	if (most <= VMM_LIMIT_MAX)
		return 0;
	return error_raise_field(err, field,
				 "%" PRIu64 " a second: at most %llu, or 0 for no limit", most,
				 VMM_LIMIT_MAX);
}

static int raise_twice(const char *field, const char *what, struct error *err)
{
	return error_raise_field(err, field, "\"%.80s\" is there twice", what);
}

/* --- Disks --- */

static bool serial_valid(const char *serial)
{
	size_t n = strlen(serial);

	for (size_t i = 0; i < n; i++)
		if (!strchr("-_.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
			    serial[i]))
			return false;
	return n <= 20;
}

static int check_size(const Croft__V1__DiskSpec *d, size_t i, struct error *err)
{
	char field[ERROR_FIELD_MAX];

	place(field, "disks", i, "size_bytes");
	if (d->block_device[0])
		return d->size_bytes ? error_raise_field(err, field,
							 "a block device has the size that it has")
				     : 0;
	if (!d->image_disk[0] && d->size_bytes == 0)
		return error_raise_field(err, field, "a disk without image_disk needs a size");
	if (d->size_bytes % 512)
		return error_raise_field(err, field, "%" PRIu64 " is not a multiple of 512",
					 d->size_bytes);
	if (d->size_bytes > INT64_MAX)
		return error_raise_field(err, field,
					 "%" PRIu64 " bytes: at most %" PRIi64 " are allowed",
					 d->size_bytes, INT64_MAX);
	return 0;
}

static int check_block_device(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	const Croft__V1__DiskSpec *d = spec->disks[i];
	char field[ERROR_FIELD_MAX];

	if (!d->block_device[0])
		return 0;
	place(field, "disks", i, "block_device");
	if (d->image_disk[0])
		return error_raise_field(err, field, "not together with image_disk");
	if (strncmp(d->block_device, "/dev/", 5) != 0 || !allow_path_plain(d->block_device) ||
	    strlen(d->block_device) > ALLOW_PATH_MAX || !text_printable(d->block_device))
		return error_raise_field(err, field,
					 "not a path below /dev/ of at most %u bytes of printable "
					 "ASCII, without //, . and .. in it",
					 ALLOW_PATH_MAX);
	for (size_t j = 0; j < i; j++)
		if (strcmp(spec->disks[j]->block_device, d->block_device) == 0)
			return raise_twice(field, d->block_device, err);
	return 0;
}

static int check_disk(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	const Croft__V1__DiskSpec *d = spec->disks[i];
	char field[ERROR_FIELD_MAX];
	int r = validate_name(place(field, "disks", i, "name"), d->name, err);

	for (size_t j = 0; r == 0 && j < i; j++)
		if (strcmp(spec->disks[j]->name, d->name) == 0)
			r = raise_twice(field, d->name, err);
	if (r == 0 && d->image_disk[0])
		r = validate_name(place(field, "disks", i, "image_disk"), d->image_disk, err);
	if (r == 0)
		r = check_block_device(spec, i, err);
	if (r == 0)
		r = check_size(d, i, err);
	if (r == 0 && !serial_valid(d->serial))
		r = error_raise_field(err, place(field, "disks", i, "serial"),
				      "not 1 to 20 letters, digits, -, _ and .");
	if (r == 0 && d->queues > VMM_DISK_QUEUES_MAX)
		r = error_raise_field(err, place(field, "disks", i, "queues"),
				      "%u queues: 1 to %u, or 0 for one a vCPU", d->queues,
				      VMM_DISK_QUEUES_MAX);
	return r < 0 ? r : check_limit(d->limit, place(field, "disks", i, "limit"), err);
}

/* --- Networks --- */

bool mac_parse(const char *text, uint8_t mac[6])
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	for (size_t i = 0; i < 6; i++) {
		const char *high = text[0] ? strchr(digits, text[0]) : NULL;
		const char *low = high && text[1] ? strchr(digits, text[1]) : NULL;

		if (!low || text[2] != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)((high - digits) % 16 * 16 + (low - digits) % 16);
		text += 3;
	}
	return true;
}

static int check_mac(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	static const uint8_t none[6];
	const char *text = spec->networks[i]->mac;
	char field[ERROR_FIELD_MAX];
	uint8_t mac[6], other[6];

	if (!text[0])
		return 0;
	place(field, "networks", i, "mac");
	if (!mac_parse(text, mac))
		return error_raise_field(err, field,
					 "\"%.40s\" is no address such as 52:54:00:12:34:56", text);
	if ((mac[0] & 1) || memcmp(mac, none, sizeof(mac)) == 0)
		return error_raise_field(err, field, "%s is not the address of one station", text);
	for (size_t j = 0; j < i; j++)
		if (mac_parse(spec->networks[j]->mac, other) && memcmp(mac, other, 6) == 0)
			return raise_twice(field, text, err);
	return 0;
}

static int check_bridge(const Croft__V1__NetworkSpec *n, size_t i, struct error *err)
{
	bool tap = n->kind == NETWORK(tap);
	char field[ERROR_FIELD_MAX];

	place(field, "networks", i, "bridge");
	if (n->bridge[0] && !tap)
		return error_raise_field(err, field, "only an interface of kind tap has a bridge");
	if (strlen(n->bridge) >= IFNAMSIZ || strpbrk(n->bridge, "/ ") ||
	    !text_printable(n->bridge) || strcmp(n->bridge, ".") == 0 ||
	    strcmp(n->bridge, "..") == 0)
		return error_raise_field(err, field,
					 "not a name of an interface: 1 to %d characters",
					 IFNAMSIZ - 1);
	if (n->any_source && !tap)
		return error_raise_field(err, place(field, "networks", i, "any_source"),
					 "only with kind tap");
	return 0;
}

static int check_network(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	const Croft__V1__NetworkSpec *n = spec->networks[i];
	char field[ERROR_FIELD_MAX];
	int r = validate_name(place(field, "networks", i, "name"), n->name, err);

	for (size_t j = 0; r == 0 && j < i; j++)
		if (strcmp(spec->networks[j]->name, n->name) == 0)
			r = raise_twice(field, n->name, err);
	if (r == 0)
		r = check_enum(&croft__v1__network_spec__kind__descriptor, (int)n->kind,
			       place(field, "networks", i, "kind"), err);
	if (r == 0)
		r = check_bridge(n, i, err);
	if (r == 0)
		r = check_mac(spec, i, err);
	if (r == 0)
		r = check_limit(n->receive, place(field, "networks", i, "receive"), err);
	return r < 0 ? r : check_limit(n->transmit, place(field, "networks", i, "transmit"), err);
}

/* --- Shares, vsock, ports, overlay --- */

static int check_share(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	const Croft__V1__ShareSpec *s = spec->shares[i];
	char field[ERROR_FIELD_MAX];
	int r = validate_name(place(field, "shares", i, "name"), s->name, err);

	if (r == 0 && strlen(s->name) > VMM_FS_TAG_MAX)
		r = error_raise_field(err, field, "%zu characters: at most %u are allowed",
				      strlen(s->name), VMM_FS_TAG_MAX);
	for (size_t j = 0; r == 0 && j < i; j++)
		if (strcmp(spec->shares[j]->name, s->name) == 0)
			r = raise_twice(field, s->name, err);
	if (r == 0 && (!allow_path_plain(s->path) || strlen(s->path) > ALLOW_PATH_MAX ||
		       strpbrk(s->path, "\n\r")))
		r = error_raise_field(err, place(field, "shares", i, "path"),
				      "not an absolute path of at most %u bytes, without //, . and "
				      ".. in it and / at its end",
				      ALLOW_PATH_MAX);
	return r;
}

static int check_vsock(const Croft__V1__VsockSpec *vsock, struct error *err)
{
	int r;

	if (!vsock)
		return 0;
	r = check_enum(&croft__v1__vsock_spec__transport__descriptor, (int)vsock->transport,
		       "/spec/vsock/transport", err);
	if (r == 0 && vsock->cid && (vsock->cid < CID_MIN || vsock->cid > CID_MAX))
		r = error_raise_field(err, "/spec/vsock/cid",
				      "%" PRIu32 ": %u to %u, or 0 for one that is free",
				      vsock->cid, CID_MIN, CID_MAX);
	return r;
}

static int check_port(const Croft__V1__VmSpec *spec, size_t i, struct error *err)
{
	char field[ERROR_FIELD_MAX];
	int r = validate_name(place(field, "ports", i, ""), spec->ports[i], err);

	for (size_t j = 0; r == 0 && j < i; j++)
		if (strcmp(spec->ports[j], spec->ports[i]) == 0)
			r = raise_twice(field, spec->ports[i], err);
	return r;
}

static int check_overlay(const ProtobufCBinaryData *overlay, struct error *err)
{
	const char *field = "/spec/device_tree_overlay";

	if (overlay->len > VMM_OVERLAY_MAX)
		return error_raise_field(err, field, "%zu bytes: at most %u are allowed",
					 overlay->len, VMM_OVERLAY_MAX);
	return overlay->len ? vmm_overlay_check(overlay->data, overlay->len, err) : 0;
}

/* --- Memory --- */

uint64_t validate_bounce_bytes(const Croft__V1__VmSpec *spec)
{
	if (spec->protection != CROFT__V1__VM_SPEC__PROTECTION__protected)
		return 0;
	return spec->bounce_bytes ? spec->bounce_bytes : BOUNCE_DEFAULT;
}

static int check_protection(const Croft__V1__VmSpec *spec, struct error *err)
{
	bool lent = spec->protection == CROFT__V1__VM_SPEC__PROTECTION__protected;
	const char *field = "/spec/bounce_bytes";
	uint64_t bounce = validate_bounce_bytes(spec);
	int r = check_enum(&croft__v1__vm_spec__protection__descriptor, (int)spec->protection,
			   "/spec/protection", err);

	if (r < 0)
		return r;
	if (spec->bounce_bytes && !lent)
		return error_raise_field(err, field, "only with protection `protected`");
	if (bounce % VMM_MEMORY_ALIGN || bounce > VMM_BOUNCE_MAX ||
	    spec->memory_bytes < bounce + (bounce ? VMM_MEMORY_MIN : 0))
		return error_raise_field(err, field,
					 "%" PRIu64
					 ": a multiple of %llu (2 MiB) up to 1 GiB, or 0 "
					 "for 16 MiB, and 64 MiB of memory_bytes beside it",
					 bounce, VMM_MEMORY_ALIGN);
	if (lent && spec->memory_target_bytes)
		return error_raise_field(err, "/spec/memory_target_bytes",
					 "a protected VM has no balloon");
	if (lent && spec->n_shares)
		return error_raise_field(err, "/spec/shares", "a protected VM has no shares");
	return 0;
}

/* --- All --- */

static int check_counts(const Croft__V1__VmSpec *spec, struct error *err)
{
	int r = check_count("/spec/disks", spec->n_disks, VMM_DISKS_MAX, "disks", err);

	if (r == 0)
		r = check_count("/spec/networks", spec->n_networks, VMM_NETS_MAX, "networks", err);
	if (r == 0)
		r = check_count("/spec/ports", spec->n_ports, VMM_PORTS_MAX, "ports", err);
	if (r == 0)
		r = check_count("/spec/shares", spec->n_shares, VMM_SHARES_MAX, "shares", err);
	if (r == 0 && spec->no_network && spec->n_networks)
		r = error_raise_field(err, "/spec/no_network", "not together with networks");
	return r;
}

int validate_devices(const Croft__V1__VmSpec *spec, struct error *err)
{
	int r = check_counts(spec, err);

	for (size_t i = 0; r == 0 && i < spec->n_disks; i++)
		r = check_disk(spec, i, err);
	for (size_t i = 0; r == 0 && i < spec->n_networks; i++)
		r = check_network(spec, i, err);
	for (size_t i = 0; r == 0 && i < spec->n_ports; i++)
		r = check_port(spec, i, err);
	for (size_t i = 0; r == 0 && i < spec->n_shares; i++)
		r = check_share(spec, i, err);
	if (r == 0)
		r = check_vsock(spec->vsock, err);
	if (r == 0)
		r = check_protection(spec, err);
	return r < 0 ? r : check_overlay(&spec->device_tree_overlay, err);
}
