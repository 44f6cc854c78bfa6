// SPDX-License-Identifier: Apache-2.0
// The commands of croftctl that need no body, or a fixed one.

#include "agent/ctl/command.h"

#include <string.h>

#include "agent/ctl/show.h"

int command_usage(struct ctl *ctl, struct error *err)
{
	const struct command *c = ctl->command;

	error_raise(err, ERROR_INVALID_ARGUMENT, "usage: croftctl %s%s%s %s", c->noun,
		    c->verb ? " " : "", c->verb ? c->verb : "", c->arguments ? c->arguments : "");
	return CTL_USAGE;
}

char *command_path(struct ctl *ctl, const char *path, const char *name, const char *query,
		   struct error *err)
{
	_cleanup_free_ char *escaped = name ? http_escape(ctl->http, name) : NULL;
	const char *hole = strstr(path, "%s");
	char *out = NULL;

	if ((name && !escaped) ||
	    asprintf(&out, "%.*s%s%s%s%s", hole ? (int)(hole - path) : (int)strlen(path), path,
		     hole && escaped ? escaped : "", hole ? hole + 2 : "", query ? "?" : "",
		     query ? query : "") < 0) {
		error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	return out;
}

static void show(struct ctl *ctl, json_t *answer)
{
	const char *state = json_string_value(json_object_get(answer, "state"));
	const char *verb = json_string_value(json_object_get(answer, "verb"));
	const char *target = json_string_value(json_object_get(answer, "target"));

	if (ctl->json)
		show_json(answer);
	else if (ctl->command->list)
		show_table(json_object_get(answer, ctl->command->list), ctl->command->columns);
	else if (verb && state && target && strcmp(ctl->command->noun, "operation") != 0)
		printf("%s %s: %s (%s)\n", verb, target, state,
		       json_string_value(json_object_get(answer, "name")));
	else
		show_object(answer);
}

int command_send(struct ctl *ctl, const struct command_request *request, struct error *err)
{
	_cleanup_free_ char *path =
		command_path(ctl, ctl->command->path, request->name, request->query, err);
	struct http_request http = { .method = ctl->command->method,
				     .path = path,
				     .body = request->body,
				     .revision = request->revision };
	json_t *answer = NULL;
	long status;

	if (!path)
		return CTL_REFUSED;
	if (http_json(ctl->http, &http, &answer, &status, err))
		return status ? CTL_REFUSED : CTL_UNREACHED;
	show(ctl, answer);
	json_decref(answer);
	return CTL_DONE;
}

/* "[NAME]" and nothing else. */
static int run_plain(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool named = strstr(ctl->command->path, "%s") != NULL;
	struct command_request request = { .name = named && argc == 1 ? argv[0] : NULL };

	if (argc != (named ? 1 : 0))
		return command_usage(ctl, err);
	return command_send(ctl, &request, err);
}

/* All pages as one. */
static int run_list(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	json_t *all = json_array(), *answer = NULL;
	_cleanup_free_ char *path = NULL;
	long status = 0;
	int rc = CTL_DONE;

	(void)argv;
	if (argc)
		rc = command_usage(ctl, err);
	while (rc == CTL_DONE) {
		const char *token = json_string_value(json_object_get(answer, "next_page_token"));
		_cleanup_free_ char *escaped = token ? http_escape(ctl->http, token) : NULL;
		char query[512] = "page_size=1000";
		struct http_request http = { .method = "GET" };

		if (answer && (!token || !token[0]))
			break;
		if (token)
			snprintf(query, sizeof(query), "page_size=1000&page_token=%s",
				 escaped ? escaped : "");
		free(TAKE_PTR(path));
		path = command_path(ctl, ctl->command->path, NULL, query, err);
		http.path = path;
		json_decref(answer);
		answer = NULL;
		if (!path || http_json(ctl->http, &http, &answer, &status, err))
			rc = path && !status ? CTL_UNREACHED : CTL_REFUSED;
		else
			json_array_extend(all, json_object_get(answer, ctl->command->list));
	}
	if (rc == CTL_DONE) {
		json_object_set(answer, ctl->command->list, all);
		show(ctl, answer);
	}
	json_decref(answer);
	json_decref(all);
	return rc;
}

static void add_option(json_t **body, const char *name, json_t *value)
{
	if (!*body)
		*body = json_object();
	json_object_set_new(*body, name, value);
}

/* NAME [--no-wait], and of "stop" [--force] and [--deadline=30s] or [--deadline 30s]: a slow verb. */
static int run_verb(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct command_request request = { .query = "wait=" CTL_WAIT };
	bool stop = strstr(ctl->command->arguments, "--force") != NULL;
	int rc;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--no-wait") == 0)
			request.query = NULL;
		else if (stop && strcmp(argv[i], "--force") == 0)
			add_option(&request.body, "force", json_true());
		else if (stop && strncmp(argv[i], "--deadline=", 11) == 0)
			add_option(&request.body, "deadline", json_string(argv[i] + 11));
		else if (stop && strcmp(argv[i], "--deadline") == 0 && i + 1 < argc)
			add_option(&request.body, "deadline", json_string(argv[++i]));
		else if (argv[i][0] != '-' && !request.name)
			request.name = argv[i];
		else
			request.name = "-";
	}
	if (!request.name || request.name[0] == '-')
		rc = command_usage(ctl, err);
	else
		rc = command_send(ctl, &request, err);
	json_decref(request.body);
	return rc;
}

