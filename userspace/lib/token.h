/* SPDX-License-Identifier: GPL-2.0 */
/* The token: what all members of a device share, and nobody else may know. */
#ifndef QBD_LIB_TOKEN_H
#define QBD_LIB_TOKEN_H

#include "format/format.h"
#include "lib/error.h"

struct qbd_token {
	uint8_t uuid[QBD_UUID_SIZE];
	uint8_t secret[QBD_SECRET_SIZE];
};

/* "qbd1:" UUID ":" 64 hexadecimal digits, without newline. */
#define QBD_TOKEN_TEXT_SIZE	(5 + 36 + 1 + 64 + 1)

int qbd_token_new(struct qbd_token *token, struct qbd_error *error);
const char *qbd_token_text(const struct qbd_token *token, char *text);
int qbd_token_parse(const char *text, struct qbd_token *token, struct qbd_error *error);
/* Refuses to overwrite; mode 0600; on disk when it returns. */
int qbd_token_write(const struct qbd_token *token, const char *path,
		    struct qbd_error *error);
/* Refuses files that others may read. "-" is standard input. */
int qbd_token_read(const char *path, struct qbd_token *token, struct qbd_error *error);

#endif
