// SPDX-License-Identifier: Apache-2.0
// Restart policies: the rule at any time that it is told, and what a service makes of it with VMs of the fake backend.

#include "tests/unit/agent_world.h"

#include "agent/vm_restart_rule.h"
#include "croft/v1/audit.pb-c.h"
#include "croft/v1/desired.pb-c.h"
#include "croft/v1/event.pb-c.h"

#define WHEN(name) CROFT__V1__RESTART_POLICY__WHEN__##name
#define SECOND	   1000000000ll

typedef Croft__V1__RestartPolicy__When when_t;
typedef Croft__V1__VmStatus__ExitReason reason_t;

static const when_t whens[] = { WHEN(WHEN_UNSPECIFIED), WHEN(never), WHEN(on_failure),
				WHEN(always) };

/* --- The rule --- */

/* What docs/API.md promises: whether it is started again, whether at once, and whether that counts. */
static const struct {
	reason_t reason;
	bool on_failure, always, at_once, counts;
} rows[] = {
	{ REASON(guest_poweroff), false, true, false, true },
	{ REASON(guest_reset), true, true, true, true },
	{ REASON(watchdog), true, true, false, true },
	{ REASON(hypervisor_error), true, true, false, true },
	{ REASON(external_abort), true, true, false, true },
	{ REASON(force_stopped), true, true, false, true },
	{ REASON(load_failed), true, true, false, true },
	{ REASON(vmm_crash), true, true, false, true },
	{ REASON(host_shutdown), true, true, true, false },
	{ REASON(start_timeout), true, true, false, true },
};

static bool follows(size_t row, when_t when)
{
	if (when == WHEN(always))
		return rows[row].always;
	return when == WHEN(on_failure) && rows[row].on_failure;
}

static Croft__V1__RestartPolicy policy_of(when_t when, uint32_t limit)
{
	Croft__V1__RestartPolicy policy = CROFT__V1__RESTART_POLICY__INIT;

	policy.when = when;
	policy.limit = limit;
	return policy;
}

static void test_table(void **state)
{
	Croft__State__V1__KeptRestarts kept = CROFT__STATE__V1__KEPT_RESTARTS__INIT;

	(void)state;
	/* All reasons that there are but "none". */
	assert_int_equal(ARRAY_SIZE(rows),
			 croft__v1__vm_status__exit_reason__descriptor.n_values - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(rows[i].reason, i + 1);
		assert_int_equal(restart_decide(NULL, rows[i].reason, &kept, 0).answer,
				 RESTART_DONE);
		for (size_t w = 0; w < ARRAY_SIZE(whens); w++) {
			const Croft__V1__RestartPolicy policy = policy_of(whens[w], 0);
			const struct restart_decision d =
				restart_decide(&policy, rows[i].reason, &kept, 0);

			assert_int_equal(d.answer,
					 follows(i, whens[w]) ? RESTART_DUE : RESTART_DONE);
			if (d.answer == RESTART_DUE)
				assert_int_equal(d.pause_ns, rows[i].at_once ? 0 : SECOND);
		}
		assert_int_equal(restart_counts(rows[i].reason), rows[i].counts);
	}
}

/* The pauses of a guest that fails at once each time, and where it ends. */
static void check_pauses(const Croft__V1__RestartPolicy *policy, const int64_t *pauses, size_t n)
{
	Croft__State__V1__KeptRestarts *kept =
		message_new(&croft__state__v1__kept_restarts__descriptor);
	struct restart_decision d;
	int64_t now = 5 * SECOND;

	for (size_t i = 0; i < n; i++) {
		d = restart_decide(policy, REASON(watchdog), kept, now);
		assert_int_equal(d.answer, RESTART_DUE);
		assert_int_equal(d.recent, i);
		assert_int_equal(d.pause_ns, pauses[i]);
		now += pauses[i];
		assert_int_equal(restart_note(kept, now), 0);
	}
	d = restart_decide(policy, REASON(watchdog), kept, now);
	assert_int_equal(d.answer, RESTART_SPENT);
	assert_int_equal(d.recent, n);
	/* A reboot is one of them; the end of the host is not. */
	assert_int_equal(restart_decide(policy, REASON(guest_reset), kept, now).answer,
			 RESTART_SPENT);
	assert_int_equal(restart_decide(policy, REASON(host_shutdown), kept, now).answer,
			 RESTART_DUE);
	message_free(kept);
}

