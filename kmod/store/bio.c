// SPDX-License-Identifier: GPL-2.0
/*
 * Bios of the store: from sets with a reserve, finished onto a lock-free list.
 *
 * Submitting may sleep: a disk that hangs, or is only slow, runs out of tags, and
 * submit_bio() waits for one. The replica's work must not: it is what forwards
 * requests to another leader, answers heartbeats and takes the member down. So it
 * submits with REQ_NOWAIT, and what is refused for that, or would have to be split,
 * or goes to a disk that cannot refuse, is submitted by a work of its own, which
 * may wait for as long as the disk does. Bios may overtake each other on that way;
 * nothing relies on the order of those that are in flight together.
 *
 * Writes carry REQ_IDLE, too: what is neither REQ_SYNC | REQ_IDLE is held back, in
 * submit_bio(), by the block layer's writeback throttling.
 */
#include <linux/blk-mq.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include "internal.h"

/*
 * Can this disk refuse a bio instead of waiting, wherever it would wait? Asked each
 * time: a device-mapper table can be replaced while it is in use.
 *
 * A disk without tags of its own is made of others. One of them may refuse its part of
 * a flush when another has failed, and what is reported may be either; submitted again
 * the flush succeeds, and nobody hears of what was lost (accident 43). So a flush is not
 * offered to be refused there.
 */
static bool may_refuse(struct block_device *bdev, blk_opf_t operation)
{
	const struct blk_mq_tag_set *tags = bdev_get_queue(bdev)->tag_set;

	if (!bdev_nowait(bdev))
		return false;
	return tags ? !(tags->flags & BLK_MQ_F_BLOCKING) :
		      !(operation & (REQ_PREFLUSH | REQ_FUA));
}

static void bio_end_io(struct bio *bio);
static void postponed_work(struct work_struct *work);

int qbd_bio_init(struct qbd_store *store)
{
	int error;

	init_llist_head(&store->postponed);
	INIT_WORK(&store->postponed_work, postponed_work);
	atomic_set(&store->postponed_count, 0);
	store->rescued_queue = alloc_workqueue("qbd-disk", WQ_MEM_RECLAIM | WQ_HIGHPRI |
					       WQ_UNBOUND, 2);
	if (!store->rescued_queue)
		return -ENOMEM;
	error = bioset_init(&store->vital, QBD_VITAL_BIOS, offsetof(struct qbd_bio, bio),
			    BIOSET_NEED_BVECS);
	if (error)
		goto err_queue;
	error = bioset_init(&store->data, QBD_DATA_BIOS, offsetof(struct qbd_bio, bio),
			    BIOSET_NEED_BVECS);
	if (!error)
		return 0;
	bioset_exit(&store->vital);
err_queue:
	destroy_workqueue(store->rescued_queue);
	return error;
}

void qbd_bio_exit(struct qbd_store *store)
{
	destroy_workqueue(store->rescued_queue);
	bioset_exit(&store->data);
	bioset_exit(&store->vital);
}

/* Any context. */
static void postpone(struct qbd_bio *bio)
{
	atomic_inc(&bio->store->postponed_count);
	if (llist_add(&bio->completed, &bio->store->postponed))
		queue_work(bio->store->rescued_queue, &bio->store->postponed_work);
}

/* As it was when it was made: a partition or a lower device may have moved it. */
static void submit_again(struct qbd_bio *qbd_bio)
{
	struct bio *bio = &qbd_bio->bio;
	unsigned short vectors = bio->bi_vcnt;

	bio_reset(bio, qbd_bio->store->bdev, qbd_bio->operation);
	bio->bi_iter = qbd_bio->iter;
	bio->bi_vcnt = vectors;
	bio->bi_end_io = bio_end_io;
	submit_bio(bio);
}

static void postponed_work(struct work_struct *work)
{
	struct qbd_store *store = container_of(work, struct qbd_store, postponed_work);
	struct llist_node *list = llist_reverse_order(llist_del_all(&store->postponed));
	unsigned int noio = memalloc_noio_save();
	struct qbd_bio *bio, *next;

	llist_for_each_entry_safe(bio, next, list, completed) {
		submit_again(bio);
		atomic_dec(&store->postponed_count);
	}
	memalloc_noio_restore(noio);
}

/*
 * The disk is done with it. The store may be closed as soon as the list has the
 * bio: qbd_store_close() waits for this read side before it frees anything.
 */
