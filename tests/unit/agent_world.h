/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service on the fake backend with a web server beside it, and its verbs as functions that wait.
 */
#ifndef CROFT_TESTS_UNIT_AGENT_WORLD_H
#define CROFT_TESTS_UNIT_AGENT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/message.h"
#include "croft/v1/config.pb-c.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "tests/unit/agent_help.h"

#define MIB		(1ull << 20)
#define STATE(name)	CROFT__V1__VM_STATUS__STATE__##name
#define REASON(name)	CROFT__V1__VM_STATUS__EXIT_REASON__##name
#define OPERATION(name) CROFT__V1__OPERATION__STATE__##name
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

static char *dir;
static struct help_web *web;
static struct config *config;
static struct service *service;

static inline void start_service(void)
{
	struct error e;

	if (service_new(&service, config, &e) < 0)
		fail_msg("%s", e.message);
}

static inline int setup(void **state)
{
	(void)state;
	dir = help_mkdir();
	web = help_web_start();
	help_web_image(web);
	config = help_config(dir);
	start_service();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	service = service_free(service);
	config = config_free(config);
	help_web_stop(web);
	help_rmdir(dir);
	return 0;
}

/* --- Verbs --- */

static inline void *request_named(const ProtobufCMessageDescriptor *type, const char *name)
{
	void *request = message_new(type);

	assert_non_null(request);
	/* `name` is the first field of all of these requests. */
	message_set_string(&((Croft__V1__GetVmRequest *)request)->name, name);
	return request;
}

#define NAMED(type, name) request_named(&croft__v1__##type##__descriptor, name)

static inline void expect(struct call *call, enum error_code code)
{
	if (call->error.code != code)
		fail_msg("%s: %s %s", call->method->name, error_code_name(call->error.code),
			 call->error.message);
	assert_int_equal(call->reply == NULL, code != ERROR_NONE);
	call_free(call);
}

/* Waits for the operation that the call has answered; its last state. */
static inline Croft__V1__Operation *finish(struct call *call)
{
	Croft__V1__WaitOperationRequest *request;
	Croft__V1__Operation *op;

	if (!call->reply)
		fail_msg("%s: %s", call->method->name, call->error.message);
	request =
		NAMED(wait_operation_request, ((Croft__V1__Operation *)(void *)call->reply)->name);
	call_free(call);
	call = help_call(service, "croft.v1.Operations/WaitOperation", request);
	assert_non_null(call->reply);
	op = (void *)TAKE_PTR(call->reply);
	call_free(call);
	return op;
}

static inline void finish_as(struct call *call, Croft__V1__Operation__State state, const char *code)
{
	Croft__V1__Operation *op = finish(call);

	if (op->state != state)
		fail_msg("%s %s: %s", op->verb, op->target, op->error ? op->error->detail : "");
	assert_int_equal(op->error == NULL, code == NULL);
	if (code)
		assert_string_equal(op->error->code, code);
	croft__v1__operation__free_unpacked(op, NULL);
}

static inline struct call *pull(const char *name, const char *url)
{
	Croft__V1__PullImageRequest *request =
		message_new(&croft__v1__pull_image_request__descriptor);

	request->image = message_new(&croft__v1__image__descriptor);
	request->image->spec = message_new(&croft__v1__image_spec__descriptor);
	message_set_string(&request->image->name, name);
	message_set_string(&request->image->spec->manifest_url, url);
	return help_call(service, "croft.v1.Images/PullImage", request);
}

static inline void pull_tiny(void)
{
	finish_as(pull("tiny", help_web_url(web, "/manifest.json")), OPERATION(SUCCEEDED), NULL);
}

static inline struct call *create(const char *name, const char *append)
{
	Croft__V1__CreateVmRequest *request =
		message_new(&croft__v1__create_vm_request__descriptor);
	Croft__V1__DiskSpec *disk = message_new(&croft__v1__disk_spec__descriptor);

	request->vm = message_new(&croft__v1__vm__descriptor);
	request->vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&request->vm->name, name);
	message_set_string(&request->vm->uid, "the client's own, which is not taken");
	message_set_string(&request->vm->spec->image, "tiny");
	message_set_string(&request->vm->spec->cmdline_append, append);
	request->vm->spec->vcpus = 1;
	request->vm->spec->no_network = true;
	request->vm->spec->memory_bytes = 64 * MIB;
	message_set_string(&disk->name, "root");
	message_set_string(&disk->image_disk, "root");
	assert_int_equal(message_append(&request->vm->spec->disks, &request->vm->spec->n_disks,
					disk),
			 0);
	return help_call(service, "croft.v1.Vms/CreateVm", request);
}

static inline struct call *start(const char *name)
{
	return help_call(service, "croft.v1.Vms/StartVm", NAMED(start_vm_request, name));
}

static inline struct call *stop(const char *name, bool force)
{
	Croft__V1__StopVmRequest *request = NAMED(stop_vm_request, name);

	request->force = force;
	return help_call(service, "croft.v1.Vms/StopVm", request);
}