static void test_pauses(void **state)
{
	static const int64_t grow[] = { 1 * SECOND,   2 * SECOND,  4 * SECOND,	8 * SECOND,
					16 * SECOND,  32 * SECOND, 64 * SECOND, 128 * SECOND,
					256 * SECOND, 300 * SECOND };
	static const int64_t longer[] = { 200 * SECOND, 300 * SECOND, 300 * SECOND };
	static const int64_t none[] = { 0, 0 };
	Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
	Croft__V1__RestartPolicy policy = policy_of(WHEN(on_failure), 0);

	(void)state;
	check_pauses(&policy, grow, ARRAY_SIZE(grow));
	policy.backoff = &backoff;
	backoff.seconds = 200;
	policy.limit = 3;
	check_pauses(&policy, longer, ARRAY_SIZE(longer));
	backoff.seconds = 0;
	policy.limit = 2;
	check_pauses(&policy, none, ARRAY_SIZE(none));
}

static void test_hour(void **state)
{
	Croft__State__V1__KeptRestarts *kept =
		message_new(&croft__state__v1__kept_restarts__descriptor);
	const Croft__V1__RestartPolicy policy = policy_of(WHEN(always), 2);
	const int64_t hour = 3600 * SECOND;

	(void)state;
	assert_int_equal(restart_note(kept, 10 * SECOND), 0);
	assert_int_equal(restart_note(kept, 20 * SECOND), 0);
	assert_int_equal(
		restart_decide(&policy, REASON(watchdog), kept, hour + 10 * SECOND - 1).answer,
		RESTART_SPENT);
	assert_int_equal(restart_decide(&policy, REASON(watchdog), kept, hour + 10 * SECOND).recent,
			 1);
	/* What is forgotten does not take room for ever. */
	assert_int_equal(restart_note(kept, hour + 30 * SECOND), 0);
	assert_int_equal(kept->n_restarts, 1);
	message_free(kept);
}

/* The host was down: its clock begins anew, and what was counted still is. */
static void test_other_boot(void **state)
{
	Croft__State__V1__KeptRestarts *kept =
		message_new(&croft__state__v1__kept_restarts__descriptor);

	(void)state;
	message_set_string(&kept->boot_id, "one");
	assert_int_equal(restart_note(kept, 5000 * SECOND), 0);
	kept->time = 5010 * SECOND;
	kept->due = 5040 * SECOND;
	assert_true(restart_rebase(kept, "one"));
	assert_int_equal(kept->due, 5040 * SECOND);
	assert_true(restart_rebase(kept, "two"));
	assert_int_equal(kept->due, 30 * SECOND);
	assert_int_equal(kept->restarts[0], -10 * SECOND);
	assert_string_equal(kept->boot_id, "two");
	/* And once more, before anything was kept. */
	assert_true(restart_rebase(kept, "three"));
	assert_int_equal(kept->due, 30 * SECOND);
	message_free(kept);
}

/* --- VMs --- */

struct wish {
	const char *name, *append;
	when_t when;
	uint32_t limit;
	int64_t backoff; /* s */
};

static Croft__V1__RestartPolicy *make_policy(const struct wish *wish)
{
	Croft__V1__RestartPolicy *policy = message_new(&croft__v1__restart_policy__descriptor);

	policy->when = wish->when;
	policy->limit = wish->limit;
	policy->backoff = message_new(&google__protobuf__duration__descriptor);
	policy->backoff->seconds = wish->backoff;
	return policy;
}

static struct call *define(const struct wish *wish)
{
	Croft__V1__CreateVmRequest *request =
		message_new(&croft__v1__create_vm_request__descriptor);

