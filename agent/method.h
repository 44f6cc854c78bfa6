/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers behind the method table. Each runs on the service thread and does not block.
 */
#ifndef CROFT_AGENT_METHOD_H
#define CROFT_AGENT_METHOD_H

#include "agent/state.h"
#include "google/protobuf/duration.pb-c.h"

/* --- What handlers share --- */

struct page_source;

/* Replies, NULL being out of memory, or fails and frees the reply. */
void method_answer(struct service *service, struct call *call, int r, void *reply,
		   const struct error *error);

/* The page of a list, as page.h says. */
void method_list(struct service *service, struct call *call, const struct page_source *source);

/* The operation that a dry run answers, which has no name; NULL without memory. */
void *method_preview(const char *verb, const char *collection, const char *name, const char *actor);

/* A duration that a request may have: from nothing to a maximum. */
struct method_duration {
	const char *field;
	uint64_t absent_ns, max_ns;
};
extern const struct method_duration method_patience; /* of a guest that is asked to end */
extern const struct method_duration method_follow;   /* of a read of what is not there yet */

/* INVALID_ARGUMENT with the field. Takes NULL. */
int method_take_duration(const struct method_duration *what, const Google__Protobuf__Duration *d,
			 uint64_t *ns, struct error *err);

/* --- The handlers --- */

/* method_vm.c */
void method_create_vm(struct service *service, struct call *call);
void method_get_vm(struct service *service, struct call *call);
void method_list_vms(struct service *service, struct call *call);
void method_delete_vm(struct service *service, struct call *call);
void method_start_vm(struct service *service, struct call *call);
void method_stop_vm(struct service *service, struct call *call);
void method_update_vm(struct service *service, struct call *call);
void method_resize_vm(struct service *service, struct call *call);
void method_restart_vm(struct service *service, struct call *call);

/* method_guest.c */
void method_get_vm_stats(struct service *service, struct call *call);
void method_watch_vm_stats(struct service *service, struct call *call);
void method_watch_vm_stats_close(struct service *service, struct call *call);

/* method_console.c */
void method_read_console(struct service *service, struct call *call);
void method_follow_console(struct service *service, struct call *call);
void method_attach_console(struct service *service, struct call *call);
void method_follow_console_close(struct service *service, struct call *call);
void method_attach_console_close(struct service *service, struct call *call);
void method_write_console(struct service *service, struct call *call);

/* method_image.c */
void method_pull_image(struct service *service, struct call *call);
void method_get_image(struct service *service, struct call *call);
void method_list_images(struct service *service, struct call *call);
void method_update_image(struct service *service, struct call *call);
void method_delete_image(struct service *service, struct call *call);

/* method_operation.c */
void method_get_operation(struct service *service, struct call *call);
void method_list_operations(struct service *service, struct call *call);
void method_wait_operation(struct service *service, struct call *call);
void method_watch_operation(struct service *service, struct call *call);
void method_watch_operation_close(struct service *service, struct call *call);
void method_cancel_operation(struct service *service, struct call *call);

/* method_event.c */
void method_read_events(struct service *service, struct call *call);
void method_watch_events(struct service *service, struct call *call);
void method_events_close(struct service *service, struct call *call);

/* method_audit.c */
void method_list_audit_records(struct service *service, struct call *call);

/* method_desired.c */
void method_get_desired(struct service *service, struct call *call);
void method_put_desired(struct service *service, struct call *call);
void method_diff_desired(struct service *service, struct call *call);
void method_apply_desired(struct service *service, struct call *call);
void method_delete_desired(struct service *service, struct call *call);

/* method_node.c */
void method_get_node(struct service *service, struct call *call);
void method_update_node(struct service *service, struct call *call);
void method_cordon_node(struct service *service, struct call *call);
void method_uncordon_node(struct service *service, struct call *call);
void method_drain_node(struct service *service, struct call *call);
void method_get_version(struct service *service, struct call *call);
void method_check_health(struct service *service, struct call *call);
void method_get_metrics(struct service *service, struct call *call);
void method_get_openapi(struct service *service, struct call *call);

/* method_config.c */
void method_get_config(struct service *service, struct call *call);
void method_update_config(struct service *service, struct call *call);

#endif
