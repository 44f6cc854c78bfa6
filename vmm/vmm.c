// SPDX-License-Identifier: Apache-2.0
/* The library's door: checks what comes in, and leaves the work to the machine's parts. */
#include "vmm/vmm.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/vm.h"

static const struct backend_ops *backend_of(enum vmm_backend backend)
{
	return backend == VMM_BACKEND_FAKE ? &backend_fake : &backend_gunyah;
}

/* --- The host --- */

static int memory_available(uint64_t *bytes, struct error *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib;

	if (!f)
		return error_raise_errno(err, ERROR_INTERNAL, errno, "open /proc/meminfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) {
			*bytes = kib << 10;
			return 0;
		}
	return error_raise(err, ERROR_INTERNAL, "/proc/meminfo has no MemAvailable");
}

int vmm_host_probe(enum vmm_backend backend, struct vmm_host *host, struct error *err)
{
	const struct backend_ops *ops = backend_of(backend);
	struct vmm_host h = { .backend = ops->name };
	int r;

	r = memory_available(&h.memory_available, err);
	if (r == 0)
		r = ops->probe(&h, err);
	if (r == 0)
		*host = h;
	return r;
}

/* --- The configuration --- */

static int check_memory(const struct vmm_config *config, struct error *err)
{
	uint64_t available;
	int r;

	if (config->memory < VMM_MEMORY_MIN)
		return error_raise_field(err, "/spec/memory_bytes",
					 "memory is %llu bytes, at least %llu are needed",
					 (unsigned long long)config->memory, VMM_MEMORY_MIN);
	if (config->memory % VMM_MEMORY_ALIGN != 0)
		return error_raise_field(err, "/spec/memory_bytes",
					 "memory is %llu bytes, which is not a multiple of %llu",
					 (unsigned long long)config->memory, VMM_MEMORY_ALIGN);
	r = memory_available(&available, err);
	if (r < 0)
		return r;
	if (config->memory > available) {
		r = error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				"memory is %llu MiB, the host has %llu MiB available",
				(unsigned long long)(config->memory >> 20),
				(unsigned long long)(available >> 20));
		if (err)
			snprintf(err->field, sizeof(err->field), "/spec/memory_bytes");
	}
	return r;
}

static int check(const struct vmm_config *config, struct error *err)
{
	if (!config->name || !config->name[0])
		return error_raise_field(err, "/name", "a VM needs a name");
	if (config->vcpus < 1 || config->vcpus > VMM_VCPUS_MAX)
		return error_raise_field(err, "/spec/vcpus", "%u vCPUs, 1 to %u are possible",
					 config->vcpus, VMM_VCPUS_MAX);
	if (config->cmdline && strlen(config->cmdline) >= VMM_CMDLINE_MAX)
		return error_raise_field(err, "/spec/cmdline",
					 "the command line has %zu bytes, %u is the limit",
					 strlen(config->cmdline), VMM_CMDLINE_MAX - 1);
	if (config->disk_count > VMM_DISKS_MAX)
		return error_raise_field(err, "/spec/disks", "%u disks, %u is the limit",
					 config->disk_count, VMM_DISKS_MAX);
	for (unsigned int i = 0; i < config->disk_count; i++)
		if (!config->disks[i].name)
			return error_raise_field(err, "/spec/disks", "disk %u has no name", i);
	if (config->net_count > VMM_NETS_MAX)
		return error_raise_field(err, "/spec/networks", "%u networks, %u is the limit",
					 config->net_count, VMM_NETS_MAX);
	for (unsigned int i = 0; i < config->net_count; i++)
		if (!config->nets[i].name)
			return error_raise_field(err, "/spec/networks", "network %u has no name",
						 i);
	if (config->lend && config->disk_count > 0)
		return error_raise_field(err, "/spec/disks",
					 "a VM whose memory is lent can have no disk");
	if (config->port_count > VMM_PORTS_MAX)
		return error_raise_field(err, "/spec/ports", "%u ports, %u is the limit",
					 config->port_count, VMM_PORTS_MAX);
	if (config->lend && config->port_count > 0)
		return error_raise_field(err, "/spec/ports",
					 "a VM whose memory is lent can have no ports");
	if (config->lend && config->vsock)
		return error_raise_field(err, "/spec/vsock",
					 "a VM whose memory is lent can have no vsock");
	if (config->lend && config->net_count > 0)
		return error_raise_field(err, "/spec/networks",
					 "a VM whose memory is lent can have no network");
	if (config->kernel_fd < 0)
		return error_raise_field(err, "/spec/image", "a VM needs a kernel");
	return check_memory(config, err);
}

/* --- Life --- */

int vmm_create(struct vmm **out, const struct vmm_config *config, const struct vmm_events *events,
	       struct error *err)
{
	struct vmm *vm;
	int r;

