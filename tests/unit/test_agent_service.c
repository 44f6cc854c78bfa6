// SPDX-License-Identifier: Apache-2.0
// The service through its calls, with the fake backend: VMs' states, consoles, lists, restarts.

#include "tests/unit/agent_world.h"

/* --- VMs --- */

static void test_life(void **state)
{
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	expect(create("web1", ""), ERROR_ALREADY_EXISTS);
	check_state("web1", STATE(DEFINED), REASON(EXIT_REASON_UNSPECIFIED));
	expect(stop("web1", true), ERROR_CONFLICT);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	check_state("web1", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
	expect(start("web1"), ERROR_CONFLICT);
	expect(delete ("web1"), ERROR_CONFLICT);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	check_state("web1", STATE(STOPPED), REASON(force_stopped));
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	vm = get("web1");
	assert_int_equal(vm->status->starts, 2);
	assert_int_equal(strlen(vm->uid), 36);
	assert_non_null(vm->status->start_time);
	assert_null(vm->status->exit_time);
	assert_string_equal(vm->status->operation, "");
	croft__v1__vm__free_unpacked(vm, NULL);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	assert_int_equal(count_files("vms"), 1);
	expect(delete ("web1"), ERROR_NONE);
	expect(delete ("web1"), ERROR_NOT_FOUND);
	wait_files("vms", 0);
}

static void test_guest_is_asked(void **state)
{
	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	/* Pressed before the guest has a driver for it, the key is still pending when it has. */
	finish_as(stop("web1", false), OPERATION(SUCCEEDED), NULL);
	check_state("web1", STATE(STOPPED), REASON(guest_poweroff));
	expect(ask("web1", 1, 0), ERROR_CONFLICT);
}

static void test_guest_ignores(void **state)
{
	(void)state;
	pull_tiny();
	expect(create("spin", "croft.test=spin"), ERROR_NONE);
	finish_as(start("spin"), OPERATION(SUCCEEDED), NULL);
	finish_as(ask("spin", 0, 50000000), OPERATION(SUCCEEDED), NULL);
	check_state("spin", STATE(STOPPED), REASON(force_stopped));
	finish_as(start("spin"), OPERATION(SUCCEEDED), NULL);
	finish_as(ask("spin", 0, 0), OPERATION(SUCCEEDED), NULL);
	check_state("spin", STATE(STOPPED), REASON(force_stopped));
}

static char *name_of(struct call *call)
{
	char *name;

	assert_non_null(call->reply);
	name = strdup(((Croft__V1__Operation *)(void *)call->reply)->name);
	assert_non_null(name);
	call_free(call);
	return name;
}

/* Cancelled, the VM goes on; then force cuts the wait short. */
static void test_stop_is_cancelled_or_forced(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *forced = NULL;
	struct call *call;

	(void)state;
	pull_tiny();
	expect(create("spin", "croft.test=spin"), ERROR_NONE);
	finish_as(start("spin"), OPERATION(SUCCEEDED), NULL);
	call = ask("spin", 600, 0);
	assert_non_null(call->reply);
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->step,
			    "waiting for the guest to end, at most 600 s");
	first = name_of(call);
	check_state("spin", STATE(STOPPING), REASON(EXIT_REASON_UNSPECIFIED));
	expect(ask("spin", 600, 0), ERROR_CONFLICT);
	call = help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, first));
	assert_non_null(call->reply);
	assert_int_equal(((Croft__V1__Operation *)(void *)call->reply)->state,
			 OPERATION(CANCELLED));
	call_free(call);
	check_state("spin", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, first)),
	       ERROR_CONFLICT);
	second = name_of(ask("spin", 600, 0));
	assert_string_not_equal(first, second);
	call = stop("spin", true);
	assert_non_null(call->reply);
	forced = strdup(((Croft__V1__Operation *)(void *)call->reply)->name);
	assert_string_equal(forced, second);
	finish_as(call, OPERATION(SUCCEEDED), NULL);
	check_state("spin", STATE(STOPPED), REASON(force_stopped));
}

