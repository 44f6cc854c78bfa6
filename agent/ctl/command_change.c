// SPDX-License-Identifier: Apache-2.0
// The commands of croftctl that change what is there: specs, labels, the node, the configuration, the desired state.

#include <string.h>

#include "agent/ctl/command.h"
#include "agent/ctl/show.h"

#define DOCUMENT_MAX (16u << 20) /* bytes of a file that is sent */

/* Takes "--dry-run" out of the arguments; their number is then one less for each. */
static bool take_dry_run(int *argc, char **argv)
{
	bool dry_run = false;
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--dry-run") == 0)
			dry_run = true;
		else
			argv[n++] = argv[i];
	}
	*argc = n;
	return dry_run;
}

static int send_patch(struct ctl *ctl, const char *name, json_t *body, bool dry_run,
		      struct error *err)
{
	struct command_request request = { .name = name,
					   .query = dry_run ? "dry_run=true" : NULL,
					   .body = body };

	return command_send(ctl, &request, err);
}

/* NAME, and what command_create_vm() takes; what is not named stays. */
int command_set_vm(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv), good = argc > 1 && argv[0][0] != '-';
	json_t *body = json_pack("{s:{}}", "spec");
	int status = CTL_USAGE;

	for (int i = 1; good && i < argc; i++)
		good = command_vm_option(body, argv[i], err) == 0;
	if (good && !json_object_size(json_object_get(body, "spec")))
		json_object_del(body, "spec");
	if (good)
		status = send_patch(ctl, argv[0], body, dry_run, err);
	else if (!err->message[0])
		command_usage(ctl, err);
	json_decref(body);
	return status;
}

/* [NAME] KEY=VALUE... KEY-...: sets labels and takes others away. */
int command_label(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv), named = strstr(ctl->command->path, "%s") != NULL;
	json_t *labels = json_object(), *body = json_pack("{s:o}", "labels", labels);
	int status = CTL_USAGE, first = named ? 1 : 0;
	bool good = argc > first && argv[0][0] != '-';

	for (int i = first; good && i < argc; i++) {
		size_t n = strlen(argv[i]);
		char *equals = strchr(argv[i], '=');

		good = equals || (n > 1 && argv[i][n - 1] == '-');
		if (!good)
			break;
		if (equals)
			*equals = '\0';
		else
			argv[i][n - 1] = '\0';
		json_object_set_new(labels, argv[i],
				    equals ? json_string(equals + 1) : json_null());
	}
	if (good)
		status = send_patch(ctl, named ? argv[0] : NULL, body, dry_run, err);
	else
		command_usage(ctl, err);
	json_decref(body);
	return status;
}

/* NAME SIZE */
int command_resize_vm(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv);
	struct command_request request = { 0 };
	json_int_t bytes;
	int status;

	if (argc != 2 || !command_parse_size(argv[1], &bytes))
		return command_usage(ctl, err);
	request.name = argv[0];
	request.body = json_pack("{s:I, s:b}", "memory_target_bytes", bytes, "dry_run", dry_run);
	status = command_send(ctl, &request, err);
	json_decref(request.body);
	return status;
}

/* [REASON] */
int command_cordon(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv);
	struct command_request request = { 0 };
	int status;

	if (argc > 1 || (argc == 1 && argv[0][0] == '-'))
		return command_usage(ctl, err);
	request.body =
		json_pack("{s:b, s:s*}", "dry_run", dry_run, "reason", argc == 1 ? argv[0] : NULL);
	status = command_send(ctl, &request, err);
	json_decref(request.body);
	return status;
}

/* [--reason=TEXT] [--deadline=30s] [--no-wait] */
int command_drain(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv), good = true;
	struct command_request request = { .query = "wait=" CTL_WAIT,
					   .body = json_pack("{s:b}", "dry_run", dry_run) };
	int status;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--no-wait") == 0)
			request.query = NULL;
		else if (strncmp(argv[i], "--reason=", 9) == 0)
			json_object_set_new(request.body, "reason", json_string(argv[i] + 9));
		else if (strncmp(argv[i], "--deadline=", 11) == 0)
			json_object_set_new(request.body, "deadline", json_string(argv[i] + 11));
		else
			good = false;
	}
	status = good ? command_send(ctl, &request, err) : command_usage(ctl, err);
	json_decref(request.body);
	return status;
}

/* KEY=VALUE... KEY-...: KEY- goes back to what the file says. */
int command_set_config(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	bool dry_run = take_dry_run(&argc, argv), good = argc > 0;
	json_t *spec = json_object(), *body = json_pack("{s:o}", "spec", spec);
	int status = CTL_USAGE;

	for (int i = 0; good && i < argc; i++) {
		size_t n = strlen(argv[i]);
		char *equals = strchr(argv[i], '=');
		json_t *value = json_null();
		json_int_t bytes;

		if (equals) {
			*equals = '\0';
			value = json_string(equals + 1);
			/* The only number among them; all else is text. */
			if (strcmp(argv[i], "image_bytes_max") == 0 &&
			    command_parse_size(equals + 1, &bytes)) {
				json_decref(value);
				value = json_integer(bytes);
			}
		} else if (n > 1 && argv[i][n - 1] == '-') {
			argv[i][n - 1] = '\0';
		} else {
			good = false;
		}
		json_object_set_new(spec, argv[i], value);
	}
	if (good)
		status = send_patch(ctl, NULL, body, dry_run, err);
	else
		command_usage(ctl, err);
	json_decref(body);
	return status;
}

/* --- The desired state --- */

/* The document in a file, or on stdin for "-". */
static json_t *read_document(const char *path, struct error *err)
{
	_cleanup_fclose_ FILE *f = strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "r")
							  : fopen(path, "re");
	_cleanup_free_ char *text = malloc(DOCUMENT_MAX + 1);
	json_error_t error;
	json_t *json;
	size_t n;

	if (!f || !text) {
		error_raise_errno(err, ERROR_INVALID_ARGUMENT, f ? ENOMEM : errno, "open %s", path);
		return NULL;
	}
	n = fread(text, 1, DOCUMENT_MAX + 1, f);
	if (ferror(f) || n > DOCUMENT_MAX) {
		error_raise(err, ERROR_INVALID_ARGUMENT,
			    "%s cannot be read, or has more than %u MiB", path, DOCUMENT_MAX >> 20);
		return NULL;
	}
	json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		error_raise(err, ERROR_INVALID_ARGUMENT, "%s:%d: %s", path, error.line, error.text);
	return json;
}

/* [FILE] [--dry-run]; of "put" the file is required. */
int command_desired(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	const char *verb = ctl->command->verb;
	bool put = strcmp(verb, "put") == 0, diff = strcmp(verb, "diff") == 0;
	bool dry_run = !diff && take_dry_run(&argc, argv);
	struct command_request request = { .query = dry_run && put ? "dry_run=true" : NULL };
	int status;

	if (argc > (put || diff ? 1 : 0) || (put && argc != 1))
		return command_usage(ctl, err);
	if (argc == 1) {
		request.body = read_document(argv[0], err);
		if (!request.body)
			return CTL_USAGE;
	} else if (dry_run) {
		request.body = json_pack("{s:b}", "dry_run", true);
	}
	status = command_send(ctl, &request, err);
	json_decref(request.body);
	return status;
}
