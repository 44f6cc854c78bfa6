// SPDX-License-Identifier: Apache-2.0
// The node: labels, cordon, drain and conditions; images' labels; and the configuration that changes while the agent runs.

#include "tests/unit/agent_world.h"

#include "croft/v1/config.pb-c.h"
#include "croft/v1/event.pb-c.h"

static Google__Protobuf__FieldMask *mask_of(const char *path)
{
	Google__Protobuf__FieldMask *mask = message_new(&google__protobuf__field_mask__descriptor);

	assert_int_equal(message_append(&mask->paths, &mask->n_paths, strdup(path)), 0);
	return mask;
}

static struct call *label_node(const char *path, const char *key, const char *value)
{
	Croft__V1__UpdateNodeRequest *request =
		message_new(&croft__v1__update_node_request__descriptor);
	Croft__V1__Node__LabelsEntry *label =
		message_new(&croft__v1__node__labels_entry__descriptor);

	request->node = message_new(&croft__v1__node__descriptor);
	request->update_mask = mask_of(path);
	message_set_string(&label->key, key);
	message_set_string(&label->value, value);
	assert_int_equal(message_append(&request->node->labels, &request->node->n_labels, label),
			 0);
	return help_call(service, "croft.v1.NodeService/UpdateNode", request);
}

static struct call *cordon(const char *reason, bool dry_run)
{
	Croft__V1__CordonNodeRequest *request =
		message_new(&croft__v1__cordon_node_request__descriptor);

	message_set_string(&request->reason, reason);
	request->dry_run = dry_run;
	return help_call(service, "croft.v1.NodeService/CordonNode", request);
}

static struct call *uncordon(void)
{
	return help_call(service, "croft.v1.NodeService/UncordonNode",
			 message_new(&croft__v1__uncordon_node_request__descriptor));
}

static const Croft__V1__NodeCondition *condition(const Croft__V1__Node *node, const char *type)
{
	for (size_t i = 0; i < node->status->n_conditions; i++)
		if (strcmp(node->status->conditions[i]->type, type) == 0)
			return node->status->conditions[i];
	fail_msg("no condition %s", type);
	return NULL;
}

/* How many events of that type and target there are. */
static size_t events(const char *type, const char *target)
{
	Croft__V1__ReadEventsRequest *request =
		message_new(&croft__v1__read_events_request__descriptor);
	Croft__V1__ReadEventsResponse *reply;
	size_t n = 0;

	request->max_events = 1000;
	reply = answer(help_call(service, "croft.v1.Events/ReadEvents", request));
	for (size_t i = 0; i < reply->n_events; i++)
		n += strcmp(reply->events[i]->type, type) == 0 &&
		     strcmp(reply->events[i]->target, target) == 0;
	message_free(reply);
	return n;
}

static void test_labels(void **state)
{
	Croft__V1__Node *node, *again;
	struct call *call;

	(void)state;
	node = answer(label_node("labels.site", "site", "lab"));
	assert_int_equal(node->n_labels, 1);
	assert_non_null(node->status);
	again = answer(label_node("labels.site", "site", "lab"));
	assert_int_equal(again->revision, node->revision);
	assert_int_equal(events("node.updated", "node/labels"), 1);
	message_free(again);
	call = label_node("labels", "-", "x");
	assert_string_equal(call->error.field, "/labels/-");
	expect(call, ERROR_INVALID_ARGUMENT);
	call = label_node("cordoned", "a", "b");
	assert_string_equal(call->error.field, "/cordoned");
	expect(call, ERROR_INVALID_ARGUMENT);
	/* They are there after a restart, with their revision. */
	service = service_free(service);
	start_service();
	again = get_node();
	assert_int_equal(again->revision, node->revision);
	assert_string_equal(again->labels[0]->value, "lab");
	message_free(again);
	message_free(node);
}

