// SPDX-License-Identifier: GPL-2.0
/*
 * CRC-32C for the fuzz targets: their own, so that what is tested does not seal its
 * own input, and fast, since most of what a scan of a ring does is to compute it. It is
 * built without sanitizers, so what it reads is looked at before.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length);

static uint32_t compute_by_table(uint32_t crc, const uint8_t *byte, size_t length)
{
	static uint32_t table[256];

	for (uint32_t i = 0; i < 256 && !table[255]; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
		table[i] = value;
	}
	while (length--)
		crc = table[(crc ^ *byte++) & 0xff] ^ crc >> 8;
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static uint32_t compute_by_instruction(uint32_t crc, const uint8_t *byte, size_t length)
{
	uint64_t word, wide = crc;

	for (; length >= sizeof(word); length -= sizeof(word), byte += sizeof(word)) {
		memcpy(&word, byte, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (length--)
		crc = __builtin_ia32_crc32qi(crc, *byte++);
	return crc;
}
#endif

uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length)
{
	if (length && __asan_region_is_poisoned((void *)data, length)) {
		fprintf(stderr, "checksum of %zu bytes that are not all there\n", length);
		abort();
	}
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return compute_by_instruction(seed, data, length);
#endif
	return compute_by_table(seed, data, length);
}
