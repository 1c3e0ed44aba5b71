// SPDX-License-Identifier: GPL-2.0
/*
 * Reads of committed data: block by block from where it is newest.
 *
 * What memory holds is copied in the call; what the disk holds goes by bio
 * straight into the caller's pages. A read that meets the bio limit goes on when
 * others are done.
 */
#include <linux/highmem.h>

#include "internal.h"

static struct bvec_iter caller_iter(const struct qbd_store_read *read, u64 offset)
{
	struct bvec_iter iter = {
		.bi_size = read->count << QBD_BLOCK_SHIFT,
	};

	bvec_iter_advance(read->bvecs, &iter, offset);
	return iter;
}

/* Blocks [@block, @last] come from a record in memory, or are zero. */
static void copy_run(struct qbd_store_read *read, u64 block, u64 last,
		     const struct qbd_overlay_node *node)
{
	u64 offset = (block - read->block) << QBD_BLOCK_SHIFT;
	u64 left = (last - block + 1) << QBD_BLOCK_SHIFT;
	struct bvec_iter iter = caller_iter(read, offset);
	u64 from = node ? (block - node->start) << QBD_BLOCK_SHIFT : 0;

	while (left) {
		struct bio_vec bvec = bvec_iter_bvec(read->bvecs, iter);
		unsigned int length = min_t(u64, bvec.bv_len, left);

		if (!node || node->zero) {
			memzero_page(bvec.bv_page, bvec.bv_offset, length);
		} else {
			length = min_t(unsigned int, length,
				       QBD_BLOCK_SIZE - from % QBD_BLOCK_SIZE);
			memcpy_page(bvec.bv_page, bvec.bv_offset,
				    node->record->pages[node->data_block +
							(from >> QBD_BLOCK_SHIFT)],
				    from % QBD_BLOCK_SIZE, length);
		}
		bvec_iter_advance(read->bvecs, &iter, length);
		from += length;
		left -= length;
	}
}

/* From the data area; returns the first block that is not on its way yet. */
static u64 read_run(struct qbd_store *store, struct qbd_store_read *read, u64 block,
		    u64 last)
{
	u64 left = (last - block + 1) << QBD_BLOCK_SHIFT;
	struct bvec_iter iter = caller_iter(read, (block - read->block) << QBD_BLOCK_SHIFT);

	while (left && store->inflight[QBD_BIO_READ] < QBD_READ_BIOS_MAX) {
		struct qbd_bio *bio;

		bio = qbd_bio_alloc(store, QBD_BIO_READ, read, REQ_OP_READ,
				    store->geometry.data_block + last + 1 -
				    (left >> QBD_BLOCK_SHIFT),
				    min_t(u64, BIO_MAX_VECS,
					  read->bvec_count + (left >> QBD_BLOCK_SHIFT)));
		while (left) {
			struct bio_vec bvec = bvec_iter_bvec(read->bvecs, iter);
			unsigned int length = min_t(u64, bvec.bv_len, left);

			if (bio_add_page(&bio->bio, bvec.bv_page, length,
					 bvec.bv_offset) != length)
				break;
			bvec_iter_advance(read->bvecs, &iter, length);
			left -= length;
		}
		/* A bio that is full in the middle of a block ends before it. */
		if (bio->bio.bi_iter.bi_size % QBD_BLOCK_SIZE) {
			unsigned int surplus = bio->bio.bi_iter.bi_size % QBD_BLOCK_SIZE;

			bio->bio.bi_iter.bi_size -= surplus;
			left += surplus;
			iter = caller_iter(read, ((last - read->block + 1) <<
						  QBD_BLOCK_SHIFT) - left);
		}
		read->pending++;
		qbd_bio_submit(bio);
	}
	return last + 1 - (left >> QBD_BLOCK_SHIFT);
}

/* Unwritten extents read as zeroes: *@run_last is where that changes, at most. */
static bool run_written(const struct qbd_store *store, u64 block, u64 *run_last)
{
	u64 extent = qbd_extent_of(store, block);
	bool written = qbd_extent_written(store, extent);
	u64 last;

	do {
		last = qbd_extent_last(store, extent++);
	} while (last < *run_last && qbd_extent_written(store, extent) == written);
	*run_last = min(*run_last, last);
	return written;
}

/* Go on with it; true when all of it is on its way or there. */
static bool read_advance(struct qbd_store *store, struct qbd_store_read *read)
{
	u64 last = read->block + read->count - 1;

	while (read->next <= last) {
		struct qbd_overlay_node *node;
		u64 run_last, next;

		if (read->as_it_is) {
			read->next = read_run(store, read, read->next, last);
			if (read->next <= last)
				return false;
			continue;
		}
		node = qbd_overlay_pick(&store->overlay, read->next, last, &run_last);
		if (node || !run_written(store, read->next, &run_last)) {
			copy_run(read, read->next, run_last, node);
			read->next = run_last + 1;
			continue;
		}
		next = read_run(store, read, read->next, run_last);
		read->next = next;
		if (next <= run_last)
			return false;
	}
	return true;
}

static void read_finish(struct qbd_store_read *read)
{
	if (!read->pending && list_empty(&read->list))
		read->done(read);
}

void qbd_store_read(struct qbd_store *store, struct qbd_store_read *read)
{
	u64 blocks = store->geometry.device_blocks;

	INIT_LIST_HEAD(&read->list);
	read->pending = 0;
	read->error = 0;
	read->next = read->block;
	if (WARN_ON_ONCE(store->geometry.no_data || !read->count || read->block >= blocks ||
			 read->count > blocks - read->block))
		read->error = -EINVAL;
	else if (store->stopping || store->released)
		read->error = -EIO;
	else if (!list_empty(&store->reads) || !read_advance(store, read))
		list_add_tail(&read->list, &store->reads);
	read_finish(read);
}

void qbd_read_end_io(struct qbd_store *store, struct qbd_store_read *read, int error)
{
	if (error && !read->error)
		read->error = error;
	read->pending--;
	read_finish(read);
}

/* Reads that wait go on in order. */
void qbd_read_step(struct qbd_store *store)
{
	while (!list_empty(&store->reads)) {
		struct qbd_store_read *read =
			list_first_entry(&store->reads, struct qbd_store_read, list);

		if (store->internal || store->released)
			read->error = -EIO;	/* nothing begins any more */
		else if (!read_advance(store, read))
			return;
		list_del_init(&read->list);
		read_finish(read);
	}
}
