// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that look into a VM: statistics.

#include "agent/method.h"

#include <string.h>

#include "agent/message.h"
#include "agent/vm.h"

#define INTERVAL_DEFAULT_NS 1000000000ull
#define INTERVAL_MIN_NS	    100000000ull
#define INTERVAL_MAX_NS	    3600000000000ull

/* --- Statistics --- */

static int add_exit(Croft__V1__VcpuStats *v, const char *reason, uint64_t count)
{
	Croft__V1__VcpuStats__ExitsEntry *e =
		message_new(&croft__v1__vcpu_stats__exits_entry__descriptor);

	if (!e || message_append(&v->exits, &v->n_exits, e) < 0) {
		message_free(e);
		return -ENOMEM;
	}
	message_set_string(&e->key, reason);
	e->value = count;
	return 0;
}

static int add_vcpu(Croft__V1__VmStats *stats, unsigned int index,
		    const struct vmm_vcpu_stats *from)
{
	Croft__V1__VcpuStats *v = message_new(&croft__v1__vcpu_stats__descriptor);

	if (!v || message_append(&stats->vcpus, &stats->n_vcpus, v) < 0) {
		message_free(v);
		return -ENOMEM;
	}
	v->index = index;
	v->run_seconds = (double)from->run_ns / 1e9;
	v->wait_seconds = (double)from->wait_ns / 1e9;
	if (add_exit(v, "mmio_read", from->mmio_reads) < 0 ||
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
	Croft__V1__DiskStats *d = message_new(&croft__v1__disk_stats__descriptor);

	if (!d || message_append(&stats->disks, &stats->n_disks, d) < 0) {
		message_free(d);
		return -ENOMEM;
	}
	message_set_string(&d->name, name);
	d->read_operations = from->read_ops;
	d->write_operations = from->write_ops;
	d->flush_operations = from->flush_ops;
	d->read_bytes = from->read_bytes;
	d->write_bytes = from->write_bytes;
	d->errors = from->errors;
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
	if (add_name(stats, "memory_balloon_target_bytes") < 0 ||
	    add_name(stats, "memory_balloon_bytes") < 0)
		return -ENOMEM;
	if (from->gives_back) {
		stats->memory_released_bytes = from->released;
		if (add_name(stats, "memory_released_bytes") < 0)
			return -ENOMEM;
	}
	return add_guest_memory(stats, &from->guest);
}

static int add_measured(Croft__V1__VmStats *stats, const struct vmm_stats *from)
{
	/* The last two are the driver's, and not every driver counts them. */
	static const char *const names[] = {
		"vcpus.run_seconds",	   "vcpus.wait_seconds",    "vcpus.exits",
		"memory_configured_bytes", "memory_resident_bytes", "disks",
		"console_bytes",	   "vcpus.exits.wakeup",    "vcpus.exits.handled",
	};
	size_t count = ARRAY_SIZE(names);

	if (from->vcpu_count == 0 || !from->vcpus[0].handled_measured)
		count -= 2;
	for (size_t i = 0; i < count; i++)
		if (add_name(stats, names[i]) < 0)
			return -ENOMEM;
	return 0;
}

static Croft__V1__VmStats *stats_of(const struct vm_record *vm, struct vmm *vmm)
{
	Croft__V1__VmStats *stats = message_new(&croft__v1__vm_stats__descriptor);
	const Croft__V1__VmSpec *spec = vm_record_ran_with(vm);
	struct vmm_stats from;
	int r = 0;

	if (!stats)
		return NULL;
	vmm_stats(vmm, &from);
	message_set_now(&stats->time);
	stats->memory_configured_bytes = from.memory_configured;
	stats->memory_resident_bytes = from.memory_resident;
	stats->console_bytes = from.console_bytes;
	for (unsigned int i = 0; r == 0 && i < from.vcpu_count; i++)
		r = add_vcpu(stats, i, &from.vcpus[i]);
	for (unsigned int i = 0; r == 0 && i < from.disk_count && i < spec->n_disks; i++)
		r = add_disk(stats, spec->disks[i]->name, &from.disks[i]);
	if (r == 0)
		r = add_measured(stats, &from);
	if (r == 0)
		r = add_balloon(stats, &from.balloon);
	return r < 0 ? message_free(stats) : stats;
}

void method_get_vm_stats(struct service *service, struct call *call)
{
	const Croft__V1__GetVmStatsRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = vm_record_find(service, request->name, &error);
	struct vmm *vmm = vm ? vm_record_running(vm, &error) : NULL;

	if (!vmm)
		call_fail(service, call, &error);
	else
		call_reply(service, call, stats_of(vm, vmm));
}

/* --- The stream --- */

/* Whose figures, and when the next ones are due. */
struct watch {
	char uid[RECORD_UID];
	uint64_t interval_ns, due_ns; /* the first at once */
};

static int interval_of(const Google__Protobuf__Duration *d, uint64_t *ns, struct error *err)
{
	*ns = d ? message_duration_ns(d, INTERVAL_MAX_NS + 1) : INTERVAL_DEFAULT_NS;
	if (*ns < INTERVAL_MIN_NS || *ns > INTERVAL_MAX_NS)
		return error_raise_field(err, "/interval", "must be from 0.1s to 3600s");
	return 0;
}

static int begin_watch(struct service *service, struct call *call, struct error *err)
{
	const Croft__V1__WatchVmStatsRequest *request = (const void *)call->request;
	const struct vm_record *vm = vm_record_find(service, request->name, err);
	struct watch *watch;
	uint64_t interval_ns;

	if (!vm || interval_of(request->interval, &interval_ns, err) < 0 ||
	    !vm_record_running(vm, err))
		return -EINVAL;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	snprintf(watch->uid, sizeof(watch->uid), "%s", vm->msg->uid);
	watch->interval_ns = interval_ns;
	call->place = watch;
	call->begun = true;
	return 0;
}

void method_watch_vm_stats(struct service *service, struct call *call)
{
	const Croft__V1__WatchVmStatsRequest *request = (const void *)call->request;
	struct error error;
	const struct vm_record *vm;
	struct watch *watch;
	struct vmm *vmm;
	uint64_t now = clock_ns();

	if (!call->begun && begin_watch(service, call, &error) < 0) {
		call_fail(service, call, &error);
		return;
	}
	watch = call->place;
	vm = table_find(&service->vms, request->name);
	vmm = vm && strcmp(vm->msg->uid, watch->uid) == 0 ? vm_record_vmm(vm) : NULL;
	if (!vmm) {
		call_end(service, call);
	} else if (now >= watch->due_ns) {
		/* Who comes late gets the newest, and not all that was missed. */
		watch->due_ns += watch->interval_ns;
		if (watch->due_ns <= now)
			watch->due_ns = now + watch->interval_ns;
		call_reply_more(service, call, stats_of(vm, vmm));
	} else if (call_expired(call)) {
		call_reply_more(service, call, NULL);
	} else {
		uint64_t left = watch->due_ns - now;

		call_wait(service, call, left < STREAM_IDLE_NS ? left : STREAM_IDLE_NS);
	}
}

void method_watch_vm_stats_close(struct service *service, struct call *call)
{
	(void)service;
	free(TAKE_PTR(call->place));
}
