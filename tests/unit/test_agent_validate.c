// SPDX-License-Identifier: Apache-2.0
// What requests may say: names, labels, and every field of a VM and an image; and the table that keeps names in order.

#include "tests/unit/agent_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/message.h"
#include "agent/table.h"
#include "agent/validate.h"

#define MIB (1ull << 20)
#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_names(void **state)
{
	static const char *const good[] = { "a", "0", "web1", "a-b", "a--b", X63 };
	static const char *const bad[] = { "",	  "-",	 "a-",	"-a", "A",     "a_b",
					   "a.b", "a b", "a/b", "..", X63 "x", "\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error e = { .code = ERROR_NONE };

		assert_false(name_valid(bad[i]));
		assert_true(validate_name("/name", bad[i], &e) < 0);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		assert_string_equal(e.field, "/name");
	}
}

/* A VM that is right, whose parts the tests make wrong. */
struct subject {
	Croft__V1__Vm vm;
	Croft__V1__VmSpec spec;
	Croft__V1__DiskSpec disk[9];
	Croft__V1__DiskSpec *disks[9];
	Croft__V1__Vm__LabelsEntry label[65];
	Croft__V1__Vm__LabelsEntry *labels[65];
	char keys[65][8];
};

static void make(struct subject *s)
{
	croft__v1__vm__init(&s->vm);
	croft__v1__vm_spec__init(&s->spec);
	s->vm.name = (char *)"web1";
	s->vm.spec = &s->spec;
	s->spec.vcpus = 2;
	s->spec.memory_bytes = 256 * MIB;
	s->spec.image = (char *)"debian";
	s->spec.disks = s->disks;
	s->vm.labels = s->labels;
	for (size_t i = 0; i < ARRAY_SIZE(s->disks); i++) {
		static char names[9][4];

		croft__v1__disk_spec__init(&s->disk[i]);
		snprintf(names[i], sizeof(names[i]), "d%zu", i);
		s->disk[i].name = names[i];
		s->disk[i].size_bytes = 512;
		s->disks[i] = &s->disk[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(s->labels); i++) {
		croft__v1__vm__labels_entry__init(&s->label[i]);
		snprintf(s->keys[i], sizeof(s->keys[i]), "k%zu", i);
		s->label[i].key = s->keys[i];
		s->label[i].value = (char *)"";
		s->labels[i] = &s->label[i];
	}
	s->spec.n_disks = 8;
	s->vm.n_labels = 64;
}

static void refused(struct subject *s, const char *field)
{
	struct error e = { .code = ERROR_NONE };

	assert_true(validate_vm(&s->vm, 4096 * MIB, 8, &e) < 0);
	assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
	assert_string_equal(e.field, field);
	make(s);
}

static void test_vm(void **state)
{
	static struct subject s;
	static char cmdline[2050];
	struct error e;

	(void)state;
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	make(&s);
	assert_int_equal(validate_vm(&s.vm, 4096 * MIB, 8, &e), 0);
	s.vm.name = (char *)"";
	refused(&s, "/name");
	s.vm.spec = NULL;
	refused(&s, "/spec");
	s.spec.vcpus = 0;
	refused(&s, "/spec/vcpus");
	s.spec.vcpus = 9;
	refused(&s, "/spec/vcpus");
	s.spec.vcpus = 100;
	refused(&s, "/spec/vcpus");
	s.spec.memory_bytes = 62 * MIB;
	refused(&s, "/spec/memory_bytes");
	s.spec.memory_bytes = 65 * MIB;
	refused(&s, "/spec/memory_bytes");
	s.spec.memory_bytes = 4098 * MIB;
	refused(&s, "/spec/memory_bytes");
	s.spec.memory_bytes = 1ull << 40;
	refused(&s, "/spec/memory_bytes");
	s.spec.image = (char *)"";
	refused(&s, "/spec/image");
	s.spec.cmdline = (char *)"a\nb";
	refused(&s, "/spec/cmdline");
	s.spec.cmdline = cmdline + 1;
	refused(&s, "/spec/cmdline");
	s.spec.cmdline = cmdline + 2;
	assert_int_equal(validate_vm(&s.vm, 4096 * MIB, 8, &e), 0);
	s.spec.cmdline_append = (char *)"y";
	refused(&s, "/spec/cmdline_append");
	s.spec.cmdline_append = (char *)"\x80";
	refused(&s, "/spec/cmdline_append");
}

static void test_vm_disks(void **state)
{
	static struct subject s;

	(void)state;
	make(&s);
	s.spec.n_disks = 9;
	refused(&s, "/spec/disks");
	s.disk[3].name = (char *)"";
	refused(&s, "/spec/disks/3/name");
	s.disk[3].name = (char *)"../x";
	refused(&s, "/spec/disks/3/name");
	s.disk[3].name = (char *)"d1";
	refused(&s, "/spec/disks/3/name");
	s.disk[3].image_disk = (char *)"No";
	refused(&s, "/spec/disks/3/image_disk");
	s.disk[3].size_bytes = 0;
	refused(&s, "/spec/disks/3/size_bytes");
	s.disk[3].size_bytes = 513;
	refused(&s, "/spec/disks/3/size_bytes");
	s.disk[3].size_bytes = UINT64_MAX - 511;
	refused(&s, "/spec/disks/3/size_bytes");
}

static void test_labels(void **state)
{
	static struct subject s;

	(void)state;
	make(&s);
	s.vm.n_labels = 65;
	refused(&s, "/labels");
	s.label[2].key = (char *)"k0";
	refused(&s, "/labels");
	s.label[2].key = (char *)"";
	refused(&s, "/labels/");
	s.label[2].key = (char *)"a/~";
	refused(&s, "/labels/a~1~0");
	s.label[2].key = (char *)X63 "x";
	refused(&s, "/labels/" X63 "x");
	s.label[2].value = (char *)"white space";
	refused(&s, "/labels/k2");
	s.label[2].value = (char *)X63 "x";
	refused(&s, "/labels/k2");
}

static void test_image(void **state)
{
	static char url[2100];
	Croft__V1__Image image = CROFT__V1__IMAGE__INIT;
	Croft__V1__ImageSpec spec = CROFT__V1__IMAGE_SPEC__INIT;
	struct error e;

	(void)state;
	image.name = (char *)"debian";
	assert_true(validate_image(&image, &e) < 0);
	assert_string_equal(e.field, "/spec");
	image.spec = &spec;
	assert_true(validate_image(&image, &e) < 0);
	assert_string_equal(e.field, "/spec/manifest_url");
	memset(url, 'x', sizeof(url) - 1);
	spec.manifest_url = url;
	assert_true(validate_image(&image, &e) < 0);
	assert_string_equal(e.field, "/spec/manifest_url");
	spec.manifest_url = (char *)"http://h/";
	assert_int_equal(validate_image(&image, &e), 0);
	spec.manifest_sha256 = (char *)"abc";
	assert_true(validate_image(&image, &e) < 0);
	assert_string_equal(e.field, "/spec/manifest_sha256");
}

static void test_image_disks(void **state)
{
	static struct subject s;
	Croft__V1__Image image = CROFT__V1__IMAGE__INIT;
	Croft__V1__ImageStatus status = CROFT__V1__IMAGE_STATUS__INIT;
	Croft__V1__ImageDisk disk = CROFT__V1__IMAGE_DISK__INIT, *disks = &disk;
	Croft__V1__ImageFile file = CROFT__V1__IMAGE_FILE__INIT;
	struct error e;

	(void)state;
	make(&s);
	image.name = (char *)"debian";
	image.status = &status;
	status.disks = &disks;
	status.n_disks = 1;
	disk.name = (char *)"root";
	disk.file = &file;
	file.size = 1024;
	s.disk[1].image_disk = (char *)"root";
	s.disk[1].size_bytes = 0;
	assert_int_equal(validate_image_disks(&s.vm, &image, NULL, &e), 0);
	s.disk[1].size_bytes = 2048;
	assert_int_equal(validate_image_disks(&s.vm, &image, NULL, &e), 0);
	s.disk[1].size_bytes = 512;
	assert_true(validate_image_disks(&s.vm, &image, NULL, &e) < 0);
	assert_string_equal(e.field, "/spec/disks/1/size_bytes");
	s.disk[1].image_disk = (char *)"boot";
	assert_true(validate_image_disks(&s.vm, &image, NULL, &e) < 0);
	assert_string_equal(e.field, "/spec/disks/1/image_disk");
}

static void test_table(void **state)
{
	static char names[500][8];
	struct table t = { .compare = table_compare_numbered };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = i * 7 % ARRAY_SIZE(names);

		snprintf(names[n], sizeof(names[n]), "op-%zu", n);
		assert_int_equal(table_add(&t, names[n], names[n]), 0);
		assert_int_equal(table_add(&t, names[n], names[n]), -EEXIST);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_ptr_equal(t.entries[i].record, names[i]);
		assert_ptr_equal(table_find(&t, names[i]), names[i]);
		assert_int_equal(table_after(&t, names[i]), i + 1);
	}
	assert_null(table_find(&t, "op-500"));
	assert_null(table_remove(&t, "op-500"));
	assert_int_equal(table_after(&t, ""), 0);
	assert_ptr_equal(table_remove(&t, "op-9"), names[9]);
	assert_null(table_find(&t, "op-9"));
	assert_int_equal(table_after(&t, "op-9"), 9);
	assert_int_equal(t.count, 499);
	table_clear(&t);
	assert_int_equal(t.count, 0);
}

static void test_durations(void **state)
{
	Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;

	(void)state;
	assert_true(message_duration_ns(NULL, 100) == 0);
	d.seconds = 2;
	d.nanos = 5;
	assert_true(message_duration_ns(&d, UINT64_MAX) == 2000000005);
	assert_true(message_duration_ns(&d, 7) == 7);
	d.seconds = INT64_MAX;
	assert_true(message_duration_ns(&d, 300000000000) == 300000000000);
	d.seconds = -1;
	assert_true(message_duration_ns(&d, 7) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_vm),
		cmocka_unit_test(test_vm_disks), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_image),	 cmocka_unit_test(test_image_disks),
		cmocka_unit_test(test_table),	 cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
