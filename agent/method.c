// SPDX-License-Identifier: Apache-2.0
// The method table: every RPC of api/proto with its messages and its handler.

#include "agent/method.h"

#include <string.h>

#include "croft/v1/audit.pb-c.h"
#include "croft/v1/desired.pb-c.h"
#include "croft/v1/config.pb-c.h"
#include "croft/v1/event.pb-c.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"

/* Who may: see enum role. A client without a role may only ask what asks whether the agent lives. */
#define ANYBODY	 0
#define READS	 (ROLE_VIEWER | ROLE_OPERATOR | ROLE_ADMIN | ROLE_CONSOLE)
#define OPERATES (ROLE_OPERATOR | ROLE_ADMIN)
#define TYPES	 (ROLE_CONSOLE | ROLE_ADMIN)

#define METHOD(rpc, in, out, function, who, what, ...)                                      \
	{                                                                                   \
		.name = "croft.v1." rpc, .request = &croft__v1__##in##__descriptor,         \
		.reply = &croft__v1__##out##__descriptor, .handle = function, .roles = who, \
		.flags = what, __VA_ARGS__                                                  \
	}

const struct method service_methods[] = {
	METHOD("Vms/CreateVm", create_vm_request, vm, method_create_vm, OPERATES, METHOD_CHANGES),
	METHOD("Vms/GetVm", get_vm_request, vm, method_get_vm, READS, 0),
	METHOD("Vms/ListVms", list_vms_request, list_vms_response, method_list_vms, READS, 0),
	METHOD("Vms/DeleteVm", delete_vm_request, vm, method_delete_vm, OPERATES, METHOD_CHANGES),
	METHOD("Vms/StartVm", start_vm_request, operation, method_start_vm, OPERATES,
	       METHOD_CHANGES),
	METHOD("Vms/StopVm", stop_vm_request, operation, method_stop_vm, OPERATES, METHOD_CHANGES),
	METHOD("Vms/UpdateVm", update_vm_request, vm, method_update_vm, OPERATES, METHOD_CHANGES),
	METHOD("Vms/RestartVm", restart_vm_request, operation, method_restart_vm, OPERATES,
	       METHOD_CHANGES),
	METHOD("Vms/ResizeVm", resize_vm_request, vm, method_resize_vm, OPERATES, METHOD_CHANGES),
	METHOD("Vms/GetVmStats", get_vm_stats_request, vm_stats, method_get_vm_stats, READS, 0),
	METHOD("Vms/WatchVmStats", watch_vm_stats_request, vm_stats, method_watch_vm_stats, READS,
	       METHOD_STREAM, .close = method_watch_vm_stats_close),
	METHOD("Vms/ReadConsole", read_console_request, read_console_response, method_read_console,
	       TYPES, 0),
	METHOD("Vms/FollowConsole", follow_console_request, read_console_response,
	       method_follow_console, TYPES, METHOD_STREAM, .close = method_follow_console_close),
	METHOD("Vms/AttachConsole", attach_console_request, read_console_response,
	       method_attach_console, TYPES, METHOD_STREAM | METHOD_INPUT,
	       .close = method_attach_console_close),
	METHOD("Vms/WriteConsole", write_console_request, write_console_response,
	       method_write_console, TYPES, 0),
	METHOD("Images/PullImage", pull_image_request, operation, method_pull_image, OPERATES,
	       METHOD_CHANGES),
	METHOD("Images/GetImage", get_image_request, image, method_get_image, READS, 0),
	METHOD("Images/ListImages", list_images_request, list_images_response, method_list_images,
	       READS, 0),
	METHOD("Images/UpdateImage", update_image_request, image, method_update_image, OPERATES,
	       METHOD_CHANGES),
	METHOD("Images/DeleteImage", delete_image_request, image, method_delete_image, OPERATES,
	       METHOD_CHANGES),
	METHOD("Operations/GetOperation", get_operation_request, operation, method_get_operation,
	       READS, 0),
	METHOD("Operations/ListOperations", list_operations_request, list_operations_response,
	       method_list_operations, READS, 0),
	METHOD("Operations/WaitOperation", wait_operation_request, operation, method_wait_operation,
	       READS, 0),
	METHOD("Operations/WatchOperation", get_operation_request, operation,
	       method_watch_operation, READS, METHOD_STREAM, .close = method_watch_operation_close),
	METHOD("Operations/CancelOperation", cancel_operation_request, operation,
	       method_cancel_operation, OPERATES, METHOD_CHANGES),
	METHOD("Events/ReadEvents", read_events_request, read_events_response, method_read_events,
	       READS, 0, .close = method_events_close),
	METHOD("Events/WatchEvents", watch_events_request, event, method_watch_events, READS,
	       METHOD_STREAM, .close = method_events_close),
	METHOD("Audit/ListAuditRecords", list_audit_records_request, list_audit_records_response,
	       method_list_audit_records, ROLE_ADMIN, 0),
	METHOD("DesiredService/GetDesired", get_desired_request, desired, method_get_desired, READS,
	       0),
	METHOD("DesiredService/PutDesired", put_desired_request, desired, method_put_desired,
	       OPERATES, METHOD_CHANGES),
	METHOD("DesiredService/DiffDesired", diff_desired_request, diff_desired_response,
	       method_diff_desired, READS, 0),
	METHOD("DesiredService/ApplyDesired", apply_desired_request, desired, method_apply_desired,
	       OPERATES, METHOD_CHANGES),
	METHOD("DesiredService/DeleteDesired", delete_desired_request, desired,
	       method_delete_desired, OPERATES, METHOD_CHANGES),
	METHOD("NodeService/GetNode", get_node_request, node, method_get_node, READS, 0),
	METHOD("NodeService/UpdateNode", update_node_request, node, method_update_node, OPERATES,
	       METHOD_CHANGES),
	METHOD("NodeService/CordonNode", cordon_node_request, node, method_cordon_node, OPERATES,
	       METHOD_CHANGES),
	METHOD("NodeService/UncordonNode", uncordon_node_request, node, method_uncordon_node,
	       OPERATES, METHOD_CHANGES),
	METHOD("NodeService/DrainNode", drain_node_request, operation, method_drain_node, OPERATES,
	       METHOD_CHANGES),
	METHOD("NodeService/GetVersion", get_version_request, version, method_get_version, ANYBODY,
	       0),
	METHOD("NodeService/CheckHealth", check_health_request, health, method_check_health,
	       ANYBODY, 0),
	METHOD("NodeService/GetMetrics", get_metrics_request, text, method_get_metrics, READS, 0),
	METHOD("NodeService/GetOpenapi", get_openapi_request, text, method_get_openapi, READS, 0),
	METHOD("ConfigService/GetConfig", get_config_request, config, method_get_config, ROLE_ADMIN,
	       0),
	METHOD("ConfigService/UpdateConfig", update_config_request, config, method_update_config,
	       ROLE_ADMIN, METHOD_CHANGES),
};
const size_t service_method_count = ARRAY_SIZE(service_methods);

const struct method *service_method_find(const char *name)
{
	for (size_t i = 0; i < service_method_count; i++)
		if (strcmp(service_methods[i].name, name) == 0)
			return &service_methods[i];
	return NULL;
}
