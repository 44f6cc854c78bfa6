/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers behind the method table. Each runs on the service thread and does not block.
 */
#ifndef CROFT_AGENT_METHOD_H
#define CROFT_AGENT_METHOD_H

#include "agent/state.h"

#define METHOD_WAIT_DEFAULT_NS 30000000000ull /* of WaitOperation */
#define METHOD_WAIT_MAX_NS     300000000000ull
#define METHOD_FOLLOW_MAX_NS   30000000000ull /* of ReadConsole and ReadEvents */

/* method_vm.c */
void method_create_vm(struct service *service, struct call *call);
void method_get_vm(struct service *service, struct call *call);
void method_list_vms(struct service *service, struct call *call);
void method_delete_vm(struct service *service, struct call *call);
void method_start_vm(struct service *service, struct call *call);
void method_stop_vm(struct service *service, struct call *call);

/* method_guest.c */
void method_get_vm_stats(struct service *service, struct call *call);
void method_read_console(struct service *service, struct call *call);
void method_write_console(struct service *service, struct call *call);

/* method_image.c */
void method_pull_image(struct service *service, struct call *call);
void method_get_image(struct service *service, struct call *call);
void method_list_images(struct service *service, struct call *call);
void method_delete_image(struct service *service, struct call *call);

/* method_operation.c */
void method_get_operation(struct service *service, struct call *call);
void method_list_operations(struct service *service, struct call *call);
void method_wait_operation(struct service *service, struct call *call);
void method_cancel_operation(struct service *service, struct call *call);

/* method_event.c */
void method_read_events(struct service *service, struct call *call);

/* method_node.c */
void method_get_node(struct service *service, struct call *call);
void method_get_version(struct service *service, struct call *call);
void method_check_health(struct service *service, struct call *call);
void method_get_metrics(struct service *service, struct call *call);
void method_get_openapi(struct service *service, struct call *call);

#endif