static void test_status(void **state)
{
	Croft__V1__Node *node = get_node();

	(void)state;
	assert_true(node->name[0] && node->status->cpus > 0 && node->status->vcpus_max > 0);
	assert_int_equal(node->status->n_conditions, 7);
	assert_true(condition(node, "Ready")->status);
	assert_true(condition(node, "HypervisorAvailable")->status);
	assert_true(condition(node, "StoreWritable")->status);
	assert_true(condition(node, "Schedulable")->status);
	assert_non_null(condition(node, "Ready")->since);
	assert_int_equal(node->status->capacity->cpus, node->status->cpus);
	assert_true(node->status->capacity->disk_bytes >= node->status->allocatable->disk_bytes);
	assert_true(node->status->capacity->memory_bytes > node->status->allocatable->memory_bytes);
	message_free(node);
}

static void test_cordon(void **state)
{
	char reason[258];
	Croft__V1__Node *node;
	struct call *call;

	(void)state;
	pull_tiny();
	expect(create("a", ""), ERROR_NONE);
	node = answer(cordon("try", true));
	assert_true(node->cordoned);
	message_free(node);
	node = get_node();
	assert_false(node->cordoned);
	message_free(node);
	node = answer(cordon("new disk", false));
	assert_true(node->cordoned);
	assert_string_equal(node->cordon_reason, "new disk");
	assert_false(condition(node, "Schedulable")->status);
	assert_string_equal(condition(node, "Schedulable")->reason, "Cordoned");
	message_free(node);
	assert_int_equal(events("node.condition", "node/Schedulable"), 1);
	call = start("a");
	assert_non_null(strstr(call->error.message, "cordoned, and starts no VM: new disk"));
	expect(call, ERROR_CONFLICT);
	/* It holds after a restart of the agent. */
	service = service_free(service);
	start_service();
	expect(start("a"), ERROR_CONFLICT);
	expect(uncordon(), ERROR_NONE);
	finish_as(start("a"), OPERATION(SUCCEEDED), NULL);
	/* What runs goes on. */
	expect(cordon("", false), ERROR_NONE);
	check_state("a", STATE(RUNNING), 0);
	memset(reason, 'x', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	call = cordon(reason, false);
	assert_string_equal(call->error.field, "/reason");
	expect(call, ERROR_INVALID_ARGUMENT);
}

static struct call *drain(int64_t seconds, int32_t nanos, bool dry_run)
{
	Croft__V1__DrainNodeRequest *request =
		message_new(&croft__v1__drain_node_request__descriptor);

	request->dry_run = dry_run;
	request->deadline = message_new(&google__protobuf__duration__descriptor);
	request->deadline->seconds = seconds;
	request->deadline->nanos = nanos;
	return help_call(service, "croft.v1.NodeService/DrainNode", request);
}

static void run(const char *name, const char *append)
{
	expect(create(name, append), ERROR_NONE);
	finish_as(start(name), OPERATION(SUCCEEDED), NULL);
}

static void test_drain(void **state)
{
	Croft__V1__Operation *op;
	Croft__V1__Node *node;

	(void)state;
	pull_tiny();
	run("a", "");
	run("b", "croft.test=spin");
	expect(create("c", ""), ERROR_NONE);
	expect(drain(601, 0, false), ERROR_INVALID_ARGUMENT);
	op = answer(drain(1, 0, true));
	assert_string_equal(op->name, "");
	assert_string_equal(op->target, "node");
	message_free(op);
	check_state("a", STATE(RUNNING), 0);
	finish_as(drain(0, 200000000, false), OPERATION(SUCCEEDED), NULL);
	check_state("a", STATE(STOPPED), REASON(guest_poweroff));
	check_state("b", STATE(STOPPED), REASON(force_stopped));
	check_state("c", STATE(DEFINED), 0);
	node = get_node();
	assert_true(node->cordoned);
	message_free(node);
	/* Of an empty node. */
	finish_as(drain(0, 0, false), OPERATION(SUCCEEDED), NULL);
}

static void test_drain_cancelled(void **state)
{
	struct call *call;
	Croft__V1__Operation *op;

	(void)state;
	pull_tiny();
	run("a", "croft.test=spin");
	run("b", "");
	op = answer(drain(600, 0, false));
	wait_state("a", STATE(STOPPING));
	call = help_call(service, "croft.v1.Operations/GetOperation",
			 NAMED(get_operation_request, op->name));
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->step, "stopping 1 of 2");
	call_free(call);
	expect(drain(1, 0, false), ERROR_CONFLICT);
	expect(uncordon(), ERROR_NONE);
	call = help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, op->name));
	assert_string_equal(((Croft__V1__Operation *)(void *)call->reply)->error->detail,
			    "the drain was cancelled at VM 1 of 2");
	expect(call, ERROR_NONE);
	/* The one that is being asked is asked on; the other was never asked. */
	finish_as(stop("a", true), OPERATION(SUCCEEDED), NULL);
	check_state("b", STATE(RUNNING), 0);
	message_free(op);
}

