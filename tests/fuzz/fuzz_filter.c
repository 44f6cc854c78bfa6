// SPDX-License-Identifier: Apache-2.0
// Fuzzes filters of lists: what is taken matches or not without harm, and a term and its opposite never both do.

#include <assert.h>
#include <string.h>

#include "agent/filter.h"
#include "agent/message.h"
#include "croft/v1/vm.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const fields[] = { "name", "state", "image", "labels", NULL };

static Croft__V1__Vm *make(void)
{
	Croft__V1__Vm *vm = message_new(&croft__v1__vm__descriptor);
	Croft__V1__Vm__LabelsEntry *label = message_new(&croft__v1__vm__labels_entry__descriptor);

	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	vm->status = message_new(&croft__v1__vm_status__descriptor);
	vm->status->state = CROFT__V1__VM_STATUS__STATE__RUNNING;
	message_set_string(&vm->name, "web1");
	message_set_string(&vm->spec->image, "tiny");
	message_set_string(&label->key, "tier");
	message_set_string(&label->value, "front");
	assert(message_append(&vm->labels, &vm->n_labels, label) == 0);
	return vm;
}

/* Of one term the opposite holds when it does not, and only then. */
static void check_opposite(struct filter *filter, const ProtobufCMessage *vm)
{
	struct filter_term *t = &filter->terms[0];
	bool matches = filter_match(filter, vm);

	if (filter->count != 1 || t->test == FILTER_PRESENT)
		return;
	t->test = t->test == FILTER_EQUAL ? FILTER_UNEQUAL : FILTER_EQUAL;
	assert(filter_match(filter, vm) == !matches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = { .code = ERROR_NONE };
	struct filter filter, copy;
	Croft__V1__Vm *vm;
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	if (filter_parse(&filter, text, fields, &error) < 0) {
		assert(error.code == ERROR_INVALID_ARGUMENT && error.message[0] &&
		       strcmp(error.field, "/filter") == 0);
		free(text);
		return 0;
	}
	assert(strlen(text) <= FILTER_TEXT_MAX && filter.count <= FILTER_TERMS_MAX);
	assert(filter.count > 0 || !text[0]);
	free(text);
	vm = make();
	copy = filter;
	assert(filter_match(&copy, &vm->base) == filter_match(&filter, &vm->base));
	check_opposite(&filter, &vm->base);
	message_free(vm);
	return 0;
}
