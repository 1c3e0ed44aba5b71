/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Conversions as tests/sim/kernel has them. Those of the C library are calls when nothing
 * is optimized, and conditions with calls in them have more branches than without.
 */
#include <endian.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the disk's byte order is this host's"
#endif

#undef le16toh
#undef le32toh
#undef le64toh
#undef htole16
#undef htole32
#undef htole64
#define le16toh(x)	((uint16_t)(x))
#define le32toh(x)	((uint32_t)(x))
#define le64toh(x)	((uint64_t)(x))
#define htole16(x)	((uint16_t)(x))
#define htole32(x)	((uint32_t)(x))
#define htole64(x)	((uint64_t)(x))
