// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing a member up by extents, when the leader's log no longer reaches it. What the
 * leader does for it is in fill_source.c.
 *
 * Who is behind the start of the leader's log is sent RESET with an index that the
 * leader has applied. The follower writes its intent to disk, empties its log,
 * and goes on logging and applying what the leader sends after that index. At the
 * same time it asks, a few extents at a time, for all that changed since the index
 * its data was at.
 *
 * The one rule that makes it right: an extent must never be overwritten with
 * content that is older than what was applied to it. So apply is paused before
 * FILL is sent and goes on after the extents are written, and the leader, whose
 * commit index is at least the follower's, reads through its overlay: the content
 * of an extent is that of a commit index not below the follower's applied index.
 * Records up to that commit index that are applied afterwards write the same again,
 * in order (accident 45). The data is whole once everything up to the highest such
 * index is applied.
 *
 * Until then the member neither leads nor counts towards a commit.
 *
 * Who keeps no data (kind.c) has no extents: from IDLE it goes to FINISHING at once. A witness
 * that leads fills nobody, and resets only others that keep none.
 *
 *   step          waits for                         then
 *   RESETTING     intent durable                    IDLE
 *   IDLE          a leader and a connection to it;  pause apply, PAUSING
 *                 the rest after a round that was
 *                 given up, or ended by RESET
 *   PAUSING       no apply write under way          send FILL, ASKING
 *   ASKING        FILL_END, all pieces written      cursor to disk, ADVANCING; if it is
 *                                                   in the same extent: as after that
 *   ADVANCING     cursor durable                    resume apply, CATCHING_UP
 *   CATCHING_UP   applied what was committed; the   IDLE; after the last FILL:
 *                 last time: what the extents hold  FINISHING
 *   FINISHING     intent gone, durably              NONE
 *   ABORTING      pieces written (leader changed,   as at the end of a FILL that ends with
 *                 connection lost, no memory)       them; if there were none: resume apply,
 *                                                   IDLE
 *
 * Pieces come in order, and what was committed stays so: those that came are good, whatever
 * becomes of the leader, and nothing is sent twice. RESET (the log passes it by once more)
 * leaves what is filled, too: the fill goes on where it was, and then asks for what changed of
 * that since; which extents are asked for, and since when, is in ../store/fill_plan.h.
 *
 * A crash at any step leaves the intent on disk, with a cursor below which every
 * extent is filled; the member goes on from there.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "../store/layout.h"
#include "internal.h"

bool qbd_replica_filling(const struct qbd_replica *replica)
{
	return replica->fill.step != QBD_FILL_NONE;
}

/* ---- the leader's side -------------------------------------------------- */

/* How often RESET is said, and when again if it could not be. */
#define QBD_FILL_RESET_NS	(1ull * NSEC_PER_SEC)
#define QBD_FILL_RESET_AGAIN_NS	(100ull * NSEC_PER_MSEC)

/**
 * qbd_fill_send_reset() - tell a follower that the log does not reach it
 * @replica: replica, leader
 * @peer: the follower
 *
 * Said once a second until it shows by its answers that its log was reset. A witness that
 * leads has nothing to fill a member with that has data: its log and data must stay.
 */