	r = check(config, err);
	if (r < 0)
		return r;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "create");
	vm->ops = backend_of(config->backend);
	vm->events = *events;
	r = vm_init(vm, config, err);
	if (r < 0) {
		vmm_free(vm);
		return r;
	}
	*out = vm;
	return 0;
}

int vmm_start(struct vmm *vm, struct error *err)
{
	int r;

	if (vm->state != VMM_CREATED)
		return error_raise(err, ERROR_CONFLICT, "a VM is started once");
	r = vm->ops->start(vm->backend, err);
	if (r < 0) {
		vm->state = VMM_START_FAILED;
		return error_widen(err, "%s", vm->ops->name);
	}
	return vcpu_start_all(vm, err);
}

void vmm_ask_stop(struct vmm *vm)
{
	pl061_press(vm->gpio);
}

void vmm_stop(struct vmm *vm)
{
	vcpu_stop_all(vm);
}

struct vmm *vmm_free(struct vmm *vm)
{
	if (!vm)
		return NULL;
	vm_free(vm);
	free(vm);
	return NULL;
}

size_t vmm_console_write(struct vmm *vm, const void *bytes, size_t n)
{
	return console_type(&vm->console, bytes, n);
}

void vmm_console_resize(struct vmm *vm, uint16_t columns, uint16_t rows)
{
	if (vm->virtio_console)
		virtio_console_resize(vm->virtio_console, columns, rows);
}

size_t vmm_port_write(struct vmm *vm, unsigned int port, const void *bytes, size_t n)
{
	return vm->ports ? virtio_ports_write(vm->ports, port, bytes, n) : 0;
}

int vmm_set_balloon(struct vmm *vm, uint64_t bytes, struct error *err)
{
	if (!vm->balloon)
		return error_raise(err, ERROR_UNSUPPORTED,
				   "a VM whose memory is lent has no balloon");
	return virtio_balloon_set(vm->balloon, bytes, err);
}

static int check_disk(const struct vmm *vm, unsigned int index, struct error *err)
{
	return index < vm->disk_count ? 0
				      : error_raise(err, ERROR_INVALID_ARGUMENT, "disk %u of %u",
						    index, vm->disk_count);
}

int vmm_set_disk_limit(struct vmm *vm, unsigned int index, const struct vmm_limit *limit,
		       struct error *err)
{
	int r = check_disk(vm, index, err);

	return r < 0 ? r : virtio_blk_set_limit(vm->disks[index], limit, err);
}

int vmm_disk_resized(struct vmm *vm, unsigned int index, struct error *err)
{
	int r = check_disk(vm, index, err);

	return r < 0 ? r : virtio_blk_resized(vm->disks[index], err);
}

static int check_net(const struct vmm *vm, unsigned int index, struct error *err)
{
	return index < vm->net_count ? 0
				     : error_raise(err, ERROR_INVALID_ARGUMENT, "network %u of %u",
						   index, vm->net_count);
}

int vmm_set_net_link(struct vmm *vm, unsigned int index, bool up, struct error *err)
{
	int r = check_net(vm, index, err);

	if (r == 0)
		virtio_net_set_link(vm->nets[index], up);
	return r;
}

int vmm_set_net_limits(struct vmm *vm, unsigned int index, const struct vmm_limit *receive,
		       const struct vmm_limit *transmit, struct error *err)
{
	int r = check_net(vm, index, err);

	return r < 0 ? r : virtio_net_set_limits(vm->nets[index], receive, transmit, err);
}

void vmm_stats(struct vmm *vm, struct vmm_stats *stats)
{
	*stats = (struct vmm_stats){
		.vcpu_count = vm->vcpu_count,
		.disk_count = vm->disk_count,
		.net_count = vm->net_count,
		.memory_configured = vm->mem.size,
		.memory_pinned = vm->mem.pinned ? vm->mem.size : 0,
		.memory_resident = mem_resident(&vm->mem),
		.devices_broken = __atomic_load_n(&vm->broken_times, __ATOMIC_RELAXED),
		.console_bytes = __atomic_load_n(&vm->console.out_bytes, __ATOMIC_RELAXED),
	};
	device_thread_stats(vm, stats);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_stats(&vm->vcpus[i], &stats->vcpus[i]);
	for (unsigned int i = 0; i < vm->disk_count; i++)
		virtio_blk_stats(vm->disks[i], &stats->disks[i]);
	for (unsigned int i = 0; i < vm->net_count; i++)
		virtio_net_stats(vm->nets[i], &stats->nets[i]);
	if (vm->vsock)
		virtio_vsock_stats(vm->vsock, &stats->vsock);
	if (vm->balloon)
		virtio_balloon_stats(vm->balloon, &stats->balloon);
}
