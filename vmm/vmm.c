// SPDX-License-Identifier: Apache-2.0
/* The library's door: checks what comes in, and leaves the work to the machine's parts. */
#include "vmm/vmm.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/boot.h"
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

static int check_bounce(const struct vmm_config *config, struct error *err)
{
	const char *field = "/spec/bounce_bytes";
	unsigned long long bounce = config->bounce;

	if (!bounce)
		return 0;
	if (!config->lend)
		return error_raise_field(err, field,
					 "a VM whose memory is not lent needs no bounce memory");
	if (bounce % VMM_MEMORY_ALIGN != 0)
		return error_raise_field(err, field,
					 "bounce memory is %llu bytes, not a multiple of %llu",
					 bounce, VMM_MEMORY_ALIGN);
	if (bounce > VMM_BOUNCE_MAX || bounce > config->memory - VMM_MEMORY_MIN)
		return error_raise_field(err, field,
					 "bounce memory is %llu bytes: at most %llu, and %llu of "
					 "memory must be left beside it",
					 bounce, VMM_BOUNCE_MAX, VMM_MEMORY_MIN);
	return 0;
}

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
	r = check_bounce(config, err);
	if (r == 0)
		r = config->huge_pages ? mem_huge_available(&available, err)
				       : memory_available(&available, err);
	if (r < 0)
		return r;
	if (config->memory > available) {
		r = error_raise(err, ERROR_RESOURCE_EXHAUSTED,
				"memory is %llu MiB, the host has %llu MiB %s",
				(unsigned long long)(config->memory >> 20),
				(unsigned long long)(available >> 20),
				config->huge_pages ? "in free huge pages (vm.nr_hugepages says how "
						     "many pages of 2 MiB there are)"
						   : "available");
		if (err)
			snprintf(err->field, sizeof(err->field), "/spec/memory_bytes");
		return r;
	}
	if (config->memory > BOOT_RAM_END - BOOT_RAM_BASE)
		return error_raise_field(err, "/spec/memory_bytes",
					 "memory is %llu bytes, %llu is the limit",
					 (unsigned long long)config->memory,
					 BOOT_RAM_END - BOOT_RAM_BASE);
	return 0;
}

/* Devices that a VM whose memory is all lent cannot have. */
static int check_lent(const struct vmm_config *config, struct error *err)
{
	const struct {
		bool wanted;
		const char *what, *field;
	} devices[] = {
		{ config->disk_count > 0, "disk", "/spec/disks" },
		{ config->port_count > 0, "ports", "/spec/ports" },
		{ config->vsock, "vsock", "/spec/vsock" },
		{ config->net_count > 0, "network", "/spec/networks" },
	};

	if (!config->lend || config->bounce)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i].wanted)
			return error_raise_field(err, devices[i].field,
						 "a VM whose memory is lent can have no %s without "
						 "bounce memory",
						 devices[i].what);
	return 0;
}

static int check_shares(const struct vmm_config *config, struct error *err)
{
	if (config->share_count > VMM_SHARES_MAX)
		return error_raise_field(err, "/spec/shares", "%u shares, %u is the limit",
					 config->share_count, VMM_SHARES_MAX);
	if (config->lend && config->share_count > 0)
		return error_raise_field(err, "/spec/shares",
					 "a VM whose memory is lent can have no shares");
	for (unsigned int i = 0; i < config->share_count; i++) {
		if (!config->shares[i].tag)
			return error_raise_field(err, "/spec/shares", "share %u has no tag", i);
		for (unsigned int j = 0; j < i; j++)
			if (strcmp(config->shares[i].tag, config->shares[j].tag) == 0)
				return error_raise_field(err, "/spec/shares",
							 "two shares have the tag \"%s\"",
							 config->shares[i].tag);
	}
	return 0;
}

static int check(const struct vmm_config *config, struct error *err)
{
	/* Linux cuts off what is longer, and what is said of bounce memory is a part of it. */
	unsigned int cmdline_max = VMM_CMDLINE_MAX - (config->bounce ? VMM_BOUNCE_CMDLINE : 0);
	int r;

	if (!config->name || !config->name[0])
		return error_raise_field(err, "/name", "a VM needs a name");
	if (config->vcpus < 1 || config->vcpus > VMM_VCPUS_MAX)
		return error_raise_field(err, "/spec/vcpus", "%u vCPUs, 1 to %u are possible",
					 config->vcpus, VMM_VCPUS_MAX);
	if (config->cmdline && strlen(config->cmdline) >= cmdline_max)
		return error_raise_field(err, "/spec/cmdline",
					 "the command line has %zu bytes, %u is the limit",
					 strlen(config->cmdline), cmdline_max - 1);
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
	if (config->port_count > VMM_PORTS_MAX)
		return error_raise_field(err, "/spec/ports", "%u ports, %u is the limit",
					 config->port_count, VMM_PORTS_MAX);
	r = check_lent(config, err);
	if (r < 0)
		return r;
	if (config->kernel_fd < 0)
		return error_raise_field(err, "/spec/image", "a VM needs a kernel");
	r = check_shares(config, err);
	return r < 0 ? r : check_memory(config, err);
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
		.memory_configured = mem_size(&vm->mem),
		.memory_pinned = vm->mem.pinned ? mem_size(&vm->mem) : 0,
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
