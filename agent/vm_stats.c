// SPDX-License-Identifier: Apache-2.0
// The figures of a running VM, as they were measured and as clients get them.

#include "agent/vm_stats.h"

#include <fcntl.h>
#include <string.h>

#include "agent/message.h"

#define INTERFACES "/sys/class/net"

/* --- What was measured --- */

static bool read_count(int dir, const char *name, uint64_t *out)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[32], *end;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	*out = strtoull(text, &end, 10);
	return end != text;
}

bool vm_stats_read_interface(const char *root, const char *interface, struct vmm_net_stats *out)
{
	struct vmm_net_stats s = *out;
	const struct {
		const char *name;
		uint64_t *value;
	} counts[] = {
		{ "tx_packets", &s.rx_packets }, { "tx_bytes", &s.rx_bytes },
		{ "tx_dropped", &s.rx_dropped }, { "rx_packets", &s.tx_packets },
		{ "rx_bytes", &s.tx_bytes },	 { "rx_dropped", &s.tx_dropped },
	};
	_cleanup_close_ int dir = -1;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s/statistics", root, interface);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (!read_count(dir, counts[i].name, counts[i].value))
			return false;
	*out = s;
	return true;
}

/* The VMM counts what passes through it; what the kernel carries, only the interface counts. */
static void take_networks(struct vm_figures *f)
{
	const Croft__V1__VmStatus *status = f->vm->status;

	for (unsigned int i = 0; i < f->vmm.net_count && i < status->n_networks; i++) {
		const Croft__V1__NetworkStatus *network = status->networks[i];

		if (!f->vmm.nets[i].vhost ||
		    (network->host_interface[0] &&
		     vm_stats_read_interface(INTERFACES, network->host_interface, &f->vmm.nets[i])))
			f->networks[i] = network->name;
	}
}

void vm_figures_take(const struct vm_record *vm, struct vm_figures *out)
{
	*out = (struct vm_figures){ .vm = vm->msg,
				    .spec = vm_record_ran_with(vm),
				    .vcpu_times = true };
	vmm_stats(vm_record_vmm(vm), &out->vmm);
	/* A thread that runs has used some time, so that none means that it is not known. */
	for (unsigned int i = 0; i < out->vmm.vcpu_count; i++)
		out->vcpu_times = out->vcpu_times && out->vmm.vcpus[i].run_ns;
	take_networks(out);
}

const char *vm_figures_disk(const struct vm_figures *figures, unsigned int disk)
{
	return disk < figures->spec->n_disks ? figures->spec->disks[disk]->name : NULL;
}

/* --- The message --- */

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* A new message in a repeated field; NULL without memory. */
static void *add_message(const ProtobufCMessageDescriptor *type, void *array, size_t *count)
{
	void *message = message_new(type);

	if (message && message_append(array, count, message) == 0)
		return message;
	return message_free(message);
}

static int add_exit(Croft__V1__VcpuStats *v, const char *reason, uint64_t count)
{
	Croft__V1__VcpuStats__ExitsEntry *e =
		add_message(&croft__v1__vcpu_stats__exits_entry__descriptor, &v->exits,
			    &v->n_exits);

	if (!e)
		return -ENOMEM;
	message_set_string(&e->key, reason);
	e->value = count;
	return 0;
}

static int add_counts(uint64_t **out, size_t *n_out, const uint64_t *counts, size_t n)
{
	*out = malloc(n * sizeof(*counts) + 1);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, counts, n * sizeof(*counts));
	*n_out = n;
	return 0;
}

static int add_vcpu(Croft__V1__VmStats *stats, unsigned int index,
		    const struct vmm_vcpu_stats *from)
{
	Croft__V1__VcpuStats *v =
		add_message(&croft__v1__vcpu_stats__descriptor, &stats->vcpus, &stats->n_vcpus);

	if (!v)
		return -ENOMEM;
	v->index = index;
	v->run_seconds = seconds(from->run_ns);
	v->wait_seconds = seconds(from->wait_ns);
	v->handling_seconds = seconds(from->handling_ns);
	if (add_counts(&v->handling_counts, &v->n_handling_counts, from->handling,
		       VMM_HANDLING_BUCKETS) < 0 ||
	    add_exit(v, "mmio_read", from->mmio_reads) < 0 ||
	    add_exit(v, "mmio_write", from->mmio_writes) < 0 ||
	    add_exit(v, "interrupted", from->interrupted) < 0 ||
	    add_exit(v, "error", from->errors) < 0)
		return -ENOMEM;
	if (from->handled_measured &&
	    (add_exit(v, "wakeup", from->wakeups) < 0 || add_exit(v, "handled", from->handled) < 0))
		return -ENOMEM;
	return 0;
}

