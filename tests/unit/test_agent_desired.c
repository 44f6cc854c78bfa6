// SPDX-License-Identifier: Apache-2.0
// The desired state: what a document lacks, in which order that is brought about, and how it comes to be.

#include "tests/unit/agent_world.h"

#include "croft/v1/desired.pb-c.h"

#define POWER(name)  CROFT__V1__DESIRED_VM__POWER__##name
#define OBJECT(name) CROFT__V1__DESIRED_OBJECT__STATE__##name

static Croft__V1__Desired *document(void)
{
	Croft__V1__Desired *d = message_new(&croft__v1__desired__descriptor);

	d->spec = message_new(&croft__v1__desired_spec__descriptor);
	return d;
}

static void add_image(Croft__V1__Desired *d, const char *name)
{
	Croft__V1__DesiredImage *image = message_new(&croft__v1__desired_image__descriptor);

	message_set_string(&image->name, name);
	image->spec = message_new(&croft__v1__image_spec__descriptor);
	message_set_string(&image->spec->manifest_url, help_web_url(web, "/manifest.json"));
	assert_int_equal(message_append(&d->spec->images, &d->spec->n_images, image), 0);
}

static Croft__V1__DesiredVm *add_vm(Croft__V1__Desired *d, const char *name,
				    Croft__V1__DesiredVm__Power power)
{
	Croft__V1__DesiredVm *vm = message_new(&croft__v1__desired_vm__descriptor);

	message_set_string(&vm->name, name);
	vm->power = power;
	vm->spec = message_new(&croft__v1__vm_spec__descriptor);
	message_set_string(&vm->spec->image, "tiny");
	vm->spec->vcpus = 1;
	vm->spec->memory_bytes = 64 * MIB;
	assert_int_equal(message_append(&d->spec->vms, &d->spec->n_vms, vm), 0);
	return vm;
}

static void label_vm(Croft__V1__DesiredVm *vm, const char *key, const char *value)
{
	Croft__V1__DesiredVm__LabelsEntry *entry =
		message_new(&croft__v1__desired_vm__labels_entry__descriptor);

	message_set_string(&entry->key, key);
	message_set_string(&entry->value, value);
	assert_int_equal(message_append(&vm->labels, &vm->n_labels, entry), 0);
}

static struct call *put(const Croft__V1__Desired *d, bool dry_run)
{
	Croft__V1__PutDesiredRequest *request =
		message_new(&croft__v1__put_desired_request__descriptor);

	request->desired = message_copy(&d->base);
	request->dry_run = dry_run;
	return help_call(service, "croft.v1.DesiredService/PutDesired", request);
}

static Croft__V1__Desired *look(void)
{
	struct call *call = help_call(service, "croft.v1.DesiredService/GetDesired",
				      message_new(&croft__v1__get_desired_request__descriptor));
	Croft__V1__Desired *d = (void *)TAKE_PTR(call->reply);

	assert_non_null(d);
	call_free(call);
	return d;
}

static void wait_sync(void)
{
	for (;;) {
		Croft__V1__Desired *d = look();
		bool in_sync = d->status->in_sync;

		message_free(d);
		if (in_sync)
			return;
		usleep(5000);
	}
}

/* Waits until that object has the state; its message, which the caller frees. */
static char *wait_object(const char *target, Croft__V1__DesiredObject__State state)
{
	for (;;) {
		Croft__V1__Desired *d = look();
		char *message = NULL;

		for (size_t i = 0; i < d->status->n_objects; i++)
			if (strcmp(d->status->objects[i]->target, target) == 0 &&
			    d->status->objects[i]->state == state)
				message = strdup(d->status->objects[i]->message);
		message_free(d);
		if (message)
			return message;
		usleep(5000);
	}
}

static void says(const char *target, Croft__V1__DesiredObject__State state, const char *text)
{
	char *message = wait_object(target, state);

	if (!strstr(message, text))
		fail_msg("%s: %s", target, message);
	free(message);
}

/* The difference as one text: "images/tiny pull; vms/web1 create; ". */
static void check_diff(const Croft__V1__Desired *d, const char *expected)
{
	Croft__V1__DiffDesiredRequest *request =
		message_new(&croft__v1__diff_desired_request__descriptor);
	const Croft__V1__DiffDesiredResponse *reply;
	struct call *call;
	char text[1024] = "";

	request->desired = d ? message_copy(&d->base) : NULL;
	call = help_call(service, "croft.v1.DesiredService/DiffDesired", request);
	reply = (const void *)call->reply;
	if (!reply)
		fail_msg("%s", call->error.message);
	for (size_t i = 0; i < reply->n_changes; i++) {
		const Croft__V1__DesiredChange *change = reply->changes[i];

		strcat(strcat(strcat(text, change->target), " "), change->verb);
		for (size_t j = 0; j < change->n_fields; j++)
			strcat(strcat(text, " "), change->fields[j]);
		strcat(text, "; ");
	}
	assert_string_equal(text, expected);
	call_free(call);
}

static void refuse(Croft__V1__Desired *d, const char *field)
{
	struct call *call = put(d, false);

	assert_string_equal(call->error.field, field);
	expect(call, ERROR_INVALID_ARGUMENT);
	message_free(d);
}