static void test_bad_deadline(void **state)
{
	static const struct {
		int64_t seconds;
		int32_t nanos;
	} bad[] = { { -1, 0 }, { 0, -1 }, { 601, 0 }, { 600, 1 }, { 1, 1000000000 } };
	Croft__V1__StopVmRequest *request;
	struct call *call;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		call = ask("web1", bad[i].seconds, bad[i].nanos);
		assert_string_equal(call->error.field, "/deadline");
		expect(call, ERROR_INVALID_ARGUMENT);
	}
	request = NAMED(stop_vm_request, "web1");
	request->force = true;
	request->deadline = message_new(&google__protobuf__duration__descriptor);
	call = help_call(service, "croft.v1.Vms/StopVm", request);
	assert_string_equal(call->error.field, "/deadline");
	expect(call, ERROR_INVALID_ARGUMENT);
	check_state("web1", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
}

static void test_ends(void **state)
{
	static const struct {
		const char *test;
		Croft__V1__VmStatus__State state;
		Croft__V1__VmStatus__ExitReason reason;
	} ends[] = {
		{ "poweroff", STATE(STOPPED), REASON(guest_poweroff) },
		{ "reboot", STATE(STOPPED), REASON(guest_reset) },
		{ "panic", STATE(STOPPED), REASON(guest_reset) },
		{ "broken", STATE(FAILED), REASON(vmm_crash) },
	};

	(void)state;
	pull_tiny();
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		char append[64];

		snprintf(append, sizeof(append), "croft.test=%s", ends[i].test);
		expect(create(ends[i].test, append), ERROR_NONE);
		finish_as(start(ends[i].test), OPERATION(SUCCEEDED), NULL);
		wait_state(ends[i].test, ends[i].state);
		check_state(ends[i].test, ends[i].state, ends[i].reason);
		expect(delete (ends[i].test), ERROR_NONE);
	}
}

static void test_spinning_guest_is_stopped(void **state)
{
	Croft__V1__VmStats *stats;
	struct call *call;

	(void)state;
	pull_tiny();
	expect(create("spin", "croft.test=spin"), ERROR_NONE);
	finish_as(start("spin"), OPERATION(SUCCEEDED), NULL);
	call = help_call(service, "croft.v1.Vms/GetVmStats", NAMED(get_vm_stats_request, "spin"));
	stats = (void *)call->reply;
	assert_non_null(stats);
	assert_int_equal(stats->n_vcpus, 1);
	assert_int_equal(stats->n_disks, 1);
	assert_string_equal(stats->disks[0]->name, "root");
	assert_true(stats->memory_configured_bytes == 64 * MIB);
	assert_true(stats->n_measured > 0);
	call_free(call);
	finish_as(stop("spin", true), OPERATION(SUCCEEDED), NULL);
	call = help_call(service, "croft.v1.Vms/GetVmStats", NAMED(get_vm_stats_request, "spin"));
	expect(call, ERROR_CONFLICT);
}

static void test_revisions(void **state)
{
	uint64_t revision;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	vm = get("web1");
	revision = vm->revision;
	croft__v1__vm__free_unpacked(vm, NULL);
	assert_true(revision > 0);
	expect(help_call_match(service, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "web1"),
			       revision + 1),
	       ERROR_PRECONDITION);
	finish_as(help_call_match(service, "croft.v1.Vms/StartVm", NAMED(start_vm_request, "web1"),
				  revision),
		  OPERATION(SUCCEEDED), NULL);
	expect(help_call_match(service, "croft.v1.Vms/StopVm", NAMED(stop_vm_request, "web1"),
			       revision),
	       ERROR_PRECONDITION);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	expect(help_call_match(service, "croft.v1.Vms/DeleteVm", NAMED(delete_vm_request, "web1"),
			       revision),
	       ERROR_PRECONDITION);
	vm = get("web1");
	revision = vm->revision;
	croft__v1__vm__free_unpacked(vm, NULL);
	expect(help_call_match(service, "croft.v1.Vms/DeleteVm", NAMED(delete_vm_request, "web1"),
			       revision),
	       ERROR_NONE);
	expect(help_call_match(service, "croft.v1.Images/DeleteImage",
			       NAMED(delete_image_request, "tiny"), 1000),
	       ERROR_PRECONDITION);
}

static void test_no_image(void **state)
{
	struct call *call;

	(void)state;
	call = create("web1", "");
	assert_string_equal(call->error.field, "/spec/image");
	expect(call, ERROR_INVALID_ARGUMENT);
	expect(start("nobody"), ERROR_NOT_FOUND);
	expect(stop("nobody", true), ERROR_NOT_FOUND);
	expect(help_call(service, "croft.v1.Vms/CreateVm",
			 message_new(&croft__v1__create_vm_request__descriptor)),
	       ERROR_INVALID_ARGUMENT);
	expect(help_call(service, "croft.v1.Images/PullImage",
			 message_new(&croft__v1__pull_image_request__descriptor)),
	       ERROR_INVALID_ARGUMENT);
}

