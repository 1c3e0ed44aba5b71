/* SPDX-License-Identifier: GPL-2.0 */
#ifndef QBDADM_UP_H
#define QBDADM_UP_H

#include <stdbool.h>

#include "lib/client.h"

/* Bring a member up with default settings. Return: the exit status. */
int qbdadm_bring_up(const char *name, const char *disk, bool json);

/* Options of up and set that say how a device behaves; see settings.c. */
enum qbdadm_settings_option {
	QBDADM_ELECTION_TIMEOUT = 512,
	QBDADM_HEARTBEAT,
	QBDADM_NO_QUORUM,
	QBDADM_NO_QUORUM_GRACE,
	QBDADM_READ,
	QBDADM_WINDOW,
};

#define QBDADM_SETTINGS_HELP							\
"  --election-timeout MS     elections start MS to twice MS after the leader was\n" \
"                            last heard; 150 by default, the same on all members\n" \
"  --heartbeat MS            at most a third of that; 50 by default\n"		\
"  --no-quorum suspend|error what I/O does without a leader: wait (default) or fail\n" \
"  --no-quorum-grace MS      fail only after so long without one\n"		\
"  --read lease|quorum       how the leader makes sure that it leads when it reads:\n" \
"                            by its lease (default), or by asking a quorum\n"	\
"  --window SIZE             sent to a member and not acknowledged, at most\n"

/* 0, or -errno with the line if @text will not do for @option. */
int qbdadm_take_setting(int option, const char *text, struct qbd_settings_wish *wish,
			struct qbd_error *error);

#endif
