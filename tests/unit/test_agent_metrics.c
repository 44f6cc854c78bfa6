// SPDX-License-Identifier: Apache-2.0
// The metrics' text: its escapes, its frame, and the samples of VMs that run and that do not.

#include "tests/unit/agent_world.h"

#include "agent/metrics.h"
#include "agent/openapi.h"
#include "agent/vm_stats.h"

#include <sys/stat.h>

static void check_value(const char *value, const char *written)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	metrics_write_value(f, value);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, written);
	free(text);
}

static void test_values_are_escaped(void **state)
{
	(void)state;
	check_value("", "\"\"");
	check_value("web1", "\"web1\"");
	check_value("a\"b", "\"a\\\"b\"");
	check_value("c:\\d\\", "\"c:\\\\d\\\\\"");
	check_value("two\nlines\n", "\"two\\nlines\\n\"");
	check_value("\\n", "\"\\\\n\"");
	check_value("\"} 1\n# EOF\n", "\"\\\"} 1\\n# EOF\\n\"");
	check_value("\xc3\xa9,=}", "\"\xc3\xa9,=}\"");
}

/* The caller frees it. */
static char *scrape(void)
{
	struct call *call = help_call(service, "croft.v1.NodeService/GetMetrics",
				      message_new(&croft__v1__get_metrics_request__descriptor));
	char *text;

	if (!call->reply)
		fail_msg("%s", call->error.message);
	text = strdup(((Croft__V1__Text *)(void *)call->reply)->text);
	assert_non_null(text);
	call_free(call);
	return text;
}

/* Whether a line begins so. */
static bool has(const char *text, const char *start)
{
	const char *found = strstr(text, start);

	while (found && found != text && found[-1] != '\n')
		found = strstr(found + 1, start);
	return found;
}

static void test_empty_node(void **state)
{
	static const char end[] = "\n# EOF\n";
	char *text = scrape();

	(void)state;
	assert_true(strlen(text) > sizeof(end));
	assert_string_equal(text + strlen(text) - strlen(end), end);
	assert_ptr_equal(strstr(text, "# EOF"), text + strlen(text) - strlen(end) + 1);
	assert_true(has(text, "# TYPE croft_build info\n"));
	assert_true(has(text, "croft_build_info{version=\""));
	assert_true(has(text, "croft_process_start_time_seconds 1"));
	assert_true(has(text, "croft_node_memory_total_bytes "));
	assert_true(has(text, "croft_node_memory_available_bytes "));
	assert_true(has(text, "croft_vms{state=\"RUNNING\"} 0\n"));
	assert_true(has(text, "croft_images{state=\"READY\"} 0\n"));
	assert_true(has(text, "croft_rest_responses_total{class=\"2xx\"} 0\n"));
	assert_true(has(text, "# UNIT croft_vm_vcpu_run_seconds seconds\n"));
	/* Counted from 1: nothing is in an unspecified state. */
	assert_null(strstr(text, "UNSPECIFIED"));
	/* No VM, no figure of one. */
	assert_false(has(text, "croft_vm_"));
	assert_false(has(text, "croft_operations{"));
	free(text);
}

