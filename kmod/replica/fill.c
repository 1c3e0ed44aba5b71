// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing a member up by extents, when the leader's log no longer reaches it.
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
 *   step          waits for                         then
 *   RESETTING     intent durable                    IDLE
 *   IDLE          a leader and a connection to it   pause apply, PAUSING
 *   PAUSING       no apply write under way          send FILL, ASKING
 *   ASKING        FILL_END, all pieces written      cursor to disk, ADVANCING
 *   ADVANCING     cursor durable                    resume apply, CATCHING_UP
 *   CATCHING_UP   applied what was committed; the   IDLE; after the last FILL:
 *                 last time: what the extents hold  FINISHING
 *   FINISHING     intent gone, durably              NONE
 *   ABORTING      pieces written (leader changed,   resume apply, IDLE
 *                 connection lost, no memory)
 *
 * A crash at any step leaves the intent on disk, with a cursor below which every
 * extent is filled; the member goes on from there.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

bool qbd_replica_filling(const struct qbd_replica *replica)
{
	return replica->fill.step != QBD_FILL_NONE;
}

/* ---- the leader's side -------------------------------------------------- */

/**
 * struct fill_piece - one read for a follower
 * @list: in qbd_replica.pieces when it is ready to be sent
 * @read: at the store
 * @replica: whose
 * @peer: for whom
 * @generation: see struct qbd_fill_source
 * @frame: what will be sent with it
 * @data: what is read; NULL once it is known to be zero or was sent
 * @bvecs: a page of them
 */
struct fill_piece {
	struct list_head list;
	struct qbd_store_read read;
	struct qbd_replica *replica;
	u32 peer;
	u64 generation;
	struct qbd_frame_extent frame;
	struct qbd_buffer *data;
	struct bio_vec *bvecs;
};

/**
 * qbd_fill_send_reset() - tell a follower that the log does not reach it
 * @replica: replica, leader
 * @peer: the follower
 *
 * Said once a second until it shows by its answers that its log was reset.
 */
void qbd_fill_send_reset(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	u64 index = qbd_store_applied_index(replica->store);
	struct qbd_net_frame frame = { .type = QBD_FRAME_RESET };
	struct qbd_frame_reset *reset;

	if (!peer->up || (peer->reset_sent &&
			  replica->now < peer->reset_at_ns + NSEC_PER_SEC))
		return;
	reset = kzalloc(sizeof(*reset), GFP_NOWAIT | __GFP_NOWARN);
	if (reset) {
		reset->leader_term = cpu_to_le64(replica->told_term);
		reset->index = cpu_to_le64(index);
		reset->term = cpu_to_le64(qbd_core_term_at(replica->core, index));
		reset->chain = cpu_to_le32(qbd_store_chain(replica->store, index));
		/* The newest that is committed; the core takes a later one than @index. */
		reset->membership = replica->configs[0].layout;
		frame.fixed = reset;
		frame.fixed_bytes = sizeof(*reset);
		if (!qbd_net_send(replica->network, peer->id, &frame)) {
			qbd_net_push(replica->network, peer->id);
			qbd_notice(replica, "member %u is behind the log, which begins at %llu; it will be filled by extents",
				   peer->id, qbd_store_first_index(replica->store));
		}
		kfree(reset);
	}
	peer->reset_sent = true;
	peer->reset_at_ns = replica->now;
	qbd_replica_later(replica, replica->now + NSEC_PER_SEC);
}

static void piece_free(struct fill_piece *piece)
{
	if (piece->data)
		qbd_buffer_free(piece->data);
	mempool_free(virt_to_page(piece->bvecs), piece->replica->bvec_pages);
	kfree(piece);
}

static bool all_zero(const struct qbd_buffer *data)
{
	unsigned int i;

	for (i = 0; i < data->blocks; i++)
		if (memchr_inv(page_address(data->pages[i]), 0, QBD_BLOCK_SIZE))
			return false;
	return true;
}

static void piece_read(struct qbd_store_read *read)
{
	struct fill_piece *piece = container_of(read, struct fill_piece, read);
	struct qbd_replica *replica = piece->replica;
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, piece->peer);

	if (!peer || peer->fill.generation != piece->generation) {
		piece_free(piece);
		return;
	}
	if (read->error) {
		/* It asks again, whoever leads then. */
		qbd_fill_peer_gone(replica, peer);
		qbd_verify_mend(replica, read->block, read->count);
		qbd_replica_cannot_read(replica, "the disk failed a read of extent %llu (error %d)",
					le64_to_cpu(piece->frame.extent), read->error);
		piece_free(piece);
		return;
	}
	if (all_zero(piece->data)) {
		piece->frame.flags |= cpu_to_le32(QBD_EXTENT_ZERO);
		qbd_buffer_free(piece->data);
		piece->data = NULL;
	}
	list_add_tail(&piece->list, &replica->pieces);
}

