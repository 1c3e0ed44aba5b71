// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing members up by extents: the leader's side. See fill.c for the whole of it.
 *
 * A follower asks (FILL), and gets pieces of extents that changed, in order, each read
 * through the overlay at the commit index of that moment, then the end of this FILL. Extents
 * that were never written are passed over; what reads as zeroes is sent as a word.
 *
 * While it waits for the end the follower applies nothing. So a FILL is answered for
 * QBD_FILL_SLICE_NS at most, with what there was time for; the next one goes on within an
 * extent, if need be.
 *
 * How fast it goes is decided in rate.c: requests of who uses the device go first.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

/* Data under way for one FILL, and for how long one is answered. */
#define QBD_FILL_BYTES_MAX	(4u << 20)
#define QBD_FILL_SLICE_NS	(100ull * NSEC_PER_MSEC)
/* How often it is counted how many extents are left. */
#define QBD_FILL_COUNT_NS	(5ull * NSEC_PER_SEC)

/**
 * struct fill_piece - one read for a follower
 * @list: in qbd_replica.pieces, in the order in which they are sent
 * @read: at the store
 * @replica: whose
 * @peer: for whom
 * @generation: see struct qbd_fill_source
 * @count: blocks that are read
 * @ready: it was read
 * @digested: and is part of its extent's digest
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
	u32 count;
	bool ready;
	bool digested;
	struct qbd_frame_extent frame;
	struct qbd_buffer *data;
	struct bio_vec *bvecs;
};

static void piece_free(struct fill_piece *piece)
{
	list_del(&piece->list);
	if (piece->data)
		qbd_buffer_free(piece->data);
	mempool_free(virt_to_page(piece->bvecs), piece->replica->bvec_pages);
	kfree(piece);
}

/* For whom it was read, unless it is for nobody any more. */
static struct qbd_replica_peer *piece_peer(const struct fill_piece *piece)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(piece->replica, piece->peer);

	return peer && peer->fill.generation == piece->generation ? peer : NULL;
}

static bool all_zero(const struct qbd_buffer *data)
{
	unsigned int i;

	for (i = 0; i < data->blocks; i++)
		if (memchr_inv(page_address(data->pages[i]), 0, QBD_BLOCK_SIZE))
			return false;
	return true;
}

static bool is_check(const struct qbd_fill_source *fill)
{
	return le32_to_cpu(fill->request.flags) & QBD_FILL_CHECK;
}

static u32 extent_blocks(const struct qbd_replica *replica)
{
	return 1u << (qbd_store_identity(replica->store)->extent_shift - QBD_BLOCK_SHIFT);
}

/*
 * In order: it becomes part of the digest of its extent. Return: true if that is complete, to
 * be sent in its place.
 */
static bool digest(struct fill_piece *piece, struct qbd_fill_source *fill)
{
	u64 blocks = extent_blocks(piece->replica);
	u64 start = le64_to_cpu(piece->frame.extent) * blocks;
	bool last = le32_to_cpu(piece->frame.flags) & QBD_EXTENT_LAST_PIECE;

	if (piece->digested)
		return last;
	if (le64_to_cpu(piece->frame.block) == start)
		blake2s_init(&fill->digest, BLAKE2S_HASH_SIZE);
	qbd_digest_add(&fill->digest, piece->data);
	qbd_buffer_free(piece->data);
	piece->data = NULL;
	piece->digested = true;
	if (!last)
		return false;
	blake2s_final(&fill->digest, piece->frame.digest);
	piece->frame.flags |= cpu_to_le32(QBD_EXTENT_DIGEST);
	piece->frame.count = cpu_to_le32(le64_to_cpu(piece->frame.block) + piece->count - start);
	piece->frame.block = cpu_to_le64(start);
	piece->frame.index = cpu_to_le64(fill->index);
	return true;
}

/*
 * It asks again, whoever leads then. If that is us, for nobody else can, it would wait for the
 * rest of the pieces until it gave them up; so it is told, after a while, that there are no more
 * for now. What could not be read is read again that way, and may have been mended; or it shows
 * for how long others are not served, and this leader stands aside (reach.c):
 *
 *	alpha leads, one block of its disk cannot be read, and it hears gamma only, which is
 *	filled; beta has all, and reaches gamma. gamma waited for a minute, alpha took its disk
 *	for a good one soon after, and led on.
 */
