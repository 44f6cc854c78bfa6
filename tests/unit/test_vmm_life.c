// SPDX-License-Identifier: Apache-2.0
/*
 * Whole virtual machines on the fake backend: every way to end, every step that can fail, and
 * nothing left behind.
 */
#include "tests/unit/vmm_help.h"

#include <fcntl.h>
#include <sys/resource.h>

#define GREETING "print \"hello\\n\"\n"

static bool has_console(struct test_vm *t)
{
	return t->console_used > 0;
}

/* Runs a script to its end, and gives what was seen. */
static void run_to_end(struct test_vm *t, const char *script)
{
	test_vm_init(t, script);
	test_vm_create(t);
	test_vm_start(t);
	test_vm_wait(t, test_ended);
	test_vm_free(t);
}

static void test_ends(void **state)
{
	static const struct {
		const char *script;
		enum vmm_exit_reason reason;
	} ends[] = {
		{ GREETING "poweroff\n", VMM_EXIT_GUEST_POWEROFF },
		{ GREETING "reset\n", VMM_EXIT_GUEST_RESET },
		{ GREETING "watchdog\n", VMM_EXIT_WATCHDOG },
		{ GREETING "fault\n", VMM_EXIT_HYPERVISOR_ERROR },
		{ GREETING "abort\n", VMM_EXIT_EXTERNAL_ABORT },
		{ GREETING "stopped\n", VMM_EXIT_FORCE_STOPPED },
		{ GREETING "unloadable\n", VMM_EXIT_LOAD_FAILED },
		{ GREETING "break\n", VMM_EXIT_VMM_ERROR },
		{ "idle\n@1 sleep 20\n@1 " GREETING "@1 poweroff\n", VMM_EXIT_GUEST_POWEROFF },
		{ "spin\n@1 sleep 20\n@1 " GREETING "@1 reset\n", VMM_EXIT_GUEST_RESET },
	};
	static struct test_vm t;
	unsigned int fds = open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		run_to_end(&t, ends[i].script);
		assert_int_equal(t.exit.reason, ends[i].reason);
		assert_string_equal(t.console, "hello\n");
		assert_int_equal(t.exits, 1);
		assert_int_equal(t.exit.error.code != ERROR_NONE,
				 ends[i].reason == VMM_EXIT_VMM_ERROR ||
					 ends[i].reason == VMM_EXIT_LOAD_FAILED);
	}
	assert_int_equal(open_fds(), fds);
}

static void test_error_text(void **state)
{
	static struct test_vm t;

	(void)state;
	run_to_end(&t, "break\n");
	assert_string_equal(t.exit.error.message, "vCPU 0: run: the script lets it fail");
	run_to_end(&t, "# a disk, at the first slot?\nread 0xa000008 4 2\n");
	assert_string_equal(t.exit.error.message,
			    "vCPU 0: script line 2: 0xa000008 has 0x3, not 0x2");
	run_to_end(&t, "store 0 4 1\n");
	assert_string_equal(t.exit.error.message, "vCPU 0: script line 1: 0x0 is no RAM");
}

/* The last text comes before the end, also without a line end. */
static void test_last_words(void **state)
{
	static struct test_vm t;

	(void)state;
	run_to_end(&t, "print \"no line end\\x21\"\npoweroff\n");
	assert_string_equal(t.console, "no line end!");
}

static void test_stop(void **state)
{
	static const char *const guests[] = {
		"idle\n",
		"spin\n@1 spin\n",
		"repeat\nread 0x9000005 1\n@1 repeat\n@1 write 0x9000007 1 5\n",
		"repeat\nread 0x1000 8\n",
		"",
		"wait 5\n",
		"sleep 100000\n@1 wait 32\n",
		"echo\n",
		"await 0x80000000 4 0x12345678\n",
		"repeat\nprint \"chatter\\n\"\n",
	};
	static struct test_vm t;
	unsigned int fds = open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		test_vm_init(&t, guests[i]);
		test_vm_create(&t);
		test_vm_start(&t);
		usleep(20000);
		assert_int_equal(t.exits, 0);
		vmm_stop(t.vmm);
		test_vm_wait(&t, test_ended);
		assert_int_equal(t.exit.reason, VMM_EXIT_FORCE_STOPPED);
		/* Harmless a second time. */
		vmm_stop(t.vmm);
		test_vm_free(&t);
		assert_int_equal(t.exits, 1);
	}
	assert_int_equal(open_fds(), fds);
}

