// SPDX-License-Identifier: Apache-2.0
// Idempotency keys and the audit: one answer for one key, also over a restart; one record for each change or refusal.

#include "tests/unit/agent_world.h"

#include <sqlite3.h>

#include "agent/audit.h"
#include "agent/idempotency.h"
#include "agent/state.h"
#include "croft/state/v1/kept.pb-c.h"
#include "croft/v1/audit.pb-c.h"

/* Who sends a request, with which key. */
struct sender {
	const char *actor, *key;
	unsigned int roles;
};

static void note_done(struct call *call)
{
	atomic_store((atomic_bool *)call->data, true);
}

static struct call *send_call(const struct sender *sender, const char *method, void *request)
{
	struct call *call = calloc(1, sizeof(*call));
	atomic_bool done = false;

	assert_non_null(call);
	call->method = service_method_find(method);
	assert_non_null(call->method);
	call->request = request;
	snprintf(call->who.actor, sizeof(call->who.actor), "%s", sender->actor);
	snprintf(call->who.peer, sizeof(call->who.peer), "unix:pid=1");
	snprintf(call->idempotency_key, sizeof(call->idempotency_key), "%s",
		 sender->key ? sender->key : "");
	call->who.roles = sender->roles ? sender->roles : ROLE_OPERATOR;
	call->done = note_done;
	call->data = &done;
	service_post(service, call);
	while (!atomic_load(&done))
		usleep(500);
	return call;
}

static void *vm_request(const char *name, uint64_t memory)
{
	Croft__V1__CreateVmRequest *request =
		message_new(&croft__v1__create_vm_request__descriptor);

	request->vm = message_new(&croft__v1__vm__descriptor);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&request->vm->name, name);
	message_set_string(&request->vm->spec->image, "tiny");
	request->vm->spec->vcpus = 1;
	request->vm->spec->memory_bytes = memory;
	return request;
}

static struct call *send_vm(const struct sender *sender, const char *name, uint64_t memory)
{
	return send_call(sender, "croft.v1.Vms/CreateVm", vm_request(name, memory));
}

static void same_vm(struct call *call, const char *uid, uint64_t revision)
{
	const Croft__V1__Vm *vm = (const void *)call->reply;

	if (!vm)
		fail_msg("%s", call->error.message);
	assert_string_equal(vm->uid, uid);
	assert_true(vm->revision == revision);
	call_free(call);
}

static void restart(void)
{
	service_free(service);
	start_service();
}

static void test_one_key_one_vm(void **state)
{
	const struct sender a = { "a", "k1", 0 }, other = { "b", "k1", 0 }, next = { "a", "k2", 0 };
	struct call *first;
	const Croft__V1__Vm *vm;
	char uid[64];
	uint64_t revision;

	(void)state;
	pull_tiny();
	first = send_vm(&a, "web1", 64 * MIB);
	assert_non_null(first->reply);
	vm = (const void *)first->reply;
	snprintf(uid, sizeof(uid), "%s", vm->uid);
	revision = vm->revision;
	call_free(first);

	same_vm(send_vm(&a, "web1", 64 * MIB), uid, revision);
	/* Another request, another actor, another key: none is a repetition. */
	expect(send_vm(&a, "web1", 128 * MIB), ERROR_INVALID_ARGUMENT);
	expect(send_vm(&other, "web1", 64 * MIB), ERROR_ALREADY_EXISTS);
	expect(send_vm(&next, "web1", 64 * MIB), ERROR_ALREADY_EXISTS);
	/* The key is the actor's for this method alone. */
	finish_as(send_call(&a, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "web1")),
		  OPERATION(SUCCEEDED), NULL);
	finish_as(send_call(&a, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "web1")),
		  OPERATION(SUCCEEDED), NULL);

	restart();
	same_vm(send_vm(&a, "web1", 64 * MIB), uid, revision);
}

static void test_failures_and_dry_runs_are_not_kept(void **state)
{
	const struct sender a = { "a", "k", 0 };
	Croft__V1__CreateVmRequest *request;
	struct call *call;

	(void)state;
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_INVALID_ARGUMENT);
	pull_tiny();
	request = vm_request("web2", 64 * MIB);
	request->dry_run = true;
	expect(send_call(&a, "croft.v1.Vms/CreateVm", request), ERROR_NONE);
	call = send_vm(&a, "web1", 64 * MIB);
	expect(call, ERROR_NONE);
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_NONE);
}