static void end_early(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	u64 pause = 2ull * replica->settings.election_timeout_ms * NSEC_PER_MSEC;
	struct qbd_fill_source *fill = &peer->fill;
	struct fill_piece *piece;

	list_for_each_entry(piece, &replica->pieces, list) {
		if (piece_peer(piece) != peer)
			continue;
		/* The first of those that were not sent: the one that failed, or one before it. */
		fill->extent = le64_to_cpu(piece->frame.extent);
		fill->block = is_check(fill) ? 0 :
			      le64_to_cpu(piece->frame.block) & (extent_blocks(replica) - 1);
		break;
	}
	fill->generation++;
	fill->bytes = 0;
	fill->done = false;
	fill->over = true;
	fill->end_after = replica->now + pause;
	/* Some of those that were taken for sent were not. */
	peer->progress.counted_at = 0;
}

static void piece_read(struct qbd_store_read *read)
{
	struct fill_piece *piece = container_of(read, struct fill_piece, read);
	struct qbd_replica *replica = piece->replica;
	struct qbd_replica_peer *peer = piece_peer(piece);

	piece->ready = true;
	if (!peer) {
		piece_free(piece);
		return;
	}
	if (read->error) {
		end_early(replica, peer);
		qbd_verify_mend(replica, read->block, read->count);
		qbd_replica_cannot_read(replica, "the disk failed a read of extent %llu (error %d)",
					le64_to_cpu(piece->frame.extent), read->error);
		piece_free(piece);
		return;
	}
	if (!is_check(&peer->fill) && all_zero(piece->data)) {
		piece->frame.flags |= cpu_to_le32(QBD_EXTENT_ZERO);
		qbd_buffer_free(piece->data);
		piece->data = NULL;
	}
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
	piece->count = count;
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
	fill->pieces++;
	fill->bytes += count << QBD_BLOCK_SHIFT;
	list_add_tail(&piece->list, &replica->pieces);
	qbd_store_read(replica->store, &piece->read);
	return true;
}

/* Return: false if the queue to that peer is full. */
static bool piece_sent(struct qbd_replica *replica, struct qbd_replica_peer *peer,
		       struct fill_piece *piece)
{
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_EXTENT,
		.fixed = &piece->frame,
		.fixed_bytes = sizeof(piece->frame),
	};

	if (is_check(&peer->fill) && !digest(piece, &peer->fill))
		return true;
	frame.buffer = piece->data;
	frame.data_blocks = piece->data ? piece->data->blocks : 0;
	if (qbd_net_send(replica->network, peer->id, &frame))
		return false;
	qbd_net_push(replica->network, peer->id);
	piece->data = NULL;
	return true;
}

/*
 * Send what is ready. Each follower gets its pieces in order, so that it knows how far it
 * is if no more of them come.
 */
static void pieces_send(struct qbd_replica *replica)
{
	struct fill_piece *piece, *next;
	u64 held = 0;	/* peers whose next piece cannot be sent yet */

	list_for_each_entry_safe(piece, next, &replica->pieces, list) {
		struct qbd_replica_peer *peer = piece_peer(piece);
		u64 bit;

		if (!peer) {
			if (piece->ready)
				piece_free(piece);
			continue;
		}
		bit = BIT_ULL(peer - replica->peers);
		if (held & bit)
			continue;
		if (!piece->ready || !piece_sent(replica, peer, piece)) {
			held |= bit;
			continue;
		}
		peer->fill.bytes -= piece->count << QBD_BLOCK_SHIFT;
		piece_free(piece);
	}
}

/* The replica ends: what was read for followers is for nobody. */
void qbd_fill_drop_pieces(struct qbd_replica *replica)
{
	struct fill_piece *piece, *next;

	/* What the store still reads it gives back when it is done. */
	list_for_each_entry_safe(piece, next, &replica->pieces, list)
		if (piece->ready)
			piece_free(piece);
}

