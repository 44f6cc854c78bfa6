/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's string functions are those of the C library here.
 */
#ifndef CROFT_TESTS_UNIT_KERNEL_STRING_H
#define CROFT_TESTS_UNIT_KERNEL_STRING_H

#include <string.h>

#endif
