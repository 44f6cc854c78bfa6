// SPDX-License-Identifier: Apache-2.0
// The figures of VMs as OpenMetrics text. A family's samples must stand together, so each VM is asked once and written many times.

#include "agent/metrics.h"

#include <assert.h>
#include <string.h>

#include "agent/metrics_write.h"
#include "agent/state.h"
#include "agent/vm_stats.h"

struct guests {
	const struct vm_figures *guests;
	size_t count;
};

/* A uint64_t at `offset` of a structure of figures. */
static uint64_t value_at(const void *figures, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)figures + offset, sizeof(value));
	return value;
}

static void begin(FILE *out, const char *name, const struct vm_figures *g)
{
	fputs(name, out);
	metrics_label(out, "{", "vm", g->vm->name);
}

/* --- VMs --- */

/* One figure of each VM. */
struct figure {
	const char *name, *type, *unit, *help; /* as of metrics_family() */
	const char *suffix;		       /* of the sample's name */
	size_t offset;			       /* in struct vmm_stats */
	bool zero_unknown;
};

#define GAUGE_BYTES(name, field, help)                                                     \
	{                                                                                  \
		name, "gauge", "bytes", help, "", offsetof(struct vmm_stats, field), false \
	}
#define COUNTER(name, unit, field, help)                                                        \
	{                                                                                       \
		name, "counter", unit, help, "_total", offsetof(struct vmm_stats, field), false \
	}

static const struct figure figures[] = {
	GAUGE_BYTES("croft_vm_memory_configured_bytes", memory_configured, "Memory of the guest."),
	{ "croft_vm_memory_resident_bytes", "gauge", "bytes",
	  "Memory of the guest that the host holds in RAM.", "",
	  offsetof(struct vmm_stats, memory_resident), true },
	GAUGE_BYTES("croft_vm_memory_pinned_bytes", memory_pinned,
		    "Memory of the guest that the host cannot take back before the VM's end."),
	COUNTER("croft_vm_console_bytes", "bytes", console_bytes,
		"Bytes that the guest wrote to its console in this run."),
	COUNTER("croft_vm_devices_broken", NULL, devices_broken,
		"Times that the guest broke a device's rules in this run."),
};

static void write_figures(FILE *out, const struct guests *all)
{
	for (size_t f = 0; f < ARRAY_SIZE(figures); f++) {
		const struct figure *figure = &figures[f];

		metrics_family(out, figure->name, figure->type, figure->unit, figure->help);
		for (size_t i = 0; i < all->count; i++) {
			uint64_t value = value_at(&all->guests[i].vmm, figure->offset);

			if (!value && figure->zero_unknown)
				continue;
			fputs(figure->name, out);
			fputs(figure->suffix, out);
			metrics_label(out, "{", "vm", all->guests[i].vm->name);
			fputc('}', out);
			metrics_end_count(out, value);
		}
	}
}

/* What the VMM uses beside the vCPUs' threads; unknown where the kernel tells no times. */
static void write_overhead(FILE *out, const struct guests *all)
{
	static const struct {
		const char *name, *sample, *help;
		size_t offset;
	} times[] = {
		{ "croft_vm_vmm_run_seconds", "croft_vm_vmm_run_seconds_total",
		  "CPU time of the VMM's threads that are no vCPUs in this run.",
		  offsetof(struct vmm_stats, device_run_ns) },
		{ "croft_vm_vmm_wait_seconds", "croft_vm_vmm_wait_seconds_total",
		  "Time in this run in which they were runnable but did not run.",
		  offsetof(struct vmm_stats, device_wait_ns) },
	};

	for (size_t t = 0; t < ARRAY_SIZE(times); t++) {
		metrics_family(out, times[t].name, "counter", "seconds", times[t].help);
		for (size_t i = 0; i < all->count; i++) {
			if (!all->guests[i].vmm.device_run_ns)
				continue;
			begin(out, times[t].sample, &all->guests[i]);
			fputc('}', out);
			metrics_end_seconds(out, value_at(&all->guests[i].vmm, times[t].offset));
		}
	}
}

