// SPDX-License-Identifier: Apache-2.0
// The agent's configuration: defaults, file, command line, and every way to get them wrong.

#include "tests/unit/agent_help.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = help_mkdir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	help_rmdir(dir);
	return 0;
}

/* Loads with the file's text and one more option, either of which may be NULL. */
static int load(struct config **config, const char *text, const char *option, struct error *err)
{
	char path[256], file[300];
	char *argv[4] = { (char *)"croftd", file };
	enum config_action action = CONFIG_HELP;
	int argc = 2, r;
	FILE *f;

	snprintf(path, sizeof(path), "%s/croftd.conf", dir);
	snprintf(file, sizeof(file), "--config=%s", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text ? text : "", f);
	fclose(f);
	if (option)
		argv[argc++] = (char *)(uintptr_t)option;
	r = config_load(config, &action, argc, argv, err);
	if (r == 0)
		assert_int_equal(action, CONFIG_RUN);
	return r;
}

static void test_defaults(void **state)
{
	struct config *c = NULL;

	(void)state;
	assert_int_equal(load(&c, NULL, NULL, NULL), 0);
	assert_int_equal(c->backend, VMM_BACKEND_GUNYAH);
	assert_string_equal(c->state_dir, "/var/lib/croft");
	assert_string_equal(c->listen_unix, "/run/croft/croft.sock");
	assert_int_equal(c->listen_tcp.len, 0);
	assert_int_equal(c->listen_grpc.len, 0);
	assert_int_equal(c->start_timeout, 120);
	assert_true(c->image_size_max == 64ull << 30);
	assert_null(config_free(c));
	assert_null(config_free(NULL));
}

static void test_file_and_option(void **state)
{
	struct config *c = NULL;
	const struct sockaddr_in *in;

	(void)state;
	assert_int_equal(load(&c,
			      "# a comment\n[agent]\nbackend = fake\nstate_dir = /a b\n"
			      "[listen]\nunix =\ntcp = 127.0.0.1:8080\ngrpc = [::1]:50051\n"
			      "[vms]\nstart_timeout = 5\n[images]\nsize_max = 3M\n",
			      "--start-timeout=7", NULL),
			 0);
	assert_int_equal(c->backend, VMM_BACKEND_FAKE);
	assert_string_equal(c->state_dir, "/a b");
	assert_string_equal(c->listen_unix, "");
	assert_string_equal(c->listen_tcp.text, "127.0.0.1:8080");
	assert_string_equal(c->listen_grpc.text, "[::1]:50051");
	in = (const void *)&c->listen_tcp.addr;
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(ntohs(in->sin_port), 8080);
	assert_int_equal(c->listen_grpc.addr.ss_family, AF_INET6);
	assert_int_equal(c->start_timeout, 7);
	assert_true(c->image_size_max == 3u << 20);
	config_free(c);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *option, *says;
	} bad[] = {
		{ "[agent]\nspeed = 1\n", NULL, "croftd.conf:2: [agent] speed: no such setting" },
		{ "[agnet]\nbackend = fake\n", NULL, ":2: [agnet] backend: no such setting" },
		{ "backend = fake\n", NULL, ":1: [] backend: no such setting" },
		{ "[agent]\nbackend = kvm\n", NULL, "neither gunyah nor fake" },
		{ "[agent]\nnonsense\n", NULL, ":2: neither [section] nor key = value" },
		{ "[agent]\nstate_dir = relative\n", NULL, "not an absolute path" },
		{ "[listen]\ntcp = 127.0.0.1\n", NULL, "not ADDRESS:PORT" },
		{ "[listen]\ntcp = 127.0.0.1:0\n", NULL, "not ADDRESS:PORT" },
		{ "[listen]\ntcp = 127.0.0.1:65536\n", NULL, "not ADDRESS:PORT" },
		{ "[listen]\ntcp = ::1:80\n", NULL, "not ADDRESS:PORT" },
		{ "[listen]\ntcp = localhost:80\n", NULL, "not ADDRESS:PORT" },
		{ "[listen]\ntcp = 0.0.0.0:80\n", NULL, "0.0.0.0:80 is not a loopback address" },
		{ "[listen]\ngrpc = [::]:80\n", NULL, "[::]:80 is not a loopback address" },
		{ "[listen]\nunix =\ntls = 0.0.0.0:443\n", NULL,
		  "[listen] tls: mutual TLS on 0.0.0.0:443 needs [tls] certificate" },
		{ "[listen]\ngrpc_tls = 0.0.0.0:443\n[tls]\ncertificate = /c\nkey = /k\n", NULL,
		  "[listen] grpc_tls: mutual TLS on 0.0.0.0:443 needs [tls] client_ca" },
		{ "[tls]\nkey = node.key\n", NULL,
		  "[tls] key: \"node.key\" is not an absolute path" },
		{ "[access]\ntcp_roles = root\n", NULL, "[access] tcp_roles: \"root\" is none of" },
		{ NULL, "--socket-roles=viewer root", "--socket-roles: \"root\" is none of" },
		{ "[listen]\nunix =\n", NULL, "nothing listens" },
		{ "[vms]\nstart_timeout = 0\n", NULL, "from 1 to 3600" },
		{ "[vms]\nstart_timeout = -1\n", NULL, "from 1 to 3600" },
		{ "[vms]\nstart_timeout = 5x\n", NULL, "from 1 to 3600" },
		{ "[images]\nsize_max = 16777216T\n", NULL, "not a number of bytes" },
		{ "[images]\nsize_max = 1GB\n", NULL, "not a number of bytes" },
		{ "[images]\nsize_max = 1023K\n", NULL, "from 1M to 1T" },
		{ "[images]\nsize_max = 1025G\n", NULL, "from 1M to 1T" },
		{ NULL, "--fake-script=/nowhere/at/all", "--fake-script: open /nowhere/at/all" },
		{ NULL, "--speed=1", "--speed=1: not a valid option" },
		{ NULL, "--backend", "--backend: the value is missing" },
		{ NULL, "croft", "croft: takes no arguments" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct config *c = NULL;
		struct error e = { .code = ERROR_NONE };

		assert_true(load(&c, bad[i].text, bad[i].option, &e) < 0);
		assert_null(c);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		if (!strstr(e.message, bad[i].says))
			fail_msg("case %zu says: %s", i, e.message);
	}
}