static int add_disk(Croft__V1__VmStats *stats, const char *name, const struct vmm_disk_stats *from)
{
	Croft__V1__DiskStats *d =
		add_message(&croft__v1__disk_stats__descriptor, &stats->disks, &stats->n_disks);

	if (!d)
		return -ENOMEM;
	message_set_string(&d->name, name);
	d->read_operations = from->read_ops;
	d->write_operations = from->write_ops;
	d->flush_operations = from->flush_ops;
	d->discard_operations = from->discard_ops;
	d->zero_operations = from->zero_ops;
	d->read_bytes = from->read_bytes;
	d->write_bytes = from->write_bytes;
	d->errors = from->errors;
	d->read_seconds = seconds(from->read_ns);
	d->write_seconds = seconds(from->write_ns);
	d->flush_seconds = seconds(from->flush_ns);
	d->discard_seconds = seconds(from->discard_ns);
	d->throttled = from->throttled;
	d->size_bytes = from->size;
	return add_counts(&d->queue_requests, &d->n_queue_requests, from->queue_requests,
			  from->queue_count);
}

static int add_network(Croft__V1__VmStats *stats, const char *name,
		       const struct vmm_net_stats *from)
{
	Croft__V1__NetworkStats *n = add_message(&croft__v1__network_stats__descriptor,
						 &stats->networks, &stats->n_networks);

	if (!n)
		return -ENOMEM;
	message_set_string(&n->name, name);
	n->receive_packets = from->rx_packets;
	n->receive_bytes = from->rx_bytes;
	n->receive_dropped = from->rx_dropped;
	n->transmit_packets = from->tx_packets;
	n->transmit_bytes = from->tx_bytes;
	n->transmit_dropped = from->tx_dropped;
	n->transmit_spoofed = from->tx_spoofed;
	n->throttled = from->throttled;
	return 0;
}

static int add_vsock(Croft__V1__VmStats *stats, const struct vmm_vsock_stats *from)
{
	if (!from->present || from->vhost)
		return 0;
	stats->vsock = message_new(&croft__v1__vsock_stats__descriptor);
	if (!stats->vsock)
		return -ENOMEM;
	stats->vsock->connections = from->connections;
	stats->vsock->receive_bytes = from->rx_bytes;
	stats->vsock->transmit_bytes = from->tx_bytes;
	return 0;
}

static int add_name(Croft__V1__VmStats *stats, const char *name)
{
	char *copy = strdup(name);

	if (copy && message_append(&stats->measured, &stats->n_measured, copy) == 0)
		return 0;
	free(copy);
	return -ENOMEM;
}

