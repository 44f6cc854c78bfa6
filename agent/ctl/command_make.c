// SPDX-License-Identifier: Apache-2.0
// The commands of croftctl that make something: options become a JSON body.

#include <string.h>

#include "agent/ctl/command.h"

bool command_parse_size(const char *text, json_int_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long value;
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || (*end && (!unit || end[1])))
		return false;
	for (const char *p = units; unit && p <= unit; p++) {
		if (value > INT64_MAX / 1024)
			return false;
		value *= 1024;
	}
	if (value > INT64_MAX)
		return false;
	*out = (json_int_t)value;
	return true;
}

/* The value of "--name=value"; NULL when the argument is another one. */
static const char *value_of(const char *argument, const char *name)
{
	size_t n = strlen(name);

	return strncmp(argument, name, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

static int bad_value(const char *argument, struct error *err)
{
	return error_raise(err, ERROR_INVALID_ARGUMENT, "wrong value: %s", argument);
}

/* never|on_failure|always[,limit=N][,backoff=1s] */
static int set_restart(json_t *spec, char *text, struct error *err)
{
	json_t *policy = json_object();
	char *save = NULL, *word = strtok_r(text, ",", &save);
	const char *value;
	json_int_t limit;

	json_object_set_new(spec, "restart", policy);
	json_object_set_new(policy, "when", json_string(word ? word : ""));
	while ((word = strtok_r(NULL, ",", &save))) {
		if ((value = value_of(word, "limit")) && command_parse_size(value, &limit))
			json_object_set_new(policy, "limit", json_integer(limit));
		else if ((value = value_of(word, "backoff")))
			json_object_set_new(policy, "backoff", json_string(value));
		else
			return bad_value(word, err);
	}
	return 0;
}

static int add_label(json_t *vm, const char *text, struct error *err)
{
	json_t *labels = json_object_get(vm, "labels");
	const char *eq = strchr(text, '=');
	char key[256];

	if (!eq || (size_t)(eq - text) >= sizeof(key))
		return bad_value(text, err);
	if (!labels) {
		labels = json_object();
		json_object_set_new(vm, "labels", labels);
	}
	snprintf(key, sizeof(key), "%.*s", (int)(eq - text), text);
	json_object_set_new(labels, key, json_string(eq + 1));
	return 0;
}

int command_vm_option(json_t *vm, char *argument, struct error *err)
{
	static const struct {
		const char *option, *field;
		bool number;
	} plain[] = {
		{ "--image", "image", false },
		{ "--cmdline", "cmdline", false },
		{ "--append", "cmdline_append", false },
		{ "--vcpus", "vcpus", true },
		{ "--memory", "memory_bytes", true },
		{ "--target", "memory_target_bytes", true },
		{ "--bounce", "bounce_bytes", true },
	};
	json_t *spec = json_object_get(vm, "spec");
	const char *value;
	json_int_t number;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		value = value_of(argument, plain[i].option);
		if (!value)
			continue;
		if (plain[i].number && !command_parse_size(value, &number))
			return bad_value(argument, err);
		return json_object_set_new(spec, plain[i].field,
					   plain[i].number ? json_integer(number)
							   : json_string(value))
			       ? bad_value(argument, err)
			       : 0;
	}
	if ((value = value_of(argument, "--restart")))
		return set_restart(spec, argument + (value - argument), err);
	if ((value = value_of(argument, "--label")))
		return add_label(vm, value, err);
	r = command_device_option(spec, argument, err);
	if (r <= 0)
		return r;
	return error_raise(err, ERROR_INVALID_ARGUMENT, "unknown option: %s", argument);
}

int command_create_vm(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct command_request request = { 0 };
	int status = CTL_USAGE;
	bool good = argc > 0 && argv[0][0] != '-';

	if (!good)
		return command_usage(ctl, err);
	request.body = json_pack("{s:s, s:{s:i, s:I}}", "name", argv[0], "spec", "vcpus", 1,
				 "memory_bytes", (json_int_t)256 << 20);
	if (!request.body)
		return bad_value(argv[0], err), CTL_USAGE;
	for (int i = 1; good && i < argc; i++)
		good = command_vm_option(request.body, argv[i], err) == 0;
	if (good)
		status = command_send(ctl, &request, err);
	json_decref(request.body);
	return status;
}

int command_pull_image(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	struct command_request request = { .query = "wait=" CTL_WAIT };
	const char *digest = NULL;
	int status;

	if (argc < 2 || argv[0][0] == '-' || argv[1][0] == '-')
		return command_usage(ctl, err);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--no-wait") == 0)
			request.query = NULL;
		else if (!(digest = value_of(argv[i], "--sha256")))
			return command_usage(ctl, err);
	}
	request.body = json_pack("{s:s, s:{s:s, s:s*}}", "name", argv[0], "spec", "manifest_url",
				 argv[1], "manifest_sha256", digest);
	if (!request.body)
		return command_usage(ctl, err);
	status = command_send(ctl, &request, err);
	json_decref(request.body);
	return status;
}
