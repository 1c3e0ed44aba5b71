/* SPDX-License-Identifier: GPL-2.0 */
/* What connect and disconnect have in common. */
#ifndef QBDADM_CONNECT_H
#define QBDADM_CONNECT_H

#include "lib/scan.h"
#include "lib/token.h"

/**
 * qbdadm_look_at_file() - whose is this file?
 * @path: where it may be
 * @name: of the device that it should be of
 * @token: likewise, or NULL
 * @found: what it is
 *
 * Return: 1 it is this device's; 0 there is none; -errno with the line.
 */
int qbdadm_look_at_file(const char *path, const char *name, const struct qbd_token *token,
			struct qbd_found *found, struct qbd_error *error);

#endif