/* Asks the guest, which has that long. */
static inline struct call *ask(const char *name, int64_t seconds, int32_t nanos)
{
	Croft__V1__StopVmRequest *request = NAMED(stop_vm_request, name);

	request->deadline = message_new(&google__protobuf__duration__descriptor);
	request->deadline->seconds = seconds;
	request->deadline->nanos = nanos;
	return help_call(service, "croft.v1.Vms/StopVm", request);
}

static inline struct call *delete (const char *name)
{
	return help_call(service, "croft.v1.Vms/DeleteVm", NAMED(delete_vm_request, name));
}

static inline Croft__V1__Vm *get(const char *name)
{
	struct call *call = help_call(service, "croft.v1.Vms/GetVm", NAMED(get_vm_request, name));
	Croft__V1__Vm *vm = (void *)TAKE_PTR(call->reply);

	if (!vm)
		fail_msg("%s", call->error.message);
	call_free(call);
	return vm;
}

/* The reply of a call that must have one. */
static inline void *answer(struct call *call)
{
	void *reply = TAKE_PTR(call->reply);

	if (!reply)
		fail_msg("%s: %s %s", call->method->name, call->error.field, call->error.message);
	call_free(call);
	return reply;
}

static inline Croft__V1__Node *get_node(void)
{
	return answer(help_call(service, "croft.v1.NodeService/GetNode",
				message_new(&croft__v1__get_node_request__descriptor)));
}

static inline void check_state(const char *name, Croft__V1__VmStatus__State state,
			       Croft__V1__VmStatus__ExitReason reason)
{
	Croft__V1__Vm *vm = get(name);

	assert_int_equal(vm->status->state, state);
	assert_int_equal(vm->status->exit_reason, reason);
	croft__v1__vm__free_unpacked(vm, NULL);
}

static inline void wait_state(const char *name, Croft__V1__VmStatus__State state)
{
	for (;;) {
		Croft__V1__Vm *vm = get(name);
		bool there = vm->status->state == state;

		croft__v1__vm__free_unpacked(vm, NULL);
		if (there)
			return;
		usleep(5000);
	}
}

/* The console's text from an offset on, waiting for its first byte; the caller frees it. */
static inline Croft__V1__ReadConsoleResponse *read_console(const char *name, uint64_t offset,
							   int64_t seconds)
{
	Croft__V1__ReadConsoleRequest *request = NAMED(read_console_request, name);
	Croft__V1__ReadConsoleResponse *reply;
	struct call *call;

	request->offset = offset;
	request->wait = message_new(&google__protobuf__duration__descriptor);
	request->wait->seconds = seconds;
	call = help_call(service, "croft.v1.Vms/ReadConsole", request);
	reply = (void *)TAKE_PTR(call->reply);
	assert_non_null(reply);
	call_free(call);
	return reply;
}

static inline size_t count_files(const char *below)
{
	char path[300];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/state/%s", dir, below);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

/* Deleted files go on a thread. */
static inline void wait_files(const char *below, size_t n)
{
	while (count_files(below) != n)
		usleep(5000);
}

/* The kernel's file becomes a pipe that nobody writes: whoever opens it hangs. */
static inline void block_kernel(char *path, size_t size)
{
	struct call *call =
		help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "tiny"));

	assert_non_null(call->reply);
	snprintf(path, size, "%s/state/blobs/%s", dir,
		 ((Croft__V1__Image *)(void *)call->reply)->status->kernel->sha256);
	call_free(call);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

/* As long as this is open, nobody hangs. */
static inline int unblock_kernel(const char *path)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static inline void set_start_timeout(int64_t seconds)
{
	Croft__V1__UpdateConfigRequest *request =
		message_new(&croft__v1__update_config_request__descriptor);
	char *path = strdup("spec.start_timeout");

	request->config = message_new(&croft__v1__config__descriptor);
	request->config->spec = message_new(&croft__v1__config_spec__descriptor);
	request->config->spec->start_timeout = message_new(&google__protobuf__duration__descriptor);
	request->config->spec->start_timeout->seconds = seconds;
	request->update_mask = message_new(&google__protobuf__field_mask__descriptor);
	assert_int_equal(message_append(&request->update_mask->paths,
					&request->update_mask->n_paths, path),
			 0);
	expect(help_call(service, "croft.v1.ConfigService/UpdateConfig", request), ERROR_NONE);
}

static inline void serve_manifest(const char *path, char *buffer, const char *url, const char *sha,
				  unsigned int size)
{
	sprintf(buffer,
		"{\"name\":\"n\",\"version\":\"1\",\"kernel\":{\"url\":\"%s\",\"sha256\":\"%s\",\"size\":%u}}",
		url, sha, size);
	help_web_add(web,
		     (struct help_page){ .path = path, .body = buffer, .size = strlen(buffer) });
}

#endif
