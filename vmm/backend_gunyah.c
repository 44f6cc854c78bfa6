// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual machines under Gunyah, through /dev/gunyah as the driver of this repository and the v14
 * series have it.
 */
#include "vmm/backend.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "api/gunyah/ioctl.h"

#define DEVICE	  "/dev/gunyah"
#define RAM_LABEL 0u

struct vcpu_handle {
	int fd;
	struct gh_vcpu_run *run; /* shared with the kernel */
	size_t run_size;
};

struct backend {
	int vm_fd;
	struct backend_config config;
	struct vcpu_handle vcpus[VMM_VCPUS_MAX];
};

/* What an errno of the driver means to the user. ENODEV is the resource manager's NORESOURCE. */
static enum error_code code_of(int err)
{
	switch (err) {
	case ENOMEM:
	case ENODEV:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
		return ERROR_RESOURCE_EXHAUSTED;
	case EPERM:
	case EACCES:
		return ERROR_PERMISSION_DENIED;
	case EOPNOTSUPP:
	case ENOTTY:
		return ERROR_UNSUPPORTED;
	case EBUSY:
		return ERROR_UNAVAILABLE;
	default:
		return ERROR_INTERNAL;
	}
}

static int failed(struct error *err, const char *step)
{
	int e = errno;

	return error_raise_errno(err, code_of(e), e, "%s", step);
}

static int open_device(struct error *err)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
		return error_raise_errno(err, ERROR_UNAVAILABLE, errno,
					 "no hypervisor: open %s (is the gunyah driver loaded?)",
					 DEVICE);
	return error_raise_errno(err, code_of(errno), errno, "open %s", DEVICE);
}

static unsigned int host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	if (n < 1)
		return 1;
	return n > (long)VMM_VCPUS_MAX ? VMM_VCPUS_MAX : (unsigned int)n;
}

/* One of the driver's attributes, without its newline; "" when the driver has none of that name. */
static void read_attribute(char *out, size_t size, const char *name)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/misc/gunyah/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void read_identity(struct vmm_host *host)
{
	char api[16], variant[24];

	read_attribute(api, sizeof(api), "api_version");
	read_attribute(variant, sizeof(variant), "variant");
	read_attribute(host->features, sizeof(host->features), "features");
	snprintf(host->version, sizeof(host->version), "%s%s%s%s", api,
		 variant[0] ? " (variant " : "", variant, variant[0] ? ")" : "");
}

static int gunyah_probe(struct vmm_host *host, struct error *err)
{
	int fd = open_device(err);

	if (fd < 0)
		return fd;
	base_close(fd);
	/* The resource manager refuses more vCPUs than the platform has cores. */
	host->vcpus_max = host_cpus();
	read_identity(host);
	return 0;
}

static void gunyah_close(struct backend *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; i < VMM_VCPUS_MAX; i++) {
		if (b->vcpus[i].run)
			munmap(b->vcpus[i].run, b->vcpus[i].run_size);
		base_close(b->vcpus[i].fd);
	}
	/* The last reference: the driver stops the VM, and takes every resource back. */
	base_close(b->vm_fd);
	free(b);
}

static void closep(struct backend **b)
{
	gunyah_close(*b);
}

static int gunyah_open(struct backend **out, const struct backend_config *config, struct error *err)
{
	_cleanup_(closep) struct backend *b = calloc(1, sizeof(*b));
	_cleanup_close_ int device = -1;

	if (!b)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "create VM");
	b->vm_fd = -1;
	for (unsigned int i = 0; i < VMM_VCPUS_MAX; i++)
		b->vcpus[i].fd = -1;
	b->config = *config;
	if (config->vcpus > host_cpus())
		return error_raise_field(err, "/spec/vcpus", "%u vCPUs, but the device has %u CPUs",
					 config->vcpus, host_cpus());
	device = open_device(err);
	if (device < 0)
		return device;
	b->vm_fd = ioctl(device, GH_CREATE_VM, 0);
	if (b->vm_fd < 0)
		return failed(err, "create VM");
	*out = TAKE_PTR(b);
	return 0;
}

static int give_ram(struct backend *b, struct error *err)
{
	const struct mem *mem = b->config.mem;
	struct gh_userspace_memory_region region = {
		.label = RAM_LABEL,
		.flags = GH_MEM_ALLOW_READ | GH_MEM_ALLOW_WRITE | GH_MEM_ALLOW_EXEC,
		.guest_phys_addr = mem->base.v,
		.memory_size = mem->size,
		.userspace_addr = (uintptr_t)mem->host,
	};

	if (b->config.lend && ioctl(b->vm_fd, GH_VM_ANDROID_LEND_USER_MEM, &region) < 0)
		return failed(err, "lend memory to the VM");
	if (!b->config.lend && ioctl(b->vm_fd, GH_VM_SET_USER_MEM_REGION, &region) < 0)
		return failed(err, "share memory with the VM");
	return 0;
}

