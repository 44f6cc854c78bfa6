// SPDX-License-Identifier: Apache-2.0
// The restart policy of a VM: remembers whether it is wanted to run, and starts it again when it has ended without being asked.

#include "agent/vm_restart.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/audit.h"
#include "agent/event.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/node.h"
#include "agent/vm_restart_rule.h"
#include "agent/state.h"
#include "agent/vm_life.h"
#include "agent/vm_state.h"

#define SECOND 1000000000ull

struct vm_restart {
	struct record record;
	Croft__State__V1__KeptRestarts *kept;
	struct timer timer; /* armed while the phase is WAITING and the time has not come */
	struct vm_record *vm;
};

static void on_due(struct service *service, struct timer *timer);

/* --- What is kept --- */

/* An identity of this boot of the host; its clock is not that of another. */
static void read_boot_id(char out[64])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, 63);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void attach(struct vm_restart *restart, Croft__State__V1__KeptRestarts *kept)
{
	message_free(restart->kept);
	restart->kept = kept;
	restart->record = (struct record){ .kind = "restart",
					   .name = restart->vm->msg->name,
					   .message = &kept->base };
}

struct vm_restart *vm_restart_new(struct vm_record *vm)
{
	struct vm_restart *restart = calloc(1, sizeof(*restart));
	Croft__State__V1__KeptRestarts *kept =
		message_new(&croft__state__v1__kept_restarts__descriptor);

	if (!restart || !kept) {
		message_free(kept);
		free(restart);
		return NULL;
	}
	restart->vm = vm;
	restart->timer.fire = on_due;
	attach(restart, kept);
	return restart;
}

struct vm_restart *vm_restart_free(struct service *service, struct vm_restart *restart)
{
	if (!restart)
		return NULL;
	timer_disarm(service, &restart->timer);
	message_free(restart->kept);
	free(restart);
	return NULL;
}

static void keep(struct service *service, struct vm_restart *restart)
{
	char boot_id[64];

	if (!restart->kept->boot_id[0]) {
		read_boot_id(boot_id);
		message_set_string(&restart->kept->boot_id, boot_id);
	}
	restart->kept->time = (int64_t)clock_ns();
	record_touch(service, &restart->record);
}

Croft__State__V1__KeptRestarts__Phase vm_restart_phase(const struct vm_record *vm)
{
	return vm->restart->kept->phase;
}

/* A start is due no more. */
static void set_phase(struct service *service, struct vm_record *vm,
		      Croft__State__V1__KeptRestarts__Phase phase)
{
	struct vm_restart *restart = vm->restart;

	timer_disarm(service, &restart->timer);
	if (vm->msg->status->next_restart_time) {
		vm->msg->status->next_restart_time =
			message_free(vm->msg->status->next_restart_time);
		record_touch(service, &vm->record);
	}
	if (restart->kept->phase == phase)
		return;
	restart->kept->phase = phase;
	keep(service, restart);
}

void vm_restart_on(struct service *service, struct vm_record *vm)
{
	vm->restart->kept->n_restarts = 0;
	set_phase(service, vm, RESTART_PHASE(ON));
	keep(service, vm->restart);
}

void vm_restart_on_again(struct service *service, struct vm_record *vm)
{
	set_phase(service, vm, RESTART_PHASE(ON));
}

void vm_restart_off(struct service *service, struct vm_record *vm)
{
	set_phase(service, vm, RESTART_PHASE(PHASE_UNSPECIFIED));
}

/* --- The start that is due --- */

static void tell(struct service *service, const struct vm_record *vm, const char *type,
		 const char *message)
{
	event_emit(service, &(struct event_news){ .type = type,
						  .collection = "vms",
						  .object = vm->msg->name,
						  .state = vm_state_name(vm),
						  .reason = vm_reason_name(vm),
						  .message = message,
						  .actor = AUDIT_ACTOR_AGENT });
	log_notice("vms/%s: %s: %s", vm->msg->name, vm_reason_name(vm), message);
}

/* Without memory for the count the start goes uncounted; the next one is counted again. */
static void count_start(struct service *service, struct vm_record *vm)
{
	struct vm_restart *restart = vm->restart;

	if (restart_counts(vm->msg->status->exit_reason) &&
	    restart_note(restart->kept, (int64_t)clock_ns()) < 0)
		log_warning("vms/%s: out of memory for the count of its restarts", vm->msg->name);
	vm->msg->status->restarts++;
	set_phase(service, vm, RESTART_PHASE(ON));
	record_touch(service, &vm->record);
}

/* As the call RestartVm of the actor "agent" would, but that a start which is refused is one that has failed. */
static void start_again(struct service *service, struct vm_record *vm)
{
	struct error error = { .code = ERROR_NONE };
	char target[sizeof("vms/") + 64];
	struct operation *op = vm_new_operation(service, vm, "restart", AUDIT_ACTOR_AGENT, &error);
	int r = op ? vm_begin_start(service, vm, op, &error) : -ENOMEM;

	count_start(service, vm);
	if (r < 0)
		error_widen(&error, "VM \"%s\"", vm->msg->name);
	snprintf(target, sizeof(target), "vms/%s", vm->msg->name);
	audit_note(service, &(struct audit_news){ .actor = AUDIT_ACTOR_AGENT,
						  .method = "croft.v1.Vms/RestartVm",
						  .target = target,
						  .operation = op ? op->msg->name : NULL,
						  .error = r < 0 ? &error : NULL });
	if (r == 0)
		return;
	operation_end(service, op, &error);
	vm_set_end(vm, REASON(load_failed), error.message);
	vm_set_state(service, vm, STATE(FAILED));
	vm_restart_judge(service, vm);
}