/* Makes the one answer in the store that much older. */
static void age(int64_t seconds)
{
	Croft__State__V1__KeptAnswer *kept;
	uint8_t bytes[4096];
	sqlite3_stmt *stmt;
	char path[300];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/state/croft.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT body FROM entry WHERE kind = 'idempotency'", -1, &stmt,
			   NULL);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	kept = croft__state__v1__kept_answer__unpack(NULL, (size_t)sqlite3_column_bytes(stmt, 0),
						     sqlite3_column_blob(stmt, 0));
	assert_non_null(kept);
	sqlite3_finalize(stmt);
	kept->time->seconds -= seconds;
	sqlite3_prepare_v2(db, "UPDATE entry SET body = ?1 WHERE kind = 'idempotency'", -1, &stmt,
			   NULL);
	sqlite3_bind_blob(stmt, 1, bytes, (int)croft__state__v1__kept_answer__pack(kept, bytes),
			  SQLITE_STATIC);
	assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	message_free(kept);
}

static void test_expiry(void **state)
{
	const struct sender a = { "a", "k", 0 };

	(void)state;
	pull_tiny();
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_NONE);
	service = service_free(service);
	age(IDEMPOTENCY_SECONDS - 60);
	start_service();
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_NONE);
	service = service_free(service);
	age(60);
	start_service();
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_ALREADY_EXISTS);
}

/* Of a service only what keys need. */
static void begin_bare(struct service *s)
{
	char path[300];
	struct error e;

	*s = (struct service){ 0 };
	s->last_answer = &s->answers;
	snprintf(path, sizeof(path), "%s/bare.db", dir);
	if (store_open(&s->store, path, &e) < 0 || audit_load(s, &e) < 0 ||
	    idempotency_load(s, &e) < 0)
		fail_msg("%s", e.message);
}

static void end_bare(struct service *s)
{
	idempotency_free(s);
	audit_free(s);
	s->store = store_free(s->store);
}

static struct call bare_call(const char *key, uint64_t memory)
{
	struct call call = { .method = service_method_find("croft.v1.Vms/CreateVm"),
			     .request = vm_request("web1", memory) };

	snprintf(call.who.actor, sizeof(call.who.actor), "a");
	snprintf(call.idempotency_key, sizeof(call.idempotency_key), "%s", key);
	return call;
}

static void drop_bare(struct call *call)
{
	call->request = message_free(call->request);
	call->reply = message_free(call->reply);
}

/* The handler's answer, as the service gives it. */
static void finish_bare(struct service *s, struct call *call, size_t size)
{
	Croft__V1__Vm *vm = message_new(&croft__v1__vm__descriptor);

	assert_int_equal(idempotency_begin(s, call), IDEMPOTENCY_GO_ON);
	vm->name = calloc(1, size + 1);
	memset(vm->name, 'x', size);
	call->reply = &vm->base;
	idempotency_end(s, call);
}

/* The second of its kind waits for the first; after a failure it is the first. */
static void test_in_flight(void **state)
{
	struct call first = bare_call("k", MIB), again = bare_call("k", MIB),
		    other = bare_call("k", 2 * MIB);
	struct service s;

	(void)state;
	begin_bare(&s);
	assert_int_equal(idempotency_begin(&s, &first), IDEMPOTENCY_GO_ON);
	assert_int_equal(idempotency_begin(&s, &again), IDEMPOTENCY_ANSWERED);
	assert_ptr_equal(s.waiting, &again);
	assert_int_equal(idempotency_begin(&s, &other), IDEMPOTENCY_ANSWERED);
	assert_string_equal(other.error.field, "Idempotency-Key");
	assert_non_null(strstr(other.error.message, "\"k\""));
	s.waiting = NULL;
	idempotency_end(&s, &first);

	assert_int_equal(idempotency_begin(&s, &again), IDEMPOTENCY_GO_ON);
	again.reply = message_new(&croft__v1__vm__descriptor);
	message_set_string(&((Croft__V1__Vm *)(void *)again.reply)->uid, "u");
	idempotency_end(&s, &again);
	assert_int_equal(idempotency_begin(&s, &first), IDEMPOTENCY_ANSWERED);
	assert_true(first.replayed);
	assert_string_equal(((Croft__V1__Vm *)(void *)first.reply)->uid, "u");
	drop_bare(&first);
	drop_bare(&again);
	drop_bare(&other);
	end_bare(&s);
}

