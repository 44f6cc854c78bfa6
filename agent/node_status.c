// SPDX-License-Identifier: Apache-2.0
// What the node has and how it does: resources and conditions, as they are now.

#include "agent/node.h"

#include <string.h>
#include <sys/statvfs.h>

#include "agent/config.h"
#include "agent/event.h"
#include "agent/health.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/vm.h"
#include "agent/vm_net.h"
#include "vmm/vmm.h"

/* Per cent that are free: pressure begins below the first and ends above the second, so that it does not flicker. */
#define PRESSURE_BEGINS 5u
#define PRESSURE_ENDS	7u

/* What the conditions are made of. */
struct facts {
	struct error hypervisor, store;
	struct vmm_host host;
	uint64_t memory_total, disk_total, disk_free;
	bool disk_known;
};

static void gather(struct service *service, struct facts *f)
{
	struct statvfs st;

	*f = (struct facts){ .memory_total = health_memory_total() };
	vmm_host_probe(service->config->backend, &f->host, &f->hypervisor);
	store_committed(service->store, &f->store);
	if (statvfs(service->vm_dir, &st) < 0)
		return;
	f->disk_known = true;
	f->disk_total = (uint64_t)st.f_blocks * st.f_frsize;
	f->disk_free = (uint64_t)st.f_bavail * st.f_frsize;
}

/* --- Conditions --- */

struct verdict {
	bool status;
	const char *reason;
	char message[ERROR_MESSAGE_MAX];
};

static void judge_error(struct verdict *v, const struct error *error, const char *good,
			const char *bad)
{
	v->status = error->code == ERROR_NONE;
	v->reason = v->status ? good : bad;
	snprintf(v->message, sizeof(v->message), "%s", error->message);
}

static void judge_hypervisor(struct verdict *v, const struct service *service,
			     const struct facts *f)
{
	(void)service;
	judge_error(v, &f->hypervisor, "Probed", "Unavailable");
}

static void judge_store(struct verdict *v, const struct service *service, const struct facts *f)
{
	(void)service;
	judge_error(v, &f->store, "Committed", "WriteFailed");
}

static void judge_ready(struct verdict *v, const struct service *service, const struct facts *f)
{
	judge_hypervisor(v, service, f);
	if (v->status)
		judge_store(v, service, f);
	if (v->status)
		v->reason = "Ready";
	if (service->stopping) {
		v->status = false;
		v->reason = "Stopping";
	}
}

static void judge_schedulable(struct verdict *v, const struct service *service,
			      const struct facts *f)
{
	const Croft__V1__Node *msg = service->node->msg;

	(void)f;
	v->status = !msg->cordoned;
	v->reason = msg->cordoned ? "Cordoned" : "Uncordoned";
	snprintf(v->message, sizeof(v->message), "%s", msg->cordon_reason);
}

static void judge_user_network(struct verdict *v, const struct service *service,
			       const struct facts *f)
{
	(void)service;
	(void)f;
	v->status = vm_net_has_passt();
	v->reason = v->status ? "PasstFound" : "PasstMissing";
	if (!v->status)
		snprintf(v->message, sizeof(v->message),
			 "passt is not installed: VMs have no network of kind user");
}

/* `v->status` comes in as it was. */
static void judge_pressure(struct verdict *v, uint64_t left, uint64_t total)
{
	unsigned int percent = total ? (unsigned int)(left / (total / 100 + 1)) : 100;

	v->status = percent < (v->status ? PRESSURE_ENDS : PRESSURE_BEGINS);
	v->reason = v->status ? "Low" : "Enough";
	if (v->status)
		snprintf(v->message, sizeof(v->message), "%llu MiB of %llu MiB are left",
			 (unsigned long long)(left >> 20), (unsigned long long)(total >> 20));
}

static void judge_memory(struct verdict *v, const struct service *service, const struct facts *f)
{
	(void)service;
	if (f->hypervisor.code == ERROR_NONE)
		judge_pressure(v, f->host.memory_available, f->memory_total);
}

static void judge_disk(struct verdict *v, const struct service *service, const struct facts *f)
{
	(void)service;
	if (f->disk_known)
		judge_pressure(v, f->disk_free, f->disk_total);
}

static const struct {
	const char *type;
	void (*judge)(struct verdict *v, const struct service *service, const struct facts *f);
} kinds[] = {
	{ "Ready", judge_ready },
	{ "HypervisorAvailable", judge_hypervisor },
	{ "Schedulable", judge_schedulable },
	{ "MemoryPressure", judge_memory },
	{ "DiskPressure", judge_disk },
	{ "StoreWritable", judge_store },
	{ "UserNetwork", judge_user_network },
};
static_assert(ARRAY_SIZE(kinds) == NODE_CONDITIONS, "each condition has its place");

const char *node_condition_type(size_t index)
{
	return kinds[index].type;
}

static void tell(struct service *service, const char *type, const struct node_condition *c)
{
	log_notice("node: %s is %s (%s)%s%s", type, c->status ? "true" : "false", c->reason,
		   c->message[0] ? ": " : "", c->message);
	event_emit(service, &(struct event_news){ .type = "node.condition",
						  .collection = "node",
						  .object = type,
						  .state = c->status ? "True" : "False",
						  .reason = c->reason,
						  .message = c->message });
	service->changed = true;
}

