// SPDX-License-Identifier: Apache-2.0
// One run of a VM: brings it up and takes it down, on the threads of its jobs.

#include "agent/vm_run.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "agent/allow.h"
#include "agent/config.h"
#include "agent/disk.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/validate_device.h"
#include "agent/vm.h"

#define CID_TRIES  8u
#define CID_RANDOM 0x40000000u /* context ids from here on are drawn by lot */

uint64_t vm_run_balloon(uint64_t memory, uint64_t target)
{
	return target && target < memory ? memory - target : 0;
}

static void take_consoles(struct vm_run *run, const struct vm_record *vm)
{
	run->console = vm_console_known(vm, "")->recording;
	for (size_t i = 0; i < run->spec->n_ports; i++)
		run->ports[i] = vm_console_known(vm, run->spec->ports[i])->recording;
}

struct vm_run *vm_run_new(struct service *service, struct vm_record *vm,
			  const Croft__V1__Image *image)
{
	struct vm_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->vm = vm;
	run->spec = message_copy(&vm->msg->spec->base);
	if (!run->spec || !vm_plan_make(&run->plan, service, vm, image))
		return vm_run_free(run);
	take_consoles(run, vm);
	return run;
}

struct vm_run *vm_run_free(struct vm_run *run)
{
	if (!run)
		return NULL;
	vm_plan_clear(&run->plan);
	message_free(run->spec);
	free(run);
	return NULL;
}

/* --- Events, on threads of the VMM --- */

static void on_console(void *data, const void *bytes, size_t n)
{
	struct vm_run *run = data;

	recording_append(run->console, bytes, n);
}

static void on_port(void *data, unsigned int port, const void *bytes, size_t n)
{
	struct vm_run *run = data;

	recording_append(run->ports[port], bytes, n);
}

static void on_device_broken(void *data, const char *device, uint64_t times)
{
	struct vm_run *run = data;

	log_warning("vm \"%s\": the guest has broken the rules of its device %s (%llu times so far)",
		    run->plan.name, device, (unsigned long long)times);
}

static void on_exited(void *data, const struct vmm_exit *exit)
{
	struct vm_run *run = data;

	run->exit = *exit;
	service_tell(run->job.service, &run->exited);
}

/* --- The start, on a job's thread --- */

/* The files that the VMM reads; it duplicates them, so they end with the start. */
struct files {
	int kernel, initrd, disks[VMM_DISKS_MAX];
};

static void files_close(struct files *f)
{
	base_close(f->kernel);
	base_close(f->initrd);
	for (size_t i = 0; i < ARRAY_SIZE(f->disks); i++)
		base_close(f->disks[i]);
}