/* What a guest's balloon driver tells, where it has one. */
static void write_balloon(FILE *out, const struct guests *all)
{
	metrics_family(out, "croft_vm_memory_balloon_bytes", "gauge", "bytes",
		       "Memory that the guest has given up.");
	for (size_t i = 0; i < all->count; i++) {
		const struct vm_figures *g = &all->guests[i];

		if (!g->vmm.balloon.driver_up)
			continue;
		begin(out, "croft_vm_memory_balloon_bytes", g);
		fputc('}', out);
		metrics_end_count(out, g->vmm.balloon.actual);
	}
	metrics_family(out, "croft_vm_guest_memory_available_bytes", "gauge", "bytes",
		       "Memory that the guest says it has left for new work.");
	for (size_t i = 0; i < all->count; i++) {
		const struct vmm_guest_memory *memory = &all->guests[i].vmm.balloon.guest;

		if (!(memory->told & (1u << VMM_GUEST_AVAILABLE)))
			continue;
		begin(out, "croft_vm_guest_memory_available_bytes", &all->guests[i]);
		fputc('}', out);
		metrics_end_count(out, memory->values[VMM_GUEST_AVAILABLE]);
	}
}

/* Of all VMs that have a policy, also those that do not run. */
static void write_restarts(FILE *out, const struct service *service)
{
	metrics_family(out, "croft_vm_restarts", "counter", NULL,
		       "How often the VM's restart policy has started it.");
	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;
		const Croft__V1__RestartPolicy *policy = vm->msg->spec->restart;

		if (!vm->msg->status->restarts && (!policy || !policy->when))
			continue;
		metrics_label(out, "croft_vm_restarts_total{", "vm", vm->msg->name);
		fputc('}', out);
		metrics_end_count(out, vm->msg->status->restarts);
	}
}

/* --- vCPUs --- */

static void write_vcpu_times(FILE *out, const struct guests *all, bool wait)
{
	const char *name = wait ? "croft_vm_vcpu_wait_seconds_total"
				: "croft_vm_vcpu_run_seconds_total";

	for (size_t i = 0; i < all->count; i++) {
		const struct vm_figures *g = &all->guests[i];

		for (unsigned int v = 0; v < g->vmm.vcpu_count; v++) {
			const struct vmm_vcpu_stats *vcpu = &g->vmm.vcpus[v];

			/* A thread that runs has used some time, so this is one whose times are unknown. */
			if (!vcpu->run_ns)
				continue;
			begin(out, name, g);
			metrics_label_number(out, "vcpu", v);
			fputc('}', out);
			metrics_end_seconds(out, wait ? vcpu->wait_ns : vcpu->run_ns);
		}
	}
}

static void write_exits(FILE *out, const struct vm_figures *g, unsigned int index)
{
	const struct vmm_vcpu_stats *v = &g->vmm.vcpus[index];
	const struct {
		const char *reason;
		uint64_t count;
		bool measured;
	} exits[] = {
		{ "mmio_read", v->mmio_reads, true },
		{ "mmio_write", v->mmio_writes, true },
		{ "interrupted", v->interrupted, true },
		{ "error", v->errors, true },
		{ "wakeup", v->wakeups, v->handled_measured },
		{ "handled", v->handled, v->handled_measured },
	};

	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		if (!exits[i].measured)
			continue;
		begin(out, "croft_vm_vcpu_exits_total", g);
		metrics_label_number(out, "vcpu", index);
		metrics_label(out, ",", "reason", exits[i].reason);
		fputc('}', out);
		metrics_end_count(out, exits[i].count);
	}
}

/* Accesses that took less than that; the last takes the rest. */
static const char *const bounds[] = {
	"1e-06",    "2e-06",	"4e-06",    "8e-06",	"1.6e-05",  "3.2e-05",
	"6.4e-05",  "0.000128", "0.000256", "0.000512", "0.001024", "0.002048",
	"0.004096", "0.008192", "0.016384", "+Inf",
};
static_assert(ARRAY_SIZE(bounds) == VMM_HANDLING_BUCKETS, "each bucket has its bound");

static void write_handling(FILE *out, const struct vm_figures *g, unsigned int index)
{
	const struct vmm_vcpu_stats *v = &g->vmm.vcpus[index];
	uint64_t sum = 0;

	for (size_t b = 0; b < ARRAY_SIZE(bounds); b++) {
		sum += v->handling[b];
		begin(out, "croft_vm_vcpu_handling_seconds_bucket", g);
		metrics_label_number(out, "vcpu", index);
		metrics_label(out, ",", "le", bounds[b]);
		fputc('}', out);
		metrics_end_count(out, sum);
	}
	begin(out, "croft_vm_vcpu_handling_seconds_count", g);
	metrics_label_number(out, "vcpu", index);
	fputc('}', out);
	metrics_end_count(out, sum);
	begin(out, "croft_vm_vcpu_handling_seconds_sum", g);
	metrics_label_number(out, "vcpu", index);
	fputc('}', out);
	metrics_end_seconds(out, v->handling_ns);
}