void qbd_fill_send_reset(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	u64 index = qbd_store_applied_index(replica->store);
	struct qbd_net_frame frame = { .type = QBD_FRAME_RESET };
	struct qbd_frame_reset *reset;
	bool sent = false;

	if (!peer->up || (!qbd_replica_keeps_data(replica) &&
			  qbd_member_keeps_data(replica, peer->id)))
		return;
	if (peer->reset_sent && replica->now < peer->reset_at_ns + QBD_FILL_RESET_NS) {
		qbd_replica_later(replica, peer->reset_at_ns + QBD_FILL_RESET_NS);
		return;
	}
	reset = kzalloc(sizeof(*reset), GFP_NOWAIT | __GFP_NOWARN);
	if (reset) {
		reset->leader_term = cpu_to_le64(replica->told_term);
		reset->index = cpu_to_le64(index);
		reset->term = cpu_to_le64(qbd_core_term_at(replica->core, index));
		reset->chain = cpu_to_le32(qbd_store_chain(replica->store, index));
		reset->device_blocks =
			cpu_to_le64(qbd_store_identity(replica->store)->device_blocks);
		/* The newest that is committed; the core takes a later one than @index. */
		reset->membership = replica->configs[0].layout;
		qbd_replica_applied_state(replica, index, &reset->applied);
		qbd_store_say_data(replica->store, index, &reset->applied);
		frame.fixed = reset;
		frame.fixed_bytes = sizeof(*reset);
		sent = !qbd_net_send(replica->network, peer->id, &frame);
		if (sent) {
			qbd_net_push(replica->network, peer->id);
			qbd_notice(replica, "member %u is behind the log, which begins at %llu; %s",
				   peer->id, qbd_store_first_index(replica->store),
				   qbd_member_keeps_data(replica, peer->id) ?
				   "it will be filled by extents" :
				   "it keeps no data, and its log begins anew");
		}
		kfree(reset);
	}
	/* The queue may be full of extents that the follower has given up. */
	if (!sent) {
		qbd_replica_later(replica, replica->now + QBD_FILL_RESET_AGAIN_NS);
		return;
	}
	peer->reset_sent = true;
	peer->reset_at_ns = replica->now;
	qbd_replica_later(replica, replica->now + QBD_FILL_RESET_NS);
}

/* ---- the follower's side ------------------------------------------------ */

/* Pieces come one after the other: silence for so long means that none will. */
#define QBD_FILL_ANSWER_NS	(60ull * NSEC_PER_SEC)

/*
 * RESET came amidst a round: the next round is not begun before it is said again.
 *
 *	A member that was being filled slowly was passed by once more. Each RESET met a round,
 *	and ended it; the next one had begun 50 ms later. So it was filled to the end with
 *	what it then had to be sent anew, and had no log meanwhile.
 */
#define QBD_FILL_RESET_REST_NS	(3 * QBD_FILL_RESET_NS)

/* No more of this round is taken. */
static void abort_round(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;

	if (fill->step != QBD_FILL_ASKING && fill->step != QBD_FILL_PAUSING)
		return;
	fill->last = false;
	fill->not_before = replica->now + 50 * NSEC_PER_MSEC;
	fill->step = QBD_FILL_ABORTING;
}

/* Would anything be given back if apply went on? */
static bool something_to_apply(struct qbd_replica *replica)
{
	struct qbd_core_status status;

	qbd_core_get_status(replica->core, replica->now, &status);
	return qbd_store_applied_index(replica->store) < min(status.commit, status.durable);
}

/*
 * While apply is paused nothing gives memory or log space back, and records keep
 * coming. If they took the last of it the extents behind them in the connection
 * would never be read.
 *
 * But what is not committed is given back by nobody here, and may be committed only
 * when this member is filled: then the rest has to do.
 *
 *	1 led, 2 had failed, 3 was to be filled. What 1 had proposed took more than half
 *	of 3's memory, and 3 waited for that to become less.
 */
static bool running_short(struct qbd_replica *replica)
{
	return (qbd_pool_pages_free(replica->pool) < qbd_pool_pages(replica->pool) / 4 ||
		replica->held_count) && something_to_apply(replica);
}

/* Rested, and applied enough to pause again? */
static bool may_begin_round(struct qbd_replica *replica)
{
	if (replica->now < replica->fill.not_before) {
		qbd_replica_later(replica, replica->fill.not_before);
		return false;
	}
	return (qbd_pool_pages_free(replica->pool) >= qbd_pool_pages(replica->pool) / 2 &&
		!replica->held_count) || !something_to_apply(replica);
}

/*
 * The list that a reset leaves in force: the leader's, unless the one that this member begins
 * with is newer. That one is committed, but a leader that has just come up may not know.
 *
 *	the list of entry 163 adds this member, which makes its disk of that; all lose power.
 *	The new leader knows of a commit index of 152 and of an older list, and its log does
 *	not reach this member. With the older list it took itself for removed, for good.
 */
static const struct qbd_membership_layout *
list_after_reset(const struct qbd_replica *replica, const struct qbd_frame_reset *reset)
{
	return replica->configs[0].index > le64_to_cpu(reset->membership.index) ?
	       &replica->configs[0].layout : &reset->membership;
}

