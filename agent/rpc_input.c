// SPDX-License-Identifier: Apache-2.0
// What the client of an attached console types: each message is a call of WriteConsole, the next when the last is done.

#include <assert.h>
#include <string.h>

#include "agent/message.h"
#include "agent/rpc_call.h"
#include "croft/v1/vm.pb-c.h"

static void read_on(struct rpc_call *c);

static Croft__V1__AttachConsoleRequest *as_attach(ProtobufCMessage *message)
{
	assert(message->descriptor == &croft__v1__attach_console_request__descriptor);
	return (Croft__V1__AttachConsoleRequest *)(void *)message;
}

static void typed(struct rpc_call *c, bool ok)
{
	(void)ok;
	rpc_call_back(c);
	/* One that was cut short by the end of the attachment has nobody to tell. */
	if (c->typed->error.code)
		rpc_call_stop(c, &c->typed->error);
	else if (!c->over)
		read_on(c);
	c->typed = call_free(c->typed);
	rpc_call_put(c);
}

static void typed_done(struct call *call)
{
	struct rpc_call *c = call->data;

	rpc_call_tag(c, &c->on_typed);
}

static struct call *write_call(const struct rpc_call *c, Croft__V1__AttachConsoleRequest *message)
{
	struct call *call = calloc(1, sizeof(*call));
	Croft__V1__WriteConsoleRequest *request;

	if (!call)
		return NULL;
	request = message_new(&croft__v1__write_console_request__descriptor);
	if (!request)
		return call_free(call);
	call->request = &request->base;
	message_set_string(&request->name, as_attach(c->work->request)->name);
	request->data = message->data;
	message->data = (ProtobufCBinaryData){ .len = 0 };
	message_set_string(&request->port, as_attach(c->work->request)->port);
	request->columns = message->columns;
	request->rows = message->rows;
	call->method = service_method_find("croft.v1.Vms/WriteConsole");
	call->who = c->who;
	call->session = c->work->session;
	call->done = typed_done;
	return call;
}

/* Posts what the message has, or reads the next one. */
static int type(struct rpc_call *c, Croft__V1__AttachConsoleRequest *message, struct error *err)
{
	if (!message->data.len && !message->columns && !message->rows) {
		read_on(c);
		return 0;
	}
	if (!c->work->session)
		return error_raise_field(err, message->data.len ? "/data" : "/columns",
					 "`write` was not asked for");
	c->typed = write_call(c, message);
	if (!c->typed)
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	c->typed->data = c;
	c->on_typed = (struct rpc_tag){ .run = typed, .call = c };
	c->pending++;
	service_post(c->rpc->service, c->typed);
	return 0;
}

static int take_message(struct rpc_call *c, struct error *err)
{
	ProtobufCMessage *message;
	const char *field = NULL;
	int rc = rpc_request_unpack(c, &croft__v1__attach_console_request__descriptor, &message,
				    err);

	if (rc < 0)
		return rc;
	if (as_attach(message)->name[0])
		field = "/name";
	else if (as_attach(message)->offset)
		field = "/offset";
	else if (as_attach(message)->tail_bytes)
		field = "/tail_bytes";
	else if (as_attach(message)->write)
		field = "/write";
	else if (as_attach(message)->port[0])
		field = "/port";
	rc = field ? error_raise_field(err, field, "only in the first message")
		   : type(c, as_attach(message), err);
	message_free(message);
	return rc;
}

static void message_read(struct rpc_call *c, bool ok)
{
	struct error error;

	/* No message: the client types no more, but may still read. */
	if (ok && !c->over && c->payload && take_message(c, &error) < 0)
		rpc_call_stop(c, &error);
	rpc_call_put(c);
}

static void read_on(struct rpc_call *c)
{
	rpc_call_read(c, message_read);
}

void rpc_input_begin(struct rpc_call *c)
{
	struct error error;

	c->reads = true;
	if (type(c, as_attach(c->work->request), &error) < 0)
		rpc_call_stop(c, &error);
}