static void test_access(void **state)
{
	struct config *c = NULL;
	struct error e;

	(void)state;
	if (load(&c,
		 "[listen]\nunix =\ntls = 0.0.0.0:8443\ngrpc_tls = [::]:8444\n"
		 "[tls]\ncertificate = /c.pem\nkey = /k.pem\nclient_ca = /ca.pem\n"
		 "[access]\nsocket_roles = viewer\ntcp_roles =\n",
		 NULL, &e) < 0)
		fail_msg("%s", e.message);
	assert_string_equal(c->listen_tls.text, "0.0.0.0:8443");
	assert_string_equal(c->listen_grpc_tls.text, "[::]:8444");
	assert_string_equal(c->tls_key, "/k.pem");
	assert_int_equal(c->socket_roles, ROLE_VIEWER);
	assert_int_equal(c->tcp_roles, 0);
	config_free(c);

	assert_int_equal(load(&c, NULL, NULL, NULL), 0);
	assert_int_equal(c->socket_roles, ROLE_OPERATOR | ROLE_CONSOLE);
	assert_int_equal(c->tcp_roles, ROLE_ADMIN);
	assert_string_equal(c->tls_certificate, "");
	config_free(c);
}

static void test_missing_file(void **state)
{
	char *argv[] = { (char *)"croftd", (char *)"--config=/nowhere/at/all", NULL };
	enum config_action action;
	struct config *c = NULL;
	struct error e;

	(void)state;
	assert_true(config_load(&c, &action, 2, argv, &e) < 0);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
}

static void test_actions(void **state)
{
	char *help[] = { (char *)"croftd", (char *)"--help", NULL };
	char *version[] = { (char *)"croftd", (char *)"--version", NULL };
	enum config_action action;
	struct config *c = NULL;

	(void)state;
	assert_int_equal(config_load(&c, &action, 2, help, NULL), 0);
	assert_int_equal(action, CONFIG_HELP);
	assert_int_equal(config_load(&c, &action, 2, version, NULL), 0);
	assert_int_equal(action, CONFIG_VERSION);
	assert_null(c);
}

/* Every setting of the shipped file is one that the agent knows, and is what it says is the default. */
static void test_shipped_file(void **state)
{
	char *argv[] = { (char *)"croftd", (char *)"--config=deploy/croftd.conf", NULL };
	enum config_action action;
	struct config *c = NULL;
	struct error e;

	(void)state;
	if (access("deploy/croftd.conf", R_OK) < 0)
		skip();
	if (config_load(&c, &action, 2, argv, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(c->backend, VMM_BACKEND_GUNYAH);
	config_free(c);
}

/* Un-comments every "#key = value" of the shipped file. */
static void test_shipped_comments(void **state)
{
	char line[512], all[8192] = "";
	struct config *c = NULL;
	struct error e;
	FILE *f = fopen("deploy/croftd.conf", "r");

	(void)state;
	if (!f)
		skip();
	while (fgets(line, sizeof(line), f)) {
		bool setting = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z';

		strcat(all, setting ? line + 1 : line);
	}
	fclose(f);
	if (load(&c, all, NULL, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(c->stop_timeout, 30);
	assert_true(c->image_size_max == 64ull << 30);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_file_and_option),
		cmocka_unit_test(test_refused),	     cmocka_unit_test(test_access),
		cmocka_unit_test(test_missing_file), cmocka_unit_test(test_actions),
		cmocka_unit_test(test_shipped_file), cmocka_unit_test(test_shipped_comments),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
