// SPDX-License-Identifier: Apache-2.0
// The handlers of grpc.health.v1: which parts of the agent a service needs, and how these do.

#include "agent/method_health.h"

#include <string.h>

#include "agent/health.h"
#include "agent/message.h"
#include "agent/state.h"
#include "grpc/health/v1/health.pb-c.h"

#define LOOK_NS 1000000000ull /* between two looks of Watch */

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* A service and the checks of /readyz that it needs. What is not listed here, but has methods, needs the store. */
static const struct {
	const char *service;
	const char *checks[4];
} needs[] = {
	{ "", { "store", "hypervisor", "images" } },
	{ "croft.store", { "store" } },
	{ "croft.hypervisor", { "hypervisor" } },
	{ "croft.images", { "images" } },
	{ "croft.v1.Vms", { "store", "hypervisor" } },
	{ "croft.v1.Images", { "store", "images" } },
	{ "croft.v1.NodeService", { NULL } },
	{ "grpc.health.v1.Health", { NULL } },
	{ "grpc.reflection.v1.ServerReflection", { NULL } },
	{ "grpc.reflection.v1alpha.ServerReflection", { NULL } },
};

static bool has_methods(const char *service)
{
	size_t n = strlen(service);

	for (size_t i = 0; i < service_method_count; i++)
		if (strncmp(service_methods[i].name, service, n) == 0 &&
		    service_methods[i].name[n] == '/')
			return true;
	return false;
}

/* NULL for a service that there is not. */
static const char *const *checks_of(const char *service)
{
	static const char *const store_only[] = { "store", NULL };

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (strcmp(needs[i].service, service) == 0)
			return needs[i].checks;
	return has_methods(service) ? store_only : NULL;
}

static bool check_ok(const Croft__V1__Health *health, const char *name)
{
	for (size_t i = 0; i < health->n_checks; i++)
		if (strcmp(health->checks[i]->name, name) == 0)
			return health->checks[i]->ok;
	return false;
}

/* A status of the protocol; UNKNOWN when memory is out. */
static int status_of(struct service *service, const char *name)
{
	const char *const *checks = checks_of(name);
	Croft__V1__Health *health;
	int status = STATUS(SERVING);

	if (!checks)
		return STATUS(SERVICE_UNKNOWN);
	health = health_check(service, true);
	if (!health)
		return STATUS(UNKNOWN);
	for (; *checks; checks++)
		if (!check_ok(health, *checks))
			status = STATUS(NOT_SERVING);
	message_free(health);
	return status;
}

static Grpc__Health__V1__HealthCheckResponse *response(int status)
{
	Grpc__Health__V1__HealthCheckResponse *reply =
		message_new(&grpc__health__v1__health_check_response__descriptor);

	if (reply)
		reply->status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
	return reply;
}

static void check(struct service *service, struct call *call)
{
	const Grpc__Health__V1__HealthCheckRequest *request = (const void *)call->request;
	struct error error;
	int status = status_of(service, request->service);

	if (status == STATUS(SERVICE_UNKNOWN)) {
		error_raise_field(&error, "/service", "no such service: %.128s", request->service);
		error.code = ERROR_NOT_FOUND;
		call_fail(service, call, &error);
		return;
	}
	call_reply_now(call, response(status));
}

/* Not through call_reply_more(), which waits for the disk: that the disk is stuck must be told. */
static void tell(struct call *call, int status)
{
	call->cursor = (uint64_t)status;
	call->more = true;
	call_reply_now(call, response(status));
}

static void watch(struct service *service, struct call *call)
{
	const Grpc__Health__V1__HealthCheckRequest *request = (const void *)call->request;
	int status;

	/* Anything that changes wakes those that wait, and the checks have a cost: one look a second is enough. */
	if (call->begun && !call_expired(call)) {
		call_wait(service, call, LOOK_NS);
		return;
	}
	status = status_of(service, request->service);
	if (call->begun && (uint64_t)status == call->cursor) {
		call->more = true;
		call->done(call); /* a sign of life: it is posted again */
		return;
	}
	call->begun = true;
	call->heard = true;
	tell(call, status);
}

#define HEALTH(rpc, function, what)                                                                \
	{                                                                                          \
		.name = "grpc.health.v1.Health/" rpc,                                              \
		.request = &grpc__health__v1__health_check_request__descriptor,                    \
		.reply = &grpc__health__v1__health_check_response__descriptor, .handle = function, \
		.flags = what                                                                      \
	}

const struct method health_methods[] = {
	HEALTH("Check", check, 0),
	HEALTH("Watch", watch, METHOD_STREAM),
};
const size_t health_method_count = ARRAY_SIZE(health_methods);