	request->vm = message_new(&croft__v1__vm__descriptor);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&request->vm->name, wish->name);
	message_set_string(&request->vm->spec->image, "tiny");
	message_set_string(&request->vm->spec->cmdline_append, wish->append);
	request->vm->spec->vcpus = 1;
	request->vm->spec->no_network = true;
	request->vm->spec->memory_bytes = 64 * MIB;
	request->vm->spec->restart = make_policy(wish);
	return help_call(service, "croft.v1.Vms/CreateVm", request);
}

/* Another policy, while it is what it is. */
static struct call *change(const struct wish *wish)
{
	Croft__V1__UpdateVmRequest *request =
		message_new(&croft__v1__update_vm_request__descriptor);

	request->vm = message_new(&croft__v1__vm__descriptor);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	request->update_mask = message_new(&google__protobuf__field_mask__descriptor);
	message_set_string(&request->vm->name, wish->name);
	request->vm->spec->restart = make_policy(wish);
	assert_int_equal(message_append(&request->update_mask->paths,
					&request->update_mask->n_paths, strdup("spec.restart")),
			 0);
	return help_call(service, "croft.v1.Vms/UpdateVm", request);
}

/* Its record when `is` holds. */
static Croft__V1__Vm *when_it(const char *name, bool (*is)(const Croft__V1__VmStatus *status))
{
	for (;;) {
		Croft__V1__Vm *vm = get(name);

		if (is(vm->status))
			return vm;
		message_free(vm);
		usleep(5000);
	}
}

static bool has_ended(const Croft__V1__VmStatus *s)
{
	return !s->operation[0] && (s->state == STATE(STOPPED) || s->state == STATE(FAILED)) &&
	       !s->next_restart_time;
}

static bool is_left_alone(const Croft__V1__VmStatus *s)
{
	return strstr(s->message, "left alone");
}

static bool is_waiting(const Croft__V1__VmStatus *s)
{
	return s->next_restart_time;
}

static bool runs_again(const Croft__V1__VmStatus *s)
{
	return s->state == STATE(RUNNING) && s->restarts;
}

static void until(const char *name, bool (*is)(const Croft__V1__VmStatus *status))
{
	message_free(when_it(name, is));
}

/* Runs a guest that ends so, under that policy: started again until the limit, or left as it is. */
static void check_end(const char *script, size_t row, when_t when)
{
	const struct wish wish = { "vm", "", when, 2, 0 };
	Croft__V1__Vm *vm;

	free(config->fake_script);
	config->fake_script = strdup(script);
	expect(define(&wish), ERROR_NONE);
	/* A guest that does not start, does not. */
	call_free(help_call(service, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "vm")));
	vm = when_it("vm", follows(row, when) ? is_left_alone : has_ended);
	assert_int_equal(vm->status->exit_reason, rows[row].reason);
	assert_int_equal(vm->status->restarts, follows(row, when) ? 2 : 0);
	assert_null(vm->status->next_restart_time);
	message_free(vm);
	expect(delete ("vm"), ERROR_NONE);
}

static void test_ends(void **state)
{
	static const struct {
		const char *script;
		reason_t reason;
	} ends[] = {
		{ "poweroff\n", REASON(guest_poweroff) }, { "reset\n", REASON(guest_reset) },
		{ "watchdog\n", REASON(watchdog) },	  { "fault\n", REASON(hypervisor_error) },
		{ "abort\n", REASON(external_abort) },	  { "stopped\n", REASON(force_stopped) },
		{ "fail load\n", REASON(load_failed) },	  { "break\n", REASON(vmm_crash) },
	};

	(void)state;
	pull_tiny();
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		for (size_t w = 0; w < ARRAY_SIZE(whens); w++)
			check_end(ends[i].script, (size_t)ends[i].reason - 1, whens[w]);
}