/*
 * Does the leader have data, by the list that it sends?
 *
 *	A list that was lost gave the id to a client. The one that has it now leads, and sends
 *	its log anew; who still has the lost list took it for a client that cannot do that.
 *
 * A leader that joined behind that list sends what it has, as all of them do.
 */
static bool sender_has_data(const struct qbd_frame_reset *reset, u32 peer)
{
	const struct qbd_member_layout *member = qbd_membership_find(&reset->membership, peer);

	return !member || qbd_flags_keep_data(le16_to_cpu(member->flags));
}

/* The leader's log does not reach this member. */
void qbd_fill_reset(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_reset *reset)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_core_status status;
	const char *reason;

	qbd_core_get_status(replica->core, replica->now, &status);
	if (replica->store_failed || replica->phase != QBD_PHASE_RUNNING ||
	    peer != replica->told_leader ||
	    le64_to_cpu(reset->leader_term) != replica->told_term ||
	    /* What the core knows of the log is to go. */
	    fill->step == QBD_FILL_RESETTING)
		return;		/* late; it is said again in a second */
	if (qbd_core_reset_offered(replica->core, replica->now, peer,
				   le64_to_cpu(reset->leader_term),
				   le64_to_cpu(reset->index), le64_to_cpu(reset->term)))
		return;		/* needless; the answer says so */
	if (!qbd_core_may_reset(replica->core, le64_to_cpu(reset->index),
				le64_to_cpu(reset->term)))
		return;		/* late; heartbeats say how far this log goes */
	if (qbd_layout_check(&reset->membership, &reason) ||
	    !qbd_applied_good(&reset->applied, &reason)) {
		qbd_net_disconnect(replica->network, peer, reason);
		return;
	}
	if (le64_to_cpu(reset->applied.without_data) > le64_to_cpu(reset->index)) {
		qbd_net_disconnect(replica->network, peer, "entries without data that make no sense");
		return;
	}
	if (!sender_has_data(reset, peer) && qbd_replica_keeps_data(replica)) {
		qbd_net_disconnect(replica->network, peer, "a witness has no data to fill a member with");
		return;
	}
	/* Newer than what this leader said it has: it is said again in a second. */
	if (!qbd_core_may_reset_config(replica->core, le64_to_cpu(reset->index),
				       le64_to_cpu(reset->membership.index)))
		return;
	/* First its disk has to be as large as the device is at that index. */
	if (!qbd_resize_fits(replica, le64_to_cpu(reset->device_blocks)) ||
	    !qbd_store_grow(replica->store, le64_to_cpu(reset->device_blocks)))
		return;		/* it is said again in a second */
	abort_round(replica);
	/*
	 * Nothing of the filling is under way in these. While it catches up the
	 * leader's log may pass it by once more, and then only a reset helps.
	 */
	if (fill->step != QBD_FILL_NONE && fill->step != QBD_FILL_IDLE &&
	    fill->step != QBD_FILL_CATCHING_UP) {
		fill->not_before = replica->now + QBD_FILL_RESET_REST_NS;
		return;		/* it is said again in a second */
	}
	if (fill->step == QBD_FILL_NONE) {
		fill->through_index = 0;
		memset(&fill->progress, 0, sizeof(fill->progress));
	}
	fill->step = QBD_FILL_RESETTING;
	fill->not_before = replica->now;
	fill->start_index = le64_to_cpu(reset->index);
	fill->start_term = le64_to_cpu(reset->term);
	fill->block = 0;
	fill->next_block = 0;
	fill->last = false;
	fill->through_index = max(fill->through_index, fill->start_index);
	fill->extents_total = qbd_store_identity(replica->store)->extent_count;
	fill->membership = *list_after_reset(replica, reset);
	fill->applied = reset->applied;
	qbd_replica_update_fitness(replica);
	qbd_append_drop_held(replica, 0);
	qbd_write_truncated(replica, status.commit + 1);
	qbd_notice(replica, "the leader's log no longer reaches this member (at %llu): %s",
		   status.last, qbd_replica_keeps_data(replica) ?
		   "what changed is copied" : "its log begins anew");
	qbd_store_reset(replica->store, fill->start_index, fill->start_term,
			le32_to_cpu(reset->chain), &fill->membership, &reset->applied);
}

