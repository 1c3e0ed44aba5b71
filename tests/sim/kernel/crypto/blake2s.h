/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Not BLAKE2s, but as long: who compares digests here has no enemy, and the simulator has
 * better things to do than to compute them.
 */
#ifndef QBD_SIM_CRYPTO_BLAKE2S_H
#define QBD_SIM_CRYPTO_BLAKE2S_H

#define BLAKE2S_HASH_SIZE	32

struct blake2s_state {
	u64 lane[4];
};

static inline void blake2s_init(struct blake2s_state *state, size_t bytes)
{
	for (unsigned int i = 0; i < 4; i++)
		state->lane[i] = 0x9e3779b97f4a7c15ull * (i + bytes);
}

static inline void blake2s_update(struct blake2s_state *state, const u8 *from, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += 8) {
		u64 word;

		memcpy(&word, from + at, 8);
		for (unsigned int i = 0; i < 4; i++) {
			u64 mixed = (state->lane[i] ^ word) * (0xff51afd7ed558ccdull + 2 * i);

			state->lane[i] = mixed ^ mixed >> 29;
		}
	}
}

static inline void blake2s_final(struct blake2s_state *state, u8 *digest)
{
	memcpy(digest, state->lane, sizeof(state->lane));
}

#endif
