/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's static_assert, whose message may be left out.
 */
#ifndef CROFT_TESTS_UNIT_KERNEL_BUILD_BUG_H
#define CROFT_TESTS_UNIT_KERNEL_BUILD_BUG_H

#undef static_assert
#define static_assert(condition) _Static_assert(condition, #condition)

#endif
