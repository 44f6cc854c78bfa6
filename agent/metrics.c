// SPDX-License-Identifier: Apache-2.0
// The node's figures as OpenMetrics text: a family after the other, each with a sample for every object that has it.

#include "agent/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "agent/config.h"
#include "agent/health.h"
#include "agent/image.h"
#include "agent/metrics_write.h"
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

void metrics_family(FILE *out, const char *name, const char *type, const char *unit,
		    const char *help)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

void metrics_label(FILE *out, const char *before, const char *name, const char *value)
{
	fprintf(out, "%s%s=", before, name);
	metrics_write_value(out, value);
}

void metrics_label_number(FILE *out, const char *name, unsigned int value)
{
	fprintf(out, ",%s=\"%u\"", name, value);
}

void metrics_end_count(FILE *out, uint64_t value)
{
	fprintf(out, " %" PRIu64 "\n", value);
}

void metrics_end_seconds(FILE *out, uint64_t ns)
{
	fprintf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000u, ns % 1000000000u);
}

/* --- The agent and its node --- */

static void write_agent(FILE *out, struct service *service)
{
	const struct metrics *m = &service->metrics;

	metrics_family(out, "croft_build", "info", NULL, "The agent.");
	metrics_label(out, "croft_build_info{", "version", version_string());
	metrics_label(out, ",", "api_version", version_api());
	metrics_label(out, ",", "build", version_build());
	fputs("} 1\n", out);

	metrics_family(out, "croft_process_start_time_seconds", "gauge", "seconds",
		       "When the agent started, since the epoch.");
	fprintf(out, "croft_process_start_time_seconds %lld.%09ld\n", (long long)m->start.tv_sec,
		m->start.tv_nsec);

	metrics_family(out, "croft_rest_responses", "counter", NULL,
		       "Answers over REST by the class of their status.");
	for (unsigned int i = 1; i < METRICS_STATUS_CLASSES; i++)
		fprintf(out, "croft_rest_responses_total{class=\"%uxx\"} %" PRIu64 "\n", i,
			atomic_load(&service->metrics.rest_responses[i]));
}

static void write_node(FILE *out, struct service *service)
{
	uint64_t total = health_memory_total();
	struct vmm_host host;

	metrics_family(out, "croft_node_memory_total_bytes", "gauge", "bytes", "RAM of the node.");
	if (total) {
		fputs("croft_node_memory_total_bytes", out);
		metrics_end_count(out, total);
	}
	metrics_family(out, "croft_node_memory_available_bytes", "gauge", "bytes",
		       "What a new VM could be given now.");
	if (vmm_host_probe(service->config->backend, &host, NULL) == 0) {
		fputs("croft_node_memory_available_bytes", out);
		metrics_end_count(out, host.memory_available);
	}
}

static void write_conditions(FILE *out, struct service *service)
{
	metrics_family(
		out, "croft_node_condition", "gauge", NULL,
		"Conditions of the node: 1 for one that holds. All but the pressures are good ones.");
	for (size_t i = 0; i < NODE_CONDITIONS; i++) {
		metrics_label(out, "croft_node_condition{", "type", node_condition_type(i));
		fputc('}', out);
		metrics_end_count(out, service->node->conditions[i].status);
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
			metrics_label(out, "", "verb", verb);
		metrics_label(out, verb ? "," : "", "state", state->name);
		fputc('}', out);
		metrics_end_count(out, counts[state->value]);
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
	metrics_family(out, "croft_vms", "gauge", NULL, "VMs by state.");
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
	metrics_family(out, "croft_images", "gauge", NULL, "Images by state.");
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
	metrics_family(out, "croft_operations", "gauge", NULL,
		       "Operations that are remembered, by verb and state.");
	for (size_t v = 0; v < VERBS_MAX && verbs[v].name; v++)
		write_states(out, "croft_operations", verbs[v].name, verbs[v].counts,
			     &croft__v1__operation__state__descriptor);
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
	failed = metrics_write_vms(out, service);
	fputs("# EOF\n", out);
	failed |= ferror(out);
	failed |= fclose(out);
	if (failed) {
		free(text);
		return NULL;
	}
	return text;
}
