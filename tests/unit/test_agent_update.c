// SPDX-License-Identifier: Apache-2.0
// Changes of a VM: which take effect when, disks that come, grow and go, restart and resize; dry runs change nothing.

#include "tests/unit/agent_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/vm_update.h"
#include "croft/v1/event.pb-c.h"

/* A VM with labels and spec to be sent, and the paths that change. */
static Croft__V1__UpdateVmRequest *change(const char *name, const char *paths)
{
	Croft__V1__UpdateVmRequest *request =
		message_new(&croft__v1__update_vm_request__descriptor);
	char text[256], *save = NULL;

	request->vm = message_new(&croft__v1__vm__descriptor);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&request->vm->name, name);
	request->update_mask = message_new(&google__protobuf__field_mask__descriptor);
	snprintf(text, sizeof(text), "%s", paths);
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		assert_int_equal(message_append(&request->update_mask->paths,
						&request->update_mask->n_paths, strdup(p)),
				 0);
	return request;
}

static void disk(Croft__V1__UpdateVmRequest *request, const char *name, const char *of,
		 uint64_t size)
{
	Croft__V1__DiskSpec *d = message_new(&croft__v1__disk_spec__descriptor);

	message_set_string(&d->name, name);
	message_set_string(&d->image_disk, of);
	d->size_bytes = size;
	assert_int_equal(message_append(&request->vm->spec->disks, &request->vm->spec->n_disks, d),
			 0);
}

static struct call *post_update(Croft__V1__UpdateVmRequest *request)
{
	return help_call(service, "croft.v1.Vms/UpdateVm", request);
}

static Croft__V1__Vm *updated(Croft__V1__UpdateVmRequest *request)
{
	struct call *call = post_update(request);
	Croft__V1__Vm *vm = (void *)TAKE_PTR(call->reply);

	if (!vm)
		fail_msg("%s: %s", call->error.field, call->error.message);
	call_free(call);
	return vm;
}

static void refused(Croft__V1__UpdateVmRequest *request, const char *field)
{
	struct call *call = post_update(request);

	assert_string_equal(call->error.field, field);
	expect(call, ERROR_INVALID_ARGUMENT);
}

