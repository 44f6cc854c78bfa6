// SPDX-License-Identifier: Apache-2.0
// The commands of croftctl that stay: an attached console, and the figures of all VMs again and again.

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>

#include "agent/ctl/command.h"
#include "agent/ctl/show.h"
#include "agent/ctl/socket.h"

#define DETACH	     0x1d /* Ctrl-] */
#define TYPED_MAX    4096u
#define TERMINAL_MAX 1000u /* columns and rows that the agent takes */
#define TEXT_NUMBER  24

/* --- Attach --- */

/* Keys go to the guest as they are, Ctrl-C too. */
static bool make_raw(struct termios *before)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, before) < 0)
		return false;
	raw = *before;
	cfmakeraw(&raw);
	/* What the guest prints is for the terminal as it is. */
	raw.c_oflag = before->c_oflag;
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* What was typed: 1 for Ctrl-] on a terminal, and behind the end of input *from is -1. */
static int type_on(struct socket *s, int *from, bool terminal, struct error *err)
{
	unsigned char keys[TYPED_MAX];
	ssize_t n = read(*from, keys, sizeof(keys));
	const unsigned char *detach;

	if (n <= 0) {
		*from = -1;
		return 0;
	}
	detach = terminal ? memchr(keys, DETACH, (size_t)n) : NULL;
	if (detach)
		n = detach - keys;
	if (n > 0 && socket_send(s, keys, (size_t)n, err) < 0)
		return -EPIPE;
	return detach ? 1 : 0;
}

/* The size of the terminal here; false when it has none that the agent takes. */
static bool get_size(struct winsize *size)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, size) == 0 && size->ws_col && size->ws_row &&
	       size->ws_col <= TERMINAL_MAX && size->ws_row <= TERMINAL_MAX;
}

/* SIGWINCH has come. */
static int tell_size(struct socket *s, int from, struct error *err)
{
	struct signalfd_siginfo info;
	struct winsize size;
	char text[64];
	int n;

	if (read(from, &info, sizeof(info)) < 0 || !get_size(&size))
		return 0;
	n = snprintf(text, sizeof(text), "{\"columns\":%u,\"rows\":%u}", size.ws_col, size.ws_row);
	return socket_send_text(s, text, (size_t)n, err);
}

struct attachment {
	struct socket socket;
	bool write, terminal;
	int resized; /* signalfd of SIGWINCH, or -1 */
};

static int run_attachment(struct attachment *a, struct error *err)
{
	struct socket *s = &a->socket;
	int from = a->write ? STDIN_FILENO : -1, r;
	struct socket_end end = { .good = true };

	r = socket_take(s, stdout, &end, err);
	while (r == 0) {
		struct pollfd fds[] = { { .fd = s->fd, .events = POLLIN },
					{ .fd = from, .events = POLLIN },
					{ .fd = a->resized, .events = POLLIN } };

		fflush(stdout);
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			break;
		if (fds[0].revents)
			r = socket_receive(s, stdout, &end, err);
		if (r == 0 && fds[1].revents)
			r = type_on(s, &from, a->terminal, err);
		if (r == 0 && fds[2].revents)
			r = tell_size(s, a->resized, err);
	}
	fflush(stdout);
	if (!end.good)
		return error_raise(err, ERROR_CONFLICT, "%s",
				   end.why[0] ? end.why : "the agent has ended the attachment");
	return r < 0 ? r : 0;
}

static int open_resized(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	return sigprocmask(SIG_BLOCK, &signals, NULL) < 0 ? -1
							  : signalfd(-1, &signals, SFD_CLOEXEC);
}

/* Attaches, with the terminal raw meanwhile. Who only reads ends it with Ctrl-C. */
static int attach(struct attachment *a, const char *name, struct error *err)
{
	struct termios before;
	int r;

	a->terminal = a->write && make_raw(&before);
	if (a->terminal)
		fprintf(stderr, "attached to %s; Ctrl-] detaches\r\n", name);
	r = run_attachment(a, err);
	if (a->terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return r;
}

/* NAME [--read-only] [--tail=BYTES] [--port=PORT] */
int command_attach(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *path = NULL, *port = NULL;
	_cleanup_close_ int resized = -1;
	const char *name = NULL, *tail = "4096", *of = "";
	struct attachment a = { .socket = { .fd = -1 }, .write = true, .resized = -1 };
	struct winsize size = { 0 };
	bool wrong = false;
	char query[400];
	int r;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--read-only") == 0)
			a.write = false;
		else if (strncmp(argv[i], "--tail=", 7) == 0)
			tail = argv[i] + 7;
		else if (strncmp(argv[i], "--port=", 7) == 0)
			of = argv[i] + 7;
		else if (argv[i][0] != '-' && !name)
			name = argv[i];
		else
			wrong = true;
	}
	if (!name || wrong || !*tail || strspn(tail, "0123456789") != strlen(tail))
		return command_usage(ctl, err);
	port = http_escape(ctl->http, of);
	/* A port is no terminal. The signal is blocked before the size is asked for, so that none is missed. */
	if (a.write && !*of && isatty(STDIN_FILENO))
		a.resized = resized = open_resized();
	if (a.resized >= 0 && !get_size(&size)) {
		a.resized = -1;
		size = (struct winsize){ 0 };
	}
	snprintf(query, sizeof(query), "write=%s&tail_bytes=%.20s&port=%s&columns=%u&rows=%u",
		 a.write ? "true" : "false", tail, port ? port : "", size.ws_col, size.ws_row);
	path = command_path(ctl, ctl->command->path, name, query, err);
	if (!path)
		return CTL_REFUSED;
	r = socket_open(&a.socket, ctl->socket, path, err);
	if (r < 0)
		return err->code == ERROR_UNAVAILABLE ? CTL_UNREACHED : CTL_REFUSED;
	r = attach(&a, name, err);
	socket_close(&a.socket);
	return r < 0 ? CTL_REFUSED : CTL_DONE;
}