void qbd_fill_reset_durable(struct qbd_replica *replica, u64 index)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_config config;

	/* Going down: nobody is filled, and there is no network to be told. */
	if (replica->phase >= QBD_PHASE_STOPPING)
		return;
	if (WARN_ON_ONCE(fill->step != QBD_FILL_RESETTING || index != fill->start_index))
		return;
	fill->log_kept = false;
	qbd_config_from_layout(&config, &fill->membership);
	if (!qbd_core_log_reset(replica->core, replica->now, index, fill->start_term,
				&config, le64_to_cpu(fill->membership.index))) {
		/* Excluded when the reset was taken: nothing committed since. */
		qbd_replica_stop_vouching(replica, "log was reset below a committed entry");
		return;
	}
	qbd_replica_applied_restore(replica, index, &fill->applied);
	replica->config_count = 1;
	replica->configs[0].index = le64_to_cpu(fill->membership.index);
	replica->configs[0].layout = fill->membership;
	if (replica->damaged && replica->damaged_through <= index) {
		replica->damaged = false;
		qbd_store_repaired(replica->store);
	}
	fill->cursor = qbd_store_fill_cursor(replica->store);
	fill->next_cursor = fill->cursor;
	fill->step = QBD_FILL_IDLE;
	qbd_replica_apply_config(replica);
	qbd_replica_update_fitness(replica);
	qbd_fill_event(replica, QBD_EVENT_FILL_PROGRESS, NULL,
		       fill->cursor ? "is resumed" : "begins");
}

/*
 * An extent is not what it is at the leader. Those before it are, which came in order; the
 * next round gets it.
 */
void qbd_fill_differs(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;

	abort_round(replica);
	fill->not_before = replica->now;
	fill->differs = true;
	fill->check_extents = 1;
}

static void ask(struct qbd_replica *replica)
{
	const struct qbd_fill_plan *plan = qbd_store_fill_plan(replica->store);
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_frame_fill request = {
		.request = cpu_to_le64(++fill->request),
		.leader_term = cpu_to_le64(replica->told_term),
		.start_index = cpu_to_le64(fill->start_index),
		.base_index = cpu_to_le64(plan->base),
		.first_extent = cpu_to_le64(fill->cursor),
		.first_block = cpu_to_le32(fill->block),
		.count = cpu_to_le32(QBD_FILL_EXTENTS_MAX),
		/* Too large a one is as good as none: clamp_cursor() sees to it. */
		.end_extent = cpu_to_le32(plan->end <= U32_MAX ? plan->end : 0),
	};

	/* Within an extent it is known already that it differs. */
	fill->checking = replica->settings.checksums && !fill->differs && !fill->block;
	if (fill->checking) {
		fill->check_extents = clamp(fill->check_extents, 1u, QBD_FILL_EXTENTS_MAX);
		request.flags = cpu_to_le32(QBD_FILL_CHECK);
		request.count = cpu_to_le32(fill->check_extents);
	} else if (replica->settings.checksums) {
		request.count = cpu_to_le32(1);
	}

	fill->leader = replica->told_leader;
	fill->leader_term = replica->told_term;
	fill->ended = false;
	fill->last = false;
	fill->check_next = fill->cursor;
	fill->step = QBD_FILL_ASKING;
	fill->answer_by = replica->now + QBD_FILL_ANSWER_NS;
	if (!qbd_net_send_fill(replica->network, fill->leader, &request))
		abort_round(replica);
}

/*
 * What a leader sends is as of a commit index of its own. Whole is this member only when it has
 * applied that much; see qbd_core_told_committed() for who says so if that leader does not.
 *
 *	1 sent 2 the last extents as of 2590 and was lost. 3 had all up to 2594 and knew that
 *	2588 was committed. It could commit nothing, for 2 did not count yet, and 2 was not
 *	filled, for nobody said that 2590 was committed.
 */
static void reaches_to(struct qbd_replica *replica, u64 index)
{
	struct qbd_fill_target *fill = &replica->fill;

	fill->through_index = max(fill->through_index, index);
	qbd_core_told_committed(replica->core, replica->now, fill->through_index);
}

