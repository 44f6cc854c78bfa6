// SPDX-License-Identifier: Apache-2.0
/* Scripts of the fake backend: parsed whole or refused with the line, never half. */
#include <assert.h>
#include <string.h>

#include "vmm/fake_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct fake_script script;
	struct error err = { 0 };

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (fake_script_parse(&script, text, &err) < 0) {
		assert(err.code != ERROR_NONE && script.count == 0 && !script.ops);
		return 0;
	}
	for (size_t i = 0; i < script.count; i++) {
		const struct fake_op *op = &script.ops[i];

		assert(op->vcpu < VMM_VCPUS_MAX && op->line > 0);
		assert((op->kind == FAKE_PRINT) == (op->text != NULL));
		assert(op->len == 0 || op->len == 1 || op->len == 2 || op->len == 4 ||
		       op->len == 8);
	}
	fake_script_free(&script);
	return 0;
}