static void bio_end_io(struct bio *bio)
{
	struct qbd_bio *qbd_bio = container_of(bio, struct qbd_bio, bio);
	struct qbd_store *store = qbd_bio->store;

	/* Not supported: since it was asked it became one that cannot refuse. */
	if (bio->bi_opf & REQ_NOWAIT && (bio->bi_status == BLK_STS_AGAIN ||
					 bio->bi_status == BLK_STS_NOTSUPP)) {
		postpone(qbd_bio);
		return;
	}
	rcu_read_lock();
	qbd_bio->error = blk_status_to_errno(bio->bi_status);
	if (llist_add(&qbd_bio->completed, &store->completed)) {
		wake_up(&store->wait);
		if (!READ_ONCE(store->internal))
			store->ops->kick(store->context);
	}
	rcu_read_unlock();
}

/* Of those that somebody waits for: who reads the device, or a member that is behind. */
static u32 reads_under_way(const struct qbd_store *store)
{
	return store->inflight[QBD_BIO_READ] + store->inflight[QBD_BIO_LOAD];
}

static bool is_read(const struct qbd_bio *bio)
{
	return bio->kind == QBD_BIO_READ || bio->kind == QBD_BIO_LOAD;
}

u64 qbd_store_reads_since(const struct qbd_store *store)
{
	return reads_under_way(store) ? store->reads_moved_ns : 0;
}

/* Never fails and does not wait: the kinds' limits are within the sets' reserves. */
struct qbd_bio *qbd_bio_alloc(struct qbd_store *store, enum qbd_bio_kind kind,
			      void *object, blk_opf_t operation, u64 disk_block,
			      unsigned int pages)
{
	bool vital = kind == QBD_BIO_LOG || kind == QBD_BIO_STATE;
	struct qbd_bio *qbd_bio;
	struct bio *bio;

	bio = bio_alloc_bioset(store->bdev, min_t(unsigned int, pages, BIO_MAX_VECS),
			       operation, GFP_NOIO, vital ? &store->vital : &store->data);
	bio->bi_iter.bi_sector = disk_block * QBD_SECTORS_PER_BLOCK;
	bio->bi_end_io = bio_end_io;
	qbd_bio = container_of(bio, struct qbd_bio, bio);
	qbd_bio->store = store;
	qbd_bio->object = object;
	qbd_bio->kind = kind;
	qbd_bio->error = 0;
	if (is_read(qbd_bio) && !reads_under_way(store))
		store->reads_moved_ns = ktime_get_coarse_boottime_ns();
	store->inflight[kind]++;
	return qbd_bio;
}

/* Does not wait for the disk. */
void qbd_bio_submit(struct qbd_bio *bio)
{
	struct qbd_store *store = bio->store;

	bio->iter = bio->bio.bi_iter;
	bio->operation = bio->bio.bi_opf;
	/* Those that wait already are first. */
	if (atomic_read(&store->postponed_count) || !may_refuse(store->bdev, bio->operation)) {
		postpone(bio);
		return;
	}
	bio->bio.bi_opf |= REQ_NOWAIT;
	submit_bio(&bio->bio);
}

void qbd_bio_free(struct qbd_bio *bio)
{
	bio->store->inflight[bio->kind]--;
	if (is_read(bio))
		bio->store->reads_moved_ns = ktime_get_coarse_boottime_ns();
	bio_put(&bio->bio);
}

/* For open only: read or write consecutive blocks and wait. */
int qbd_bio_sync(struct qbd_store *store, blk_opf_t operation, u64 disk_block,
		 struct page **pages, unsigned int count)
{
	unsigned int done = 0;

	while (done < count) {
		unsigned int left = min_t(unsigned int, count - done, BIO_MAX_VECS);
		struct bio *bio;
		int error;

		bio = bio_alloc_bioset(store->bdev, left, operation, GFP_KERNEL,
				       &store->data);
		bio->bi_iter.bi_sector = (disk_block + done) * QBD_SECTORS_PER_BLOCK;
		while (left-- && bio_add_page(bio, pages[done], QBD_BLOCK_SIZE, 0) ==
		       QBD_BLOCK_SIZE)
			done++;
		error = submit_bio_wait(bio);
		bio_put(bio);
		qbd_store_answered(store);
		if (error)
			return error;
	}
	return 0;
}