static uint64_t disk_size(const char *uid, const char *name)
{
	struct stat st;
	char path[600];

	snprintf(path, sizeof(path), "%s/state/vms/%s/%s.raw", dir, uid, name);
	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static uint64_t newest_event(char *type, size_t size)
{
	struct call *call = help_call(service, "croft.v1.Events/ReadEvents",
				      message_new(&croft__v1__read_events_request__descriptor));
	const Croft__V1__ReadEventsResponse *reply = (void *)call->reply;
	uint64_t number = reply->newest;

	snprintf(type, size, "%s", reply->events[reply->n_events - 1]->type);
	call_free(call);
	return number;
}

static struct call *restart(const char *name, bool force, bool dry_run)
{
	Croft__V1__RestartVmRequest *request = NAMED(restart_vm_request, name);

	request->force = force;
	request->dry_run = dry_run;
	return help_call(service, "croft.v1.Vms/RestartVm", request);
}

static void test_stopped(void **state)
{
	Croft__V1__UpdateVmRequest *request;
	Croft__V1__Vm *vm, *again;
	char type[64];
	uint64_t event;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	request = change("a", "spec.vcpus spec.cmdline");
	request->vm->spec->vcpus = 2;
	message_set_string(&request->vm->spec->cmdline, "quiet");
	vm = updated(request);
	assert_int_equal(vm->spec->vcpus, 2);
	assert_string_equal(vm->spec->cmdline, "quiet");
	assert_int_equal(vm->spec->memory_bytes, 64 * MIB);
	assert_int_equal(vm->status->n_pending, 0);
	event = newest_event(type, sizeof(type));
	assert_string_equal(type, "vm.updated");
	/* The same again changes nothing. */
	request = change("a", "spec.vcpus");
	request->vm->spec->vcpus = 2;
	again = updated(request);
	assert_int_equal(again->revision, vm->revision);
	assert_int_equal(newest_event(type, sizeof(type)), event);
	message_free(vm);
	/* One wrong field, and nothing has changed. */
	request = change("a", "spec.vcpus spec.memory_bytes");
	request->vm->spec->vcpus = 1;
	request->vm->spec->memory_bytes = 3;
	refused(request, "/spec/memory_bytes");
	refused(change("a", "spec.vcpus"), "/spec/vcpus");
	refused(change("a", "spec.image"), "/spec/image");
	refused(change("a", "uid"), "/uid");
	refused(change("a", ""), "/update_mask");
	vm = get("a");
	assert_int_equal(vm->revision, again->revision);
	assert_int_equal(vm->spec->vcpus, 2);
	message_free(vm);
	message_free(again);
	expect(post_update(change("none", "labels")), ERROR_NOT_FOUND);
	expect(help_call(service, "croft.v1.Vms/UpdateVm",
			 message_new(&croft__v1__update_vm_request__descriptor)),
	       ERROR_INVALID_ARGUMENT);
	expect(help_call_match(service, "croft.v1.Vms/UpdateVm", change("a", "labels"), 1),
	       ERROR_PRECONDITION);
}

static void test_pending(void **state)
{
	Croft__V1__UpdateVmRequest *request;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	request = change("a", "spec.vcpus spec.cmdline_append labels");
	request->vm->spec->vcpus = 2;
	message_set_string(&request->vm->spec->cmdline_append, "x");
	vm = updated(request);
	assert_int_equal(vm->status->n_pending, 2);
	assert_string_equal(vm->status->pending[0], "/spec/vcpus");
	assert_string_equal(vm->status->pending[1], "/spec/cmdline_append");
	message_free(vm);
	/* Taken back, it waits no more. */
	vm = updated(change("a", "spec.cmdline_append"));
	assert_int_equal(vm->status->n_pending, 1);
	message_free(vm);
	finish_as(restart("a", true, false), OPERATION(SUCCEEDED), NULL);
	vm = get("a");
	assert_int_equal(vm->status->state, STATE(RUNNING));
	assert_int_equal(vm->status->starts, 2);
	assert_int_equal(vm->status->n_pending, 0);
	message_free(vm);
	/* Of a guest that has ended nothing waits. */
	request = change("a", "spec.vcpus");
	request->vm->spec->vcpus = 1;
	vm = updated(request);
	assert_int_equal(vm->status->n_pending, 1);
	message_free(vm);
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	vm = get("a");
	assert_int_equal(vm->status->n_pending, 0);
	message_free(vm);
}

static void test_disks(void **state)
{
	Croft__V1__UpdateVmRequest *request;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	/* Enlarged, which it is at once, and one more, at the restart. */
	request = change("a", "spec.disks");
	disk(request, "root", "root", 2 * MIB);
	disk(request, "data", "", MIB);
	vm = updated(request);
	assert_int_equal(vm->status->n_pending, 1);
	assert_string_equal(vm->status->pending[0], "/spec/disks");
	assert_int_equal(disk_size(vm->uid, "root"), 2 * MIB);
	finish_as(restart("a", true, false), OPERATION(SUCCEEDED), NULL);
	assert_int_equal(disk_size(vm->uid, "root"), 2 * MIB);
	assert_int_equal(disk_size(vm->uid, "data"), MIB);
	/* Smaller, or of another image disk: never. */
	request = change("a", "spec.disks");
	disk(request, "root", "root", MIB);
	refused(request, "/spec/disks/0/size_bytes");
	request = change("a", "spec.disks");
	disk(request, "data", "", MIB);
	disk(request, "root", "", 2 * MIB);
	refused(request, "/spec/disks/1/image_disk");
	/* Taken away while it runs: its data go with the run. Named again meanwhile, it is still that disk. */
	request = change("a", "spec.disks");
	disk(request, "root", "root", 2 * MIB);
	message_free(updated(request));
	request = change("a", "spec.disks");
	disk(request, "root", "root", 2 * MIB);
	disk(request, "data", "root", MIB);
	refused(request, "/spec/disks/1/image_disk");
	assert_int_equal(disk_size(vm->uid, "data"), MIB);
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	while (disk_size(vm->uid, "data"))
		usleep(5000);
	/* Now it is a new one; and while nothing runs a disk goes at once. */
	request = change("a", "spec.disks");
	disk(request, "data", "root", 0);
	message_free(updated(request));
	while (disk_size(vm->uid, "root"))
		usleep(5000);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	assert_int_equal(disk_size(vm->uid, "data"), 65536);
	message_free(vm);
}

static void test_restart(void **state)
{
	struct call *call;
	Croft__V1__Operation *op;
	char name[32];

	(void)state;
	pull_tiny();
	expect(restart("none", false, false), ERROR_NOT_FOUND);
	expect(create("a", "croft.test=spin"), ERROR_NONE);
	/* One that does not run is started. */
	call = restart("a", false, false);
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->verb, "restart");
	finish_as(call, OPERATION(SUCCEEDED), NULL);
	check_state("a", STATE(RUNNING), 0);
	/* While a guest that does not listen is asked, it can be cancelled, and then goes on. */
	call = restart("a", false, false);
	op = (void *)call->reply;
	assert_non_null(op);
	snprintf(name, sizeof(name), "%s", op->name);
	call_free(call);
	wait_state("a", STATE(STOPPING));
	expect(stop("a", true), ERROR_CONFLICT);
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, name)),
	       ERROR_NONE);
	check_state("a", STATE(RUNNING), 0);
	/* And forced it is the same operation. */
	call = restart("a", false, false);
	snprintf(name, sizeof(name), "%s", ((Croft__V1__Operation *)(void *)call->reply)->name);
	call_free(call);
	call = restart("a", true, false);
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->name, name);
	finish_as(call, OPERATION(SUCCEEDED), NULL);
	check_state("a", STATE(RUNNING), 0);
}