static void test_vms(void **state)
{
	char *text;

	(void)state;
	pull_tiny();
	expect(create("idle", ""), ERROR_NONE);
	expect(create("web1", "croft.test=spin"), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	/* The times of a thread are known when it has run. */
	text = scrape();
	while (!has(text, "croft_vm_vcpu_run_seconds_total{vm=\"web1\",vcpu=\"0\"} ")) {
		free(text);
		usleep(5000);
		text = scrape();
	}
	assert_true(has(text, "croft_vms{state=\"RUNNING\"} 1\n"));
	assert_true(has(text, "croft_vms{state=\"DEFINED\"} 1\n"));
	assert_true(has(text, "croft_images{state=\"READY\"} 1\n"));
	assert_true(has(text, "croft_operations{verb=\"pull\",state=\"SUCCEEDED\"} 1\n"));
	assert_true(has(text, "croft_operations{verb=\"start\",state=\"SUCCEEDED\"} 1\n"));
	assert_true(has(text, "croft_vm_vcpu_wait_seconds_total{vm=\"web1\",vcpu=\"0\"} "));
	assert_true(has(text, "croft_vm_vcpu_exits_total{vm=\"web1\",vcpu=\"0\",reason=\""));
	assert_true(has(text, "croft_vm_memory_configured_bytes{vm=\"web1\"} 67108864\n"));
	assert_true(has(text, "croft_vm_memory_resident_bytes{vm=\"web1\"} "));
	assert_true(has(text, "croft_vm_console_bytes_total{vm=\"web1\"} "));
	assert_true(has(
		text,
		"croft_vm_disk_operations_total{vm=\"web1\",disk=\"root\",direction=\"flush\"} "));
	assert_true(
		has(text,
		    "croft_vm_disk_bytes_total{vm=\"web1\",disk=\"root\",direction=\"read\"} "));
	assert_true(has(text, "croft_vm_disk_errors_total{vm=\"web1\",disk=\"root\"} 0\n"));
	assert_null(strstr(text, "idle"));
	free(text);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	text = scrape();
	assert_null(strstr(text, "web1"));
	assert_true(has(text, "croft_vms{state=\"STOPPED\"} 1\n"));
	free(text);
}

/* Each sample of a histogram is that before and more. */
static void check_handling(const char *text)
{
	static const char bucket[] =
		"croft_vm_vcpu_handling_seconds_bucket{vm=\"web1\",vcpu=\"0\",le=\"";
	static const char count[] = "croft_vm_vcpu_handling_seconds_count{vm=\"web1\",vcpu=\"0\"} ";
	uint64_t last = 0;
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, bucket)); n++) {
		uint64_t value = strtoull(strchr(at, '}') + 2, NULL, 10);

		assert_true(value >= last);
		last = value;
		at += sizeof(bucket);
	}
	assert_int_equal(n, VMM_HANDLING_BUCKETS);
	assert_non_null(strstr(text, "le=\"+Inf\"} "));
	assert_int_equal(strtoull(strstr(text, count) + strlen(count), NULL, 10), last);
	/* The guest has printed, and each character is an access. */
	assert_true(last > 0);
}

static bool measures(const Croft__V1__VmStats *stats, const char *name)
{
	for (size_t i = 0; i < stats->n_measured; i++)
		if (strcmp(stats->measured[i], name) == 0)
			return true;
	return false;
}

static void test_figures(void **state)
{
	Croft__V1__ReadConsoleResponse *console;
	struct call *call;
	const Croft__V1__VmStats *stats;
	char *text;
	uint64_t sum = 0;

	(void)state;
	pull_tiny();
	expect(create("web1", "croft.test=spin"), ERROR_NONE);
	finish_as(start("web1"), OPERATION(SUCCEEDED), NULL);
	console = read_console("web1", 0, 30);
	message_free(console);
	text = scrape();
	check_handling(text);
	assert_true(has(text, "croft_vm_memory_pinned_bytes{vm=\"web1\"} 0\n"));
	assert_true(has(text, "croft_vm_devices_broken_total{vm=\"web1\"} 0\n"));
	assert_true(has(
		text,
		"croft_vm_disk_seconds_total{vm=\"web1\",disk=\"root\",direction=\"discard\"} 0.0"));
	assert_true(has(
		text,
		"croft_vm_disk_operations_total{vm=\"web1\",disk=\"root\",direction=\"zero\"} 0\n"));
	assert_true(has(text, "croft_vm_disk_throttled_total{vm=\"web1\",disk=\"root\"} 0\n"));
	/* It has neither a network nor a policy. */
	assert_false(has(text, "croft_vm_network_bytes_total{"));
	assert_false(has(text, "croft_vm_vsock_bytes_total{"));
	assert_false(has(text, "croft_vm_restarts_total{"));
	free(text);
	call = help_call(service, "croft.v1.Vms/GetVmStats", NAMED(get_vm_stats_request, "web1"));
	stats = (const void *)call->reply;
	assert_non_null(stats);
	assert_int_equal(stats->vcpus[0]->n_handling_counts, VMM_HANDLING_BUCKETS);
	for (size_t i = 0; i < VMM_HANDLING_BUCKETS; i++)
		sum += stats->vcpus[0]->handling_counts[i];
	assert_true(sum > 0);
	assert_int_equal(stats->disks[0]->size_bytes, 65536);
	assert_true(stats->disks[0]->n_queue_requests > 0);
	assert_true(measures(stats, "vcpus.handling_counts") && measures(stats, "disks"));
	assert_false(measures(stats, "networks") || measures(stats, "vsock") ||
		     measures(stats, "memory_balloon_bytes"));
	assert_null(stats->vsock);
	call_free(call);
}