static int open_file(int *fd, const char *path, int flags, const char *what, struct error *err)
{
	*fd = open(path, flags | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	return error_raise_errno(err, errno == ENOENT ? ERROR_DATA_LOSS : ERROR_INTERNAL, errno,
				 "%s: open %s", what, path);
}

static int make_disks(struct job *job, const struct vm_plan *plan, struct error *err)
{
	for (unsigned int i = 0; i < plan->disk_count; i++) {
		const struct vm_run_disk *d = &plan->disks[i];
		int r;

		if (!d->own)
			continue;
		job_step(job, "making disk \"%s\"", d->name);
		r = disk_make(job, d->path, d->source, d->size, err);
		if (r < 0)
			return error_widen(err, "disk \"%s\"", d->name);
	}
	return 0;
}

static int open_disk(int *fd, const struct vm_plan *plan, const struct vm_run_disk *d,
		     struct error *err)
{
	const struct allow_device device = { .path = d->path,
					     .device = d->device,
					     .read_only = d->read_only };

	if (!d->block)
		return open_file(fd, d->path, d->read_only ? O_RDONLY : O_RDWR, d->name, err);
	if (allow_open_device(plan->config, &device, fd, err) == 0)
		return 0;
	if (err->code == ERROR_NOT_FOUND)
		err->code = ERROR_UNAVAILABLE;
	return error_widen(err, "disk \"%s\"", d->name);
}

struct vmm_limit vm_run_limit(const Croft__V1__RateLimit *limit)
{
	return limit ? (struct vmm_limit){ .bytes_per_s = limit->bytes_per_second,
					   .ops_per_s = limit->operations_per_second }
		     : (struct vmm_limit){ 0 };
}

static int open_files(struct files *f, struct vmm_disk *disks, const struct vm_plan *plan,
		      struct error *err)
{
	int r = open_file(&f->kernel, plan->kernel, O_RDONLY, "kernel", err);

	if (r == 0 && plan->initrd)
		r = open_file(&f->initrd, plan->initrd, O_RDONLY, "initrd", err);
	for (unsigned int i = 0; r == 0 && i < plan->disk_count; i++) {
		const struct vm_run_disk *d = &plan->disks[i];
		const Croft__V1__DiskSpec *spec = plan->spec->disks[i];

		r = open_disk(&f->disks[i], plan, d, err);
		disks[i] = (struct vmm_disk){ .name = d->name,
					      .serial = spec->serial[0] ? spec->serial : NULL,
					      .fd = f->disks[i],
					      .read_only = d->read_only,
					      .queues = spec->queues,
					      .limit = vm_run_limit(spec->limit) };
	}
	return r;
}

/* The devices that have a peer. */
static void describe_peers(struct vmm_net *nets, struct vmm_fs *shares, const struct vm_run *run)
{
	const struct vm_plan *plan = &run->plan;

	for (unsigned int i = 0; i < run->peers.net_count; i++) {
		const Croft__V1__NetworkSpec *spec = plan->spec->networks[i];

		nets[i] = (struct vmm_net){
			.name = spec->name,
			.kind = spec->kind == CROFT__V1__NETWORK_SPEC__KIND__tap ? VMM_NET_TAP
										 : VMM_NET_STREAM,
			.fd = run->peers.nets[i].fd,
			.any_source = spec->any_source,
			.down = spec->link_down,
			.receive = vm_run_limit(spec->receive),
			.transmit = vm_run_limit(spec->transmit),
		};
		memcpy(nets[i].mac, plan->macs[i], sizeof(nets[i].mac));
	}
	for (unsigned int i = 0; i < run->peers.share_count; i++)
		shares[i] = (struct vmm_fs){ .tag = plan->spec->shares[i]->name,
					     .fd = run->peers.shares[i].fd };
}

/* What of the configuration is the same in whatever way the rest is. */
static void describe(struct vmm_config *config, const struct vm_plan *plan)
{
	const Croft__V1__VmSpec *spec = plan->spec;

	*config = (struct vmm_config){
		.backend = plan->backend,
		.name = plan->name,
		.vcpus = plan->vcpus,
		.memory = plan->memory,
		.lend = spec->protection == CROFT__V1__VM_SPEC__PROTECTION__protected,
		.huge_pages = spec->huge_pages,
		.cmdline = plan->cmdline,
		.overlay = spec->device_tree_overlay.len ? spec->device_tree_overlay.data : NULL,
		.overlay_size = spec->device_tree_overlay.len,
		.disk_count = plan->disk_count,
		.ports = (const char *const *)spec->ports,
		.port_count = (unsigned int)spec->n_ports,
		.fake_script = plan->fake_script,
	};
	config->bounce = validate_bounce_bytes(spec);
}

/* A context id of another VMM of this host, of which we cannot know, is no reason to give up when any will do. */
static int create_vmm(struct vmm **out, struct vm_plan *plan, struct vmm_config *config,
		      const struct vmm_events *events, struct error *err)
{
	struct vmm_vsock vsock = { .path = plan->vsock_path };
	int r = 0;

	config->vsock = plan->cid ? &vsock : NULL;
	for (unsigned int i = 0; i < CID_TRIES; i++) {
		vsock.cid = plan->cid;
		r = vmm_create(out, config, events, err);
		if (r == 0 || err->code != ERROR_ALREADY_EXISTS || !plan->cid_chosen ||
		    plan->vsock_path || getrandom(&plan->cid, sizeof(plan->cid), 0) < 0)
			break;
		plan->cid = CID_RANDOM + plan->cid % CID_RANDOM;
	}
	/*
	 * The image's files are what its manifest says, but no kernel boots of them: nothing of this node is lost.
	 * What exists already is a context id or a socket, and no VM of that name.
	 */
	if (r < 0 && (err->code == ERROR_DATA_LOSS || err->code == ERROR_ALREADY_EXISTS))
		err->code = ERROR_CONFLICT;
	return r;
}

static int create(struct vm_run *run, struct vmm **out, struct error *err)
{
	_cleanup_(files_close) struct files files = { .kernel = -1,
						      .initrd = -1,
						      .disks = { [0 ... VMM_DISKS_MAX - 1] = -1 } };
	struct vmm_disk disks[VMM_DISKS_MAX] = { 0 };
	struct vmm_net nets[VMM_NETS_MAX] = { 0 };
	struct vmm_fs shares[VMM_SHARES_MAX] = { 0 };
	const struct vmm_events events = { .console = on_console,
					   .device_broken = on_device_broken,
					   .port = on_port,
					   .exited = on_exited,
					   .data = run };
	struct vmm_config config;
	int r = open_files(&files, disks, &run->plan, err);

	if (r == 0)
		r = vm_peers_open(&run->peers, &run->plan, err);
	if (r < 0)
		return r;
	describe(&config, &run->plan);
	describe_peers(nets, shares, run);
	config.kernel_fd = files.kernel;
	config.initrd_fd = files.initrd;
	config.disks = disks;
	config.nets = nets;
	config.net_count = run->peers.net_count;
	config.shares = shares;
	config.share_count = run->peers.share_count;
	r = create_vmm(out, &run->plan, &config, &events, err);
	vm_peers_hand_over(&run->peers);
	return r;
}

static void vmm_freep(struct vmm **vmm)
{
	vmm_free(*vmm);
}

static int start(struct vm_run *run, struct error *err)
{
	_cleanup_(vmm_freep) struct vmm *vmm = NULL;
	struct job *job = &run->job;
	int r = make_disks(job, &run->plan, err);

	if (r == 0)
		r = job_check(job, err);
	if (r < 0)
		return r;
	service_tell(job->service, &run->made);
	job_step(job, "creating the VM");
	r = create(run, &vmm, err);
	/* Who has cancelled wants to hear of that, and not of an error that came of it or after it. */
	if (job_check(job, err) < 0)
		return -ECANCELED;
	if (r < 0)
		return r;
	job_step(job, "starting the vCPUs");
	if (run->plan.balloon)
		r = vmm_set_balloon(vmm, run->plan.balloon, err);
	if (r == 0)
		r = vmm_start(vmm, err);
	if (r < 0)
		return r;
	run->vmm = TAKE_PTR(vmm);
	return 0;
}

void vm_run_start_work(struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);

	if (start(run, &run->error) < 0)
		vm_peers_close(&run->peers);
}

void vm_run_end_work(struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);

	run->vmm = vmm_free(run->vmm);
	vm_peers_close(&run->peers);
}
