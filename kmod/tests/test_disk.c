// SPDX-License-Identifier: GPL-2.0
/* A disk in memory with a volatile cache; see test_disk.h. */
#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "../format/format.h"
#include "test_disk.h"

/* Few, so that every test meets a disk that has none left. */
#define TEST_DISK_TAGS	8

u32 test_random(struct rnd_state *random, u32 limit)
{
	return prandom_u32_state(random) % limit;
}

/* Where its content is, in @cached and in @stable. */
static u64 offset_of(const struct test_disk *disk, u64 sector)
{
	if (sector < disk->hole_first)
		return sector << SECTOR_SHIFT;
	if (WARN_ON_ONCE(sector < disk->hole_first + disk->hole_count))
		return 0;
	return (sector - disk->hole_count) << SECTOR_SHIFT;
}

static void flush(struct test_disk *disk)
{
	u64 sector;

	for_each_set_bit(sector, disk->dirty, disk->sectors)
		memcpy(disk->stable + offset_of(disk, sector),
		       disk->cached + offset_of(disk, sector), SECTOR_SIZE);
	bitmap_zero(disk->dirty, disk->sectors);
	disk->flushes++;
}

/* Into the cache; @torn: perhaps, sector by sector. */
static void write_sectors(struct test_disk *disk, struct bio *bio, bool torn)
{
	u64 sector = bio->bi_iter.bi_sector;
	u64 count = bio_sectors(bio);
	struct bvec_iter iter = bio->bi_iter;
	bool fua = bio->bi_opf & REQ_FUA;
	u64 i;

	for (i = 0; i < count; i++, sector++) {
		u8 *to = disk->cached + offset_of(disk, sector);
		bool skip = torn && test_random(&disk->random, 2);

		if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
			if (!skip)
				memset(to, 0, SECTOR_SIZE);
		} else {
			struct bio_vec bvec = bio_iter_iovec(bio, iter);

			if (!skip)
				memcpy_from_page(to, bvec.bv_page, bvec.bv_offset,
						 SECTOR_SIZE);
			bio_advance_iter_single(bio, &iter, SECTOR_SIZE);
		}
		if (skip)
			continue;
		if (fua)
			memcpy(disk->stable + offset_of(disk, sector), to, SECTOR_SIZE);
		__assign_bit(sector, disk->dirty, !fua);
	}
	disk->writes++;
}

static void read_sectors(struct test_disk *disk, struct bio *bio)
{
	u64 sector = bio->bi_iter.bi_sector;
	struct bvec_iter iter;
	struct bio_vec bvec;

	bio_for_each_segment(bvec, bio, iter) {
		memcpy_to_page(bvec.bv_page, bvec.bv_offset,
			       disk->cached + offset_of(disk, sector), bvec.bv_len);
		sector += bvec.bv_len >> SECTOR_SHIFT;
	}
}

static bool touches_bad(const struct test_disk *disk, const struct bio *bio)
{
	return bio->bi_iter.bi_sector <= disk->fail_last &&
	       bio_end_sector(bio) > disk->fail_first;
}

/* What is not stable is lost, in part. */
static void power_cut(struct test_disk *disk)
{
	bool preflush = false;
	struct bio *bio;
	u64 sector;

	disk->dead = true;
	/* A write with a preflush had not begun, or its flush is over. */
	bio_list_for_each(bio, &disk->bios)
		preflush |= bio->bi_opf & REQ_PREFLUSH;
	preflush = preflush && test_random(&disk->random, 2);
	if (preflush)
		flush(disk);
	bio_list_for_each(bio, &disk->bios)
		if (op_is_write(bio_op(bio)) && bio_sectors(bio) &&
		    (preflush || !(bio->bi_opf & REQ_PREFLUSH)))
			write_sectors(disk, bio, true);
	for_each_set_bit(sector, disk->dirty, disk->sectors) {
		u8 *cached = disk->cached + offset_of(disk, sector);
		u8 *stable = disk->stable + offset_of(disk, sector);

		if (test_random(&disk->random, 2))
			memcpy(stable, cached, SECTOR_SIZE);
		else
			memcpy(cached, stable, SECTOR_SIZE);
	}
	bitmap_zero(disk->dirty, disk->sectors);
}

