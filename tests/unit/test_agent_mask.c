// SPDX-License-Identifier: Apache-2.0
// Field masks: what each path changes, and what is refused.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/mask.h"
#include "agent/message.h"
#include "croft/v1/config.pb-c.h"
#include "croft/v1/vm.pb-c.h"

static const char *const parts[] = { "labels", "spec", NULL };

static void set_label(Croft__V1__Vm *vm, const char *key, const char *value)
{
	Croft__V1__Vm__LabelsEntry *label = message_new(&croft__v1__vm__labels_entry__descriptor);

	message_set_string(&label->key, key);
	message_set_string(&label->value, value);
	assert_int_equal(message_append(&vm->labels, &vm->n_labels, label), 0);
}

static const char *label_of(const Croft__V1__Vm *vm, const char *key)
{
	for (size_t i = 0; i < vm->n_labels; i++)
		if (strcmp(vm->labels[i]->key, key) == 0)
			return vm->labels[i]->value;
	return NULL;
}

static void add_disk(Croft__V1__Vm *vm, const char *name)
{
	Croft__V1__DiskSpec *disk = message_new(&croft__v1__disk_spec__descriptor);

	message_set_string(&disk->name, name);
	assert_int_equal(message_append(&vm->spec->disks, &vm->spec->n_disks, disk), 0);
}

static Croft__V1__Vm *make(void)
{
	Croft__V1__Vm *vm = message_new(&croft__v1__vm__descriptor);

	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&vm->name, "web1");
	message_set_string(&vm->uid, "u");
	message_set_string(&vm->spec->image, "tiny");
	vm->spec->vcpus = 2;
	vm->spec->memory_bytes = 64;
	add_disk(vm, "root");
	add_disk(vm, "data");
	set_label(vm, "tier", "front");
	set_label(vm, "a.b", "1");
	return vm;
}

/* Puts `from` onto `onto` by one path or two. */
static int apply(Croft__V1__Vm *onto, const Croft__V1__Vm *from, const char *path,
		 const char *other, struct error *e)
{
	char *paths[] = { (char *)path, (char *)other };
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;

	mask.paths = paths;
	mask.n_paths = other ? 2 : 1;
	return mask_apply(&onto->base, &from->base, &mask, parts, e);
}

static void test_fields(void **state)
{
	Croft__V1__Vm *vm = make(), *wish = message_new(&croft__v1__vm__descriptor);

	(void)state;
	wish->spec = message_new(&croft__v1__vm_spec__descriptor);
	wish->spec->vcpus = 4;
	message_set_string(&wish->spec->cmdline, "quiet");
	assert_int_equal(apply(vm, wish, "spec.vcpus", "spec.cmdline", NULL), 0);
	assert_int_equal(vm->spec->vcpus, 4);
	assert_string_equal(vm->spec->cmdline, "quiet");
	assert_int_equal(vm->spec->memory_bytes, 64);
	assert_string_equal(vm->spec->image, "tiny");
	/* What is absent gets its default. */
	assert_int_equal(apply(vm, wish, "spec.memory_bytes", "spec.image", NULL), 0);
	assert_int_equal(vm->spec->memory_bytes, 0);
	assert_string_equal(vm->spec->image, "");
	assert_int_equal(vm->spec->n_disks, 2);
	assert_int_equal(apply(vm, wish, "spec.disks", "name", NULL), 0);
	assert_int_equal(vm->spec->n_disks, 0);
	add_disk(wish, "new");
	assert_int_equal(apply(vm, wish, "spec.disks", "spec.disks", NULL), 0);
	assert_int_equal(vm->spec->n_disks, 1);
	assert_string_equal(vm->spec->disks[0]->name, "new");
	assert_string_equal(vm->name, "web1");
	/* Also where the whole part is absent. */
	wish->spec = message_free(wish->spec);
	assert_int_equal(apply(vm, wish, "spec.vcpus", NULL, NULL), 0);
	assert_int_equal(vm->spec->vcpus, 0);
	assert_int_equal(vm->n_labels, 2);
	assert_int_equal(apply(vm, wish, "spec", NULL, NULL), 0);
	assert_null(vm->spec);
	assert_int_equal(apply(vm, wish, "spec.image", NULL, NULL), 0);
	assert_non_null(vm->spec);
	message_free(vm);
	message_free(wish);
}

static void test_labels(void **state)
{
	Croft__V1__Vm *vm = make(), *wish = message_new(&croft__v1__vm__descriptor);

	(void)state;
	set_label(wish, "tier", "back");
	set_label(wish, "new", "2");
	assert_int_equal(apply(vm, wish, "labels.tier", "labels.new", NULL), 0);
	assert_string_equal(label_of(vm, "tier"), "back");
	assert_string_equal(label_of(vm, "new"), "2");
	assert_string_equal(label_of(vm, "a.b"), "1");
	assert_int_equal(apply(vm, wish, "labels.`a.b`", "labels.none", NULL), 0);
	assert_null(label_of(vm, "a.b"));
	assert_int_equal(vm->n_labels, 2);
	message_free(wish->labels[0]);
	wish->labels[0] = wish->labels[--wish->n_labels];
	assert_int_equal(apply(vm, wish, "labels", NULL, NULL), 0);
	assert_int_equal(vm->n_labels, 1);
	assert_string_equal(label_of(vm, "new"), "2");
	message_free(vm);
	message_free(wish);
}