static u32 extent_blocks(const struct qbd_replica *replica)
{
	return 1u << (qbd_store_identity(replica->store)->extent_shift - QBD_BLOCK_SHIFT);
}

static u64 extent_of(const struct qbd_replica *replica, u64 block)
{
	return block >> (qbd_store_identity(replica->store)->extent_shift - QBD_BLOCK_SHIFT);
}

/* Does it lie before what came already, or what was asked for? */
static bool goes_back(const struct qbd_fill_target *fill, u64 extent, u32 block)
{
	return extent < fill->next_cursor ||
	       (extent == fill->next_cursor && block < fill->next_block);
}

/* Extents of the range that is filled now end here. */
u64 qbd_fill_range_end(const struct qbd_replica *replica)
{
	return min(replica->fill.extents_total, qbd_store_fill_plan(replica->store)->end);
}

/*
 * A leader that has grown already, as this member has not, sends what is beyond the end
 * here, too. That comes from the log, where it lies behind the RESIZE. And what is beyond the
 * range is filled.
 */
static void clamp_cursor(const struct qbd_replica *replica, u64 *extent, u32 *block)
{
	if (*extent < qbd_fill_range_end(replica))
		return;
	*extent = qbd_fill_range_end(replica);
	*block = 0;
}

/* The piece is in its extent, behind those before it; then it reaches to its end. */
static bool take_order(struct qbd_replica *replica, const struct qbd_frame_extent *piece)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 extent = le64_to_cpu(piece->extent);
	u32 count = le32_to_cpu(piece->count);
	u32 blocks = extent_blocks(replica);
	u32 block = le64_to_cpu(piece->block) & (blocks - 1);

	if (extent != extent_of(replica, le64_to_cpu(piece->block)) ||
	    count > blocks - block || goes_back(fill, extent, block))
		return false;
	block += count;
	if (block == blocks || le32_to_cpu(piece->flags) & QBD_EXTENT_LAST_PIECE) {
		extent++;
		block = 0;
	}
	clamp_cursor(replica, &extent, &block);
	fill->next_cursor = extent;
	fill->next_block = block;
	return true;
}

/* It is that of a whole extent, behind those before it. */
static bool take_digest(struct qbd_replica *replica, const struct qbd_frame_extent *piece)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 extent = le64_to_cpu(piece->extent);
	u64 block = le64_to_cpu(piece->block);
	u32 blocks = extent_blocks(replica);

	if (extent < fill->check_next || block & (blocks - 1) ||
	    extent != extent_of(replica, block) || le32_to_cpu(piece->count) > blocks)
		return false;
	fill->check_next = min(extent + 1, qbd_fill_range_end(replica));
	return true;
}

/* The last extent of who has grown, and of who has not, are not compared: data is sent. */
static void check(struct qbd_replica *replica, const struct qbd_frame_extent *frame)
{
	u64 left = qbd_store_identity(replica->store)->device_blocks -
		   le64_to_cpu(frame->block);

	if (le32_to_cpu(frame->count) != min_t(u64, left, extent_blocks(replica)))
		qbd_fill_differs(replica);
	else if (!qbd_check_begin(replica, frame))
		abort_round(replica);
}