/* A second half that fails is the operation's failure, and the VM stays stopped. */
static void test_restart_fails(void **state)
{
	struct call *call;
	char path[400];
	DIR *d;
	struct dirent *e;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	snprintf(path, sizeof(path), "%s/state/blobs", dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	call = restart("a", true, false);
	finish_as(call, OPERATION(FAILED), "DATA_LOSS");
	check_state("a", STATE(FAILED), REASON(load_failed));
}

static struct call *resize(const char *name, uint64_t bytes, bool dry_run)
{
	Croft__V1__ResizeVmRequest *request = NAMED(resize_vm_request, name);

	request->memory_target_bytes = bytes;
	request->dry_run = dry_run;
	return help_call(service, "croft.v1.Vms/ResizeVm", request);
}

static void test_resize(void **state)
{
	Croft__V1__UpdateVmRequest *request;
	struct call *call;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	request = change("a", "spec.memory_bytes");
	request->vm->spec->memory_bytes = 128 * MIB;
	message_free(updated(request));
	expect(resize("none", 64 * MIB, false), ERROR_NOT_FOUND);
	call = resize("a", 63 * MIB, false);
	assert_string_equal(call->error.field, "/memory_target_bytes");
	expect(call, ERROR_INVALID_ARGUMENT);
	expect(resize("a", 130 * MIB, false), ERROR_INVALID_ARGUMENT);
	expect(resize("a", 65 * MIB, false), ERROR_INVALID_ARGUMENT);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	/* Live: it does not wait for a restart. */
	expect(resize("a", 96 * MIB, false), ERROR_NONE);
	vm = get("a");
	assert_int_equal(vm->spec->memory_target_bytes, 96 * MIB);
	assert_int_equal(vm->status->n_pending, 0);
	message_free(vm);
	expect(resize("a", 0, false), ERROR_NONE);
	/* Memory cannot become less than the target. */
	expect(resize("a", 128 * MIB, false), ERROR_NONE);
	request = change("a", "spec.memory_bytes");
	request->vm->spec->memory_bytes = 64 * MIB;
	refused(request, "/spec/memory_target_bytes");
	request = change("a", "spec.memory_bytes spec.memory_target_bytes");
	request->vm->spec->memory_bytes = 64 * MIB;
	request->vm->spec->memory_target_bytes = 64 * MIB;
	message_free(updated(request));
	finish_as(restart("a", true, false), OPERATION(SUCCEEDED), NULL);
}

static void expect_preview(struct call *call, const char *verb)
{
	const Croft__V1__Operation *op = (void *)call->reply;

	if (!op)
		fail_msg("%s", call->error.message);
	assert_string_equal(op->name, "");
	assert_string_equal(op->verb, verb);
	assert_string_equal(op->target, "vms/a");
	call_free(call);
}

/* Says what would be, and nothing is. */
static void test_dry_run(void **state)
{
	Croft__V1__StartVmRequest *starting = NAMED(start_vm_request, "a");
	Croft__V1__StopVmRequest *stopping = NAMED(stop_vm_request, "a");
	Croft__V1__DeleteVmRequest *deleting = NAMED(delete_vm_request, "a");
	Croft__V1__UpdateVmRequest *request;
	Croft__V1__Vm *vm;
	char type[64];
	uint64_t event;

	(void)state;
	starting->dry_run = stopping->dry_run = deleting->dry_run = true;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	event = newest_event(type, sizeof(type));
	expect_preview(help_call(service, "croft.v1.Vms/StartVm", starting), "start");
	expect_preview(restart("a", false, true), "restart");
	expect(resize("a", 64 * MIB, true), ERROR_NONE);
	expect(resize("a", 1, true), ERROR_INVALID_ARGUMENT);
	expect(help_call(service, "croft.v1.Vms/DeleteVm", deleting), ERROR_NONE);
	request = change("a", "spec.vcpus");
	request->vm->spec->vcpus = 2;
	request->dry_run = true;
	vm = updated(request);
	assert_int_equal(vm->spec->vcpus, 2);
	message_free(vm);
	vm = get("a");
	assert_int_equal(vm->spec->vcpus, 1);
	assert_int_equal(vm->spec->memory_target_bytes, 0);
	assert_int_equal(vm->status->state, STATE(DEFINED));
	message_free(vm);
	assert_int_equal(newest_event(type, sizeof(type)), event);
	/* What would wait for a restart, it says too. */
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	request = change("a", "spec.vcpus");
	request->vm->spec->vcpus = 2;
	request->dry_run = true;
	vm = updated(request);
	assert_int_equal(vm->status->n_pending, 1);
	message_free(vm);
	expect_preview(help_call(service, "croft.v1.Vms/StopVm", stopping), "stop");
	check_state("a", STATE(RUNNING), 0);
}

/* --- The table and the contract --- */

/* "[live]", "[restart]" or "[never]" in a comment; -1 for none. */
static int effect_in(const char *comment)
{
	static const char *const words[] = { "[live]", "[restart]", "[never]" };

	for (int i = 0; i < 3; i++)
		if (strstr(comment, words[i]))
			return i;
	return -1;
}

static int effect_of(const ProtobufCMessageDescriptor *type, const char *name)
{
	for (size_t i = 0; i < vm_field_count; i++)
		if (vm_fields[i].type == type && strcmp(vm_fields[i].name, name) == 0)
			return (int)vm_fields[i].effect;
	return -1;
}

/* A field's mark stands in its comment, or in the one before it. */
static size_t compare_message(FILE *f, const ProtobufCMessageDescriptor *type)
{
	char line[512], name[64];
	size_t marked = 0;
	int before = -1;

	while (fgets(line, sizeof(line), f) && line[0] != '}') {
		char *comment = strstr(line, "//");
		int mark = comment ? effect_in(comment) : -1;

		if (comment)
			*comment = '\0';
		if (sscanf(line, " repeated %*[a-z0-9A-Z.] %63[a-z_] = %*d", name) != 1 &&
		    sscanf(line, " %*[a-z0-9A-Z.] %63[a-z_] = %*d", name) != 1) {
			before = mark < 0 && comment ? before : mark;
			continue;
		}
		mark = mark < 0 ? before : mark;
		if (effect_of(type, name) != mark)
			fail_msg("%s.%s: the proto says %d, the table %d", type->short_name, name,
				 mark, effect_of(type, name));
		marked += mark >= 0;
		before = -1;
	}
	return marked;
}

static void test_contract(void **state)
{
	FILE *f = fopen("api/proto/croft/v1/vm.proto", "r");
	size_t marked = 0;
	char line[512];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strcmp(line, "message VmSpec {\n") == 0)
			marked += compare_message(f, &croft__v1__vm_spec__descriptor);
		else if (strcmp(line, "message DiskSpec {\n") == 0)
			marked += compare_message(f, &croft__v1__disk_spec__descriptor);
		else if (strcmp(line, "message NetworkSpec {\n") == 0)
			marked += compare_message(f, &croft__v1__network_spec__descriptor);
		else if (strcmp(line, "message ShareSpec {\n") == 0)
			marked += compare_message(f, &croft__v1__share_spec__descriptor);
	}
	fclose(f);
	assert_int_equal(marked, vm_field_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stopped),	  TEST(test_pending),
		TEST(test_disks),	  TEST(test_restart),
		TEST(test_restart_fails), TEST(test_resize),
		TEST(test_dry_run),	  cmocka_unit_test(test_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
