// SPDX-License-Identifier: Apache-2.0
// Filters of lists, and the pages that they make of a table.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/filter.h"
#include "agent/message.h"
#include "agent/page.h"
#include "agent/record.h"
#include "croft/v1/vm.pb-c.h"

static const char *const fields[] = { "name", "state", "image", "labels", NULL };

static Croft__V1__Vm *make(const char *name, Croft__V1__VmStatus__State state, const char *tier)
{
	Croft__V1__Vm *vm = message_new(&croft__v1__vm__descriptor);

	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	vm->status = message_new(&croft__v1__vm_status__descriptor);
	message_set_string(&vm->name, name);
	message_set_string(&vm->spec->image, "tiny");
	vm->status->state = state;
	if (tier) {
		Croft__V1__Vm__LabelsEntry *label =
			message_new(&croft__v1__vm__labels_entry__descriptor);

		message_set_string(&label->key, "a.tier");
		message_set_string(&label->value, tier);
		assert_int_equal(message_append(&vm->labels, &vm->n_labels, label), 0);
	}
	return vm;
}

static void test_match(void **state)
{
	static const struct {
		const char *filter;
		bool matches;
	} cases[] = {
		{ "", true },
		{ "name=web1", true },
		{ "name=web", false },
		{ "name!=web", true },
		{ "name=", false },
		{ "state=RUNNING", true },
		{ "state=STOPPED", false },
		{ "state!=STOPPED,image=tiny", true },
		{ "image=tiny,state=STOPPED", false },
		{ "labels.a.tier", true },
		{ "labels.tier", false },
		{ "labels.a.tier=front", true },
		{ "labels.a.tier!=front", false },
		{ "labels.none!=front", true },
		{ "labels.none=", false },
		{ "labels.a.tier=a=b", false },
	};
	Croft__V1__Vm *vm = make("web1", CROFT__V1__VM_STATUS__STATE__RUNNING, "front");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filter filter;

		assert_int_equal(filter_parse(&filter, cases[i].filter, fields, NULL), 0);
		if (filter_match(&filter, &vm->base) != cases[i].matches)
			fail_msg("%s", cases[i].filter);
	}
	/* Parts that are absent are empty. */
	vm->spec = message_free(vm->spec);
	vm->status = message_free(vm->status);
	for (size_t i = 0; i < 2; i++) {
		struct filter filter;

		assert_int_equal(filter_parse(&filter, i ? "state=,image=" : "state=RUNNING",
					      fields, NULL),
				 0);
		assert_int_equal(filter_match(&filter, &vm->base), i == 1);
	}
	message_free(vm);
}

static void test_refuse(void **state)
{
	static const struct {
		const char *filter, *says;
	} cases[] = {
		{ "nam=web1", "\"nam\" is none of name, state, image, labels.KEY" },
		{ "name", "\"name\" needs =VALUE or !=VALUE" },
		{ "=web1", "has no name" },
		{ "!=web1", "has no name" },
		{ ",", "has no name" },
		{ "name=a,", "has no name" },
		{ "labels=a", "\"labels\" is none of" },
		{ "labels.", "has no name" },
		{ "labels.=x", "has no name" },
		{ " name=a", "\" name\" is none of" },
		{ "name=1,name=2,name=3,name=4,name=5,name=6,name=7,name=8,name=9,name=10,name=11,"
		  "name=12,name=13,name=14,name=15,name=16,name=17",
		  "at most 16 terms" },
	};
	char *text = calloc(1, FILTER_TEXT_MAX + 2);
	struct filter filter;
	struct error e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&e, 0, sizeof(e));
		assert_true(filter_parse(&filter, cases[i].filter, fields, &e) < 0);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		assert_string_equal(e.field, "/filter");
		if (!strstr(e.message, cases[i].says))
			fail_msg("%s: %s", cases[i].filter, e.message);
	}
	memset(text, 'x', FILTER_TEXT_MAX + 1);
	memcpy(text, "name=", 5);
	assert_true(filter_parse(&filter, text, fields, &e) < 0);
	text[FILTER_TEXT_MAX] = '\0';
	assert_int_equal(filter_parse(&filter, text, fields, &e), 0);
	free(text);
	/* Without labels in the list they are a field like any other. */
	assert_true(filter_parse(&filter, "labels.a", fields + 3, &e) == 0);
	assert_true(filter_parse(&filter, "labels.a=b", (const char *const[]){ "name", NULL }, &e) <
		    0);
}

