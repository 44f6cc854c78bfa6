// SPDX-License-Identifier: Apache-2.0
// The embedded description of the API: files in order, and symbols of every kind.

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/descriptor.h"

static void test_files(void **state)
{
	int vm = descriptor_find_file("croft/v1/vm.proto");
	int duration = descriptor_find_file("google/protobuf/duration.proto");

	(void)state;
	assert_in_range(descriptor_files(), 10, DESCRIPTOR_FILES_MAX);
	assert_true(vm > duration && duration >= 0);
	assert_int_equal(descriptor_find_file("croft/v1/vm"), -ENOENT);
	assert_int_equal(descriptor_find_file(""), -ENOENT);
	/* Records of the store are nobody else's. */
	assert_int_equal(descriptor_find_file("croft/state/v1/kept.proto"), -ENOENT);
	for (size_t i = 0; i < descriptor_files(); i++) {
		uint64_t set = descriptor_closure(i);

		assert_true(descriptor_file(i).len > 0);
		assert_true(set >> i == 1);
	}
	assert_true(descriptor_closure((size_t)vm) >> duration & 1);
	assert_int_equal(descriptor_file(descriptor_files()).len, 0);
}

static void test_symbols(void **state)
{
	static const char *const good[] = {
		"croft.v1.Vm",
		"croft.v1.Vm.name",
		"croft.v1.VmStatus.State",
		"croft.v1.VmStatus.RUNNING",
		"croft.v1.Vms",
		"croft.v1.Vms.GetVm",
		"croft.v1.Vm.LabelsEntry.key",
		"grpc.health.v1.HealthCheckResponse.SERVING",
		"google.protobuf.Duration",
	};
	static const char *const bad[] = {
		"",
		".",
		"croft",
		"croft.v1",
		"croft.v1.",
		"croft.v1.V",
		"croft.v1.Vmm",
		"croft.v1.Vm.",
		"croft.v1.Vm..name",
		"croft.v1.Vm.name.x",
		"croft.v1.Vms/GetVm",
		"Vm",
		"croft.state.v1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (descriptor_find_symbol(good[i]) < 0)
			fail_msg("%s is not found", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (descriptor_find_symbol(bad[i]) != -ENOENT)
			fail_msg("\"%s\" is found", bad[i]);
	assert_int_equal(descriptor_find_symbol("croft.v1.Vms"),
			 descriptor_find_file("croft/v1/vm.proto"));
	assert_true(descriptor_is_message("croft.v1.Vm.LabelsEntry"));
	assert_false(descriptor_is_message("croft.v1.Vms"));
	assert_false(descriptor_is_message("croft.v1.VmStatus.State"));
	assert_false(descriptor_is_message("croft.v1.Vm.name"));
}

static int count(void *data, const char *name)
{
	unsigned int *n = data;

	*n += strcmp(name, "croft.v1.Vms") == 0 || strcmp(name, "grpc.health.v1.Health") == 0;
	return *n == 2 ? -1 : 0;
}

static void test_services(void **state)
{
	unsigned int n = 0;

	(void)state;
	assert_int_equal(descriptor_services(count, &n), -1);
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