/* A kernel that is none: the start fails, the VM is FAILED, and another can run. */
static void test_load_failed(void **state)
{
	static const char noise[4096] = "this is no kernel";
	static char manifest[512];
	char sha[DIGEST_HEX];
	struct call *call;

	(void)state;
	help_sha256(sha, noise, sizeof(noise));
	snprintf(
		manifest, sizeof(manifest),
		"{\"name\":\"n\",\"version\":\"1\",\"kernel\":{\"url\":\"noise\",\"sha256\":\"%s\",\"size\":4096},"
		"\"disks\":[{\"name\":\"root\",\"url\":\"noise\",\"sha256\":\"%s\",\"size\":4096}]}",
		sha, sha);
	help_web_add(web,
		     (struct help_page){ .path = "/noise", .body = noise, .size = sizeof(noise) });
	help_web_add(web, (struct help_page){ .path = "/bad.json",
					      .body = manifest,
					      .size = strlen(manifest) });
	call = pull("tiny", help_web_url(web, "/bad.json"));
	finish_as(call, OPERATION(SUCCEEDED), NULL);
	expect(create("web1", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(FAILED), "CONFLICT");
	check_state("web1", STATE(FAILED), REASON(load_failed));
	finish_as(start("web1"), OPERATION(FAILED), "CONFLICT");
	expect(delete ("web1"), ERROR_NONE);
}

static void test_start_timeout(void **state)
{
	char path[400];
	int fd;

	(void)state;
	set_start_timeout(1);
	pull_tiny();
	block_kernel(path, sizeof(path));
	expect(create("web1", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(FAILED), "DEADLINE");
	check_state("web1", STATE(FAILED), REASON(start_timeout));
	/* Its worker still hangs. */
	expect(start("web1"), ERROR_CONFLICT);
	expect(delete ("web1"), ERROR_CONFLICT);
	fd = unblock_kernel(path);
	for (;;) {
		struct call *call = delete ("web1");
		enum error_code code = call->error.code;

		call_free(call);
		if (code == ERROR_NONE)
			break;
		assert_int_equal(code, ERROR_CONFLICT);
		usleep(5000);
	}
	close(fd);
	wait_files("vms", 0);
}

static void test_start_cancelled(void **state)
{
	struct call *call;
	char path[400];
	int fd;

	(void)state;
	pull_tiny();
	block_kernel(path, sizeof(path));
	expect(create("web1", ""), ERROR_NONE);
	call = start("web1");
	assert_non_null(call->reply);
	expect(start("web1"), ERROR_CONFLICT);
	expect(stop("web1", true), ERROR_CONFLICT);
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, "op-2")),
	       ERROR_NONE);
	fd = unblock_kernel(path);
	finish_as(call, OPERATION(CANCELLED), "CANCELLED");
	close(fd);
	check_state("web1", STATE(DEFINED), REASON(EXIT_REASON_UNSPECIFIED));
	expect(delete ("web1"), ERROR_NONE);
}

/* --- Console --- */

static void test_console(void **state)
{
	Croft__V1__WriteConsoleRequest *request;
	Croft__V1__ReadConsoleResponse *r;
	struct call *call;
	uint64_t at;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	r = read_console("web1", 0, 30);
	assert_true(r->ended && r->data.len == 0);
	croft__v1__read_console_response__free_unpacked(r, NULL);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	at = 0;
	do {
		r = read_console("web1", at, 30);
		assert_false(r->ended);
		at = r->next_offset;
		assert_true(r->data.len > 0);
		call = NULL;
		if (memchr(r->data.data, '>', r->data.len))
			call = (void *)r;
		croft__v1__read_console_response__free_unpacked(r, NULL);
	} while (!call);

	request = NAMED(write_console_request, "web1");
	request->data.data = (void *)strdup("hello");
	request->data.len = 5;
	call = help_call(service, "croft.v1.Vms/WriteConsole", request);
	assert_non_null(call->reply);
	assert_int_equal(((Croft__V1__WriteConsoleResponse *)(void *)call->reply)->accepted_bytes,
			 5);
	call_free(call);
	r = read_console("web1", at, 30);
	assert_true(r->data.len > 0 && r->data.data[0] == 'h');
	at = r->next_offset;
	croft__v1__read_console_response__free_unpacked(r, NULL);

	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	do {
		r = read_console("web1", at, 30);
		at = r->next_offset;
		call = r->ended ? NULL : (void *)r;
		croft__v1__read_console_response__free_unpacked(r, NULL);
	} while (call);
	request = NAMED(write_console_request, "web1");
	expect(help_call(service, "croft.v1.Vms/WriteConsole", request), ERROR_CONFLICT);
}

