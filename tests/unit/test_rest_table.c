// SPDX-License-Identifier: Apache-2.0
// The table of REST: every row fits its RPC's messages, and every request finds the row that is meant.

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/rest_route.h"
#include "agent/service.h"

static const ProtobufCFieldDescriptor *field_in(const char *rpc, const char *name, size_t size)
{
	char text[64];

	assert_non_null(service_method_find(rpc));
	snprintf(text, sizeof(text), "%.*s", (int)size, name);
	return protobuf_c_message_descriptor_get_field_by_name(service_method_find(rpc)->request,
							       text);
}

static const ProtobufCFieldDescriptor *field_of(const struct route *route, const char *name,
						size_t size)
{
	return field_in(route->rpc, name, size);
}

/* A parameter belongs to the row's RPC, to the stream that it watches with, or to both. */
static void check_parameter(const struct route *route, const char *name, size_t size)
{
	const ProtobufCFieldDescriptor *field = field_of(route, name, size);

	if (!field && route->watch)
		field = field_in(route->watch, name, size);
	assert_non_null(field);
	assert_int_not_equal(field->label, PROTOBUF_C_LABEL_REPEATED);
	assert_int_not_equal(field->type, PROTOBUF_C_TYPE_BYTES);
}

static bool never(void *data, const char *key)
{
	(void)data;
	(void)key;
	return false;
}

static bool always(void *data, const char *key)
{
	(void)data;
	(void)key;
	return true;
}

/* transcode_set() takes a row's fields without looking; this is where they are looked at. */
static void test_rows_fit_their_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < rest_route_count; i++) {
		const struct route *route = &rest_routes[i];
		const char *open = strchr(route->path, '{'), *word = route->query;
		const ProtobufCFieldDescriptor *field;

		print_message("%s %s\n", route->method, route->path);
		assert_non_null(service_method_find(route->rpc));
		if (route->kind == ROUTE_SOCKET)
			assert_int_equal(route->status, 101);
		else
			assert_in_range(route->status, 200, 202);
		if (open) {
			field = field_of(route, open + 1, strcspn(open + 1, "}"));
			/* Else it is the name of the object in the body. */
			if (!field)
				field = field_of(route, route->body, strlen(route->body));
			assert_non_null(field);
			assert_int_equal(field->type, field->descriptor ? PROTOBUF_C_TYPE_MESSAGE
									: PROTOBUF_C_TYPE_STRING);
		}
		if (open && route->watch)
			assert_non_null(field_in(route->watch, open + 1, strcspn(open + 1, "}")));
		if (route->body && strcmp(route->body, "*") != 0) {
			field = field_of(route, route->body, strlen(route->body));
			assert_non_null(field);
			assert_int_equal(field->type, route->kind == ROUTE_WRITE
							      ? PROTOBUF_C_TYPE_BYTES
							      : PROTOBUF_C_TYPE_MESSAGE);
		}
		if (route->fixed)
			assert_non_null(field_of(route, route->fixed, strcspn(route->fixed, "=")));
		while (word && *word) {
			char key[64];
			const char *target;
			size_t n;

			snprintf(key, sizeof(key), "%.*s", (int)strcspn(word, " ="), word);
			assert_true(route_list_has(route->query, key, &target, &n));
			check_parameter(route, target, n);
			word += strcspn(word, " ");
			word += strspn(word, " ");
		}
	}
}

/* What answers 202 is an operation, what is read has bytes, a text has a type, and health is Health. */
static void test_rows_fit_their_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < rest_route_count; i++) {
		const struct route *route = &rest_routes[i];
		const ProtobufCMessageDescriptor *reply = service_method_find(route->rpc)->reply;

		if (route->status == 202)
			assert_string_equal(reply->name, "croft.v1.Operation");
		assert_int_equal(route->type != NULL, route->kind == ROUTE_TEXT);
		if (route->kind == ROUTE_TEXT)
			assert_string_equal(reply->name, "croft.v1.Text");
		if (route->kind == ROUTE_READ)
			assert_string_equal(reply->name, "croft.v1.ReadConsoleResponse");
		if (route->kind == ROUTE_SOCKET || (route->kind == ROUTE_READ && route->watch))
			assert_string_equal(service_method_find(route->watch ? route->watch
									     : route->rpc)
						    ->reply->name,
					    "croft.v1.ReadConsoleResponse");
		if (route->kind == ROUTE_HEALTH)
			assert_string_equal(reply->name, "croft.v1.Health");
	}
}

