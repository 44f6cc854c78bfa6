// SPDX-License-Identifier: Apache-2.0
// The table of REST, and finding a row of it.

#include "agent/rest_route.h"

#include <string.h>

#define PAGES .query = "page_size page_token filter"
#define DRY   .query = "dry_run"
#define WAITS .status = 202, .own = "wait"

const struct route rest_routes[] = {
	{ .method = "GET",
	  .path = "/livez",
	  .rpc = "croft.v1.NodeService/CheckHealth",
	  .status = 200,
	  .kind = ROUTE_HEALTH,
	  .own = "verbose",
	  .fixed = "kind=live" },
	{ .method = "GET",
	  .path = "/readyz",
	  .rpc = "croft.v1.NodeService/CheckHealth",
	  .status = 200,
	  .kind = ROUTE_HEALTH,
	  .own = "verbose",
	  .fixed = "kind=ready" },
	{ .method = "GET",
	  .path = "/metrics",
	  .rpc = "croft.v1.NodeService/GetMetrics",
	  .status = 200,
	  .kind = ROUTE_TEXT,
	  .type = "application/openmetrics-text; version=1.0.0; charset=utf-8" },
	{ .method = "GET",
	  .path = "/version",
	  .rpc = "croft.v1.NodeService/GetVersion",
	  .status = 200 },
	{ .method = "GET",
	  .path = "/v1/openapi.yaml",
	  .rpc = "croft.v1.NodeService/GetOpenapi",
	  .status = 200,
	  .kind = ROUTE_TEXT,
	  .type = "application/yaml" },

	{ .method = "GET",
	  .path = "/v1/node",
	  .rpc = "croft.v1.NodeService/GetNode",
	  .status = 200 },
	{ .method = "PUT",
	  .path = "/v1/node",
	  .rpc = "croft.v1.NodeService/UpdateNode",
	  .body = "node",
	  .status = 200,
	  DRY },
	{ .method = "PATCH",
	  .path = "/v1/node",
	  .rpc = "croft.v1.NodeService/UpdateNode",
	  .body = "node",
	  .status = 200,
	  DRY },
	{ .method = "POST",
	  .path = "/v1/node:cordon",
	  .rpc = "croft.v1.NodeService/CordonNode",
	  .body = "*",
	  .status = 200,
	  DRY },
	{ .method = "POST",
	  .path = "/v1/node:uncordon",
	  .rpc = "croft.v1.NodeService/UncordonNode",
	  .body = "*",
	  .status = 200,
	  DRY },
	{ .method = "POST",
	  .path = "/v1/node:drain",
	  .rpc = "croft.v1.NodeService/DrainNode",
	  .body = "*",
	  DRY,
	  WAITS },

	{ .method = "GET",
	  .path = "/v1/config",
	  .rpc = "croft.v1.ConfigService/GetConfig",
	  .status = 200 },
	{ .method = "PUT",
	  .path = "/v1/config",
	  .rpc = "croft.v1.ConfigService/UpdateConfig",
	  .body = "config",
	  .status = 200,
	  DRY },
	{ .method = "PATCH",
	  .path = "/v1/config",
	  .rpc = "croft.v1.ConfigService/UpdateConfig",
	  .body = "config",
	  .status = 200,
	  DRY },

	{ .method = "GET",
	  .path = "/v1/images",
	  .rpc = "croft.v1.Images/ListImages",
	  .status = 200,
	  PAGES },
	{ .method = "POST",
	  .path = "/v1/images",
	  .rpc = "croft.v1.Images/PullImage",
	  .body = "image",
	  DRY,
	  WAITS },
	{ .method = "GET",
	  .path = "/v1/images/{name}",
	  .rpc = "croft.v1.Images/GetImage",
	  .status = 200 },
	{ .method = "PUT",
	  .path = "/v1/images/{name}",
	  .rpc = "croft.v1.Images/UpdateImage",
	  .body = "image",
	  .status = 200,
	  DRY },
	{ .method = "PATCH",
	  .path = "/v1/images/{name}",
	  .rpc = "croft.v1.Images/UpdateImage",
	  .body = "image",
	  .status = 200,
	  DRY },
	{ .method = "DELETE",
	  .path = "/v1/images/{name}",
	  .rpc = "croft.v1.Images/DeleteImage",
	  .status = 200,
	  DRY },

	{ .method = "GET", .path = "/v1/vms", .rpc = "croft.v1.Vms/ListVms", .status = 200, PAGES },
	{ .method = "POST",
	  .path = "/v1/vms",
	  .rpc = "croft.v1.Vms/CreateVm",
	  .body = "vm",
	  .status = 201,
	  DRY },
	{ .method = "GET", .path = "/v1/vms/{name}", .rpc = "croft.v1.Vms/GetVm", .status = 200 },
	{ .method = "PUT",
	  .path = "/v1/vms/{name}",
	  .rpc = "croft.v1.Vms/UpdateVm",
	  .body = "vm",
	  .status = 200,
	  DRY },
	{ .method = "PATCH",
	  .path = "/v1/vms/{name}",
	  .rpc = "croft.v1.Vms/UpdateVm",
	  .body = "vm",
	  .status = 200,
	  DRY },
	{ .method = "DELETE",
	  .path = "/v1/vms/{name}",
	  .rpc = "croft.v1.Vms/DeleteVm",
	  .status = 200,
	  DRY },
	{ .method = "POST",
	  .path = "/v1/vms/{name}:start",
	  .rpc = "croft.v1.Vms/StartVm",
	  .body = "*",
	  DRY,
	  WAITS },
	{ .method = "POST",
	  .path = "/v1/vms/{name}:stop",
	  .rpc = "croft.v1.Vms/StopVm",
	  .body = "*",
	  DRY,
	  WAITS },
	{ .method = "POST",
	  .path = "/v1/vms/{name}:restart",
	  .rpc = "croft.v1.Vms/RestartVm",
	  .body = "*",
	  DRY,
	  WAITS },
	{ .method = "POST",
	  .path = "/v1/vms/{name}:resize",
	  .rpc = "croft.v1.Vms/ResizeVm",
	  .body = "*",
	  .status = 200,
	  DRY },
	{ .method = "GET",
	  .path = "/v1/vms/{name}/stats",
	  .rpc = "croft.v1.Vms/GetVmStats",
	  .watch = "croft.v1.Vms/WatchVmStats",
	  .status = 200,
	  .query = "interval" },
	{ .method = "GET",
	  .path = "/v1/vms/{name}/console",
	  .rpc = "croft.v1.Vms/ReadConsole",
	  .watch = "croft.v1.Vms/FollowConsole",
	  .status = 200,
	  .kind = ROUTE_READ,
	  .query = "offset max_bytes wait tail_bytes port",
	  .own = "follow" },
	{ .method = "POST",
	  .path = "/v1/vms/{name}/console",
	  .rpc = "croft.v1.Vms/WriteConsole",
	  .body = "data",
	  .status = 200,
	  .kind = ROUTE_WRITE,
	  .query = "port columns rows" },
	{ .method = "GET",
	  .path = "/v1/vms/{name}/console:attach",
	  .rpc = "croft.v1.Vms/AttachConsole",
	  .status = 101,
	  .kind = ROUTE_SOCKET,
	  .query = "write offset tail_bytes port columns rows" },

	{ .method = "GET",
	  .path = "/v1/operations",
	  .rpc = "croft.v1.Operations/ListOperations",
	  .status = 200,
	  PAGES },
	{ .method = "GET",
	  .path = "/v1/operations/{name}",
	  .rpc = "croft.v1.Operations/WaitOperation",
	  .status = 200,
	  .query = "wait=timeout",
	  .when = "wait" },
	{ .method = "GET",
	  .path = "/v1/operations/{name}",
	  .rpc = "croft.v1.Operations/GetOperation",
	  .watch = "croft.v1.Operations/WatchOperation",
	  .status = 200 },
	{ .method = "POST",
	  .path = "/v1/operations/{name}:cancel",
	  .rpc = "croft.v1.Operations/CancelOperation",
	  .body = "*",
	  .status = 200 },

	{ .method = "GET",
	  .path = "/v1/events",
	  .rpc = "croft.v1.Events/ReadEvents",
	  .watch = "croft.v1.Events/WatchEvents",
	  .status = 200,
	  .query = "after max_events wait filter" },

	{ .method = "GET",
	  .path = "/v1/desired",
	  .rpc = "croft.v1.DesiredService/GetDesired",
	  .status = 200 },
	{ .method = "PUT",
	  .path = "/v1/desired",
	  .rpc = "croft.v1.DesiredService/PutDesired",
	  .body = "desired",
	  .status = 200,
	  DRY },
	{ .method = "DELETE",
	  .path = "/v1/desired",
	  .rpc = "croft.v1.DesiredService/DeleteDesired",
	  .status = 200 },
	{ .method = "POST",
	  .path = "/v1/desired:diff",
	  .rpc = "croft.v1.DesiredService/DiffDesired",
	  .body = "desired",
	  .may_be_empty = true,
	  .status = 200 },
	{ .method = "POST",
	  .path = "/v1/desired:apply",
	  .rpc = "croft.v1.DesiredService/ApplyDesired",
	  .body = "*",
	  .status = 200,
	  DRY },

	{ .method = "GET",
	  .path = "/v1/audit",
	  .rpc = "croft.v1.Audit/ListAuditRecords",
	  .status = 200,
	  PAGES },
};
const size_t rest_route_count = ARRAY_SIZE(rest_routes);

