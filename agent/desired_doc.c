// SPDX-License-Identifier: Apache-2.0
// A document of the desired state: checked, with its objects by name.

#include "agent/desired_doc.h"

#include <string.h>

#include "agent/allow.h"
#include "agent/health.h"
#include "agent/image_fetch.h"
#include "agent/message.h"
#include "agent/state.h"
#include "agent/config.h"
#include "agent/validate.h"
#include "vmm/vmm.h"

#define ALIKE(type)                                                                         \
	static_assert(sizeof(type) == sizeof(struct label_entry) &&                         \
			      offsetof(type, key) == offsetof(struct label_entry, key) &&   \
			      offsetof(type, value) == offsetof(struct label_entry, value), \
		      "entries of maps of strings are alike")
ALIKE(Croft__V1__Vm__LabelsEntry);
ALIKE(Croft__V1__Image__LabelsEntry);
ALIKE(Croft__V1__Node__LabelsEntry);
ALIKE(Croft__V1__DesiredVm__LabelsEntry);
ALIKE(Croft__V1__DesiredImage__LabelsEntry);
ALIKE(Croft__V1__DesiredSpec__NodeLabelsEntry);

/* --- Labels --- */

static bool has_label(struct label_entry **labels, size_t n, const struct label_entry *wanted)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(labels[i]->key, wanted->key) == 0)
			return strcmp(labels[i]->value, wanted->value) == 0;
	return false;
}

bool labels_equal(struct label_entry **a, size_t na, struct label_entry **b, size_t nb)
{
	/* No map has a key twice. */
	for (size_t i = 0; i < na && na == nb; i++)
		if (!has_label(b, nb, a[i]))
			return false;
	return na == nb;
}

/* --- Objects --- */

Croft__V1__Vm desired_vm_view(const Croft__V1__DesiredVm *want)
{
	Croft__V1__Vm vm = CROFT__V1__VM__INIT;

	vm.name = want->name;
	vm.labels = (void *)want->labels;
	vm.n_labels = want->n_labels;
	vm.spec = want->spec;
	return vm;
}

Croft__V1__Image desired_image_view(const Croft__V1__DesiredImage *want)
{
	Croft__V1__Image image = CROFT__V1__IMAGE__INIT;

	image.name = want->name;
	image.labels = (void *)want->labels;
	image.n_labels = want->n_labels;
	image.spec = want->spec;
	return image;
}

Croft__V1__Node desired_node_view(const Croft__V1__DesiredSpec *spec)
{
	Croft__V1__Node node = CROFT__V1__NODE__INIT;

	node.labels = (void *)spec->node_labels;
	node.n_labels = spec->n_node_labels;
	node.cordoned = spec->cordoned;
	return node;
}

/* --- Checks --- */

/* The field at fault, `rest`, is behind `prefix`. */
static int widen_field(struct error *err, const char *prefix, const char *rest)
{
	char field[ERROR_FIELD_MAX * 2];

	if (err->code != ERROR_INVALID_ARGUMENT)
		return -ENOMEM;
	snprintf(field, sizeof(field), "%s%s", prefix, rest);
	snprintf(err->field, sizeof(err->field), "%.*s", ERROR_FIELD_MAX - 1, field);
	return -EINVAL;
}

static int widen_item(struct error *err, const char *list, size_t i)
{
	char prefix[48];

	snprintf(prefix, sizeof(prefix), "/spec/%s/%zu", list, i);
	return widen_field(err, prefix, err->field);
}

static int check_image(const Croft__V1__DesiredImage *want, struct error *err)
{
	const Croft__V1__Image image = desired_image_view(want);
	int r = validate_image(&image, err);

	if (r == 0)
		r = image_fetch_check_url("/spec/manifest_url", want->spec->manifest_url, err);
	return r;
}

