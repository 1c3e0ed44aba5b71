// SPDX-License-Identifier: GPL-2.0
/*
 * Bios of the store: from sets with a reserve, finished onto a lock-free list.
 */
#include <linux/rcupdate.h>

#include "internal.h"

int qbd_bio_sets_init(struct qbd_store *store)
{
	int error;

	error = bioset_init(&store->vital, QBD_VITAL_BIOS, offsetof(struct qbd_bio, bio),
			    BIOSET_NEED_BVECS);
	if (error)
		return error;
	error = bioset_init(&store->data, QBD_DATA_BIOS, offsetof(struct qbd_bio, bio),
			    BIOSET_NEED_BVECS);
	if (error)
		bioset_exit(&store->vital);
	return error;
}

void qbd_bio_sets_exit(struct qbd_store *store)
{
	bioset_exit(&store->data);
	bioset_exit(&store->vital);
}

/*
 * The disk is done with it. The store may be closed as soon as the list has the
 * bio: qbd_store_close() waits for this read side before it frees anything.
 */
static void bio_end_io(struct bio *bio)
{
	struct qbd_bio *qbd_bio = container_of(bio, struct qbd_bio, bio);
	struct qbd_store *store = qbd_bio->store;

	rcu_read_lock();
	qbd_bio->error = blk_status_to_errno(bio->bi_status);
	if (llist_add(&qbd_bio->completed, &store->completed)) {
		wake_up(&store->wait);
		if (!READ_ONCE(store->internal))
			store->ops->kick(store->context);
	}
	rcu_read_unlock();
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
	store->inflight[kind]++;
	return qbd_bio;
}

void qbd_bio_submit(struct qbd_bio *bio)
{
	submit_bio(&bio->bio);
}

void qbd_bio_free(struct qbd_bio *bio)
{
	bio->store->inflight[bio->kind]--;
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
		if (error)
			return error;
	}
	return 0;
}
