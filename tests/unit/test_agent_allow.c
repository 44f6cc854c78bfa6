// SPDX-License-Identifier: Apache-2.0
// What of the host VMs may have: lists, paths with and without symbolic links, and addresses of interfaces.

#include "agent/allow.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/validate_device.h"
#include "agent/vm_net.h"
#include "tests/unit/agent_help.h"

static void test_plain_paths(void **state)
{
	static const char *const good[] = { "/a", "/a/b", "/...", "/a/.b", "/a/b..c" };
	static const char *const bad[] = { "",	   "a",	    "/",     "//",   "/a/", "/a//b",
					   "/./a", "/a/..", "/../a", "/a/.", "a/b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!allow_path_plain(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (allow_path_plain(bad[i]))
			fail_msg("%s", bad[i]);
}

static void test_settings(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(allow_check_bridges("", &e), 0);
	assert_int_equal(allow_check_bridges(" br0  lan ", &e), 0);
	assert_int_equal(allow_check_bridges("*", &e), 0);
	assert_true(allow_check_bridges("br0 sixteen-is-long1", &e) < 0);
	assert_true(allow_check_bridges("a/b", &e) < 0);
	assert_int_equal(allow_check_shares("/srv /home/x", &e), 0);
	assert_true(allow_check_shares("/srv/", &e) < 0);
	assert_non_null(strstr(e.message, "/srv/"));
	assert_int_equal(allow_check_block_devices("/dev/sd* /dev/mapper/vm-?", &e), 0);
	assert_true(allow_check_block_devices("/etc/*", &e) < 0);
	assert_true(allow_check_block_devices("sda", &e) < 0);
}

/* A spec with one share or one bridge is right or wrong. */
static bool takes(const struct config *config, const char *share, const char *bridge)
{
	Croft__V1__VmSpec spec = CROFT__V1__VM_SPEC__INIT;
	Croft__V1__ShareSpec s = CROFT__V1__SHARE_SPEC__INIT, *shares[] = { &s };
	Croft__V1__NetworkSpec n = CROFT__V1__NETWORK_SPEC__INIT, *networks[] = { &n };
	struct error e;

	s.path = (char *)(uintptr_t)share;
	n.bridge = (char *)(uintptr_t)bridge;
	spec.shares = shares;
	spec.n_shares = share[0] ? 1 : 0;
	spec.networks = networks;
	spec.n_networks = 1;
	if (allow_check_spec(config, &spec, &e) == 0)
		return true;
	assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
	assert_string_equal(e.field, share[0] ? "/spec/shares/0/path" : "/spec/networks/0/bridge");
	return false;
}

static void test_what_is_allowed(void **state)
{
	struct config config = { .bridges = (char *)"br0 lan",
				 .shares = (char *)"/srv/a /srv/b",
				 .block_devices = (char *)"" };

	(void)state;
	assert_true(takes(&config, "/srv/a", ""));
	assert_true(takes(&config, "/srv/b/c/d", ""));
	assert_false(takes(&config, "/srv", ""));
	assert_false(takes(&config, "/srv/ab", ""));
	assert_false(takes(&config, "/etc", ""));
	assert_true(takes(&config, "", "lan"));
	assert_false(takes(&config, "", "la"));
	assert_false(takes(&config, "", "br0 lan"));
	config.bridges = (char *)"*";
	assert_true(takes(&config, "", "whatever"));
	config.shares = config.bridges = (char *)"";
	assert_false(takes(&config, "/srv/a", ""));
	assert_false(takes(&config, "", "br0"));
}

static void test_where_a_path_leads(void **state)
{
	char *dir = help_mkdir(), path[512], other[512];
	struct config config = { .bridges = (char *)"", .block_devices = (char *)"/dev/null" };
	dev_t device;
	struct stat before, after;
	struct error e;
	int fd = -1;

	(void)state;
	config.shares = dir;
	snprintf(path, sizeof(path), "%s/in", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(allow_open_share(&config, path, &fd, &e), 0);
	/* Another thing at the path is not what was opened. */
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink("/etc", path), 0);
	assert_int_equal(fstat(fd, &after), 0);
	assert_true(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
	close(fd);
	assert_true(allow_open_share(&config, path, &fd, &e) < 0);
	assert_int_equal(e.code, ERROR_CONFLICT);
	assert_non_null(strstr(e.message, "/etc is not allowed"));
	assert_int_equal(unlink(path), 0);
	assert_true(allow_open_share(&config, path, &fd, &e) < 0);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	assert_int_equal(rmdir(other), 0);
	help_rmdir(dir);
	assert_true(allow_find_device(&config, "/dev/null", &device, &e) < 0);
	assert_non_null(strstr(e.message, "no block device"));
	assert_true(allow_find_device(&config, "/dev/zero", &device, &e) < 0);
	assert_non_null(strstr(e.message, "not allowed"));
	assert_true(allow_find_device(&config, "/dev/none/at/all", &device, &e) < 0);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
}

static void test_addresses(void **state)
{
	uint8_t a[6], b[6];
	char text[VM_NET_MAC];

	(void)state;
	assert_int_equal(vm_net_make_mac(a, "6f1f8ad2-1111", "net0"), 0);
	assert_int_equal(vm_net_make_mac(b, "6f1f8ad2-1111", "net0"), 0);
	assert_memory_equal(a, b, 6);
	assert_int_equal(a[0] & 3, 2);
	assert_int_equal(vm_net_make_mac(b, "6f1f8ad2-1111", "net1"), 0);
	assert_memory_not_equal(a, b, 6);
	/* Where the one ends and the other begins counts. */
	assert_int_equal(vm_net_make_mac(b, "6f1f8ad2-1111n", "et0"), 0);
	assert_memory_not_equal(a, b, 6);
	vm_net_print_mac(text, a);
	assert_true(mac_parse(text, b));
	assert_memory_equal(a, b, 6);
	assert_true(mac_parse("52:54:00:aB:Cd:eF", b));
	assert_memory_equal(b, "\x52\x54\0\xab\xcd\xef", 6);
	assert_false(mac_parse("52:54:00:ab:cd", b));
	assert_false(mac_parse("52:54:00:ab:cd:ef:", b));
	assert_false(mac_parse("52:54:00:ab:cd:e", b));
	assert_false(mac_parse("5254:00:ab:cd:eff", b));
	assert_false(mac_parse("", b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_paths),	cmocka_unit_test(test_settings),
		cmocka_unit_test(test_what_is_allowed), cmocka_unit_test(test_where_a_path_leads),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