static int check_vm(const struct config *config, const Croft__V1__DesiredVm *want,
		    unsigned int vcpus_max, struct error *err)
{
	const Croft__V1__Vm vm = desired_vm_view(want);
	int r = validate_vm(&vm, health_memory_total(), vcpus_max, err);

	if (r == 0)
		r = allow_check_spec(config, want->spec, err);
	if (r == 0 &&
	    !protobuf_c_enum_descriptor_get_value(&croft__v1__desired_vm__power__descriptor,
						  (int)want->power))
		r = error_raise_field(err, "/power", "%d is no power state", (int)want->power);
	return r;
}

static int check_node(const Croft__V1__DesiredSpec *spec, struct error *err)
{
	const Croft__V1__Node node = desired_node_view(spec);
	int r = validate_labels(&node.base, err);

	return r < 0 ? widen_field(err, "/spec/node_", err->field + 1) : 0;
}

static int check(struct service *service, const Croft__V1__DesiredSpec *spec, struct error *err)
{
	unsigned int vcpus_max = VMM_VCPUS_MAX;
	struct vmm_host host;
	int r;

	if (spec->n_images > DESIRED_IMAGES_MAX)
		return error_raise_field(err, "/spec/images", "%zu: at most %u are allowed",
					 spec->n_images, DESIRED_IMAGES_MAX);
	if (spec->n_vms > DESIRED_VMS_MAX)
		return error_raise_field(err, "/spec/vms", "%zu: at most %u are allowed",
					 spec->n_vms, DESIRED_VMS_MAX);
	if (vmm_host_probe(service->config->backend, &host, NULL) == 0 &&
	    host.vcpus_max < vcpus_max)
		vcpus_max = host.vcpus_max;
	r = check_node(spec, err);
	for (size_t i = 0; r == 0 && i < spec->n_images; i++)
		if (check_image(spec->images[i], err) < 0)
			r = widen_item(err, "images", i);
	for (size_t i = 0; r == 0 && i < spec->n_vms; i++)
		if (check_vm(service->config, spec->vms[i], vcpus_max, err) < 0)
			r = widen_item(err, "vms", i);
	return r;
}

/* --- The document --- */

static int add(struct table *table, const char *name, void *object, struct error *err)
{
	int r = table_add(table, name, object);

	if (r == -EEXIST)
		return error_raise_field(err, "/name", "\"%s\" is there twice", name);
	return r < 0 ? error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory") : 0;
}

int desired_doc_adopt(struct desired_doc **out, Croft__V1__Desired *msg, struct error *err)
{
	struct desired_doc *doc = calloc(1, sizeof(*doc));
	const Croft__V1__DesiredSpec *spec = msg->spec;
	int r = 0;

	if (!doc) {
		message_free(msg);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	doc->msg = msg;
	for (size_t i = 0; r == 0 && i < spec->n_images; i++)
		if (add(&doc->images, spec->images[i]->name, spec->images[i], err) < 0)
			r = widen_item(err, "images", i);
	for (size_t i = 0; r == 0 && i < spec->n_vms; i++)
		if (add(&doc->vms, spec->vms[i]->name, spec->vms[i], err) < 0)
			r = widen_item(err, "vms", i);
	if (r < 0) {
		desired_doc_free(doc);
		return r;
	}
	*out = doc;
	return 0;
}

int desired_doc_new(struct desired_doc **out, struct service *service,
		    const Croft__V1__Desired *wish, struct error *err)
{
	Croft__V1__Desired *msg;
	int r;

	if (!wish || !wish->spec)
		return error_raise_field(err, "/spec", "is required");
	r = check(service, wish->spec, err);
	if (r < 0)
		return r;
	msg = message_new(&croft__v1__desired__descriptor);
	if (msg)
		msg->spec = message_copy(&wish->spec->base);
	if (!msg || !msg->spec) {
		message_free(msg);
		return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
	}
	message_set_now(&msg->update_time);
	return desired_doc_adopt(out, msg, err);
}

struct desired_doc *desired_doc_free(struct desired_doc *doc)
{
	if (!doc)
		return NULL;
	table_clear(&doc->images);
	table_clear(&doc->vms);
	message_free(doc->msg);
	free(doc);
	return NULL;
}
