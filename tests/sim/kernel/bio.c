// SPDX-License-Identifier: GPL-2.0
/* Bios, and who opened which disk. */
#include "../sim.h"

int bioset_init(struct bio_set *set, unsigned int reserve, unsigned int front, int flags)
{
	set->reserve = reserve;
	set->taken = 0;
	set->front = front;
	return 0;
}

void bioset_exit(struct bio_set *set)
{
	WARN_ON(set->taken);
}

struct bio *bio_alloc_bioset(struct block_device *bdev, unsigned short vectors,
			     blk_opf_t operation, gfp_t flags, struct bio_set *set)
{
	struct bio *bio;
	u8 *memory;

	/* In the kernel it would wait for one that comes back. */
	WARN_ON(++set->taken > set->reserve);
	memory = kzalloc(set->front + sizeof(*bio) + vectors * sizeof(struct bio_vec),
			 SIM_SURE);
	bio = (struct bio *)(memory + set->front);
	bio->bi_pool = set;
	bio->bi_bdev = bdev;
	bio->bi_opf = operation;
	bio->bi_max_vecs = vectors;
	bio->bi_io_vec = (struct bio_vec *)(bio + 1);
	return bio;
}

void bio_reset(struct bio *bio, struct block_device *bdev, blk_opf_t operation)
{
	bio->bi_bdev = bdev;
	bio->bi_opf = operation;
	bio->bi_status = BLK_STS_OK;
	memset(&bio->bi_iter, 0, sizeof(bio->bi_iter));
	bio->bi_end_io = NULL;
	bio->bi_vcnt = 0;
}

int bio_add_page(struct bio *bio, struct page *page, unsigned int bytes,
		 unsigned int offset)
{
	if (bio->bi_vcnt == bio->bi_max_vecs)
		return 0;
	bvec_set_page(&bio->bi_io_vec[bio->bi_vcnt++], page, bytes, offset);
	bio->bi_iter.bi_size += bytes;
	return bytes;
}

void bio_put(struct bio *bio)
{
	bio->bi_pool->taken--;
	kfree((u8 *)bio - bio->bi_pool->front);
}

void submit_bio(struct bio *bio)
{
	sim_disk_submit(bio);
}

/* The bio has no field for it: one that is waited for is the thread's only one. */
static struct waited {
	struct bio *bio;
	bool done;
} waited[SIM_HOSTS_MAX + 1];

static void waited_end_io(struct bio *bio)
{
	struct waited *wait = &waited[sim_host->number];

	WARN_ON(wait->bio != bio);
	wait->done = true;
}

int submit_bio_wait(struct bio *bio)
{
	struct waited *wait = &waited[sim_host->number];

	wait->bio = bio;
	wait->done = false;
	bio->bi_end_io = waited_end_io;
	submit_bio(bio);
	while (!wait->done)
		sim_sleep(0);
	return blk_status_to_errno(bio->bi_status);
}

int blk_status_to_errno(blk_status_t status)
{
	switch (status) {
	case BLK_STS_OK:
		return 0;
	case BLK_STS_NOTSUPP:
		return -EOPNOTSUPP;
	case BLK_STS_MEDIUM:
		return -ENODATA;
	case BLK_STS_AGAIN:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

/* Each host has one disk, whatever its path. */
struct file {
	struct block_device *bdev;
};

int lookup_bdev(const char *path, dev_t *number)
{
	*number = sim_host->number;
	return 0;
}

struct file *bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
				   void *operations)
{
	struct file *file = kzalloc(sizeof(*file), SIM_SURE);

	file->bdev = &sim_host->bdev;
	return file;
}

struct block_device *file_bdev(struct file *file)
{
	return file->bdev;
}

void bdev_fput(struct file *file)
{
	kfree(file);
}