/* A reader that waits is answered when the VM ends, and one whose client has gone at once. */
static void test_console_waits(void **state)
{
	Croft__V1__ReadConsoleRequest *request[2];
	struct call *call[2];

	(void)state;
	pull_tiny();
	expect(create("web1", "croft.test=spin"), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	for (size_t i = 0; i < 2; i++) {
		request[i] = NAMED(read_console_request, "web1");
		request[i]->offset = 1000000;
		request[i]->wait = message_new(&google__protobuf__duration__descriptor);
		request[i]->wait->seconds = 30;
		call[i] = help_post(service, "croft.v1.Vms/ReadConsole", (void *)request[i]);
	}
	usleep(50000);
	assert_false(help_done(call[0]));
	assert_false(help_done(call[1]));
	service_cancel(service, call[0]);
	help_wait(call[0]);
	expect(call[0], ERROR_CANCELLED);
	assert_false(help_done(call[1]));
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	help_wait(call[1]);
	assert_true(((Croft__V1__ReadConsoleResponse *)(void *)call[1]->reply)->ended);
	expect(call[1], ERROR_NONE);
}

/* --- Lists, node, restart --- */

static void test_pages(void **state)
{
	Croft__V1__ListVmsRequest *request;
	Croft__V1__ListVmsResponse *reply;
	char token[64] = "";
	size_t seen = 0;
	struct call *call;

	(void)state;
	pull_tiny();
	for (int i = 0; i < 25; i++) {
		char name[16];

		snprintf(name, sizeof(name), "vm%02d", i);
		expect(create(name, ""), ERROR_NONE);
	}
	do {
		request = message_new(&croft__v1__list_vms_request__descriptor);
		request->page_size = 10;
		message_set_string(&request->page_token, token);
		call = help_call(service, "croft.v1.Vms/ListVms", request);
		reply = (void *)call->reply;
		assert_non_null(reply);
		for (size_t i = 0; i < reply->n_vms; i++) {
			char name[16];

			snprintf(name, sizeof(name), "vm%02zu", seen++);
			assert_string_equal(reply->vms[i]->name, name);
		}
		snprintf(token, sizeof(token), "%s", reply->next_page_token);
		call_free(call);
	} while (token[0]);
	assert_int_equal(seen, 25);
	request = message_new(&croft__v1__list_vms_request__descriptor);
	request->page_size = 1001;
	expect(help_call(service, "croft.v1.Vms/ListVms", request), ERROR_INVALID_ARGUMENT);
}

static void test_node(void **state)
{
	Croft__V1__CheckHealthRequest *request;
	struct call *call;

	(void)state;
	call = help_call(service, "croft.v1.NodeService/GetNode",
			 message_new(&croft__v1__get_node_request__descriptor));
	assert_string_equal(((Croft__V1__Node *)(void *)call->reply)->status->hypervisor, "fake");
	expect(call, ERROR_NONE);
	for (int i = 0; i < 2; i++) {
		request = message_new(&croft__v1__check_health_request__descriptor);
		message_set_string(&request->kind, i ? "ready" : "live");
		call = help_call(service, "croft.v1.NodeService/CheckHealth", request);
		assert_true(((Croft__V1__Health *)(void *)call->reply)->ok);
		expect(call, ERROR_NONE);
	}
	request = message_new(&croft__v1__check_health_request__descriptor);
	expect(help_call(service, "croft.v1.NodeService/CheckHealth", request),
	       ERROR_INVALID_ARGUMENT);
	for (size_t i = 0; i < service_method_count; i++)
		assert_ptr_equal(service_method_find(service_methods[i].name), &service_methods[i]);
	assert_null(service_method_find("croft.v1.Vms/Fly"));
}

/* An orderly stop ends the guests; everything is there again afterwards, the numbers go on. */
static void test_restart(void **state)
{
	Croft__V1__Operation *op;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	service_free(service);
	start_service();
	check_state("web1", STATE(STOPPED), REASON(host_shutdown));
	op = finish(start("web1"));
	assert_string_equal(op->name, "op-3");
	assert_int_equal(op->state, OPERATION(SUCCEEDED));
	croft__v1__operation__free_unpacked(op, NULL);
	expect(help_call(service, "croft.v1.Operations/GetOperation",
			 NAMED(get_operation_request, "op-1")),
	       ERROR_NONE);
}

/* What a kill -9 leaves: the state directory as it is at that moment. */
static void test_crash(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static char text[512];
	static char page[65536];
	struct config *old = config;
	char command[700];
	struct call *call;

	(void)state;
	pull_tiny();
	expect(create("web1", ""), ERROR_NONE);
	expect(create("web2", ""), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	serve_manifest("/stalls.json", text, "stalls", zeros, 65536);
	help_web_add(web, (struct help_page){
				  .path = "/stalls", .body = page, .size = 65536, .stalls = true });
	expect(pull("slow", help_web_url(web, "/stalls.json")), ERROR_NONE);
	while (count_files("blobs") != 4)
		usleep(1000);
	snprintf(command, sizeof(command), "mkdir %s/copy && cp -a %s/state %s/copy/state", dir,
		 dir, dir);
	assert_int_equal(system(command), 0);
	service_free(service);

	snprintf(command, sizeof(command), "%s/copy", dir);
	config = help_config(command);
	/* The server does not know ranges, and what it has is not what the manifest says. */
	help_web_add(web, (struct help_page){ .path = "/stalls", .body = page, .size = 65536 });
	start_service();
	check_state("web1", STATE(STOPPED), REASON(vmm_crash));
	check_state("web2", STATE(DEFINED), REASON(EXIT_REASON_UNSPECIFIED));
	/* The pull has gone on as the operation that it was. */
	call = help_call(service, "croft.v1.Operations/WaitOperation",
			 NAMED(wait_operation_request, "op-3"));
	assert_int_equal(((Croft__V1__Operation *)(void *)call->reply)->state, OPERATION(FAILED));
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->error->code, "CONFLICT");
	call_free(call);
	call = help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "slow"));
	assert_int_equal(((Croft__V1__Image *)(void *)call->reply)->status->state,
			 CROFT__V1__IMAGE_STATUS__STATE__FAILED);
	call_free(call);
	/* The half of a file that was there is gone, and the VM runs again. */
	snprintf(command, sizeof(command), "test $(ls -A %s/copy/state/blobs | grep -cv trash) = 3",
		 dir);
	assert_int_equal(system(command), 0);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	config_free(old);
}

