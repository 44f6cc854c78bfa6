/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's minimum of two values of one type.
 */
#ifndef CROFT_TESTS_UNIT_KERNEL_MINMAX_H
#define CROFT_TESTS_UNIT_KERNEL_MINMAX_H

#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))

#endif