static void write_vcpus(FILE *out, const struct guests *all)
{
	metrics_family(out, "croft_vm_vcpu_run_seconds", "counter", "seconds",
		       "CPU time of the vCPU's thread in this run, the guest included.");
	write_vcpu_times(out, all, false);
	metrics_family(out, "croft_vm_vcpu_wait_seconds", "counter", "seconds",
		       "Time in this run in which the vCPU was runnable but did not run (steal).");
	write_vcpu_times(out, all, true);
	metrics_family(out, "croft_vm_vcpu_exits", "counter", NULL, "Exits of the vCPU by reason.");
	for (size_t i = 0; i < all->count; i++)
		for (unsigned int v = 0; v < all->guests[i].vmm.vcpu_count; v++)
			write_exits(out, &all->guests[i], v);
	metrics_family(out, "croft_vm_vcpu_handling_seconds", "histogram", "seconds",
		       "How long the VMM took to answer the vCPU's accesses to devices.");
	for (size_t i = 0; i < all->count; i++)
		for (unsigned int v = 0; v < all->guests[i].vmm.vcpu_count; v++)
			write_handling(out, &all->guests[i], v);
}

/* --- Disks and networks --- */

/* A figure of all devices of a kind, of which a family may have several, told apart by a label. */
struct part {
	const char *value; /* of the label; NULL: none */
	size_t offset;	   /* in the device's figures */
};

struct device_family {
	const char *name, *unit, *help;
	const char *label; /* of the parts */
	struct part parts[5];
	bool time;
};

#define DISK(field) offsetof(struct vmm_disk_stats, field)
#define NET(field)  offsetof(struct vmm_net_stats, field)

static const struct device_family disk_families[] = {
	{ .name = "croft_vm_disk_operations",
	  .help = "Requests of the guest to the disk in this run.",
	  .label = "direction",
	  .parts = { { "read", DISK(read_ops) },
		     { "write", DISK(write_ops) },
		     { "flush", DISK(flush_ops) },
		     { "discard", DISK(discard_ops) },
		     { "zero", DISK(zero_ops) } } },
	{ .name = "croft_vm_disk_bytes",
	  .unit = "bytes",
	  .help = "Bytes that the guest read from and wrote to the disk in this run.",
	  .label = "direction",
	  .parts = { { "read", DISK(read_bytes) }, { "write", DISK(write_bytes) } } },
	{ .name = "croft_vm_disk_seconds",
	  .unit = "seconds",
	  .help = "Time from when a request was seen to its answer, all of this run together.",
	  .label = "direction",
	  .time = true,
	  .parts = { { "read", DISK(read_ns) },
		     { "write", DISK(write_ns) },
		     { "flush", DISK(flush_ns) },
		     { "discard", DISK(discard_ns) } } },
	{ .name = "croft_vm_disk_errors",
	  .help = "Requests to the disk that failed in this run.",
	  .parts = { { NULL, DISK(errors) } } },
	{ .name = "croft_vm_disk_throttled",
	  .help = "Times that the rate limit stopped the disk in this run.",
	  .parts = { { NULL, DISK(throttled) } } },
};

/* Of those that the host's kernel carries, too. */
static const struct device_family network_families[] = {
	{ .name = "croft_vm_network_packets",
	  .help = "Packets that the guest received and sent in this run.",
	  .label = "direction",
	  .parts = { { "receive", NET(rx_packets) }, { "transmit", NET(tx_packets) } } },
	{ .name = "croft_vm_network_bytes",
	  .unit = "bytes",
	  .help = "Bytes that the guest received and sent in this run.",
	  .label = "direction",
	  .parts = { { "receive", NET(rx_bytes) }, { "transmit", NET(tx_bytes) } } },
	{ .name = "croft_vm_network_dropped",
	  .help = "Packets that were dropped in this run.",
	  .label = "direction",
	  .parts = { { "receive", NET(rx_dropped) }, { "transmit", NET(tx_dropped) } } },
};

/* Only the VMM counts these. */
static const struct device_family own_network_families[] = {
	{ .name = "croft_vm_network_spoofed",
	  .help = "Packets of those dropped that came from another MAC address.",
	  .parts = { { NULL, NET(tx_spoofed) } } },
	{ .name = "croft_vm_network_throttled",
	  .help = "Times that a rate limit stopped a direction in this run.",
	  .parts = { { NULL, NET(throttled) } } },
};