/* A piece has come. @data is ours until it is written. */
void qbd_fill_extent(struct qbd_replica *replica, u32 peer,
		     const struct qbd_frame_extent *extent, struct qbd_buffer *data)
{
	u64 blocks = qbd_store_identity(replica->store)->device_blocks;
	struct qbd_fill_target *fill = &replica->fill;
	u64 block = le64_to_cpu(extent->block);
	u64 index = le64_to_cpu(extent->index);
	bool zero = le32_to_cpu(extent->flags) & QBD_EXTENT_ZERO;
	bool digest = le32_to_cpu(extent->flags) & QBD_EXTENT_DIGEST;

	if (fill->step != QBD_FILL_ASKING || peer != fill->leader ||
	    le64_to_cpu(extent->request) != fill->request)
		goto drop;
	/* Older than what is applied here: the one thing that must never land. */
	if (index < qbd_store_applied_index(replica->store) || (!zero && !data && !digest)) {
		abort_round(replica);
		goto drop;
	}
	/* All that a FILL asks for fits: this is no answer to one. */
	if (fill->writes == QBD_STORE_FILL_WRITES_MAX || fill->checking != digest ||
	    !(digest ? take_digest(replica, extent) : take_order(replica, extent))) {
		qbd_net_disconnect(replica->network, peer,
				   "extents that were not asked for");
		goto drop;
	}
	qbd_pace_add(&fill->progress.pace, replica->now,
		     (u64)le32_to_cpu(extent->count) << QBD_BLOCK_SHIFT);
	reaches_to(replica, index);
	fill->answer_by = replica->now + QBD_FILL_ANSWER_NS;
	if (block >= blocks)
		goto drop;	/* see clamp_cursor() */
	if (digest) {
		check(replica, extent);
		return;
	}
	fill->writes++;
	qbd_store_fill_write(replica->store, block,
			     min_t(u64, le32_to_cpu(extent->count), blocks - block),
			     data ? data->pages : NULL, index, data);
	return;
drop:
	if (data)
		qbd_buffer_free(data);
}

void qbd_fill_written(struct qbd_replica *replica, void *cookie, int error)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_buffer *data = cookie;

	if (data)
		qbd_buffer_free(data);
	fill->writes--;
	if (error) {
		/* The store reports its failure itself. */
		abort_round(replica);
		fill->next_cursor = fill->cursor;
		fill->next_block = fill->block;
	}
	qbd_fill_proceed(replica);
}

void qbd_fill_end(struct qbd_replica *replica, u32 peer,
		  const struct qbd_frame_fill_end *end)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 next = le64_to_cpu(end->next_extent);
	u32 block = le32_to_cpu(end->next_block);

	if (fill->step != QBD_FILL_ASKING || peer != fill->leader ||
	    le64_to_cpu(end->request) != fill->request)
		return;
	clamp_cursor(replica, &next, &block);
	if (goes_back(fill, next, block) || block >= extent_blocks(replica) ||
	    (fill->checking && (block || next < fill->check_next))) {
		qbd_net_disconnect(replica->network, peer, "malformed end of extents");
		return;
	}
	fill->ended = true;
	fill->last = le32_to_cpu(end->flags) & QBD_FILL_DONE ||
		     next == qbd_store_fill_plan(replica->store)->end;
	fill->end_cursor = next;
	fill->end_block = block;
	if (!fill->checking)
		fill->differs = false;
	fill->progress.left = le64_to_cpu(end->extents_left);
	reaches_to(replica, le64_to_cpu(end->index));
	qbd_fill_proceed(replica);
}

/* The cursor is where the pieces reach to: on with the log. */
static void resume_apply(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_fill_progress *progress = &fill->progress;
	struct qbd_core_status status;

	/* As it is now: under steady writes the newest is never reached. */
	qbd_core_get_status(replica->core, replica->now, &status);
	fill->catch_up_index = status.commit;
	fill->cursor = fill->next_cursor;
	fill->block = fill->next_block;
	qbd_store_apply_pause(replica->store, false);
	fill->step = QBD_FILL_CATCHING_UP;
	if (fill->cursor - progress->told_at >= fill->extents_total / 64 + 1) {
		progress->told_at = fill->cursor;
		qbd_fill_event(replica, QBD_EVENT_FILL_PROGRESS, NULL, "goes on");
	}
}

/*
 * All pieces are written. Within an extent there is nothing to be said on disk: after a
 * restart it is filled from its beginning.
 */
static void advance(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;

	if (fill->last && qbd_store_fill_next_range(replica->store, fill->through_index)) {
		fill->next_cursor = 0;
		fill->next_block = 0;
		fill->last = false;
		fill->progress.told_at = 0;
		fill->step = QBD_FILL_ADVANCING;
		return;
	}
	if (fill->next_cursor == fill->cursor && !fill->last) {
		resume_apply(replica);
		return;
	}
	fill->step = QBD_FILL_ADVANCING;
	qbd_store_fill_advance(replica->store, fill->next_cursor, fill->through_index);
}

