// SPDX-License-Identifier: GPL-2.0
/*
 * Writes to the data area, for apply and fill alike.
 *
 * One batch at a time, of pieces that are disjoint and sorted by block: so no two
 * writes of the same block are ever in flight, and neighbours are merged under
 * the plug.
 *
 * An extent with changed_index 0 reads as zeroes whatever the disk holds there.
 * When the first piece of data goes into it, the rest of it has to become zero
 * for real. The zeroes are segments of the same batch, disjoint from the data, so
 * they need no order among each other; the extent counts as written only when the
 * whole batch is on the disk, and on disk only after a flush behind that.
 */
#include <linux/mm.h>

#include "internal.h"

/**
 * struct gap - the zeroes around the pieces of one extent
 * @extent: never written so far; U64_MAX: none
 * @next: first block of it that is not covered yet
 */
struct gap {
	u64 extent;
	u64 next;
};

/*
 * While the member is being filled it does not know what was written before: an
 * extent without an entry here may have one at the leader, and zeroes must not be
 * skipped.
 */
void qbd_batch_add(struct qbd_store *store, u64 start, u64 last, struct page **pages,
		   u64 index, bool writes)
{
	struct qbd_batch *batch = &store->batch;

	if (WARN_ON_ONCE(batch->piece_count >= QBD_BATCH_PIECES))
		return;
	batch->pieces[batch->piece_count++] = (struct qbd_segment){
		.start = start, .last = last, .next = start, .pages = pages,
		.index = index, .writes = writes || store->fill.active,
	};
}

static void add_segment(struct qbd_batch *batch, u64 start, u64 last,
			struct page **pages)
{
	if (WARN_ON_ONCE(batch->segment_count >= QBD_BATCH_SEGMENTS))
		return;
	batch->segments[batch->segment_count++] = (struct qbd_segment){
		.start = start, .last = last, .next = start, .pages = pages,
	};
}

static void close_gap(struct qbd_store *store, struct gap *gap)
{
	if (gap->extent != U64_MAX && gap->next <= qbd_extent_last(store, gap->extent))
		add_segment(&store->batch, gap->next,
			    qbd_extent_last(store, gap->extent), NULL);
	gap->extent = U64_MAX;
}

/* @piece is going to be written: see to the unwritten extents that it touches. */
static void cover(struct qbd_store *store, struct gap *gap,
		  const struct qbd_segment *piece)
{
	u64 extent = qbd_extent_of(store, piece->start);

	for (; extent <= qbd_extent_of(store, piece->last); extent++) {
		u64 start = max(piece->start, qbd_extent_start(store, extent));

		if (qbd_extent_written(store, extent))
			continue;
		if (gap->extent != extent) {
			close_gap(store, gap);
			gap->extent = extent;
			gap->next = qbd_extent_start(store, extent);
		}
		if (gap->next < start)
			add_segment(&store->batch, gap->next, start - 1, NULL);
		gap->next = min(piece->last, qbd_extent_last(store, extent)) + 1;
	}
}

/*
 * Zeroes change nothing where nothing was ever written. With written and unwritten
 * extents in turn a piece falls into many segments: the last one of its @budget takes
 * all the rest, for zeroes do no harm there either.
 */
static void add_zeroes_where_written(struct qbd_store *store,
				     const struct qbd_segment *piece, u32 budget)
{
	u64 last_extent = qbd_extent_of(store, piece->last);
	u64 extent = qbd_extent_of(store, piece->start);

	while (extent <= last_extent) {
		u64 first = extent;

		while (extent <= last_extent && qbd_extent_written(store, extent))
			extent++;
		if (extent > first && !--budget) {
			add_segment(&store->batch,
				    max(piece->start, qbd_extent_start(store, first)),
				    piece->last, NULL);
			return;
		}
		if (extent > first)
			add_segment(&store->batch,
				    max(piece->start, qbd_extent_start(store, first)),
				    min(piece->last, qbd_extent_last(store, extent - 1)),
				    NULL);
		else
			extent++;
	}
}

/* What piece @number may take: each of those after it needs three at most. */
static u32 segments_to_spare(const struct qbd_batch *batch, u32 number)
{
	u32 others = QBD_SEGMENTS_PER_PIECE * (batch->piece_count - number - 1);
	u32 left = QBD_BATCH_SEGMENTS - QBD_BATCH_BIOS_MAX - batch->segment_count;

	if (WARN_ON_ONCE(left <= others))
		return 1;
	return left - others;
}