/* Does @bio write what may only follow something that is not stable yet? */
static void check_order(struct test_disk *disk, const struct bio *bio)
{
	unsigned int i;

	if (!op_is_write(bio_op(bio)) ||
	    bio->bi_iter.bi_sector >= disk->ordered_first + disk->ordered_count ||
	    bio_end_sector(bio) <= disk->ordered_first)
		return;
	disk->ordered_writes++;
	for (i = 0; i < ARRAY_SIZE(disk->before); i++) {
		u64 end = disk->before[i][0] + disk->before[i][1];

		if (find_next_bit(disk->dirty, end, disk->before[i][0]) < end) {
			disk->disorders++;
			break;
		}
	}
}

static blk_status_t perform(struct test_disk *disk, struct bio *bio)
{
	if (disk->cut_after && op_is_write(bio_op(bio)) && !--disk->cut_after)
		power_cut(disk);
	if (disk->dead)
		return BLK_STS_IOERR;
	if (bio->bi_opf & (REQ_PREFLUSH | REQ_FUA) && disk->fail_flushes)
		return BLK_STS_IOERR;
	if (bio->bi_opf & REQ_PREFLUSH)
		flush(disk);
	if (!bio_sectors(bio))
		return BLK_STS_OK;
	if (WARN_ON_ONCE(bio_end_sector(bio) > disk->sectors))
		return BLK_STS_IOERR;
	check_order(disk, bio);
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		if (disk->fail_reads && touches_bad(disk, bio) &&
		    (!disk->spared || !disk->spared--))
			return BLK_STS_MEDIUM;
		read_sectors(disk, bio);
		return BLK_STS_OK;
	case REQ_OP_WRITE_ZEROES:
		if (disk->fail_zeroes)
			return BLK_STS_NOTSUPP;
		fallthrough;
	case REQ_OP_WRITE:
		if (disk->fail_writes && touches_bad(disk, bio))
			return BLK_STS_MEDIUM;
		write_sectors(disk, bio, false);
		return BLK_STS_OK;
	default:
		return BLK_STS_NOTSUPP;
	}
}

/* Any of the waiting ones, so that order is nobody's friend. */
static struct bio *pick(struct test_disk *disk)
{
	unsigned int count = bio_list_size(&disk->bios);
	struct bio *bio;
	unsigned int i;

	if (!count || (disk->hang && !disk->dead))
		return NULL;
	for (i = test_random(&disk->random, min(count, 8u)); i; i--) {
		bio = bio_list_pop(&disk->bios);
		bio_list_add(&disk->bios, bio);
	}
	return bio_list_pop(&disk->bios);
}

static void work(struct work_struct *worker)
{
	struct test_disk *disk = container_of(worker, struct test_disk, worker);

	for (;;) {
		struct bio *bio;

		spin_lock_irq(&disk->lock);
		bio = pick(disk);
		if (bio)
			bio->bi_status = perform(disk, bio);
		spin_unlock_irq(&disk->lock);
		if (!bio)
			break;
		wake_up_all(&disk->room);
		bio_endio(bio);
		cond_resched();
	}
}

static bool take(struct test_disk *disk, struct bio *bio)
{
	bool taken;

	spin_lock_irq(&disk->lock);
	taken = disk->dead || bio_list_size(&disk->bios) < disk->tags;
	if (taken)
		bio_list_add(&disk->bios, bio);
	spin_unlock_irq(&disk->lock);
	return taken;
}

static void submit(struct bio *bio)
{
	struct test_disk *disk = bio->bi_bdev->bd_disk->private_data;

	if (!take(disk, bio)) {
		if (bio->bi_opf & REQ_NOWAIT) {
			disk->refused++;
			bio_wouldblock_error(bio);
			return;
		}
		wait_event(disk->room, take(disk, bio));
	}
	queue_work(system_unbound_wq, &disk->worker);
}

static const struct block_device_operations test_disk_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= submit,
};

void test_disk_power_cut(struct test_disk *disk)
{
	spin_lock_irq(&disk->lock);
	power_cut(disk);
	spin_unlock_irq(&disk->lock);
	wake_up_all(&disk->room);
	queue_work(system_unbound_wq, &disk->worker);
}

void test_disk_cut_after(struct test_disk *disk, u32 bios)
{
	spin_lock_irq(&disk->lock);
	disk->cut_after = bios;
	spin_unlock_irq(&disk->lock);
}

