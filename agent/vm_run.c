// SPDX-License-Identifier: Apache-2.0
// One run of a VM: brings it up and takes it down, on the threads of its jobs.

#include "agent/vm_run.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/config.h"
#include "agent/disk.h"
#include "agent/fake_guest.h"
#include "agent/log.h"
#include "agent/message.h"

/* --- The plan --- */

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
static bool plan_disk(struct vm_run_disk *out, const char *vm_dir, const char *blob_dir,
		      const Croft__V1__DiskSpec *spec, const Croft__V1__ImageDisk *of)
{
	out->name = strdup(spec->name);
	out->read_only = spec->read_only || (of && of->read_only);
	out->size = spec->size_bytes;
	out->path = path_of(vm_dir, spec->name, ".raw");
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

static char *join_cmdline(const char *cmdline, const char *append)
{
	char *all;

	return asprintf(&all, "%s%s%s", cmdline, cmdline[0] && append[0] ? " " : "", append) < 0
		       ? NULL
		       : all;
}

uint64_t vm_run_balloon(uint64_t memory, uint64_t target)
{
	return target && target < memory ? memory - target : 0;
}

struct vm_run *vm_run_new(struct service *service, const Croft__V1__Vm *vm,
			  const Croft__V1__Image *image)
{
	const Croft__V1__VmSpec *spec = vm->spec;
	struct vm_run *run = calloc(1, sizeof(*run));
	struct vm_plan *plan = run ? &run->plan : NULL;
	const char *script;

	if (!run)
		return NULL;
	plan->backend = service->config->backend;
	plan->vcpus = spec->vcpus;
	plan->memory = spec->memory_bytes;
	plan->balloon = vm_run_balloon(spec->memory_bytes, spec->memory_target_bytes);
	run->spec = message_copy(&spec->base);
	plan->name = strdup(vm->name);
	plan->dir = path_of(service->vm_dir, vm->uid, "");
	plan->kernel = path_of(service->blob_dir, image->status->kernel->sha256, "");
	plan->cmdline = join_cmdline(spec->cmdline[0] ? spec->cmdline : image->status->cmdline,
				     spec->cmdline_append);
	if (image->status->initrd)
		plan->initrd = path_of(service->blob_dir, image->status->initrd->sha256, "");
	if (!run->spec || !plan->name || !plan->dir || !plan->kernel || !plan->cmdline ||
	    (image->status->initrd && !plan->initrd))
		return vm_run_free(run);
	script = service->config->fake_script[0] ? service->config->fake_script
						 : fake_guest_script(plan->cmdline);
	if (script) {
		plan->fake_script = strdup(script);
		if (!plan->fake_script)
			return vm_run_free(run);
	}
	for (size_t i = 0; i < spec->n_disks; i++) {
		struct vm_run_disk *disk = &plan->disks[plan->disk_count++];

		if (!plan_disk(disk, plan->dir, service->blob_dir, spec->disks[i],
			       image_disk(image, spec->disks[i]->image_disk)))
			return vm_run_free(run);
	}
	return run;
}

struct vm_run *vm_run_free(struct vm_run *run)
{
	struct vm_plan *plan = run ? &run->plan : NULL;

	if (!run)
		return NULL;
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

static int open_files(struct files *f, struct vmm_disk *disks, const struct vm_plan *plan,
		      struct error *err)
{
	int r = open_file(&f->kernel, plan->kernel, O_RDONLY, "kernel", err);

	if (r == 0 && plan->initrd)
		r = open_file(&f->initrd, plan->initrd, O_RDONLY, "initrd", err);
	for (unsigned int i = 0; r == 0 && i < plan->disk_count; i++) {
		const struct vm_run_disk *d = &plan->disks[i];

		r = open_file(&f->disks[i], d->path, d->read_only ? O_RDONLY : O_RDWR, d->name,
			      err);
		disks[i] = (struct vmm_disk){ .name = d->name,
					      .fd = f->disks[i],
					      .read_only = d->read_only };
	}
	return r;
}

static int create(struct vm_run *run, struct vmm **out, struct error *err)
{
	_cleanup_(files_close) struct files files = { .kernel = -1,
						      .initrd = -1,
						      .disks = { [0 ... VMM_DISKS_MAX - 1] = -1 } };
	struct vmm_disk disks[VMM_DISKS_MAX] = { 0 };
	const struct vm_plan *plan = &run->plan;
	const struct vmm_events events = { .console = on_console,
					   .device_broken = on_device_broken,
					   .exited = on_exited,
					   .data = run };
	struct vmm_config config = {
		.backend = plan->backend,
		.name = plan->name,
		.vcpus = plan->vcpus,
		.memory = plan->memory,
		.cmdline = plan->cmdline,
		.disks = disks,
		.disk_count = plan->disk_count,
		.fake_script = plan->fake_script,
	};
	int r = open_files(&files, disks, plan, err);

	if (r < 0)
		return r;
	config.kernel_fd = files.kernel;
	config.initrd_fd = files.initrd;
	r = vmm_create(out, &config, &events, err);
	/* The image's files are what its manifest says, but no kernel boots of them: nothing of this node is lost. */
	if (r < 0 && err->code == ERROR_DATA_LOSS)
		err->code = ERROR_CONFLICT;
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

	start(run, &run->error);
}

void vm_run_end_work(struct job *job)
{
	struct vm_run *run = CONTAINER_OF(job, struct vm_run, job);

	run->vmm = vmm_free(run->vmm);
}
