/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of record and store that decide, and do nothing else, need from
 * outside: they compile into the module, into KUnit and into userspace tests.
 */
#ifndef QBD_RECORD_PORTABLE_H
#define QBD_RECORD_PORTABLE_H

#ifdef __KERNEL__

#include <linux/errno.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/types.h>

#else

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

static inline u64 div64_u64_rem(u64 dividend, u64 divisor, u64 *remainder)
{
	*remainder = dividend % divisor;
	return dividend / divisor;
}

static inline u64 div64_u64(u64 dividend, u64 divisor)
{
	return dividend / divisor;
}

#endif /* __KERNEL__ */

#endif