/* NAME [SECONDS] */
static int run_wait(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct command_request request = { .name = argc ? argv[0] : NULL };
	char query[64] = "wait=" CTL_WAIT;

	if (argc < 1 || argc > 2 || (argc == 2 && strspn(argv[1], "0123456789") != strlen(argv[1])))
		return command_usage(ctl, err);
	if (argc == 2)
		snprintf(query, sizeof(query), "wait=%.20ss", argv[1]);
	request.query = query;
	return command_send(ctl, &request, err);
}

/* NAME [--follow] [--offset=N] [--port=PORT] */
static int run_console(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *path = NULL, *port = NULL;
	const char *name = NULL, *offset = "0", *of = "";
	bool follow = false, wrong = false;
	char query[320];

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--follow") == 0 || strcmp(argv[i], "-f") == 0)
			follow = true;
		else if (strncmp(argv[i], "--offset=", 9) == 0)
			offset = argv[i] + 9;
		else if (strncmp(argv[i], "--port=", 7) == 0)
			of = argv[i] + 7;
		else if (argv[i][0] != '-' && !name)
			name = argv[i];
		else
			wrong = true;
	}
	if (!name || wrong || strspn(offset, "0123456789") != strlen(offset))
		return command_usage(ctl, err);
	port = http_escape(ctl->http, of);
	snprintf(query, sizeof(query), "offset=%.20s%s&port=%s", offset,
		 follow ? "&follow=true" : "", port ? port : "");
	path = command_path(ctl, ctl->command->path, name, query, err);
	if (!path)
		return CTL_REFUSED;
	return http_stream(ctl->http, path, stdout, err) ? CTL_REFUSED : CTL_DONE;
}

/* NAME TEXT: types the text and a newline. */
static int run_type(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *path = NULL, *line = NULL;

	if (argc != 2)
		return command_usage(ctl, err);
	path = command_path(ctl, ctl->command->path, argv[0], NULL, err);
	if (!path || asprintf(&line, "%s\n", argv[1]) < 0)
		return CTL_REFUSED;
	return http_send(ctl->http, path, line, strlen(line), err) ? CTL_REFUSED : CTL_DONE;
}

/* A batch of events behind number `after`; the status, and the answer in *out. */
static int read_events(struct ctl *ctl, json_int_t after, const char *more, json_t **out,
		       struct error *err)
{
	struct http_request http = { .method = "GET" };
	char query[96];
	long status = 0;
	_cleanup_free_ char *path = NULL;

	snprintf(query, sizeof(query), "after=%" JSON_INTEGER_FORMAT "&%s", after, more);
	path = command_path(ctl, ctl->command->path, NULL, query, err);
	http.path = path;
	if (path && !http_json(ctl->http, &http, out, &status, err))
		return CTL_DONE;
	return path && !status ? CTL_UNREACHED : CTL_REFUSED;
}