/* Many answers, and large ones: the oldest go, here and in the store. */
static void test_bounds(void **state)
{
	struct service s;
	char key[32];

	(void)state;
	begin_bare(&s);
	for (unsigned int i = 0; i < IDEMPOTENCY_KEPT + 5; i++) {
		struct call call;

		snprintf(key, sizeof(key), "k%u", i);
		call = bare_call(key, MIB);
		finish_bare(&s, &call, 10);
		drop_bare(&call);
	}
	assert_int_equal(s.idempotency.answers.count, IDEMPOTENCY_KEPT);
	assert_int_equal(s.idempotency.keys.count, IDEMPOTENCY_KEPT);
	for (unsigned int i = 0; i < 20; i++) {
		struct call call;

		snprintf(key, sizeof(key), "large%u", i);
		call = bare_call(key, MIB);
		finish_bare(&s, &call, MIB);
		drop_bare(&call);
		assert_true(s.idempotency.answers.bytes <= IDEMPOTENCY_BYTES + 4096);
	}
	assert_int_equal(s.idempotency.keys.count, s.idempotency.answers.count);
	assert_true(s.idempotency.keys.count < 20);
	end_bare(&s);
}

/* --- The audit --- */

static Croft__V1__ListAuditRecordsResponse *audit(const char *filter, uint32_t size,
						  const char *token)
{
	const struct sender admin = { "root", NULL, ROLE_ADMIN };
	Croft__V1__ListAuditRecordsRequest *request =
		message_new(&croft__v1__list_audit_records_request__descriptor);
	Croft__V1__ListAuditRecordsResponse *reply;
	struct call *call;

	request->page_size = size;
	message_set_string(&request->filter, filter);
	message_set_string(&request->page_token, token);
	call = send_call(&admin, "croft.v1.Audit/ListAuditRecords", request);
	if (!call->reply)
		fail_msg("%s", call->error.message);
	reply = (void *)TAKE_PTR(call->reply);
	call_free(call);
	return reply;
}

static void check_record(const Croft__V1__AuditRecord *r, const char *method, const char *target,
			 const char *code)
{
	assert_string_equal(r->method, method);
	assert_string_equal(r->target, target);
	assert_string_equal(r->code, code);
	assert_string_equal(r->peer, "unix:pid=1");
	assert_int_equal(r->message[0] == '\0', strcmp(code, "OK") == 0);
	assert_non_null(r->time);
}

static void test_audit(void **state)
{
	const struct sender a = { "a", NULL, 0 }, viewer = { "eve", NULL, ROLE_VIEWER },
			    none = { .actor = "nobody", .roles = ROLE_CONSOLE };
	Croft__V1__ListAuditRecordsResponse *reply;
	struct call *call;

	(void)state;
	pull_tiny();
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_NONE);
	expect(send_vm(&a, "web1", 64 * MIB), ERROR_ALREADY_EXISTS);
	call = send_call(&viewer, "croft.v1.Vms/DeleteVm", NAMED(delete_vm_request, "web1"));
	assert_string_equal(call->error.message,
			    "actor \"eve\" has roles viewer; "
			    "croft.v1.Vms/DeleteVm needs one of operator, admin");
	expect(call, ERROR_PERMISSION_DENIED);
	finish_as(send_call(&a, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "web1")),
		  OPERATION(SUCCEEDED), NULL);
	/* Reading is not audited, and not everybody may read the audit. */
	expect(send_call(&viewer, "croft.v1.Vms/GetVm", NAMED(get_vm_request, "web1")), ERROR_NONE);
	expect(send_call(&none, "croft.v1.Audit/ListAuditRecords",
			 message_new(&croft__v1__list_audit_records_request__descriptor)),
	       ERROR_PERMISSION_DENIED);
	restart();

	reply = audit("target=vms/web1", 0, "");
	assert_int_equal(reply->n_records, 4);
	check_record(reply->records[0], "croft.v1.Vms/StartVm", "vms/web1", "OK");
	assert_string_equal(reply->records[0]->operation, "op-2");
	check_record(reply->records[1], "croft.v1.Vms/DeleteVm", "vms/web1", "PERMISSION_DENIED");
	assert_string_equal(reply->records[1]->actor, "eve");
	check_record(reply->records[2], "croft.v1.Vms/CreateVm", "vms/web1", "ALREADY_EXISTS");
	check_record(reply->records[3], "croft.v1.Vms/CreateVm", "vms/web1", "OK");
	assert_string_equal(reply->next_page_token, "");
	message_free(reply);

	reply = audit("actor=a", 2, "");
	assert_int_equal(reply->n_records, 2);
	assert_true(reply->records[0]->number == 5 && reply->records[1]->number == 3);
	assert_string_equal(reply->next_page_token, "3");
	message_free(reply);
	reply = audit("actor=a", 2, "3");
	assert_int_equal(reply->n_records, 1);
	assert_true(reply->records[0]->number == 2);
	message_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_key_one_vm), TEST(test_failures_and_dry_runs_are_not_kept),
		TEST(test_expiry),	   TEST(test_in_flight),
		TEST(test_bounds),	   TEST(test_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