static Croft__V1__ReadEventsResponse *read_events(const char *filter)
{
	Croft__V1__ReadEventsRequest *request =
		message_new(&croft__v1__read_events_request__descriptor);
	struct call *call;
	Croft__V1__ReadEventsResponse *reply;

	message_set_string(&request->filter, filter);
	request->max_events = 1000;
	call = help_call(service, "croft.v1.Events/ReadEvents", request);
	reply = (void *)TAKE_PTR(call->reply);
	assert_non_null(reply);
	call_free(call);
	return reply;
}

/* Each start is an operation of the agent's, audited, and told of before. */
static void test_records(void **state)
{
	const struct wish wish = { "vm", "croft.test=reboot", WHEN(on_failure), 2, 0 };
	struct call *call;
	const Croft__V1__ListAuditRecordsResponse *audit;
	Croft__V1__ListAuditRecordsRequest *request =
		message_new(&croft__v1__list_audit_records_request__descriptor);
	Croft__V1__ReadEventsResponse *events;

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_left_alone);
	message_set_string(&request->filter, "actor=agent");
	call = help_call(service, "croft.v1.Audit/ListAuditRecords", request);
	audit = (const void *)call->reply;
	assert_non_null(audit);
	assert_int_equal(audit->n_records, 2);
	for (size_t i = 0; i < 2; i++) {
		Croft__V1__WaitOperationRequest *wait =
			NAMED(wait_operation_request, audit->records[i]->operation);
		struct call *op_call =
			help_call(service, "croft.v1.Operations/WaitOperation", wait);
		const Croft__V1__Operation *op = (const void *)op_call->reply;

		assert_non_null(op);
		assert_string_equal(audit->records[i]->target, "vms/vm");
		assert_string_equal(audit->records[i]->method, "croft.v1.Vms/RestartVm");
		assert_string_equal(op->verb, "restart");
		assert_string_equal(op->actor, "agent");
		assert_int_equal(op->state, OPERATION(SUCCEEDED));
		call_free(op_call);
	}
	call_free(call);
	events = read_events("type=vm.restart");
	assert_int_equal(events->n_events, 2);
	assert_string_equal(events->events[0]->reason, "guest_reset");
	assert_non_null(
		strstr(events->events[1]->message, "restarted 1 times in an hour, at most 2"));
	message_free(events);
	events = read_events("type=vm.left_alone");
	assert_int_equal(events->n_events, 1);
	assert_string_equal(events->events[0]->message, "restarted 2 times in an hour; left alone");
	message_free(events);
	/* By hand it begins anew. */
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_left_alone);
}

static void test_stop_while_waiting(void **state)
{
	const struct wish wish = { "vm", "croft.test=broken", WHEN(always), 0, 300 };

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_waiting);
	check_state("vm", STATE(FAILED), REASON(vmm_crash));
	finish_as(stop("vm", false), OPERATION(SUCCEEDED), NULL);
	until("vm", has_ended);
	expect(stop("vm", false), ERROR_CONFLICT);
	/* Nor does the next agent start it. */
	service = service_free(service);
	start_service();
	until("vm", has_ended);
	check_state("vm", STATE(FAILED), REASON(vmm_crash));
}

static void test_start_while_waiting(void **state)
{
	const struct wish wish = { "vm", "croft.test=broken", WHEN(always), 0, 300 };
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	for (uint64_t i = 1; i <= 2; i++) {
		finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
		vm = when_it("vm", is_waiting);
		assert_int_equal(vm->status->starts, i);
		assert_int_equal(vm->status->restarts, 0);
		message_free(vm);
	}
	/* What waits can be deleted, and one of its name has nothing of it. */
	expect(delete ("vm"), ERROR_NONE);
	expect(define(&wish), ERROR_NONE);
	check_state("vm", STATE(DEFINED), REASON(EXIT_REASON_UNSPECIFIED));
	expect(stop("vm", false), ERROR_CONFLICT);
}