/* Read one piece. Return: false if there is no memory for it now. */
static bool piece_begin(struct qbd_replica *replica, struct qbd_replica_peer *peer,
			u64 block, u32 count, bool last)
{
	struct qbd_fill_source *fill = &peer->fill;
	struct qbd_core_status status;
	struct fill_piece *piece;
	struct page *page;
	u32 i;

	piece = kzalloc(sizeof(*piece), GFP_NOWAIT | __GFP_NOWARN);
	page = mempool_alloc(replica->bvec_pages, GFP_NOWAIT | __GFP_NOWARN);
	if (piece && page)
		piece->data = qbd_buffer_alloc(replica->pool, QBD_POOL_APPEND, count);
	if (!piece || !page || !piece->data) {
		if (page)
			mempool_free(page, replica->bvec_pages);
		kfree(piece);
		qbd_replica_later(replica, replica->now + 10 * NSEC_PER_MSEC);
		return false;
	}
	qbd_core_get_status(replica->core, replica->now, &status);
	piece->replica = replica;
	piece->peer = peer->id;
	piece->generation = fill->generation;
	piece->bvecs = page_address(page);
	piece->frame.request = fill->request.request;
	piece->frame.extent = cpu_to_le64(fill->extent);
	piece->frame.index = cpu_to_le64(status.commit);
	piece->frame.block = cpu_to_le64(block);
	piece->frame.count = cpu_to_le32(count);
	piece->frame.flags = cpu_to_le32(last ? QBD_EXTENT_LAST_PIECE : 0);
	for (i = 0; i < count; i++)
		bvec_set_page(&piece->bvecs[i], piece->data->pages[i], QBD_BLOCK_SIZE, 0);
	piece->read.block = block;
	piece->read.count = count;
	piece->read.bvecs = piece->bvecs;
	piece->read.bvec_count = count;
	piece->read.done = piece_read;
	fill->index = max(fill->index, status.commit);
	fill->reads++;
	qbd_store_read(replica->store, &piece->read);
	return true;
}

/* Send what is ready, in any order; false if the queue to that peer is full. */
static void pieces_send(struct qbd_replica *replica)
{
	struct fill_piece *piece, *next;

	list_for_each_entry_safe(piece, next, &replica->pieces, list) {
		struct qbd_replica_peer *peer = qbd_replica_peer(replica, piece->peer);
		struct qbd_net_frame frame = {
			.type = QBD_FRAME_EXTENT,
			.fixed = &piece->frame,
			.fixed_bytes = sizeof(piece->frame),
			.buffer = piece->data,
			.data_blocks = piece->data ? piece->data->blocks : 0,
		};

		if (peer && peer->fill.generation == piece->generation) {
			if (qbd_net_send(replica->network, peer->id, &frame))
				continue;
			qbd_net_push(replica->network, peer->id);
			piece->data = NULL;
			peer->fill.reads--;
		}
		list_del(&piece->list);
		piece_free(piece);
	}
}

/* The replica ends: what was read for followers is for nobody. */
void qbd_fill_drop_pieces(struct qbd_replica *replica)
{
	struct fill_piece *piece, *next;

	list_for_each_entry_safe(piece, next, &replica->pieces, list) {
		list_del(&piece->list);
		piece_free(piece);
	}
}

static void send_end(struct qbd_replica *replica, struct qbd_replica_peer *peer, bool done)
{
	struct qbd_fill_source *fill = &peer->fill;
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	struct qbd_frame_fill_end end = {
		.request = fill->request.request,
		.first_extent = fill->request.first_extent,
		.next_extent = cpu_to_le64(done ? identity->extent_count : fill->next),
		.extents_total = cpu_to_le64(identity->extent_count),
		.index = cpu_to_le64(fill->index),
		.flags = cpu_to_le32(done ? QBD_FILL_DONE : 0),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_FILL_END,
		.fixed = &end,
		.fixed_bytes = sizeof(end),
	};

	if (qbd_net_send(replica->network, peer->id, &frame))
		return;		/* the network kicks when there is room */
	qbd_net_push(replica->network, peer->id);
	fill->asked = false;
}

