/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only header the Raft core needs from outside: fixed-width types, bool,
 * NULL and memset()/memcpy(). The core compiles unchanged into the kernel
 * module, into KUnit and into plain userspace programs.
 */
#ifndef QBD_CORE_TYPES_H
#define QBD_CORE_TYPES_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <linux/stddef.h>
#include <linux/string.h>

#else

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;

#endif /* __KERNEL__ */

#endif /* QBD_CORE_TYPES_H */
