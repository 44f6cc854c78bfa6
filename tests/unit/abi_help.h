/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the second transcriptions of the ABI share: a table of values, each with what the contract
 * headers have.
 */
#ifndef CROFT_TESTS_UNIT_ABI_HELP_H
#define CROFT_TESTS_UNIT_ABI_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct abi_value {
	const char *name;
	uint64_t header; /* as the compiler sees it in the header */
	uint64_t sheet;	 /* as typed from the fact sheet */
};

#define V(name, sheet)                                     \
	{                                                  \
#name, (uint64_t)(name), (uint64_t)(sheet) \
	}
#define SIZE(type, sheet)                              \
	{                                              \
		"sizeof " #type, sizeof(type), (sheet) \
	}
#define AT(type, field, sheet)                                   \
	{                                                        \
#type "." #field, offsetof(type, field), (sheet) \
	}

static inline void abi_compare(const struct abi_value *values, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		if (values[i].header == values[i].sheet)
			continue;
		print_error("%s: header %#llx, fact sheet %#llx\n", values[i].name,
			    (unsigned long long)values[i].header,
			    (unsigned long long)values[i].sheet);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

#define COMPARE(values) abi_compare(values, sizeof(values) / sizeof((values)[0]))

#endif
