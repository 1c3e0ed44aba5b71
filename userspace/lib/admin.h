/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Talking to a member of another host: its kernel listens, there is no daemon. The wire
 * is described in kmod/format/frame.h and judged by kmod/net/frame.c, as in the module.
 */
#ifndef QBD_LIB_ADMIN_H
#define QBD_LIB_ADMIN_H

#include <stdint.h>
#include <sys/socket.h>

#include "format/frame.h"
#include "lib/error.h"
#include "lib/parse.h"
#include "lib/token.h"

/* How long a member may take for anything. */
#define QBD_ADMIN_WAIT_MS	5000

struct qbd_admin {
	int fd;
	char where[QBD_ADDRESS_TEXT_SIZE];
	uint32_t sent;
	uint32_t received;
	uint64_t sequence;
	struct qbd_frame_hello own;
	struct qbd_frame_hello peer;
};

/**
 * qbd_admin_connect() - connect, and show each other that both know the secret
 * @admin: to be closed if this succeeds
 * @address: where a member listens
 * @token: of the device
 *
 * Return: 0, or -errno with one line: -ECONNREFUSED, -ETIMEDOUT, ...; -EPROTO no member
 * of qbd, -EACCES another device or secret, -EBUSY too many others at it.
 */
int qbd_admin_connect(struct qbd_admin *admin, const struct qbd_address *address,
		      const struct qbd_token *token, struct qbd_error *error);
void qbd_admin_close(struct qbd_admin *admin);

/* Return: the length of what is in @storage. */
socklen_t qbd_address_to_socket(const struct qbd_address *address,
				struct sockaddr_storage *storage);

/* What is this device? What comes back has been checked. -EAGAIN: ask again. */
int qbd_admin_describe(struct qbd_admin *admin, struct qbd_description *description,
		       struct qbd_error *error);

/**
 * struct qbd_admin_answer - how a change was answered
 * @result: enum qbd_change_result
 * @member: that it speaks of, or 0
 */
struct qbd_admin_answer {
	uint32_t result;
	uint32_t member;
};

/*
 * 0: it was answered. -EAGAIN: it was not looked at. Any other: nobody knows whether it
 * was done.
 */
int qbd_admin_change(struct qbd_admin *admin, const struct qbd_membership_layout *wanted,
		     struct qbd_admin_answer *answer, struct qbd_error *error);

#endif