static void test_refusals(void **state)
{
	Croft__V1__Desired *d;

	(void)state;
	d = message_new(&croft__v1__desired__descriptor);
	refuse(d, "/spec");
	d = document();
	add_vm(d, "web1", POWER(ON));
	add_vm(d, "web2", POWER(ON))->spec->vcpus = 0;
	refuse(d, "/spec/vms/1/spec/vcpus");
	d = document();
	add_vm(d, "web1", POWER(ON));
	add_vm(d, "web1", POWER(ON));
	refuse(d, "/spec/vms/1/name");
	d = document();
	add_vm(d, "web1", (Croft__V1__DesiredVm__Power)7);
	refuse(d, "/spec/vms/0/power");
	d = document();
	add_image(d, "tiny");
	message_set_string(&d->spec->images[0]->spec->manifest_url, "ftp://x/");
	refuse(d, "/spec/images/0/spec/manifest_url");
	d = look();
	assert_true(d->revision == 0 && !d->spec);
	message_free(d);
}

/* The desired state lifts what it has set; what a person says of the same stays, also in the same words. */
static void test_cordons(void **state)
{
	Croft__V1__CordonNodeRequest *request;
	Croft__V1__Desired *d = document();
	Croft__V1__Node *node;

	(void)state;
	d->spec->cordoned = true;
	expect(put(d, false), ERROR_NONE);
	wait_sync();
	node = get_node();
	assert_true(node->cordoned);
	request = message_new(&croft__v1__cordon_node_request__descriptor);
	message_set_string(&request->reason, node->cordon_reason);
	message_free(node);
	expect(help_call(service, "croft.v1.NodeService/CordonNode", request), ERROR_NONE);
	d->spec->cordoned = false;
	check_diff(d, "");
	expect(put(d, false), ERROR_NONE);
	wait_sync();
	node = get_node();
	assert_true(node->cordoned);
	message_free(node);
	message_free(d);
}

static void test_converges(void **state)
{
	Croft__V1__Desired *d = document();
	struct call *call;

	(void)state;
	add_image(d, "tiny");
	add_vm(d, "web1", POWER(ON));
	add_vm(d, "web2", POWER(OFF));
	d->spec->cordoned = false;
	check_diff(d, "images/tiny pull; vms/web1 create; vms/web1 start; vms/web2 create; ");
	call = put(d, true);
	expect(call, ERROR_NONE);
	expect(put(d, false), ERROR_NONE);
	wait_sync();
	check_state("web1", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
	check_state("web2", STATE(DEFINED), REASON(EXIT_REASON_UNSPECIFIED));
	check_diff(NULL, "");

	/* Somebody deletes one and stops the other. */
	expect(delete ("web2"), ERROR_NONE);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	says("vms/web1", OBJECT(FAILED), "after its start: force_stopped");
	wait_sync();
	check_state("web1", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));

	/* A change that waits for a restart, and one that does not. */
	label_vm(d->spec->vms[0], "tier", "a");
	d->spec->vms[0]->spec->vcpus = 2;
	check_diff(d, "vms/web1 update /labels /spec/vcpus; ");
	expect(put(d, false), ERROR_NONE);
	says("vms/web1", OBJECT(WAITING), "/spec/vcpus waits for its next start");
	d->spec->vms[0]->restart_to_apply = true;
	check_diff(d, "vms/web1 restart; ");
	expect(put(d, false), ERROR_NONE);
	wait_sync();

	/* Without the document nothing more is done. */
	call = help_call(service, "croft.v1.DesiredService/DeleteDesired",
			 message_new(&croft__v1__delete_desired_request__descriptor));
	expect(call, ERROR_NONE);
	finish_as(stop("web1", true), OPERATION(SUCCEEDED), NULL);
	check_diff(NULL, "");
	call = help_call(service, "croft.v1.DesiredService/ApplyDesired",
			 message_new(&croft__v1__apply_desired_request__descriptor));
	expect(call, ERROR_NOT_FOUND);
	message_free(d);
}

static void test_prune(void **state)
{
	Croft__V1__Desired *d = document();

	(void)state;
	add_image(d, "tiny");
	add_image(d, "other");
	add_vm(d, "web1", POWER(ON));
	add_vm(d, "web2", POWER(ON));
	expect(put(d, false), ERROR_NONE);
	wait_sync();
	message_free(d);

	d = document();
	add_vm(d, "web2", POWER(POWER_UNSPECIFIED));
	check_diff(d, "");
	d->spec->prune = true;
	/* "tiny" is what web2 has booted from. */
	check_diff(d, "vms/web1 stop; vms/web1 delete; images/other delete; ");
	expect(put(d, false), ERROR_NONE);
	wait_sync();
	expect(help_call(service, "croft.v1.Vms/GetVm", NAMED(get_vm_request, "web1")),
	       ERROR_NOT_FOUND);
	expect(help_call(service, "croft.v1.Images/GetImage", NAMED(get_image_request, "other")),
	       ERROR_NOT_FOUND);
	check_state("web2", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
	message_free(d);
}

/* What is not there yet is said, and tried again; the agent's restart begins anew from what is here. */
static void test_waits_and_retries(void **state)
{
	Croft__V1__Desired *d = document();

	(void)state;
	add_image(d, "tiny");
	message_set_string(&d->spec->images[0]->spec->manifest_url,
			   help_web_url(web, "/later.json"));
	add_vm(d, "web1", POWER(ON));
	expect(put(d, false), ERROR_NONE);
	says("images/tiny", OBJECT(FAILED), "the server answered 404");
	says("vms/web1", OBJECT(WAITING), "image \"tiny\" is not READY");
	help_web_add(web,
		     (struct help_page){ .path = "/later.json", .location = "/manifest.json" });
	wait_sync();

	service_free(service);
	help_web_add(web, (struct help_page){ .path = "/later.json", .location = "/gone" });
	start_service();
	wait_sync();
	check_state("web1", STATE(RUNNING), REASON(EXIT_REASON_UNSPECIFIED));
	message_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refusals), TEST(test_cordons),	   TEST(test_converges),
		TEST(test_prune),    TEST(test_waits_and_retries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