/* Streams are watched or become sockets, and what is patched has a mask. */
static void test_rows_fit_their_methods(void **state)
{
	(void)state;
	for (size_t i = 0; i < rest_route_count; i++) {
		const struct route *route = &rest_routes[i];
		const struct method *method = service_method_find(route->rpc);
		bool changes = strcmp(route->method, "GET") != 0;

		assert_int_equal((method->flags & METHOD_STREAM) != 0, route->kind == ROUTE_SOCKET);
		assert_true(!route->watch || !changes);
		if (route->watch)
			assert_true(service_method_find(route->watch)->flags & METHOD_STREAM);
		assert_true(changes || !(method->flags & METHOD_CHANGES));
		if (strcmp(route->method, "PATCH") == 0)
			assert_non_null(field_of(route, "update_mask", strlen("update_mask")));
		if (field_of(route, "dry_run", strlen("dry_run")))
			assert_string_equal(route->query, "dry_run");
	}
}

static void test_every_rpc_has_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < service_method_count; i++) {
		size_t rows = 0;

		for (size_t j = 0; j < rest_route_count; j++)
			rows += strcmp(rest_routes[j].rpc, service_methods[i].name) == 0 ||
				(rest_routes[j].watch &&
				 strcmp(rest_routes[j].watch, service_methods[i].name) == 0);
		assert_int_not_equal(rows, 0);
	}
}

static void found(const char *method, const char *path, const char *rpc, const char *name)
{
	struct route_match match;

	route_find(&match, method, path, never, NULL);
	assert_non_null(match.route);
	assert_string_equal(match.route->rpc, rpc);
	assert_string_equal(match.name, name);
}

static void test_find(void **state)
{
	struct route_match match;

	(void)state;
	found("GET", "/v1/vms", "croft.v1.Vms/ListVms", "");
	found("GET", "/metrics", "croft.v1.NodeService/GetMetrics", "");
	found("GET", "/v1/openapi.yaml", "croft.v1.NodeService/GetOpenapi", "");
	found("HEAD", "/v1/vms", "croft.v1.Vms/ListVms", "");
	found("POST", "/v1/vms", "croft.v1.Vms/CreateVm", "");
	found("GET", "/v1/vms/web1", "croft.v1.Vms/GetVm", "web1");
	found("GET", "/v1/vms/web1/console:attach", "croft.v1.Vms/AttachConsole", "web1");
	found("POST", "/v1/vms/web1:start", "croft.v1.Vms/StartVm", "web1");
	found("GET", "/v1/vms/web1/console", "croft.v1.Vms/ReadConsole", "web1");
	found("GET", "/v1/vms/console/console", "croft.v1.Vms/ReadConsole", "console");
	found("GET", "/v1/operations/op-1", "croft.v1.Operations/GetOperation", "op-1");
	route_find(&match, "GET", "/v1/operations/op-1", always, NULL);
	assert_string_equal(match.route->rpc, "croft.v1.Operations/WaitOperation");
}

static void test_not_found(void **state)
{
	static const char *const paths[] = { "",
					     "/",
					     "/v1/vms/",
					     "/v1/vms/a/b",
					     "/v1/vms/a/console/x",
					     "/v1/vms/:start",
					     "/v1/vms//console",
					     "/v1/vms/a:start:start",
					     "/v1/vms/a:fly",
					     "/v1/vmsx",
					     "/v1/vms/a/statsx" };
	static char longest[ROUTE_NAME_MAX + 16] = "/v1/vms/";
	struct route_match match;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		route_find(&match, "GET", paths[i], never, NULL);
		assert_null(match.route);
		assert_string_equal(match.allow, "");
	}
	memset(longest + 8, 'x', ROUTE_NAME_MAX - 1);
	route_find(&match, "GET", longest, never, NULL);
	assert_non_null(match.route);
	longest[8 + ROUTE_NAME_MAX - 1] = 'x';
	route_find(&match, "GET", longest, never, NULL);
	assert_null(match.route);
}

static void test_allow(void **state)
{
	struct route_match match;

	(void)state;
	route_find(&match, "PUT", "/v1/vms", never, NULL);
	assert_null(match.route);
	assert_string_equal(match.allow, "GET, HEAD, POST");
	route_find(&match, "GET", "/v1/vms/a:start", never, NULL);
	assert_null(match.route);
	assert_string_equal(match.allow, "POST");
	route_find(&match, "get", "/v1/audit", never, NULL);
	assert_null(match.route);
	assert_string_equal(match.allow, "GET, HEAD");
}

static void test_lists(void **state)
{
	const char *target;
	size_t n;

	(void)state;
	assert_true(route_list_has("a bc wait=timeout", "wait", &target, &n));
	assert_int_equal(n, 7);
	assert_memory_equal(target, "timeout", 7);
	assert_true(route_list_has("a bc wait=timeout", "bc", &target, &n));
	assert_int_equal(n, 2);
	assert_false(route_list_has("a bc wait=timeout", "b", &target, &n));
	assert_false(route_list_has("a bc wait=timeout", "timeout", &target, &n));
	assert_false(route_list_has("a bc", "", &target, &n));
	assert_false(route_list_has(NULL, "a", &target, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_fit_their_messages),
		cmocka_unit_test(test_rows_fit_their_replies),
		cmocka_unit_test(test_rows_fit_their_methods),
		cmocka_unit_test(test_every_rpc_has_a_row),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