static void test_change_while_waiting(void **state)
{
	struct wish wish = { "vm", "croft.test=broken", WHEN(always), 0, 300 };

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_waiting);
	wish.when = WHEN(never);
	expect(change(&wish), ERROR_NONE);
	until("vm", has_ended);
	/* A policy that comes later takes nothing back. */
	wish.when = WHEN(always);
	expect(change(&wish), ERROR_NONE);
	until("vm", has_ended);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_waiting);
	wish.limit = 1;
	wish.backoff = 0;
	expect(change(&wish), ERROR_NONE);
	until("vm", is_left_alone);
}

/* A start that is refused is one that has failed. */
static void test_image_gone(void **state)
{
	const struct wish wish = { "vm", "croft.test=poweroff", WHEN(always), 2, 0 };
	char path[300];
	DIR *d;
	struct dirent *e;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	snprintf(path, sizeof(path), "%s/state/blobs", dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	call_free(start("vm"));
	vm = when_it("vm", is_left_alone);
	assert_int_equal(vm->status->exit_reason, REASON(load_failed));
	assert_int_equal(vm->status->restarts, 2);
	assert_int_equal(vm->status->starts, 0);
	message_free(vm);
}

static void cordon(bool cordoned)
{
	if (cordoned)
		expect(help_call(service, "croft.v1.NodeService/CordonNode",
				 message_new(&croft__v1__cordon_node_request__descriptor)),
		       ERROR_NONE);
	else
		expect(help_call(service, "croft.v1.NodeService/UncordonNode",
				 message_new(&croft__v1__uncordon_node_request__descriptor)),
		       ERROR_NONE);
}

/* The node's cordon is obeyed, and what was due is started when it is lifted. */
static void test_cordon(void **state)
{
	struct wish wish = { "vm", "croft.test=broken", WHEN(on_failure), 1, 300 };
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_waiting);
	cordon(true);
	wish.backoff = 0;
	expect(change(&wish), ERROR_NONE);
	/* It is due, and each of these is asked after that. */
	for (unsigned int i = 0; i < 20; i++) {
		vm = get("vm");
		assert_true(is_waiting(vm->status));
		assert_int_equal(vm->status->restarts, 0);
		message_free(vm);
	}
	cordon(false);
	vm = when_it("vm", is_left_alone);
	assert_int_equal(vm->status->restarts, 1);
	message_free(vm);
}

static void test_drain(void **state)
{
	const struct wish waits = { "a", "croft.test=broken", WHEN(always), 0, 300 },
			  runs = { "b", "croft.test=spin", WHEN(always), 0, 0 };
	Croft__V1__DrainNodeRequest *request =
		message_new(&croft__v1__drain_node_request__descriptor);

	(void)state;
	pull_tiny();
	expect(define(&waits), ERROR_NONE);
	expect(define(&runs), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	finish_as(start("b"), OPERATION(SUCCEEDED), NULL);
	until("a", is_waiting);
	request->deadline = message_new(&google__protobuf__duration__descriptor);
	finish_as(help_call(service, "croft.v1.NodeService/DrainNode", request),
		  OPERATION(SUCCEEDED), NULL);
	until("a", has_ended);
	until("b", has_ended);
	cordon(false);
	until("a", has_ended);
	until("b", has_ended);
}

/* The agent ends, and the next one goes on. */
static void test_next_agent(void **state)
{
	const struct wish wishes[] = {
		{ "always", "croft.test=spin", WHEN(always), 1, 0 },
		{ "failure", "croft.test=spin", WHEN(on_failure), 1, 0 },
		{ "never", "croft.test=spin", WHEN(never), 1, 0 },
		{ "stopped", "croft.test=spin", WHEN(always), 1, 0 },
		{ "waiting", "croft.test=broken", WHEN(always), 0, 300 },
	};
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		expect(define(&wishes[i]), ERROR_NONE);
		finish_as(start(wishes[i].name), OPERATION(SUCCEEDED), NULL);
	}
	finish_as(stop("stopped", true), OPERATION(SUCCEEDED), NULL);
	until("waiting", is_waiting);
	/* The end of the agent does not count: the limit is 1. */
	for (uint64_t i = 1; i <= 3; i++) {
		service = service_free(service);
		start_service();
		until("always", runs_again);
		until("failure", runs_again);
		vm = get("always");
		assert_int_equal(vm->status->restarts, i);
		message_free(vm);
	}
	check_state("never", STATE(STOPPED), REASON(host_shutdown));
	check_state("stopped", STATE(STOPPED), REASON(force_stopped));
	vm = when_it("waiting", is_waiting);
	assert_int_equal(vm->status->restarts, 0);
	message_free(vm);
	finish_as(start("waiting"), OPERATION(SUCCEEDED), NULL);
}