void qbd_fill_durable(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;

	if (fill->step == QBD_FILL_ADVANCING) {
		resume_apply(replica);
	} else if (fill->step == QBD_FILL_FINISHING) {
		fill->step = QBD_FILL_NONE;
		fill->log_kept = false;
		qbd_notice(replica, "%s %llu", qbd_replica_keeps_data(replica) ?
			   "filled: the data is complete up to" :
			   "the log is whole from here on:",
			   qbd_store_applied_index(replica->store));
		qbd_fill_event(replica, QBD_EVENT_FILL_DONE, NULL, "complete");
		memset(&fill->progress, 0, sizeof(fill->progress));
		qbd_replica_update_fitness(replica);
	}
	qbd_fill_proceed(replica);
}

static bool leader_to_ask(struct qbd_replica *replica)
{
	return qbd_replica_serving(replica) && replica->told_leader != replica->member_id &&
	       qbd_net_peer_up(replica->network, replica->told_leader);
}

/*
 * All is here, and perhaps more than is known to be committed:
 *
 *	3 had applied entry 156 and lost power. When it was back its log said that 146 was
 *	committed; it led, and filled 6, which was complete as of 146 and held 156. As of 146
 *	it was said to differ.
 *
 * What the leader had applied before it led is in its log, and of earlier terms.
 */
static void finish_with_data(struct qbd_replica *replica)
{
	qbd_store_data_reaches(replica->store, replica->core->leader_last,
			       replica->told_term - 1);
	replica->fill.step = QBD_FILL_FINISHING;
	qbd_store_fill_finish(replica->store);
}

/* The table above: go on as far as it goes. */
void qbd_fill_proceed(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 applied = qbd_store_applied_index(replica->store);

	if (replica->store_failed || replica->phase != QBD_PHASE_RUNNING)
		return;
	if ((fill->step == QBD_FILL_ASKING || fill->step == QBD_FILL_PAUSING) &&
	    (!leader_to_ask(replica) ||
	     (fill->step == QBD_FILL_ASKING &&
	      (fill->leader != replica->told_leader ||
	       fill->leader_term != replica->told_term)) ||
	     running_short(replica)))
		abort_round(replica);
	if (fill->step == QBD_FILL_ASKING && !fill->ended) {
		if (replica->now >= fill->answer_by)
			abort_round(replica);
		else
			qbd_replica_later(replica, fill->answer_by);
	}
	if (!qbd_check_go_on(replica))
		qbd_replica_later(replica, replica->now + 10 * NSEC_PER_MSEC);
	switch (fill->step) {
	case QBD_FILL_IDLE:
		if (!qbd_replica_keeps_data(replica)) {
			fill->step = QBD_FILL_FINISHING;
			qbd_store_fill_finish(replica->store);
			return;
		}
		if (!leader_to_ask(replica) || !may_begin_round(replica))
			return;
		fill->next_cursor = fill->cursor;
		fill->next_block = fill->block;
		qbd_store_apply_pause(replica->store, true);
		fill->step = QBD_FILL_PAUSING;
		fallthrough;
	case QBD_FILL_PAUSING:
		if (qbd_store_apply_idle(replica->store))
			ask(replica);
		return;
	case QBD_FILL_ASKING:
		if (!fill->ended || fill->writes)
			return;
		fill->next_cursor = fill->end_cursor;
		fill->next_block = fill->end_block;
		if (fill->checking)
			fill->check_extents *= 2;
		advance(replica);
		return;
	case QBD_FILL_ABORTING:
		if (fill->writes)
			return;
		if (fill->next_cursor != fill->cursor || fill->next_block != fill->block) {
			advance(replica);
			return;
		}
		qbd_store_apply_pause(replica->store, false);
		fill->step = QBD_FILL_IDLE;
		qbd_replica_later(replica, fill->not_before);
		return;
	case QBD_FILL_CATCHING_UP:
		if (applied < fill->catch_up_index)
			return;
		if (!fill->last) {
			fill->step = QBD_FILL_IDLE;
			qbd_replica_kick(replica);
			return;
		}
		if (applied < fill->through_index)
			return;
		finish_with_data(replica);
		return;
	case QBD_FILL_NONE:
	case QBD_FILL_RESETTING:
	case QBD_FILL_ADVANCING:
	case QBD_FILL_FINISHING:
		return;
	}
}
