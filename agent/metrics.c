// SPDX-License-Identifier: Apache-2.0
// The node's figures as OpenMetrics text: a family after the other, each with a sample for every object that has it.

#include "agent/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "agent/config.h"
#include "agent/health.h"
#include "agent/image.h"
#include "agent/node.h"
#include "agent/operation.h"
#include "agent/state.h"
#include "agent/version.h"
#include "agent/vm.h"

#define VERBS_MAX  16u
#define STATES_MAX 16u

static_assert(CROFT__V1__VM_STATUS__STATE__FAILED < STATES_MAX, "VM states are counted");
static_assert(CROFT__V1__IMAGE_STATUS__STATE__FAILED < STATES_MAX, "image states are counted");
static_assert(CROFT__V1__OPERATION__STATE__CANCELLED < STATES_MAX, "operation states are counted");

/* --- Text --- */

void metrics_write_value(FILE *out, const char *value)
{
	fputc('"', out);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

/* The unit is the end of the family's name, or NULL. */
static void family(FILE *out, const char *name, const char *type, const char *unit,
		   const char *help)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

static void label(FILE *out, const char *before, const char *name, const char *value)
{
	fprintf(out, "%s%s=", before, name);
	metrics_write_value(out, value);
}

static void label_number(FILE *out, const char *name, unsigned int value)
{
	fprintf(out, ",%s=\"%u\"", name, value);
}

/* Behind a name, or its labels. */
static void end_count(FILE *out, uint64_t value)
{
	fprintf(out, " %" PRIu64 "\n", value);
}

static void end_seconds(FILE *out, uint64_t ns)
{
	fprintf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000u, ns % 1000000000u);
}

/* --- The agent and its node --- */

static void write_agent(FILE *out, struct service *service)
{
	const struct metrics *m = &service->metrics;

	family(out, "croft_build", "info", NULL, "The agent.");
	label(out, "croft_build_info{", "version", version_string());
	label(out, ",", "api_version", version_api());
	label(out, ",", "build", version_build());
	fputs("} 1\n", out);

	family(out, "croft_process_start_time_seconds", "gauge", "seconds",
	       "When the agent started, since the epoch.");
	fprintf(out, "croft_process_start_time_seconds %lld.%09ld\n", (long long)m->start.tv_sec,
		m->start.tv_nsec);

	family(out, "croft_rest_responses", "counter", NULL,
	       "Answers over REST by the class of their status.");
	for (unsigned int i = 1; i < METRICS_STATUS_CLASSES; i++)
		fprintf(out, "croft_rest_responses_total{class=\"%uxx\"} %" PRIu64 "\n", i,
			atomic_load(&service->metrics.rest_responses[i]));
}

static void write_node(FILE *out, struct service *service)
{
	uint64_t total = health_memory_total();
	struct vmm_host host;

	family(out, "croft_node_memory_total_bytes", "gauge", "bytes", "RAM of the node.");
	if (total) {
		fputs("croft_node_memory_total_bytes", out);
		end_count(out, total);
	}
	family(out, "croft_node_memory_available_bytes", "gauge", "bytes",
	       "What a new VM could be given now.");
	if (vmm_host_probe(service->config->backend, &host, NULL) == 0) {
		fputs("croft_node_memory_available_bytes", out);
		end_count(out, host.memory_available);
	}
}

static void write_conditions(FILE *out, struct service *service)
{
	family(out, "croft_node_condition", "gauge", NULL,
	       "Conditions of the node: 1 for one that holds. All but the pressures are good ones.");
	for (size_t i = 0; i < NODE_CONDITIONS; i++) {
		label(out, "croft_node_condition{", "type", node_condition_type(i));
		fputc('}', out);
		end_count(out, service->node->conditions[i].status);
	}
}

/* --- Objects by state --- */

/* All states but the first, which means that there is none; one that no object is in was counted, too. */
static void write_states(FILE *out, const char *name, const char *verb, const uint64_t *counts,
			 const ProtobufCEnumDescriptor *states)
{
	for (unsigned int i = 0; i < states->n_values; i++) {
		const ProtobufCEnumValue *state = &states->values[i];

		if (state->value <= 0 || state->value >= (int)STATES_MAX)
			continue;
		fprintf(out, "%s{", name);
		if (verb)
			label(out, "", "verb", verb);
		label(out, verb ? "," : "", "state", state->name);
		fputc('}', out);
		end_count(out, counts[state->value]);
	}
}

static void count(uint64_t *counts, int state)
{
	if (state >= 0 && state < (int)STATES_MAX)
		counts[state]++;
}

static void write_vm_states(FILE *out, const struct service *service)
{
	uint64_t counts[STATES_MAX] = { 0 };

	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;

		count(counts, (int)vm->msg->status->state);
	}
	family(out, "croft_vms", "gauge", NULL, "VMs by state.");
	write_states(out, "croft_vms", NULL, counts, &croft__v1__vm_status__state__descriptor);
}

