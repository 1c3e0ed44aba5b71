// SPDX-License-Identifier: GPL-2.0
/* SHA-256 (FIPS 180-4). */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "lib/sha256.h"

/* The first 32 bits of the fractional parts of the cube roots of 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate_right(uint32_t value, int bits)
{
	return value >> bits | value << (32 - bits);
}

static void expand(const uint8_t *block, uint32_t words[64])
{
	for (int i = 0; i < 16; i++) {
		memcpy(&words[i], block + 4 * i, 4);
		words[i] = be32toh(words[i]);
	}
	for (int i = 16; i < 64; i++) {
		uint32_t a = words[i - 15], b = words[i - 2];

		words[i] = words[i - 16] + words[i - 7] +
			   (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3) +
			   (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
	}
}

static void compress(uint32_t state[8], const uint8_t *block)
{
	uint32_t words[64];
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

	expand(block, words);
	for (int i = 0; i < 64; i++) {
		uint32_t first = h + constants[i] + words[i] + ((e & f) ^ (~e & g)) +
				 (rotate_right(e, 6) ^ rotate_right(e, 11) ^
				  rotate_right(e, 25));
		uint32_t second = ((a & b) ^ (a & c) ^ (b & c)) +
				  (rotate_right(a, 2) ^ rotate_right(a, 13) ^
				   rotate_right(a, 22));

		h = g;
		g = f;
		f = e;
		e = d + first;
		d = c;
		c = b;
		b = a;
		a = first + second;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

void qbd_sha256_init(struct qbd_sha256 *sha)
{
	static const uint32_t start[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(sha->state, start, sizeof(start));
	sha->length = 0;
}

void qbd_sha256_update(struct qbd_sha256 *sha, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	size_t have = sha->length % sizeof(sha->block);

	sha->length += length;
	if (have) {
		size_t take = sizeof(sha->block) - have;

		if (take > length)
			take = length;
		memcpy(sha->block + have, bytes, take);
		bytes += take;
		length -= take;
		if (have + take < sizeof(sha->block))
			return;
		compress(sha->state, sha->block);
	}
	for (; length >= sizeof(sha->block); length -= sizeof(sha->block)) {
		compress(sha->state, bytes);
		bytes += sizeof(sha->block);
	}
	memcpy(sha->block, bytes, length);
}

void qbd_sha256_final(struct qbd_sha256 *sha, uint8_t digest[QBD_SHA256_SIZE])
{
	static const uint8_t padding[64] = { 0x80 };
	uint64_t bits = htobe64(sha->length * 8);
	size_t have = sha->length % sizeof(sha->block);

	qbd_sha256_update(sha, padding, have < 56 ? 56 - have : 120 - have);
	qbd_sha256_update(sha, &bits, sizeof(bits));
	for (int i = 0; i < 8; i++) {
		uint32_t word = htobe32(sha->state[i]);

		memcpy(digest + 4 * i, &word, 4);
	}
}

/* RFC 2104; a key of at most one block. */
void qbd_hmac_init(struct qbd_hmac *hmac, const void *key, size_t length)
{
	uint8_t inner[64] = { 0 }, outer[64];

	assert(length <= sizeof(inner));
	memcpy(inner, key, length);
	for (unsigned int i = 0; i < sizeof(inner); i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	qbd_sha256_init(&hmac->inner);
	qbd_sha256_update(&hmac->inner, inner, sizeof(inner));
	qbd_sha256_init(&hmac->outer);
	qbd_sha256_update(&hmac->outer, outer, sizeof(outer));
}

void qbd_hmac_final(struct qbd_hmac *hmac, uint8_t digest[QBD_SHA256_SIZE])
{
	qbd_sha256_final(&hmac->inner, digest);
	qbd_sha256_update(&hmac->outer, digest, QBD_SHA256_SIZE);
	qbd_sha256_final(&hmac->outer, digest);
}