/* --- Top --- */

/* A running VM with its figures, flat, so that a table can show it. */
static json_t *row_of(json_t *vm, json_t *stats, json_t *before)
{
	json_t *row = json_object(), *vcpu;
	double run = 0, wait = 0, seconds = 0;
	char text[TEXT_NUMBER];
	size_t i;

	json_array_foreach(json_object_get(stats, "vcpus"), i, vcpu) {
		run += json_number_value(json_object_get(vcpu, "run_seconds"));
		wait += json_number_value(json_object_get(vcpu, "wait_seconds"));
	}
	json_object_set(row, "name", json_object_get(vm, "name"));
	json_object_set(row, "vcpus", show_find(vm, "spec.vcpus"));
	json_object_set(row, "memory_bytes", json_object_get(stats, "memory_configured_bytes"));
	json_object_set(row, "resident_bytes", json_object_get(stats, "memory_resident_bytes"));
	json_object_set(row, "balloon_bytes", json_object_get(stats, "memory_balloon_bytes"));
	json_object_set_new(row, "run", json_real(run));
	json_object_set_new(row, "wait", json_real(wait));
	json_object_set(row, "at", json_object_get(stats, "at"));
	if (before)
		seconds = json_number_value(json_object_get(row, "at")) -
			  json_number_value(json_object_get(before, "at"));
	if (seconds > 0) {
		snprintf(text, sizeof(text), "%.1f%%",
			 (run - json_number_value(json_object_get(before, "run"))) * 100 / seconds);
		json_object_set_new(row, "cpu", json_string(text));
		snprintf(text, sizeof(text), "%.1f%%",
			 (wait - json_number_value(json_object_get(before, "wait"))) * 100 /
				 seconds);
		json_object_set_new(row, "steal", json_string(text));
	}
	return row;
}

/* A VM that ends meanwhile has no figures, and no row. */
static void add_row(struct ctl *ctl, json_t *rows, json_t *vm, json_t *before)
{
	const char *name = json_string_value(json_object_get(vm, "name"));
	_cleanup_free_ char *path = command_path(ctl, "/v1/vms/%s/stats", name, NULL, NULL);
	struct http_request request = { .method = "GET", .path = path };
	struct timespec now;
	json_t *stats = NULL;
	long status;

	if (!path || http_json(ctl->http, &request, &stats, &status, NULL))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	json_object_set_new(stats, "at", json_real((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	json_array_append_new(rows, row_of(vm, stats, show_find_named(before, name)));
	json_decref(stats);
}

static int measure(struct ctl *ctl, json_t *before, json_t **out, struct error *err)
{
	_cleanup_free_ char *path = command_path(ctl, ctl->command->path, NULL,
						 "page_size=1000&filter=state%3DRUNNING", err);
	struct http_request request = { .method = "GET", .path = path };
	json_t *answer = NULL, *vm;
	long status = 0;
	size_t i;

	if (!path || http_json(ctl->http, &request, &answer, &status, err))
		return status || !path ? CTL_REFUSED : CTL_UNREACHED;
	*out = json_array();
	json_array_foreach(json_object_get(answer, ctl->command->list), i, vm)
		add_row(ctl, *out, vm, before);
	json_decref(answer);
	return CTL_DONE;
}

static void pause_for(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds,
			      .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&t, NULL);
}

/* [--interval=SECONDS] [--count=N]: two looks a figure, so the first table comes after an interval. */
int command_top(struct ctl *ctl, int argc, char **argv, struct error *err)
{
	json_t *before = NULL, *now = NULL;
	double interval = 1;
	long count = -1;
	int rc;

	for (int i = 0; i < argc; i++) {
		char *end = argv[i];

		if (strncmp(argv[i], "--interval=", 11) == 0)
			interval = strtod(argv[i] + 11, &end);
		else if (strncmp(argv[i], "--count=", 8) == 0)
			count = strtol(argv[i] + 8, &end, 10);
		if (*end || end == argv[i] || !(interval >= 0.1 && interval <= 3600))
			return command_usage(ctl, err);
	}
	rc = measure(ctl, NULL, &before, err);
	while (rc == CTL_DONE && count != 0 && !ferror(stdout)) {
		pause_for(interval);
		rc = measure(ctl, before, &now, err);
		if (rc != CTL_DONE)
			break;
		if (isatty(STDOUT_FILENO) && !ctl->json)
			fputs("\033[H\033[J", stdout);
		if (ctl->json)
			show_json(now);
		else
			show_table(now, ctl->command->columns);
		fflush(stdout);
		json_decref(before);
		before = TAKE_PTR(now);
		count -= count > 0;
	}
	json_decref(before);
	return rc;
}
