/* SPDX-License-Identifier: GPL-2.0 */
/* Becoming a member of a device that is up elsewhere. */
#ifndef QBD_LIB_JOIN_H
#define QBD_LIB_JOIN_H

#include "lib/admin.h"

/* How long a leader is looked for, and a change of the members tried, by default. */
#define QBD_JOIN_WAIT_MS	30000

/**
 * struct qbd_join - what a host knows that wants to become a member
 * @name: of the device
 * @token: of the device
 * @contact: where a member listens, to begin with
 * @wait_ms: how long anything is tried for
 * @self: what is to be added to the list; qbd_join_ask() fills in the id, and the
 *	incarnation that the disk has to have
 * @description: what the leader said last
 * @described: it has said something
 * @former: a client of the same name that was not there when qbd_join_look() looked; no id:
 *	none
 * @replaced: a client of the same name that was not there has been taken out; 0: none
 */
struct qbd_join {
	const char *name;
	const struct qbd_token *token;
	struct qbd_address contact;
	unsigned int wait_ms;
	struct qbd_member_layout self;
	struct qbd_description description;
	bool described;
	uint32_t former;
	uint32_t replaced;
};

/* What does the leader say? Return: 0 with the description, or -errno with one line. */
int qbd_join_describe(struct qbd_join *join, struct qbd_error *error);
/* The member whose disk this is, by the list in @join's description, or NULL. */
const struct qbd_member_layout *qbd_join_listed(const struct qbd_join *join,
						const uint8_t *incarnation);
/* That list stays: it is committed. */
bool qbd_join_committed(const struct qbd_join *join);

/**
 * qbd_join_look() - what is the device, and would it take us?
 * @join: all but the description and the id are set
 *
 * Nothing is asked to change. A client of our name that is not connected is no hindrance if we
 * want to be one: qbd_join_ask() has it taken out first. Return: 0, or -errno with one line.
 */
int qbd_join_look(struct qbd_join *join, struct qbd_error *error);

/**
 * qbd_join_ask() - have the leader add us
 * @join: after qbd_join_look()
 * @added: set if this failed and we may be in the list all the same: with the id in @join
 *	if that is not 0
 *
 * Return: 0: the list in @join's description has us, and is committed. Else -errno with
 * one line.
 */
int qbd_join_ask(struct qbd_join *join, bool *added, struct qbd_error *error);

#endif