/* A stop that somebody takes back is told as a failure, and the next VM is stopped all the same. */
static void test_drain_fails(void **state)
{
	struct call *call;
	Croft__V1__Operation *op;
	Croft__V1__Vm *vm;

	(void)state;
	pull_tiny();
	run("a", "croft.test=spin");
	run("b", "");
	op = answer(drain(600, 0, false));
	wait_state("a", STATE(STOPPING));
	vm = get("a");
	expect(help_call(service, "croft.v1.Operations/CancelOperation",
			 NAMED(cancel_operation_request, vm->status->operation)),
	       ERROR_NONE);
	message_free(vm);
	call = help_call(service, "croft.v1.Operations/WaitOperation",
			 NAMED(wait_operation_request, op->name));
	message_free(op);
	op = answer(call);
	assert_int_equal(op->state, OPERATION(FAILED));
	assert_non_null(strstr(op->error->detail, "1 of 2 VMs were not stopped: VM \"a\""));
	message_free(op);
	check_state("a", STATE(RUNNING), 0);
	check_state("b", STATE(STOPPED), REASON(guest_poweroff));
}

static struct call *update_image(const char *name, const char *path, const char *value)
{
	Croft__V1__UpdateImageRequest *request =
		message_new(&croft__v1__update_image_request__descriptor);
	Croft__V1__Image__LabelsEntry *label =
		message_new(&croft__v1__image__labels_entry__descriptor);

	request->image = message_new(&croft__v1__image__descriptor);
	message_set_string(&request->image->name, name);
	request->update_mask = mask_of(path);
	message_set_string(&label->key, "os");
	message_set_string(&label->value, value);
	assert_int_equal(message_append(&request->image->labels, &request->image->n_labels, label),
			 0);
	return help_call(service, "croft.v1.Images/UpdateImage", request);
}

static size_t count_images(const char *filter)
{
	Croft__V1__ListImagesRequest *request =
		message_new(&croft__v1__list_images_request__descriptor);
	Croft__V1__ListImagesResponse *reply;
	size_t n;

	message_set_string(&request->filter, filter);
	reply = answer(help_call(service, "croft.v1.Images/ListImages", request));
	n = reply->n_images;
	message_free(reply);
	return n;
}

static void test_image(void **state)
{
	Croft__V1__PullImageRequest *request =
		message_new(&croft__v1__pull_image_request__descriptor);
	Croft__V1__Image *image;
	struct call *call;

	(void)state;
	pull_tiny();
	image = answer(update_image("tiny", "labels.os", "linux"));
	assert_string_equal(image->labels[0]->value, "linux");
	assert_int_equal(events("image.updated", "images/tiny"), 1);
	assert_int_equal(count_images("labels.os=linux,state=READY"), 1);
	assert_int_equal(count_images("labels.os!=linux"), 0);
	call = update_image("tiny", "spec", "linux");
	assert_string_equal(call->error.field, "/spec");
	expect(call, ERROR_INVALID_ARGUMENT);
	expect(update_image("tiny", "status", "linux"), ERROR_INVALID_ARGUMENT);
	expect(update_image("none", "labels", "linux"), ERROR_NOT_FOUND);
	message_free(image);
	request->image = message_new(&croft__v1__image__descriptor);
	request->image->spec = message_new(&croft__v1__image_spec__descriptor);
	message_set_string(&request->image->name, "other");
	message_set_string(&request->image->spec->manifest_url,
			   help_web_url(web, "/manifest.json"));
	request->dry_run = true;
	expect(help_call(service, "croft.v1.Images/PullImage", request), ERROR_NONE);
	assert_int_equal(count_images(""), 1);
}

/* --- The configuration --- */

