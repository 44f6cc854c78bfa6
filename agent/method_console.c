// SPDX-License-Identifier: Apache-2.0
// The handlers of croft.v1.Vms that read a console and type into it.

#include "agent/method.h"

#include <inttypes.h>
#include <string.h>

#include "agent/message.h"
#include "agent/vm.h"

#define READ_DEFAULT 65536u
#define READ_MAX     262144u
#define WRITE_MAX    4096u
#define TYPE_NS	     20000000ull /* until a guest that takes no more is tried again */

/* What the recording has from `offset` on, at most n bytes; NULL without memory. */
static Croft__V1__ReadConsoleResponse *
read_from(const struct vm_record *vm, struct recording *recording, uint64_t offset, size_t n)
{
	Croft__V1__ReadConsoleResponse *reply =
		message_new(&croft__v1__read_console_response__descriptor);

	if (reply)
		reply->data.data = malloc(n);
	if (!reply || !reply->data.data)
		return message_free(reply);
	if (recording)
		reply->data.len = recording_read(recording, &offset, reply->data.data, n);
	reply->offset = offset;
	reply->next_offset = offset + reply->data.len;
	reply->ended = !vm_record_live(vm) &&
		       (!recording || reply->next_offset >= recording_end(recording));
	return reply;
}

void method_read_console(struct service *service, struct call *call)
{
	const Croft__V1__ReadConsoleRequest *request = (const void *)call->request;
	size_t n = request->max_bytes ? request->max_bytes : READ_DEFAULT;
	struct vm_console *console = NULL;
	struct recording *recording;
	uint64_t wait = 0;
	struct error error;
	struct vm_record *vm = vm_record_find(service, request->name, &error);
	int r = vm ? 0 : -ENOENT;

	if (r == 0 && n > READ_MAX)
		r = error_raise_field(&error, "/max_bytes", "%u: at most %u are allowed",
				      request->max_bytes, READ_MAX);
	if (r == 0)
		r = method_take_duration(&method_follow, request->wait, &wait, &error);
	if (r == 0)
		r = vm_console_find(service, vm, request->port, &console, &error);
	if (r < 0) {
		call_fail(service, call, &error);
		return;
	}
	recording = console->recording;
	if (wait && vm_record_live(vm) && !call_expired(call) &&
	    !(recording && recording_watch(recording, request->offset)))
		call_wait(service, call, wait);
	else
		call_reply(service, call, read_from(vm, recording, request->offset, n));
}

/* --- Streams --- */

/* What both kinds of stream are asked. */
struct wish {
	const char *name, *port;
	uint64_t offset, tail_bytes;
	bool write;
	uint32_t columns, rows;
};

/* Makes the call the VM's one writer. */
static int take_pen(struct service *service, struct call *call, const struct vm_record *vm,
		    struct vm_console *console, struct error *err)
{
	if (!vm_record_live(vm))
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\" does not run", vm->msg->name);
	if (console->writer)
		return error_raise(err, ERROR_CONFLICT,
				   "VM \"%s\": %s is attached and writes; read without writing, or "
				   "wait for the end of that",
				   vm->msg->name, console->writer_actor);
	console->writer = call->session = ++service->session_number;
	snprintf(console->writer_actor, sizeof(console->writer_actor), "%s", call->who.actor);
	return 0;
}

static int check_wish(const struct wish *wish, struct error *err)
{
	if (wish->offset && wish->tail_bytes)
		return error_raise_field(err, "/tail_bytes", "not together with offset");
	if ((wish->columns || wish->rows) && !wish->write)
		return error_raise_field(err, wish->columns ? "/columns" : "/rows",
					 "is the terminal's of who writes: ask for `write`");
	return 0;
}

/* Takes the pen, if the wish is to write, and tells the guest of the terminal. */
static int begin_writing(struct service *service, struct call *call, const struct wish *wish,
			 struct vm_console *console, struct error *err)
{
	struct vm_record *vm = table_find(&service->vms, wish->name);
	int r;

	if (!wish->write)
		return 0;
	r = take_pen(service, call, vm, console, err);
	if (r == 0)
		r = vm_console_resize(vm, console, wish->columns, wish->rows, err);
	if (r < 0 && call->session) {
		console->writer = 0;
		call->session = 0;
	}
	return r;
}

/* The first post of a stream: checks, and sets its place. */
static int begin(struct service *service, struct call *call, const struct wish *wish,
		 struct vm_console *console, struct error *err)
{
	const struct vm_record *vm = table_find(&service->vms, wish->name);
	uint64_t end = console->recording ? recording_end(console->recording) : 0;
	int r = check_wish(wish, err);
	char *uid;

	if (r < 0)
		return r;
	uid = strdup(vm->msg->uid);
	if (!uid)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	r = begin_writing(service, call, wish, console, err);
	if (r < 0) {
		free(uid);
		return r;
	}
	call->cursor = wish->offset;
	if (wish->tail_bytes)
		call->cursor = end > wish->tail_bytes ? end - wish->tail_bytes : 0;
	call->place = uid;
	call->begun = true;
	return 0;
}

