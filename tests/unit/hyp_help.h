/* SPDX-License-Identifier: Apache-2.0 */
/* Short ways to what tests of the hypervisor's core need often. */
#ifndef TESTS_UNIT_HYP_HELP_H
#define TESTS_UNIT_HYP_HELP_H

#include "core/trap.h"

/* A doorbell that the primary rings and whose interrupt is the VM's; its capability of the primary. NULL: refused. */
static inline struct hyp_object *help_add_doorbell(struct vm *vm, uint32_t intid, bool can_clear,
						   uint64_t *cap)
{
	struct hyp_object *object = hyp_doorbell_new();
	struct hyp_end receiver = { .intid = intid }, sender = { .can_clear = can_clear };

	if (!object)
		return NULL;
	if (hyp_attach(object, HYP_RECEIVER, vm, &receiver)) {
		hyp_detach(object, HYP_RECEIVER);
		return NULL;
	}
	if (hyp_attach(object, HYP_SENDER, hyp_primary(), &sender)) {
		hyp_detach(object, HYP_RECEIVER);
		return NULL;
	}
	*cap = sender.cap;
	return object;
}

#define HELP_REG 7u /* of the accesses below */

/* The running vCPU's load or store of x7, at an address where nothing is mapped. */
static inline void help_access(bool write, ipa_t at, unsigned int size, uint64_t value)
{
	struct fault fault = {
		.va = at,
		.ipa = at,
		.ipa_valid = true,
		.translation = true,
		.decoded = true,
		.write = write,
		.access = { .ipa = at,
			    .value = value,
			    .size = (uint8_t)size,
			    .reg = HELP_REG,
			    .write = write,
			    .wide = true,
			    .pc_step = 4 },
	};

	trap_fault(&fault);
	trap_return();
}

static inline void help_remove(struct hyp_object *object)
{
	hyp_detach(object, HYP_SENDER);
	hyp_detach(object, HYP_RECEIVER);
}

#endif