static int share_bounce(struct backend *b, struct error *err)
{
	const struct mem_range *bounce = &b->config.mem->bounce;
	struct gh_userspace_memory_region region = {
		.label = BACKEND_BOUNCE_LABEL,
		.flags = GH_MEM_ALLOW_READ | GH_MEM_ALLOW_WRITE,
		.guest_phys_addr = bounce->base.v,
		.memory_size = bounce->size,
		.userspace_addr = (uintptr_t)bounce->host,
	};

	if (bounce->host && ioctl(b->vm_fd, GH_VM_SET_USER_MEM_REGION, &region) < 0)
		return failed(err, "share bounce memory with the VM");
	return 0;
}

static int gunyah_load(struct backend *b, struct error *err)
{
	struct gh_vm_dtb_config dtb = {
		.guest_phys_addr = b->config.dtb.v,
		.size = b->config.dtb_size,
	};

	int r = give_ram(b, err);

	if (r == 0)
		r = share_bounce(b, err);
	if (r < 0)
		return r;
	/* The driver has pinned every page of it. */
	b->config.mem->pinned = true;
	if (ioctl(b->vm_fd, GH_VM_SET_DTB_CONFIG, &dtb) < 0)
		return failed(err, "set the device tree");
	return 0;
}

static int add_function(struct backend *b, enum gh_fn_type type, const void *arg, uint32_t size)
{
	struct gh_fn_desc desc = { .type = type, .arg_size = size, .arg = (uintptr_t)arg };

	return ioctl(b->vm_fd, GH_VM_ADD_FUNCTION, &desc);
}

static int gunyah_add_vcpu(struct backend *b, unsigned int index, struct error *err)
{
	struct gh_fn_vcpu_arg arg = { .id = index };
	struct vcpu_handle *v = &b->vcpus[index];
	void *run;
	int size;

	assert(index < VMM_VCPUS_MAX && v->fd < 0);
	v->fd = add_function(b, GH_FN_VCPU, &arg, sizeof(arg));
	if (v->fd < 0)
		return failed(err, "add a vCPU");
	/* Not every driver sets it, and no child process may keep the VM alive. */
	if (fcntl(v->fd, F_SETFD, FD_CLOEXEC) < 0)
		return failed(err, "add a vCPU");
	size = ioctl(v->fd, GH_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return failed(err, "size of a vCPU's run page");
	if ((size_t)size < sizeof(*v->run))
		return error_raise(err, ERROR_INTERNAL, "a vCPU's run page of %d bytes", size);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return failed(err, "map a vCPU's run page");
	v->run = run;
	v->run_size = (size_t)size;
	return 0;
}

static int gunyah_add_irqfd(struct backend *b, uint32_t spi, int fd, struct error *err)
{
	struct gh_fn_irqfd_arg arg = { .fd = (uint32_t)fd, .label = spi };

	if (add_function(b, GH_FN_IRQFD, &arg, sizeof(arg)) < 0)
		return failed(err, "add an interrupt line");
	return 0;
}

/*
 * With a match the driver looks at the length too; without one, any store to the address would
 * count.
 */
static int gunyah_add_ioeventfd(struct backend *b, gpa_t at, uint32_t match, int fd,
				struct error *err)
{
	struct gh_fn_ioeventfd_arg arg = {
		.datamatch = match,
		.addr = at.v,
		.len = sizeof(match),
		.fd = fd,
		.flags = GH_IOEVENTFD_FLAGS_DATAMATCH,
	};

	if (add_function(b, GH_FN_IOEVENTFD, &arg, sizeof(arg)) < 0)
		return failed(err, "add a notification");
	return 0;
}

static int gunyah_start(struct backend *b, struct error *err)
{
	struct rlimit limit;
	int r;

	/* A signal must not make a VM that starts look like one that failed. */
	do
		r = ioctl(b->vm_fd, GH_VM_START, 0);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	if (errno == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	    limit.rlim_cur < mem_size(b->config.mem))
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM,
					 "start VM (the limit of locked memory is %llu bytes)",
					 (unsigned long long)limit.rlim_cur);
	/* How the driver passes NORESOURCE on, whose own text would mislead. */
	if (errno == ENODEV)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				   "start VM: the resource manager has no resources for it%s",
				   b->config.lend ? "" : ", or does not accept shared memory");
	return failed(err, "start VM");
}

