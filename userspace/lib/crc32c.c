// SPDX-License-Identifier: GPL-2.0
/* CRC-32C (Castagnoli) as the kernel's crc32c(): no inversion of its own. */
#include <pthread.h>
#include <string.h>

#include "format/format.h"

#define CRC32C_POLYNOMIAL_REFLECTED	0x82f63b78u

/* tables[n][b]: what byte b does to the remainder n bytes further on */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
	for (unsigned int byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL_REFLECTED : 0);
		tables[0][byte] = crc;
	}
	for (unsigned int byte = 0; byte < 256; byte++)
		for (int ahead = 1; ahead < 8; ahead++)
			tables[ahead][byte] = (tables[ahead - 1][byte] >> 8) ^
					      tables[0][tables[ahead - 1][byte] & 0xff];
}

uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint32_t crc = seed;

	pthread_once(&tables_once, make_tables);
	while (length >= 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		word = le64toh(word) ^ crc;
		crc = 0;
		for (int byte = 0; byte < 8; byte++)
			crc ^= tables[7 - byte][(word >> (8 * byte)) & 0xff];
		bytes += 8;
		length -= 8;
	}
	while (length--)
		crc = (crc >> 8) ^ tables[0][(crc ^ *bytes++) & 0xff];
	return crc;
}