/* What follows the stream's place, and its end with that of the VM. */
static void go_on(struct service *service, struct call *call, struct vm_record *vm,
		  struct recording *recording)
{
	bool live = vm_record_live(vm);
	Croft__V1__ReadConsoleResponse *reply;

	if (live && !(recording && recording_watch(recording, call->cursor))) {
		if (call_expired(call))
			call_reply_more(service, call, NULL);
		else
			call_wait(service, call, STREAM_IDLE_NS);
		return;
	}
	reply = read_from(vm, recording, call->cursor, READ_DEFAULT);
	if (reply)
		call->cursor = reply->next_offset;
	if (reply && !reply->ended)
		call_reply_more(service, call, reply);
	else
		call_reply(service, call, reply);
}

static void follow(struct service *service, struct call *call, const struct wish *wish)
{
	bool first = !call->begun;
	struct vm_console *console = NULL;
	struct error error;
	struct vm_record *vm = vm_record_find(service, wish->name, &error);
	int r = vm ? vm_console_find(service, vm, wish->port, &console, &error) : -ENOENT;

	if (r == 0 && first)
		r = begin(service, call, wish, console, &error);
	else if (r == 0 && strcmp(vm->msg->uid, call->place) != 0)
		r = error_raise(&error, ERROR_NOT_FOUND, "VM \"%s\" was deleted", wish->name);
	if (r < 0)
		call_fail(service, call, &error);
	else if (first && call->session)
		/* So that the client knows at once that it may type. */
		call_reply_more(service, call, read_from(vm, NULL, call->cursor, 1));
	else
		go_on(service, call, vm, console->recording);
}

void method_follow_console(struct service *service, struct call *call)
{
	const Croft__V1__FollowConsoleRequest *request = (const void *)call->request;

	follow(service, call,
	       &(struct wish){ .name = request->name,
			       .port = request->port,
			       .offset = request->offset,
			       .tail_bytes = request->tail_bytes });
}

void method_attach_console(struct service *service, struct call *call)
{
	const Croft__V1__AttachConsoleRequest *request = (const void *)call->request;

	follow(service, call,
	       &(struct wish){ .name = request->name,
			       .port = request->port,
			       .offset = request->offset,
			       .tail_bytes = request->tail_bytes,
			       .write = request->write,
			       .columns = request->columns,
			       .rows = request->rows });
}

static void put_pen(struct service *service, const struct call *call, const char *name,
		    const char *port)
{
	const struct vm_record *vm = table_find(&service->vms, name);
	struct vm_console *console = vm ? vm_console_known(vm, port) : NULL;

	if (!console || !call->session || console->writer != call->session)
		return;
	console->writer = 0;
	service->changed = true;
}

void method_follow_console_close(struct service *service, struct call *call)
{
	(void)service;
	free(TAKE_PTR(call->place));
}

void method_attach_console_close(struct service *service, struct call *call)
{
	const Croft__V1__AttachConsoleRequest *request = (const void *)call->request;

	put_pen(service, call, request->name, request->port);
	free(TAKE_PTR(call->place));
}

/* --- Typing --- */

static int check_write(const struct call *call, const struct vm_record *vm,
		       const struct vm_console *console, struct error *err)
{
	const Croft__V1__WriteConsoleRequest *request = (const void *)call->request;
	size_t n = request->data.len;

	if (n > WRITE_MAX)
		return error_raise_field(err, "/data", "%zu bytes: at most %u are allowed", n,
					 WRITE_MAX);
	if (call->session != console->writer && call->session)
		return error_raise(err, ERROR_CONFLICT,
				   "VM \"%s\": the attachment does not write, or has ended",
				   vm->msg->name);
	if (call->session != console->writer)
		return error_raise(err, ERROR_CONFLICT, "VM \"%s\": %s is attached and writes",
				   vm->msg->name, console->writer_actor);
	return 0;
}

/*
 * A request of its own is told how much the guest took. What belongs to an attachment waits until it has taken all: that is
 * how one who types faster than the guest reads is held back.
 */
void method_write_console(struct service *service, struct call *call)
{
	const Croft__V1__WriteConsoleRequest *request = (const void *)call->request;
	Croft__V1__WriteConsoleResponse *reply;
	struct vm_console *console = NULL;
	struct error error;
	struct vm_record *vm = vm_record_find(service, request->name, &error);
	int r = vm ? vm_console_find(service, vm, request->port, &console, &error) : -ENOENT;

	if (r == 0)
		r = check_write(call, vm, console, &error);
	if (r == 0 && !vm_record_running(vm, &error))
		r = -EBUSY;
	if (r == 0)
		r = vm_console_resize(vm, console, request->columns, request->rows, &error);
	if (r < 0) {
		call_fail(service, call, &error);
		return;
	}
	call->cursor += vm_console_write(vm, console, request->data.data + call->cursor,
					 request->data.len - (size_t)call->cursor);
	if (call->session && call->cursor < request->data.len) {
		call->deadline_ns = 0;
		call_wait(service, call, TYPE_NS);
		return;
	}
	reply = message_new(&croft__v1__write_console_response__descriptor);
	if (reply)
		reply->accepted_bytes = (uint32_t)call->cursor;
	call_reply(service, call, reply);
}
