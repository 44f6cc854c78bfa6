// SPDX-License-Identifier: Apache-2.0
// What is to be run: a VM's record, its image and the host, as plain copies for the run's jobs.

#include <string.h>

#include "agent/allow.h"
#include "agent/config.h"
#include "agent/fake_guest.h"
#include "agent/message.h"
#include "agent/validate_device.h"
#include "agent/vm.h"
#include "agent/vm_run.h"

static char *path_of(const char *dir, const char *name, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%s%s", dir, name, suffix) < 0 ? NULL : path;
}

static const Croft__V1__ImageDisk *image_disk(const Croft__V1__Image *image, const char *name)
{
	for (size_t i = 0; i < image->status->n_disks; i++)
		if (strcmp(image->status->disks[i]->name, name) == 0)
			return image->status->disks[i];
	return NULL;
}

/* A disk that nobody ever wrote, and that is not enlarged, is the image's file itself. */
static bool plan_disk(struct vm_run_disk *out, const struct vm_plan *plan, const char *blob_dir,
		      const Croft__V1__DiskSpec *spec, const Croft__V1__ImageDisk *of)
{
	out->name = strdup(spec->name);
	out->read_only = spec->read_only || (of && of->read_only);
	out->size = spec->size_bytes;
	out->block = spec->block_device[0] != '\0';
	if (out->block) {
		/* One that has gone since it was checked is missed when it is opened. */
		(void)allow_find_device(plan->config, spec->block_device, &out->device, NULL);
		out->path = strdup(spec->block_device);
		return out->name && out->path;
	}
	out->path = path_of(plan->dir, spec->name, ".raw");
	out->own = !of || !out->read_only || spec->size_bytes > of->file->size ||
		   (out->path && access(out->path, F_OK) == 0);
	if (!out->own) {
		free(out->path);
		out->path = path_of(blob_dir, of->file->sha256, "");
	}
	if (out->own && of)
		out->source = path_of(blob_dir, of->file->sha256, "");
	return out->name && out->path && (!out->own || !of || out->source);
}

static bool plan_disks(struct vm_plan *plan, const char *blob_dir, const Croft__V1__Image *image)
{
	for (size_t i = 0; i < plan->spec->n_disks; i++) {
		const Croft__V1__DiskSpec *spec = plan->spec->disks[i];

		if (!plan_disk(&plan->disks[plan->disk_count++], plan, blob_dir, spec,
			       image_disk(image, spec->image_disk)))
			return false;
	}
	return true;
}

/* A VM for which nothing is said of networks has the one that needs no set-up, where that is possible. */
static bool add_default_network(Croft__V1__VmSpec *spec)
{
	Croft__V1__NetworkSpec *network;

	if (spec->n_networks || spec->no_network || !vm_net_has_passt())
		return true;
	network = message_new(&croft__v1__network_spec__descriptor);
	if (!network || message_append(&spec->networks, &spec->n_networks, network) < 0) {
		message_free(network);
		return false;
	}
	network->kind = CROFT__V1__NETWORK_SPEC__KIND__user;
	message_set_string(&network->name, VM_NET_DEFAULT);
	return strcmp(network->name, VM_NET_DEFAULT) == 0;
}

static bool mac_is_used(const struct vm_plan *plan, size_t index)
{
	for (size_t i = 0; i < plan->spec->n_networks; i++)
		if (i != index && memcmp(plan->macs[i], plan->macs[index], 6) == 0)
			return true;
	return false;
}

static bool plan_networks(struct vm_plan *plan, const char *uid)
{
	const Croft__V1__VmSpec *spec = plan->spec;

	if (!add_default_network(plan->spec))
		return false;
	for (size_t i = 0; i < spec->n_networks; i++)
		mac_parse(spec->networks[i]->mac, plan->macs[i]);
	for (size_t i = 0; i < spec->n_networks; i++) {
		if (spec->networks[i]->mac[0])
			continue;
		if (vm_net_make_mac(plan->macs[i], uid, spec->networks[i]->name) < 0)
			return false;
		/* Somebody has given it to another one. */
		while (mac_is_used(plan, i))
			plan->macs[i][5]++;
	}
	return true;
}

static bool plan_vsock(struct vm_plan *plan, struct service *service, const struct vm_record *vm)
{
	const Croft__V1__VsockSpec *vsock = plan->spec->vsock;

	if (!vsock)
		return true;
	plan->cid = vm_peers_choose_cid(service, vm);
	plan->cid_chosen = vsock->cid == 0;
	if (vm_peers_by_kernel(vsock))
		return true;
	if (asprintf(&plan->vsock_path, "%s/vsock/%s", plan->config->runtime_dir, plan->name) < 0)
		plan->vsock_path = NULL;
	return plan->vsock_path;
}

static char *join_cmdline(const char *cmdline, const char *append)
{
	char *all;

	return asprintf(&all, "%s%s%s", cmdline, cmdline[0] && append[0] ? " " : "", append) < 0
		       ? NULL
		       : all;
}

static bool plan_image(struct vm_plan *plan, const char *blob_dir, const Croft__V1__Image *image)
{
	const Croft__V1__VmSpec *spec = plan->spec;

	plan->kernel = path_of(blob_dir, image->status->kernel->sha256, "");
	plan->cmdline = join_cmdline(spec->cmdline[0] ? spec->cmdline : image->status->cmdline,
				     spec->cmdline_append);
	if (image->status->initrd)
		plan->initrd = path_of(blob_dir, image->status->initrd->sha256, "");
	return plan->kernel && plan->cmdline && (!image->status->initrd || plan->initrd);
}

static bool plan_fake(struct vm_plan *plan)
{
	const char *script = plan->config->fake_script[0] ? plan->config->fake_script
							  : fake_guest_script(plan->cmdline);

	if (script)
		plan->fake_script = strdup(script);
	return !script || plan->fake_script;
}

bool vm_plan_make(struct vm_plan *plan, struct service *service, const struct vm_record *vm,
		  const Croft__V1__Image *image)
{
	const Croft__V1__VmSpec *spec = vm->msg->spec;

	plan->config = service->config;
	plan->backend = service->config->backend;
	plan->vcpus = spec->vcpus;
	plan->memory = spec->memory_bytes;
	plan->balloon = vm_run_balloon(spec->memory_bytes, spec->memory_target_bytes);
	plan->spec = message_copy(&spec->base);
	plan->name = strdup(vm->msg->name);
	plan->dir = path_of(service->vm_dir, vm->msg->uid, "");
	return plan->spec && plan->name && plan->dir &&
	       plan_image(plan, service->blob_dir, image) && plan_fake(plan) &&
	       plan_disks(plan, service->blob_dir, image) && plan_networks(plan, vm->msg->uid) &&
	       plan_vsock(plan, service, vm);
}

void vm_plan_clear(struct vm_plan *plan)
{
	for (unsigned int i = 0; i < plan->disk_count; i++) {
		free(plan->disks[i].name);
		free(plan->disks[i].path);
		free(plan->disks[i].source);
	}
	free(plan->name);
	free(plan->dir);
	free(plan->kernel);
	free(plan->initrd);
	free(plan->cmdline);
	free(plan->fake_script);
	free(plan->vsock_path);
	message_free(plan->spec);
}