static void test_stop_before_start(void **state)
{
	static struct test_vm t;

	(void)state;
	test_vm_init(&t, "repeat\nprint \"x\"\n");
	test_vm_create(&t);
	vmm_stop(t.vmm);
	test_vm_start(&t);
	test_vm_wait(&t, test_ended);
	assert_int_equal(t.exit.reason, VMM_EXIT_FORCE_STOPPED);
	test_vm_free(&t);
}

static void test_free_in_any_state(void **state)
{
	static struct test_vm t;
	unsigned int fds = open_fds();

	(void)state;
	assert_null(vmm_free(NULL));
	test_vm_init(&t, "spin\n");
	test_vm_create(&t);
	test_vm_free(&t);
	assert_int_equal(t.exits, 0);
	test_vm_init(&t, "spin\n@1 spin\n");
	test_vm_create(&t);
	test_vm_start(&t);
	test_vm_free(&t);
	assert_int_equal(t.exits, 1);
	assert_int_equal(open_fds(), fds);
}

static void test_started_once(void **state)
{
	static struct test_vm t;
	struct error err = { 0 };

	(void)state;
	test_vm_init(&t, "idle\n");
	test_vm_create(&t);
	test_vm_start(&t);
	assert_true(vmm_start(t.vmm, &err) < 0);
	assert_int_equal(err.code, ERROR_CONFLICT);
	test_vm_free(&t);
}

static void test_start_fails(void **state)
{
	static struct test_vm t;
	struct error err = { 0 };
	unsigned int fds = open_fds();

	(void)state;
	test_vm_init(&t, "fail start\n");
	test_vm_create(&t);
	assert_true(vmm_start(t.vmm, &err) < 0);
	assert_string_equal(err.message, "fake: start VM: the script lets it fail");
	assert_true(vmm_start(t.vmm, &err) < 0);
	assert_int_equal(err.code, ERROR_CONFLICT);
	vmm_stop(t.vmm);
	test_vm_free(&t);
	assert_int_equal(t.exits, 0);
	assert_int_equal(open_fds(), fds);
}

/*
 * The configuration of each is refused: with a clear text, *out untouched, and no descriptor or
 * byte left behind.
 */
static void refused(struct test_vm *t, enum error_code code, const char *field, const char *message)
{
	struct vmm_events events = test_events(t);
	struct vmm *const untouched = (struct vmm *)(uintptr_t)0x1234;
	unsigned int fds = open_fds();
	struct error err = { 0 };

	t->vmm = untouched;
	assert_true(vmm_create(&t->vmm, &t->config, &events, &err) < 0);
	if (err.code != code || strcmp(err.field, field) != 0 || !strstr(err.message, message))
		fail_msg("%s at \"%s\": %s", error_code_name(err.code), err.field, err.message);
	assert_ptr_equal(t->vmm, untouched);
	assert_int_equal(open_fds(), fds);
	t->vmm = NULL;
}

static void test_bad_config(void **state)
{
	static struct test_vm t;
	struct vmm_config good;
	char cmdline[VMM_CMDLINE_MAX + 1];
	struct vmm_disk disks[VMM_DISKS_MAX + 1] = { { .name = "root", .fd = 9999 } };

	(void)state;
	test_vm_init(&t, NULL);
	good = t.config;
	t.config.vcpus = 0;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/vcpus", "0 vCPUs, 1 to 8 are possible");
	t.config.vcpus = 100;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/vcpus", "100 vCPUs");
	t.config = good;
	t.config.memory = 0;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/memory_bytes", "at least 67108864");
	t.config.memory = 64 * MIB + 4096;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/memory_bytes", "not a multiple of 2097152");
	t.config.memory = 1ull << 50;
	refused(&t, ERROR_RESOURCE_EXHAUSTED, "/spec/memory_bytes", "1073741824 MiB, the host has");
	t.config.memory = 0ull - VMM_MEMORY_ALIGN;
	refused(&t, ERROR_RESOURCE_EXHAUSTED, "/spec/memory_bytes", "the host has");
	t.config = good;
	t.config.name = "";
	refused(&t, ERROR_INVALID_ARGUMENT, "/name", "needs a name");
	t.config = good;
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	cmdline[VMM_CMDLINE_MAX] = '\0';
	t.config.cmdline = cmdline;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/cmdline", "2048 bytes, 2047 is the limit");
	t.config = good;
	t.config.disks = disks;
	t.config.disk_count = VMM_DISKS_MAX + 1;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/disks", "9 disks, 8 is the limit");
	t.config.disk_count = 1;
	refused(&t, ERROR_INVALID_ARGUMENT, "", "disk \"root\": file descriptor");
	t.config.lend = true;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/disks", "lent");
	t.config = good;
	t.config.kernel_fd = -1;
	refused(&t, ERROR_INVALID_ARGUMENT, "/spec/image", "needs a kernel");
	t.config.kernel_fd = blank_file(100);
	refused(&t, ERROR_DATA_LOSS, "", "kernel: not an arm64 Image");
	base_close(t.config.kernel_fd);
	t.config = good;
	t.config.initrd_fd = blank_file(0);
	refused(&t, ERROR_DATA_LOSS, "", "initrd: an empty file");
	base_close(t.config.initrd_fd);
	t.config = good;
	t.config.fake_script = "idle\nprint \"unterminated\n";
	refused(&t, ERROR_INVALID_ARGUMENT, "", "fake: script: line 2: print \"unterminated");
	t.config = good;
	test_vm_free(&t);
}

