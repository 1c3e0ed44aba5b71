/* SPDX-License-Identifier: GPL-2.0 */
#ifndef QBD_LIB_SHA256_H
#define QBD_LIB_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define QBD_SHA256_SIZE	32

struct qbd_sha256 {
	uint32_t state[8];
	uint64_t length;
	uint8_t block[64];
};

void qbd_sha256_init(struct qbd_sha256 *sha);
void qbd_sha256_update(struct qbd_sha256 *sha, const void *data, size_t length);
void qbd_sha256_final(struct qbd_sha256 *sha, uint8_t digest[QBD_SHA256_SIZE]);

/* HMAC-SHA256: begin with the key, qbd_sha256_update() on @inner, and the end. */
struct qbd_hmac {
	struct qbd_sha256 inner;
	struct qbd_sha256 outer;
};

void qbd_hmac_init(struct qbd_hmac *hmac, const void *key, size_t length);
void qbd_hmac_final(struct qbd_hmac *hmac, uint8_t digest[QBD_SHA256_SIZE]);

#endif
