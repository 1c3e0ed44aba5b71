// SPDX-License-Identifier: GPL-2.0
/* How far members are that are filled by extents, or catch up by the log, for people. */
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
		     struct qbd_progress_report *report)
{
	const struct qbd_fill_target *fill = &replica->fill;
	const struct qbd_fill_progress *progress = peer ? &peer->progress : &fill->progress;
	u32 shift = qbd_store_identity(replica->store)->extent_shift;

	report->done = peer ? progress->done : done_here(replica);
	report->total = peer ? progress->total : fill->extents_total;
	report->left = progress->left;
	report->rate = qbd_pace_speed(&progress->pace, replica->now);
	report->seconds_left = qbd_pace_seconds(progress->left << shift, report->rate, 0);
}

void qbd_fill_event(struct qbd_replica *replica, enum qbd_event_kind kind,
		    const struct qbd_replica_peer *peer, const char *text)
{
	struct qbd_progress_report report;

	qbd_fill_report(replica, peer, &report);
	qbd_replica_event_with(replica, kind, peer ? peer->id : 0, &report, "%s", text);
}

/* ---- by the log ---------------------------------------------------------- */

#define TELL_EVERY_NS	NSEC_PER_SEC

/* What is written a second; long after the last write the pace still has a part of it. */
static u64 written_now(const struct qbd_replica *replica)
{
	if (replica->now - min(replica->now, replica->written.since) > 2 * NSEC_PER_SEC)
		return 0;
	return qbd_pace_speed(&replica->written, replica->now);
}

/* @report: zeroed, and left so if it does not. */
void qbd_catch_up_report(const struct qbd_replica *replica, const struct qbd_replica_peer *peer,
			 struct qbd_progress_report *report)
{
	const struct qbd_catch_up *catch_up = &peer->catch_up;
	struct qbd_peer_status status;

	if (!catch_up->begun ||
	    !qbd_core_get_peer(replica->core, replica->now, peer->id, &status))
		return;
	/* What is on its way to it may be lost, and is not there before it says so. */
	report->left = status.inflight +
		       qbd_store_log_bytes(replica->store, status.next, U64_MAX);
	report->done = catch_up->sent - min(catch_up->sent, status.inflight);
	report->total = report->done + report->left;
	report->rate = qbd_pace_speed(&catch_up->pace, replica->now);
	/* It gets what is written meanwhile as well. */
	report->seconds_left = qbd_pace_seconds(report->left, report->rate,
						written_now(replica));
}

static void tell(struct qbd_replica *replica, struct qbd_replica_peer *peer,
		 enum qbd_event_kind kind, const char *text)
{
	struct qbd_progress_report report = {};

	qbd_catch_up_report(replica, peer, &report);
	/* What was written since it was in step is not what it had missed. */
	if (kind == QBD_EVENT_CATCH_UP_DONE) {
		report.done = peer->catch_up.sent;
		report.total = report.done;
		report.left = 0;
		report.seconds_left = 0;
	}
	peer->catch_up.told_at = replica->now;
	peer->catch_up.told = true;
	qbd_replica_event_with(replica, kind, peer->id, &report, "%s", text);
}

/*
 * The log has passed it by, or did: who is filled has another progress. A leader that is new
 * may know that before it has been asked to fill it.
 */
static bool has_no_progress(struct qbd_replica *replica, const struct qbd_replica_peer *peer,
			    struct qbd_peer_status *status)
{
	return !qbd_core_get_peer(replica->core, replica->now, peer->id, status) ||
	       status->state == QBD_PEER_NEEDS_EXTENTS || status->flags & QBD_MESSAGE_FILLING;
}

/*
 * It is to be sent what others have had for long. Who is in step and behind by turns is not told of
 * at every turn.
 */
void qbd_catch_up_begin(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_catch_up *catch_up = &peer->catch_up;
	struct qbd_peer_status status;

	if (catch_up->begun || has_no_progress(replica, peer, &status))
		return;
	catch_up->begun = true;
	catch_up->told_at = catch_up->began_at;
	if (catch_up->began_at && replica->now < catch_up->began_at + TELL_EVERY_NS)
		return;
	catch_up->began_at = replica->now;
	tell(replica, peer, QBD_EVENT_CATCH_UP_PROGRESS, "begins");
}

/* Each pass, while it has begun. */
void qbd_catch_up_proceed(struct qbd_replica *replica, struct qbd_replica_peer *peer,
			  u64 commit)
{
	struct qbd_catch_up *catch_up = &peer->catch_up;
	struct qbd_peer_status status;

	if (has_no_progress(replica, peer, &status)) {
		qbd_catch_up_end(peer);
		return;
	}
	if (peer->behind)
		catch_up->until = 0;
	else if (!catch_up->until)
		catch_up->until = commit;
	if (catch_up->until && status.match >= catch_up->until) {
		/* An end of what nobody has heard of is none. */
		if (catch_up->told)
			tell(replica, peer, QBD_EVENT_CATCH_UP_DONE, "complete");
		qbd_catch_up_end(peer);
	} else if (replica->now >= catch_up->told_at + TELL_EVERY_NS) {
		tell(replica, peer, QBD_EVENT_CATCH_UP_PROGRESS, "goes on");
	}
}

void qbd_catch_up_end(struct qbd_replica_peer *peer)
{
	peer->catch_up = (struct qbd_catch_up){ .began_at = peer->catch_up.began_at };
}