/* The parameter is one path segment without a colon, so that a verb is never part of a name. */
static bool path_match(const char *pattern, const char *path, char name[ROUTE_NAME_MAX])
{
	const char *tail;
	size_t suffix, n;

	name[0] = '\0';
	while (*pattern && *pattern != '{' && *pattern == *path) {
		pattern++;
		path++;
	}
	if (*pattern != '{')
		return !*pattern && !*path;
	tail = strchr(pattern, '}') + 1;
	suffix = strlen(tail);
	n = strlen(path);
	if (n <= suffix || n - suffix >= ROUTE_NAME_MAX || strcmp(path + n - suffix, tail) != 0)
		return false;
	n -= suffix;
	memcpy(name, path, n);
	name[n] = '\0';
	return strcspn(name, "/:") == n;
}

static void allow_add(char *allow, size_t size, const char *method)
{
	size_t n = strlen(allow);

	if (!strstr(allow, method))
		snprintf(allow + n, size - n, "%s%s", n ? ", " : "", method);
}

void route_find(struct route_match *out, const char *method, const char *path,
		bool (*has)(void *data, const char *key), void *data)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	char name[ROUTE_NAME_MAX];

	*out = (struct route_match){ 0 };
	for (size_t i = 0; i < rest_route_count; i++) {
		const struct route *route = &rest_routes[i];

		if (!path_match(route->path, path, name))
			continue;
		if (strcmp(route->method, wanted) == 0 &&
		    (!route->when || has(data, route->when))) {
			out->route = route;
			memcpy(out->name, name, sizeof(name));
			return;
		}
		allow_add(out->allow, sizeof(out->allow), route->method);
		if (strcmp(route->method, "GET") == 0)
			allow_add(out->allow, sizeof(out->allow), "HEAD");
	}
}

bool route_list_has(const char *list, const char *word, const char **target, size_t *size)
{
	size_t n = strlen(word);

	while (list && *list) {
		size_t len = strcspn(list, " "), key = strcspn(list, " =");

		if (key == n && strncmp(list, word, n) == 0) {
			*target = key < len ? list + key + 1 : list;
			*size = key < len ? len - key - 1 : len;
			return true;
		}
		list += len + strspn(list + len, " ");
	}
	return false;
}
