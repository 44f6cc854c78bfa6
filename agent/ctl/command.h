/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of croftctl, as a table.
 */
#ifndef CROFT_AGENT_CTL_COMMAND_H
#define CROFT_AGENT_CTL_COMMAND_H

#include "agent/ctl/http.h"
#include "vmm/base.h"

#define CTL_SOCKET_DEFAULT "/run/croft/croft.sock"
#define CTL_WAIT	   "300s" /* how long start, stop and pull wait for their operation */

/* Exit statuses. */
enum ctl_status { CTL_DONE = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHED = 3 };

struct command;

struct ctl {
	const struct command *command;
	const char *socket;
	struct http *http;
	bool json;
};

struct command {
	const char *noun, *verb; /* verb NULL: the noun is all */
	const char *arguments;	 /* for the usage; "NAME ..." when a name is needed */
	const char *help;
	/* Gives an exit status; an error that it raises is printed. argv holds what stands behind noun and verb. */
	int (*run)(struct ctl *ctl, int argc, char **argv, struct error *err);
	const char *method;
	const char *path; /* "%s" is the name */
	const char *list; /* member of a list's answer, and the columns of its table */
	const char *columns;
};

extern const struct command commands[]; /* ends with noun NULL */

/* command_make.c: commands with a body that options describe. */
int command_create_vm(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_pull_image(struct ctl *ctl, int argc, char **argv, struct error *err);

/* command_device.c: "vm disk" and "vm net" */
int command_set_device(struct ctl *ctl, int argc, char **argv, struct error *err);
/* An option of a device ("--disk=root,image=root") goes into the JSON of a spec; 1 when it is none of them. */
int command_device_option(json_t *spec, char *argument, struct error *err);

/* command_change.c: commands that change what is there */
int command_set_vm(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_label(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_resize_vm(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_cordon(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_drain(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_set_config(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_desired(struct ctl *ctl, int argc, char **argv, struct error *err);

/* command_live.c: commands that stay */
int command_attach(struct ctl *ctl, int argc, char **argv, struct error *err);
int command_top(struct ctl *ctl, int argc, char **argv, struct error *err);

/* command_doctor.c */
int command_doctor(struct ctl *ctl, int argc, char **argv, struct error *err);

/* An option of a VM ("--vcpus=2", "--label=a=b") goes into its JSON, which has "spec"; an error is raised. */
int command_vm_option(json_t *vm, char *argument, struct error *err);
/* "256M": bytes, with K, M, G or T for powers of 1024; false for anything else. */
bool command_parse_size(const char *text, json_int_t *out);
/* The path with the name, which may be NULL, for its %s, escaped, and the query; free() it. NULL with the error raised. */
char *command_path(struct ctl *ctl, const char *path, const char *name, const char *query,
		   struct error *err);

/* What they share: sends, and shows what comes back; `name` fills the path's %s; `query` may be NULL. */
struct command_request {
	const char *name;
	const char *query;
	json_t *body;
	json_int_t revision; /* that it must have; 0: any */
};
int command_send(struct ctl *ctl, const struct command_request *request, struct error *err);
int command_usage(struct ctl *ctl, struct error *err);

#endif