static void note(struct service *service, size_t i, const struct verdict *v)
{
	struct node_condition *c = &service->node->conditions[i];
	bool first = !c->reason, changed = c->status != v->status;

	c->status = v->status;
	c->reason = v->reason;
	snprintf(c->message, sizeof(c->message), "%s", v->message);
	if (first || changed)
		clock_gettime(CLOCK_REALTIME, &c->since);
	if (changed && !first)
		tell(service, kinds[i].type, c);
}

static void judge_all(struct service *service, const struct facts *facts)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct node_condition *c = &service->node->conditions[i];
		struct verdict v = { .status = c->status, .reason = "Unknown" };

		kinds[i].judge(&v, service, facts);
		note(service, i, &v);
	}
}

void node_look(struct service *service)
{
	struct facts facts;

	gather(service, &facts);
	judge_all(service, &facts);
}

/* --- The message --- */

static int add_condition(Croft__V1__NodeStatus *status, const char *type,
			 const struct node_condition *from)
{
	Croft__V1__NodeCondition *c = message_new(&croft__v1__node_condition__descriptor);

	if (!c || message_append(&status->conditions, &status->n_conditions, c) < 0) {
		message_free(c);
		return -ENOMEM;
	}
	message_set_string(&c->type, type);
	c->status = from->status;
	message_set_string(&c->reason, from->reason ? from->reason : "");
	message_set_string(&c->message, from->message);
	message_set_time(&c->since, from->since.tv_sec, (int32_t)from->since.tv_nsec);
	return 0;
}

/* What running VMs are given. */
static Croft__V1__NodeResources given(const struct service *service)
{
	Croft__V1__NodeResources sum = CROFT__V1__NODE_RESOURCES__INIT;

	for (size_t i = 0; i < service->vms.count; i++) {
		const struct vm_record *vm = service->vms.entries[i].record;
		const Croft__V1__VmSpec *spec = vm_record_ran_with(vm);

		if (!spec)
			continue;
		sum.cpus += spec->vcpus;
		sum.memory_bytes += spec->memory_bytes;
	}
	return sum;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int add_resources(struct service *service, Croft__V1__NodeStatus *status,
			 const struct facts *f)
{
	const Croft__V1__NodeResources used = given(service);
	Croft__V1__NodeResources *have = message_new(&croft__v1__node_resources__descriptor);
	Croft__V1__NodeResources *left = message_new(&croft__v1__node_resources__descriptor);

	status->capacity = have;
	status->allocatable = left;
	if (!have || !left)
		return -ENOMEM;
	have->cpus = status->cpus;
	have->memory_bytes = f->memory_total;
	have->disk_bytes = f->disk_total;
	left->cpus = (uint32_t)less(have->cpus, used.cpus);
	/* Guests that have not touched all of their memory may do so yet. */
	left->memory_bytes = less(f->memory_total, used.memory_bytes);
	if (f->host.memory_available < left->memory_bytes)
		left->memory_bytes = f->host.memory_available;
	left->disk_bytes = f->disk_free;
	return 0;
}

static int add_features(Croft__V1__NodeStatus *status, const char *features)
{
	char text[sizeof(((struct vmm_host *)0)->features)], *save = NULL;

	snprintf(text, sizeof(text), "%s", features);
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		char *copy = strdup(word);

		if (!copy || message_append(&status->hypervisor_features,
					    &status->n_hypervisor_features, copy) < 0) {
			free(copy);
			return -ENOMEM;
		}
	}
	return 0;
}

static unsigned int vms_running(const struct service *service)
{
	unsigned int n = 0;

	for (size_t i = 0; i < service->vms.count; i++)
		n += vm_record_vmm(service->vms.entries[i].record) != NULL;
	return n;
}

static int64_t boot_seconds(void)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec;
}

int node_fill(struct service *service, Croft__V1__Node *node)
{
	Croft__V1__NodeStatus *status = message_new(&croft__v1__node_status__descriptor);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char name[256] = "";
	struct facts facts;
	int r = 0;

	message_free(node->status);
	node->status = status;
	if (!status)
		return -ENOMEM;
	gather(service, &facts);
	judge_all(service, &facts);
	gethostname(name, sizeof(name) - 1);
	message_set_string(&node->name, name);
	message_set_time(&node->boot_time, boot_seconds(), 0);
	message_set_string(&status->hypervisor,
			   service->config->backend == VMM_BACKEND_FAKE ? "fake" : "gunyah");
	status->cpus = cpus > 0 ? (uint32_t)cpus : 0;
	status->memory_total_bytes = facts.memory_total;
	status->vms_running = vms_running(service);
	/* Without a hypervisor no VM can be given anything: these stay empty, and a condition says why. */
	status->vcpus_max = facts.host.vcpus_max;
	status->memory_available_bytes = facts.host.memory_available;
	message_set_string(&status->hypervisor_version, facts.host.version);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
		r = add_condition(status, kinds[i].type, &service->node->conditions[i]);
	if (r == 0)
		r = add_features(status, facts.host.features);
	return r == 0 ? add_resources(service, status, &facts) : r;
}
