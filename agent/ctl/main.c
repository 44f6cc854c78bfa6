// SPDX-License-Identifier: Apache-2.0
// croftctl: finds the command, asks the agent, and shows its answer.

#include <string.h>

#include "agent/ctl/command.h"
#include "agent/version.h"

static int usage(FILE *to)
{
	fputs("usage: croftctl [-s SOCKET] [--json] COMMAND\n"
	      "       croftctl --version\n\n",
	      to);
	for (const struct command *c = commands; c->noun; c++)
		fprintf(to, "  %s%s%s%s%s\n      %s\n", c->noun, c->verb ? " " : "",
			c->verb ? c->verb : "", c->arguments ? " " : "",
			c->arguments ? c->arguments : "", c->help);
	fputs("\n"
	      "  -s SOCKET  the agent's socket; $CROFT_SOCKET; " CTL_SOCKET_DEFAULT "\n"
	      "  --json     answers as JSON\n\n"
	      "Exit status: 0 done; 1 the agent refused or the operation failed; 2 wrong usage;\n"
	      "3 the agent cannot be reached.\n",
	      to);
	return to == stdout ? CTL_DONE : CTL_USAGE;
}

/* Takes the options that all commands have out of argv; -1 when one is wrong. */
static int take_options(struct ctl *ctl, int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			ctl->json = true;
		} else if (strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--socket") == 0) {
			if (++i == argc)
				return -1;
			ctl->socket = argv[i];
		} else if (strncmp(argv[i], "--socket=", 9) == 0) {
			ctl->socket = argv[i] + 9;
		} else {
			argv[n++] = argv[i];
		}
	}
	return n;
}

static const struct command *find(int argc, char **argv)
{
	for (const struct command *c = commands; c->noun; c++) {
		if (strcmp(c->noun, argv[0]) != 0)
			continue;
		if (!c->verb || (argc > 1 && strcmp(c->verb, argv[1]) == 0))
			return c;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *from_env = getenv("CROFT_SOCKET");
	struct ctl ctl = { .socket = from_env && *from_env ? from_env : CTL_SOCKET_DEFAULT };
	struct error error = { 0 };
	int n = take_options(&ctl, argc - 1, argv + 1), status, skip;

	if (n < 1)
		return usage(stderr);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		printf("croftctl %s (%s)\n", version_string(), version_build());
		return CTL_DONE;
	}
	ctl.command = find(n, argv + 1);
	if (!ctl.command) {
		fprintf(stderr, "croftctl: unknown command \"%s%s%s\"; see croftctl help\n",
			argv[1], n > 1 ? " " : "", n > 1 ? argv[2] : "");
		return CTL_USAGE;
	}
	if (http_new(&ctl.http, ctl.socket, &error)) {
		fprintf(stderr, "croftctl: %s\n", error.message);
		return CTL_REFUSED;
	}
	skip = ctl.command->verb ? 2 : 1;
	status = ctl.command->run(&ctl, n - skip, argv + 1 + skip, &error);
	if (error.message[0])
		fprintf(stderr, "croftctl: %s\n", error.message);
	http_free(ctl.http);
	/* An answer that could not be written was not given. */
	if (fflush(stdout) || ferror(stdout))
		return status ? status : CTL_REFUSED;
	return status;
}
