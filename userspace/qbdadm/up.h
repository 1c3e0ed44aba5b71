/* SPDX-License-Identifier: GPL-2.0 */
/* Bringing members up: what up, create, set and leader have in common. */
#ifndef QBDADM_UP_H
#define QBDADM_UP_H

#include <stdbool.h>

#include "lib/client.h"

/* up.c */

/*
 * Bring a member up as up does. @tolerant: if somebody else, udev's unit for one, has just
 * done it, that is as well. Return: the exit status.
 */
int qbdadm_bring_up(const char *name, const char *disk, bool tolerant, bool json);

/* wait.c */

/**
 * qbdadm_wait_leader() - until the device has a leader that a quorum is with
 * @listener: hears events since before @client was first asked: none is missed
 * @name: of the device
 * @seconds: how long
 * @until_up: also wait until it is up in the first place
 * @status: how it is then
 */
int qbdadm_wait_leader(struct qbd_client *client, struct qbd_client *listener,
		       const char *name, uint64_t seconds, bool until_up,
		       struct qbd_status *status, struct qbd_error *error);

/* settings.c: options of up and set, which are keys of NAME.conf, too */
enum qbdadm_settings_option {
	QBDADM_ELECTION_TIMEOUT = 512,
	QBDADM_HEARTBEAT,
	QBDADM_NO_QUORUM,
	QBDADM_NO_QUORUM_GRACE,
	QBDADM_READ,
	QBDADM_WINDOW,
	QBDADM_CLAIM_LEASE,
	QBDADM_LEADER_FOLLOWS,
	QBDADM_MAX_RATE,
	QBDADM_CHECKSUMS,
	QBDADM_MEMORY,		/* of up only */
};

#define QBDADM_SETTINGS_HELP							\
"  --election-timeout MS     elections start MS to twice MS after the leader was\n" \
"                            last heard; 150 by default, the same on all members\n" \
"  --heartbeat MS            at most a third of that; 50 by default\n"		\
"  --no-quorum suspend|error what I/O does without a leader: wait (default) or fail\n" \
"  --no-quorum-grace MS      fail only after so long without one\n"		\
"  --read lease|quorum       how the leader makes sure that it leads when it reads:\n" \
"                            by its lease (default), or by asking a quorum\n"	\
"  --window SIZE             sent to a member and not acknowledged, at most\n"	\
"  --claim-lease MS          a host that the leader did not hear for so long loses\n" \
"                            its claim to the next that asks; 5000 by default, and\n" \
"                            never less than two election timeouts\n"	\
"  --leader-follows yes|no   leadership goes to the host that has claimed the device\n" \
"                            (default), or stays where it is\n" \
"  --max-rate SIZE|none      sent in a second to members that catch up, at most;\n" \
"                            none by default: as much as leaves others alone; all\n" \
"                            members take it over from where it was set last\n" \
"  --checksums on|off        when this member is filled, compare what it has before\n" \
"                            data is sent; off by default\n"

/* 0, or -errno with the line if @text will not do for @option. */
int qbdadm_take_setting(int option, const char *text, struct qbd_settings_wish *wish,
			struct qbd_error *error);
int qbdadm_take_up_option(int option, const char *text, struct qbd_up_wish *wish,
			  struct qbd_error *error);

/* config.c */

#define QBDADM_CONFIG_DIRECTORY	"/etc/qbd"

/**
 * struct qbdadm_config - what NAME.conf says
 * @disk: the only disk that the member may be on, or NULL
 * @wish: settings; its disk is not used
 */
struct qbdadm_config {
	char *disk;
	struct qbd_up_wish wish;
};

/* Without a file there is nothing in it. */
int qbdadm_read_config(const char *directory, const char *name, struct qbdadm_config *config,
		       struct qbd_error *error);
void qbdadm_free_config(struct qbdadm_config *config);
/* @wish where it was given, else @config. */
void qbdadm_apply_config(const struct qbdadm_config *config, struct qbd_up_wish *wish);

#endif
