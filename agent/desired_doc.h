/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document of the desired state: checked, with its objects by name.
 */
#ifndef CROFT_AGENT_DESIRED_DOC_H
#define CROFT_AGENT_DESIRED_DOC_H

#include "agent/table.h"
#include "croft/v1/desired.pb-c.h"
#include "croft/v1/image.pb-c.h"
#include "croft/v1/node.pb-c.h"
#include "croft/v1/vm.pb-c.h"
#include "vmm/base.h"

#define DESIRED_IMAGES_MAX 256u
#define DESIRED_VMS_MAX	   1000u

struct service;

struct desired_doc {
	Croft__V1__Desired *msg;  /* with a spec, and without a status */
	struct table images, vms; /* of DesiredImage and DesiredVm */
};

/*
 * Checks what a client wishes, and makes a document of a copy of its spec. Errors: INVALID_ARGUMENT with the field, as
 * "/spec/vms/3/spec/vcpus"; RESOURCE_EXHAUSTED.
 */
int desired_doc_new(struct desired_doc **out, struct service *service,
		    const Croft__V1__Desired *wish, struct error *err);

/* The same of one that was checked before and comes out of the store; takes the message, also when it fails. */
int desired_doc_adopt(struct desired_doc **out, Croft__V1__Desired *msg, struct error *err);

/* Takes NULL, returns NULL. */
struct desired_doc *desired_doc_free(struct desired_doc *doc);

/*
 * Objects of the document as those that requests have: shallow, for reading and for message_copy(), and as long as what they
 * are views of.
 */
Croft__V1__Vm desired_vm_view(const Croft__V1__DesiredVm *want);
Croft__V1__Image desired_image_view(const Croft__V1__DesiredImage *want);
Croft__V1__Node
desired_node_view(const Croft__V1__DesiredSpec *spec); /* its labels and `cordoned` */

/* What every entry of a map<string, string> looks like, whichever message it is of. */
struct label_entry {
	ProtobufCMessage base;
	char *key, *value;
};

/* The two maps, fields of any messages, have the same keys with the same values, in any order. */
#define LABELS_EQUAL(a, b)                                                      \
	labels_equal((struct label_entry **)(void *)(a)->labels, (a)->n_labels, \
		     (struct label_entry **)(void *)(b)->labels, (b)->n_labels)
bool labels_equal(struct label_entry **a, size_t na, struct label_entry **b, size_t nb);

#endif
