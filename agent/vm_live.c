// SPDX-License-Identifier: Apache-2.0
// Changes that a running VM takes at once: sizes and limits of disks, links and limits of networks, the balloon.

#include "agent/vm_live.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/vm_run.h"

#define VHOST_NET "/dev/vhost-net"

/* --- What the guest has beside what it shall have --- */

static const Croft__V1__DiskSpec *find_disk(const Croft__V1__VmSpec *spec, const char *name,
					    size_t *index)
{
	for (*index = 0; *index < spec->n_disks; ++*index)
		if (strcmp(spec->disks[*index]->name, name) == 0)
			return spec->disks[*index];
	return NULL;
}

static const Croft__V1__NetworkSpec *find_network(const Croft__V1__VmSpec *spec, const char *name,
						  size_t *index)
{
	for (*index = 0; *index < spec->n_networks; ++*index)
		if (strcmp(spec->networks[*index]->name, name) == 0)
			return spec->networks[*index];
	return NULL;
}

static bool limits_differ(const Croft__V1__RateLimit *a, const Croft__V1__RateLimit *b)
{
	const struct vmm_limit x = vm_run_limit(a), y = vm_run_limit(b);

	return x.bytes_per_s != y.bytes_per_s || x.ops_per_s != y.ops_per_s;
}

static int blame(struct error *err, const char *list, size_t i, const char *part)
{
	snprintf(err->field, sizeof(err->field), "/spec/%s/%zu%s%s", list, i, part[0] ? "/" : "",
		 part);
	return -EINVAL;
}

int vm_live_check(const struct vm_record *vm, const Croft__V1__VmSpec *spec, struct error *err)
{
	const struct vm_run *run = vm->run;

	for (unsigned int i = 0; run && i < run->plan.disk_count; i++) {
		const struct vm_run_disk *d = &run->plan.disks[i];
		size_t index;
		const Croft__V1__DiskSpec *disk = find_disk(spec, d->name, &index);

		if (!disk || d->own || d->block || disk->size_bytes <= d->size)
			continue;
		error_raise(err, ERROR_CONFLICT,
			    "disk \"%s\" is the image's own file, which is not enlarged while VM "
			    "\"%s\" runs",
			    d->name, vm->msg->name);
		return blame(err, "disks", index, "size_bytes");
	}
	return 0;
}

/* --- Disks that grow --- */

/* Files' sizes before, and how many of them were made larger. */
struct growth {
	uint64_t before[VMM_DISKS_MAX]; /* 0: not enlarged */
};

static void shrink(const struct vm_run *run, const struct growth *growth)
{
	for (unsigned int i = 0; i < run->plan.disk_count; i++)
		if (growth->before[i] &&
		    truncate(run->plan.disks[i].path, (off_t)growth->before[i]) < 0)
			log_warning("vm \"%s\": disk \"%s\": %s", run->plan.name,
				    run->plan.disks[i].name, strerror(errno));
}

static int grow_file(const struct vm_run_disk *d, uint64_t size, uint64_t *before,
		     struct error *err)
{
	struct stat st;

	if (stat(d->path, &st) < 0)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "disk \"%s\"", d->name);
	if ((uint64_t)st.st_size >= size)
		return 0;
	if (truncate(d->path, (off_t)size) < 0)
		return error_raise_errno(err,
					 errno == ENOSPC || errno == EDQUOT || errno == EFBIG
						 ? ERROR_RESOURCE_EXHAUSTED
						 : ERROR_INTERNAL,
					 errno, "enlarge disk \"%s\"", d->name);
	*before = (uint64_t)st.st_size;
	return 0;
}

static int grow_files(const struct vm_run *run, const Croft__V1__VmSpec *spec,
		      struct growth *growth, struct error *err)
{
	for (unsigned int i = 0; i < run->plan.disk_count; i++) {
		const struct vm_run_disk *d = &run->plan.disks[i];
		size_t index;
		const Croft__V1__DiskSpec *disk = find_disk(spec, d->name, &index);

		if (!disk || !d->own || disk->size_bytes <= run->spec->disks[i]->size_bytes)
			continue;
		if (grow_file(d, disk->size_bytes, &growth->before[i], err) < 0) {
			shrink(run, growth);
			return blame(err, "disks", index, "size_bytes");
		}
	}
	return 0;
}

/* The guest is told; what it was told cannot be taken back. */
static void tell_growth(const struct vm_run *run, const struct growth *growth)
{
	struct error error;

	for (unsigned int i = 0; i < run->plan.disk_count; i++)
		if (growth->before[i] && vmm_disk_resized(run->vmm, i, &error) < 0)
			log_warning("vm \"%s\": %s", run->plan.name, error.message);
}

