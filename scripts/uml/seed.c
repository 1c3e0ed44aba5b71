// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into User-mode Linux: what its kernel takes from the host as random comes
 * from a seed, QBD_UML_SEED. All other random numbers of the guest are made of these.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
	static uint64_t state;
	unsigned char *bytes = buffer;
	uint64_t x;
	size_t i;

	(void)flags;
	if (!state)
		state = strtoull(getenv("QBD_UML_SEED"), NULL, 10);
	for (i = 0; i < length; i++) {
		x = state += UINT64_C(0x9e3779b97f4a7c15);
		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
		bytes[i] = x >> 56;
	}
	return length;
}