/* Go on to the next extent. Return: false if this FILL needs no more of them. */
static bool next_extent(struct qbd_replica *replica, struct qbd_fill_source *fill,
			bool *done)
{
	u64 extent;

	*done = false;
	extent = qbd_store_changed_extent(replica->store, fill->next,
					  le64_to_cpu(fill->request.base_index));
	if (extent == U64_MAX) {
		*done = true;
		return false;
	}
	if (fill->sent == le32_to_cpu(fill->request.count))
		return false;
	fill->extent = extent;
	fill->block = 0;
	fill->next = extent + 1;
	fill->sent++;
	return true;
}

/**
 * qbd_fill_serve() - go on answering a follower's FILL
 * @replica: replica
 * @peer: the follower
 *
 * Only once it has applied what the follower's log begins after. No lease is
 * needed: the follower asks who leads its own term, and drops what is older than
 * what it has applied. And the lease must not be needed: with another member gone, a
 * new leader may be unable to commit anything before this follower is filled.
 */
void qbd_fill_serve(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	u64 extent_blocks = 1ull << (identity->extent_shift - QBD_BLOCK_SHIFT);
	struct qbd_fill_source *fill = &peer->fill;
	bool done = false;

	if (!fill->asked || !peer->up ||
	    replica->told_role != QBD_ROLE_LEADER ||
	    le64_to_cpu(fill->request.leader_term) != replica->told_term ||
	    qbd_store_applied_index(replica->store) <
	    le64_to_cpu(fill->request.start_index))
		return;
	while (fill->reads < QBD_FILL_READS_MAX) {
		u64 block;
		u32 count;

		if (fill->extent == U64_MAX && !next_extent(replica, fill, &done))
			break;
		block = fill->extent * extent_blocks + fill->block;
		count = min3(extent_blocks - fill->block, (u64)QBD_FRAME_DATA_BLOCKS_MAX,
			     identity->device_blocks - block);
		if (!piece_begin(replica, peer, block, count,
				 fill->block + count == extent_blocks ||
				 block + count == identity->device_blocks))
			return;
		fill->block += count;
		if (fill->block == extent_blocks || block + count == identity->device_blocks)
			fill->extent = U64_MAX;
	}
	if (!fill->reads && fill->extent == U64_MAX)
		send_end(replica, peer, done);
}

/* It is whole, or gone: it gets records as the others do. */
static void widen(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_peer_status status;

	if (peer->up && replica->told_role == QBD_ROLE_LEADER &&
	    qbd_core_get_peer(replica->core, replica->now, peer->id, &status) &&
	    (!status.heard_at || status.flags & QBD_MESSAGE_FILLING))
		return;
	peer->narrowed = false;
	qbd_core_set_window(replica->core, peer->id, 0);
}

/* Pieces that are ready, and FILLs that wait. */
void qbd_fill_go_on(struct qbd_replica *replica)
{
	unsigned int i;

	pieces_send(replica);
	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];

		if (peer->id && peer->fill.asked)
			qbd_fill_serve(replica, peer);
		else if (peer->id && peer->narrowed)
			widen(replica, peer);
	}
}

/* A follower asks. A new FILL replaces the one before it. */
void qbd_fill_asked(struct qbd_replica *replica, u32 id,
		    const struct qbd_frame_fill *request)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	u64 generation;

	if (!peer)
		return;
	if (!le32_to_cpu(request->count) || le32_to_cpu(request->count) > 64 ||
	    le64_to_cpu(request->first_extent) > identity->extent_count) {
		qbd_net_disconnect(replica->network, id, "malformed request for extents");
		return;
	}
	generation = peer->fill.generation + 1;
	memset(&peer->fill, 0, sizeof(peer->fill));
	peer->fill.generation = generation;
	peer->fill.asked = true;
	peer->fill.request = *request;
	peer->fill.next = le64_to_cpu(request->first_extent);
	peer->fill.extent = U64_MAX;
	peer->fill.index = le64_to_cpu(request->start_index);
	if (!peer->narrowed) {
		peer->narrowed = true;
		qbd_core_set_window(replica->core, id, QBD_FILL_WINDOW);
	}
	qbd_fill_serve(replica, peer);
}

/* The peer is gone, or roles changed: pieces under way are for nobody. */
void qbd_fill_peer_gone(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	u64 generation = peer->fill.generation + 1;

	memset(&peer->fill, 0, sizeof(peer->fill));
	peer->fill.generation = generation;
	peer->fill.extent = U64_MAX;
}