/* What stands in its way is waited for: an earlier run that is not given back yet, and whoever has cordoned the node. */
static void on_due(struct service *service, struct timer *timer)
{
	struct vm_record *vm = CONTAINER_OF(timer, struct vm_restart, timer)->vm;

	if (!service->stopping && !vm->run && node_check_start(service, NULL) == 0)
		start_again(service, vm);
}

void vm_restart_look(struct service *service, struct vm_record *vm)
{
	struct vm_restart *restart = vm->restart;

	if (restart->kept->phase == RESTART_PHASE(WAITING) && !restart->timer.armed)
		timer_arm(service, &restart->timer, 0);
}

void vm_restart_look_all(struct service *service)
{
	for (size_t i = 0; i < service->vms.count; i++)
		vm_restart_look(service, service->vms.entries[i].record);
}

/* --- The decision --- */

static struct restart_decision decide(const struct vm_record *vm)
{
	return restart_decide(vm->msg->spec->restart, vm->msg->status->exit_reason,
			      vm->restart->kept, (int64_t)clock_ns());
}

static void arm(struct service *service, struct vm_record *vm, uint64_t pause_ns)
{
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_nsec + pause_ns;
	message_set_time(&vm->msg->status->next_restart_time, now.tv_sec + (time_t)(ns / SECOND),
			 (int32_t)(ns % SECOND));
	record_touch(service, &vm->record);
	timer_arm(service, &vm->restart->timer, pause_ns);
}

static void wait_for(struct service *service, struct vm_record *vm,
		     const struct restart_decision *d)
{
	struct vm_restart *restart = vm->restart;
	char message[128];

	restart->kept->phase = RESTART_PHASE(WAITING);
	restart->kept->due = (int64_t)(clock_ns() + d->pause_ns);
	keep(service, restart);
	arm(service, vm, d->pause_ns);
	snprintf(message, sizeof(message),
		 "restarts in %.3g s; restarted %" PRIu32 " times in an hour, at most %" PRIu32,
		 (double)d->pause_ns / SECOND, d->recent, d->limit);
	tell(service, vm, "vm.restart", message);
}

static void leave_alone(struct service *service, struct vm_record *vm,
			const struct restart_decision *d)
{
	Croft__V1__VmStatus *status = vm->msg->status;
	char message[ERROR_MESSAGE_MAX];
	int n;

	set_phase(service, vm, RESTART_PHASE(LEFT_ALONE));
	n = snprintf(message, sizeof(message), "restarted %" PRIu32 " times in an hour; left alone",
		     d->recent);
	if (status->message[0])
		snprintf(message + n, sizeof(message) - (size_t)n, ": %s", status->message);
	message_set_string(&status->message, message);
	record_touch(service, &vm->record);
	tell(service, vm, "vm.left_alone", message);
}

static void apply(struct service *service, struct vm_record *vm, const struct restart_decision *d)
{
	if (d->answer == RESTART_DUE)
		wait_for(service, vm, d);
	else if (d->answer == RESTART_SPENT)
		leave_alone(service, vm, d);
	else
		set_phase(service, vm, RESTART_PHASE(DONE));
}

void vm_restart_judge(struct service *service, struct vm_record *vm)
{
	struct restart_decision d;

	/* When the agent ends, the next one judges. */
	if (service->stopping || vm->restart->kept->phase != RESTART_PHASE(ON))
		return;
	d = decide(vm);
	apply(service, vm, &d);
}

void vm_restart_changed(struct service *service, struct vm_record *vm)
{
	struct vm_restart *restart = vm->restart;
	struct restart_decision d = decide(vm);
	int64_t now = (int64_t)clock_ns();

	if (restart->kept->phase != RESTART_PHASE(WAITING))
		return;
	/* It never comes to wait longer by a change than it would have. */
	if (d.answer != RESTART_DUE || now + (int64_t)d.pause_ns < restart->kept->due)
		apply(service, vm, &d);
}

/* --- The store --- */

int vm_restart_forget(struct service *service, struct vm_record *vm, struct error *err)
{
	return record_forget(service, &vm->restart->record, err);
}

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct service *service = data;
	struct vm_record *vm = table_find(&service->vms, name);
	Croft__State__V1__KeptRestarts *kept;
	char boot_id[64];

	if (!vm)
		return 0;
	kept = croft__state__v1__kept_restarts__unpack(NULL, n, bytes);
	if (!kept)
		return error_raise(err, ERROR_DATA_LOSS,
				   "the restarts of VM \"%s\" in the store are damaged", name);
	attach(vm->restart, kept);
	read_boot_id(boot_id);
	restart_rebase(kept, boot_id);
	return 0;
}

int vm_restarts_load(struct service *service, struct error *err)
{
	return store_load(service->store, "restart", load, service, err);
}

static void go_on(struct service *service, struct vm_record *vm)
{
	struct vm_restart *restart = vm->restart;
	int64_t left = restart->kept->due - (int64_t)clock_ns();

	if (restart->kept->phase == RESTART_PHASE(WAITING))
		arm(service, vm, left > 0 ? (uint64_t)left : 0);
	else
		vm_restart_judge(service, vm);
}

void vm_restarts_begin(struct service *service)
{
	for (size_t i = 0; i < service->vms.count; i++)
		go_on(service, service->vms.entries[i].record);
}