static void put_count(const char *folder, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* The kernel counts from the other end of the cable. */
static void test_interface(void **state)
{
	static const char *const names[] = { "tx_packets", "tx_bytes", "tx_dropped",
					     "rx_packets", "rx_bytes", "rx_dropped" };
	struct vmm_net_stats s = { .throttled = 9 };
	char path[400], number[8];

	(void)state;
	snprintf(path, sizeof(path), "%s/tap0", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/tap0/statistics", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_false(vm_stats_read_interface(dir, "tap0", &s));
		snprintf(number, sizeof(number), "%zu\n", i + 1);
		put_count(path, names[i], number);
	}
	/* Nothing is taken before all are there. */
	assert_int_equal(s.rx_packets, 0);
	assert_true(vm_stats_read_interface(dir, "tap0", &s));
	assert_int_equal(s.rx_packets, 1);
	assert_int_equal(s.rx_bytes, 2);
	assert_int_equal(s.rx_dropped, 3);
	assert_int_equal(s.tx_packets, 4);
	assert_int_equal(s.tx_bytes, 5);
	assert_int_equal(s.tx_dropped, 6);
	assert_int_equal(s.throttled, 9);
	put_count(path, "rx_bytes", "none");
	assert_false(vm_stats_read_interface(dir, "tap0", &s));
	assert_false(vm_stats_read_interface(dir, "tap1", &s));
	/* The loopback is there on each host. */
	assert_true(vm_stats_read_interface("/sys/class/net", "lo", &s));
}

static void test_rest_is_counted(void **state)
{
	char *text;

	(void)state;
	service_count_rest(service, 200);
	service_count_rest(service, 202);
	service_count_rest(service, 404);
	service_count_rest(service, 600);
	service_count_rest(service, 4000000000u);
	text = scrape();
	assert_true(has(text, "croft_rest_responses_total{class=\"2xx\"} 2\n"));
	assert_true(has(text, "croft_rest_responses_total{class=\"4xx\"} 1\n"));
	assert_true(has(text, "croft_rest_responses_total{class=\"5xx\"} 0\n"));
	free(text);
}

static void test_contract(void **state)
{
	struct call *call = help_call(service, "croft.v1.NodeService/GetOpenapi",
				      message_new(&croft__v1__get_openapi_request__descriptor));

	(void)state;
	assert_non_null(call->reply);
	assert_string_equal(((Croft__V1__Text *)(void *)call->reply)->text, openapi_text);
	assert_non_null(strstr(openapi_text, "\nopenapi: 3.1.0\n"));
	assert_int_equal(openapi_text[strlen(openapi_text) - 1], '\n');
	call_free(call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_are_escaped),
		TEST(test_empty_node),
		TEST(test_vms),
		TEST(test_figures),
		TEST(test_interface),
		TEST(test_rest_is_counted),
		TEST(test_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
