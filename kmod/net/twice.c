// SPDX-License-Identifier: GPL-2.0
/*
 * Is a member up twice?
 *
 * A member that lost power and came up again may be here before its old connection is
 * known to be dead: that one says nothing any more, but for what was still on the way. Of two
 * copies of one disk, or two disks of one member, both go on talking; then the second is
 * refused, each time that it tries.
 */
#include <linux/jiffies.h>

#include "twice.h"

/**
 * qbd_twice_check() - a member connects that is connected already
 * @last: what is remembered of such tries
 * @run: of the one that comes; it has proved who it is
 * @connected: run of the one that is there
 * @heard_at: when that one was heard last, in jiffies
 *
 * Return: QBD_TWICE_NOT if it is the same run, or the one that is there was silent for long;
 *	QBD_TWICE_SURE if that one was heard later than could have been on the way since the
 *	first try; else QBD_TWICE_PERHAPS.
 */
enum qbd_twice qbd_twice_check(struct qbd_twice_try *last, u64 run, u64 connected,
			       unsigned long heard_at)
{
	if (run == connected || time_after(jiffies, heard_at + msecs_to_jiffies(QBD_ALIVE_MS)))
		return QBD_TWICE_NOT;
	/* What comes so late was not on the way. */
	if (last->run == run)
		return time_after(heard_at, last->at + msecs_to_jiffies(QBD_ALIVE_MS)) ?
		       QBD_TWICE_SURE : QBD_TWICE_PERHAPS;
	last->run = run;
	last->at = jiffies;
	return QBD_TWICE_PERHAPS;
}
