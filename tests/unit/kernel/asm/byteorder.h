/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's names for conversions to and from little-endian.
 */
#ifndef CROFT_TESTS_UNIT_KERNEL_BYTEORDER_H
#define CROFT_TESTS_UNIT_KERNEL_BYTEORDER_H

#include_next <asm/byteorder.h>

#define cpu_to_le16 __cpu_to_le16
#define cpu_to_le32 __cpu_to_le32
#define cpu_to_le64 __cpu_to_le64
#define le16_to_cpu __le16_to_cpu
#define le32_to_cpu __le32_to_cpu

#endif