/* Exit types of the resource manager's VM_EXITED notification, which the driver passes on. */
enum rm_exit_type {
	RM_EXIT_VM_EXIT,
	RM_EXIT_SYSTEM_OFF,
	RM_EXIT_SYSTEM_RESET,
	RM_EXIT_SYSTEM_RESET2,
	RM_EXIT_WATCHDOG,
	RM_EXIT_HYPERVISOR_ERROR,
	RM_EXIT_EXTERNAL_ABORT,
	RM_EXIT_FORCE_STOPPED,
};

static enum vmm_exit_reason reason_of(const struct gh_vcpu_run *run)
{
	if (run->status.status == GH_VM_STATUS_LOAD_FAILED)
		return VMM_EXIT_LOAD_FAILED;
	if (run->status.status != GH_VM_STATUS_EXITED)
		return VMM_EXIT_HYPERVISOR_ERROR;
	switch (run->status.exit_info.type) {
	case RM_EXIT_VM_EXIT:
	case RM_EXIT_SYSTEM_OFF:
		return VMM_EXIT_GUEST_POWEROFF;
	case RM_EXIT_SYSTEM_RESET:
	case RM_EXIT_SYSTEM_RESET2:
		return VMM_EXIT_GUEST_RESET;
	case RM_EXIT_WATCHDOG:
		return VMM_EXIT_WATCHDOG;
	case RM_EXIT_EXTERNAL_ABORT:
		return VMM_EXIT_EXTERNAL_ABORT;
	case RM_EXIT_FORCE_STOPPED:
		return VMM_EXIT_FORCE_STOPPED;
	default:
		return VMM_EXIT_HYPERVISOR_ERROR;
	}
}

static int take_mmio(const struct gh_vcpu_run *run, struct backend_exit *exit, struct error *err)
{
	unsigned int len = run->mmio.len;

	if (len != 1 && len != 2 && len != 4 && len != 8)
		return error_raise(err, ERROR_INTERNAL, "run: an access of %u bytes", len);
	exit->kind = BACKEND_EXIT_MMIO;
	exit->at = gpa(run->mmio.phys_addr);
	exit->len = len;
	exit->is_write = run->mmio.is_write;
	exit->data = 0;
	if (exit->is_write)
		memcpy(&exit->data, run->mmio.data, len);
	return 0;
}

static int gunyah_run(struct backend *b, unsigned int vcpu, struct backend_exit *exit,
		      struct error *err)
{
	struct vcpu_handle *v = &b->vcpus[vcpu];

	if (exit->kind == BACKEND_EXIT_MMIO && !exit->is_write && exit->len)
		memcpy(v->run->mmio.data, &exit->data, exit->len);
	exit->len = 0;
	if (ioctl(v->fd, GH_VCPU_RUN, 0) < 0) {
		/* BUSY is what a vCPU may say for a moment around the VM's end. */
		if (errno != EINTR && errno != EAGAIN && errno != EBUSY)
			return failed(err, "run");
		if (errno == EBUSY)
			sched_yield();
		exit->kind = BACKEND_EXIT_INTERRUPTED;
		return 0;
	}
	switch (v->run->exit_reason) {
	case GH_VCPU_EXIT_MMIO:
		return take_mmio(v->run, exit, err);
	case GH_VCPU_EXIT_STATUS:
		exit->kind = BACKEND_EXIT_GONE;
		exit->reason = reason_of(v->run);
		return 0;
	case GH_VCPU_EXIT_UNKNOWN:
		/* How a v8 driver says that immediate_exit was set. */
		exit->kind = BACKEND_EXIT_INTERRUPTED;
		return 0;
	default:
		return error_raise(err, ERROR_INTERNAL, "run: exit reason %u", v->run->exit_reason);
	}
}

static void gunyah_kick(struct backend *b, unsigned int vcpu)
{
	__atomic_store_n(&b->vcpus[vcpu].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

static bool gunyah_counters(struct backend *b, unsigned int vcpu, struct backend_counters *counters)
{
	struct gh_vcpu_stats s;

	/* Croft's driver only. */
	if (ioctl(b->vcpus[vcpu].fd, GH_VCPU_GET_STATS, &s) < 0)
		return false;
	counters->handled = s.mmio_kernel;
	counters->wakeups = s.wakeup;
	counters->interrupted = s.ready;
	return true;
}

const struct backend_ops backend_gunyah = {
	.name = "gunyah",
	.probe = gunyah_probe,
	.open = gunyah_open,
	.load = gunyah_load,
	.add_vcpu = gunyah_add_vcpu,
	.add_irqfd = gunyah_add_irqfd,
	.add_ioeventfd = gunyah_add_ioeventfd,
	.start = gunyah_start,
	.run = gunyah_run,
	.kick = gunyah_kick,
	.counters = gunyah_counters,
	.close = gunyah_close,
};