static void write_family(FILE *out, const struct device_family *family)
{
	metrics_family(out, family->name, "counter", family->unit, family->help);
}

/* All parts of the family for one device, `labels` being what is between the braces. */
static void write_device(FILE *out, const struct device_family *family, const char *labels,
			 const void *device)
{
	for (size_t p = 0; p < ARRAY_SIZE(family->parts); p++) {
		const struct part *part = &family->parts[p];
		uint64_t value = value_at(device, part->offset);

		if (p && !part->value)
			return;
		fputs(family->name, out);
		fputs("_total{", out);
		fputs(labels, out);
		if (part->value)
			metrics_label(out, ",", family->label, part->value);
		fputc('}', out);
		if (family->time)
			metrics_end_seconds(out, value);
		else
			metrics_end_count(out, value);
	}
}

/* Names have 63 characters at most, and none that must be escaped. */
#define DEVICE_LABELS 256
static void device_labels(char out[DEVICE_LABELS], const char *vm, const char *kind,
			  const char *name)
{
	snprintf(out, DEVICE_LABELS, "vm=\"%s\",%s=\"%s\"", vm, kind, name);
}

static void write_disks(FILE *out, const struct guests *all)
{
	char labels[DEVICE_LABELS];

	for (size_t f = 0; f < ARRAY_SIZE(disk_families); f++) {
		write_family(out, &disk_families[f]);
		for (size_t i = 0; i < all->count; i++) {
			const struct vm_figures *g = &all->guests[i];

			for (unsigned int d = 0; d < g->vmm.disk_count && vm_figures_disk(g, d);
			     d++) {
				device_labels(labels, g->vm->name, "disk", vm_figures_disk(g, d));
				write_device(out, &disk_families[f], labels, &g->vmm.disks[d]);
			}
		}
	}
}

/* `own`: not of networks that the host's kernel carries. */
static void write_network_family(FILE *out, const struct guests *all,
				 const struct device_family *family, bool own)
{
	char labels[DEVICE_LABELS];

	write_family(out, family);
	for (size_t i = 0; i < all->count; i++) {
		const struct vm_figures *g = &all->guests[i];

		for (unsigned int n = 0; n < g->vmm.net_count; n++) {
			if (!g->networks[n] || (own && g->vmm.nets[n].vhost))
				continue;
			device_labels(labels, g->vm->name, "network", g->networks[n]);
			write_device(out, family, labels, &g->vmm.nets[n]);
		}
	}
}

static void write_networks(FILE *out, const struct guests *all)
{
	for (size_t f = 0; f < ARRAY_SIZE(network_families); f++)
		write_network_family(out, all, &network_families[f], false);
	for (size_t f = 0; f < ARRAY_SIZE(own_network_families); f++)
		write_network_family(out, all, &own_network_families[f], true);
}

static void write_vsocks(FILE *out, const struct guests *all)
{
	static const struct part directions[] = {
		{ "receive", offsetof(struct vmm_vsock_stats, rx_bytes) },
		{ "transmit", offsetof(struct vmm_vsock_stats, tx_bytes) },
	};

	metrics_family(out, "croft_vm_vsock_bytes", "counter", "bytes",
		       "Bytes that the guest received and sent by its vsock in this run.");
	for (size_t i = 0; i < all->count; i++) {
		const struct vmm_vsock_stats *vsock = &all->guests[i].vmm.vsock;

		for (size_t d = 0; d < ARRAY_SIZE(directions); d++) {
			if (!vsock->present || vsock->vhost)
				continue;
			begin(out, "croft_vm_vsock_bytes_total", &all->guests[i]);
			metrics_label(out, ",", "direction", directions[d].value);
			fputc('}', out);
			metrics_end_count(out, value_at(vsock, directions[d].offset));
		}
	}
}

int metrics_write_vms(FILE *out, const struct service *service)
{
	_cleanup_free_ struct vm_figures *guests = calloc(service->vms.count + 1, sizeof(*guests));
	struct guests all = { .guests = guests };

	if (!guests)
		return -ENOMEM;
	for (size_t i = 0; i < service->vms.count; i++)
		if (vm_record_vmm(service->vms.entries[i].record))
			vm_figures_take(service->vms.entries[i].record, &guests[all.count++]);
	write_restarts(out, service);
	write_vcpus(out, &all);
	write_figures(out, &all);
	write_overhead(out, &all);
	write_balloon(out, &all);
	write_disks(out, &all);
	write_networks(out, &all);
	write_vsocks(out, &all);
	return 0;
}
