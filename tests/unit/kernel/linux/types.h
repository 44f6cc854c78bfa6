/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's header of this name has beyond the one of user space, for the driver's codec.
 */
#ifndef CROFT_TESTS_UNIT_KERNEL_TYPES_H
#define CROFT_TESTS_UNIT_KERNEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include_next <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#endif