/* [--after=N]: false when the arguments are others. */
static bool parse_after(int argc, char **argv, json_int_t *after)
{
	char *end;

	if (argc == 0)
		return true;
	if (argc > 1 || strncmp(argv[0], "--after=", 8) != 0 || argv[0][8] < '0' ||
	    argv[0][8] > '9')
		return false;
	errno = 0;
	*after = strtoll(argv[0] + 8, &end, 10);
	return !errno && !*end;
}

static int run_events(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	json_t *all, *answer = NULL, *some = NULL;
	json_int_t after = 0;
	int rc;

	if (!parse_after(argc, argv, &after))
		return command_usage(ctl, err);
	all = json_array();
	do {
		json_decref(answer);
		answer = NULL;
		rc = read_events(ctl, after, "max_events=1000", &answer, err);
		some = json_object_get(answer, ctl->command->list);
		after = json_integer_value(json_object_get(answer, "next"));
		json_array_extend(all, some);
	} while (rc == CTL_DONE && json_array_size(some));
	if (rc == CTL_DONE) {
		json_object_set(answer, ctl->command->list, all);
		show(ctl, answer);
	}
	json_decref(answer);
	json_decref(all);
	return rc;
}

/* New events as they come, or those behind a number; each on a line. */
static int run_watch(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	json_t *answer = NULL, *event;
	json_int_t after = -1;
	int rc = CTL_DONE;
	size_t i;

	if (!parse_after(argc, argv, &after))
		return command_usage(ctl, err);
	if (after < 0) {
		rc = read_events(ctl, 0, "max_events=1", &answer, err);
		after = json_integer_value(json_object_get(answer, "newest"));
	}
	while (rc == CTL_DONE && !ferror(stdout)) {
		json_decref(answer);
		answer = NULL;
		rc = read_events(ctl, after, "wait=30s&max_events=1000", &answer, err);
		after = json_integer_value(json_object_get(answer, "next"));
		json_array_foreach(json_object_get(answer, ctl->command->list), i, event)
			show_line(event, ctl->json ? NULL : ctl->command->columns);
		fflush(stdout);
	}
	json_decref(answer);
	return rc == CTL_DONE ? CTL_REFUSED : rc;
}

#define VM_COLUMNS                                                                                 \
	"NAME=name STATE=status.state VCPUS=spec.vcpus MEMORY=spec.memory_bytes IMAGE=spec.image " \
	"EXIT=status.exit_reason STARTS=status.starts RESTARTS=status.restarts PENDING=status.pending"
#define IMAGE_COLUMNS \
	"NAME=name STATE=status.state VERSION=status.version SIZE=status.size_bytes MESSAGE=status.message"
#define OPERATION_COLUMNS \
	"NAME=name VERB=verb TARGET=target STATE=state STEP=step STARTED=create_time ERROR=error.detail"
#define AUDIT_COLUMNS \
	"NUMBER=number TIME=time ACTOR=actor PEER=peer METHOD=method TARGET=target CODE=code OPERATION=operation MESSAGE=message"
#define CHANGE_COLUMNS	"VERB=verb TARGET=target FIELDS=fields"
#define SETTING_COLUMNS "NAME=name VALUE=value SOURCE=source"
#define TOP_COLUMNS \
	"NAME=name VCPUS=vcpus CPU=cpu STEAL=steal MEMORY=memory_bytes RESIDENT=resident_bytes BALLOON=balloon_bytes"
#define EVENT_COLUMNS \
	"NUMBER=number TIME=time TYPE=type TARGET=target STATE=state REASON=reason ACTOR=actor MESSAGE=message"