/* --- Limits, links and the balloon --- */

static int set_disks(const struct vm_run *run, const Croft__V1__VmSpec *spec, struct error *err)
{
	for (unsigned int i = 0; i < run->spec->n_disks; i++) {
		size_t index;
		const Croft__V1__DiskSpec *disk =
			find_disk(spec, run->spec->disks[i]->name, &index);
		struct vmm_limit limit;

		if (!disk || !limits_differ(disk->limit, run->spec->disks[i]->limit))
			continue;
		limit = vm_run_limit(disk->limit);
		if (vmm_set_disk_limit(run->vmm, i, &limit, err) < 0)
			return blame(err, "disks", index, "limit");
	}
	return 0;
}

static int set_network(const struct vm_run *run, unsigned int i, const Croft__V1__NetworkSpec *want,
		       struct error *err)
{
	const Croft__V1__NetworkSpec *have = run->spec->networks[i];
	const struct vmm_limit receive = vm_run_limit(want->receive),
			       transmit = vm_run_limit(want->transmit);
	int r = 0;

	if (!have->link_down != !want->link_down)
		r = vmm_set_net_link(run->vmm, i, !want->link_down, err);
	if (r == 0 && (limits_differ(have->receive, want->receive) ||
		       limits_differ(have->transmit, want->transmit)))
		r = vmm_set_net_limits(run->vmm, i, &receive, &transmit, err);
	return r;
}

static int set_networks(const struct vm_run *run, const Croft__V1__VmSpec *spec, struct error *err)
{
	for (unsigned int i = 0; i < run->spec->n_networks; i++) {
		size_t index;
		const Croft__V1__NetworkSpec *network =
			find_network(spec, run->spec->networks[i]->name, &index);

		if (network && set_network(run, i, network, err) < 0)
			return blame(err, "networks", index, "");
	}
	return 0;
}

static int set_balloon(const struct vm_run *run, const Croft__V1__VmSpec *spec, struct error *err)
{
	uint64_t target = spec->memory_target_bytes;

	if (target == run->spec->memory_target_bytes)
		return 0;
	if (vmm_set_balloon(run->vmm, vm_run_balloon(run->spec->memory_bytes, target), err) == 0)
		return 0;
	snprintf(err->field, sizeof(err->field), "/spec/memory_target_bytes");
	return -EINVAL;
}

/* What was set already is put back as run->spec has it. */
static void undo(const struct vm_run *run)
{
	const Croft__V1__VmSpec *had = run->spec;

	for (unsigned int i = 0; i < had->n_disks; i++) {
		const struct vmm_limit limit = vm_run_limit(had->disks[i]->limit);

		vmm_set_disk_limit(run->vmm, i, &limit, NULL);
	}
	for (unsigned int i = 0; i < had->n_networks; i++) {
		const struct vmm_limit receive = vm_run_limit(had->networks[i]->receive);
		const struct vmm_limit transmit = vm_run_limit(had->networks[i]->transmit);

		vmm_set_net_link(run->vmm, i, !had->networks[i]->link_down, NULL);
		vmm_set_net_limits(run->vmm, i, &receive, &transmit, NULL);
	}
	vmm_set_balloon(run->vmm, vm_run_balloon(had->memory_bytes, had->memory_target_bytes),
			NULL);
}

/* --- All of it --- */

/* Without memory the old one stays, and is compared with the next change. */
static void note_limit(Croft__V1__RateLimit **onto, const Croft__V1__RateLimit *from)
{
	Croft__V1__RateLimit *copy = from ? message_copy(&from->base) : NULL;

	if (from && !copy)
		return;
	message_free(*onto);
	*onto = copy;
}

/* The guest runs with that from now on. */
static void note(struct vm_run *run, const Croft__V1__VmSpec *spec)
{
	size_t index;

	for (size_t i = 0; i < run->spec->n_disks; i++) {
		Croft__V1__DiskSpec *have = run->spec->disks[i];
		const Croft__V1__DiskSpec *disk = find_disk(spec, have->name, &index);

		if (!disk)
			continue;
		have->size_bytes = disk->size_bytes;
		note_limit(&have->limit, disk->limit);
	}
	for (size_t i = 0; i < run->spec->n_networks; i++) {
		Croft__V1__NetworkSpec *have = run->spec->networks[i];
		const Croft__V1__NetworkSpec *network = find_network(spec, have->name, &index);

		if (!network)
			continue;
		have->link_down = network->link_down;
		note_limit(&have->receive, network->receive);
		note_limit(&have->transmit, network->transmit);
	}
	run->spec->memory_target_bytes = spec->memory_target_bytes;
}