static void write_image_states(FILE *out, const struct service *service)
{
	uint64_t counts[STATES_MAX] = { 0 };

	for (size_t i = 0; i < service->images.count; i++) {
		const struct image_record *image = service->images.entries[i].record;

		if (image->msg->status)
			count(counts, (int)image->msg->status->state);
	}
	family(out, "croft_images", "gauge", NULL, "Images by state.");
	write_states(out, "croft_images", NULL, counts,
		     &croft__v1__image_status__state__descriptor);
}

struct verb {
	const char *name;
	uint64_t counts[STATES_MAX];
};

static void write_operation_states(FILE *out, const struct service *service)
{
	struct verb verbs[VERBS_MAX] = { 0 };

	for (size_t i = 0; i < service->operations.count; i++) {
		const struct operation *op = service->operations.entries[i].record;
		size_t v = 0;

		while (v < VERBS_MAX && verbs[v].name && strcmp(verbs[v].name, op->msg->verb) != 0)
			v++;
		/* Verbs are the agent's own words, and few. */
		if (v == VERBS_MAX)
			continue;
		verbs[v].name = op->msg->verb;
		count(verbs[v].counts, (int)op->msg->state);
	}
	family(out, "croft_operations", "gauge", NULL,
	       "Operations that are remembered, by verb and state.");
	for (size_t v = 0; v < VERBS_MAX && verbs[v].name; v++)
		write_states(out, "croft_operations", verbs[v].name, verbs[v].counts,
			     &croft__v1__operation__state__descriptor);
}

/* --- Running VMs --- */

/* A family's samples must stand together, so each VM is asked once and written many times. */
struct guest {
	const Croft__V1__Vm *vm;
	const Croft__V1__VmSpec *spec; /* that it was started with */
	struct vmm_stats stats;
};

struct guests {
	struct guest *guests;
	size_t count;
};

static void begin(FILE *out, const char *name, const struct guest *g)
{
	fprintf(out, "%s{", name);
	label(out, "", "vm", g->vm->name);
}

static void write_vcpu_times(FILE *out, const struct guests *all, bool wait)
{
	const char *name = wait ? "croft_vm_vcpu_wait_seconds_total"
				: "croft_vm_vcpu_run_seconds_total";

	for (size_t i = 0; i < all->count; i++) {
		const struct guest *g = &all->guests[i];

		for (unsigned int v = 0; v < g->stats.vcpu_count; v++) {
			const struct vmm_vcpu_stats *vcpu = &g->stats.vcpus[v];

			/* A thread that runs has used some time, so this is one whose times are unknown. */
			if (!vcpu->run_ns)
				continue;
			begin(out, name, g);
			label_number(out, "vcpu", v);
			fputc('}', out);
			end_seconds(out, wait ? vcpu->wait_ns : vcpu->run_ns);
		}
	}
}

static void write_exits(FILE *out, const struct guest *g, unsigned int index)
{
	const struct vmm_vcpu_stats *v = &g->stats.vcpus[index];
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
		label_number(out, "vcpu", index);
		label(out, ",", "reason", exits[i].reason);
		fputc('}', out);
		end_count(out, exits[i].count);
	}
}

static void write_vcpus(FILE *out, const struct guests *all)
{
	family(out, "croft_vm_vcpu_run_seconds", "counter", "seconds",
	       "CPU time of the vCPU's thread in this run, the guest included.");
	write_vcpu_times(out, all, false);
	family(out, "croft_vm_vcpu_wait_seconds", "counter", "seconds",
	       "Time in this run in which the vCPU was runnable but did not run (steal).");
	write_vcpu_times(out, all, true);
	family(out, "croft_vm_vcpu_exits", "counter", NULL, "Exits of the vCPU by reason.");
	for (size_t i = 0; i < all->count; i++)
		for (unsigned int v = 0; v < all->guests[i].stats.vcpu_count; v++)
			write_exits(out, &all->guests[i], v);
}

/* One figure of each VM, which is a uint64_t at `offset` of its statistics; 0 may mean that it is unknown. */
static void write_figure(FILE *out, const struct guests *all, const char *name, size_t offset,
			 bool zero_unknown)
{
	for (size_t i = 0; i < all->count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)&all->guests[i].stats + offset, sizeof(value));
		if (!value && zero_unknown)
			continue;
		begin(out, name, &all->guests[i]);
		fputc('}', out);
		end_count(out, value);
	}
}

static void write_memory_and_console(FILE *out, const struct guests *all)
{
	family(out, "croft_vm_memory_configured_bytes", "gauge", "bytes", "Memory of the guest.");
	write_figure(out, all, "croft_vm_memory_configured_bytes",
		     offsetof(struct vmm_stats, memory_configured), false);
	family(out, "croft_vm_memory_resident_bytes", "gauge", "bytes",
	       "Memory of the guest that the host holds in RAM.");
	write_figure(out, all, "croft_vm_memory_resident_bytes",
		     offsetof(struct vmm_stats, memory_resident), true);
	family(out, "croft_vm_console_bytes", "counter", "bytes",
	       "Bytes that the guest wrote to its console in this run.");
	write_figure(out, all, "croft_vm_console_bytes_total",
		     offsetof(struct vmm_stats, console_bytes), false);
}