const struct command commands[] = {
	{ "vm", "list", NULL, "all VMs", run_list, "GET", "/v1/vms", "vms", VM_COLUMNS },
	{ "vm", "get", "NAME", "one VM", run_plain, "GET", "/v1/vms/%s", NULL, NULL },
	{ "vm", "create",
	  "NAME --image=IMAGE [--vcpus=N] [--memory=256M] [--label=KEY=VALUE]...\n"
	  "      [--cmdline=TEXT] [--append=TEXT] [--protected [--bounce=16M]] [--huge-pages]\n"
	  "      [--disk=NAME[,image=DISK|,device=/dev/...][,size=1G][,ro][,serial=TEXT][,queues=N]\n"
	  "       [,limit=BYTES/S][,iops=N]]...\n"
	  "      [--net=NAME[,user|,tap[,bridge=BRIDGE][,any-source]][,mac=MAC][,down]\n"
	  "       [,receive=BYTES/S][,transmit=BYTES/S]]... [--no-network]\n"
	  "      [--share=NAME,path=DIR[,ro]]... [--port=NAME]... [--overlay=FILE]\n"
	  "      [--vsock[=[cid=N][,kernel|,socket]]]\n"
	  "      [--restart=never|on_failure|always[,limit=N][,backoff=1s]]",
	  "defines a VM; nothing runs yet; without --net it has a network of kind user",
	  command_create_vm, "POST", "/v1/vms", NULL, NULL },
	{ "vm", "set", "NAME [--target=128M] [what create takes]... [--dry-run]",
	  "changes it; status.pending names what waits for a restart; the disks given are all it has,\n"
	  "      and so the networks, shares and ports",
	  command_set_vm, "PATCH", "/v1/vms/%s", NULL, NULL },
	{ "vm", "disk", "NAME DISK [--size=2G] [--limit=BYTES/S] [--iops=N] [what --disk takes]...",
	  "changes one disk; size and limits at once, also while it runs; a limit of 0 is none",
	  command_set_device, "PATCH", "/v1/vms/%s", NULL, NULL },
	{ "vm", "net",
	  "NAME NETWORK [--up|--down] [--receive=BYTES/S] [--transmit=BYTES/S] [what --net takes]...",
	  "changes one network; link and limits at once, also while it runs; a limit of 0 is none",
	  command_set_device, "PATCH", "/v1/vms/%s", NULL, NULL },
	{ "vm", "label", "NAME KEY=VALUE... KEY-... [--dry-run]",
	  "sets labels, and takes others away", command_label, "PATCH", "/v1/vms/%s", NULL, NULL },
	{ "vm", "resize", "NAME SIZE [--dry-run]", "what its balloon leaves to the guest; 0: all",
	  command_resize_vm, "POST", "/v1/vms/%s:resize", NULL, NULL },
	{ "vm", "start", "NAME [--no-wait]", "boots it", run_verb, "POST", "/v1/vms/%s:start", NULL,
	  NULL },
	{ "vm", "stop", "NAME [--deadline=30s | --force] [--no-wait]",
	  "asks the guest to end, and forces it at the deadline; --force does not ask", run_verb,
	  "POST", "/v1/vms/%s:stop", NULL, NULL },
	{ "vm", "restart", "NAME [--deadline=30s | --force] [--no-wait]",
	  "stops it as stop does, and boots it again; so changes that wait take effect", run_verb,
	  "POST", "/v1/vms/%s:restart", NULL, NULL },
	{ "vm", "delete", "NAME", "removes it with its disks and console", run_plain, "DELETE",
	  "/v1/vms/%s", NULL, NULL },
	{ "vm", "console", "NAME [--follow] [--offset=N] [--port=PORT]",
	  "what the guest wrote, there or to a port; --follow until it ends", run_console, "GET",
	  "/v1/vms/%s/console", NULL, NULL },
	{ "vm", "attach", "NAME [--read-only] [--tail=4096] [--port=PORT]",
	  "the console or a port, and what you type goes to the guest; Ctrl-] detaches",
	  command_attach, "GET", "/v1/vms/%s/console:attach", NULL, NULL },
	{ "vm", "type", "NAME TEXT", "types a line into the console", run_type, "POST",
	  "/v1/vms/%s/console", NULL, NULL },
	{ "vm", "stats", "NAME", "what it uses", run_plain, "GET", "/v1/vms/%s/stats", NULL, NULL },
	{ "top", NULL, "[--interval=1] [--count=N]", "what the running VMs use, again and again",
	  command_top, "GET", "/v1/vms", "vms", TOP_COLUMNS },
	{ "image", "list", NULL, "all images", run_list, "GET", "/v1/images", "images",
	  IMAGE_COLUMNS },
	{ "image", "get", "NAME", "one image", run_plain, "GET", "/v1/images/%s", NULL, NULL },
	{ "image", "pull", "NAME URL [--sha256=DIGEST] [--no-wait]",
	  "fetches an image by its manifest", command_pull_image, "POST", "/v1/images", NULL,
	  NULL },
	{ "image", "label", "NAME KEY=VALUE... KEY-... [--dry-run]",
	  "sets labels, and takes others away", command_label, "PATCH", "/v1/images/%s", NULL,
	  NULL },
	{ "image", "delete", "NAME", "removes it", run_plain, "DELETE", "/v1/images/%s", NULL,
	  NULL },
	{ "operation", "list", NULL, "all operations", run_list, "GET", "/v1/operations",
	  "operations", OPERATION_COLUMNS },
	{ "operation", "get", "NAME", "one operation", run_plain, "GET", "/v1/operations/%s", NULL,
	  NULL },
	{ "operation", "wait", "NAME [SECONDS]", "until it has ended", run_wait, "GET",
	  "/v1/operations/%s", NULL, NULL },
	{ "operation", "cancel", "NAME", "asks it to stop", run_plain, "POST",
	  "/v1/operations/%s:cancel", NULL, NULL },
	{ "event", "list", "[--after=N]", "what has changed, as far back as it is kept", run_events,
	  "GET", "/v1/events", "events", EVENT_COLUMNS },
	{ "event", "watch", "[--after=N]", "what changes from here on, a line each", run_watch,
	  "GET", "/v1/events", "events", EVENT_COLUMNS },
	{ "audit", "list", NULL, "who has changed what, the newest first", run_list, "GET",
	  "/v1/audit", "records", AUDIT_COLUMNS },
	{ "desired", "get", NULL, "the node as one document, and what it lacks", run_plain, "GET",
	  "/v1/desired", NULL, NULL },
	{ "desired", "put", "FILE|- [--dry-run]", "replaces the document", command_desired, "PUT",
	  "/v1/desired", NULL, NULL },
	{ "desired", "diff", "[FILE|-]", "what would be done to reach it", command_desired, "POST",
	  "/v1/desired:diff", "changes", CHANGE_COLUMNS },
	{ "desired", "apply", "[--dry-run]", "tries at once what has failed", command_desired,
	  "POST", "/v1/desired:apply", NULL, NULL },
	{ "desired", "delete", NULL, "forgets the document; nothing that is there changes",
	  run_plain, "DELETE", "/v1/desired", NULL, NULL },
	{ "config", "get", NULL, "what is in force and where it comes from", run_plain, "GET",
	  "/v1/config", NULL, NULL },
	{ "config", "list", NULL, "the settings of file and command line", run_plain, "GET",
	  "/v1/config", "settings", SETTING_COLUMNS },
	{ "config", "set", "KEY=VALUE... KEY-... [--dry-run]",
	  "changes log_level, start_timeout=60s, stop_timeout, fetch_timeout, image_bytes_max=4G;\n"
	  "      KEY- goes back to what the file says",
	  command_set_config, "PATCH", "/v1/config", NULL, NULL },
	{ "node", "cordon", "[REASON] [--dry-run]", "no VM starts from now on", command_cordon,
	  "POST", "/v1/node:cordon", NULL, NULL },
	{ "node", "uncordon", NULL, "VMs may start again", run_plain, "POST", "/v1/node:uncordon",
	  NULL, NULL },
	{ "node", "drain", "[--reason=TEXT] [--deadline=30s] [--no-wait] [--dry-run]",
	  "cordons it, and stops one VM after the other", command_drain, "POST", "/v1/node:drain",
	  NULL, NULL },
	{ "node", "label", "KEY=VALUE... KEY-... [--dry-run]", "sets labels, and takes others away",
	  command_label, "PATCH", "/v1/node", NULL, NULL },
	{ "node", NULL, NULL, "the machine and what it can give", run_plain, "GET", "/v1/node",
	  NULL, NULL },
	{ "version", NULL, NULL, "of the agent; croftctl --version is this program's", run_plain,
	  "GET", "/version", NULL, NULL },
	{ "doctor", NULL, NULL, "checks what VMs need", command_doctor, "GET", "/readyz", NULL,
	  NULL },
	{ 0 },
};