/* A start that hangs is given up, and a failure like others; but the next one waits until it has come back. */
static void test_start_timeout(void **state)
{
	const struct wish wish = { "slow", "", WHEN(on_failure), 2, 0 };
	const struct wish never = { "never", "", WHEN(never), 0, 0 };
	char path[400];
	Croft__V1__Vm *vm;
	int fd;

	(void)state;
	set_start_timeout(1);
	pull_tiny();
	block_kernel(path, sizeof(path));
	expect(define(&wish), ERROR_NONE);
	expect(define(&never), ERROR_NONE);
	finish_as(start("slow"), OPERATION(FAILED), "DEADLINE");
	finish_as(start("never"), OPERATION(FAILED), "DEADLINE");
	vm = when_it("slow", is_waiting);
	assert_int_equal(vm->status->state, STATE(FAILED));
	assert_int_equal(vm->status->exit_reason, REASON(start_timeout));
	assert_int_equal(vm->status->restarts, 0);
	message_free(vm);
	expect(start("slow"), ERROR_CONFLICT);
	/* A pipe is no kernel: the next ones fail, and by themselves. */
	set_start_timeout(3600);
	fd = unblock_kernel(path);
	vm = when_it("slow", is_left_alone);
	assert_int_equal(vm->status->exit_reason, REASON(load_failed));
	assert_int_equal(vm->status->restarts, 2);
	message_free(vm);
	check_state("never", STATE(FAILED), REASON(start_timeout));
	close(fd);
}

/* The hour's count is the next agent's, too. */
static void test_count_is_kept(void **state)
{
	const struct wish wish = { "vm", "croft.test=reboot", WHEN(always), 3, 0 };
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(define(&wish), ERROR_NONE);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", runs_again);
	service = service_free(service);
	start_service();
	vm = when_it("vm", is_left_alone);
	/* Its own three, and the one of the new agent when it found the guest running. */
	assert_in_range(vm->status->restarts, 3, 4);
	message_free(vm);
	service = service_free(service);
	start_service();
	until("vm", is_left_alone);
	check_state("vm", STATE(STOPPED), REASON(guest_reset));
}

/* --- The desired state --- */

static void put_desired(const struct wish *wish, Croft__V1__DesiredVm__Power power)
{
	Croft__V1__PutDesiredRequest *request =
		message_new(&croft__v1__put_desired_request__descriptor);
	Croft__V1__DesiredSpec *spec = message_new(&croft__v1__desired_spec__descriptor);
	Croft__V1__DesiredVm *vm = message_new(&croft__v1__desired_vm__descriptor);

	request->desired = message_new(&croft__v1__desired__descriptor);
	request->desired->spec = spec;
	message_set_string(&vm->name, wish->name);
	vm->power = power;
	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&vm->spec->image, "tiny");
	message_set_string(&vm->spec->cmdline_append, wish->append);
	vm->spec->vcpus = 1;
	vm->spec->no_network = true;
	vm->spec->memory_bytes = 64 * MIB;
	vm->spec->restart = make_policy(wish);
	assert_int_equal(message_append(&spec->vms, &spec->n_vms, vm), 0);
	expect(help_call(service, "croft.v1.DesiredService/PutDesired", request), ERROR_NONE);
}