/* ---- the follower's side ------------------------------------------------ */

/* Pieces come one after the other: silence for so long means that none will. */
#define QBD_FILL_ANSWER_NS	(60ull * NSEC_PER_SEC)

/* Extents in one round: a few, fewer if they are large, for all pieces may wait at once. */
static u32 fill_count_max(const struct qbd_replica *replica)
{
	u32 shift = qbd_store_identity(replica->store)->extent_shift;

	return clamp(shift > 20 ? QBD_FILL_EXTENTS >> (shift - 20) : QBD_FILL_EXTENTS,
		     1, QBD_FILL_EXTENTS);
}

/*
 * Give this round up; it is asked for again, for fewer extents: a smaller round is
 * over sooner, and needs less memory for what the leader appends meanwhile.
 */
static void abort_round(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;

	if (fill->step != QBD_FILL_ASKING && fill->step != QBD_FILL_PAUSING)
		return;
	fill->count = max(fill->count / 2, 1u);
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
	    !qbd_core_may_reset(replica->core, le64_to_cpu(reset->index),
				le64_to_cpu(reset->term)))
		return;		/* late or needless; the leader finds out */
	if (qbd_layout_check(&reset->membership, &reason)) {
		qbd_net_disconnect(replica->network, peer, reason);
		return;
	}
	/* Newer than what this leader said it has: it is said again in a second. */
	if (!qbd_core_may_reset_config(replica->core, le64_to_cpu(reset->index),
				       le64_to_cpu(reset->membership.index)))
		return;
	abort_round(replica);
	/*
	 * Nothing of the filling is under way in these. While it catches up the
	 * leader's log may pass it by once more, and then only a reset helps.
	 */
	if (fill->step != QBD_FILL_NONE && fill->step != QBD_FILL_IDLE &&
	    fill->step != QBD_FILL_CATCHING_UP)
		return;		/* it is said again in a second */
	if (fill->step == QBD_FILL_NONE)
		fill->base_index = qbd_store_applied_index(replica->store);
	fill->step = QBD_FILL_RESETTING;
	fill->start_index = le64_to_cpu(reset->index);
	fill->start_term = le64_to_cpu(reset->term);
	fill->cursor = 0;
	fill->through_index = fill->start_index;
	fill->extents_total = qbd_store_identity(replica->store)->extent_count;
	fill->membership = reset->membership;
	qbd_replica_update_fitness(replica);
	qbd_append_drop_held(replica, 0);
	qbd_write_truncated(replica, status.commit + 1);
	qbd_notice(replica, "the leader's log no longer reaches this member (at %llu): what changed is copied",
		   status.last);
	qbd_store_reset(replica->store, fill->start_index, fill->start_term,
			le32_to_cpu(reset->chain), &reset->membership);
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
	replica->config_count = 1;
	replica->configs[0].index = le64_to_cpu(fill->membership.index);
	replica->configs[0].layout = fill->membership;
	if (replica->damaged && replica->damaged_through <= index) {
		replica->damaged = false;
		qbd_store_repaired(replica->store);
	}
	fill->step = QBD_FILL_IDLE;
	qbd_replica_apply_config(replica);
	qbd_replica_update_fitness(replica);
	qbd_replica_event(replica, QBD_EVENT_FILL_PROGRESS, 0, "begins");
}

static void ask(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_frame_fill request = {
		.request = cpu_to_le64(++fill->request),
		.leader_term = cpu_to_le64(replica->told_term),
		.start_index = cpu_to_le64(fill->start_index),
		.base_index = cpu_to_le64(fill->base_index),
		.first_extent = cpu_to_le64(fill->cursor),
		.count = cpu_to_le32(fill->count),
	};

	fill->leader = replica->told_leader;
	fill->leader_term = replica->told_term;
	fill->ended = false;
	fill->last = false;
	fill->step = QBD_FILL_ASKING;
	fill->answer_by = replica->now + QBD_FILL_ANSWER_NS;
	if (!qbd_net_send_fill(replica->network, fill->leader, &request))
		abort_round(replica);
}

