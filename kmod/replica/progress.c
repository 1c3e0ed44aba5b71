// SPDX-License-Identifier: GPL-2.0
/* How far members are that are filled by extents, for status and events. */
#include "internal.h"

/* What lies behind the range that is filled now has been filled before. */
static u64 done_here(const struct qbd_replica *replica)
{
	const struct qbd_fill_target *fill = &replica->fill;

	if (!qbd_replica_filling(replica))
		return fill->cursor;
	return fill->cursor + fill->extents_total - qbd_fill_range_end(replica);
}

void qbd_fill_report(const struct qbd_replica *replica, const struct qbd_replica_peer *peer,
		     struct qbd_fill_report *report)
{
	const struct qbd_fill_target *fill = &replica->fill;
	const struct qbd_fill_progress *progress = peer ? &peer->progress : &fill->progress;
	u32 shift = qbd_store_identity(replica->store)->extent_shift;

	report->done = peer ? progress->done : done_here(replica);
	report->total = peer ? progress->total : fill->extents_total;
	report->left = progress->left;
	report->rate = qbd_pace_speed(&progress->pace, replica->now);
	report->seconds_left = report->rate ?
		div64_u64(progress->left << shift, report->rate) : U64_MAX;
}

void qbd_fill_event(struct qbd_replica *replica, enum qbd_event_kind kind,
		    const struct qbd_replica_peer *peer, const char *text)
{
	struct qbd_fill_report report;

	qbd_fill_report(replica, peer, &report);
	qbd_replica_event_with(replica, kind, peer ? peer->id : 0, &report, "%s", text);
}