void qbd_batch_begin(struct qbd_store *store, enum qbd_batch_kind kind)
{
	struct qbd_batch *batch = &store->batch;
	struct gap gap = { .extent = U64_MAX };
	u32 i;

	batch->kind = kind;
	batch->segment_count = 0;
	batch->segment_next = 0;
	for (i = 0; i < batch->piece_count; i++) {
		const struct qbd_segment *piece = &batch->pieces[i];

		if (piece->same) {
			/* What it is equal to may be in the disk's cache only. */
			store->checkpoint.data_dirty = true;
		} else if (piece->writes) {
			cover(store, &gap, piece);
			add_segment(batch, piece->start, piece->last, piece->pages);
		} else {
			add_zeroes_where_written(store, piece,
						 segments_to_spare(batch, i));
		}
	}
	close_gap(store, &gap);
	qbd_batch_step(store);
}

static void batch_done(struct qbd_store *store)
{
	struct qbd_batch *batch = &store->batch;
	enum qbd_batch_kind kind = batch->kind;
	u32 i;

	for (i = 0; i < batch->piece_count && !store->failed; i++) {
		const struct qbd_segment *piece = &batch->pieces[i];

		qbd_extents_mark(store, piece->start, piece->last, piece->index,
				 !piece->writes);
	}
	if (batch->segment_count)
		store->checkpoint.data_dirty = true;
	if (kind == QBD_BATCH_APPLY)
		qbd_apply_done(store);
	else if (kind == QBD_BATCH_GROW)
		qbd_grow_batch_done(store);
	else
		qbd_fill_batch_done(store);
	batch->kind = QBD_BATCH_NONE;
	batch->piece_count = 0;
	batch->node_count = 0;
	if (store->apply_paused)
		store->notices.apply_idle = true;
}

/* A bio from @segment->next on; what it covers is its own to write again. */
static void submit_part(struct qbd_store *store, struct qbd_segment *segment, u64 last,
			bool by_pages)
{
	u64 disk_block = store->geometry.data_block + segment->next;
	u64 first = segment->next;
	struct qbd_bio *bio;

	if (!segment->pages && !by_pages) {
		bio = qbd_bio_alloc(store, QBD_BIO_BATCH, segment,
				    REQ_OP_WRITE_ZEROES | QBD_REQ_WRITE, disk_block, 0);
		bio->bio.bi_iter.bi_size = (last - first + 1) << QBD_BLOCK_SHIFT;
		segment->next = last + 1;
	} else {
		last = min(last, first + BIO_MAX_VECS - 1);
		bio = qbd_bio_alloc(store, QBD_BIO_BATCH, segment,
				    REQ_OP_WRITE | QBD_REQ_WRITE, disk_block, last - first + 1);
		while (segment->next <= last) {
			struct page *page = segment->pages ?
				segment->pages[segment->next - segment->start] :
				ZERO_PAGE(0);

			if (bio_add_page(&bio->bio, page, QBD_BLOCK_SIZE, 0) !=
			    QBD_BLOCK_SIZE)
				break;
			segment->next++;
		}
	}
	bio->block = first;
	bio->count = segment->next - first;
	store->batch.inflight++;
	store->status.data_writes++;
	store->status.data_write_bytes += (u64)bio->count << QBD_BLOCK_SHIFT;
	qbd_bio_submit(bio);
}

/* Submit what the limit allows; finish when all of it is over. */
void qbd_batch_step(struct qbd_store *store)
{
	struct qbd_batch *batch = &store->batch;

	if (!batch->kind)
		return;
	while (batch->segment_next < batch->segment_count && !store->failed &&
	       batch->inflight < QBD_BATCH_BIOS_MAX) {
		struct qbd_segment *segment = &batch->segments[batch->segment_next];

		submit_part(store, segment, segment->last, store->no_write_zeroes);
		if (segment->next > segment->last)
			batch->segment_next++;
	}
	if (!batch->inflight &&
	    (store->failed || batch->segment_next == batch->segment_count))
		batch_done(store);
}

void qbd_batch_end_io(struct qbd_store *store, struct qbd_bio *bio)
{
	struct qbd_batch *batch = &store->batch;

	batch->inflight--;
	if (!bio->error)
		return;
	if (bio_op(&bio->bio) == REQ_OP_WRITE_ZEROES) {
		/*
		 * Many a disk promises it and does not do it. Plain zeroes to
		 * the same blocks decide: queue them behind the others.
		 */
		store->no_write_zeroes = true;
		if (batch->segment_count < QBD_BATCH_SEGMENTS) {
			add_segment(batch, bio->block, bio->block + bio->count - 1, NULL);
			return;
		}
	}
	qbd_store_fail(store, bio->error, "writing the data area");
}