void test_disk_power_on(struct test_disk *disk)
{
	flush_work(&disk->worker);
	spin_lock_irq(&disk->lock);
	WARN_ON(!bio_list_empty(&disk->bios));
	disk->dead = false;
	disk->cut_after = 0;
	disk->hang = false;
	spin_unlock_irq(&disk->lock);
}

void test_disk_hang(struct test_disk *disk, bool hang)
{
	spin_lock_irq(&disk->lock);
	disk->hang = hang;
	spin_unlock_irq(&disk->lock);
	queue_work(system_unbound_wq, &disk->worker);
}

void test_disk_wait(struct test_disk *disk)
{
	/* It takes them until there is none left. */
	flush_work(&disk->worker);
}

void *test_disk_block(struct test_disk *disk, u64 block)
{
	return disk->cached + offset_of(disk, block * QBD_SECTORS_PER_BLOCK);
}

void test_disk_settle(struct test_disk *disk, u64 block)
{
	memcpy(disk->stable + offset_of(disk, block * QBD_SECTORS_PER_BLOCK),
	       test_disk_block(disk, block), QBD_BLOCK_SIZE);
	bitmap_clear(disk->dirty, block * QBD_SECTORS_PER_BLOCK, QBD_SECTORS_PER_BLOCK);
}

static void free_memory(struct test_disk *disk)
{
	vfree(disk->cached);
	vfree(disk->stable);
	kvfree(disk->dirty);
	kfree(disk);
}

static int add_gendisk(struct test_disk *disk)
{
	struct queue_limits limits = {
		.logical_block_size		= SECTOR_SIZE,
		.physical_block_size		= QBD_BLOCK_SIZE,
		.max_hw_sectors			= UINT_MAX >> SECTOR_SHIFT,
		.max_write_zeroes_sectors	= UINT_MAX >> SECTOR_SHIFT,
		.features			= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA |
						  BLK_FEAT_NOWAIT,
	};
	static atomic_t number;
	struct gendisk *gendisk;
	int error;

	gendisk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	if (IS_ERR(gendisk))
		return PTR_ERR(gendisk);
	gendisk->fops = &test_disk_fops;
	gendisk->private_data = disk;
	snprintf(gendisk->disk_name, sizeof(gendisk->disk_name), "qbdtest%d",
		 atomic_inc_return(&number));
	snprintf(disk->path, sizeof(disk->path), "/dev/%s", gendisk->disk_name);
	set_capacity(gendisk, disk->sectors);
	error = add_disk(gendisk);
	if (error) {
		put_disk(gendisk);
		return error;
	}
	disk->gendisk = gendisk;
	return 0;
}

struct test_disk *test_disk_create(u64 blocks, u64 seed)
{
	return test_disk_create_sparse(blocks, blocks, 0, seed);
}

struct test_disk *test_disk_create_sparse(u64 blocks, u64 hole_first, u64 hole_count,
					  u64 seed)
{
	u64 bytes = (blocks - hole_count) << QBD_BLOCK_SHIFT;
	struct test_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	int error = -ENOMEM;

	if (!disk)
		return ERR_PTR(-ENOMEM);
	disk->sectors = blocks * QBD_SECTORS_PER_BLOCK;
	disk->hole_first = hole_first * QBD_SECTORS_PER_BLOCK;
	disk->hole_count = hole_count * QBD_SECTORS_PER_BLOCK;
	spin_lock_init(&disk->lock);
	bio_list_init(&disk->bios);
	init_waitqueue_head(&disk->room);
	disk->tags = TEST_DISK_TAGS;
	prandom_seed_state(&disk->random, seed);
	INIT_WORK(&disk->worker, work);
	disk->cached = vmalloc(bytes);
	disk->stable = vmalloc(bytes);
	disk->dirty = kvcalloc(BITS_TO_LONGS(disk->sectors), sizeof(long), GFP_KERNEL);
	if (!disk->cached || !disk->stable || !disk->dirty)
		goto err;
	memset(disk->cached, 0xa5, bytes);
	memset(disk->stable, 0xa5, bytes);
	error = add_gendisk(disk);
	if (!error)
		return disk;
err:
	free_memory(disk);
	return ERR_PTR(error);
}

void test_disk_destroy(struct test_disk *disk)
{
	del_gendisk(disk->gendisk);
	put_disk(disk->gendisk);
	flush_work(&disk->worker);
	free_memory(disk);
}