static Croft__V1__UpdateConfigRequest *config_request(const char *path)
{
	Croft__V1__UpdateConfigRequest *request =
		message_new(&croft__v1__update_config_request__descriptor);

	request->config = message_new(&croft__v1__config__descriptor);
	request->config->spec = message_new(&croft__v1__config_spec__descriptor);
	request->update_mask = mask_of(path);
	return request;
}

static struct call *set_config(Croft__V1__UpdateConfigRequest *request)
{
	return help_call(service, "croft.v1.ConfigService/UpdateConfig", request);
}

static Croft__V1__Config *get_config(void)
{
	return answer(help_call(service, "croft.v1.ConfigService/GetConfig",
				message_new(&croft__v1__get_config_request__descriptor)));
}

static const Croft__V1__ConfigSetting *setting(const Croft__V1__Config *c, const char *name)
{
	for (size_t i = 0; i < c->n_settings; i++)
		if (strcmp(c->settings[i]->name, name) == 0)
			return c->settings[i];
	fail_msg("no setting %s", name);
	return NULL;
}

static void test_config(void **state)
{
	Croft__V1__UpdateConfigRequest *request;
	Croft__V1__Config *c = get_config();

	(void)state;
	assert_string_equal(c->spec->log_level, "info");
	assert_int_equal(c->spec->start_timeout->seconds, 120);
	assert_int_equal(c->n_changed, 0);
	assert_string_equal(setting(c, "agent.backend")->value, "fake");
	assert_string_equal(setting(c, "agent.backend")->source, "command line");
	assert_string_equal(setting(c, "vms.stop_timeout")->source, "default");
	message_free(c);
	request = config_request("spec.image_bytes_max");
	request->config->spec->image_bytes_max = 1 << 20;
	request->dry_run = true;
	c = answer(set_config(request));
	assert_int_equal(c->spec->image_bytes_max, 1 << 20);
	message_free(c);
	c = get_config();
	assert_int_equal(c->spec->image_bytes_max, 64ull << 30);
	message_free(c);
	request = config_request("spec.log_level");
	message_set_string(&request->config->spec->log_level, "error");
	c = answer(set_config(request));
	assert_int_equal(c->n_changed, 1);
	assert_string_equal(c->changed[0], "log_level");
	assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
	message_free(c);
	/* Kept over a restart, and back to what the file says when it is taken away. */
	service = service_free(service);
	log_set_level(LOG_LEVEL_INFO);
	start_service();
	assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
	c = answer(set_config(config_request("*")));
	assert_string_equal(c->spec->log_level, "info");
	assert_int_equal(c->n_changed, 0);
	message_free(c);
	assert_int_equal(log_get_level(), LOG_LEVEL_INFO);
}

static void test_config_refused(void **state)
{
	Croft__V1__UpdateConfigRequest *request;
	struct call *call;

	(void)state;
	request = config_request("spec.log_level");
	message_set_string(&request->config->spec->log_level, "loud");
	call = set_config(request);
	assert_string_equal(call->error.field, "/spec/log_level");
	expect(call, ERROR_INVALID_ARGUMENT);
	for (int64_t seconds = 0; seconds <= 3601; seconds += 3601) {
		request = config_request("spec.stop_timeout");
		request->config->spec->stop_timeout =
			message_new(&google__protobuf__duration__descriptor);
		request->config->spec->stop_timeout->seconds = seconds;
		call = set_config(request);
		assert_string_equal(call->error.field, "/spec/stop_timeout");
		expect(call, ERROR_INVALID_ARGUMENT);
	}
	request = config_request("spec.image_bytes_max");
	request->config->spec->image_bytes_max = 1;
	expect(set_config(request), ERROR_INVALID_ARGUMENT);
	expect(set_config(config_request("settings")), ERROR_INVALID_ARGUMENT);
	expect(help_call_match(service, "croft.v1.ConfigService/UpdateConfig", config_request("*"),
			       ~0ull),
	       ERROR_PRECONDITION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_labels), TEST(test_status),	       TEST(test_cordon),
		TEST(test_drain),  TEST(test_drain_cancelled), TEST(test_drain_fails),
		TEST(test_image),  TEST(test_config),	       TEST(test_config_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