struct entry {
	struct record record;
	Croft__V1__Vm *vm;
};

static unsigned int refreshed;

static void refresh(void *entry)
{
	assert_non_null(entry);
	refreshed++;
}

static Croft__V1__ListVmsResponse *list(const struct page_source *source, uint32_t size,
					const char *token, const char *filter)
{
	Croft__V1__ListVmsRequest request = CROFT__V1__LIST_VMS_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;

	request.page_size = size;
	request.page_token = (char *)token;
	request.filter = (char *)filter;
	assert_int_equal(page_reply(&reply, source, &request.base,
				    &croft__v1__list_vms_response__descriptor, NULL),
			 0);
	return (void *)reply;
}

static void test_pages(void **state)
{
	struct table table = { .count = 0 };
	struct page_source source = { .table = &table, .fields = fields, .refresh = refresh };
	struct entry entries[250];
	Croft__V1__ListVmsResponse *reply;
	char name[16], token[16] = "";
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		snprintf(name, sizeof(name), "vm-%03zu", i);
		entries[i].vm =
			make(name, CROFT__V1__VM_STATUS__STATE__STOPPED, i % 10 ? "back" : "front");
		entries[i].record = (struct record){ .name = entries[i].vm->name,
						     .message = &entries[i].vm->base };
		assert_int_equal(table_add(&table, entries[i].vm->name, &entries[i]), 0);
	}
	reply = list(&source, 0, "", "");
	assert_int_equal(reply->n_vms, 100);
	assert_int_equal(refreshed, 101); /* one more, to know that there is another page */
	assert_string_equal(reply->next_page_token, "vm-099");
	message_free(reply);
	/* 25 match: pages of 10, 10 and 5, and no empty one behind them. */
	for (size_t i = 0; i < 3; i++) {
		reply = list(&source, 10, token, "labels.a.tier=front");
		assert_int_equal(reply->n_vms, i < 2 ? 10 : 5);
		for (size_t j = 0; j < reply->n_vms; j++) {
			snprintf(name, sizeof(name), "vm-%03zu", 10 * seen++);
			assert_string_equal(reply->vms[j]->name, name);
		}
		snprintf(token, sizeof(token), "%s", reply->next_page_token);
		message_free(reply);
	}
	assert_string_equal(token, "");
	reply = list(&source, 5, "zzz", "");
	assert_int_equal(reply->n_vms, 0);
	message_free(reply);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		message_free(entries[i].vm);
	table_clear(&table);
}

static void test_pages_refused(void **state)
{
	struct table table = { .count = 0 };
	struct page_source source = { .table = &table, .fields = fields };
	Croft__V1__ListVmsRequest request = CROFT__V1__LIST_VMS_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	char token[130];
	struct error e;

	(void)state;
	request.page_size = 1001;
	assert_true(page_reply(&reply, &source, &request.base,
			       &croft__v1__list_vms_response__descriptor, &e) < 0);
	assert_string_equal(e.field, "/page_size");
	request.page_size = 1;
	memset(token, 'x', sizeof(token));
	token[sizeof(token) - 1] = '\0';
	request.page_token = token;
	assert_true(page_reply(&reply, &source, &request.base,
			       &croft__v1__list_vms_response__descriptor, &e) < 0);
	assert_string_equal(e.field, "/page_token");
	assert_null(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