static void send_end(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_fill_source *fill = &peer->fill;
	u64 total = qbd_store_identity(replica->store)->extent_count;
	bool within = fill->extent != U64_MAX;
	struct qbd_frame_fill_end end = {
		.request = fill->request.request,
		.first_extent = fill->request.first_extent,
		.next_extent = cpu_to_le64(within ? fill->extent :
					   fill->done ? max(total, fill->next) : fill->next),
		.extents_total = cpu_to_le64(total),
		.extents_left = cpu_to_le64(fill->done ? 0 : peer->progress.left),
		.index = cpu_to_le64(fill->index),
		.flags = cpu_to_le32(fill->done ? QBD_FILL_DONE : 0),
		.next_block = cpu_to_le32(within ? fill->block : 0),
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

/* Nothing from it on is wanted. */
static u64 end_extent(const struct qbd_frame_fill *request)
{
	return le32_to_cpu(request->end_extent) ?: U64_MAX;
}

/* Go on to the next extent. Return: false if this FILL needs no more of them. */
static bool next_extent(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_fill_source *fill = &peer->fill;
	u64 blocks = qbd_store_identity(replica->store)->device_blocks;
	u64 extent;

	extent = qbd_store_changed_extent(replica->store, fill->next,
					  end_extent(&fill->request),
					  le64_to_cpu(fill->request.base_index));
	fill->done = extent == U64_MAX;
	if (fill->done || fill->extents == le32_to_cpu(fill->request.count))
		return false;
	fill->extent = extent;
	fill->block = fill->extents || extent != le64_to_cpu(fill->request.first_extent) ? 0 :
		      le32_to_cpu(fill->request.first_block);
	fill->next = extent + 1;
	fill->extents++;
	/* Who has grown already may be within the last extent, beyond the end here. */
	fill->done = extent * extent_blocks(replica) + fill->block >= blocks;
	if (fill->done)
		fill->extent = U64_MAX;
	return !fill->done;
}

/*
 * A follower whose log is about to be passed by gets its records first: filling it is of no
 * use if it has to begin anew. What it then gets of extents is the least that there is.
 */
static bool log_comes_first(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_peer_status status;

	return qbd_core_get_peer(replica->core, replica->now, peer->id, &status) &&
	       qbd_store_log_share_after(replica->store, status.match) > 4;
}

/* Return: false if no more may be begun now. */
static bool may_begin(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_fill_source *fill = &peer->fill;
	u64 when = qbd_catch_up_next(replica);

	if (log_comes_first(replica, peer))
		when = max(when, peer->progress.least_at);
	if (when <= replica->now)
		return true;
	qbd_replica_later(replica, fill->pieces ? min(when, fill->end_by) : when);
	return false;
}

/* So much is enough for this FILL, or there is no more. */
static bool over(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_fill_source *fill = &peer->fill;

	/* A digest is that of a whole extent. */
	if (fill->pieces && (!is_check(fill) || fill->extent == U64_MAX) &&
	    (replica->now >= fill->end_by || fill->pieces >= QBD_STORE_FILL_WRITES_MAX))
		fill->over = true;
	if (!fill->over && fill->extent == U64_MAX)
		fill->over = !next_extent(replica, peer);
	return fill->over;
}

static bool begin_next(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	struct qbd_fill_source *fill = &peer->fill;
	u32 blocks = extent_blocks(replica);
	u64 block = fill->extent * blocks + fill->block;
	u32 count = min3(blocks - fill->block,
			 qbd_rate_piece(&replica->rate) >> QBD_BLOCK_SHIFT,
			 (u32)QBD_FRAME_DATA_BLOCKS_MAX);
	u64 bytes;
	bool last;

	if (is_check(fill))
		count = min(count, QBD_CHECK_BLOCKS);
	count = min_t(u64, count, identity->device_blocks - block);
	last = fill->block + count == blocks || block + count == identity->device_blocks;
	if (!piece_begin(replica, peer, block, count, last))
		return false;
	/* It failed at once, and says where to go on. */
	if (fill->over)
		return true;
	bytes = (u64)count << QBD_BLOCK_SHIFT;
	qbd_rate_sent(&replica->rate, replica->now, bytes);
	qbd_pace_add(&peer->progress.pace, replica->now, bytes);
	peer->progress.least_at = replica->now + div_u64(bytes * NSEC_PER_SEC, QBD_RATE_FLOOR);
	fill->block += count;
	if (!last)
		return true;
	fill->extent = U64_MAX;
	if (peer->progress.left)
		peer->progress.left--;
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
static void qbd_fill_serve(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_fill_source *fill = &peer->fill;

	if (!peer->up || replica->told_role != QBD_ROLE_LEADER ||
	    le64_to_cpu(fill->request.leader_term) != replica->told_term ||
	    qbd_store_applied_index(replica->store) <
	    le64_to_cpu(fill->request.start_index))
		return;
	while (!over(replica, peer)) {
		if (fill->bytes >= QBD_FILL_BYTES_MAX || !may_begin(replica, peer) ||
		    !begin_next(replica, peer))
			return;
	}
	if (fill->bytes)
		return;
	if (replica->now < fill->end_after)
		qbd_replica_later(replica, fill->end_after);
	else
		send_end(replica, peer);
}

/* It is whole, or gone: it gets records as the others do. */
static void widen(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_peer_status status;

	if (peer->up && replica->told_role == QBD_ROLE_LEADER &&
	    qbd_core_get_peer(replica->core, replica->now, peer->id, &status) &&
	    (!status.heard_at || status.flags & QBD_MESSAGE_FILLING))
		return;
	if (peer->up && replica->told_role == QBD_ROLE_LEADER)
		qbd_fill_event(replica, QBD_EVENT_FILL_DONE, peer, "complete");
	peer->narrowed = false;
	memset(&peer->progress, 0, sizeof(peer->progress));
	qbd_core_set_window(replica->core, peer->id, 0);
}

/* Pieces that are ready, and FILLs that wait, of another follower first each time. */
void qbd_fill_go_on(struct qbd_replica *replica)
{
	unsigned int count = ARRAY_SIZE(replica->peers), i;

	pieces_send(replica);
	replica->fill_turn = (replica->fill_turn + 1) % count;
	for (i = 0; i < count; i++) {
		struct qbd_replica_peer *peer =
			&replica->peers[(replica->fill_turn + i) % count];

		if (peer->id && peer->fill.asked)
			qbd_fill_serve(replica, peer);
		else if (peer->id && peer->narrowed)
			widen(replica, peer);
	}
}

/* How many are left is counted anew now and then: others change meanwhile. */
static void note_progress(struct qbd_replica *replica, struct qbd_replica_peer *peer,
			  const struct qbd_frame_fill *request)
{
	struct qbd_fill_progress *progress = &peer->progress;
	u64 first = le64_to_cpu(request->first_extent);
	u64 total = qbd_store_identity(replica->store)->extent_count;

	/* Those behind the end have been filled before. */
	progress->done = min(first, total);
	if (end_extent(request) < total)
		progress->done += total - max(end_extent(request), progress->done);
	progress->total = total;
	/* And when it goes back: the extents of another range, as of another index. */
	if (!progress->counted_at || first < progress->told_at ||
	    replica->now >= progress->counted_at + QBD_FILL_COUNT_NS) {
		progress->counted_at = replica->now;
		progress->left = qbd_store_changed_count(replica->store, first,
							 end_extent(request),
							 le64_to_cpu(request->base_index));
	}
	if (!peer->narrowed) {
		peer->narrowed = true;
		qbd_core_set_window(replica->core, peer->id, QBD_FILL_WINDOW);
		progress->told_at = first;
		qbd_fill_event(replica, QBD_EVENT_FILL_PROGRESS, peer, "begins");
	} else if (first < progress->told_at || first - progress->told_at >= total / 64 + 1) {
		progress->told_at = first;
		qbd_fill_event(replica, QBD_EVENT_FILL_PROGRESS, peer, "goes on");
	}
}

/* A follower asks. A new FILL replaces the one before it. */
void qbd_fill_asked(struct qbd_replica *replica, u32 id,
		    const struct qbd_frame_fill *request)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);

	if (!peer)
		return;
	/* Whose list does not name this member yet cannot know that it has none. */
	if (!qbd_replica_keeps_data(replica))
		return;
	/* Who has grown already may ask for what is beyond the end here: there is nothing. */
	if (!le32_to_cpu(request->count) || le32_to_cpu(request->count) > QBD_FILL_EXTENTS_MAX ||
	    le64_to_cpu(request->first_extent) > identity->device_blocks_most ||
	    le32_to_cpu(request->first_block) >= extent_blocks(replica) ||
	    (le32_to_cpu(request->flags) & QBD_FILL_CHECK && request->first_block)) {
		qbd_net_disconnect(replica->network, id, "malformed request for extents");
		return;
	}
	qbd_fill_peer_gone(replica, peer);
	peer->fill.asked = true;
	peer->fill.request = *request;
	peer->fill.next = le64_to_cpu(request->first_extent);
	peer->fill.index = le64_to_cpu(request->start_index);
	peer->fill.end_by = replica->now + QBD_FILL_SLICE_NS;
	note_progress(replica, peer, request);
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