static void test_all(void **state)
{
	Croft__V1__Vm *vm = make(), *wish = message_new(&croft__v1__vm__descriptor);

	(void)state;
	wish->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&wish->name, "other");
	message_set_string(&wish->uid, "other");
	wish->spec->vcpus = 1;
	assert_int_equal(apply(vm, wish, "*", NULL, NULL), 0);
	assert_string_equal(vm->name, "web1");
	assert_string_equal(vm->uid, "u");
	assert_int_equal(vm->n_labels, 0);
	assert_int_equal(vm->spec->vcpus, 1);
	assert_int_equal(vm->spec->n_disks, 0);
	message_free(vm);
	message_free(wish);
}

static void test_messages(void **state)
{
	static const char *const spec[] = { "spec", NULL };
	Croft__V1__Config *config = message_new(&croft__v1__config__descriptor);
	Croft__V1__Config *wish = message_new(&croft__v1__config__descriptor);
	char *paths[] = { (char *)"spec.start_timeout" };
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	struct error e;

	(void)state;
	mask.paths = paths;
	mask.n_paths = 1;
	wish->spec = message_new(&croft__v1__config_spec__descriptor);
	wish->spec->start_timeout = message_new(&google__protobuf__duration__descriptor);
	wish->spec->start_timeout->seconds = 7;
	assert_int_equal(mask_apply(&config->base, &wish->base, &mask, spec, NULL), 0);
	assert_int_equal(config->spec->start_timeout->seconds, 7);
	wish->spec->start_timeout = message_free(wish->spec->start_timeout);
	assert_int_equal(mask_apply(&config->base, &wish->base, &mask, spec, NULL), 0);
	assert_null(config->spec->start_timeout);
	paths[0] = (char *)"spec.start_timeout.seconds";
	assert_true(mask_apply(&config->base, &wish->base, &mask, spec, &e) < 0);
	assert_non_null(strstr(e.message, "no parts"));
	message_free(config);
	message_free(wish);
}

static void test_refuse(void **state)
{
	static const struct {
		const char *path, *says;
	} cases[] = {
		{ "", "no such field" },	   { "specs", "no such field" },
		{ "spec.disks.", "no parts" },	   { ".spec", "no such field" },
		{ "spec.vcpu", "no such field" },  { "spec..vcpus", "no such field" },
		{ "spec.vcpus.x", "no parts" },	   { "spec.disks.0", "no parts" },
		{ "spec.disks.name", "no parts" }, { "labels.", "not a key" },
		{ "labels.a.b", "not a key" },	   { "labels.`a.b", "not a key" },
		{ "labels.``", "not a key" },	   { "labels.`a`b`", "not a key" },
		{ "spec.*", "no such field" },
	};
	static const char *const fixed[][2] = { { "uid", "/uid" },
						{ "status", "/status" },
						{ "status.state", "/status" },
						{ "status.", "/status" },
						{ "revision", "/revision" } };
	Croft__V1__Vm *vm = make(), *wish = make();
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *text = calloc(1, MASK_PATH_MAX + 2);
	struct error e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&e, 0, sizeof(e));
		assert_true(apply(vm, wish, cases[i].path, NULL, &e) < 0);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		assert_string_equal(e.field, "/update_mask");
		if (!strstr(e.message, cases[i].says))
			fail_msg("%s: %s", cases[i].path, e.message);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		assert_true(apply(vm, wish, fixed[i][0], NULL, &e) < 0);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		assert_string_equal(e.field, fixed[i][1]);
		assert_non_null(strstr(e.message, "output only"));
	}
	memset(text, 'x', MASK_PATH_MAX + 1);
	assert_true(apply(vm, wish, text, NULL, &e) < 0);
	assert_non_null(strstr(e.message, "too long"));
	free(text);
	assert_true(mask_apply(&vm->base, &wish->base, NULL, parts, &e) < 0);
	assert_true(mask_apply(&vm->base, &wish->base, &mask, parts, &e) < 0);
	assert_string_equal(e.field, "/update_mask");
	message_free(vm);
	message_free(wish);
}

/* A message that is absent is made, and one that is there stays; bytes are replaced. */
static void test_presence_and_bytes(void **state)
{
	Croft__V1__Vm *vm = make(), *wish = make();
	struct error e;

	(void)state;
	assert_int_equal(apply(vm, wish, "spec.vsock.", NULL, &e), 0);
	assert_non_null(vm->spec->vsock);
	vm->spec->vsock->cid = 7;
	assert_int_equal(apply(vm, wish, "spec.vsock.", "spec.", &e), 0);
	assert_int_equal(vm->spec->vsock->cid, 7);
	assert_int_equal(apply(vm, wish, "spec.vsock", NULL, &e), 0);
	assert_null(vm->spec->vsock);
	wish->spec->device_tree_overlay = (ProtobufCBinaryData){ .len = 3, .data = malloc(3) };
	memcpy(wish->spec->device_tree_overlay.data, "abc", 3);
	for (int i = 0; i < 2; i++)
		assert_int_equal(apply(vm, wish, "spec.device_tree_overlay", NULL, &e), 0);
	assert_int_equal(vm->spec->device_tree_overlay.len, 3);
	assert_memory_equal(vm->spec->device_tree_overlay.data, "abc", 3);
	free(wish->spec->device_tree_overlay.data);
	wish->spec->device_tree_overlay = (ProtobufCBinaryData){ .len = 0 };
	assert_int_equal(apply(vm, wish, "spec.device_tree_overlay", NULL, &e), 0);
	assert_int_equal(vm->spec->device_tree_overlay.len, 0);
	message_free(vm);
	message_free(wish);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_all),    cmocka_unit_test(test_messages),
		cmocka_unit_test(test_refuse), cmocka_unit_test(test_presence_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
