// SPDX-License-Identifier: Apache-2.0
// The method table: every RPC of api/proto with its messages and its handler.

#include "agent/method.h"

#include <string.h>

#include "croft/v1/event.pb-c.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/operation.pb-c.h"
#include "croft/v1/vm.pb-c.h"

#define METHOD(rpc, in, out, function)                                                            \
	{                                                                                         \
		"croft.v1." rpc, &croft__v1__##in##__descriptor, &croft__v1__##out##__descriptor, \
			function                                                                  \
	}

const struct method service_methods[] = {
	METHOD("Vms/CreateVm", create_vm_request, vm, method_create_vm),
	METHOD("Vms/GetVm", get_vm_request, vm, method_get_vm),
	METHOD("Vms/ListVms", list_vms_request, list_vms_response, method_list_vms),
	METHOD("Vms/DeleteVm", delete_vm_request, vm, method_delete_vm),
	METHOD("Vms/StartVm", start_vm_request, operation, method_start_vm),
	METHOD("Vms/StopVm", stop_vm_request, operation, method_stop_vm),
	METHOD("Vms/GetVmStats", get_vm_stats_request, vm_stats, method_get_vm_stats),
	METHOD("Vms/ReadConsole", read_console_request, read_console_response, method_read_console),
	METHOD("Vms/WriteConsole", write_console_request, write_console_response,
	       method_write_console),
	METHOD("Images/PullImage", pull_image_request, operation, method_pull_image),
	METHOD("Images/GetImage", get_image_request, image, method_get_image),
	METHOD("Images/ListImages", list_images_request, list_images_response, method_list_images),
	METHOD("Images/DeleteImage", delete_image_request, image, method_delete_image),
	METHOD("Operations/GetOperation", get_operation_request, operation, method_get_operation),
	METHOD("Operations/ListOperations", list_operations_request, list_operations_response,
	       method_list_operations),
	METHOD("Operations/WaitOperation", wait_operation_request, operation,
	       method_wait_operation),
	METHOD("Operations/CancelOperation", cancel_operation_request, operation,
	       method_cancel_operation),
	METHOD("Events/ReadEvents", read_events_request, read_events_response, method_read_events),
	METHOD("NodeService/GetNode", get_node_request, node, method_get_node),
	METHOD("NodeService/GetVersion", get_version_request, version, method_get_version),
	METHOD("NodeService/CheckHealth", check_health_request, health, method_check_health),
	METHOD("NodeService/GetMetrics", get_metrics_request, text, method_get_metrics),
	METHOD("NodeService/GetOpenapi", get_openapi_request, text, method_get_openapi),
};
const size_t service_method_count = ARRAY_SIZE(service_methods);

const struct method *service_method_find(const char *name)
{
	for (size_t i = 0; i < service_method_count; i++)
		if (strcmp(service_methods[i].name, name) == 0)
			return &service_methods[i];
	return NULL;
}
