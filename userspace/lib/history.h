/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A majority is lost for good, and one disk goes on alone ('qbdadm recover').
 *
 * What the others acknowledged and this disk does not have is lost. They may be up somewhere,
 * with a majority, and go on; so from here on there are two histories of the device, and
 * members of different ones refuse each other.
 *
 * All of it is one state slot: the list, which is newer than any in the log, the history,
 * and a claim that is not beyond the log. So power may go at any moment: the disk is what it
 * was, or what it shall be.
 */
#ifndef QBD_LIB_HISTORY_H
#define QBD_LIB_HISTORY_H

#include "lib/inspect.h"

/**
 * struct qbd_new_history - what is on the disk, and what shall be
 * @inspection: of the disk
 * @log: of the disk
 * @members: the newest list that is on it
 * @place: of the record in the log that brought it, UINT64_MAX: the state block did
 * @state: what shall be
 * @applied: likewise
 */
struct qbd_new_history {
	struct qbd_inspection inspection;
	struct qbd_log_summary log;
	struct qbd_membership_layout members;
	uint64_t place;
	struct qbd_state state;
	struct qbd_applied_layout applied;
};

/**
 * qbd_new_history_plan() - can this disk go on alone, and with what?
 * @disk: of a member that is down
 * @name: of the device that it has to be a member of
 * @history: all of it is written
 * @error: on failure one line: why it cannot, and what would do
 *
 * Nothing on the disk is changed. A new history is drawn each time.
 *
 * Return: 0 or -errno.
 */
int qbd_new_history_plan(struct qbd_disk *disk, const char *name,
			 struct qbd_new_history *history, struct qbd_error *error);

/**
 * qbd_new_history_write() - so shall it be
 * @disk: planned for, and nobody has changed it since
 * @history: of qbd_new_history_plan()
 * @error: on failure one line
 *
 * If it fails the disk may be what it was, or what it shall be: what is planned anew says which.
 *
 * Return: 0, and it is on the disk for good, or -errno.
 */
int qbd_new_history_write(struct qbd_disk *disk, struct qbd_new_history *history,
			  struct qbd_error *error);

#endif
