// SPDX-License-Identifier: Apache-2.0
// Fuzzes field masks, a path a line: what is taken is idempotent and touches only what may change; what is refused says why.

#include <assert.h>
#include <string.h>

#include "agent/mask.h"
#include "agent/message.h"
#include "croft/v1/vm.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const parts[] = { "labels", "spec", NULL };

static void add_label(Croft__V1__Vm *vm, const char *key, const char *value)
{
	Croft__V1__Vm__LabelsEntry *label = message_new(&croft__v1__vm__labels_entry__descriptor);

	message_set_string(&label->key, key);
	message_set_string(&label->value, value);
	assert(message_append(&vm->labels, &vm->n_labels, label) == 0);
}

static Croft__V1__Vm *make(const char *text, uint32_t number, bool spec)
{
	Croft__V1__Vm *vm = message_new(&croft__v1__vm__descriptor);
	Croft__V1__DiskSpec *disk = message_new(&croft__v1__disk_spec__descriptor);

	message_set_string(&vm->name, text);
	message_set_string(&vm->uid, text);
	message_set_string(&disk->name, text);
	add_label(vm, text, "1");
	add_label(vm, "a.b", text);
	if (!spec) {
		message_free(disk);
		return vm;
	}
	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	vm->spec->vcpus = number;
	message_set_string(&vm->spec->image, text);
	assert(message_append(&vm->spec->disks, &vm->spec->n_disks, disk) == 0);
	return vm;
}

static bool same(const Croft__V1__Vm *a, const Croft__V1__Vm *b)
{
	const ProtobufCMessageDescriptor *type = a->base.descriptor;

	for (unsigned int i = 0; i < type->n_fields; i++)
		if (message_field_differs(&a->base, &b->base, &type->fields[i]))
			return false;
	return true;
}

static void check(const Google__Protobuf__FieldMask *mask, bool spec)
{
	struct error error = { .code = ERROR_NONE };
	Croft__V1__Vm *onto = make("old", 1, true), *from = make("new", 2, spec);
	Croft__V1__Vm *once;

	if (mask_apply(&onto->base, &from->base, mask, parts, &error) < 0) {
		assert(error.code == ERROR_INVALID_ARGUMENT && error.message[0] &&
		       error.field[0] == '/');
	} else {
		assert(strcmp(onto->name, "old") == 0 && strcmp(onto->uid, "old") == 0);
		once = message_copy(&onto->base);
		assert(mask_apply(&onto->base, &from->base, mask, parts, NULL) == 0);
		assert(same(onto, once));
		message_free(once);
	}
	assert(strcmp(from->name, "new") == 0 && from->n_labels == 2);
	message_free(onto);
	message_free(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *text = malloc(size + 1), *save = NULL;

	memcpy(text, data, size);
	text[size] = '\0';
	for (char *path = strtok_r(text, "\n", &save); path; path = strtok_r(NULL, "\n", &save)) {
		char *copy = strdup(path);

		assert(message_append(&mask.paths, &mask.n_paths, copy) == 0);
	}
	check(&mask, true);
	check(&mask, false);
	for (size_t i = 0; i < mask.n_paths; i++)
		free(mask.paths[i]);
	free(mask.paths);
	free(text);
	return 0;
}