/* What a guest's balloon driver tells, where it has one. */
static void write_balloon(FILE *out, const struct guests *all)
{
	family(out, "croft_vm_memory_balloon_bytes", "gauge", "bytes",
	       "Memory that the guest has given up.");
	for (size_t i = 0; i < all->count; i++) {
		const struct guest *g = &all->guests[i];

		if (!g->stats.balloon.driver_up)
			continue;
		begin(out, "croft_vm_memory_balloon_bytes", g);
		fputc('}', out);
		end_count(out, g->stats.balloon.actual);
	}
	family(out, "croft_vm_guest_memory_available_bytes", "gauge", "bytes",
	       "Memory that the guest says it has left for new work.");
	for (size_t i = 0; i < all->count; i++) {
		const struct vmm_guest_memory *memory = &all->guests[i].stats.balloon.guest;

		if (!(memory->told & (1u << VMM_GUEST_AVAILABLE)))
			continue;
		begin(out, "croft_vm_guest_memory_available_bytes", &all->guests[i]);
		fputc('}', out);
		end_count(out, memory->values[VMM_GUEST_AVAILABLE]);
	}
}

/* A figure of all disks, which is a uint64_t at `offset` of theirs. */
struct disk_figure {
	const char *direction; /* or NULL */
	size_t offset;
};

static void write_disk_family(FILE *out, const struct guests *all, const char *name,
			      const struct disk_figure *figures, size_t n)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct guest *g = &all->guests[i];

		for (size_t d = 0; d < g->stats.disk_count && d < g->spec->n_disks; d++) {
			for (size_t f = 0; f < n; f++) {
				uint64_t value;

				memcpy(&value, (const char *)&g->stats.disks[d] + figures[f].offset,
				       sizeof(value));
				begin(out, name, g);
				label(out, ",", "disk", g->spec->disks[d]->name);
				if (figures[f].direction)
					label(out, ",", "direction", figures[f].direction);
				fputc('}', out);
				end_count(out, value);
			}
		}
	}
}

static void write_disks(FILE *out, const struct guests *all)
{
	static const struct disk_figure operations[] = {
		{ "read", offsetof(struct vmm_disk_stats, read_ops) },
		{ "write", offsetof(struct vmm_disk_stats, write_ops) },
		{ "flush", offsetof(struct vmm_disk_stats, flush_ops) },
	};
	static const struct disk_figure bytes[] = {
		{ "read", offsetof(struct vmm_disk_stats, read_bytes) },
		{ "write", offsetof(struct vmm_disk_stats, write_bytes) },
	};
	static const struct disk_figure errors[] = {
		{ NULL, offsetof(struct vmm_disk_stats, errors) },
	};

	family(out, "croft_vm_disk_operations", "counter", NULL,
	       "Requests of the guest to the disk in this run.");
	write_disk_family(out, all, "croft_vm_disk_operations_total", operations,
			  ARRAY_SIZE(operations));
	family(out, "croft_vm_disk_bytes", "counter", "bytes",
	       "Bytes that the guest read from and wrote to the disk in this run.");
	write_disk_family(out, all, "croft_vm_disk_bytes_total", bytes, ARRAY_SIZE(bytes));
	family(out, "croft_vm_disk_errors", "counter", NULL,
	       "Requests to the disk that failed in this run.");
	write_disk_family(out, all, "croft_vm_disk_errors_total", errors, ARRAY_SIZE(errors));
}

static int write_guests(FILE *out, const struct service *service)
{
	_cleanup_free_ struct guest *guests = calloc(service->vms.count + 1, sizeof(*guests));
	struct guests all = { .guests = guests };

	if (!guests)
		return -ENOMEM;
	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;
		struct vmm *vmm = vm_record_vmm(vm);

		if (!vmm)
			continue;
		guests[all.count].vm = vm->msg;
		guests[all.count].spec = vm_record_ran_with(vm);
		vmm_stats(vmm, &guests[all.count].stats);
		all.count++;
	}
	write_vcpus(out, &all);
	write_memory_and_console(out, &all);
	write_balloon(out, &all);
	write_disks(out, &all);
	return 0;
}

char *metrics_text(struct service *service)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int failed;

	if (!out)
		return NULL;
	write_agent(out, service);
	write_node(out, service);
	write_conditions(out, service);
	write_vm_states(out, service);
	write_image_states(out, service);
	write_operation_states(out, service);
	failed = write_guests(out, service);
	fputs("# EOF\n", out);
	failed |= ferror(out);
	failed |= fclose(out);
	if (failed) {
		free(text);
		return NULL;
	}
	return text;
}
