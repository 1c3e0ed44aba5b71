/* SPDX-License-Identifier: GPL-2.0 */
/* Block layer: allocation of a disk with its limits; the open operation. */
#ifndef QBD_COMPAT_BLOCK_H
#define QBD_COMPAT_BLOCK_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>

/* Gone where merging is the only behaviour. */
#ifdef QBD_COMPAT_NO_SHOULD_MERGE
#define BLK_MQ_F_SHOULD_MERGE	0
#endif

/* What is cached of a disk or a partition. */
static inline struct address_space *qbd_compat_bdev_mapping(struct block_device *bdev)
{
#ifdef QBD_COMPAT_NO_BD_MAPPING
	return bdev->bd_inode->i_mapping;
#else
	return bdev->bd_mapping;
#endif
}

/**
 * struct qbd_compat_disk_limits - queue limits that qbd sets
 * @block_size: logical and physical, bytes
 * @max_sectors: of a read or write
 * @max_zero_sectors: of a discard or write zeroes
 * @max_segments: of a read or write
 * @max_segment_size: bytes
 * @io_opt: bytes
 */
struct qbd_compat_disk_limits {
	unsigned int block_size;
	unsigned int max_sectors;
	unsigned int max_zero_sectors;
	unsigned short max_segments;
	unsigned int max_segment_size;
	unsigned int io_opt;
};

#ifdef QBD_COMPAT_LIMIT_SETTERS
static inline struct gendisk *
qbd_compat_alloc_disk(struct blk_mq_tag_set *set,
		      const struct qbd_compat_disk_limits *limits, void *data)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, data);
	struct request_queue *queue;

	if (IS_ERR(disk))
		return disk;
	queue = disk->queue;
	blk_queue_logical_block_size(queue, limits->block_size);
	blk_queue_physical_block_size(queue, limits->block_size);
	blk_queue_io_min(queue, limits->block_size);
	blk_queue_io_opt(queue, limits->io_opt);
	blk_queue_max_hw_sectors(queue, limits->max_sectors);
	blk_queue_max_segments(queue, limits->max_segments);
	blk_queue_max_segment_size(queue, limits->max_segment_size);
	blk_queue_max_discard_sectors(queue, limits->max_zero_sectors);
	blk_queue_max_write_zeroes_sectors(queue, limits->max_zero_sectors);
	queue->limits.discard_granularity = limits->block_size;
	blk_queue_write_cache(queue, false, false);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, queue);
	return disk;
}
#else
static inline struct gendisk *
qbd_compat_alloc_disk(struct blk_mq_tag_set *set,
		      const struct qbd_compat_disk_limits *limits, void *data)
{
	struct queue_limits queue_limits = {
		.logical_block_size		= limits->block_size,
		.physical_block_size		= limits->block_size,
		.io_min				= limits->block_size,
		.io_opt				= limits->io_opt,
		.max_hw_sectors			= limits->max_sectors,
		.max_segments			= limits->max_segments,
		.max_segment_size		= limits->max_segment_size,
		.max_hw_discard_sectors		= limits->max_zero_sectors,
		.max_write_zeroes_sectors	= limits->max_zero_sectors,
		.discard_granularity		= limits->block_size,
	};

	return blk_mq_alloc_disk(set, &queue_limits, data);
}
#endif

/* What block_device_operations.open is given, and the disk of it. */
#ifdef QBD_COMPAT_OPEN_TAKES_BDEV
#define qbd_compat_opened	struct block_device
#define qbd_compat_open_mode	fmode_t
#define QBD_COMPAT_OPEN_WRITE	FMODE_WRITE

static inline struct gendisk *qbd_compat_opened_disk(struct block_device *opened)
{
	return opened->bd_disk;
}
#else
#define qbd_compat_opened	struct gendisk
#define qbd_compat_open_mode	blk_mode_t
#define QBD_COMPAT_OPEN_WRITE	BLK_OPEN_WRITE

static inline struct gendisk *qbd_compat_opened_disk(struct gendisk *opened)
{
	return opened;
}
#endif

#endif