/* Waits until the document's VM is so; NULL for in sync. */
static void until_desired(const char *message)
{
	for (;;) {
		struct call *call =
			help_call(service, "croft.v1.DesiredService/GetDesired",
				  message_new(&croft__v1__get_desired_request__descriptor));
		const Croft__V1__Desired *desired = (const void *)call->reply;
		bool there = desired && desired->status->in_sync && !message;

		for (size_t i = 0; desired && message && i < desired->status->n_objects; i++)
			there = there || strstr(desired->status->objects[i]->message, message);
		call_free(call);
		if (there)
			return;
		usleep(5000);
	}
}

/* ON starts it; what follows its end is its policy's, when it has one. */
static void test_desired(void **state)
{
	struct wish wish = { "vm", "croft.test=poweroff", WHEN(on_failure), 2, 0 };
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	put_desired(&wish, CROFT__V1__DESIRED_VM__POWER__ON);
	vm = when_it("vm", has_ended);
	until_desired(NULL);
	assert_int_equal(vm->status->starts, 1);
	message_free(vm);
	/* It has done its work, and a document that says the same does not change that. */
	put_desired(&wish, CROFT__V1__DESIRED_VM__POWER__ON);
	until_desired(NULL);
	vm = get("vm");
	assert_int_equal(vm->status->starts, 1);
	message_free(vm);

	wish.append = "croft.test=panic";
	put_desired(&wish, CROFT__V1__DESIRED_VM__POWER__ON);
	until_desired(NULL);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_left_alone);
	until_desired("left alone");
	vm = get("vm");
	assert_int_equal(vm->status->restarts, 2);
	message_free(vm);

	wish.append = "croft.test=broken";
	wish.backoff = 300;
	put_desired(&wish, CROFT__V1__DESIRED_VM__POWER__POWER_UNSPECIFIED);
	until_desired(NULL);
	finish_as(start("vm"), OPERATION(SUCCEEDED), NULL);
	until("vm", is_waiting);
	/* OFF is a stop. */
	put_desired(&wish, CROFT__V1__DESIRED_VM__POWER__OFF);
	until_desired(NULL);
	until("vm", has_ended);
}

/* --- What is refused --- */

static void refuse(const struct wish *wish, int64_t seconds, int32_t nanos, const char *field)
{
	Croft__V1__RestartPolicy *policy = make_policy(wish);
	struct error error = { .code = ERROR_NONE };

	policy->backoff->seconds = seconds;
	policy->backoff->nanos = nanos;
	assert_true(restart_validate(policy, &error) < 0);
	assert_string_equal(error.field, field);
	message_free(policy);
}

static void test_refusals(void **state)
{
	const struct wish good = { "vm", "", WHEN(always), 1000, 300 },
			  many = { "vm", "", WHEN(always), 1001, 0 },
			  odd = { "vm", "", (when_t)4, 0, 0 };
	Croft__V1__RestartPolicy *policy = make_policy(&good);

	(void)state;
	assert_int_equal(restart_validate(NULL, NULL), 0);
	assert_int_equal(restart_validate(policy, NULL), 0);
	message_free(policy);
	refuse(&many, 0, 0, "/spec/restart/limit");
	refuse(&odd, 0, 0, "/spec/restart/when");
	refuse(&good, 300, 1, "/spec/restart/backoff");
	refuse(&good, -1, 0, "/spec/restart/backoff");
	refuse(&good, 0, -1, "/spec/restart/backoff");
	refuse(&good, 1, 1000000000, "/spec/restart/backoff");
	refuse(&good, INT64_MAX, 0, "/spec/restart/backoff");
	pull_tiny();
	expect(define(&many), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_hour),
		cmocka_unit_test(test_other_boot),
		TEST(test_ends),
		TEST(test_records),
		TEST(test_stop_while_waiting),
		TEST(test_start_while_waiting),
		TEST(test_change_while_waiting),
		TEST(test_image_gone),
		TEST(test_cordon),
		TEST(test_drain),
		TEST(test_next_agent),
		TEST(test_start_timeout),
		TEST(test_count_is_kept),
		TEST(test_desired),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