static void test_backend_fails(void **state)
{
	static const char *const steps[] = { "open", "load", "vcpu", "irqfd", "ioeventfd" };
	static struct test_vm t;
	char script[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		snprintf(script, sizeof(script), "fail %s\n", steps[i]);
		test_vm_init(&t, script);
		refused(&t, ERROR_INTERNAL, "", "the script lets it fail");
		test_vm_free(&t);
	}
}

/* However few descriptors there are, create() says so and gives back what it had. */
static void test_few_descriptors(void **state)
{
	static struct test_vm t;
	struct rlimit limit, few;
	int held[256], count = 0, fd;
	unsigned int refusals = 0;
	struct error err = { 0 };
	struct vmm_events events;

	(void)state;
	test_vm_init(&t, "idle\n");
	events = test_events(&t);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){ .rlim_cur = 200, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (count < 256 && (fd = fcntl(t.config.kernel_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		held[count++] = fd;
	for (int room = 0; room < 40 && count > 0 && !t.vmm; room++) {
		close(held[--count]);
		if (vmm_create(&t.vmm, &t.config, &events, &err) < 0) {
			assert_int_not_equal(err.code, ERROR_NONE);
			refusals++;
			/*
			 * What it took is free again: as many as before, and not one more, can be
			 * had.
			 */
			held[count++] = fcntl(t.config.kernel_fd, F_DUPFD_CLOEXEC, 0);
			assert_true(held[count - 1] >= 0);
			for (int i = 0; i < room; i++) {
				held[count++] = fcntl(t.config.kernel_fd, F_DUPFD_CLOEXEC, 0);
				assert_true(held[count - 1] >= 0);
			}
			assert_int_equal(fcntl(t.config.kernel_fd, F_DUPFD_CLOEXEC, 0), -1);
			for (int i = 0; i <= room; i++)
				close(held[--count]);
		}
	}
	while (count > 0)
		close(held[--count]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_non_null(t.vmm);
	assert_true(refusals > 5);
	test_vm_free(&t);
}

static void test_stats(void **state)
{
	static struct test_vm t;
	struct vmm_disk disk = { .name = "root", .fd = blank_file(1 * MIB) };
	struct vmm_stats stats;

	(void)state;
	test_vm_init(&t, GREETING "read 0x9000005 1 0x60\nwrite 0xa000050 4 1\nspin\n");
	t.config.disks = &disk;
	t.config.disk_count = 1;
	test_vm_create(&t);
	vmm_stats(t.vmm, &stats);
	assert_int_equal(stats.vcpu_count, 2);
	assert_int_equal(stats.disk_count, 1);
	assert_int_equal(stats.memory_configured, 64 * MIB);
	assert_in_range(stats.memory_resident, 4096, 64 * MIB - 1);
	assert_false(stats.vcpus[0].running);
	test_vm_start(&t);
	do
		vmm_stats(t.vmm, &stats);
	while (stats.vcpus[0].run_ns < 20000000 || stats.vcpus[0].handled == 0);
	assert_true(stats.vcpus[0].running);
	assert_true(stats.vcpus[1].run_ns < stats.vcpus[0].run_ns);
	assert_int_equal(stats.vcpus[0].mmio_writes, 6);
	assert_int_equal(stats.vcpus[0].mmio_reads, 1);
	assert_true(stats.vcpus[0].handled_measured);
	assert_int_equal(stats.vcpus[0].handled, 1);
	assert_int_equal(stats.console_bytes, 6);
	vmm_stop(t.vmm);
	test_vm_wait(&t, test_ended);
	/* What was used stays known. */
	vmm_stats(t.vmm, &stats);
	assert_false(stats.vcpus[0].running);
	assert_true(stats.vcpus[0].run_ns >= 20000000);
	test_vm_free(&t);
	base_close(disk.fd);
}

static bool has_echo(struct test_vm *t)
{
	return strstr(t->console, "uname") != NULL;
}

/* Without a script: a banner, and an echo. */
static void test_default_script(void **state)
{
	static struct test_vm t;

	(void)state;
	test_vm_init(&t, NULL);
	test_vm_create(&t);
	test_vm_start(&t);
	test_vm_wait(&t, has_console);
	assert_non_null(strstr(t.console, "Croft fake backend"));
	assert_int_equal(vmm_console_write(t.vmm, "uname", 5), 5);
	test_vm_wait(&t, has_echo);
	test_vm_free(&t);
}

static bool is_ready(struct test_vm *t)
{
	return strstr(t->console, "ready\n") != NULL;
}

/* The power key reaches the guest, which obeys, also one that was busy when it was pressed. */
static void test_ask_stop(void **state)
{
	static const char *const guests[] = {
		"print \"ready\\n\"\nkey\nprint \"bye\\n\"\npoweroff\n",
		"print \"ready\\n\"\necho\nprint \"bye\\n\"\npoweroff\n",
		"write 0x903040c 1 8\nwrite 0x9030410 1 8\nprint \"ready\\n\"\nsleep 50\n"
		"wait 33\nread 0x9030418 1 8\nwrite 0x903041c 1 8\nread 0x9030418 1 0\n"
		"print \"bye\\n\"\npoweroff\n",
	};
	static struct test_vm t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		test_vm_init(&t, guests[i]);
		test_vm_create(&t);
		test_vm_start(&t);
		test_vm_wait(&t, is_ready);
		assert_int_equal(t.exits, 0);
		/* A guest that has not set the pin up yet finds it pending. */
		vmm_ask_stop(t.vmm);
		test_vm_wait(&t, test_ended);
		assert_non_null(strstr(t.console, "bye\n"));
		assert_string_equal(t.exit.error.message, "");
		assert_int_equal(t.exit.reason, VMM_EXIT_GUEST_POWEROFF);
		vmm_ask_stop(t.vmm);
		test_vm_free(&t);
	}
}

/* A lent VM has no device that reads its memory, and a console all the same. */
static void test_lend(void **state)
{
	static struct test_vm t;

	(void)state;
	test_vm_init(&t, "read 0xa000008 4 0xffffffff\n" GREETING "poweroff\n");
	t.config.lend = true;
	test_vm_create(&t);
	test_vm_start(&t);
	test_vm_wait(&t, test_ended);
	assert_int_equal(t.exit.reason, VMM_EXIT_GUEST_POWEROFF);
	assert_string_equal(t.console, "hello\n");
	test_vm_free(&t);
}

/* A guest's driver, in full: negotiate, set up the ring, read a sector, be interrupted. */
static void test_disk_from_script(void **state)
{
	static const char script[] =
		"read 0xa000208 4 2\n"
		"write 0xa000270 4 3\n"
		"write 0xa000224 4 1\nwrite 0xa000220 4 1\n"
		"write 0xa000270 4 11\nread 0xa000270 4 11\n"
		"write 0xa000238 4 8\n"
		"write 0xa000280 4 0x80001000\nwrite 0xa000290 4 0x80002000\nwrite 0xa0002a0 4 0x80003000\n"
		"write 0xa000244 4 1\nread 0xa000244 4 1\nwrite 0xa000270 4 15\n"
		/* Header, data, status. */
		"store 0x80001000 8 0x80004000\nstore 0x80001008 8 0x0001000100000010\n"
		"store 0x80001010 8 0x80005000\nstore 0x80001018 8 0x0002000300000200\n"
		"store 0x80001020 8 0x80006000\nstore 0x80001028 8 0x0000000200000001\n"
		"store 0x80004000 8 0\nstore 0x80004008 8 1\nstore 0x80006000 1 0xff\n"
		"store 0x80002004 2 0\nstore 0x80002002 2 1\n"
		"write 0xa000250 4 0\nwait 49\n"
		"load 0x80003002 2 1\nload 0x80003008 4 513\nload 0x80006000 1 0\nload 0x80005000 4 0x74636573\n"
		"read 0xa000260 4 1\nwrite 0xa000264 4 1\nread 0xa000260 4 0\n"
		"write 0xa000270 4 0\nread 0xa000270 4 0\n"
		"print \"read\"\npoweroff\n";
	static struct test_vm t;
	struct vmm_disk disk = { .name = "root", .fd = blank_file(1 * MIB) };
	struct vmm_stats stats;

	(void)state;
	assert_int_equal(pwrite_all(disk.fd, "sector one", 10, 512), 0);
	test_vm_init(&t, script);
	t.config.disks = &disk;
	t.config.disk_count = 1;
	test_vm_create(&t);
	test_vm_start(&t);
	test_vm_wait(&t, test_ended);
	assert_string_equal(t.exit.error.message, "");
	assert_int_equal(t.exit.reason, VMM_EXIT_GUEST_POWEROFF);
	assert_string_equal(t.console, "read");
	vmm_stats(t.vmm, &stats);
	assert_int_equal(stats.disks[0].read_bytes, 512);
	test_vm_free(&t);
	base_close(disk.fd);
}

/* Two VMs know nothing of each other. */
static void test_two(void **state)
{
	static struct test_vm a, b;

	(void)state;
	test_vm_init(&a, "print \"a\\n\"\nspin\n");
	test_vm_init(&b, "print \"b\\n\"\nspin\n");
	test_vm_create(&a);
	test_vm_create(&b);
	test_vm_start(&a);
	test_vm_start(&b);
	test_vm_wait(&a, has_console);
	test_vm_wait(&b, has_console);
	vmm_stop(a.vmm);
	test_vm_wait(&a, test_ended);
	assert_int_equal(b.exits, 0);
	test_vm_free(&a);
	assert_int_equal(b.exits, 0);
	test_vm_free(&b);
	assert_string_equal(a.console, "a\n");
	assert_string_equal(b.console, "b\n");
}

static void test_scripts(void **state)
{
	static const char *const bad[] = {
		"nonsense",
		"print",
		"print hello",
		"print \"\\q\"",
		"print \"\\x4\"",
		"write 1 2",
		"write 1 3 4",
		"read",
		"read x 1",
		"wait",
		"sleep -1",
		"fail",
		"fail dinner",
		"@8 idle",
		"@ idle",
		"idle 5",
		"sleep 99999999999999999999999",
		"print \"a\" b",
		"@0",
		"store 1 8",
	};
	static struct test_vm t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		test_vm_init(&t, bad[i]);
		refused(&t, ERROR_INVALID_ARGUMENT, "", "script: line 1: ");
		test_vm_free(&t);
	}
	run_to_end(&t, "\n  # nothing\n\tprint \"\\\"q\\\"\\t\\\\\"   # said\n\n@0 poweroff");
	assert_string_equal(t.console, "\"q\"\t\\");
}

static void test_probe(void **state)
{
	struct vmm_host host = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_int_equal(vmm_host_probe(VMM_BACKEND_FAKE, &host, &err), 0);
	assert_string_equal(host.backend, "fake");
	assert_int_equal(host.vcpus_max, VMM_VCPUS_MAX);
	assert_true(host.memory_available > MIB);
	if (access("/dev/gunyah", F_OK) == 0)
		return;
	host = (struct vmm_host){ 0 };
	assert_true(vmm_host_probe(VMM_BACKEND_GUNYAH, &host, &err) < 0);
	assert_int_equal(err.code, ERROR_UNAVAILABLE);
	assert_non_null(strstr(err.message, "/dev/gunyah"));
	assert_null(host.backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_error_text),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_before_start),
		cmocka_unit_test(test_free_in_any_state),
		cmocka_unit_test(test_started_once),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_bad_config),
		cmocka_unit_test(test_backend_fails),
		cmocka_unit_test(test_few_descriptors),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_default_script),
		cmocka_unit_test(test_ask_stop),
		cmocka_unit_test(test_lend),
		cmocka_unit_test(test_disk_from_script),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