/* Calls that wait when the agent ends are answered; the pull that runs is gone on with by the next one. */
static void test_stop_answers(void **state)
{
	static char text[512];
	static char page[65536];
	char sha[DIGEST_HEX];
	struct call *call, *wait;

	(void)state;
	memset(page, 5, sizeof(page));
	help_sha256(sha, page, sizeof(page));
	serve_manifest("/stalls.json", text, "stalls", sha, 65536);
	help_web_add(web, (struct help_page){
				  .path = "/stalls", .body = page, .size = 65536, .stalls = true });
	call = pull("slow", help_web_url(web, "/stalls.json"));
	expect(call, ERROR_NONE);
	wait = help_post(service, "croft.v1.Operations/WaitOperation",
			 NAMED(wait_operation_request, "op-1"));
	service_free(service);
	assert_true(help_done(wait));
	help_wait(wait);
	assert_int_equal(wait->error.code, ERROR_UNAVAILABLE);
	call_free(wait);
	help_web_add(web, (struct help_page){ .path = "/stalls", .body = page, .size = 65536 });
	start_service();
	call = help_call(service, "croft.v1.Operations/WaitOperation",
			 NAMED(wait_operation_request, "op-1"));
	assert_int_equal(((Croft__V1__Operation *)(void *)call->reply)->state,
			 OPERATION(SUCCEEDED));
	call_free(call);
	assert_int_equal(count_files("blobs"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life),
		TEST(test_guest_is_asked),
		TEST(test_guest_ignores),
		TEST(test_stop_is_cancelled_or_forced),
		TEST(test_bad_deadline),
		TEST(test_ends),
		TEST(test_spinning_guest_is_stopped),
		TEST(test_revisions),
		TEST(test_no_image),
		TEST(test_load_failed),
		TEST(test_start_timeout),
		TEST(test_start_cancelled),
		TEST(test_console),
		TEST(test_console_waits),
		TEST(test_pages),
		TEST(test_node),
		TEST(test_restart),
		TEST(test_crash),
		TEST(test_stop_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