/* What the guest's balloon driver tells. */
static int add_guest_memory(Croft__V1__VmStats *stats, const struct vmm_guest_memory *from)
{
	Croft__V1__GuestMemoryStats *g;
	const struct {
		const char *name;
		size_t field;
		enum vmm_guest_memory_item item;
	} items[] = {
#define ITEM(field, item) \
	{ "guest_memory." #field, offsetof(Croft__V1__GuestMemoryStats, field), item }
		ITEM(total_bytes, VMM_GUEST_TOTAL),
		ITEM(free_bytes, VMM_GUEST_FREE),
		ITEM(available_bytes, VMM_GUEST_AVAILABLE),
		ITEM(caches_bytes, VMM_GUEST_CACHES),
		ITEM(swap_in_bytes, VMM_GUEST_SWAP_IN),
		ITEM(swap_out_bytes, VMM_GUEST_SWAP_OUT),
		ITEM(major_faults, VMM_GUEST_MAJOR_FAULTS),
		ITEM(minor_faults, VMM_GUEST_MINOR_FAULTS),
#undef ITEM
	};

	if (!from->told)
		return 0;
	g = stats->guest_memory = message_new(&croft__v1__guest_memory_stats__descriptor);
	if (g)
		g->age = message_new(&google__protobuf__duration__descriptor);
	if (!g || !g->age)
		return -ENOMEM;
	g->age->seconds = (int64_t)(from->age_ns / 1000000000u);
	g->age->nanos = (int32_t)(from->age_ns % 1000000000u);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		if (!(from->told & (1u << items[i].item)))
			continue;
		memcpy((char *)g + items[i].field, &from->values[items[i].item], sizeof(uint64_t));
		if (add_name(stats, items[i].name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_balloon(Croft__V1__VmStats *stats, const struct vmm_balloon_stats *from)
{
	if (!from->driver_up)
		return 0;
	stats->memory_balloon_target_bytes = from->target;
	stats->memory_balloon_bytes = from->actual;
	if (from->gives_back)
		stats->memory_released_bytes = from->released;
	return add_guest_memory(stats, &from->guest);
}

/* Whether something of the kind is carried by the host's kernel, which then counts less. */
static bool any_vhost(const struct vmm_stats *vmm)
{
	for (unsigned int i = 0; i < vmm->net_count; i++)
		if (vmm->nets[i].vhost)
			return true;
	return false;
}

static int add_measured(Croft__V1__VmStats *stats, const struct vm_figures *f)
{
	const struct vmm_stats *vmm = &f->vmm;
	bool handled = vmm->vcpu_count && vmm->vcpus[0].handled_measured, vhost = any_vhost(vmm);
	const struct {
		const char *name;
		bool measured;
	} names[] = {
		{ "vcpus.run_seconds", f->vcpu_times },
		{ "vcpus.wait_seconds", f->vcpu_times },
		{ "vcpus.exits", true },
		{ "vcpus.exits.wakeup", handled },
		{ "vcpus.exits.handled", handled },
		{ "vcpus.handling_counts", true },
		{ "vcpus.handling_seconds", true },
		{ "memory_configured_bytes", true },
		{ "memory_resident_bytes", vmm->memory_resident },
		{ "memory_pinned_bytes", true },
		{ "memory_balloon_target_bytes", vmm->balloon.driver_up },
		{ "memory_balloon_bytes", vmm->balloon.driver_up },
		{ "memory_released_bytes", vmm->balloon.driver_up && vmm->balloon.gives_back },
		{ "disks", true },
		{ "networks", stats->n_networks },
		{ "networks.transmit_spoofed", stats->n_networks && !vhost },
		{ "networks.throttled", stats->n_networks && !vhost },
		{ "vsock", stats->vsock },
		{ "vmm_run_seconds", vmm->device_run_ns },
		{ "vmm_wait_seconds", vmm->device_run_ns },
		{ "devices_broken", true },
		{ "console_bytes", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].measured && add_name(stats, names[i].name) < 0)
			return -ENOMEM;
	return 0;
}

static void fill_plain(Croft__V1__VmStats *stats, const struct vmm_stats *vmm)
{
	message_set_now(&stats->time);
	stats->memory_configured_bytes = vmm->memory_configured;
	stats->memory_resident_bytes = vmm->memory_resident;
	stats->memory_pinned_bytes = vmm->memory_pinned;
	stats->vmm_run_seconds = seconds(vmm->device_run_ns);
	stats->vmm_wait_seconds = seconds(vmm->device_wait_ns);
	stats->devices_broken = vmm->devices_broken;
	stats->console_bytes = vmm->console_bytes;
}

Croft__V1__VmStats *vm_stats_message(const struct vm_record *vm)
{
	Croft__V1__VmStats *stats = message_new(&croft__v1__vm_stats__descriptor);
	struct vm_figures f;
	int r = 0;

	if (!stats)
		return NULL;
	vm_figures_take(vm, &f);
	fill_plain(stats, &f.vmm);
	for (unsigned int i = 0; r == 0 && i < f.vmm.vcpu_count; i++)
		r = add_vcpu(stats, i, &f.vmm.vcpus[i]);
	for (unsigned int i = 0; r == 0 && i < f.vmm.disk_count && vm_figures_disk(&f, i); i++)
		r = add_disk(stats, vm_figures_disk(&f, i), &f.vmm.disks[i]);
	for (unsigned int i = 0; r == 0 && i < f.vmm.net_count; i++)
		if (f.networks[i])
			r = add_network(stats, f.networks[i], &f.vmm.nets[i]);
	if (r == 0)
		r = add_vsock(stats, &f.vmm.vsock);
	if (r == 0)
		r = add_measured(stats, &f);
	if (r == 0)
		r = add_balloon(stats, &f.vmm.balloon);
	return r < 0 ? message_free(stats) : stats;
}