static int apply(struct vm_run *run, const Croft__V1__VmSpec *spec, struct error *err)
{
	struct growth growth = { 0 };
	int r = grow_files(run, spec, &growth, err);

	if (r < 0)
		return r;
	r = set_balloon(run, spec, err);
	if (r == 0)
		r = set_disks(run, spec, err);
	if (r == 0)
		r = set_networks(run, spec, err);
	if (r < 0) {
		undo(run);
		shrink(run, &growth);
		return r;
	}
	tell_growth(run, &growth);
	note(run, spec);
	return 0;
}

int vm_live_apply(struct vm_record *vm, const Croft__V1__VmSpec *spec, struct error *err)
{
	if (!vm_record_vmm(vm))
		return 0;
	return apply(vm->run, spec, err) < 0 ? error_widen(err, "VM \"%s\"", vm->msg->name) : 0;
}

/* --- The status --- */

static void clear_networks(Croft__V1__VmStatus *status)
{
	for (size_t i = 0; i < status->n_networks; i++)
		message_free(status->networks[i]);
	free(status->networks);
	status->networks = NULL;
	status->n_networks = 0;
}

/* The interface as it is described by the plan, or since then by the spec that it runs with. */
static void show_network(Croft__V1__NetworkStatus *out, const struct vm_run *run, size_t i)
{
	const struct vm_net *net = &run->peers.nets[i];
	const Croft__V1__NetworkSpec *spec =
		i < run->spec->n_networks ? run->spec->networks[i] : run->plan.spec->networks[i];
	const struct vmm_limit none = { 0 }, receive = vm_run_limit(spec->receive),
			       transmit = vm_run_limit(spec->transmit);
	char mac[VM_NET_MAC];

	vm_net_print_mac(mac, run->plan.macs[i]);
	message_set_string(&out->name, spec->name);
	message_set_string(&out->mac, mac);
	message_set_string(&out->host_interface, net->interface);
	message_set_string(&out->message, net->gone ? "passt has ended" : "");
	out->kind = net->interface[0] ? CROFT__V1__NETWORK_SPEC__KIND__tap
				      : CROFT__V1__NETWORK_SPEC__KIND__user;
	out->link_up = !spec->link_down && !net->gone;
	out->offloaded = net->interface[0] && spec->any_source && !spec->link_down &&
			 memcmp(&receive, &none, sizeof(none)) == 0 &&
			 memcmp(&transmit, &none, sizeof(none)) == 0 &&
			 access(VHOST_NET, R_OK | W_OK) == 0;
}

void vm_live_show(struct vm_record *vm)
{
	Croft__V1__VmStatus *status = vm->msg->status;
	const struct vm_run *run = vm->run;

	/* One that nobody waits for any more is none of the record's. */
	if (!vm_record_vmm(vm) || !vm_record_live(vm))
		return;
	clear_networks(status);
	for (size_t i = 0; i < run->peers.net_count; i++) {
		Croft__V1__NetworkStatus *network =
			message_new(&croft__v1__network_status__descriptor);

		if (!network ||
		    message_append(&status->networks, &status->n_networks, network) < 0) {
			message_free(network);
			return;
		}
		show_network(network, run, i);
	}
	status->vsock_cid = run->plan.cid;
	message_set_string(&status->vsock_path, run->plan.vsock_path ? run->plan.vsock_path : "");
}

void vm_live_clear(struct vm_record *vm)
{
	Croft__V1__VmStatus *status = vm->msg->status;

	clear_networks(status);
	status->vsock_cid = 0;
	message_set_string(&status->vsock_path, "");
}

/* Whether a process that works for it has ended. */
static bool lost_peer(struct vm_record *vm)
{
	if (!vm_peers_reap(&vm->run->peers))
		return false;
	log_warning("vms/%s: a process that works for it has ended", vm->msg->name);
	return true;
}

void vm_live_begin(struct vm_record *vm)
{
	struct error error;

	if (vm_live_apply(vm, vm->msg->spec, &error) < 0)
		log_warning("%s", error.message);
	lost_peer(vm);
	vm_live_show(vm);
	vm_console_catch_up(vm);
}

/* A process that works for a VM has ended: maybe one whose VM runs. */
void vm_records_child_ended(struct service *service)
{
	for (size_t i = 0; i < service->vms.count; i++) {
		struct vm_record *vm = service->vms.entries[i].record;

		if (!vm_record_vmm(vm) || !lost_peer(vm))
			continue;
		vm_live_show(vm);
		record_touch(service, &vm->record);
	}
}
