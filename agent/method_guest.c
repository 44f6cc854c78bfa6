// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that look into a VM: statistics and console.

#include "agent/method.h"

#include <string.h>

#include "agent/message.h"
#include "agent/vm.h"

#define CONSOLE_READ_DEFAULT 65536u
#define CONSOLE_READ_MAX     262144u
#define CONSOLE_WRITE_MAX    4096u

static struct vm_record *find(struct service *service, const char *name, struct error *err)
{
	struct vm_record *vm = table_find(&service->vms, name);

	if (!vm)
		error_raise(err, ERROR_NOT_FOUND, "there is no VM \"%.80s\"", name);
	return vm;
}

/* The guest, or CONFLICT. */
static struct vmm *running(const struct vm_record *vm, struct error *err)
{
	struct vmm *vmm = vm_record_vmm(vm);

	if (!vmm)
		error_raise(err, ERROR_CONFLICT, "VM \"%s\" does not run", vm->msg->name);
	return vmm;
}

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
	for (size_t i = 0; i < count; i++) {
		char *name = strdup(names[i]);

		if (!name || message_append(&stats->measured, &stats->n_measured, name) < 0) {
			free(name);
			return -ENOMEM;
		}
	}
	return 0;
}

static Croft__V1__VmStats *stats_of(const struct vm_record *vm, struct vmm *vmm)
{
	Croft__V1__VmStats *stats = message_new(&croft__v1__vm_stats__descriptor);
	const Croft__V1__VmSpec *spec = vm->msg->spec;
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
	return r < 0 ? message_free(stats) : stats;
}

void method_get_vm_stats(struct service *service, struct call *call)
{
	const Croft__V1__GetVmStatsRequest *request = (const void *)call->request;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	struct vmm *vmm = vm ? running(vm, &error) : NULL;

	if (!vmm)
		call_fail(service, call, &error);
	else
		call_reply(service, call, stats_of(vm, vmm));
}

/* --- Console --- */

static void reply_read(struct service *service, struct call *call, const struct vm_record *vm,
		       struct recording *console)
{
	const Croft__V1__ReadConsoleRequest *request = (const void *)call->request;
	Croft__V1__ReadConsoleResponse *reply =
		message_new(&croft__v1__read_console_response__descriptor);
	size_t n = request->max_bytes ? request->max_bytes : CONSOLE_READ_DEFAULT;
	uint64_t offset = request->offset;

	if (reply)
		reply->data.data = malloc(n);
	if (!reply || !reply->data.data) {
		message_free(reply);
		call_reply(service, call, NULL);
		return;
	}
	if (console)
		reply->data.len = recording_read(console, &offset, reply->data.data, n);
	reply->offset = offset;
	reply->next_offset = offset + reply->data.len;
	reply->ended = !vm_record_live(vm) &&
		       (!console || reply->next_offset >= recording_end(console));
	call_reply(service, call, reply);
}

void method_read_console(struct service *service, struct call *call)
{
	const Croft__V1__ReadConsoleRequest *request = (const void *)call->request;
	uint64_t wait = message_duration_ns(request->wait, METHOD_FOLLOW_MAX_NS);
	struct recording *console = NULL;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	int r = vm ? 0 : -ENOENT;

	if (r == 0 && request->max_bytes > CONSOLE_READ_MAX)
		r = error_raise_field(&error, "/max_bytes", "%u: at most %u are allowed",
				      request->max_bytes, CONSOLE_READ_MAX);
	if (r == 0)
		r = vm_record_console(service, vm, &console, &error);
	if (r < 0) {
		call_fail(service, call, &error);
		return;
	}
	if (wait && vm_record_live(vm) && !call_expired(call) &&
	    !(console && recording_watch(console, request->offset))) {
		call_wait(service, call, wait);
		return;
	}
	reply_read(service, call, vm, console);
}

void method_write_console(struct service *service, struct call *call)
{
	const Croft__V1__WriteConsoleRequest *request = (const void *)call->request;
	Croft__V1__WriteConsoleResponse *reply;
	struct error error;
	struct vm_record *vm = find(service, request->name, &error);
	struct vmm *vmm = vm ? running(vm, &error) : NULL;

	if (vmm && request->data.len > CONSOLE_WRITE_MAX) {
		error_raise_field(&error, "/data", "%zu bytes: at most %u are allowed",
				  request->data.len, CONSOLE_WRITE_MAX);
		vmm = NULL;
	}
	if (!vmm) {
		call_fail(service, call, &error);
		return;
	}
	reply = message_new(&croft__v1__write_console_response__descriptor);
	if (reply)
		reply->accepted_bytes =
			(uint32_t)vmm_console_write(vmm, request->data.data, request->data.len);
	call_reply(service, call, reply);
}