/* A piece has come. @data is ours until it is written. */
void qbd_fill_extent(struct qbd_replica *replica, u32 peer,
		     const struct qbd_frame_extent *extent, struct qbd_buffer *data)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 index = le64_to_cpu(extent->index);
	bool zero = le32_to_cpu(extent->flags) & QBD_EXTENT_ZERO;

	if (fill->step != QBD_FILL_ASKING || peer != fill->leader ||
	    le64_to_cpu(extent->request) != fill->request)
		goto drop;
	/* Older than what is applied here: the one thing that must never land. */
	if (index < qbd_store_applied_index(replica->store) || (!zero && !data)) {
		abort_round(replica);
		goto drop;
	}
	/* All that a FILL asks for fits: this is no answer to one. */
	if (fill->writes == QBD_STORE_FILL_WRITES_MAX) {
		qbd_net_disconnect(replica->network, peer,
				   "more extents than were asked for");
		goto drop;
	}
	fill->through_index = max(fill->through_index, index);
	fill->answer_by = replica->now + QBD_FILL_ANSWER_NS;
	fill->writes++;
	qbd_store_fill_write(replica->store, le64_to_cpu(extent->block),
			     le32_to_cpu(extent->count), data ? data->pages : NULL,
			     index, data);
	return;
drop:
	if (data)
		qbd_buffer_free(data);
}

void qbd_fill_written(struct qbd_replica *replica, void *cookie, int error)
{
	struct qbd_buffer *data = cookie;

	if (data)
		qbd_buffer_free(data);
	replica->fill.writes--;
	if (error)
		abort_round(replica);	/* the store reports its failure itself */
	qbd_fill_proceed(replica);
}

void qbd_fill_end(struct qbd_replica *replica, u32 peer,
		  const struct qbd_frame_fill_end *end)
{
	struct qbd_fill_target *fill = &replica->fill;
	u64 next = le64_to_cpu(end->next_extent);

	if (fill->step != QBD_FILL_ASKING || peer != fill->leader ||
	    le64_to_cpu(end->request) != fill->request)
		return;
	if (next < fill->cursor || next > fill->extents_total) {
		qbd_net_disconnect(replica->network, peer, "malformed end of extents");
		return;
	}
	fill->ended = true;
	fill->last = le32_to_cpu(end->flags) & QBD_FILL_DONE;
	fill->next_cursor = next;
	fill->through_index = max(fill->through_index, le64_to_cpu(end->index));
	qbd_fill_proceed(replica);
}

void qbd_fill_durable(struct qbd_replica *replica)
{
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_core_status status;

	if (fill->step == QBD_FILL_ADVANCING) {
		/* As it is now: under steady writes the newest is never reached. */
		qbd_core_get_status(replica->core, replica->now, &status);
		fill->catch_up_index = status.commit;
		fill->cursor = fill->next_cursor;
		fill->count = min(fill->count + 1, fill_count_max(replica));
		qbd_store_apply_pause(replica->store, false);
		fill->step = QBD_FILL_CATCHING_UP;
		if (fill->cursor - fill->event_at >= fill->extents_total / 64 + 1) {
			fill->event_at = fill->cursor;
			qbd_replica_event(replica, QBD_EVENT_FILL_PROGRESS, 0, "%llu of %llu extents",
					  fill->cursor, fill->extents_total);
		}
	} else if (fill->step == QBD_FILL_FINISHING) {
		fill->step = QBD_FILL_NONE;
		fill->log_kept = false;
		fill->event_at = 0;
		qbd_notice(replica, "filled: the data is complete up to %llu",
			   qbd_store_applied_index(replica->store));
		qbd_replica_event(replica, QBD_EVENT_FILL_DONE, 0, "complete");
		qbd_replica_update_fitness(replica);
	}
	qbd_fill_proceed(replica);
}

static bool leader_to_ask(struct qbd_replica *replica)
{
	return replica->told_leader && replica->told_leader != replica->member_id &&
	       qbd_net_peer_up(replica->network, replica->told_leader);
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
	switch (fill->step) {
	case QBD_FILL_IDLE:
		if (!leader_to_ask(replica) || !may_begin_round(replica))
			return;
		fill->count = clamp(fill->count, 1u, fill_count_max(replica));
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
		fill->step = QBD_FILL_ADVANCING;
		qbd_store_fill_advance(replica->store, fill->next_cursor,
				       fill->through_index);
		return;
	case QBD_FILL_ABORTING:
		if (fill->writes)
			return;
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
		fill->step = QBD_FILL_FINISHING;
		qbd_store_fill_finish(replica->store);
		return;
	case QBD_FILL_NONE:
	case QBD_FILL_RESETTING:
	case QBD_FILL_ADVANCING:
	case QBD_FILL_FINISHING:
		return;
	}
}
