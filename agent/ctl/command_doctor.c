// SPDX-License-Identifier: Apache-2.0
// croftctl doctor: checks what VMs need, from the socket up, and says what to do about what is missing.

#include <grp.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/ctl/command.h"
#include "agent/ctl/show.h"

struct doctor {
	struct ctl *ctl;
	bool well;
};

/* What helps, by the name of the check or condition. */
static const struct {
	const char *name, *advice;
} advices[] = {
	{ "service",
	  "restart it: systemctl restart croftd; and keep the log: journalctl -u croftd" },
	{ "store", "make room or repair the file system of the state directory" },
	{ "hypervisor", "the machine must boot under Gunyah and have its driver: modprobe gunyah; "
			"backend = fake tries the API without" },
	{ "images", "make room: croftctl image list shows sizes, image delete frees them" },
	{ "HypervisorAvailable", "modprobe gunyah, and see dmesg for what it says" },
	{ "StoreWritable", "make room or repair the file system of the state directory" },
	{ "Schedulable", "croftctl node uncordon lets VMs start again" },
	{ "MemoryPressure", "stop a VM, or give memory back: croftctl vm resize" },
	{ "DiskPressure", "delete images or VMs that nobody needs" },
	{ "memory for a VM", "stop a VM, or give memory back: croftctl vm resize" },
};

static void line(struct doctor *d, bool ok, const char *name, const char *message)
{
	const char *advice = NULL;

	printf("%s  %s%s%s\n", ok ? "ok    " : "FAILED", name, message && *message ? ": " : "",
	       message ? message : "");
	d->well = d->well && ok;
	for (size_t i = 0; !ok && i < ARRAY_SIZE(advices); i++)
		if (strcmp(advices[i].name, name) == 0)
			advice = advices[i].advice;
	if (advice)
		printf("        %s\n", advice);
}

/* --- The socket --- */

static const char *group_of(const struct stat *st)
{
	const struct group *group = getgrgid(st->st_gid);

	return group ? group->gr_name : "of the socket";
}

/* False when there is nothing that could answer. */
static bool check_socket(struct doctor *d)
{
	const char *path = d->ctl->socket;
	char text[256];
	struct stat st;

	if (stat(path, &st) < 0) {
		snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
		line(d, false, "socket", text);
		puts("        start the agent: systemctl start croftd; or name its socket with -s");
		return false;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(text, sizeof(text), "%s is no socket", path);
		line(d, false, "socket", text);
		return false;
	}
	if (access(path, R_OK | W_OK) < 0) {
		snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
		line(d, false, "socket", text);
		printf("        become root or a member of group %s, then log in anew\n",
		       group_of(&st));
		return false;
	}
	line(d, true, "socket", path);
	return true;
}

/* --- The agent --- */

static int get(struct doctor *d, const char *path, json_t **out, struct error *err)
{
	struct http_request request = { .method = "GET", .path = path, .accept = 503 };
	long status = 0;

	if (!http_json(d->ctl->http, &request, out, &status, err))
		return CTL_DONE;
	return status ? CTL_REFUSED : CTL_UNREACHED;
}

static int check_ready(struct doctor *d, struct error *err)
{
	json_t *answer = NULL, *check;
	int rc = get(d, "/readyz?verbose", &answer, err);
	size_t i;

	if (rc != CTL_DONE) {
		line(d, false, "agent", NULL);
		puts("        see what it says: systemctl status croftd; journalctl -u croftd");
		return rc;
	}
	line(d, true, "agent", NULL);
	json_array_foreach(json_object_get(answer, "checks"), i, check)
		line(d, json_is_true(json_object_get(check, "ok")),
		     json_string_value(json_object_get(check, "name")),
		     json_string_value(json_object_get(check, "message")));
	json_decref(answer);
	return CTL_DONE;
}

/* What VMs can do without: named, but no failure of the node. */
static void lack(const char *name, const char *message)
{
	printf("lacks   %s%s%s\n", name, *message ? ": " : "", message);
}

/* Pressure is bad when it is there, and all else when it is not. */
static void show_condition(struct doctor *d, json_t *condition)
{
	const char *type = json_string_value(json_object_get(condition, "type"));
	const char *message = json_string_value(json_object_get(condition, "message"));
	bool status = json_is_true(json_object_get(condition, "status"));

	if (!type)
		return;
	if (!status && strcmp(type, "UserNetwork") == 0) {
		lack(type, message ? message : "");
		return;
	}
	line(d, status != (strstr(type, "Pressure") != NULL), type,
	     message ? message : json_string_value(json_object_get(condition, "reason")));
}

static int check_node(struct doctor *d, struct error *err)
{
	json_t *answer = NULL, *condition;
	int rc = get(d, "/v1/node", &answer, err);
	size_t i;

	if (rc != CTL_DONE)
		return rc;
	json_array_foreach(show_find(answer, "status.conditions"), i, condition)
		show_condition(d, condition);
	line(d, json_integer_value(show_find(answer, "status.memory_available_bytes")) > 0,
	     "memory for a VM", NULL);
	json_decref(answer);
	return CTL_DONE;
}

int command_doctor(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct doctor d = { .ctl = ctl, .well = true };
	int rc;

	(void)argv;
	if (argc)
		return command_usage(ctl, err);
	if (!check_socket(&d))
		return CTL_UNREACHED;
	rc = check_ready(&d, err);
	if (rc == CTL_DONE)
		rc = check_node(&d, err);
	if (rc == CTL_DONE && !d.well)
		rc = CTL_REFUSED;
	return rc;
}
