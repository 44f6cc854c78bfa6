// SPDX-License-Identifier: Apache-2.0
// Server reflection (grpc.reflection.v1 and v1alpha, which are the same on the wire): describes the API to tools.

#include <string.h>

#include "agent/descriptor.h"
#include "agent/fault.h"
#include "agent/message.h"
#include "agent/rpc_call.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

#define ASKS(what)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWERS(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

bool rpc_is_reflection(const char *name)
{
	return strcmp(name, "grpc.reflection.v1.ServerReflection/ServerReflectionInfo") == 0 ||
	       strcmp(name, "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") == 0;
}

/* --- Answers: each sets one member of the response; -ENOMEM --- */

static int answer_error(Response *out, enum error_code code, const char *text)
{
	Grpc__Reflection__V1__ErrorResponse *error =
		message_new(&grpc__reflection__v1__error_response__descriptor);

	if (!error)
		return -ENOMEM;
	error->error_code = fault_of(code)->grpc;
	message_set_string(&error->error_message, text);
	out->message_response_case = ANSWERS(ERROR_RESPONSE);
	out->error_response = error;
	return 0;
}

static int answer_files(Response *out, int file)
{
	Grpc__Reflection__V1__FileDescriptorResponse *files;
	uint64_t set;

	if (file < 0)
		return answer_error(out, ERROR_NOT_FOUND, "no such file or symbol");
	files = message_new(&grpc__reflection__v1__file_descriptor_response__descriptor);
	if (!files)
		return -ENOMEM;
	out->message_response_case = ANSWERS(FILE_DESCRIPTOR_RESPONSE);
	out->file_descriptor_response = files;
	files->file_descriptor_proto =
		calloc(DESCRIPTOR_FILES_MAX, sizeof(*files->file_descriptor_proto));
	if (!files->file_descriptor_proto)
		return -ENOMEM;
	set = descriptor_closure((size_t)file);
	/* The file that was asked for comes first. */
	for (size_t i = (size_t)file + 1; i-- > 0;) {
		ProtobufCBinaryData bytes = descriptor_file(i);
		ProtobufCBinaryData *copy =
			&files->file_descriptor_proto[files->n_file_descriptor_proto];

		if (!(set >> i & 1))
			continue;
		copy->data = malloc(bytes.len);
		if (!copy->data)
			return -ENOMEM;
		memcpy(copy->data, bytes.data, bytes.len);
		copy->len = bytes.len;
		files->n_file_descriptor_proto++;
	}
	return 0;
}

static int add_service(void *data, const char *name)
{
	Grpc__Reflection__V1__ListServiceResponse *list = data;
	Grpc__Reflection__V1__ServiceResponse *service =
		message_new(&grpc__reflection__v1__service_response__descriptor);

	if (!service || message_append(&list->service, &list->n_service, service) < 0) {
		message_free(service);
		return -ENOMEM;
	}
	message_set_string(&service->name, name);
	return 0;
}

static int answer_services(Response *out)
{
	Grpc__Reflection__V1__ListServiceResponse *list =
		message_new(&grpc__reflection__v1__list_service_response__descriptor);

	if (!list)
		return -ENOMEM;
	out->message_response_case = ANSWERS(LIST_SERVICES_RESPONSE);
	out->list_services_response = list;
	return descriptor_services(add_service, list);
}

/* proto3 messages have no extensions. */
static int answer_extensions(Response *out, const char *type)
{
	Grpc__Reflection__V1__ExtensionNumberResponse *numbers;

	if (!descriptor_is_message(type))
		return answer_error(out, ERROR_NOT_FOUND, "no such message");
	numbers = message_new(&grpc__reflection__v1__extension_number_response__descriptor);
	if (!numbers)
		return -ENOMEM;
	message_set_string(&numbers->base_type_name, type);
	out->message_response_case = ANSWERS(ALL_EXTENSION_NUMBERS_RESPONSE);
	out->all_extension_numbers_response = numbers;
	return 0;
}

static int answer(Response *out, const Request *request)
{
	switch (request->message_request_case) {
	case ASKS(FILE_BY_FILENAME):
		return answer_files(out, descriptor_find_file(request->file_by_filename));
	case ASKS(FILE_CONTAINING_SYMBOL):
		return answer_files(out, descriptor_find_symbol(request->file_containing_symbol));
	case ASKS(FILE_CONTAINING_EXTENSION):
		return answer_error(out, ERROR_NOT_FOUND, "no such extension");
	case ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE):
		return answer_extensions(out, request->all_extension_numbers_of_type);
	case ASKS(LIST_SERVICES):
		return answer_services(out);
	default:
		return answer_error(out, ERROR_INVALID_ARGUMENT, "the request asks for nothing");
	}
}

/* --- The conversation --- */

static void read_on(struct rpc_call *c, bool ok);

static void sent(struct rpc_call *c, bool ok)
{
	struct error error;

	if (c->rpc->closing) {
		error_raise(&error, ERROR_UNAVAILABLE, "the agent is going down");
		rpc_call_fail(c, &error);
	} else if (ok) {
		rpc_call_read(c, read_on);
	}
	rpc_call_put(c);
}

static int reply(struct rpc_call *c, struct error *err)
{
	ProtobufCMessage *message;
	Response *response;
	int rc = rpc_request_unpack(c, &grpc__reflection__v1__server_reflection_request__descriptor,
				    &message, err);

	if (rc < 0)
		return rc;
	response = message_new(&grpc__reflection__v1__server_reflection_response__descriptor);
	rc = response ? answer(response, (const Request *)(void *)message) : -ENOMEM;
	if (rc == 0) {
		message_set_string(&response->valid_host, ((Request *)(void *)message)->host);
		response->original_request = (Request *)(void *)TAKE_PTR(message);
		rpc_call_send(c, &response->base, sent);
	} else {
		error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	message_free(message);
	message_free(response);
	return rc;
}

void rpc_reflection_begin(struct rpc_call *c)
{
	struct error error;

	if (!c->payload)
		rpc_call_end(c, NULL);
	else if (reply(c, &error) < 0)
		rpc_call_fail(c, &error);
}

static void read_on(struct rpc_call *c, bool ok)
{
	if (ok && !c->over)
		rpc_reflection_begin(c);
	rpc_call_put(c);
}
